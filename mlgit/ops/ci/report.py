"""One report out of several: what a pull request does to parameters, metrics and data, and whether it may merge."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

from mlgit.model.report import Report, Table, Verdict, count, ordered

MAX_ROWS: Final = 500
"""More rows than this in one table are counted instead of shown: unchanged ones go first, failing ones last."""


def merge(parts: Sequence[Report], *, kind: str, title: str) -> Report:
    """The tables and notes of `parts` in their order, under the one verdict among them.

    A verdict is FAIL if any part fails, else NOT_COMPARABLE or NOT_EVALUABLE if any is, else PASS if any passes.
    Sides are those of the first part that has them. Notes are kept once.
    """
    verdicts = {part.verdict for part in parts}
    order = (Verdict.FAIL, Verdict.NOT_COMPARABLE, Verdict.NOT_EVALUABLE, Verdict.PASS)
    return Report(
        kind,
        title,
        tuple(_bounded(table) for part in parts for table in part.tables),
        next((one for one in order if one in verdicts), Verdict.NONE),
        next((part.base for part in parts if part.base is not None), None),
        next((part.head for part in parts if part.head is not None), None),
        tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def _bounded(table: Table) -> Table:
    """`table` with at most `MAX_ROWS` rows: those that people should read first."""
    if len(table.rows) <= MAX_ROWS:
        return table
    dropped = count(len(table.rows) - MAX_ROWS, "more row")
    return dataclasses.replace(
        table, title=f"{table.title} ({dropped} not shown)", rows=tuple(ordered(table.rows)[:MAX_ROWS])
    )
