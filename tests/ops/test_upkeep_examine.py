"""fsck: which commits need what is lost, and an index made anew from what packs and files hold."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from health import assert_healthy, files_below, violations

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
    assert row["named_by"] is None
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


def test_what_a_damaged_remote_still_has_comes_back(project: Repo, mlgit: Mlgit) -> None:
    git(project.root, "checkout", "-q", "HEAD~1", "--", "data.mlgit")
    mlgit("remote", "add", "-d", "store", "../remote", cwd=project.root)
    mlgit("push", "--yes", cwd=project.root)
    (damaged,) = (one for one in (project.root.parent / "remote/objects").rglob("*") if one.is_file())
    damaged.chmod(0o644)
    damaged.write_bytes(b"?" + LARGE[1:])
    for folder in ("packs", "objects"):
        shutil.rmtree(project.workspace.cache / folder)
    found = {row["object"]: row["state"] for row in rows(examine(Repo(project.root), full=True, repair=True))}
    assert found.pop(hash_bytes("blake3", LARGE)) == "lost"
    assert found[hash_bytes("blake3", b"4")] == "mended"


def test_a_whole_cache_comes_back(project: Repo, mlgit: Mlgit) -> None:
    git(project.root, "checkout", "-q", "HEAD~1", "--", "data.mlgit")
    mlgit("remote", "add", "-d", "store", "../remote", cwd=project.root)
    mlgit("push", "--yes", cwd=project.root)
    for folder in ("packs", "objects", "index"):
        shutil.rmtree(project.workspace.cache / folder)
    report = examine(Repo(project.root), full=True, repair=True)
    assert report.verdict is Verdict.PASS
    assert {row["state"] for row in rows(report)} == {"mended"}
    assert Repo(project.root).workspace.store.read(hash_bytes("blake3", b"4")) == b"4"


def test_a_remote_need_not_have_what_goes_to_another(project: Repo, mlgit: Mlgit) -> None:
    for name in ("store", "other"):
        mlgit("remote", "add", name, f"../{name}", cwd=project.root)
    with (project.root / "data.mlgit").open("a") as pointer:
        pointer.write("remote: other\n")
    mlgit("push", "--yes", "-r", "store", cwd=project.root)
    assert examine(Repo(project.root), full=False, remote="store").verdict is Verdict.PASS
    shutil.rmtree(project.root.parent / "other")
    assert examine(Repo(project.root), full=False, remote="other").verdict is Verdict.MISSING


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


@pytest.mark.parametrize("spoil", ["packs", "objects", "index", "packs flipped", "objects flipped", "index flipped"])
def test_a_remote_is_mended_from_the_cache(project: Repo, mlgit: Mlgit, spoil: str) -> None:
    remote, clone = project.root.parent / "remote", project.root.parent / "clone"
    (project.root / "data" / "large").write_bytes(LARGE[::-1] + b"new")
    mlgit("add", "data", cwd=project.root)
    git(project.root, "commit", "-q", "-am", "large")
    mlgit("remote", "add", "-d", "store", "../remote", cwd=project.root)
    mlgit("push", "--yes", cwd=project.root)
    for path in [one for one in (remote / spoil.split(" ", maxsplit=1)[0]).rglob("*") if one.is_file()]:
        data = bytearray(path.read_bytes())
        data[30] ^= 1
        path.unlink()
        if "flipped" in spoil:
            path.write_bytes(data)
    assert mlgit("fsck", "-r", "store", "--full", cwd=project.root, code=None).code in (12, 13)
    assert "--yes" in mlgit("fsck", "-r", "store", "--repair", cwd=project.root, code=1).err
    mlgit("fsck", "-r", "store", "--repair", "--yes", cwd=project.root)
    mlgit("fsck", "-r", "store", "--full", cwd=project.root)
    assert violations(project, remotes=[remote]) == []
    mlgit("push", cwd=project.root)
    git(project.root, "add", "-A")
    git(project.root, "commit", "-q", "-m", "remote")
    git(project.root.parent, "clone", "-q", str(project.root), str(clone))
    mlgit("pull", cwd=clone)
    assert files_below(clone / "data") == files_below(project.root / "data")


def test_what_is_never_pushed_stops_nobody(project: Repo, mlgit: Mlgit) -> None:
    """An output that stays where it was made: others pull the rest, and may collect."""
    (project.root / "mlgit.yaml").write_text(
        "stages:\n  s:\n    cmd: mkdir -p sec && echo x > sec/a && echo y > out\n"
        "    outs:\n    - sec: {push: false}\n    - out\n"
    )
    mlgit("repro", cwd=project.root)
    mlgit("remote", "add", "-d", "store", "../remote", cwd=project.root)
    mlgit("push", "--yes", cwd=project.root)
    git(project.root, "add", "-A")
    git(project.root, "commit", "-q", "-m", "stage")
    clone = project.root.parent / "clone"
    git(project.root.parent, "clone", "-q", str(project.root), str(clone))
    said = mlgit("pull", cwd=clone)
    assert "push: false" in said.err
    assert (clone / "out").read_text() == "y\n"
    assert (clone / "data").is_dir()
    assert not (clone / "sec").exists()
    mlgit("checkout", cwd=clone)
    mlgit("gc", "-w", "--yes", "--grace", "0", cwd=clone)
    assert (clone / "out").read_text() == "y\n"


def test_a_pull_brings_what_can_be_had(project: Repo, mlgit: Mlgit) -> None:
    for name in ("a.txt", "b.txt"):
        (project.root / name).write_text(name)
        mlgit("add", name, cwd=project.root)
    mlgit("remote", "add", "-d", "store", "../remote", cwd=project.root)
    mlgit("push", "--yes", "a.txt", cwd=project.root)
    git(project.root, "add", "-A")
    git(project.root, "commit", "-q", "-m", "two")
    clone = project.root.parent / "clone"
    git(project.root.parent, "clone", "-q", str(project.root), str(clone))
    said = mlgit("pull", cwd=clone, code=12)
    assert "mlgit push" in said.err
    assert (clone / "a.txt").read_text() == "a.txt"
    assert not (clone / "b.txt").exists()
