"""Checking and mending a store: every damage is found, what is whole survives, an index grows again from its packs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from health import StoreFiles
from stores import MakeStore, put, put_large

from mlgit.errors import IntegrityError
from mlgit.store import fsck
from mlgit.store.local import LocalBackend
from mlgit.store.objects import Store
from mlgit.store.pack import FOOTER_SIZE

SMALL = [b"one" * 100, b"two" * 100, b"three" * 100]


@pytest.fixture
def filled(store: Store, large: bytes) -> Store:
    put(store, *SMALL)
    put_large(store, large)
    return store


def _only(store: Store, folder: str) -> Path:
    root = store.backend.local
    assert root is not None
    (found,) = [path for path in (root / folder).rglob("*") if path.is_file()]
    found.chmod(0o644)
    return found


def _flip(path: Path, at: int) -> None:
    found = path.stat()
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def test_a_sound_store_passes(filled: Store) -> None:
    for full in (False, True):
        found = fsck.check(filled, full=full)
        assert (found.checked, found.damaged, found.files) == (4, {}, set())


@pytest.mark.parametrize(
    ("damage", "quick", "full"),
    [
        (lambda store: _flip(_only(store, "packs"), 10), 0, 1),
        (lambda store: _flip(_only(store, "objects"), 10), 0, 1),
        (lambda store: os.truncate(_only(store, "packs"), 400), 2, 2),
        (lambda store: os.truncate(_only(store, "objects"), 400), 1, 1),
        (lambda store: os.truncate(_only(store, "objects"), 0), 1, 1),
        (lambda store: _only(store, "packs").unlink(), 3, 3),
        (lambda store: _only(store, "objects").unlink(), 1, 1),
    ],
)
def test_damage_is_found_and_set_aside(
    filled: Store, new_store: MakeStore, damage: Callable[[Store], None], quick: int, full: int
) -> None:
    damage(filled)
    assert len(fsck.check(new_store("store"), full=False).damaged) == quick
    store = new_store("store")
    found = fsck.check(store, full=True)
    assert len(found.damaged) == full
    moved = fsck.set_aside(store, found)
    assert all(Path(path).exists() for path in moved)
    assert store.missing(found.damaged) == set(found.damaged)
    again = fsck.check(new_store("store"), full=True)
    assert (again.checked, again.damaged) == (4 - full, {})
    assert StoreFiles(Path(filled.backend.url), "blake3").problems == []


def test_the_same_object_can_be_saved_again_after_it_was_set_aside(
    filled: Store, new_store: MakeStore, large: bytes
) -> None:
    _flip(_only(filled, "objects"), 10)
    _flip(_only(filled, "packs"), 10)
    store = new_store("store")
    fsck.set_aside(store, fsck.check(store, full=True))
    put(store, *SMALL)
    put_large(store, large)
    assert fsck.check(new_store("store"), full=True).damaged == {}


def test_a_remote_is_checked_piece_by_piece(filled: Store, tmp_path: Path) -> None:
    class Distant(LocalBackend):
        @property
        def local(self) -> None:  # type: ignore[override]
            return None

    store = Store(Distant(tmp_path / "store"), "blake3", scratch=tmp_path / "tmp")
    assert fsck.check(store, full=True).damaged == {}
    _flip(_only(filled, "objects"), 77)
    assert len(fsck.check(store, full=True).damaged) == 1
    assert len(fsck.set_aside(store, fsck.check(store, full=True))) == 1, "a damaged file is deleted there"
    again = fsck.check(Store(Distant(tmp_path / "store"), "blake3", scratch=tmp_path / "tmp"), full=True)
    assert (again.checked, again.damaged) == (3, {})


@pytest.mark.parametrize(
    "spoil", [lambda path: _flip(path, 70), lambda path: path.unlink(), lambda path: os.truncate(path, 9)]
)
def test_indexes_grow_again_from_what_is_there(
    store: Store, new_store: MakeStore, large: bytes, spoil: Callable[[Path], None]
) -> None:
    small = put(store, *SMALL)
    spoil(_only(store, "index"))
    (tree,) = put(new_store("other"), b"other")
    fresh = new_store("store")
    fsck.adopt(fresh)
    big = put_large(fresh, large)
    again = new_store("store")
    assert [again.read(oid) for oid in (*small, big)] == [*SMALL, large]
    assert again.missing([tree]) == {tree}
    assert fsck.check(again, full=True).damaged == {}


def test_files_that_are_none_of_ours_are_let_alone(filled: Store, new_store: MakeStore, tmp_path: Path) -> None:
    for name in ("objects/blake3/README", "objects/blake3/ab/notes.txt", "packs/notes.txt"):
        (tmp_path / "store" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "store" / name).write_text("notes")
    assert fsck.adopt(new_store("store")) == []
    assert fsck.check(new_store("store"), full=True).checked == 4


@pytest.mark.parametrize("field", [8, 16])
def test_a_damaged_footer_is_found_whatever_it_claims(filled: Store, new_store: MakeStore, field: int) -> None:
    path = _only(filled, "packs")
    _flip(path, path.stat().st_size - FOOTER_SIZE + field)  # an offset, or a number of rows, beyond all bounds
    found = fsck.check(new_store("store"), full=True)
    assert (found.damaged, found.tables) == ({}, {f"packs/{path.name}"})
    assert fsck.adopt(new_store("store")) == []


def test_a_damaged_index_stops_everything_but_repair(filled: Store, new_store: MakeStore, tmp_path: Path) -> None:
    for path in (tmp_path / "store" / "index").iterdir():
        path.chmod(0o644)
        _flip(path, 20)
    with pytest.raises(IntegrityError, match="index"):
        fsck.check(new_store("store"), full=False)
    moved = fsck.adopt(new_store("store"))
    assert len(moved) == 2
    assert fsck.check(new_store("store"), full=True).checked == 4


def test_what_is_adopted_is_still_verified(filled: Store, new_store: MakeStore, tmp_path: Path) -> None:
    for path in (tmp_path / "store" / "index").iterdir():
        path.unlink()
    _flip(_only(filled, "packs"), 10)
    stray = tmp_path / "store" / "packs" / ("0" * 64 + ".pack")
    stray.write_bytes(b"no pack at all")
    store = new_store("store")
    fsck.adopt(store)
    found = fsck.check(store, full=True)
    assert (found.checked, len(found.damaged)) == (4, 1)
