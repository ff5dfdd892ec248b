"""`diff`: which tracked files differ between two snapshots; equal folders are never opened."""

from __future__ import annotations

from collections.abc import Iterable

from mlgit.model.relpath import RelPath
from mlgit.model.report import Report, Row, Table, count
from mlgit.ops.compare.outputs import MARKS, output_changes
from mlgit.repo import Repo
from mlgit.work.difference import Change
from mlgit.work.snapshot import Snapshot


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
    found = list(output_changes(repo, base, head, wanted))
    changes = [change for one in found for change in one.files]
    rows = [_row(one) for one in changes if not wanted or any(one.path.within(path) for path in wanted)]
    notes = [f"{one.path}: {one.problem}" for one in found if one.problem]
    table = Table("files", "Files", ("path", "change", "old_size", "new_size", "from"), tuple(rows))
    return Report("diff", "Data", (table,), base=base.name, head=head.name, notes=(*notes, _summary(rows)))


def _row(one: Change) -> Row:
    cells = (
        one.path,
        one.kind,
        one.old.size if one.old else None,
        one.new.size if one.new else None,
        one.source,
    )
    return Row(cells, MARKS[one.kind])


def _summary(rows: list[Row]) -> str:
    kinds = [str(row.cells[1]) for row in rows]
    found = [f"{count(kinds.count(kind), 'file')} {kind}" for kind in MARKS if kind in kinds]
    return ", ".join(found) or "no differences"
