"""A clone that pulled a part of a tracked folder: what it never pulled stays in the pointer, whatever it adds."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlgit.model import pointer
from mlgit.repo import Repo


@pytest.fixture
def clone(repo: Repo, mlgit: Callable[..., Any], tmp_path: Path) -> Path:
    """A clone with `raw/2024` of six files pulled, and `raw/2023` not."""
    for name in ("2023/a/x", "2023/b/x", "2024/1", "2024/2", "2024/3", "top"):
        path = repo.root / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    mlgit("add", "raw", cwd=repo.root)
    mlgit("remote", "add", "-d", "store", str(tmp_path / "store"), cwd=repo.root)
    mlgit("push", cwd=repo.root)
    subprocess.run(["git", "add", "-A"], cwd=repo.root, check=True)
    subprocess.run(["git", "commit", "-qm", "data"], cwd=repo.root, check=True)
    target = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(repo.root), str(target)], check=True)
    mlgit("pull", "raw/2024", cwd=target)
    return target


def files(folder: Path) -> int | None:
    return pointer.decode((folder / "raw.mlgit").read_bytes(), "raw.mlgit").files


def test_status_says_that_a_part_is_here(clone: Path, mlgit: Callable[..., Any]) -> None:
    done = mlgit("status", cwd=clone)
    assert "partial" in done.out
    assert "3 of 6 files are here" in done.out


def test_adding_a_part_keeps_the_rest(clone: Path, mlgit: Callable[..., Any]) -> None:
    (clone / "raw/2024/1").write_text("changed")
    (clone / "raw/2025/deep").mkdir(parents=True)
    (clone / "raw/2025/deep/new").write_text("new")
    (clone / "raw/2025/deep/new").chmod(0o755)
    mlgit("add", "raw/2024/1", "raw/2025/deep/new", cwd=clone)
    assert files(clone) == 7
    mlgit("push", "--yes", "raw/2024", "raw/2025", cwd=clone)
    mlgit("pull", cwd=clone)
    assert (clone / "raw/2023/b/x").read_text() == "2023/b/x"
    assert (clone / "raw/2024/1").read_text() == "changed"
    before = (clone / "raw.mlgit").read_text()
    mlgit("add", "raw", cwd=clone)
    assert (clone / "raw.mlgit").read_text() == before
    assert (clone / "raw/2025/deep/new").stat().st_mode & 0o100


def test_adding_the_whole_refuses_to_forget_the_rest(clone: Path, mlgit: Callable[..., Any]) -> None:
    (clone / "raw/2024/1").write_text("changed")
    done = mlgit("add", "raw", cwd=clone, code=1)
    assert "never pulled here" in done.err
    assert files(clone) == 6
    mlgit("add", "raw/2024", cwd=clone)
    assert files(clone) == 6


def test_what_was_pulled_may_be_deleted(clone: Path, mlgit: Callable[..., Any]) -> None:
    mlgit("pull", cwd=clone)
    shutil.rmtree(clone / "raw/2023")
    mlgit("add", "raw", cwd=clone)
    assert files(clone) == 4


def test_data_that_was_never_pulled_may_be_replaced(clone: Path, mlgit: Callable[..., Any]) -> None:
    shutil.rmtree(clone / "raw")
    shutil.rmtree(clone / ".mlgit/cache")
    (clone / "raw").mkdir()
    (clone / "raw/only").write_text("other data")
    mlgit("add", "raw", cwd=clone)
    assert files(clone) == 1


def test_a_cache_whose_files_are_gone_is_not_believed(repo: Repo, mlgit: Callable[..., Any]) -> None:
    (repo.root / "raw").mkdir()
    (repo.root / "raw/small").write_text("small")
    (repo.root / "raw/large").write_bytes(b"1" * (2 << 20))
    mlgit("add", "raw", cwd=repo.root)
    for name in ("packs", "objects"):
        shutil.rmtree(repo.root / ".mlgit/cache" / name)
    mlgit("add", "raw", cwd=repo.root)
    mlgit("fsck", "--full", cwd=repo.root)
