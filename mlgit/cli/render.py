"""The only place that prints: reports as tables, JSON or Markdown to stdout, everything else to stderr.

Text from files and remotes is escaped before it reaches a terminal and never parsed as Rich markup.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from mlgit.cli.session import Session
from mlgit.errors import InvalidError
from mlgit.model.report import Cell, Mark, Report, Row, Table, ordered, show, to_json

if TYPE_CHECKING:
    from mlgit.errors import MlgitError

_COLORS: Final = {
    Mark.FAIL: "31",
    Mark.WARN: "33",
    Mark.PASS: "32",
    Mark.BETTER: "32",
    Mark.WORSE: "31",
    Mark.CHANGED: "33",
    Mark.ADDED: "32",
    Mark.REMOVED: "31",
    Mark.SAME: "2",
    Mark.INFO: "",
}
_PATHS: Final = frozenset({"path", "from", "named_by"})
_MALFORMED: Final = "mend it there; `git diff` shows what changed since the last commit"


def out(text: str) -> None:
    """Data for stdout."""
    with reading():
        sys.stdout.write(text if text.endswith("\n") else text + "\n")


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Write to who may have seen enough, as in `mlgit ci | head`: that does not change what a command decides."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def raw(data: bytes) -> None:
    """Bytes for stdout, as they are."""
    sys.stdout.buffer.write(data)


def say(session: Session, text: str) -> None:
    """A remark for stderr, unless the user wants quiet."""
    if not session.quiet:
        with reading():
            sys.stderr.write(printable(text) + "\n")


def fail(error: MlgitError, session: Session | None = None) -> None:
    """An error and its hint, for stderr."""
    hint = error.hint or (_MALFORMED if isinstance(error, InvalidError) else None)
    for title, text in (("error", error.message), ("hint", hint)):
        if text:
            sys.stderr.write(f"{title}: {printable(session.as_typed(text) if session else text)}\n")


_CONTROLS: Final = {code: chr(code).encode("unicode_escape").decode() for code in (*range(32), 127) if code != 10}


def printable(text: str) -> str:
    """`text` with control and direction-changing characters escaped, line ends kept."""
    if text.isascii():
        return text if text.isprintable() else text.translate(_CONTROLS)
    return "".join(one if one == "\n" or _harmless(one) else one.encode("unicode_escape").decode() for one in text)


def _harmless(character: str) -> bool:
    return (
        character.isprintable()
        and character not in "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    )


def report(session: Session, value: Report, *, json: bool = False, md: bool = False, every: bool = True) -> None:
    """Show a report.

    Args:
        every: also rows in which nothing changed; JSON and Markdown always have them.
    """
    if json:
        out(to_json(value))
    elif md:
        from mlgit.model.markdown import to_markdown

        out(to_markdown(value))
    else:
        _as_text(session, value, every)
    with reading():
        sys.stdout.flush()


def _as_text(session: Session, value: Report, every: bool) -> None:
    if value.base is not None and value.head is not None:
        out(printable(f"{value.base} → {value.head}"))
    shown = False
    for table in value.tables:
        rows = [row for row in ordered(table.rows) if every or row.note or row.mark is not Mark.SAME]
        if not rows:
            continue
        if shown:
            out("")
        _table(session, table, rows, titled=len(value.tables) > 1)
        shown = True
    for note in value.notes:
        out(printable(note))
    if not shown and not value.notes:
        unchanged = any(table.rows for table in value.tables)
        say(session, "no changes" if unchanged else value.tables[0].empty)
    if value.verdict.words:
        out(printable(f"{value.title}: {value.verdict.words}"))


def _table(session: Session, table: Table, rows: list[Row], *, titled: bool) -> None:
    used = [at for at, _ in enumerate(table.columns) if any(row.cells[at] is not None for row in rows)]
    cells = [[_cell(session, row.cells[at], table.columns[at]) for at in used] for row in rows]
    if titled:
        out(printable(f"{table.title}:"))
    heads = [_head(table.columns[at]) for at in used]
    widths = [max(len(heads[at]), *(len(line[at]) for line in cells)) for at in range(len(used))]
    right = [all(isinstance(row.cells[at], (int, float, type(None))) for row in rows) for at in used]
    out(_painted(session, "1", "  " + _line(heads, widths, right)))
    for row, line in zip(rows, cells, strict=True):
        note = f"  {printable(row.note)}" if row.note else ""
        out(_painted(session, _COLORS[row.mark], f"{row.mark.symbol} {_line(line, widths, right)}{note}"))


def _painted(session: Session, color: str, line: str) -> str:
    """A line in a colour (the parameter of ANSI's SGR) on a terminal; Rich would take longer to load than to work."""
    return f"\x1b[{color}m{line}\x1b[0m" if session.color and color else line


def _line(cells: list[str], widths: list[int], right: list[bool]) -> str:
    padded = (
        cell.rjust(width) if to_right else cell.ljust(width)
        for cell, width, to_right in zip(cells, widths, right, strict=True)
    )
    return "  ".join(padded).rstrip()


def _head(column: str) -> str:
    """A column's name; in a table of many revisions it is what somebody called a branch."""
    return printable(column.replace("_", " "))


def _cell(session: Session, cell: Cell, column: str) -> str:
    if column in _PATHS and isinstance(cell, str):
        cell = session.shown(cell)
    return printable(show(column, cell)).replace("\n", "\\n")


def plan(session: Session, lines: Iterable[str]) -> None:
    """What a `--dry-run` would do."""
    listed = [printable(line) for line in lines]
    for line in listed or ["nothing to do"]:
        out(line)
    say(session, "nothing was changed (--dry-run)")
