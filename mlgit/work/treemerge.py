"""The three-way merge of folders, path by path.

Only sub-folders whose ids differ on all sides are opened. A merge yields two trees, as Git's text merge yields a text
with two sides: one with our version of every path that conflicts, one with theirs; both have everything else from both
sides, and without conflicts they are one. Renames are not looked for: a file renamed here and changed there conflicts.
Nothing here asks a remote.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mlgit.model import tree as trees
from mlgit.model.oid import Oid
from mlgit.model.relpath import RelPath, collisions
from mlgit.model.threeway import pick
from mlgit.model.tree import Content, Entry, Tree
from mlgit.store.writer import Writer
from mlgit.work.difference import Load, entry_of
from mlgit.work.workspace import Workspace

_Sides = tuple[Entry | None, Entry | None, Entry | None]
"""One name as the base, our side and their side have it."""
_Names = dict[str, Entry]
Save = Callable[[bytes], Oid]
"""Keeps the bytes of a tree object and gives their id."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A path that the two sides do not agree on, and why in words."""

    path: RelPath
    words: str


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge of folders gave.

    Attributes:
        ours: the folder with our version of every path in `conflicts`.
        theirs: the same with theirs.
        conflicts: sorted by path.
    """

    ours: Content
    theirs: Content
    conflicts: tuple[Conflict, ...]


@dataclass(slots=True)
class _Folder:
    """A folder under merge: what is decided of it, and where it goes when it is done.

    Attributes:
        parent: its position among all folders; None for the top.
        base, old_ours, old_theirs: the entries that the three sides have.
        fixed: it exists on both sides, and is kept even if it ends up empty.
        ours, theirs: the merged entries, with our and with their version of what conflicts.
    """

    path: RelPath
    parent: int | None
    base: _Names
    old_ours: _Names
    old_theirs: _Names
    fixed: bool
    ours: _Names = field(default_factory=dict)
    theirs: _Names = field(default_factory=dict)

    def put(self, name: str, ours: Entry | None, theirs: Entry | None) -> None:
        """Give the two merged folders their entries of this name; None leaves it out."""
        if ours is not None:
            self.ours[name] = ours
        if theirs is not None:
            self.theirs[name] = theirs


def merge_folders(workspace: Workspace, path: RelPath, base: Content | None, ours: Content, theirs: Content) -> Merged:
    """Merge what the tracked folder `path` holds on two sides; the merged trees are in the cache, durably, afterwards.

    Raises:
        MissingError: a tree is not in the cache; nothing was saved then.
        InvalidError, UnsafeError, IntegrityError: a tree is malformed, hostile or damaged; nothing was saved then.
        DiskError: the disk refused.
    """
    store = workspace.store
    with Writer(store) as writer:
        return merge(
            path,
            base,
            ours,
            theirs,
            workspace.stored_tree,
            lambda data: Oid.from_digest(store.algorithm, writer.add(data)),
        )


def merge(path: RelPath, base: Content | None, ours: Content, theirs: Content, load: Load, save: Save) -> Merged:
    """Merge two folders that began at `base`, or at nothing; raises as `load` and `save`."""
    made = _Merge(load)
    before = entry_of(base, path.name) if base is not None else None
    made.open(path, None, (before, entry_of(ours, path.name), entry_of(theirs, path.name)))
    for at, _ in enumerate(made.folders):  # it grows meanwhile
        made.decide(at)
    return made.close(save)


class _Merge:
    """One merge under way; folders stand in a list, parents first, since hostile trees may be deeper than the stack."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self.folders: list[_Folder] = []
        self._conflicts: list[Conflict] = []

    def open(self, path: RelPath, parent: int | None, sides: _Sides) -> None:
        """Add a folder that both sides changed; a side that is None deleted it."""
        base, ours, theirs = (self._entries(one, path) for one in sides)
        self.folders.append(_Folder(path, parent, base, ours, theirs, fixed=None not in sides[1:]))

    def _entries(self, entry: Entry | None, path: RelPath) -> _Names:
        if entry is None or entry.kind != "tree":
            return {}
        return {one.name: one for one in self._load(entry.oid, path).entries}

    def decide(self, at: int) -> None:
        """Settle every name of one folder; sub-folders that both sides changed are opened instead."""
        folder = self.folders[at]
        for name in sorted({*folder.base, *folder.old_ours, *folder.old_theirs}):
            base, ours, theirs = folder.base.get(name), folder.old_ours.get(name), folder.old_theirs.get(name)
            found = pick(base, ours, theirs, _same) or _mode_and_bytes(base, ours, theirs)
            if found is not None:
                folder.put(name, found[0], found[0])
            elif all(one is None or one.kind == "tree" for one in (ours, theirs)):
                self.open(folder.path.child(name), at, (base, ours, theirs))
            else:
                self._conflicts.append(Conflict(folder.path.child(name), _words(base, ours, theirs)))
                folder.put(name, ours, theirs)

    def close(self, save: Save) -> Merged:
        """Save the folders, the innermost first."""
        for folder in reversed(self.folders):
            self._part_collisions(folder)
            first = _saved(folder.ours, folder, save)
            second = first if folder.ours == folder.theirs else _saved(folder.theirs, folder, save)
            if folder.parent is not None:
                self.folders[folder.parent].put(folder.path.name, first, second)
        conflicts = tuple(sorted(self._conflicts, key=lambda one: one.path))
        assert first is not None and second is not None, "both sides have the top"
        return Merged(_content(first), _content(second), conflicts)

    def _part_collisions(self, folder: _Folder) -> None:
        """Leave each merged folder one of two names that some disks take for one: that of its own side."""
        for pair in collisions(sorted({*folder.ours, *folder.theirs})):
            for name, other in (pair, pair[::-1]):
                words = f"is one name on some systems with {other!r} of the other side"
                self._conflicts.append(Conflict(folder.path.child(name), words))
                for merged, own in ((folder.ours, folder.old_ours), (folder.theirs, folder.old_theirs)):
                    if name in merged and name not in own and other in merged:
                        del merged[name]


