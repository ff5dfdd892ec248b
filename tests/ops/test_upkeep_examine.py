"""fsck: which commits need what is lost, and an index made anew from what packs and files hold."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from health import assert_healthy

from mlgit.model.report import Report, Verdict
from mlgit.ops.upkeep.examine import examine
from mlgit.repo import Repo
from mlgit.store.hashing import hash_bytes

Mlgit = Callable[..., Any]
LARGE = b"L" * (1 << 20)
TEXTS = [b"0", b"1", b"2", b"3", b"4"]


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def project(repo: Repo, mlgit: Mlgit) -> Repo:
    """Six commits; a large file deep in a folder since the second one, and gone again in the last."""
    below = repo.root / "data/deep/er"
    below.mkdir(parents=True)
    for number in range(5):
        (below / "small.txt").write_text(str(number))
        if number == 1:
            (below / "large").write_bytes(LARGE)
        mlgit("add", "data", cwd=repo.root)
        git(repo.root, "add", "-A")
        git(repo.root, "commit", "-q", "-m", str(number))
    (below / "large").unlink()
    mlgit("add", "data", cwd=repo.root)
    git(repo.root, "commit", "-q", "-am", "gone")
    return Repo(repo.root)


def rows(report: Report) -> list[dict[str, Any]]:
    return [dict(zip(report.tables[0].columns, row.cells, strict=True)) for row in report.tables[0].rows]


def test_what_is_lost_is_named_by_its_commits(project: Repo) -> None:
    having = git(project.root, "log", "--format=%h", "--abbrev=7", "HEAD~1").split()[:4]
    oid = hash_bytes("blake3", LARGE)
    place = project.workspace.store.linkable(oid)
    assert place is not None
    place.unlink()
    (row,) = rows(examine(Repo(project.root), full=False))
    assert row["object"] == oid
    assert row["commits"] == f"{', '.join(having[:3])} and 1 more"
    assert row["named_by"] == ""
    (row,) = rows(examine(Repo(project.root), full=True, repair=True))
    assert (row["state"], row["commits"]) == ("lost", f"{', '.join(having[:3])} and 1 more")


def test_damage_is_named_by_its_commits_in_json(project: Repo, mlgit: Mlgit) -> None:
    oid = hash_bytes("blake3", LARGE)
    place = project.workspace.store.linkable(oid)
    assert place is not None
    place.chmod(0o644)
    place.write_bytes(b"M" * len(LARGE))
    (row,) = json.loads(mlgit("fsck", "--full", "--json", cwd=project.root, code=13).out)["problems"]
    assert row["commits"].endswith(" and 1 more")


def test_commits_that_cannot_be_read_are_passed_over(project: Repo) -> None:
    pointer = project.root / "data.mlgit"
    good = pointer.read_text()
    pointer.write_text("nonsense\n")
    git(project.root, "commit", "-q", "-am", "broken")
    pointer.write_text(good)
    place = project.workspace.store.linkable(hash_bytes("blake3", LARGE))
    assert place is not None
    place.unlink()
    (row,) = rows(examine(Repo(project.root), full=False))
    assert row["commits"].endswith(" and 1 more")


def test_what_is_mended_blames_nobody(project: Repo, mlgit: Mlgit) -> None:
    git(project.root, "checkout", "-q", "HEAD~1", "--", "data.mlgit")
    mlgit("remote", "add", "-d", "store", "../remote", cwd=project.root)
    mlgit("push", "--yes", cwd=project.root)
    place = project.workspace.store.linkable(hash_bytes("blake3", LARGE))
    assert place is not None
    place.unlink()
    (row,) = rows(examine(Repo(project.root), full=True, repair=True))
    assert (row["state"], row["named_by"], row["commits"]) == ("mended", "data", None)


@pytest.mark.parametrize("harm", ["none", "gone", "flipped", "empty", "half gone"])
def test_an_index_is_made_anew(project: Repo, mlgit: Mlgit, harm: str) -> None:
    files = sorted((project.config.cache_path(project.root) / "index").iterdir())
    for path in files[: len(files) // 2] if harm == "half gone" else files if harm != "none" else []:
        path.chmod(0o644)
        if harm in ("gone", "half gone"):
            path.unlink()
        else:
            path.write_bytes(b"" if harm == "empty" else bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    done = mlgit("fsck", "--rebuild-index", cwd=project.root)
    assert "rebuilt" in done.out
    after = Repo(project.root)
    assert not after.workspace.store.missing(hash_bytes("blake3", text) for text in (*TEXTS, LARGE))
    assert examine(after, full=True).verdict is Verdict.PASS
    assert_healthy(after)


def test_a_new_index_does_not_name_what_is_gone(project: Repo, mlgit: Mlgit) -> None:
    oid = hash_bytes("blake3", LARGE)
    place = project.workspace.store.linkable(oid)
    assert place is not None
    place.unlink()
    mlgit("fsck", cwd=project.root, code=12)
    mlgit("fsck", "--rebuild-index", cwd=project.root)
    assert not Repo(project.root).workspace.store.has(oid)


def test_a_remote_has_no_index_to_make_anew(project: Repo, mlgit: Mlgit) -> None:
    mlgit("remote", "add", "-d", "store", "../remote", cwd=project.root)
    assert "--rebuild-index" in mlgit("fsck", "--rebuild-index", "-r", "store", cwd=project.root, code=2).err
