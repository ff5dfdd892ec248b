"""Writing: indexes stay few, what is gone is written again, other users' objects are compared with their ids."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest
from health import StoreFiles
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stores import MakeStore, put, put_large

from mlgit.errors import AuthError, IntegrityError
from mlgit.model.oid import Oid
from mlgit.store.hashing import hash_bytes
from mlgit.store.local import LocalBackend
from mlgit.store.objects import Store, object_name
from mlgit.store.writer import Writer, rewrite

SOMEBODY = 12345


def _indexes(root: Path) -> list[Path]:
    return sorted((root / "index").glob("*.idx"))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 9), min_size=1, max_size=40))
def test_indexes_stay_few_and_nothing_is_forgotten(
    tmp_path_factory: pytest.TempPathFactory, batches: list[int]
) -> None:
    root = tmp_path_factory.mktemp("store")
    texts = [f"{batch}/{number}".encode() for batch, size in enumerate(batches) for number in range(size)]
    left = iter(texts)
    for size in batches:
        put(Store(LocalBackend(root), "blake3", scratch=root / "tmp"), *(next(left) for _ in range(size)))
    assert len(_indexes(root)) <= sum(batches).bit_length()
    fresh = Store(LocalBackend(root), "blake3", scratch=root / "tmp")
    assert [fresh.read(hash_bytes("blake3", text)) for text in texts] == texts
    assert StoreFiles(root, "blake3").problems == []


class _AppendOnly(LocalBackend):
    """A remote whose credentials allow writing and not deleting."""

    def delete(self, names: Iterable[str]) -> None:
        for name in names:
            raise AuthError(f"not allowed to delete {name}")


def test_who_may_not_delete_still_writes_and_does_not_collect(tmp_path: Path, new_store: MakeStore) -> None:
    for text in (b"one", b"two"):
        put(Store(_AppendOnly(tmp_path / "s"), "blake3", scratch=tmp_path / "s" / "tmp"), text)
    assert len(_indexes(tmp_path / "s")) == 2
    oids = [hash_bytes("blake3", text) for text in (b"one", b"two")]
    assert [new_store("s").read(oid) for oid in oids] == [b"one", b"two"]
    with pytest.raises(AuthError):
        rewrite(Store(_AppendOnly(tmp_path / "s"), "blake3", scratch=tmp_path / "s" / "tmp"), set(), repack=set())


def test_a_reader_follows_indexes_that_were_merged(new_store: MakeStore) -> None:
    first = put(new_store("s"), b"one")
    reader = new_store("s")
    assert reader.has(first[0])
    second = put(new_store("s"), b"two")
    third = put(new_store("s"), b"three")
    assert reader.missing([*first, *second, *third]) == set()


@pytest.mark.parametrize("large_too", [False, True])
def test_what_is_gone_is_written_again_and_the_index_mended(
    new_store: MakeStore, tmp_path: Path, large: bytes, large_too: bool
) -> None:
    store = new_store("s")
    put(store, b"lost", b"lost too")
    oid = put_large(store, large)
    for path in (tmp_path / "s" / "packs").iterdir():
        path.unlink()
    if large_too:
        (tmp_path / "s" / object_name(oid)).unlink()
    again = new_store("s")
    assert put(again, b"lost") == [hash_bytes("blake3", b"lost")]
    assert put_large(again, large) == oid
    fresh = new_store("s")
    assert (fresh.read(hash_bytes("blake3", b"lost")), fresh.read(oid)) == (b"lost", large)
    assert fresh.missing([hash_bytes("blake3", b"lost too")]), "no index speaks of the pack that is gone"
    assert StoreFiles(tmp_path / "s", "blake3").problems == []


def test_packs_are_closed_before_their_tables_grow_large(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlgit.store.writer.PACK_LIMIT", 10_000)
    put(store, *(str(number).encode() for number in range(1000)))
    root = store.backend.local
    assert root is not None
    assert all(path.stat().st_size < 11_000 for path in (root / "packs").iterdir())


@pytest.mark.root
@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root may give files away")
@pytest.mark.parametrize("damaged", [False, True])
def test_what_another_user_wrote_is_compared_with_its_id(
    new_store: MakeStore, tmp_path: Path, large: bytes, damaged: bool
) -> None:
    small, big = put(new_store("s"), b"small" * 100)[0], put_large(new_store("s"), large)
    for path in (*(tmp_path / "s" / "packs").iterdir(), tmp_path / "s" / object_name(big)):
        if damaged:
            data = bytearray(path.read_bytes())
            data[20] ^= 1
            path.chmod(0o644)
            path.write_bytes(data)
        os.chown(path, SOMEBODY, SOMEBODY)
    with Writer(new_store("s")) as writer:
        for oid in (small, big):
            if damaged:
                with pytest.raises(IntegrityError, match="damaged"):
                    writer.has(oid.digest)
            else:
                assert writer.has(oid.digest)


def test_the_same_batch_twice_changes_nothing(new_store: MakeStore, tmp_path: Path) -> None:
    put(new_store("s"), b"a", b"b")
    before = {path: path.stat().st_ino for path in (tmp_path / "s").rglob("*") if path.is_file()}
    assert put(new_store("s"), b"b", b"a") == [Oid(hash_bytes("blake3", text)) for text in (b"b", b"a")]
    assert {path: path.stat().st_ino for path in (tmp_path / "s").rglob("*") if path.is_file()} == before
