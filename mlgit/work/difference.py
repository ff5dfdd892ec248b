"""The difference between two contents, file by file; equal folders are never opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from mlgit.model.oid import Oid
from mlgit.model.relpath import RelPath
from mlgit.model.tree import Content, Entry, Tree

Load = Callable[[Oid, RelPath], Tree]
"""Gives the tree of an id; the path says where it stands."""


@dataclass(frozen=True, slots=True)
class Change:
    """One file that differs.

    Attributes:
        old: as it was; None if it was added.
        new: as it is; None if it was deleted.
        source: where it was before, if it was renamed.
    """

    path: RelPath
    old: Entry | None
    new: Entry | None
    source: RelPath | None = None

    @property
    def kind(self) -> Literal["added", "deleted", "modified", "renamed"]:
        """What happened."""
        if self.source is not None:
            return "renamed"
        return "added" if self.old is None else "deleted" if self.new is None else "modified"


def entry_of(content: Content, name: str) -> Entry:
    """The entry that a folder holding `content` under `name` would have."""
    files = 1 if content.files is None else content.files
    return Entry(name, "tree" if content.type == "tree" else "file", content.oid, content.size, files)


def compare(
    path: RelPath, old: Content | None, new: Content | None, load_old: Load, load_new: Load | None = None
) -> list[Change]:
    """Every file at or below `path` that differs, sorted by path; renames are found by equal ids.

    Raises:
        MissingError, IntegrityError: a tree cannot be loaded.
    """
    first = entry_of(old, path.name) if old else None
    last = entry_of(new, path.name) if new else None
    return _renames(sorted(_walk(path, first, last, load_old, load_new or load_old), key=lambda one: one.path))


def _walk(path: RelPath, old: Entry | None, new: Entry | None, load_old: Load, load_new: Load) -> Iterator[Change]:
    pending = [(path, old, new)]
    while pending:
        at, first, last = pending.pop()
        if first and last and first.oid == last.oid and first.kind == last.kind:
            continue
        left = _entries(first, at, load_old)
        right = _entries(last, at, load_new)
        if left is None and first is not None and last is not None and right is None:
            yield Change(at, first, last)
            continue
        if left is None and first is not None:
            yield Change(at, first, None)
        if right is None and last is not None:
            yield Change(at, None, last)
        left, right = left or {}, right or {}
        pending += [(at.child(name), left.get(name), right.get(name)) for name in {*left, *right}]


def _entries(entry: Entry | None, at: RelPath, load: Load) -> dict[str, Entry] | None:
    """The entries of a folder; None for a file or nothing."""
    if entry is None or entry.kind != "tree":
        return None
    return {one.name: one for one in load(entry.oid, at).entries}


def _renames(changes: list[Change]) -> list[Change]:
    gone: dict[Oid, Change] = {one.old.oid: one for one in changes if one.old and not one.new and one.old.size}
    found = []
    moved = set()
    for one in changes:
        source = gone.pop(one.new.oid, None) if one.new and not one.old else None
        if source is not None:
            moved.add(source.path)
            one = Change(one.path, source.old, one.new, source.path)
        found.append(one)
    return [one for one in found if one.path not in moved or one.source is not None]
