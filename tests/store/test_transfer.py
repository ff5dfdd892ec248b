"""Push and pull between stores: verified on the way, the index last, complete or not at all."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from health import StoreFiles
from stores import MakeStore, put, put_tree

from mlgit.errors import IntegrityError, InvalidError, MissingError, RemoteError
from mlgit.model import tree as trees
from mlgit.model.oid import Oid
from mlgit.model.tree import Content, Entry
from mlgit.store import transfer
from mlgit.store.backend import Progress
from mlgit.store.local import LocalBackend
from mlgit.store.objects import Store
from mlgit.store.writer import Writer


class Distant(LocalBackend):
    """A folder behind a network: no links, and `spoil` may change what is read."""

    spoil: Callable[[str, bytes], bytes] = staticmethod(lambda name, data: data)
    puts: list[str]

    @property
    def local(self) -> None:  # type: ignore[override]
        return None

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self.spoil(name, super().read(name, offset, length))

    def download(self, name: str, target: Path, progress: Progress | None = None) -> None:
        super().download(name, target, progress)
        target.write_bytes(self.spoil(name, target.read_bytes()))


@pytest.fixture
def distant(tmp_path: Path) -> tuple[Distant, Store]:
    backend = Distant(tmp_path / "remote")
    return backend, Store(backend, "blake3", scratch=tmp_path / "cache" / "tmp", kept=tmp_path / "kept")


def _oid(digest: bytes) -> Oid:
    return Oid.from_digest("blake3", digest)


def _sound(root: Path) -> None:
    assert StoreFiles(root, "blake3").problems == []


def test_there_and_back(new_store: MakeStore, distant: tuple[Distant, Store], large: bytes, tmp_path: Path) -> None:
    cache, clone = new_store("cache"), new_store("clone")
    content = put_tree(cache, {"a": b"a", "b": b"b", "large": large})
    assert transfer.push([content], cache, distant[1]).objects == 4
    assert transfer.push([content], cache, distant[1]).objects == 0
    done = transfer.pull([content], distant[1], clone)
    assert (done.objects, done.known) == (4, 0)
    assert transfer.pull([content], distant[1], clone).objects == 0
    assert {clone.read(entry.oid) for entry in clone.tree(content.oid).entries} == {b"a", b"b", large}
    _sound(tmp_path / "remote")
    _sound(tmp_path / "clone")


def test_the_index_goes_last(new_store: MakeStore, large: bytes, tmp_path: Path) -> None:
    class Recording(Distant):
        def put(self, name: str, source: Path, progress: Progress | None = None, *, move: bool = False) -> None:
            order.append(name)
            super().put(name, source, progress, move=move)

        def put_bytes(self, name: str, data: bytes) -> None:
            order.append(name)
            super().put_bytes(name, data)

    order: list[str] = []
    cache = new_store("cache")
    content = put_tree(cache, {"a": b"a", "large": large})
    transfer.push([content], cache, Store(Recording(tmp_path / "r"), "blake3", scratch=tmp_path / "cache" / "tmp"))
    assert [name.split("/")[0].split(".")[0] for name in order] == ["store", "objects", "packs", "index"]


SPOILS = {
    "flipped": lambda data: bytes([data[0] ^ 1]) + data[1:],
    "cut": lambda data: data[:-3],
    "empty": lambda data: b"",
    "longer": lambda data: data + b"x",
    "other": lambda data: b"y" * len(data),
}


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("prefix", ["packs/", "objects/"])
def test_a_lying_remote_gets_nothing_into_the_cache(
    new_store: MakeStore, distant: tuple[Distant, Store], large: bytes, tmp_path: Path, spoil: str, prefix: str
) -> None:
    cache, clone = new_store("cache"), new_store("clone")
    content = put_tree(cache, {"a": b"a" * 50, "large": large})
    transfer.push([content], cache, distant[1])
    distant[0].spoil = lambda name, data: SPOILS[spoil](data) if name.startswith(prefix) else data  # type: ignore[method-assign]
    if spoil == "longer" and prefix == "packs/":
        return  # bytes after those asked for are never looked at
    with pytest.raises(IntegrityError):
        transfer.pull([content], distant[1], clone)
    clone.catalog.refresh()
    assert not clone.has(next(one.oid for one in cache.tree(content.oid).entries if one.name == "large"))
    _sound(tmp_path / "clone")
    distant[0].spoil = lambda name, data: data  # type: ignore[method-assign]
    transfer.pull([content], distant[1], clone)
    assert clone.tree(content.oid).size == content.size


def test_a_spoiled_remote_index_is_refused(
    new_store: MakeStore, distant: tuple[Distant, Store], tmp_path: Path
) -> None:
    cache = new_store("cache")
    content = put_tree(cache, {"a": b"a"})
    transfer.push([content], cache, distant[1])
    distant[0].spoil = lambda name, data: data[:-1] if name.startswith("index/") else data  # type: ignore[method-assign]
    fresh = Store(distant[0], "blake3", scratch=tmp_path / "clone" / "tmp", kept=tmp_path / "kept2")
    with pytest.raises(IntegrityError):
        transfer.pull([content], fresh, new_store("clone"))


def test_a_remote_that_claims_what_it_has_not(
    new_store: MakeStore, distant: tuple[Distant, Store], large: bytes, tmp_path: Path
) -> None:
    cache = new_store("cache")
    content = put_tree(cache, {"a": b"a", "large": large})
    transfer.push([content], cache, distant[1])
    for kind in ("packs", "objects"):
        for path in (tmp_path / "remote" / kind).rglob("*"):
            if path.is_file():
                path.unlink()
        with pytest.raises(MissingError):
            transfer.pull([content], distant[1], new_store(f"clone-{kind}"))


def test_missing_everywhere_is_said_before_anything_is_published(new_store: MakeStore, tmp_path: Path) -> None:
    cache, remote = new_store("cache"), new_store("remote")
    (tree,) = put(cache, trees.encode([Entry("a", "file", Oid("blake3:" + "0" * 64), 1)]))
    content = Content(tree, "tree", 1, 1)
    for move in (lambda: transfer.push([content], cache, remote), lambda: transfer.pull([content], cache, remote)):
        with pytest.raises(MissingError, match="0000"):
            move()
    assert not list((tmp_path / "remote" / "index").glob("*.idx")) or not remote.missing([tree])


def test_what_only_the_remote_has_needs_no_push(new_store: MakeStore) -> None:
    """After a partial pull, a changed output can be pushed while others were never fetched."""
    cache, remote, clone = new_store("cache"), new_store("remote"), new_store("clone")
    whole, part = put_tree(cache, {"a": b"a"}), put_tree(cache, {"b": b"b"})
    transfer.push([whole, part], cache, remote)
    transfer.pull([part], remote, clone)
    new = put_tree(clone, {"c": b"c"})
    assert transfer.push([whole, part, new], clone, remote).objects == 2


def test_a_damaged_cache_does_not_reach_the_remote(new_store: MakeStore, large: bytes, tmp_path: Path) -> None:
    cache, remote = new_store("cache"), new_store("remote")
    content = put_tree(cache, {"a": b"a", "large": large})
    (path,) = [one for one in (tmp_path / "cache" / "objects").rglob("*") if one.is_file()]
    path.chmod(0o644)
    path.write_bytes(large[::-1])
    with pytest.raises(IntegrityError):
        transfer.push([content], cache, remote)
    assert not remote.has(content.oid)
    _sound(tmp_path / "remote")


def _many(texts: int = 700) -> dict[str, bytes]:
    return {f"f{number:04}": os.urandom(3000) for number in range(texts)}


def _packs(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "packs").iterdir()}


def test_a_pack_of_which_all_is_wanted_travels_whole(
    new_store: MakeStore, distant: tuple[Distant, Store], tmp_path: Path
) -> None:
    cache = new_store("cache")
    with Writer(cache) as writer:
        entries = [Entry(n, "file", _oid(writer.add(d)), len(d)) for n, d in _many().items()]
        tree = _oid(writer.add(trees.encode(entries)))
    content = Content(tree, "tree", 700 * 3000, 700)
    transfer.push([content], cache, distant[1])
    transfer.pull([content], distant[1], new_store("clone"))
    assert _packs(tmp_path / "cache") == _packs(tmp_path / "remote") == _packs(tmp_path / "clone")
    _sound(tmp_path / "remote")
    _sound(tmp_path / "clone")


def test_nothing_that_was_not_asked_for_travels(new_store: MakeStore, tmp_path: Path) -> None:
    """Also not in a pack with what was: another output may be kept from this remote."""
    cache, remote = new_store("cache"), new_store("remote")
    with Writer(cache) as writer:
        entries = [Entry(n, "file", _oid(writer.add(d)), len(d)) for n, d in _many().items()]
        tree = _oid(writer.add(trees.encode(entries)))
        secret = _oid(writer.add(b"secret"))
    transfer.push([Content(tree, "tree", 700 * 3000, 700)], cache, remote)
    assert remote.missing([secret, tree]) == {secret}
    assert not any(b"secret" in data for data in _packs(tmp_path / "remote").values())
    _sound(tmp_path / "remote")


@pytest.mark.parametrize("at", [50, 1_000_000, -100, -20])
def test_a_whole_pack_that_is_damaged_stays_out(
    new_store: MakeStore, distant: tuple[Distant, Store], tmp_path: Path, at: int
) -> None:
    """An object's damage is told; damage of the table alone costs a pass through the objects, each of them whole."""
    cache, clone = new_store("cache"), new_store("clone")
    with Writer(cache) as writer:
        entries = [Entry(n, "file", _oid(writer.add(d)), len(d)) for n, d in _many().items()]
        content = Content(_oid(writer.add(trees.encode(entries))), "tree", 700 * 3000, 700)
    transfer.push([content], cache, distant[1])
    (path,) = (tmp_path / "remote" / "packs").iterdir()
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    if at > 0:
        with pytest.raises(IntegrityError):
            transfer.pull([content], distant[1], clone)
        data[at] ^= 1
        path.write_bytes(data)
    transfer.pull([content], distant[1], clone)
    assert clone.missing(entry.oid for entry in entries) == set()
    _sound(tmp_path / "clone")


