"""The store: batches appear whole or not at all, reads are verified, damage and lies are found."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest
from blake3 import blake3
from stores import MakeStore, put, put_large, put_tree

from mlgit.errors import IntegrityError, InvalidError, MissingError, UnsafeError
from mlgit.model import tree as trees
from mlgit.model.oid import Oid
from mlgit.model.tree import Entry
from mlgit.store.hashing import hash_bytes, hash_file
from mlgit.store.indexfile import IndexBuilder, PackEntry, index_name
from mlgit.store.objects import LARGE, PACKED_LIMIT, Store, object_name, pack_name
from mlgit.store.pack import RAW, Place
from mlgit.store.writer import Writer, rewrite


def _files(store: Store, prefix: str) -> list[Path]:
    root = store.backend.local
    assert root is not None
    return sorted(path for path in (root / prefix).rglob("*") if path.is_file())


def _change(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


@pytest.mark.parametrize("algorithm", ["blake3", "sha256"])
def test_what_goes_in_comes_out(tmp_path: Path, algorithm: str, large: bytes) -> None:
    from mlgit.store.local import LocalBackend

    store = Store(LocalBackend(tmp_path / "s"), algorithm, scratch=tmp_path / "s" / "tmp")
    with Writer(store) as writer:
        small = [Oid.from_digest(algorithm, writer.add(data)) for data in (b"", b"a", b"a" * 5000)]
        temp = store.temporary()
        temp.write_bytes(large)
        oid = hash_file(algorithm, temp)
        writer.add_file(oid, temp, move=False)
        assert not _files(store, "index"), "nothing is in the store before the batch is committed"
    again = Store(LocalBackend(tmp_path / "s"), algorithm, scratch=tmp_path / "s" / "tmp")
    assert [again.read(one) for one in small] == [b"", b"a", b"a" * 5000]
    assert again.read(oid) == large
    assert {one: bytes(data) for one, data in again.read_many([oid, *small])}[oid] == large
    assert again.verified_file(oid).read_bytes() == large
    assert temp.exists()
    assert all(path.stat().st_mode & 0o777 == 0o444 for path in _files(store, "objects") + _files(store, "packs"))


def test_a_batch_that_fails_leaves_nothing(store: Store) -> None:
    with pytest.raises(RuntimeError), Writer(store) as writer:
        writer.add(b"x")
        raise RuntimeError
    assert not store.has(hash_bytes("blake3", b"x"))
    assert _files(store, "packs") == _files(store, "index") == _files(store, "tmp") == []


def test_the_same_content_is_kept_once(store: Store, large: bytes) -> None:
    put(store, b"x", b"x")
    put_large(store, large)
    before = _files(store, "")
    put(store, b"x")
    put_large(store, large)
    assert _files(store, "") == before


def test_two_open_stores_see_each_other(new_store: MakeStore) -> None:
    first, second = new_store("s"), new_store("s")
    (one,) = put(first, b"one")
    assert second.read(one) == b"one"
    (two,) = put(second, b"two")
    assert first.missing([one, two]) == set()


@pytest.mark.parametrize("spoil", [lambda d: d[:20], lambda d: b"", lambda d: d[:9] + bytes([d[9] ^ 1]) + d[10:]])
@pytest.mark.parametrize("kind", ["packs", "objects"])
def test_bit_rot_is_never_given_out(store: Store, large: bytes, spoil: object, kind: str) -> None:
    small, oid = put(store, b"some small text" * 10)[0], put_large(store, large)
    (path,) = _files(store, kind)
    found = path.stat()
    _change(path, spoil(path.read_bytes()))  # type: ignore[operator]
    path.chmod(found.st_mode)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    if kind == "objects":
        for read in (lambda: store.read(oid), lambda: store.verified_file(oid)):
            with pytest.raises(IntegrityError, match="damaged"):
                read()
    else:
        for read in (lambda: store.read(small), lambda: list(store.read_many([small]))):
            with pytest.raises(IntegrityError, match="damaged"):
                read()


def test_a_file_that_is_gone_is_missing(store: Store, large: bytes) -> None:
    small, oid = put(store, b"x")[0], put_large(store, large)
    for path in _files(store, "packs") + _files(store, "objects"):
        path.unlink()
    for one in (small, oid):
        with pytest.raises(MissingError):
            store.read(one)
    with pytest.raises(MissingError):
        list(store.read_many([small]))


def test_swapped_objects_are_seen(store: Store, large: bytes) -> None:
    first, second = put_large(store, large), put_large(store, large[::-1])
    root = store.backend.local
    assert root is not None
    _change(root / object_name(first), large[::-1])
    with pytest.raises(IntegrityError):
        store.verified_file(first)
    assert store.read(second) == large[::-1]


def test_an_id_of_another_algorithm_is_refused(store: Store) -> None:
    (oid,) = put(store, b"x")
    with pytest.raises(InvalidError, match="sha256"):
        store.read(Oid(f"sha256:{oid.hex}"))


def test_a_store_of_another_format_is_refused(store: Store, new_store: MakeStore, tmp_path: Path) -> None:
    put(store, b"x")
    file = tmp_path / "store" / "store.yaml"
    assert "version: 1" in file.read_text()
    for text in ("version: 2\nhash: blake3\n", "version: 1\nhash: sha256\n", "version: one\n", "\0"):
        _change(file, text.encode())
        with pytest.raises(InvalidError, match="store"):
            new_store("store").check_format()


def _publish(store: Store, oid: Oid, place: Place) -> None:
    index = IndexBuilder()
    index.add(oid.digest, place, PackEntry(place.pack, 1, 100) if place.pack else None)
    data = index.encode()
    store.backend.put_bytes(index_name(data), data)


@pytest.mark.parametrize("slot", [(RAW, 1 << 62, 5, 5), (RAW, 8, 1 << 62, 1 << 62), (9, 8, 3, 3), (RAW, 0, 0, 0)])
def test_an_index_that_lies_is_found_in_bounded_memory(store: Store, slot: tuple[int, int, int, int]) -> None:
    put(store, b"abc")
    (pack,) = [path.stem for path in _files(store, "packs")]
    oid = hash_bytes("blake3", b"lie")
    _publish(store, oid, Place(pack, *slot))
    tracemalloc.start()
    for read in (lambda: store.read(oid), lambda: list(store.read_many([oid]))):
        with pytest.raises(IntegrityError):
            read()
    assert tracemalloc.get_traced_memory()[1] < PACKED_LIMIT
    tracemalloc.stop()


def test_an_index_under_another_name_is_refused(store: Store, new_store: MakeStore) -> None:
    put(store, b"abc")
    (index,) = _files(store, "index")
    index.rename(index.with_name("0" * 64 + ".idx"))
    with pytest.raises(IntegrityError, match="index"):
        new_store("store").has(hash_bytes("blake3", b"abc"))


def test_what_is_no_tree_is_not_loaded(store: Store) -> None:
    (oid,) = put(store, b"\xff\xfe")
    with pytest.raises(InvalidError):
        store.tree(oid)
    data = trees.HEADER + f"file {oid} 1 ..\n".encode()
    (hostile,) = put(store, data)
    with pytest.raises(UnsafeError):
        store.tree(hostile)


def test_a_huge_file_called_a_tree_is_not_read(store: Store) -> None:
    oid = Oid.from_digest("blake3", blake3(b"pretend").digest())
    _publish(store, oid, Place(None, RAW, 0, PACKED_LIMIT + 1, PACKED_LIMIT + 1))
    with pytest.raises(InvalidError, match="no folder's tree"):
        store.tree(oid)


def test_packs_are_split_and_read_in_runs(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlgit.store.writer.PACK_LIMIT", 100_000)
    monkeypatch.setattr("mlgit.store.catalog.READ_LIMIT", 30_000)
    monkeypatch.setattr("mlgit.store.openpack._BUFFER", 7_000)
    texts = [os.urandom(997) for _ in range(400)]
    oids = put(store, *texts)
    assert len(_files(store, "packs")) > 3
    assert {oid: bytes(data) for oid, data in store.read_many(oids)} == dict(zip(oids, texts, strict=True))


def test_an_object_that_moved_to_another_pack_is_found(store: Store, new_store: MakeStore) -> None:
    kept, _ = put(store, b"kept", b"gone")
    reader = new_store("store")
    assert reader.read(kept) == b"kept"
    (old,) = _files(store, "packs")
    rewrite(store, {kept.digest}, repack={pack_name(old.stem)})
    old.unlink()
    assert reader.read(kept) == b"kept"
    late = new_store("store")
    assert [bytes(data) for _, data in late.read_many([kept])] == [b"kept"]


def test_descriptors_are_given_back(store: Store, large: bytes) -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    content = put_tree(store, {"a": b"a", "large": large})
    store.tree(content.oid)
    for _ in store.read_many([entry.oid for entry in store.tree(content.oid).entries]):
        pass
    with pytest.raises(RuntimeError), Writer(store) as writer:
        writer.add(b"x")
        raise RuntimeError
    assert not before or len(os.listdir("/proc/self/fd")) == before


def test_large_means_a_file_of_its_own(store: Store, large: bytes) -> None:
    content = put_tree(store, {"small": b"x" * (LARGE - 1), "large": large})
    entries: tuple[Entry, ...] = store.tree(content.oid).entries
    assert [store.linkable(entry.oid) is None for entry in entries] == [False, True]
