"""The catalog: index files are read once, kept copies are checked, and merged ones are followed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from stores import MakeStore, put

from mlgit.errors import IntegrityError
from mlgit.store.backend import Stat
from mlgit.store.catalog import Catalog
from mlgit.store.hashing import hash_bytes
from mlgit.store.local import LocalBackend
from mlgit.store.objects import Store
from mlgit.store.writer import rewrite


class Counting(LocalBackend):
    """A folder that counts reads."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.reads: list[str] = []

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        self.reads.append(name)
        return super().read(name, offset, length)


def test_index_files_are_read_once_and_for_good(store: Store, tmp_path: Path) -> None:
    put(store, b"one")
    backend = Counting(tmp_path / "store")
    catalog = Catalog(backend, tmp_path / "kept")
    assert catalog.find(hash_bytes("blake3", b"one").digest)
    assert catalog.find(hash_bytes("blake3", b"none").digest) is None
    assert len(backend.reads) == 1
    assert Catalog(backend, tmp_path / "kept").find(hash_bytes("blake3", b"one").digest)
    assert len(backend.reads) == 1


@pytest.mark.parametrize("spoil", [lambda d: d[:-1], lambda d: b"", lambda d: d[:20] + b"x" + d[21:]])
def test_a_spoiled_copy_is_fetched_again(store: Store, tmp_path: Path, spoil: object) -> None:
    put(store, b"one")
    Catalog(store.backend, tmp_path / "kept").refresh()
    (copy,) = (tmp_path / "kept" / "index").iterdir()
    good = copy.read_bytes()
    copy.write_bytes(spoil(good))  # type: ignore[operator]
    assert Catalog(store.backend, tmp_path / "kept").find(hash_bytes("blake3", b"one").digest)
    assert copy.read_bytes() == good


def test_a_copy_that_lies_is_not_believed(store: Store, new_store: MakeStore, tmp_path: Path) -> None:
    """A whole and valid index of something else, put in its place, as a hostile clone could."""
    put(store, b"one")
    put(new_store("other"), b"forged")
    Catalog(store.backend, tmp_path / "kept").refresh()
    (copy,) = (tmp_path / "kept" / "index").iterdir()
    (other,) = (tmp_path / "other" / "index").iterdir()
    copy.write_bytes(other.read_bytes())
    catalog = Catalog(store.backend, tmp_path / "kept")
    assert catalog.find(hash_bytes("blake3", b"forged").digest) is None
    assert catalog.find(hash_bytes("blake3", b"one").digest)


def test_a_damaged_index_is_named(store: Store, new_store: MakeStore, tmp_path: Path) -> None:
    put(store, b"one")
    (index,) = (tmp_path / "store" / "index").iterdir()
    index.chmod(0o644)
    index.write_bytes(index.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match=index.name) as caught:
        new_store("store").catalog.refresh()
    assert "fsck --repair" in (caught.value.hint or "")
    assert new_store("store").catalog.damaged() == [f"index/{index.name}"]
    remote = Store(store.backend, "blake3", scratch=tmp_path, remote="storage")
    with pytest.raises(IntegrityError) as caught:
        remote.catalog.refresh()
    assert "fsck -r storage --repair" in (caught.value.hint or "")


class Merging(LocalBackend):
    """A folder in which somebody merges all indexes into one between the list and the read."""

    merged = False

    def list(self, prefix: str) -> Iterator[Stat]:
        found = list(super().list(prefix))
        if not self.merged:
            self.merged = True
            store = Store(LocalBackend(self.root), "blake3", scratch=self.root / "tmp")
            rewrite(store, {digest for digest, _ in store.catalog}, repack=set())
        return iter(found)


def test_an_index_merged_while_it_is_read_is_followed(store: Store, tmp_path: Path) -> None:
    put(store, b"one")
    put(store, b"two")
    catalog = Catalog(Merging(tmp_path / "store"))
    assert {hash_bytes("blake3", text).digest for text in (b"one", b"two")} <= {digest for digest, _ in catalog}
    assert len(list((tmp_path / "store" / "index").iterdir())) == 1


def test_what_went_with_its_index_is_forgotten(store: Store, new_store: MakeStore, tmp_path: Path) -> None:
    (one,) = put(store, b"one")
    reader = new_store("store")
    assert reader.has(one)
    for path in (tmp_path / "store" / "index").iterdir():
        path.unlink()
    assert reader.missing([one]) == set()  # known, and not asked again
    reader.catalog.refresh()
    assert reader.missing([one]) == {one}


def test_half_an_index_is_not_taken_in(store: Store, tmp_path: Path) -> None:
    put(store, b"one")
    (tmp_path / "store" / "index" / ".x.tmp").write_bytes(b"half")
    (tmp_path / "store" / "index" / "note.txt").write_bytes(b"not an index")
    catalog = Catalog(LocalBackend(tmp_path / "store"))
    assert len(list(catalog)) == 1
