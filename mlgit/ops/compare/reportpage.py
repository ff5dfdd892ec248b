"""Any report, and the plots that belong to it, as one HTML file: to be kept as an artifact and read on a phone.

The page has no script and loads nothing: its content policy forbids both, plots are drawn before as SVG, pictures are
data URIs. Names and values come from whoever opened the pull request, so every text is escaped, long ones are cut, and
long tables end with a count of what is left out. What `page.py` makes is for exploring; this is for reading.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Final
from urllib.parse import urlsplit

from mlgit.model.report import ORDER, Cell, Mark, Report, Row, Table, Verdict, count, ordered, show
from mlgit.ops.compare.figuresection import figures_section
from mlgit.ops.compare.markup import safe, scrolled, shortened
from mlgit.ops.compare.plots import Figure

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_MAX_ROWS: Final = 1000
_MAX_NOTES: Final = 100
_MAX_NOTE: Final = 2000
_SHORT: Final = 28
_BANNERS: Final = {
    Verdict.PASS: ("yes", "✓"),
    Verdict.NOT_EVALUABLE: ("unknown", "!"),
    Verdict.NOT_COMPARABLE: ("unknown", "!"),
}
"""How a verdict is shown; any other is a no."""


@dataclass(frozen=True, slots=True)
class _Section:
    id: str
    title: str
    body: str


def report_page(report: Report, figures: Sequence[Figure] = (), *, link: str | None = None) -> str:
    """The page, complete in itself.

    Without `mlgit[plots]` it says so and has the plots' data as tables.

    Args:
        figures: plots of base and head together, as `plots_diff` gives them.
        link: the address of the run that made it; left out if it is not http or https.
    """
    sections = list(_sections(report, figures))
    title = safe(shortened(f"{report.title}: {_verdict(report)[1]}" if report.verdict.words else report.title))
    style = resources.files("mlgit.ops.compare").joinpath("report.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f'<a class="skip" href="#content">Skip to the tables</a>\n<header>\n{_header(report)}</header>\n'
        f'{_contents(sections)}<main id="content" tabindex="-1">\n{_notes(report)}'
        f"{''.join(map(_whole, sections))}</main>\n{_footer(link)}</body>\n</html>\n"
    )


def _sections(report: Report, figures: Sequence[Figure]) -> Iterator[_Section]:
    names = (f"s{number}" for number in itertools.count(1))
    for table in report.tables:
        yield _Section(next(names), shortened(table.title), _table(table))
    if figures:
        yield _Section(next(names), "Figures", figures_section(figures))


def _verdict(report: Report) -> tuple[str, str]:
    """The banner's class, and what it says."""
    kind, sign = _BANNERS.get(report.verdict, ("no", "✗"))
    return kind, f"{sign} {report.verdict.words}"


def _header(report: Report) -> str:
    kind, words = _verdict(report)
    banner = f'<p class="verdict {kind}">{safe(words)}</p>\n' if report.verdict.words else ""
    sides = " → ".join(shortened(side) for side in (report.base, report.head) if side is not None)
    found = Counter(row.mark for table in report.tables for row in table.rows)
    summary = ", ".join(f"{found[mark]:,} {mark.value}" for mark in ORDER if found[mark] and mark is not Mark.INFO)
    lines = "".join(f'<p class="quiet">{safe(line)}</p>\n' for line in (sides, summary) if line)
    return f"<h1>{safe(shortened(report.title))}</h1>\n{banner}{lines}"


def _contents(sections: Sequence[_Section]) -> str:
    if len(sections) < 2:
        return ""
    items = "".join(f'<li><a href="#{one.id}">{safe(one.title)}</a></li>' for one in sections)
    return f'<nav aria-label="Contents"><ul>{items}</ul></nav>\n'


def _notes(report: Report) -> str:
    shown = [f'<p class="note"><strong>Note:</strong> {_note(note)}</p>\n' for note in report.notes[:_MAX_NOTES]]
    left = len(report.notes) - len(shown)
    return "".join(shown) + (f'<p class="quiet">and {count(left, "more note")}</p>\n' if left else "")


