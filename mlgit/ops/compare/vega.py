"""Vega-Lite specifications from templates: DVC's anchors filled with a plot's data, fields and labels.

A template is a Vega-Lite JSON document in which texts such as `<DVC_METRIC_DATA>` stand for what only a plot knows, so
templates written for DVC work as they are. Names come from `mlgit/ops/compare/templates/`, from `.mlgit/plots/`, or are
a path in the repository. A template is data from whoever wrote the repository: it is only ever filled and rendered,
one that names a URL, which could also be a file of this machine, is refused, and rendering has no network (`page.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import resources
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, Final

from mlgit.errors import InvalidError, UnsafeError
from mlgit.model.metric import parse_value
from mlgit.model.relpath import RelPath
from mlgit.model.text import MAX_DEPTH

if TYPE_CHECKING:
    from mlgit.work.snapshot import Snapshot

BUILT_IN: Final = (
    *("linear", "simple", "smooth", "scatter", "scatter_jitter", "confusion", "confusion_normalized"),
    *("bar_horizontal", "bar_horizontal_sorted", "histogram", "roc", "pr"),
)
DEFAULT: Final = "linear"
FOLDER: Final = ".mlgit/plots"
_ANCHOR: Final = re.compile(r"<DVC_METRIC_([A-Z_]+)>")
_DATA: Final = "<DVC_METRIC_DATA>"
_GONE: Final = object()
WIDTH: Final = 420
HEIGHT: Final = 300
_COLORS: Final = ("#7c8794", "#2563eb", "#d97706", "#059669", "#c026d3", "#dc2626", "#0891b2")
_DASHES: Final = ([1, 0], [8, 4], [4, 4], [4, 2], [2, 2], [1, 2])
_SHAPES: Final = ("circle", "square", "triangle", "diamond", "cross")


def load_template(name: str | None, snapshot: Snapshot) -> dict[str, Any]:
    """A template by name or path; a file of the repository goes before a built-in one of the same name.

    Raises:
        InvalidError: there is none, it is no JSON mapping, or it has no place for the data.
        UnsafeError: the path leaves the repository, or the template loads something by itself.
    """
    name = name or DEFAULT
    path = RelPath.parse(name, "plot template")
    for place in (RelPath(f"{FOLDER}/{path}"), RelPath(f"{FOLDER}/{path}.json"), path):
        data = snapshot.read(place)
        if data is not None:
            return _checked(parse_value(data, place if place.endswith(".json") else f"{place}.json"), place)
    if name not in BUILT_IN:
        raise InvalidError(
            f"no plot template {name!r} in {snapshot.name}",
            hint=f"put one at {FOLDER}/{name}.json, or use one of: {', '.join(BUILT_IN)}",
        )
    text = resources.files("mlgit.ops.compare").joinpath(f"templates/{name}.json").read_text(encoding="utf-8")
    return _checked(json.loads(text), name)


def _checked(template: Any, where: str) -> dict[str, Any]:
    """A template that has a place for the data and takes nothing from elsewhere."""
    if not isinstance(template, dict):
        raise InvalidError(f"{where}: a plot template must be a JSON mapping", hint="write a Vega-Lite specification")
    open_values: list[tuple[Any, int]] = [(template, 0)]
    has_data = False
    while open_values:
        value, depth = open_values.pop()
        if depth > MAX_DEPTH:
            raise InvalidError(f"{where}: nested too deeply", hint="simplify the template")
        if isinstance(value, dict) and "url" in value:
            raise UnsafeError(
                f"{where}: a plot template that loads {str(value['url'])!r:.80} is refused",
                hint="put the data into the plot's own file; templates may not use `url`",
            )
        has_data = has_data or value == _DATA
        below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        open_values += [(item, depth + 1) for item in below]
    if not has_data:
        raise InvalidError(f"{where}: no place for the data", hint=f'write "data": {{"values": "{_DATA}"}} in it')
    return {key: value for key, value in template.items() if key != "usermeta"}  # it would set options of the page


def fill(template: dict[str, Any], anchors: Mapping[str, Any]) -> dict[str, Any]:
    """`template` with each anchor replaced by its value; a property whose anchor has no value is left out.

    Args:
        anchors: values by lower-case name, such as `{"x": "step", "data": [...]}`; `color` stands for
            `<DVC_METRIC_COLOR>`. Texts also replace an anchor inside a longer text.
    """
    filled: dict[str, Any] = _fill(template, anchors)
    return filled


def _fill(value: Any, anchors: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        parts = {key: _fill(below, anchors) for key, below in value.items()}
        return {key: part for key, part in parts.items() if part is not _GONE}
    if isinstance(value, list):
        return [part for part in (_fill(below, anchors) for below in value) if part is not _GONE]
    if not isinstance(value, str):
        return value
    whole = _ANCHOR.fullmatch(value)
    if whole:
        return anchors.get(whole[1].lower(), _GONE)
    return _ANCHOR.sub(lambda match: _inner(anchors.get(match[1].lower(), "")), value)


def _inner(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def anchors_for(
    records: list[dict[str, Any]],
    fields: tuple[str, str],
    labels: Mapping[str, str | None],
    revisions: list[str],
    series: list[str],
) -> dict[str, Any]:
    """The values of all of DVC's anchors for one plot.

    Args:
        records: data rows; `rev` is the side a row comes from, and `series` the line where there are several.
        fields: names of the columns for x and y, from `field_name`.
        labels: `title`, `x_label` and `y_label`; the fields' names where there is none.
        revisions: every side, in the order of their colours.
        series: names of the lines a side has; empty if it has one.
    """
    x, y = (_escape_field(name) for name in fields)
    colors = _COLORS if len(revisions) > 1 else _COLORS[1:]
    group = ["rev", *(["series"] if series else [])]
    found: dict[str, Any] = {
        "data": records,
        "x": x,
        "y": y,
        "title": labels.get("title") or "",
        "x_label": labels.get("x_label") or fields[0],
        "y_label": labels.get("y_label") or fields[1],
        "color": _scale("rev", revisions, colors, {"title": None, "orient": "bottom", "direction": "vertical"}),
        "tooltip": [{"field": name} for name in (*group, x, y)],
        "group_by": group,
        "group_by_x": [*group, x],
        "group_by_y": [*group, y],
        "pivot_field": " + '::' + ".join(f"datum.{name}" for name in group),
        "zoom_and_pan": {"name": "grid", "select": "interval", "bind": "scales"},
        "plot_width": WIDTH,
        "plot_height": HEIGHT,
    }
    if series:
        empty = {"symbolFillColor": "transparent", "symbolStrokeColor": "grey", "title": None, "orient": "bottom"}
        found |= {"row": {"field": "series", "sort": []}, "column": {"field": "series", "sort": []}}
        found |= {"stroke_dash": _scale("series", series, _DASHES, empty)}
        found |= {"shape": _scale("series", series, _SHAPES, empty)}
    return found


def field_name(column: str) -> str:
    """A name for a column that Vega-Lite can quote; its expressions break on quotes and backslashes."""
    return re.sub(r"[\"'\\\x00-\x1f]", "_", column)


def _escape_field(name: str) -> str:
    """A field's name in an encoding, where dots and brackets would mean a path."""
    return re.sub(r"([.\[\]])", r"\\\1", name)


def _scale(field: str, domain: list[str], range_: tuple[Any, ...], legend: dict[str, Any]) -> dict[str, Any]:
    colours = list(islice(cycle(range_), len(domain)))
    return {"field": field, "type": "nominal", "scale": {"domain": domain, "range": colours}, "legend": legend}
