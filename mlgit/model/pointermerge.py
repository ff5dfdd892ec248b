"""The three-way merge of pointers, field by field.

What the output holds is one field. Two folders that both sides changed are handed to the caller, who can read trees; a
file's bytes never merge. Where both sides changed a field, each keeps its own word, so that the two texts differ in
exactly what has to be decided.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from mlgit.model.lock import same
from mlgit.model.pointer import Pointer
from mlgit.model.threeway import pick
from mlgit.model.tree import Content

Folders = tuple[Content, Content, tuple[str, ...]]
"""A merged folder: with our version of what conflicts, with theirs, and what conflicts in words."""
MergeFolders = Callable[[Content | None, Content, Content], Folders]
"""Merges two folders that began at a third, or at nothing."""
_FIELDS: Final[dict[str, Any]] = {"out": "", "desc": None, "labels": (), "meta": {}, "remote": None, "source": {}}


@dataclass(frozen=True, slots=True)
class Merged:
    """Two pointers brought together as far as they agree.

    Attributes:
        ours: with our word where both sides changed something; equal to `theirs` if nothing conflicts.
        theirs: with their word.
        conflicts: what both sides changed differently, in words.
    """

    ours: Pointer
    theirs: Pointer
    conflicts: tuple[str, ...]


def merge(base: Pointer | None, ours: Pointer, theirs: Pointer, folders: MergeFolders) -> Merged:
    """What `ours` and `theirs` made of `base`, which is None where both added the pointer."""
    first, second, conflicts = _contents(base, ours, theirs, folders)
    agreed: dict[str, Any] = {}
    for name, default in _FIELDS.items():
        before = default if base is None else getattr(base, name)
        found = pick(before, getattr(ours, name), getattr(theirs, name), same)
        if found is None:
            conflicts += (f"{name}: changed on both sides",)
        else:
            agreed[name] = found[0]
    return Merged(_replaced(ours, first, agreed), _replaced(theirs, second, agreed), conflicts)


def _contents(base: Pointer | None, ours: Pointer, theirs: Pointer, folders: MergeFolders) -> Folders:
    before = None if base is None else base.content
    found = pick(before, ours.content, theirs.content)
    if found is not None and found[0] is not None:
        return found[0], found[0], ()
    if ours.source or theirs.source:
        return ours.content, theirs.content, ("imported, and changed on both sides: what was imported cannot be mixed",)
    if ours.type != theirs.type:
        return ours.content, theirs.content, ("a file on one side, a folder on the other",)
    if ours.type == "file":
        return ours.content, theirs.content, ("a file that both sides changed",)
    return folders(before if before is not None and before.type == "tree" else None, ours.content, theirs.content)


def _replaced(pointer: Pointer, content: Content, agreed: dict[str, Any]) -> Pointer:
    return dataclasses.replace(
        pointer, oid=content.oid, type=content.type, size=content.size, files=content.files, **agreed
    )
