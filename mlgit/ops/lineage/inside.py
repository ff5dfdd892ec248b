"""Looking into tracked folders with what the cache knows of them; nothing is fetched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from mlgit.errors import MlgitError
from mlgit.model.oid import Oid
from mlgit.model.relpath import RelPath
from mlgit.model.tree import Content, Entry, Tree
from mlgit.store.objects import Store
from mlgit.work.difference import entry_of


def known_tree(store: Store, oid: Oid) -> Tree | None:
    """A folder's tree; None if it is not in the cache or cannot be read."""
    try:
        return None if store.missing([oid]) else store.tree(oid)
    except MlgitError:
        return None


def find(store: Store, path: RelPath, content: Content, below: RelPath) -> Content | None:
    """What `below` holds in the folder `path`; None if it is not in it, or the cache cannot tell."""
    entry: Entry | None = entry_of(content, path.name)
    for part in below.relative(path).parts:
        tree = known_tree(store, entry.oid) if entry is not None and entry.kind == "tree" else None
        entry = tree.get(part) if tree is not None else None
    return None if entry is None else content_of(entry)


def content_of(entry: Entry) -> Content:
    """What an entry of a tree names."""
    if entry.kind == "tree":
        return Content(entry.oid, "tree", entry.size, entry.files)
    return Content(entry.oid, "file", entry.size)


def agree(store: Store, path: RelPath, content: Content, other: RelPath, read: Content) -> bool | None:
    """Whether who read `other` with the content `read` saw `content` at `path`, one of the two holding the other.

    None if the cache does not know the folder between them.
    """
    if path == other:
        return content.oid == read.oid
    if other.within(path):
        found = find(store, path, content, other)
        return None if found is None else found.oid == read.oid
    found = find(store, other, read, path)
    return None if found is None else found.oid == content.oid


def search(store: Store, tops: Mapping[RelPath, Content], prefix: str) -> Iterator[tuple[RelPath, RelPath, Content]]:
    """Files and folders inside `tops` whose id starts with `prefix`: the top, the path, what it holds."""
    for top, content in tops.items():
        pending = [(top, content.oid)] if content.type == "tree" else []
        while pending:
            at, oid = pending.pop()
            tree = known_tree(store, oid)
            for entry in tree.entries if tree is not None else ():
                if entry.oid.startswith(prefix):
                    yield top, at.child(entry.name), content_of(entry)
                if entry.kind == "tree":
                    pending.append((at.child(entry.name), entry.oid))


def holders(store: Store, tops: Iterable[Oid], prefix: str) -> dict[Oid, set[Oid]]:
    """Objects inside the trees `tops` whose id starts with `prefix`, each with the tops that it lies in.

    Every tree is read once, however many hold it.
    """
    above: dict[Oid, set[Oid]] = {}
    starts = set(tops)
    seen, level = set(starts), starts
    while level:
        below: set[Oid] = set()
        for oid in level:
            tree = known_tree(store, oid)
            for entry in tree.entries if tree is not None else ():
                if entry.kind == "tree":
                    below.add(entry.oid)
                if entry.kind == "tree" or entry.oid.startswith(prefix):
                    above.setdefault(entry.oid, set()).add(oid)
        level = below - seen
        seen |= below
    return {oid: _climb(oid, above) & starts for oid in above if oid.startswith(prefix)}


def _climb(oid: Oid, above: Mapping[Oid, set[Oid]]) -> set[Oid]:
    """Every tree that `oid` is below of."""
    found: set[Oid] = set()
    pending = [oid]
    while pending:
        new = above.get(pending.pop(), set()) - found
        found |= new
        pending += new
    return found
