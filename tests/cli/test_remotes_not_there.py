"""A remote that is not there is told apart from one that lacks something, and from a name that nobody configured."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from mlgit.repo import Repo

STAGE = """
stages:
  copy:
    cmd: cp raw.txt out.txt
    deps: [raw.txt]
    outs:
      - out.txt: {remote: second}
"""


def test_a_folder_that_is_gone(repo: Repo, cli: Any, tmp_path: Path) -> None:
    root, store = repo.root, tmp_path / "store"
    (root / "raw.txt").write_text("1\n")
    cli("add", "raw.txt", cwd=root)
    cli("remote", "add", "-d", "store", str(store), cwd=root)
    cli("push", cwd=root)
    (root / "raw.txt").unlink()
    shutil.rmtree(root / ".mlgit" / "cache")
    store.rename(tmp_path / "elsewhere")
    said = cli("pull", cwd=root, code=12).err
    assert f"there is no store at {store}, and the cache lacks 1 object" in said
    assert "mounted" in said


def test_an_output_with_a_remote_that_nobody_configured(repo: Repo, cli: Any, tmp_path: Path) -> None:
    root = repo.root
    (root / "raw.txt").write_text("1\n")
    (root / "mlgit.yaml").write_text(STAGE)
    cli("repro", cwd=root)
    cli("remote", "add", "-d", "store", str(tmp_path / "store"), cwd=root)
    said = cli("push", cwd=root, code=2).err
    assert "mlgit.yaml: out.txt goes to the remote 'second', which there is not" in said


def test_an_endpoint_that_came_with_a_commit_is_asked_about(repo: Repo, cli: Any) -> None:
    root = repo.root
    (root / "raw.txt").write_text("1\n")
    cli("add", "raw.txt", cwd=root)
    cli("remote", "add", "-d", "store", "s3://bucket/path", cwd=root)
    config = root / ".mlgit" / "config.yaml"
    config.write_text(config.read_text() + "    endpoint_url: http://127.0.0.1:1\n")
    said = cli("push", cwd=root, code=1).err
    assert "not pushed: remote store is at s3://bucket/path endpoint_url='http://127.0.0.1:1'" in said
    cli("remote", "modify", "store", "region", "eu", cwd=root)
    assert "not pushed" in cli("push", cwd=root, code=1).err
