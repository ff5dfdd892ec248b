"""A figure as a picture for a page without scripts: thinned, small enough for a phone, readable in print.

The specification is the one that `mlgit plots diff` draws interactively. Here it loses what only a pointer can use, its
title, which the page has as a heading, and points that nobody would see; and the sides are told apart by dashes, widths
and shapes too, since colours are lost in print and on many eyes. Colours of axes and of sides are names for the style
sheet, `report.css`, which has them for light and for dark.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from mlgit.errors import InvalidError
from mlgit.model.report import count
from mlgit.ops.compare import thinning
from mlgit.ops.compare.markup import visible
from mlgit.ops.compare.plots import Figure
from mlgit.ops.compare.rendering import Drawer
from mlgit.ops.compare.svg import inline
from mlgit.ops.compare.vega import HEIGHT, WIDTH

MAX_BYTES: Final = 100_000
MAX_POINTS: Final = 2000
_MAX_DRAWN: Final = 20 * MAX_BYTES  # no drawing shrinks that much when it is put into a page
_SMALL: Final = {(WIDTH, HEIGHT): (320, 210), (HEIGHT, HEIGHT): (260, 260)}
_FACET: Final = 150
_LINES: Final = ("line", "trail")
_DASHES: Final = ([5, 3], [1, 0], [1, 2], [8, 3, 1, 3])
_WIDTHS: Final = (1.3, 2.6, 1.3, 2.6)
_SHAPES: Final = ("circle", "triangle-up", "square", "diamond")
_INK: Final = "#1a1b1c"
_FAINT: Final = "#c9cacb"
_CONFIG: Final[dict[str, Any]] = {
    "aria": False,
    "background": None,
    "font": "Liberation Sans",  # of Arial's widths, as the style sheet asks for: nothing overlaps that was measured
    "view": {"stroke": None},
    "axis": {
        **{"labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": "normal", "labelLimit": 130, "titleLimit": 300},
        **{"labelColor": _INK, "titleColor": _INK, "domainColor": _INK, "tickColor": _INK, "gridColor": _FAINT},
        **{"gridOpacity": 0.6, "labelOverlap": "greedy", "labelSeparation": 4, "tickCount": 5},
    },
    "axisY": {"titleLimit": 200},
    "legend": {
        **{"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "labelLimit": 280, "titleLimit": 280},
        **{"labelColor": _INK, "titleColor": _INK, "orient": "bottom", "gradientLength": 150, "gradientThickness": 10},
        "layout": {"bottom": {"anchor": "start", "direction": "vertical", "margin": 8}},
    },
    "header": {"labelFontSize": 12, "labelLimit": 150, "labelColor": _INK, "titleColor": _INK},
    "title": {"color": _INK},
    "text": {"color": _INK},
}


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure as SVG; `svg` is empty where it could not be drawn, and `notes` say why, or what was left out."""

    svg: str
    notes: tuple[str, ...] = ()


def draw(figure: Figure, number: int, drawer: Drawer) -> Drawn:
    """Render one figure with data.

    Args:
        number: of the plot on its page.

    Raises:
        UsageError: `mlgit[plots]` is not installed.
    """
    sides = list(dict.fromkeys(str(record.get("rev")) for record in figure.records))
    label = visible(f"{figure.title or figure.id}: {' and '.join(sides)}")
    limit = MAX_POINTS
    while limit >= 50:
        kept = _thinned(figure, limit)
        try:
            text = drawer.draw(figure.id, _static(figure, kept), "svg")
            svg = inline(text.decode(), f"plot-{number}", label) if len(text) < _MAX_DRAWN else ""
        except (InvalidError, ValueError) as error:
            return Drawn("", (visible(f"{error}"),))
        if svg and len(svg.encode()) < MAX_BYTES:
            less = f"drawn with {len(kept):,} of {count(len(figure.records), 'point')}"
            return Drawn(svg, (less,) if len(kept) < len(figure.records) else ())
        if _counts(figure.spec):
            break
        limit //= 2
    return Drawn("", ("too detailed to be drawn here; `mlgit plots diff` draws it",))