@pytest.mark.parametrize("spoil", ["object", "table", "cut", "empty", "gone"])
def test_a_damaged_pack_is_not_copied_from_disk_to_disk(new_store: MakeStore, tmp_path: Path, spoil: str) -> None:
    cache, remote = new_store("cache"), new_store("remote")
    with Writer(cache) as writer:
        entries = [Entry(n, "file", _oid(writer.add(d)), len(d)) for n, d in _many().items()]
        content = Content(_oid(writer.add(trees.encode(entries))), "tree", 700 * 3000, 700)
    (path,) = (tmp_path / "cache" / "packs").iterdir()
    data = bytearray(path.read_bytes())
    data[50 if spoil == "object" else -100] ^= 1
    path.unlink()
    if spoil != "gone":
        path.write_bytes({"cut": data[:-500_000], "empty": b""}.get(spoil, data))
    if spoil == "table":
        transfer.push([content], cache, remote)
        assert remote.missing(entry.oid for entry in entries) == set()
    else:
        with pytest.raises((IntegrityError, MissingError)):
            transfer.push([content], cache, remote)
        assert not list((tmp_path / "remote").glob("packs/*"))
    assert not list((tmp_path / "remote").glob("tmp/*"))
    _sound(tmp_path / "remote")


def test_a_push_that_was_cut_off_is_not_sent_again(new_store: MakeStore, tmp_path: Path) -> None:
    class Cut(Distant):
        def put_bytes(self, name: str, data: bytes) -> None:
            sent.append(name)
            if name.startswith("index/") and cut:
                raise RemoteError("the line is cut")
            super().put_bytes(name, data)

        def put(self, name: str, source: Path, progress: Progress | None = None, *, move: bool = False) -> None:
            sent.append(name)
            super().put(name, source, progress, move=move)

    cache, sent, cut = new_store("cache"), [], True
    contents = [put_tree(cache, _many(20))]
    with Writer(cache) as writer:
        entries = [Entry(n, "file", _oid(writer.add(d)), len(d)) for n, d in _many().items()]
        contents.append(Content(_oid(writer.add(trees.encode(entries))), "tree", 700 * 3000, 700))
    store = Store(Cut(tmp_path / "remote"), "blake3", scratch=tmp_path / "cache" / "tmp")
    with pytest.raises(RemoteError):
        transfer.push(contents, cache, store)
    assert sum(name.startswith("packs/") for name in sent) == 2
    sent, cut = [], False
    transfer.push(contents, cache, store)
    assert [name.split("/")[0] for name in sent] == ["index"]
    assert list((tmp_path / "cache" / "tmp").iterdir()) == []
    _sound(tmp_path / "remote")


