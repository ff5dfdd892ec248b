"""The plots of a report page: each drawn if it can be, pictures side by side, and the numbers in a table below.

The table is for those who cannot see the drawing, or have none; it is short, the files of the plot have every row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from mlgit.model.report import count, format_bytes, format_cell
from mlgit.ops.compare import thinning
from mlgit.ops.compare.markup import image, safe, scrolled, shortened
from mlgit.ops.compare.plots import Figure, Picture
from mlgit.ops.compare.rendering import Drawer, can_draw
from mlgit.ops.compare.staticplot import Drawn, draw

_MAX_ROWS: Final = 40
_MAX_PICTURE: Final = 2 << 20
_MAX_PICTURES: Final = 20 << 20
_FEW: Final = 60
_SECONDS: Final = 60.0


def figures_section(figures: Sequence[Figure]) -> str:
    """Every figure, the table alone of one that cannot be drawn, or not in time; without `mlgit[plots]` of all."""
    missing = ""
    drawable = any(figure.spec is not None for figure in figures)
    if drawable and not can_draw():
        missing = "<p class=\"note\">drawing plots needs mlgit[plots]: pip install 'mlgit[plots]'</p>\n"
    room = _MAX_PICTURES
    parts = []
    with Drawer(_SECONDS) as drawer:
        for number, figure in enumerate(figures, 1):
            parts.append(_figure(figure, number, room, None if missing else drawer))
            room -= sum(len(picture.data) for picture in figure.pictures if len(picture.data) <= _MAX_PICTURE)
    return f'{missing}<div class="plots">\n{"".join(parts)}</div>\n'


def _figure(figure: Figure, number: int, room: int, drawer: Drawer | None) -> str:
    notes = [f"nothing to draw in {side}" for side in figure.absent]
    body = _pictures(figure.pictures, room) if figure.pictures else ""
    if figure.spec is not None:
        drawn = Drawn("") if drawer is None else draw(figure, number, drawer)
        notes += drawn.notes
        body = f"{drawn.svg}\n{_data(figure, shown=not drawn.svg)}"
    said = "".join(f'<p class="quiet">{safe(shortened(note))}</p>\n' for note in notes)
    across = " across" if figure.pictures else ""
    return f'<div class="plot{across}"><h3>{safe(shortened(figure.title or figure.id))}</h3>\n{said}{body}</div>\n'


def _pictures(pictures: Sequence[Picture], room: int) -> str:
    """One line for each file: every side's picture, all of the same width."""
    lines = []
    for file in dict.fromkeys(picture.file for picture in pictures):
        sides = "".join(_picture(one, room) for one in pictures if one.file == file)
        lines.append(f'<div class="pair">{sides}</div>\n')
    return "".join(lines)


def _picture(picture: Picture, room: int) -> str:
    size = len(picture.data)
    if size > min(_MAX_PICTURE, room):
        shown = safe(f"{shortened(picture.file)}: {format_bytes(size)}, too large for this page")
        return f"<figure>{shown}{_caption(picture)}</figure>"
    return f"<figure>{image(picture)}{_caption(picture)}</figure>"


def _caption(picture: Picture) -> str:
    return f"<figcaption>{safe(shortened(picture.rev))}</figcaption>"


def _data(figure: Figure, *, shown: bool) -> str:
    """The figure's data: equal rows counted where there are many of them, otherwise some at even distances."""
    series = ["series"] if any("series" in record for record in figure.records) else []
    columns = ["rev", *series, *figure.fields]
    rows = [tuple(_text(record.get(column)) for column in columns) for record in figure.records]
    counted = Counter(rows)
    if len(counted) <= max(_FEW, len(rows) // 4) and len(counted) < len(rows):
        columns.append("count")
        rows = [(*row, f"{number:,}") for row, number in sorted(counted.items())]
    some = thinning.evenly(rows, _MAX_ROWS)
    head = "".join(f'<th scope="col">{safe(shortened("side" if name == "rev" else name))}</th>' for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{safe(cell)}</td>' for cell in row)}</tr>\n" for row in some)
    of = f" of {len(rows):,}, at even distances" if len(some) < len(rows) else ""
    title = f"Data: {count(len(some), 'row')}{of}"
    table = scrolled(f"{figure.title or figure.id}, data", f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>")
    return f"<details{' open' * shown}><summary>{safe(title)}</summary>\n{table}</details>\n"


def _text(value: Any) -> str:
    return shortened(format_cell(value), 80)