def _thinned(figure: Figure, limit: int) -> list[Any]:
    """The records to draw: at most `limit` a line, and twice that in all; all where the plot itself sums them up."""
    if _counts(figure.spec) or len(figure.records) <= limit:
        return list(figure.records)
    lines: dict[tuple[Any, Any], list[Any]] = {}
    for record in figure.records:
        lines.setdefault((record.get("rev"), record.get("series")), []).append(record)
    share = max(3, min(limit, 2 * limit // len(lines)))
    joined = any(_mark(unit) in _LINES for unit in _mappings(figure.spec) if "mark" in unit)
    thin = (
        thinning.line(one, figure.fields, share) if joined else thinning.evenly(one, share) for one in lines.values()
    )
    return [record for one in thin for record in one]


def _counts(spec: Any) -> bool:
    """Whether a plot shows sums of its records, so that none may be left out; a bar each needs all of them as well."""
    sums = ("count", "sum", "mean")
    return any("bin" in one or one.get("aggregate") in sums or _mark(one) == "bar" for one in _mappings(spec))


def _mappings(value: Any) -> Any:
    """Every mapping of a specification but its records."""
    if isinstance(value, dict):
        yield value
        for key, below in value.items():
            if key != "values":
                yield from _mappings(below)
    elif isinstance(value, list):
        for below in value:
            yield from _mappings(below)


def _static(figure: Figure, kept: list[Any]) -> dict[str, Any]:
    """The specification as the page draws it."""
    assert figure.spec is not None
    found: dict[str, Any] = _still(figure.spec, figure.records, _shown(kept), facet=False)
    found.pop("title", None)
    own = found.get("config")
    found["config"] = _over(_CONFIG, own) if isinstance(own, dict) else _CONFIG
    return found


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`below` with what `above` has of its own."""
    both = {
        key: _over(below[key], value) if isinstance(value, dict) and isinstance(below.get(key), dict) else value
        for key, value in above.items()
    }
    return {**below, **both, "aria": False}


def _shown(value: Any) -> Any:
    """Data with every text as it can be seen; XML has no place for some characters."""
    if isinstance(value, dict):
        return {visible(str(key)): _shown(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_shown(below) for below in value]
    return visible(value) if isinstance(value, str) else value


def _still(value: Any, records: Any, kept: Any, *, facet: bool) -> Any:
    if value is records:
        return kept
    if isinstance(value, list):
        return [_still(one, records, kept, facet=facet) for one in value if not _hovers(one)]
    if not isinstance(value, dict):
        return visible(value) if isinstance(value, str) else value
    encoding = value.get("encoding")
    split = isinstance(encoding, dict) and not {"row", "column", "facet"}.isdisjoint(encoding)
    facet = facet or split or "facet" in value
    found = {key: _still(below, records, kept, facet=facet) for key, below in value.items()}
    found |= _size(found.get("width"), found.get("height"), facet=facet)
    if isinstance(found.get("encoding"), dict):
        _tell_apart(found["encoding"], _mark(found))
    return found


def _size(width: Any, height: Any, *, facet: bool) -> dict[str, int]:
    """The size that fits a phone, where the template leaves it to us."""
    for (wide, high), small in _SMALL.items():
        if width == wide and height == high:
            return {"width": _FACET, "height": _FACET} if facet else {"width": small[0], "height": small[1]}
    return {"width": _SMALL[WIDTH, HEIGHT][0]} if width == WIDTH else {}


def _hovers(layer: Any) -> bool:
    """Whether a layer shows only where a pointer is."""
    opacity = layer.get("encoding", {}).get("opacity") if isinstance(layer, dict) else None
    return isinstance(opacity, dict) and opacity.get("value") == 0


def _mark(unit: dict[str, Any]) -> str:
    mark = unit.get("mark")
    kind = mark.get("type") if isinstance(mark, dict) else mark
    return kind if isinstance(kind, str) else ""


def _tell_apart(encoding: dict[str, Any], mark: str) -> None:
    """Let sides differ in more than their colour."""
    color = encoding.get("color")
    if not isinstance(color, dict) or color.get("field") != "rev" or len(color.get("scale", {}).get("domain", ())) < 2:
        return
    ways: dict[str, tuple[Any, ...]] = {}
    if mark in _LINES:
        _lengthen(encoding)
    if mark in (*_LINES, "bar"):
        ways = {"strokeWidth": _WIDTHS} if "strokeDash" in encoding else {"strokeDash": _DASHES}
    elif mark == "point":
        ways = {"shape": _SHAPES}
    domain = color["scale"]["domain"]
    for channel, values in ways.items():
        chosen = [values[at % len(values)] for at in range(len(domain))]
        encoding.setdefault(channel, {**encoding["color"], "scale": {"domain": domain, "range": chosen}})


def _lengthen(encoding: dict[str, Any]) -> None:
    """Show enough of a line in a legend for its dashes to be told apart."""
    for channel in ("color", "strokeDash"):
        found = encoding.get(channel)
        if isinstance(found, dict) and isinstance(found.get("legend"), dict):
            encoding[channel] = {**found, "legend": {**found["legend"], "symbolSize": 700, "symbolType": "stroke"}}
