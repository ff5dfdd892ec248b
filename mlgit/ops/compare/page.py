"""Figures as one self-contained HTML page, or as PNG or SVG files.

The page works offline and stays offline: the JavaScript stands in it once, its content policy forbids every request,
and pictures are data URIs. Names, values and templates come from the repository, so they are escaped, and the JSON of
a specification cannot end its script element. `vl-convert-python` (`mlgit[plots]`) renders; it is loaded when needed.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from mlgit.model.report import Report, Row, Table, ordered, show
from mlgit.ops.compare.markup import image, safe
from mlgit.ops.compare.plots import Drawing, Figure, Picture
from mlgit.ops.compare.rendering import VEGA_LITE, Drawer, Format, finite, renderer

_POLICY: Final = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:"
)
_STYLE: Final = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1a202c; background: #fff; max-width: 70rem; margin: 0 auto;
  padding: 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; }
th, td { padding: .25rem .75rem; border-bottom: 1px solid #e2e8f0; text-align: left; }
section, .wide { overflow-x: auto; margin: 1.5rem 0; }
.pair { display: flex; flex-wrap: wrap; gap: 1rem; } figure { margin: 0; flex: 1 1 18rem; }
img { max-width: 100%; border: 1px solid #e2e8f0; } figcaption, .quiet { color: #4a5568; }
.fail, .worse, .removed { color: #b91c1c; } .pass, .better, .added { color: #047857; }
"""
_START: Final = """
const specs = JSON.parse(document.getElementById("specs").textContent);
for (const [id, spec] of Object.entries(specs)) {
  vegaEmbed("#" + id, spec, {mode: "vega-lite", renderer: "svg",
    actions: {export: true, source: false, compiled: false, editor: false}}).catch((error) => {
    document.getElementById(id).textContent = "cannot draw this plot: " + error.message;
  });
}
"""


def render_html(drawing: Drawing) -> str:
    """The page, complete in itself.

    Raises:
        UsageError: `mlgit[plots]` is not installed and there is data to draw.
    """
    report = drawing.report
    sides = " → ".join(side for side in (report.base, report.head) if side is not None)
    specs = {f"plot-{number}": figure.spec for number, figure in enumerate(drawing.figures) if figure.spec is not None}
    scripts = ""
    if specs:
        data = _embeddable(specs)
        scripts = (
            f'<script type="application/json" id="specs">{data}</script>\n'
            f"<script>{renderer().javascript_bundle(vl_version=VEGA_LITE)}</script>\n<script>{_START}</script>\n"
        )
    sections = "".join(_section(number, figure) for number, figure in enumerate(drawing.figures))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{safe(report.title)} {safe(sides)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f'<h1>{safe(report.title)}</h1>\n<p class="quiet">{safe(sides)}</p>\n{_summary(report)}{sections}'
        f"{scripts}</body>\n</html>\n"
    )


def export(drawing: Drawing, kind: Format) -> dict[str, bytes]:
    """Every figure as a file: name → bytes. Pictures keep their own format, one file a side.

    Raises:
        UsageError: `mlgit[plots]` is not installed and there is data to draw.
        InvalidError: a template gives a specification that cannot be drawn, or not in reasonable time and memory.
    """
    files: dict[str, bytes] = {}
    with Drawer() as drawer:
        for figure in drawing.figures:
            if figure.spec is not None:
                files[_free_name(figure.id, kind, files)] = drawer.draw(figure.id, figure.spec, kind)
            for picture in figure.pictures:
                extension = picture.file.rpartition(".")[2].lower()
                stem = figure.id.removesuffix(f".{extension}")
                files[_free_name(f"{stem}.{picture.rev}", extension, files)] = picture.data
    return files


def _section(number: int, figure: Figure) -> str:
    absent = "".join(f'<p class="quiet">nothing to draw in {safe(side)}</p>\n' for side in figure.absent)
    if figure.spec is not None:
        body = f'<div id="plot-{number}"></div>\n'
    else:
        body = f'<div class="pair">{"".join(map(_picture, figure.pictures))}</div>\n' if figure.pictures else ""
    return f"<section>\n<h2>{safe(figure.id)}</h2>\n{body}{absent}</section>\n"


def _picture(picture: Picture) -> str:
    return f"<figure>{image(picture)}<figcaption>{safe(picture.rev)}</figcaption></figure>"


def _summary(report: Report) -> str:
    notes = "".join(f"<p><strong>Note:</strong> {safe(note)}</p>\n" for note in report.notes)
    return notes + "".join(_table(table) for table in report.tables)


def _table(table: Table) -> str:
    if not table.rows:
        return f"<p>{safe(table.empty)}</p>\n"
    head = "".join(f"<th>{safe(column)}</th>" for column in ("", *table.columns))
    rows = "".join(_row(table, row) for row in ordered(table.rows))
    return f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n'


def _row(table: Table, row: Row) -> str:
    cells = "".join(
        f"<td>{safe(show(column, cell))}</td>" for column, cell in zip(table.columns, row.cells, strict=True)
    )
    note = f" – {safe(row.note)}" if row.note else ""
    return f'<tr><td class="{row.mark.value}">{row.mark.value}{note}</td>{cells}</tr>\n'


def _embeddable(value: Any) -> str:
    """JSON that is safe inside a script element: nothing in it can close the element or open a comment."""
    text = json.dumps(finite(value), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _free_name(text: str, extension: str, taken: dict[str, bytes]) -> str:
    stem = re.sub(r"[^\w.\-]+", "_", text).strip("._")[:100] or "plot"
    names = (f"{stem}{'' if number == 1 else f'-{number}'}.{extension}" for number in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)
