"""What is tracked: every path whose bytes live in a store, with the file in Git that names it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final

from mlgit.errors import InvalidError
from mlgit.model import pointer
from mlgit.model.pointer import Pointer
from mlgit.model.relpath import RelPath
from mlgit.model.tree import Content
from mlgit.work.snapshot import Snapshot

_decode: Final = functools.lru_cache(maxsize=1 << 16)(pointer.decode)  # of two commits, most pointers are the same


@dataclass(frozen=True, slots=True)
class Tracked:
    """One tracked file or folder.

    Attributes:
        content: what it should hold; None while its stage has never run.
        file: the pointer, or the stage file, that names it.
        stage: address of the stage that makes it; None for a pointer.
        push: whether it goes to a remote.
        remote: the only remote it goes to, if set.
    """

    path: RelPath
    content: Content | None
    file: RelPath
    stage: str | None = None
    push: bool = True
    remote: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """What one path on the command line means.

    Attributes:
        tracked: the output.
        below: only this path inside it; None for all of it.
    """

    tracked: Tracked
    below: RelPath | None = None


def pointer_path(path: RelPath) -> RelPath:
    """Where the pointer of the tracked `path` stands."""
    return RelPath(path + pointer.SUFFIX)


def read_pointers(snapshot: Snapshot) -> dict[RelPath, Pointer]:
    """Every pointer of `snapshot` by the path it tracks, sorted.

    Raises:
        InvalidError: a pointer is malformed, or one tracked path lies inside another.
        UnsafeError: a pointer names something outside its folder.
    """
    found = {}
    for path in sorted(snapshot.control_files):
        data = snapshot.read(path) if path.endswith(pointer.SUFFIX) else None
        if data is None:
            continue
        one = _decode(data, path)
        if one.out + pointer.SUFFIX != path.name:
            raise InvalidError(
                f"{path}: names {one.out!r}, but a pointer is called after its output",
                hint=f"rename it to {one.out}{pointer.SUFFIX}",
            )
        found[path.parent.child(one.out)] = one
    check_overlap(found)
    return found


def check_overlap(paths: dict[RelPath, Pointer]) -> None:
    """Refuse a tracked path inside another tracked path.

    Raises:
        InvalidError: naming both.
    """
    for path in paths:
        parent = path.parent
        while parent:
            if parent in paths:
                raise InvalidError(
                    f"{pointer_path(path)}: {path} lies inside {parent}, which is tracked too",
                    hint=f"remove one of the two pointers with `mlgit remove {pointer_path(path).quoted}`",
                )
            parent = parent.parent


def owner(path: RelPath, tracked: dict[RelPath, Tracked]) -> Tracked | None:
    """The tracked output that is `path` or holds it."""
    while path:
        if path in tracked:
            return tracked[path]
        path = path.parent
    return None
