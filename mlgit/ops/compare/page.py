"""Figures as one self-contained HTML page, or as PNG or SVG files.

The page works offline and stays offline: the JavaScript stands in it once, its content policy forbids every request,
and pictures are data URIs. Names, values and templates come from the repository, so they are escaped, and the JSON of
a specification cannot end its script element. `vl-convert-python` (`mlgit[plots]`) renders; it is loaded when needed.
"""

from __future__ import annotations

import base64
import html
import json
import math
import re
from typing import Any, Final, Literal

from mlgit.errors import InvalidError, UsageError
from mlgit.model.report import Report, Row, Table, ordered, show
from mlgit.ops.compare.files import IMAGES
from mlgit.ops.compare.plots import Drawing, Figure, Picture

Format = Literal["png", "svg"]

_VEGA_LITE: Final = "5.21"
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
            f"<script>{_vl_convert().javascript_bundle(vl_version=_VEGA_LITE)}</script>\n<script>{_START}</script>\n"
        )
    sections = "".join(_section(number, figure) for number, figure in enumerate(drawing.figures))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_safe(report.title)} {_safe(sides)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f'<h1>{_safe(report.title)}</h1>\n<p class="quiet">{_safe(sides)}</p>\n{_summary(report)}{sections}'
        f"{scripts}</body>\n</html>\n"
    )


def export(drawing: Drawing, kind: Format) -> dict[str, bytes]:
    """Every figure as a file: name → bytes. Pictures keep their own format, one file a side.

    Raises:
        UsageError: `mlgit[plots]` is not installed and there is data to draw.
        InvalidError: a template gives a specification that cannot be drawn.
    """
    files: dict[str, bytes] = {}
    for figure in drawing.figures:
        if figure.spec is not None:
            files[_free_name(figure.id, kind, files)] = render_image(figure, kind)
        for picture in figure.pictures:
            extension = picture.file.rpartition(".")[2].lower()
            stem = figure.id.removesuffix(f".{extension}")
            files[_free_name(f"{stem}.{picture.rev}", extension, files)] = picture.data
    return files


def render_image(figure: Figure, kind: Format) -> bytes:
    """One figure with data as PNG or SVG.

    Raises:
        UsageError: `mlgit[plots]` is not installed.
        InvalidError: the specification cannot be drawn.
    """
    renderer = _vl_convert()
    text = json.dumps(_finite(figure.spec), allow_nan=False)
    try:
        if kind == "svg":
            return str(renderer.vegalite_to_svg(text, vl_version=_VEGA_LITE, allowed_base_urls=[])).encode()
        return bytes(renderer.vegalite_to_png(text, vl_version=_VEGA_LITE, scale=2, allowed_base_urls=[]))
    except ValueError as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else "unknown reason"
        raise InvalidError(f"plot {figure.id!r} cannot be drawn: {reason}", hint="check its template") from error


def _vl_convert() -> Any:
    try:
        import vl_convert
    except ImportError as error:
        raise UsageError(
            "drawing plots needs vl-convert-python, which is not installed", hint="pip install 'mlgit[plots]'"
        ) from error
    return vl_convert


def _section(number: int, figure: Figure) -> str:
    absent = "".join(f'<p class="quiet">nothing to draw in {_safe(side)}</p>\n' for side in figure.absent)
    if figure.spec is not None:
        body = f'<div id="plot-{number}"></div>\n'
    else:
        body = f'<div class="pair">{"".join(map(_picture, figure.pictures))}</div>\n' if figure.pictures else ""
    return f"<section>\n<h2>{_safe(figure.id)}</h2>\n{body}{absent}</section>\n"


def _picture(picture: Picture) -> str:
    kind = IMAGES["." + picture.file.rpartition(".")[2].lower()]
    data = base64.b64encode(picture.data).decode()
    alt = _safe(f"{picture.file} in {picture.rev}")
    caption = f"<figcaption>{_safe(picture.rev)}</figcaption>"
    return f'<figure><img src="data:{kind};base64,{data}" alt="{alt}">{caption}</figure>'


def _summary(report: Report) -> str:
    notes = "".join(f"<p><strong>Note:</strong> {_safe(note)}</p>\n" for note in report.notes)
    return notes + "".join(_table(table) for table in report.tables)


def _table(table: Table) -> str:
    if not table.rows:
        return f"<p>{_safe(table.empty)}</p>\n"
    head = "".join(f"<th>{_safe(column)}</th>" for column in ("", *table.columns))
    rows = "".join(_row(table, row) for row in ordered(table.rows))
    return f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n'


def _row(table: Table, row: Row) -> str:
    cells = "".join(
        f"<td>{_safe(show(column, cell))}</td>" for column, cell in zip(table.columns, row.cells, strict=True)
    )
    note = f" – {_safe(row.note)}" if row.note else ""
    return f'<tr><td class="{row.mark.value}">{row.mark.value}{note}</td>{cells}</tr>\n'


def _safe(text: str) -> str:
    """Text for HTML and its attributes; characters that cannot be encoded or seen are shown as escapes."""
    shown = re.sub(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]",
        lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(),
        text,
    )
    return html.escape(shown)


def _embeddable(value: Any) -> str:
    """JSON that is safe inside a script element: nothing in it can close the element or open a comment."""
    text = json.dumps(_finite(value), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _finite(value: Any) -> Any:
    """`value` with what JSON cannot hold, NaN and infinities, as null: a gap in a line."""
    if isinstance(value, dict):
        return {key: _finite(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_finite(below) for below in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _free_name(text: str, extension: str, taken: dict[str, bytes]) -> str:
    stem = re.sub(r"[^\w.\-]+", "_", text).strip("._")[:100] or "plot"
    names = (f"{stem}{'' if number == 1 else f'-{number}'}.{extension}" for number in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)
