"""`ls`: what is tracked, also inside folders and at any revision, without downloading data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mlgit.model.relpath import RelPath
from mlgit.model.report import Mark, Report, Row, Table, count, format_bytes
from mlgit.model.tree import Content, Entry
from mlgit.repo import Repo
from mlgit.work.difference import entry_of
from mlgit.work.outputs import Target
from mlgit.work.snapshot import Snapshot

_COLUMNS = ("path", "type", "size", "files", "stage", "oid")


def list_paths(repo: Repo, snapshot: Snapshot, paths: Iterable[RelPath] = (), *, recursive: bool = False) -> Report:
    """Tracked outputs, or what lies in the folders named.

    Args:
        paths: outputs, or paths inside them; a folder is listed by its entries.
        recursive: list every file below.

    Returns:
        A report of kind `ls` with a table `paths` (path, type, size in bytes, files, stage, oid).

    Raises:
        UsageError: a path is not tracked.
        MissingError: a folder's tree is not in the cache, or it has no such path.
    """
    wanted = list(paths)
    rows: list[Row] = []
    for target in repo.targets(wanted, snapshot):
        tracked = target.tracked
        if tracked.content is None:
            rows.append(Row((tracked.path, "not made yet", None, None, tracked.stage, None), Mark.WARN))
            continue
        opened = (target.below or tracked.path) in wanted
        found = _below(repo, target, tracked.content, opened=opened or recursive, recursive=recursive)
        rows += [_row(path, entry, tracked.stage) for path, entry in found]
    size = sum(row.cells[2] for row in rows if isinstance(row.cells[2], int))
    table = Table("paths", "Tracked", _COLUMNS, tuple(rows), empty="nothing is tracked")
    note = f"{count(len(rows), 'path')}, {format_bytes(size)}" if rows else "nothing is tracked"
    return Report("ls", "Tracked", (table,), head=snapshot.name, notes=(note,))


def _below(
    repo: Repo, target: Target, content: Content, *, opened: bool, recursive: bool
) -> Iterator[tuple[RelPath, Entry]]:
    """A target itself, or if `opened` its entries, or if `recursive` every file below it; sorted by path."""
    start, entry = target.tracked.path, entry_of(content, target.tracked.path.name)
    if target.below is not None:
        entry, start = repo.workspace.find_entry(start, entry, target.below), target.below
    if entry.kind != "tree" or not opened:
        yield start, entry
        return
    pending = [(start, entry)]
    while pending:
        at, one = pending.pop()
        if one.kind == "tree" and (at == start or recursive):
            entries = repo.workspace.stored_tree(one.oid, at).entries
            pending += [(at.child(below.name), below) for below in reversed(entries)]
        else:
            yield at, one


def _row(path: RelPath, entry: Entry, stage: str | None) -> Row:
    files = entry.files if entry.kind == "tree" else None
    return Row((path, entry.kind, entry.size, files, stage, entry.oid), Mark.INFO)
