"""Collection: what is kept stays through every step, what is dead goes, what is young or unknown is left alone."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from health import StoreFiles
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stores import MakeStore, put, put_large

from mlgit.errors import IntegrityError
from mlgit.model.oid import Oid
from mlgit.store import fsck, gc
from mlgit.store.local import LocalBackend
from mlgit.store.objects import Store


def _age(store: Store, seconds: float = 3 * 3600) -> None:
    root = store.backend.local
    assert root is not None
    for path in root.rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - seconds,) * 2)


def _collect(store: Store, *kept: Oid, grace: float = gc.GRACE_SECONDS) -> gc.Sweep:
    sweep = gc.plan(store, kept, grace=grace)
    gc.apply(store, sweep)
    return sweep


def _sound(store: Store) -> None:
    root = store.backend.local
    assert root is not None
    assert StoreFiles(root, "blake3").problems == []


def test_dead_objects_go_and_kept_ones_stay(store: Store, new_store: MakeStore, large: bytes) -> None:
    kept, dead = put(store, b"kept", b"dead")
    big, gone = put_large(store, large), put_large(store, large[::-1])
    _age(store)
    sweep = _collect(store, kept, big)
    assert set(sweep.dead) == {dead, gone}
    again = new_store("store")
    assert (again.read(kept), again.read(big)) == (b"kept", large)
    assert again.missing([kept, dead, big, gone]) == {dead, gone}
    _sound(store)


def test_a_pack_with_some_dead_objects_is_written_anew(store: Store, new_store: MakeStore, tmp_path: Path) -> None:
    texts = [os.urandom(1000) for _ in range(20)]
    oids = put(store, *texts)
    _age(store)
    before = sum(path.stat().st_size for path in (tmp_path / "store" / "packs").iterdir())
    _collect(store, *oids[::2])
    assert sum(path.stat().st_size for path in (tmp_path / "store" / "packs").iterdir()) < before * 0.6
    again = new_store("store")
    assert [again.read(oid) for oid in oids[::2]] == texts[::2]
    assert len(list((tmp_path / "store" / "index").iterdir())) == 1
    _sound(store)


def test_a_pack_that_is_mostly_alive_stays_as_it_is(store: Store, new_store: MakeStore, tmp_path: Path) -> None:
    oids = put(store, *(os.urandom(600_000) for _ in range(10)))
    _age(store)
    before = list((tmp_path / "store" / "packs").iterdir())
    sweep = _collect(store, *oids[2:])
    assert (sweep.dead, sweep.left, sweep.left_size) == ({}, 2, 1_200_000)
    assert list((tmp_path / "store" / "packs").iterdir()) == before
    sweep = _collect(new_store("store"), *oids[6:])
    assert (set(sweep.dead), sweep.left) == (set(oids[:6]), 0)
    assert new_store("store").missing(oids) == set(oids[:6])
    _sound(store)


def test_many_small_packs_become_one(store: Store, new_store: MakeStore, tmp_path: Path) -> None:
    oids = [put(store, str(number).encode())[0] for number in range(40)]
    _age(store)
    sweep = _collect(store, *oids)
    assert (sweep.dead, len(sweep.rewrite)) == ({}, 40)
    assert len(list((tmp_path / "store" / "packs").iterdir())) == 1
    assert [new_store("store").read(oid) for oid in oids] == [str(number).encode() for number in range(40)]
    _sound(store)


def test_what_is_young_stays(store: Store) -> None:
    old = put(store, b"old")[0]
    _age(store)
    young = put(store, b"young")[0]
    sweep = _collect(store)
    assert (set(sweep.dead), sweep.young) == ({old}, 1)
    assert store.read(young) == b"young"
    assert _collect(store, grace=-1).dead.keys() == {young}


@pytest.mark.parametrize("hours", [-48, 48])
def test_a_clock_that_is_wrong_deletes_nothing_young(store: Store, hours: float) -> None:
    oid = put(store, b"x")[0]
    sweep = gc.plan(store, [], now=time.time() + hours * 3600)
    assert (oid in sweep.dead) == (hours > 0)  # only a clock that runs ahead can see it as old
    _age(store, hours * 3600)
    assert (oid in gc.plan(store, []).dead) == (hours > 0)


def test_orphans_go_when_old(store: Store, tmp_path: Path) -> None:
    kept = put(store, b"kept")[0]
    orphan = tmp_path / "store" / "packs" / ("0" * 64 + ".pack")
    orphan.write_bytes(b"an upload that was cut off")
    assert _collect(store, kept).delete == set()
    assert orphan.exists()
    _age(store)
    assert _collect(store, kept).delete == {f"packs/{orphan.name}"}
    assert not orphan.exists()
    assert store.read(kept) == b"kept"


def test_an_object_in_two_packs_survives(store: Store, new_store: MakeStore) -> None:
    """Two writers that did not know of each other saved the same object."""
    other = new_store("store")
    assert list(other.catalog) == []
    first, again = put(store, b"same", b"first"), put(other, b"same", b"second")
    assert first[0] == again[0]
    _age(store)
    for kept in ([first[0]], [first[0], first[1]], [again[0], again[1]]):
        sweep = gc.plan(new_store("store"), kept)
        assert not set(kept) & set(sweep.dead)
    _collect(new_store("store"), first[0], again[1])
    assert [new_store("store").read(oid) for oid in (first[0], again[1])] == [b"same", b"second"]
    _sound(store)


def test_nothing_is_deleted_when_a_kept_object_is_damaged(store: Store, tmp_path: Path) -> None:
    kept, _ = put(store, b"kept", b"dead")
    (pack,) = (tmp_path / "store" / "packs").iterdir()
    pack.chmod(0o644)
    data = bytearray(pack.read_bytes())
    data[8] ^= 1  # the first byte of what is kept
    pack.write_bytes(data)
    _age(store)
    before = sorted(path for path in (tmp_path / "store").rglob("*") if path.is_file())
    with pytest.raises(IntegrityError):
        _collect(store, kept)
    assert sorted(path for path in (tmp_path / "store").rglob("*") if path.is_file()) == before


def test_planning_changes_nothing(store: Store, tmp_path: Path) -> None:
    put(store, b"dead")
    _age(store)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*")}
    assert gc.plan(store, []).dead
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*")} == before


class Dying(LocalBackend):
    """A folder whose changes stop after a number of them, as when the process is killed."""

    left = 0

    def _live(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt

    def put(self, *arguments: object, **options: object) -> None:
        self._live()
        super().put(*arguments, **options)  # type: ignore[arg-type]

    def put_bytes(self, name: str, data: bytes) -> None:
        self._live()
        super().put_bytes(name, data)

    def delete(self, names: object) -> None:
        for name in names:  # type: ignore[attr-defined]
            self._live()
            super().delete([name])


def test_a_collection_killed_anywhere_keeps_what_is_kept(new_store: MakeStore, tmp_path: Path, large: bytes) -> None:
    for step in range(12):
        name = f"store{step}"
        store = new_store(name)
        kept, _, *more = put(store, b"kept", b"dead", b"more")
        put(store, b"all dead")
        big = put_large(store, large)
        put_large(store, large[::-1])
        _age(store)
        backend = Dying(tmp_path / name)
        backend.left = step
        dying = Store(backend, "blake3", scratch=tmp_path / name / "tmp")
        try:
            _collect(dying, kept, big, *more)
            finished = True
        except KeyboardInterrupt:
            finished = False
        again = new_store(name)
        assert [again.read(oid) for oid in (kept, big, *more)] == [b"kept", large, b"more"]
        _age(again)  # what the killed one left is old by now, and goes or is adopted
        assert len(_collect(new_store(name), kept, big, *more).dead) <= 3
        again = new_store(name)
        assert [again.read(oid) for oid in (kept, big, *more)] == [b"kept", large, b"more"]
        _sound(new_store(name))
    assert finished


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.lists(st.integers(0, 30), max_size=6), st.frozensets(st.integers(0, 30))), max_size=5))
def test_any_history_of_writes_and_collections(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[list[int], frozenset[int]]]
) -> None:
    root = tmp_path_factory.mktemp("history")
    alive: dict[Oid, bytes] = {}
    for numbers, drop in steps:
        store = Store(LocalBackend(root), "blake3", scratch=root / "tmp")
        texts = [str(number).encode() * 50 for number in numbers]
        alive |= dict(zip(put(store, *texts), texts, strict=True))
        gone = [oid for oid, text in alive.items() if int(text[: len(text) // 50]) in drop]
        for oid in gone:
            del alive[oid]
        _collect(Store(LocalBackend(root), "blake3", scratch=root / "tmp"), *alive, grace=-1)
        fresh = Store(LocalBackend(root), "blake3", scratch=root / "tmp")
        assert {oid: fresh.read(oid) for oid in alive} == alive
        assert fresh.missing(gone) == set(gone)
        assert StoreFiles(root, "blake3").problems == []


def test_what_a_lost_index_named_stays_for_it_to_be_made_anew(
    store: Store, new_store: MakeStore, large: bytes, tmp_path: Path
) -> None:
    small, dead = put(store, b"kept"), put(new_store("store"), b"dead")
    big, gone = put_large(store, large), put_large(new_store("store"), large[::-1])
    for path in (tmp_path / "store" / "index").iterdir():
        path.unlink()
    _age(store)
    sweep = _collect(new_store("store"), *small, big)
    assert sweep.unnamed == 2
    fresh = new_store("store")
    fsck.adopt(fresh)
    assert (fresh.read(small[0]), fresh.read(big)) == (b"kept", large)
    assert fresh.missing([*dead, gone]) == {*dead, gone}
    _sound(fresh)
