"""A report as GitHub-flavoured Markdown, for a pull request's comment or a job's summary.

Metric names, values and file names come from whoever opened the pull request. Every text passes `escape`, so that none
of them can start a table cell, a link, a picture, HTML, a mention, an issue reference, a terminal sequence or a
workflow command. The same report gives the same bytes: rows keep their order within a mark, marks have a fixed order,
unchanged rows are folded.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import Final

from mlgit.model.report import ORDER, Mark, Report, Row, Table, Verdict, count, ordered, show

MAX_CELL: Final = 200
_BREAK: Final = "\u200b"
_ENTITY: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "`": "&#96;", "\\": "&#92;", "$": "&#36;"}
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_WORDS: Final = {
    Mark.FAIL: "❌ fail",
    Mark.WARN: "⚠️ warn",
    Mark.PASS: "✅ pass",
    Mark.BETTER: "🟢 better",
    Mark.WORSE: "🔴 worse",
    Mark.CHANGED: "🔵 changed",
    Mark.ADDED: "➕ added",
    Mark.REMOVED: "➖ removed",
    Mark.SAME: "same",
    Mark.INFO: "",
}
_SIGNS: Final = {
    Verdict.PASS: "✅",
    Verdict.NOT_EVALUABLE: "⚠️",
    Verdict.NOT_COMPARABLE: "⚠️",
}
"""What stands before a verdict; ❌ before any other."""


def to_markdown(report: Report, whole: Report | None = None) -> str:
    """The whole report: a headline with the verdict, the sides, the notes, then each table.

    Args:
        whole: what `report` is an excerpt of; its rows are the ones that the headline counts.
    """
    words = report.verdict.words
    verdict = f"{_SIGNS.get(report.verdict, '❌')} {words}" if words else ""
    lines = [f"## {escape(report.title)}{': ' if verdict else ''}{verdict}", ""]
    sides = [escape(side) for side in (report.base, report.head) if side is not None]
    summary = _summary(whole or report)
    if sides or summary:
        lines += [_paragraph(" · ".join(filter(None, [" → ".join(sides), summary]))), ""]
    for note in report.notes:
        lines += [f"> **Note:** {escape(note, None)}", ""]
    for table in report.tables:
        lines += _section(table, alone=len(report.tables) == 1)
    return "\n".join(lines).rstrip() + "\n"


def escape(text: str, limit: int | None = MAX_CELL) -> str:
    r"""`text` as Markdown that shows exactly it, on one line; what cannot be seen is shown as `\n`, `\x1b`, `\u202e`.

    Args:
        limit: the number of characters after which it is cut with `…`; None for no limit.
    """
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    safe = "".join(_escape_character(character) for character in text)
    safe = re.sub(r"(?<![^\W_])_+|_+(?![^\W_])", lambda match: match[0].replace("_", "\\_"), safe)
    safe = re.sub(r"(?<=:)(?=:)|(?<=:)(?=//)|(?<=@)|(?<=www)(?=\.)|(?<=GH)(?=-\d)", _BREAK, safe, flags=re.IGNORECASE)
    return re.sub(r"(?<=#)(?<!&#)(?=\w|\\\[)", _BREAK, safe)


def _escape_character(character: str) -> str:
    if character in _ENTITY:
        return _ENTITY[character]
    if character in "*[]~":
        return "\\" + character
    if character.isascii() and character.isprintable():
        return character
    if unicodedata.category(character) in _HIDDEN:
        return _ENTITY["\\"] + character.encode("unicode_escape", "surrogatepass").decode()[1:]
    return character


def _paragraph(safe: str) -> str:
    """Escaped text that begins a line: no heading, list, rule or block of code."""
    return re.sub(r"^([0-9]{1,9}(?=[.)](?:\s|$))|(?=[#+=-]))", r"\1\\", safe.lstrip(" "))


def _summary(report: Report) -> str:
    """How many rows carry each mark, in the marks' order."""
    found = Counter(row.mark for table in report.tables for row in table.rows)
    return ", ".join(f"{found[mark]} {_WORDS[mark].split()[-1]}" for mark in ORDER if found[mark] and _WORDS[mark])


def _section(table: Table, *, alone: bool) -> list[str]:
    lines = [] if alone else [f"### {escape(table.title)}", ""]
    rows = ordered(table.rows)
    open_rows = [row for row in rows if row.mark is not Mark.SAME]
    folded = rows[len(open_rows) :]
    without = "no changes" if folded else _paragraph(escape(table.empty))
    lines += [*(_table(table, open_rows) if open_rows else [without]), ""]
    if folded:
        summary = f"<summary>{count(len(folded), 'unchanged row')}</summary>"
        lines += ["<details>", summary, "", *_table(table, folded), "", "</details>", ""]
    return lines


def _table(table: Table, rows: list[Row]) -> list[str]:
    marked = any(_WORDS[row.mark] for row in rows if row.mark is not Mark.SAME)
    noted = any(row.note for row in rows)
    used = [at for at, _ in enumerate(table.columns) if any(row.cells[at] is not None for row in rows)]
    head = [""] * marked + [escape(table.columns[at].replace("_", " ")) for at in used] + ["note"] * noted
    rule = ["---"] * marked + [_rule(rows, at) for at in used] + ["---"] * noted
    body = [
        [_WORDS[row.mark]] * marked
        + [escape(show(table.columns[at], row.cells[at])) for at in used]
        + [escape(row.note, None)] * noted
        for row in rows
    ]
    return [f"| {' | '.join(line)} |" for line in (head, rule, *body)]


def _rule(rows: list[Row], at: int) -> str:
    """Numbers stand right."""
    cells = [row.cells[at] for row in rows if row.cells[at] is not None]
    return "---:" if cells and all(isinstance(cell, (int, float)) for cell in cells) else "---"
