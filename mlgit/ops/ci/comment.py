"""A report as code hosts take it: the body of one comment, within the host's limit, and annotations of files.

A body begins with a hidden marker, by which the comment is found again. What does not fit goes row by row, the least
telling first and failing ones last of all; verdict and notes stay. The same report gives the same bytes.

Whatever a report says may come from a stranger: no text of it may become a workflow command, a quick action of a host
(`/merge` at the start of a line) or a mention.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from mlgit.errors import UsageError
from mlgit.model.markdown import MAX_CELL, to_markdown
from mlgit.model.report import ORDER, Mark, Report, Row, Table, count, ordered, show

KEY: Final = "report"
"""What a report is called where a pull request has only one."""
SHOWN: Final = 10
"""Annotations of one level that GitHub shows of a step."""
_KEY: Final = re.compile(r"\w(?:[\w ./]|-(?!-)){0,99}", re.ASCII)
_URL: Final = re.compile(r"https?://[!-~]+")
_EXPENDABLE: Final = (
    *((Mark.SAME,), (Mark.PASS, Mark.INFO), (Mark.CHANGED, Mark.BETTER), (Mark.ADDED, Mark.REMOVED)),
    *((Mark.WORSE,), (Mark.WARN,), (Mark.FAIL,)),
)
"""Marks of rows in the order in which they go when a comment is too long."""
_LEVELS: Final[dict[Mark, Literal["error", "warning"]]] = {Mark.FAIL: "error", Mark.WARN: "warning"}

_At = tuple[int, int]
"""A row by the number of its table, and its own in it."""


def marker(key: str, *, html: bool = True) -> str:
    """The line, shown nowhere, that tells a comment of mlgit about `key`.

    Args:
        key: lets a pull request have several reports; letters, digits, blanks and `_ . / -`, no `--`.
        html: whether the host hides HTML comments; else it is a Markdown link that nothing refers to.

    Raises:
        UsageError: `key` is not such a name.
    """
    if not _KEY.fullmatch(key) or key.endswith("-"):
        raise UsageError(f"{key!r} cannot name a comment", hint="use letters, digits, blanks and _ . / -")
    return f"<!-- mlgit: {key} -->" if html else f"[//]: # (mlgit: {key})"


def body(report: Report, *, limit: int, link: str = "", key: str = KEY, html: bool = True) -> str:
    """`report` as a comment of at most `limit` bytes of UTF-8, which are never fewer than the characters a host counts.

    Args:
        link: address of the whole report, such as the run that made it; shown only where rows are missing, since a
            comment that says the same must stay the same.
        html: whether the host shows HTML; without it unchanged rows cannot be folded and are left out.

    Raises:
        UsageError: `key` is not a name (`marker`).
    """
    head = marker(key, html=html) + "\n\n"
    report, droppable = _noted(report, limit), _droppable(report)
    folded = 0 if html else sum(row.mark is Mark.SAME for table in report.tables for row in table.rows)
    low, high = max(folded, _least(report, droppable, limit)), len(droppable)
    if size(_with(report, droppable[:low], head, link)) > limit:
        while low < high:
            middle = (low + high) // 2
            fits = size(_with(report, droppable[:middle], head, link)) <= limit
            low, high = (low, middle) if fits else (middle + 1, high)
    return cut(_with(report, droppable[:low], head, link), limit, link)


def size(text: str) -> int:
    """Bytes of `text` as it is sent."""
    return len(text.encode("utf-8", "surrogatepass"))


def cut(text: str, limit: int, link: str = "") -> str:
    """`text` within `limit` bytes: as it is, or whole lines of it and a sentence that says so."""
    if size(text) <= limit:
        return text
    end = f"\n> **Note:** cut here, it is too long{_linked(link)}\n"
    room, kept = limit - size(f"\n</details>\n{end}"), []
    for line in text.split("\n"):
        room -= size(line) + 1
        if room < 0:
            break
        kept.append(line)
    closing = ["", "</details>"] * (kept.count("<details>") - kept.count("</details>"))
    return "\n".join([*kept, *closing]) + "\n" + end


def _with(report: Report, dropped: Sequence[_At], head: str, link: str) -> str:
    gone = frozenset(dropped)
    text = to_markdown(dataclasses.replace(report, tables=tuple(_tables(report, gone))), report)
    if gone:
        marks = Counter(report.tables[table].rows[row].mark for table, row in gone)
        kinds = ", ".join(
            f"{marks[mark]:,} {'unchanged' if mark is Mark.SAME else mark.value}" for mark in ORDER if marks[mark]
        )
        text += f"\n> **{count(len(gone), 'row')} not shown** ({kinds}){_linked(link)}\n"
    return head + _inert(text)


def _droppable(report: Report) -> list[_At]:
    """Rows in the order in which they go: the least telling first, and among equals the last first."""
    rows = [(at, place, row.mark) for at, table in enumerate(report.tables) for place, row in enumerate(table.rows)]
    rows.reverse()
    return [(at, place) for marks in _EXPENDABLE for at, place, mark in rows if mark in marks]


def _noted(report: Report, limit: int) -> Report:
    """`report` without the notes that begin where no comment reaches; `cut` says that something is missing."""
    ends = itertools.accumulate(map(len, report.notes))
    notes = tuple(note for note, end in zip(report.notes, ends, strict=True) if end - len(note) <= limit)
    return dataclasses.replace(report, notes=notes)


def _least(report: Report, droppable: Sequence[_At], limit: int) -> int:
    """How many rows must go at least: no text gets shorter by being escaped, so nothing too long is ever rendered."""
    total = sum(map(len, report.notes)) + sum(_length(row) for table in report.tables for row in table.rows)
    for number, (table, row) in enumerate(droppable):
        if total <= limit:
            return number
        total -= _length(report.tables[table].rows[row])
    return len(droppable)


def _length(row: Row) -> int:
    return len(row.note) + sum(min(len(cell), MAX_CELL) for cell in row.cells if isinstance(cell, str))


def _tables(report: Report, gone: frozenset[_At]) -> Iterator[Table]:
    for at, table in enumerate(report.tables):
        rows = tuple(row for place, row in enumerate(table.rows) if (at, place) not in gone)
        empty = f"{count(len(table.rows), 'row')} not shown" if table.rows else table.empty
        yield dataclasses.replace(table, rows=rows, empty=empty)


def _inert(text: str) -> str:
    """`text` without a line that a host would obey, and without a reference to a merge request."""
    text = re.sub(r"^([ \t]*)/", r"\1&#47;", text, flags=re.MULTILINE)
    return re.sub(r"!(?=\d)", "!\u200b", text)


def _linked(link: str) -> str:
    """The end of a sentence that leads to the whole report; an address that could break out of it is left out."""
    return f": [the whole report](<{link}>)" if _URL.fullmatch(link) and not re.search(r"[<>\\]", link) else ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A row that fails or warns, as a note beside a line of a file.

    Attributes:
        file: path below the repository's root; empty if the row names none.
        line: from 1; 0 if the row names none.
    """

    level: Literal["error", "warning"]
    file: str
    line: int
    title: str
    message: str


