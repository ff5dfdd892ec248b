"""`diff`: which tracked files differ between two snapshots; equal folders are never opened."""

from __future__ import annotations

from collections.abc import Iterable

from mlgit.errors import MissingError
from mlgit.model.relpath import RelPath
from mlgit.model.report import Mark, Report, Row, Table, count
from mlgit.model.tree import Content
from mlgit.repo import Repo
from mlgit.work.difference import Change, Load, compare, entry_of
from mlgit.work.outputs import Tracked
from mlgit.work.snapshot import Snapshot

_MARKS = {"added": Mark.ADDED, "deleted": Mark.REMOVED, "modified": Mark.CHANGED, "renamed": Mark.CHANGED}


def data_diff(repo: Repo, base: Snapshot, head: Snapshot, paths: Iterable[RelPath] = ()) -> Report:
    """Every tracked file that was added, deleted, modified or renamed from `base` to `head`.

    Args:
        paths: only at or below these; everything if empty.

    Returns:
        A report of kind `diff` with a table `files` (path, change, old_size, new_size, from).

    Raises:
        InvalidError, UnsafeError: a pointer, stage file or lock of either side is malformed.
    """
    wanted = list(paths)
    old, new = repo.tracked(base), repo.tracked(head)
    rows: list[Row] = []
    notes = []
    for path in sorted(old.keys() | new.keys()):
        first, last = _content(repo, old.get(path), base), _content(repo, new.get(path), head)
        try:
            changes = compare(path, first, last, repo.workspace.stored_tree, _loader(repo, head))
        except MissingError as error:
            notes.append(f"{path}: its files are not listed: {error.message}")
            changes = [
                Change(path, entry_of(first, path.name) if first else None, entry_of(last, path.name) if last else None)
            ]
        rows += [_row(one) for one in changes if not wanted or any(one.path.within(path) for path in wanted)]
    notes.append(_summary(rows))
    table = Table("files", "Files", ("path", "change", "old_size", "new_size", "from"), tuple(rows))
    return Report("diff", "Data", (table,), base=base.name, head=head.name, notes=tuple(notes))


def _content(repo: Repo, tracked: Tracked | None, snapshot: Snapshot) -> Content | None:
    """What a side holds: what the file in Git says, or for the working tree what is on disk."""
    if tracked is None:
        return None
    return repo.workspace.identify(tracked.path) if snapshot.rev is None else tracked.content


def _loader(repo: Repo, snapshot: Snapshot) -> Load:
    return repo.workspace.present_tree if snapshot.rev is None else repo.workspace.stored_tree


def _row(one: Change) -> Row:
    cells = (
        one.path,
        one.kind,
        one.old.size if one.old else None,
        one.new.size if one.new else None,
        one.source,
    )
    return Row(cells, _MARKS[one.kind])


def _summary(rows: list[Row]) -> str:
    kinds = [str(row.cells[1]) for row in rows]
    found = [f"{count(kinds.count(kind), 'file')} {kind}" for kind in _MARKS if kind in kinds]
    return ", ".join(found) or "no differences"
