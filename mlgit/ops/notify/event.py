"""The event: what is told of a failure, the same to everybody, as one JSON object that does not grow without bounds.

Names and values in it come from whoever wrote the change that failed. They are texts, cut and with nothing unseen in
them; what a receiver makes of them is escaped for it in `slack.py` and `mail.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from mlgit.model.report import ORDER, Mark, Report, Row, Table, ordered, show
from mlgit.model.secret import redact
from mlgit.ops.compare.markup import shortened, visible

VERSION: Final = 1
MAX_ROWS: Final = 20
MAX_NOTES: Final = 10
MAX_TEXT: Final = 300
_MAX_NOTE: Final = 1000
_TOLD: Final = (Mark.FAIL, Mark.WARN)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that somebody should hear of.

    Attributes:
        kind: `gate`, `pipeline`, `drift`.
        report: what happened.
        project: what the repository is called.
        time: when, in ISO 8601 and UTC.
        link: the run's page; None where there is none.
    """

    kind: str
    report: Report
    project: str
    time: str
    link: str | None = None

    @property
    def headline(self) -> str:
        """One line: `project: Gate failed`."""
        return one_line(f"{self.project}: {self.report.title} {self.report.verdict.words or 'news'}", 150)

    @property
    def sides(self) -> str:
        """`base → head`, or the one of them that there is."""
        return one_line(" → ".join(side for side in (self.report.base, self.report.head) if side))

    @property
    def rows(self) -> list[str]:
        """The rows to tell of as sentences, `MAX_ROWS` at most."""
        return [_sentence(table, row) for table, row in _told(self.report)][:MAX_ROWS]

    @property
    def notes(self) -> list[str]:
        """What a reader must not miss, credentials hidden."""
        return [_clean(note, _MAX_NOTE) for note in self.report.notes[:MAX_NOTES]]

    @property
    def omitted(self) -> int:
        """How many rows there are no sentences for."""
        return max(sum(1 for _ in _told(self.report)) - MAX_ROWS, 0)


def one_line(text: str, limit: int = MAX_TEXT) -> str:
    """`text` on one line, bounded, with nothing unseen in it and credentials hidden."""
    return _clean(" ".join(text.split()), limit)


def as_value(event: Event) -> dict[str, Any]:
    """The event as JSON has it; keys are stable."""
    report = event.report
    marks = Counter(row.mark for table in report.tables for row in table.rows)
    return {
        "version": VERSION,
        "kind": event.kind,
        "verdict": report.verdict.value,
        "title": event.headline,
        "project": one_line(event.project),
        "base": None if report.base is None else one_line(report.base),
        "head": None if report.head is None else one_line(report.head),
        "link": event.link,
        "report": {
            "kind": one_line(report.kind),
            "title": one_line(report.title),
            "counts": {mark.value: marks[mark] for mark in ORDER if marks[mark]},
            "rows": [_row(table, row) for table, row in list(_told(report))[:MAX_ROWS]],
            "omitted": event.omitted,
            "notes": event.notes,
        },
        "time": event.time,
    }


def _told(report: Report) -> Iterator[tuple[Table, Row]]:
    """What failed, and what warns, in the order of the report."""
    for mark in _TOLD:
        for table in report.tables:
            yield from ((table, row) for row in ordered(table.rows) if row.mark is mark)


def _row(table: Table, row: Row) -> dict[str, str]:
    cells = "; ".join(f"{column}: {show(column, cell)}" for column, cell in _cells(table, row))
    found = {"table": table.name, "mark": row.mark.value, "text": cells, "note": row.note, "where": row.where}
    return {key: _clean(text, MAX_TEXT) for key, text in found.items() if text}


def _sentence(table: Table, row: Row) -> str:
    cells = ", ".join(f"{column} {show(column, cell)}" for column, cell in _cells(table, row))
    note = f" – {row.note}" if row.note else ""
    return one_line(f"{row.mark.value}: {cells[:MAX_TEXT]}{note}", 2 * MAX_TEXT)


def _cells(table: Table, row: Row) -> list[tuple[str, Any]]:
    return [(column, cell) for column, cell in zip(table.columns, row.cells, strict=True) if cell is not None]


def _clean(text: str, limit: int) -> str:
    return shortened(redact(visible(text[: 2 * limit])), limit)  # cut before too: `redact` is slow on long words
