"""The local index is only a cache: gone, damaged, locked or from another version, every answer stays right."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.fs.fingerprint import evidence, folder_evidence
from mlgit.model import tree as trees
from mlgit.model.oid import Oid
from mlgit.model.tree import Content, Entry
from mlgit.repo import Repo
from mlgit.work.index import FolderRow, StatIndex, signature

Save = Callable[..., Content]
Look = Callable[[str], Content | None]
OID = Oid("blake3:" + "a" * 64)
ROW = FolderRow(b"s" * 16, b"r" * 16, frozenset({"x/", "y", "bad\udcff"}), Content(OID, "tree", 7, 2))
ENTRIES = [Entry("f", "file", OID, 3), Entry("sub", "tree", OID, 4, 1)]
TREE = trees.encode(ENTRIES)


@pytest.fixture
def index(tmp_path: Path) -> StatIndex:
    return StatIndex(tmp_path / "index.db")


@pytest.fixture
def data(repo: Repo, save: Save) -> Path:
    folder = repo.root / "data"
    (folder / "sub").mkdir(parents=True)
    for number in range(40):
        (folder / f"f{number}").write_text(str(number))
    (folder / "sub" / "g").write_text("g")
    save("data")
    return repo.root / ".mlgit" / "index.db"


def test_rows_come_back(index: StatIndex, tmp_path: Path) -> None:
    index.put_folder("data", ROW, TREE, [5, 0])
    index.put_file("one", (1 << 64) - 1, Content(OID, "file", 9))
    index.close()
    again = StatIndex(tmp_path / "index.db")
    assert again.folder("data") == ROW
    assert again.tree("data") == TREE
    assert again.known("data") == {"f": (5, ENTRIES[0])}
    assert again.file("one") == ((1 << 64) - 1, Content(OID, "file", 9))
    assert again.folder("none") is again.file("none") is again.tree("none") is None
    again.drop("data")
    assert again.folder("data") is None
    assert again.file("one") is not None


def test_dropping_takes_what_is_below_and_nothing_else(index: StatIndex) -> None:
    for path in ("a", "a/b", "a/b/c", "a0", "a-b", "ab"):
        index.put_folder(path, ROW, TREE, [5, 0])
    index.drop("a")
    assert [path for path in ("a", "a/b", "a/b/c", "a0", "a-b", "ab") if index.folder(path)] == ["a0", "a-b", "ab"]


NUMBERS = st.integers(0, 2**63 - 1)


def _stat(mode: int, inode: int, size: int, mtime: int, ctime: int) -> os.stat_result:
    times = {"st_mtime_ns": mtime, "st_ctime_ns": ctime}
    return os.stat_result((mode, inode, 0, 0, 0, 0, size, 0, 0, 0), times)


@given(
    st.lists(
        st.tuples(st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=5), NUMBERS),
        max_size=4,
    ),
    st.tuples(st.integers(0, 2**16), NUMBERS, NUMBERS, NUMBERS, NUMBERS),
)
def test_signatures_differ_when_anything_does(
    entries: list[tuple[str, int]], values: tuple[int, int, int, int, int]
) -> None:
    lines = [evidence(name, _stat(0o100644, 1, size, 2, 3)) for name, size in entries]
    found = _stat(*values)
    base = signature(b"r", [*lines, evidence("x", found)])
    others = [_stat(*(one ^ (which == at) for at, one in enumerate(values))) for which in range(len(values))]
    assert base not in {signature(b"r", [*lines, evidence("x", other)]) for other in others}
    assert base != signature(b"q", [*lines, evidence("x", found)])
    assert base != signature(b"r", [*lines, evidence("xx", found)])
    assert base != signature(b"r", [*lines, evidence("x", found), folder_evidence("y", b"d" * 32)])
    assert signature(b"r", [folder_evidence("y", b"d" * 32)]) != signature(b"r", [folder_evidence("y", b"e" * 32)])


def test_every_damaged_byte_costs_time_only(repo: Repo, data: Path, look: Look) -> None:
    truth = look("data")
    with sqlite3.connect(data) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    whole = data.read_bytes()
    for at in range(0, len(whole), max(1, len(whole) // 24)):
        for suffix in ("-wal", "-shm"):
            Path(f"{data}{suffix}").unlink(missing_ok=True)
        spoiled = bytearray(whole)
        spoiled[at] ^= 0x41
        data.write_bytes(spoiled)
        assert look("data") == truth, f"byte {at}"
    for text in (b"", b"not a database at all" * 100, whole[: len(whole) // 2]):
        for suffix in ("-wal", "-shm"):
            Path(f"{data}{suffix}").unlink(missing_ok=True)
        data.write_bytes(text)
        assert look("data") == truth
        assert look("data") == truth


def test_a_changed_row_is_not_believed(repo: Repo, data: Path, look: Look) -> None:
    truth = look("data")
    other = b"blake3:" + b"0" * 64
    with sqlite3.connect(data) as connection:
        for path, row in connection.execute("SELECT path, row FROM folders").fetchall():
            assert b"blake3:" in row
            at = row.index(b"blake3:")
            connection.execute("UPDATE folders SET row=? WHERE path=?", (row[:at] + other + row[at + 71 :], path))
    connection.close()
    assert look("data") == truth


def test_another_version_is_made_anew(repo: Repo, data: Path, look: Look) -> None:
    truth = look("data")
    with sqlite3.connect(data) as connection:
        connection.execute("PRAGMA user_version=1")
    connection.close()
    assert look("data") == truth
    with sqlite3.connect(data) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() != (1,)
    connection.close()


def test_while_another_process_writes_it_answers_come_from_memory(repo: Repo, data: Path) -> None:
    """`status` beside a long `add`: the trees of what changed must be at hand, though the file is locked."""
    other = sqlite3.connect(data, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        fresh = Repo(repo.root)
        (repo.root / "data" / "f1").write_text("changed")
        path = fresh.path("data", fresh.root)
        content = fresh.workspace.identify(path)
        assert content is not None
        assert fresh.workspace.present_tree(content.oid, path).files == 41
    finally:
        other.execute("ROLLBACK")
        other.close()


def test_a_link_in_its_place_is_refused(repo: Repo, data: Path, tmp_path: Path, look: Look) -> None:
    victim = tmp_path / "victim.db"
    victim.write_bytes(b"precious" * 100)
    os.unlink(data)
    data.symlink_to(victim)
    look("data")
    assert victim.read_bytes() == b"precious" * 100