def test_credentials_that_expire_leave_what_was_uploaded_usable(
    new_store: MakeStore, large: bytes, tmp_path: Path
) -> None:
    class Expiring(Distant):
        left = 3

        def put(self, name: str, source: Path, progress: Progress | None = None, *, move: bool = False) -> None:
            self.left -= 1
            if self.left < 0:
                raise RemoteError("403")
            super().put(name, source, progress, move=move)

    cache = new_store("cache")
    content = put_tree(cache, {f"large{n}": large + bytes([n]) for n in range(5)})
    backend = Expiring(tmp_path / "remote")
    store = Store(backend, "blake3", scratch=tmp_path / "cache" / "tmp")
    with pytest.raises(RemoteError):
        transfer.push([content], cache, store)
    _sound(tmp_path / "remote")
    backend.left = 100
    assert transfer.push([content], cache, store).objects == 6
    _sound(tmp_path / "remote")
    assert transfer.pull([content], store, new_store("clone")).objects == 6


def test_a_hostile_tree_of_another_algorithm_is_refused(new_store: MakeStore) -> None:
    cache = new_store("cache")
    (oid,) = put(cache, b"x")
    (tree,) = put(cache, trees.encode([Entry("a", "file", Oid(f"sha256:{oid.hex}"), 1)]))
    with pytest.raises(InvalidError):
        transfer.pull([Content(tree, "tree", 1, 1)], cache, new_store("clone"))


def test_two_pulls_of_one_object_do_not_disturb_each_other(
    new_store: MakeStore, distant: tuple[Distant, Store], large: bytes, tmp_path: Path
) -> None:
    """Both download the same large object into one cache; neither may write into what the other has published."""
    cache = new_store("cache")
    content = put_tree(cache, {"large": large})
    transfer.push([content], cache, distant[1])
    barrier, errors = threading.Barrier(2, timeout=20), []

    class Meeting(Distant):
        def download(self, name: str, target: Path, progress: Progress | None = None) -> None:
            targets.append(target)
            barrier.wait()
            super().download(name, target, progress)

    def pull() -> None:
        try:
            remote = Store(Meeting(tmp_path / "remote"), "blake3", scratch=tmp_path / "clone" / "tmp")
            transfer.pull([content], remote, new_store("clone"))
        except Exception as error:
            errors.append(error)

    targets: list[Path] = []
    threads = [threading.Thread(target=pull) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(set(targets)) == 2
    _sound(tmp_path / "clone")
    assert new_store("clone").read(new_store("clone").tree(content.oid).entries[0].oid) == large
