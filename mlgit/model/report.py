"""The report: one value for every diff, gate, check and status, whoever asks and however it is shown.

A report is tables of marked rows and one verdict. `cli/render.py` turns it into a terminal table, `to_json` into one
JSON object, which `from_json` reads again, `markdown.py` into Markdown. The verdict maps to an exit code here and
nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

Cell = str | int | float | bool | None
VERSION: Final = 1
_BYTES: Final = frozenset({"size", "old_size", "new_size", "bytes", "new_bytes", "logical", "unique", "cache"})
"""Columns whose numbers are bytes."""


class Mark(Enum):
    """What a row says, before its cells are read."""

    FAIL = "fail"
    WARN = "warn"
    PASS = "pass"
    BETTER = "better"
    WORSE = "worse"
    CHANGED = "changed"
    ADDED = "added"
    REMOVED = "removed"
    SAME = "same"
    INFO = "info"

    @property
    def symbol(self) -> str:
        """One character that says it at a glance; a blank where nothing happened."""
        return _SYMBOLS.get(self, " ")


_SYMBOLS: Final = {
    Mark.FAIL: "✗",
    Mark.WARN: "!",
    Mark.PASS: "✓",
    Mark.BETTER: "▲",
    Mark.WORSE: "▼",
    Mark.CHANGED: "~",
    Mark.ADDED: "+",
    Mark.REMOVED: "-",
}


ORDER: Final = (
    *(Mark.FAIL, Mark.WARN, Mark.WORSE, Mark.BETTER, Mark.REMOVED, Mark.ADDED, Mark.CHANGED),
    *(Mark.INFO, Mark.PASS, Mark.SAME),
)


class Verdict(Enum):
    """The answer of a whole report."""

    NONE = "none"
    PASS = "pass"
    FAIL = "fail"
    NOT_EVALUABLE = "not-evaluable"
    NOT_COMPARABLE = "not-comparable"
    MISSING = "missing"
    DAMAGED = "damaged"
    ERROR = "error"

    @property
    def words(self) -> str:
        """The verdict for people, as what follows the name of what was asked; empty where nothing was judged."""
        return _WORDS[self]


_WORDS: Final = {
    Verdict.NONE: "",
    Verdict.PASS: "passed",
    Verdict.FAIL: "failed",
    Verdict.NOT_EVALUABLE: "could not be evaluated",
    Verdict.NOT_COMPARABLE: "not comparable",
    Verdict.MISSING: "objects are missing",
    Verdict.DAMAGED: "objects are damaged",
    Verdict.ERROR: "broke",
}
_EXIT: Final = {
    Verdict.NONE: 0,
    Verdict.PASS: 0,
    Verdict.FAIL: 1,
    Verdict.NOT_EVALUABLE: 19,
    Verdict.NOT_COMPARABLE: 19,
    Verdict.MISSING: 12,
    Verdict.DAMAGED: 13,
    Verdict.ERROR: 70,
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table.

    Attributes:
        cells: as many as the table has columns.
        note: a sentence for the reader, such as a gate's shortfall.
        where: the file, and after a colon its line, where a reader can mend what the row says; empty if nowhere.
    """

    cells: tuple[Cell, ...]
    mark: Mark = Mark.INFO
    note: str = ""
    where: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under named columns.

    Attributes:
        name: the key in JSON: lower case, stable.
        columns: names of the columns; also the keys of a row in JSON.
        empty: what to say when there are no rows.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    empty: str = "no changes"


@dataclass(frozen=True, slots=True)
class Report:
    """Tables, notes and a verdict.

    Attributes:
        kind: what was asked, such as `metrics-diff`; stable, part of the JSON.
        base: the older side, as people name it; None when only one side is shown.
        head: the newer side.
        notes: sentences that a reader must not miss, such as a missing baseline.
    """

    kind: str
    title: str
    tables: tuple[Table, ...]
    verdict: Verdict = Verdict.NONE
    base: str | None = None
    head: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 yes or no question asked, 1 no, 12 objects missing, 13 damaged, 19 not evaluated or compared, 70 broke."""
        return _EXIT[self.verdict]

    @property
    def changed(self) -> bool:
        """Whether any row says other than that all is the same."""
        return any(row.mark is not Mark.SAME for table in self.tables for row in table.rows)


def to_json(report: Report) -> str:
    """One JSON object, keys in fixed order; numbers JSON cannot hold become the texts `nan`, `inf`, `-inf`."""
    import json

    tables = {
        table.name: [
            {
                **{c: _plain(cell) for c, cell in zip(table.columns, row.cells, strict=True)},
                "mark": row.mark.value,
                **({"note": row.note} if row.note else {}),
                **({"where": row.where} if row.where else {}),
            }
            for row in table.rows
        ]
        for table in report.tables
    }
    value: dict[str, Any] = {
        "version": VERSION,
        "kind": report.kind,
        "title": report.title,
        "verdict": report.verdict.value,
        "base": report.base,
        "head": report.head,
        "notes": list(report.notes),
        "tables": [_described(table) for table in report.tables],
        **tables,
    }
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    return text.replace("##[", "#\\u0023[")  # GitHub's runner takes `##[` for a command wherever it stands in a log


def _described(table: Table) -> dict[str, Any]:
    """What the rows of a table do not tell of it."""
    return {"name": table.name, "title": table.title, "columns": list(table.columns), "empty": table.empty}


def _plain(cell: Cell) -> Cell:
    return str(cell) if isinstance(cell, float) and not math.isfinite(cell) else cell


def format_cell(cell: Cell) -> str:
    """A cell for people: six significant digits, no trailing zeros, a dash for nothing."""
    if cell is None:
        return "–"
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return f"{cell:.6g}"
    return str(cell)


def show(column: str, cell: Cell) -> str:
    """A cell of `column` for people: as `format_cell`, with units, signs on differences, `relative` in percent."""
    if column in _BYTES and isinstance(cell, int):
        return format_bytes(cell)
    if not isinstance(cell, (int, float)) or isinstance(cell, bool) or column not in ("delta", "relative"):
        return format_cell(cell)
    if math.isinf(cell):
        return format_cell(None)  # from 0 to anything is no percentage
    sign = "+" if cell > 0 else ""
    return f"{sign}{cell * 100:.3g} %" if column == "relative" else sign + format_cell(cell)


def ordered(rows: Iterable[Row]) -> list[Row]:
    """Rows as people should read them: failures first, unchanged ones last, otherwise as they came."""
    return sorted(rows, key=lambda row: ORDER.index(row.mark))


def format_bytes(size: int) -> str:
    """Bytes in binary units, such as `39.1 MiB`."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or (unit == "GiB" and value < 10240):
            return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def count(number: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number:,} {noun if number == 1 else noun + 's'}"