def findings(report: Report) -> list[Finding]:
    """What fails, then what warns; texts are as the report has them, but nothing in them is invisible."""
    rows = [(table, row) for table in report.tables for row in ordered(table.rows) if row.mark in _LEVELS]
    return sorted((_finding(table, row) for table, row in rows), key=lambda one: one.level)


def _finding(table: Table, row: Row) -> Finding:
    file, _, line = row.where.rpartition(":")
    if not (file and line.isascii() and line.isdigit() and 0 < len(line) < 10 and int(line)):
        file, line = row.where, "0"
    filled = [one for one in zip(table.columns, row.cells, strict=True) if one[1] not in (None, "")]
    cells = [f"{column} {show(column, cell)}" for column, cell in filled]
    message = "; ".join(filter(None, [", ".join(cells), row.note])) or table.title
    title = f"{table.title}: {show(*filled[0])}" if filled else table.title
    return Finding(_LEVELS[row.mark], _visible(file), int(line), _visible(title)[:250], _visible(message)[:10_000])


def _visible(text: str) -> str:
    r"""`text` on one line; what cannot be seen is spelt as `\n`, `\x1b`, `\u202e`."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode()
        for character in text
    )


def workflow_commands(report: Report) -> str:
    """Workflow commands that show failing and warning rows beside the files they name, each on a line of its own.

    GitHub shows ten of a level; where there are more, the tenth says how many.

    Source: GitHub, "Workflow commands for GitHub Actions".
    """
    lines: list[str] = []
    for level in ("error", "warning"):
        found = [one for one in findings(report) if one.level == level]
        room = SHOWN if len(found) <= SHOWN else SHOWN - 1
        lines += [_command(one) for one in found[:room]]
        if len(found) > room:
            lines.append(f"::{level} title=mlgit::{len(found) - room} more of this kind; the job summary shows them")
    return "".join(f"{line}\n" for line in lines)


def _command(one: Finding) -> str:
    place = [f"file={_property(one.file)}"] * bool(one.file) + [f"line={one.line}"] * bool(one.file and one.line)
    return f"::{one.level} {','.join([*place, f'title={_property(one.title)}'])}::{_data(one.message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
