"""One report out of several: what a pull request does to parameters, metrics and data, and whether it may merge."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Final

from mlgit.model.gate import Rule
from mlgit.model.report import Mark, Report, Row, Table, Verdict, count

MAX_ROWS: Final = 500
"""More rows than this in one table are counted instead of shown; failing and changed ones stay."""


def merge(parts: Sequence[Report], *, kind: str, title: str) -> Report:
    """The tables and notes of `parts` in their order, under the one verdict among them.

    A verdict is FAIL if any part fails, else NOT_EVALUABLE if any could not be evaluated, else PASS if any passes.
    Sides are those of the first part that has them. Notes are kept once.
    """
    verdicts = {part.verdict for part in parts}
    order = (Verdict.FAIL, Verdict.NOT_EVALUABLE, Verdict.PASS)
    return Report(
        kind,
        title,
        tuple(_bounded(table) for part in parts for table in part.tables),
        next((one for one in order if one in verdicts), Verdict.NONE),
        next((part.base for part in parts if part.base is not None), None),
        next((part.head for part in parts if part.head is not None), None),
        tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def summarise(data: Report) -> Report:
    """A data diff by top-level path: how many files were added, deleted, modified, renamed, and the bytes of each side.

    Args:
        data: a report with the table `files` of columns path, change, old_size, new_size, from.
    """
    (table,) = data.tables
    rows = tuple(_summaries(table))
    columns = ("folder", "added", "deleted", "modified", "renamed", "old_size", "new_size")
    note = tuple(note for note in data.notes if "not listed" in note)
    return dataclasses.replace(data, tables=(Table("data", "Data", columns, rows, "no data changed"),), notes=note)


def withdrawn(base: Sequence[Rule], head: Sequence[Rule]) -> tuple[Rule, ...]:
    """The gates of the base that the head has no more, or has in other words; where a rule stands does not matter."""
    kept = {dataclasses.replace(rule, where="") for rule in head}
    return tuple(rule for rule in base if dataclasses.replace(rule, where="") not in kept)


def _summaries(table: Table) -> Iterator[Row]:
    groups: dict[str, list[Row]] = {}
    for row in table.rows:
        groups.setdefault(str(row.cells[0]).rpartition("/")[0] or ".", []).append(row)
    for folder, rows in sorted(groups.items()):
        kinds = [str(row.cells[1]) for row in rows]
        counts = [kinds.count(kind) for kind in ("added", "deleted", "modified", "renamed")]
        sizes = [sum(cell for row in rows if isinstance(cell := row.cells[at], int)) for at in (2, 3)]
        marks = {row.mark for row in rows}
        yield Row((folder, *counts, *sizes), marks.pop() if len(marks) == 1 else Mark.CHANGED)


def _bounded(table: Table) -> Table:
    """`table` with at most `MAX_ROWS` rows: those that say something first, in their order."""
    if len(table.rows) <= MAX_ROWS:
        return table
    telling = sorted(table.rows, key=lambda row: (row.mark is Mark.SAME, row.mark is not Mark.FAIL))
    dropped = count(len(table.rows) - MAX_ROWS, "more row")
    return dataclasses.replace(table, title=f"{table.title} ({dropped} not shown)", rows=tuple(telling[:MAX_ROWS]))
