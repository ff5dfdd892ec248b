"""Rows 30 and 31: an edit that looks like none is seen, and a file that changes under the reader never gets a wrong id.

The layer below is tested in `tests/work/test_identify.py`; here the commands are.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from health import assert_healthy, digest_of
from sweep import mlgit

from mlgit.cli.main import run
from mlgit.model.relpath import RelPath
from mlgit.repo import Repo

SIZES = (6, 1 << 20)
TURNS = 40


@pytest.fixture
def data(repo: Repo) -> Path:
    folder = repo.root / "data"
    folder.mkdir()
    return folder


def _status(root: Path) -> int:
    return run(["-C", str(root), "status", "--exit-code"])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("replaced", [False, True], ids=["in place", "replaced"])
def test_a_same_size_edit_with_its_time_put_back(repo: Repo, data: Path, size: int, replaced: bool) -> None:
    file = data / "file"
    file.write_bytes(b"a" * size)
    mlgit(repo.root, "add", "data")
    assert _status(repo.root) == 0
    found = file.stat()
    target = data.parent / "aside" if replaced else file
    target.write_bytes(b"b" * size)
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))
    os.replace(target, file)
    assert file.stat().st_mtime_ns == found.st_mtime_ns
    assert _status(repo.root) == 1
    mlgit(repo.root, "add", "data")
    assert_healthy(repo, bytes_of_user=[b"a" * size, b"b" * size], tidy=True)


def test_edits_within_one_tick(repo: Repo, data: Path) -> None:
    """Each edit keeps size and inode, and most share the clock's tick with the look before."""
    file = data / "file"
    for turn in range(TURNS):
        file.write_bytes(b"%06d" % turn)
        content = repo.workspace.identify(RelPath("data/file"))
        assert content is not None
        assert content.oid.digest == digest_of("blake3", b"%06d" % turn)


def test_adds_within_one_tick(repo: Repo, data: Path) -> None:
    for turn in range(TURNS // 4):
        (data / "file").write_bytes(b"%06d" % turn)
        mlgit(repo.root, "add", "data")
        (data / "file").write_bytes(b"%06d" % (turn + 1))
        assert _status(repo.root) == 1
    assert_healthy(repo, bytes_of_user=[b"%06d" % turn for turn in range(TURNS // 4)], tidy=True)


@pytest.mark.parametrize("size", [3000, 3 << 20])
def test_a_file_that_changes_while_it_is_added(repo: Repo, data: Path, size: int) -> None:
    """It is read again until it rests, or refused with 10; either way the store is whole, and the end is seen."""
    file, ended, begun = data / "file", threading.Event(), threading.Event()

    def write() -> None:
        turn = 0
        while not ended.is_set():
            turn += 1
            with file.open("r+b") as target:
                target.write(turn.to_bytes(4, "big") * (size // 4))
                target.truncate(size - turn % 2)
            begun.set()

    file.write_bytes(b"0" * size)
    writer = threading.Thread(target=write)
    writer.start()
    begun.wait()
    try:
        codes = {run(["-C", str(repo.root), "add", "data"]) for _ in range(5)}
    finally:
        ended.set()
        writer.join()
    assert codes <= {0, 10}
    assert_healthy(Repo(repo.root), tidy=True)
    final = file.read_bytes()
    mlgit(repo.root, "add", "data")
    file.unlink()
    mlgit(repo.root, "checkout")
    assert file.read_bytes() == final
    assert_healthy(Repo(repo.root), bytes_of_user=[final], tidy=True)