def _note(text: str) -> str:
    return safe(shortened(text, _MAX_NOTE))


def _whole(section: _Section) -> str:
    return (
        f'<section aria-labelledby="{section.id}">\n<h2 id="{section.id}">{safe(section.title)}</h2>\n'
        f"{section.body}</section>\n"
    )


def _footer(link: str | None) -> str:
    if link is None or not _is_web(link):
        return ""
    return f'<footer><a href="{safe(link)}" rel="noopener noreferrer">The run that made this report</a></footer>\n'


def _is_web(link: str) -> bool:
    try:
        parts = urlsplit(link)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def _table(table: Table) -> str:
    rows = ordered(table.rows)
    open_rows = [row for row in rows if row.mark is not Mark.SAME]
    folded = rows[len(open_rows) :]
    nothing = "no changes" if folded else safe(shortened(table.empty))
    shown = _rows(table, open_rows, table.title) if open_rows else f"<p>{nothing}</p>\n"
    if not folded:
        return shown
    what = count(len(folded), "unchanged row")
    return f"{shown}<details><summary>{what}</summary>\n{_rows(table, folded, f'{table.title}, unchanged')}</details>\n"


def _rows(table: Table, rows: Sequence[Row], label: str) -> str:
    """One scrollable table; columns in which no row has anything are left out."""
    shown = rows[:_MAX_ROWS]
    used = [at for at, _ in enumerate(table.columns) if any(row.cells[at] is not None for row in shown)]
    one = _one_file(table, shown)
    if one:
        used.remove(table.columns.index("file"))
    kinds = {at: _kind(row.cells[at] for row in shown) for at in used}
    marked = any(row.mark.symbol.strip() for row in shown)
    head = '<th scope="col">result</th>' if marked else ""
    head += "".join(
        f'<th scope="col"{kinds[at]}>{safe(shortened(table.columns[at].replace("_", " ")))}</th>' for at in used
    )
    body = "".join(_row(table, row, kinds, marked=marked) for row in shown)
    left = len(rows) - len(shown)
    more = f'<p class="quiet">and {count(left, "more row")}; the JSON has them all</p>\n' if left else ""
    in_file = f'<p class="quiet">{safe(shortened(one))}</p>\n' if one else ""
    return in_file + scrolled(label, f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>") + more


def _one_file(table: Table, rows: Sequence[Row]) -> str:
    """The file that all rows are about, which then needs no column; empty if there are several or none."""
    if "file" not in table.columns or len(table.columns) == 1:
        return ""
    found = {row.cells[table.columns.index("file")] for row in rows}
    one = found.pop()
    return one if isinstance(one, str) and not found else ""


def _kind(cells: Iterable[Cell]) -> str:
    """Numbers stand right, text gets room."""
    filled = [cell for cell in cells if cell is not None]
    if all(isinstance(cell, (int, float)) for cell in filled):
        return ' class="n"'
    return ' class="t"' if any(len(str(cell)) > _SHORT for cell in filled) else ' class="s"'


def _row(table: Table, row: Row, kinds: dict[int, str], *, marked: bool) -> str:
    name = row.mark.value
    mark = f"{row.mark.symbol} {name}" if row.mark.symbol.strip() else ""
    cells = f'<td class="m {name}">{mark}</td>' if marked else ""
    cells += "".join(
        f"<td{kind}>{safe(shortened(show(table.columns[at], row.cells[at])))}</td>" for at, kind in kinds.items()
    )
    told = row.where if row.mark in (Mark.FAIL, Mark.WARN) else ""
    place = f' <span class="quiet">{safe(shortened(told))}</span>' if told else ""
    if not row.note and not place:
        return f"<tr>{cells}</tr>\n"
    width = len(kinds) + marked
    return f'<tr>{cells}</tr>\n<tr class="more"><td colspan="{width}"><div>{_note(row.note)}{place}</div></td></tr>\n'