def _same(first: Entry | None, second: Entry | None) -> bool:
    if first is None or second is None:
        return first is second
    return first.oid == second.oid and first.kind == second.kind


def _mode_and_bytes(base: Entry | None, ours: Entry | None, theirs: Entry | None) -> tuple[Entry] | None:
    """A file whose bytes one side changed, and the other whether it is executable."""
    if base is None or ours is None or theirs is None:
        return None
    if any(one.kind not in ("file", "exec") for one in (base, ours, theirs)):
        return None
    oid, kind = pick(base.oid, ours.oid, theirs.oid), pick(base.kind, ours.kind, theirs.kind)
    if oid is None or kind is None:
        return None
    return ((ours if oid[0] == ours.oid else theirs)._replace(kind=kind[0]),)


def _words(base: Entry | None, ours: Entry | None, theirs: Entry | None) -> str:
    if ours is None:
        return "deleted on our side, changed on theirs"
    if theirs is None:
        return "changed on our side, deleted on theirs"
    if "tree" in (ours.kind, theirs.kind):
        kinds = ["a folder" if one.kind == "tree" else "a file" for one in (ours, theirs)]
        return f"{kinds[0]} on our side, {kinds[1]} on theirs"
    return "added on both sides" if base is None else "changed on both sides"


def _saved(names: _Names, folder: _Folder, save: Save) -> Entry | None:
    """The entry of a merged folder in its parent; None for one that a side deleted and that nothing is left of."""
    if not names and not folder.fixed:
        return None
    tree = Tree(tuple(names.values()))
    return Entry(folder.path.name, "tree", save(trees.encode(tree.entries)), tree.size, tree.files)


def _content(entry: Entry) -> Content:
    return Content(entry.oid, "tree", entry.size, entry.files)
