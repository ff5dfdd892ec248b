"""Tracked outputs that differ between two sides, file by file; equal folders are never opened.

What a side holds is what Git says of it, or for the working tree what is on disk. Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mlgit.errors import MissingError
from mlgit.model.relpath import RelPath
from mlgit.model.report import Mark
from mlgit.model.tree import Content
from mlgit.work.difference import Change, Load, compare, entry_of

if TYPE_CHECKING:
    from mlgit.repo import Repo
    from mlgit.work.outputs import Tracked
    from mlgit.work.snapshot import Snapshot

MARKS: Final = {"added": Mark.ADDED, "deleted": Mark.REMOVED, "modified": Mark.CHANGED, "renamed": Mark.CHANGED}


@dataclass(frozen=True, slots=True)
class OutputChange:
    """One tracked output that differs.

    Attributes:
        old: what it held; None if it was not tracked, or never made.
        new: what it holds.
        file: the pointer or stage file that names it.
        files: every file at or below it that differs; if `problem` is set, only the output itself.
        problem: why its files are not listed; empty if they are.
        unmade: the newer side declares it, and its stage has not run.
    """

    path: RelPath
    old: Content | None
    new: Content | None
    file: RelPath
    files: tuple[Change, ...]
    problem: str = ""
    unmade: bool = False


def output_changes(repo: Repo, base: Snapshot, head: Snapshot, paths: Iterable[RelPath] = ()) -> Iterator[OutputChange]:
    """Every tracked output that differs, sorted by path.

    Args:
        paths: only outputs at, below or above one of these; all if empty.

    Raises:
        InvalidError, UnsafeError: a pointer, stage file or lock of either side is malformed.
    """
    wanted = list(paths)
    old, new = repo.tracked(base), repo.tracked(head)
    for path in sorted(old.keys() | new.keys()):
        if wanted and not any(path.within(one) or one.within(path) for one in wanted):
            continue
        first, last = _content(repo, old.get(path), base), _content(repo, new.get(path), head)
        if first == last:
            continue
        problem = ""
        try:
            changes = compare(path, first, last, repo.workspace.stored_tree, _loader(repo, head))
        except MissingError:
            problem = "its files are not listed: the lists are not in the cache; `mlgit fetch` them for both sides"
            changes = [
                Change(path, entry_of(first, path.name) if first else None, entry_of(last, path.name) if last else None)
            ]
        if changes:
            named = new.get(path)
            file, unmade = (named or old[path]).file, named is not None and last is None
            yield OutputChange(path, first, last, file, tuple(changes), problem, unmade)


def _content(repo: Repo, tracked: Tracked | None, snapshot: Snapshot) -> Content | None:
    """What a side holds: what the file in Git says, or for the working tree what is on disk."""
    if tracked is None:
        return None
    return repo.workspace.identify(tracked.path) if snapshot.rev is None else tracked.content


def _loader(repo: Repo, snapshot: Snapshot) -> Load:
    return repo.workspace.present_tree if snapshot.rev is None else repo.workspace.stored_tree
