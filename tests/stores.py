"""Putting things into stores, for tests of everything that has one."""

from __future__ import annotations

from collections.abc import Callable

from mlgit.model import tree as trees
from mlgit.model.oid import Oid
from mlgit.model.tree import Content, Entry
from mlgit.store.hashing import hash_bytes
from mlgit.store.objects import LARGE, Store
from mlgit.store.writer import Writer

MakeStore = Callable[[str], Store]


def put(store: Store, *texts: bytes) -> list[Oid]:
    """Save small objects in one batch."""
    with Writer(store) as writer:
        return [Oid.from_digest("blake3", writer.add(text)) for text in texts]


def put_large(store: Store, data: bytes) -> Oid:
    """Save an object as a file of its own."""
    oid = hash_bytes("blake3", data)
    temp = store.temporary()
    temp.write_bytes(data)
    with Writer(store) as writer:
        writer.add_file(oid, temp, move=True)
    return oid


def put_tree(store: Store, files: dict[str, bytes]) -> Content:
    """Save a folder: small files, large ones, and its tree."""
    entries = []
    for name, data in files.items():
        oid = put_large(store, data) if len(data) >= LARGE else put(store, data)[0]
        entries.append(Entry(name, "file", oid, len(data)))
    (oid,) = put(store, trees.encode(entries))
    return Content(oid, "tree", sum(map(len, files.values())), len(files))
