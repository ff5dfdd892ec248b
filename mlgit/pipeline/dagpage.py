"""A drawing of a pipeline as one HTML page: the graph as a picture, and below it every box in words.

The page has no script and asks for nothing: its content policy forbids every request. Each box is a link to its part of
the list, so a keyboard and a screen reader get around. Names come from a repository and are escaped.
"""

from __future__ import annotations

import html
import itertools
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from mlgit.model.stage import Stage
from mlgit.pipeline.dag import COLORS, SYMBOLS, Drawing, Node, State, printable
from mlgit.pipeline.layers import Layout, lay_out

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
_BOX: Final = (228, 76)
_GAP: Final = (28, 44)
_EDGE: Final = 12
_WIDE: Final = 8
"""A graph of more boxes across is shown as a whole at first: its upper left corner may be empty."""
_STYLE: Final = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1a202c; background: #fff; max-width: 70rem; margin: 0 auto;
  padding: 1rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
.quiet { color: #4a5568; } .key { display: flex; flex-wrap: wrap; gap: .25rem 1rem; padding: 0; list-style: none; }
.graph { overflow: auto; max-height: 85vh; border: 1px solid #e2e8f0; border-radius: 8px; }
.graph:focus-visible, a:focus-visible { outline: 3px solid #2563eb; outline-offset: 2px; }
.graph a:focus-visible rect { stroke: #2563eb; stroke-width: 4; }
.graph > svg { display: block; margin: 0 auto; } #fit:checked ~ .graph > svg { max-width: 100%; height: auto; }
input { width: 1.1rem; height: 1.1rem; vertical-align: -.2rem; }
svg text { font: 13px system-ui, sans-serif; fill: #1a202c; }
svg .name { font-weight: 600; font-size: 14px; } svg .desc { fill: #4a5568; font-size: 12px; }
svg path { fill: none; stroke: #94a3b8; stroke-width: 1.5; }
svg rect { stroke-width: 1.5; } svg marker path { fill: #94a3b8; stroke: none; }
article { border: 1px solid #e2e8f0; border-left-width: 5px; border-radius: 6px; padding: .6rem .9rem;
  margin: .6rem 0; }
article:target { box-shadow: 0 0 0 3px #93c5fd; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem .9rem; margin: .3rem 0 0; }
dt { color: #4a5568; } dd { margin: 0; overflow-wrap: anywhere; } code { font-size: .9em; white-space: pre-wrap; }
.state { font-size: .85rem; border-radius: 4px; padding: 0 .4rem; border: 1px solid; white-space: nowrap; }
"""


def page(drawing: Drawing, stages: Mapping[str, Stage], title: str) -> str:
    """The page, complete in itself.

    Args:
        stages: by address; what they declare is told in the list.
        title: the name of the project.
    """
    ids = {node.name: f"n{number}" for number, node in enumerate(drawing.nodes, 1)}
    layout = lay_out([node.name for node in drawing.nodes], drawing.edges)
    near = _near(drawing)
    listed = "".join(_article(node, near[node.name], ids, stages) for node in drawing.nodes)
    count = len(drawing.nodes)
    noun = "stage" if all(node.kind == "stage" for node in drawing.nodes) else "output"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(title)}: pipeline</title><style>{_STYLE}{_state_rules()}</style></head><body>"
        f"<h1>{_text(title)}</h1>{_key(drawing.nodes)}"
        f'<input type="checkbox" id="fit"{" checked" * (layout.width > _WIDE)}> <label for="fit">fit to width</label>'
        f'<div class="graph" tabindex="0" role="group" aria-label="Graph">{_svg(drawing, layout, ids)}</div>'
        f"<h2>{count} {noun if count == 1 else noun + 's'}</h2><main>{listed}</main></body></html>\n"
    )


def _text(text: str) -> str:
    return html.escape("\n".join(map(printable, text.split("\n"))), quote=True)


def _state_rules() -> str:
    rules = [
        f"svg .{_class(state)} rect, .state.{_class(state)} {{ fill: {fill}; stroke: {line}; background: {fill};"
        f" border-color: {line}; }} article.{_class(state)} {{ border-left-color: {line}; }}"
        for state, (fill, line) in COLORS.items()
    ]
    return "\n".join([*rules, "svg .plain rect { fill: #fff; stroke: #475569; }\n"])


def _class(state: State | None) -> str:
    return state.replace(" ", "-") if state else "plain"


def _key(nodes: Sequence[Node]) -> str:
    """How many boxes are in which state."""
    states = [node.fact.state for node in nodes]
    items = [f"<li>{_badge(state)} {states.count(state)}</li>" for state in SYMBOLS if state in states]
    return f'<ul class="key">{"".join(items)}</ul>' if items else ""


def _badge(state: State | None) -> str:
    return f'<span class="state {_class(state)}">{SYMBOLS[state]} {state}</span>' if state else ""


def _svg(drawing: Drawing, layout: Layout, ids: Mapping[str, str]) -> str:
    width = layout.width * (_BOX[0] + _GAP[0]) - _GAP[0] + 2 * _EDGE
    height = max(layout.layers, 1) * (_BOX[1] + _GAP[1]) - _GAP[1] + 2 * _EDGE
    arrows = "".join(f'<path d="{_path(points)}" marker-end="url(#tip)"/>' for points in layout.arrows.values())
    boxes = "".join(_box(node, layout.boxes[node.name], ids[node.name]) for node in drawing.nodes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"'
        f' viewBox="0 0 {width:.0f} {height:.0f}">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 8 4 0 8z"/></marker></defs>{arrows}{boxes}</svg>'
    )


def _corner(place: tuple[float, int]) -> tuple[float, float]:
    """The upper left corner of a box, in pixels."""
    return _EDGE + place[0] * (_BOX[0] + _GAP[0]), _EDGE + place[1] * (_BOX[1] + _GAP[1])


def _path(points: Sequence[tuple[float, int]]) -> str:
    """A curve from the foot of the first box to the head of the last one, upright through every layer between."""
    corners = [_corner(point) for point in points]
    middles = [(x + _BOX[0] / 2, y) for x, y in corners]
    drawn = f"M{middles[0][0]:.1f} {middles[0][1] + _BOX[1]:.1f}"
    for (x, y), (to_x, to_y) in itertools.pairwise(middles):
        foot = y + _BOX[1]
        half = (foot + to_y) / 2
        drawn += f"V{foot:.1f}C{x:.1f} {half:.1f} {to_x:.1f} {half:.1f} {to_x:.1f} {to_y:.1f}"
    return drawn


def _box(node: Node, place: tuple[float, int], target: str) -> str:
    x, y = _corner(place)
    fact = node.fact
    lines = [("name", _fit(node.name, 23)), ("desc", _fit(node.desc or "", 30)), ("", _last_line(node))]
    written = [line for line in lines if line[1]]
    head = _BOX[1] / 2 + 5 - 9.5 * (len(written) - 1)
    radius, left = (_BOX[1] / 2 - 1, 24) if node.kind == "data" else (8, 12)
    texts = "".join(
        f'<text class="{name}" x="{left}" y="{head + 19 * at:.1f}">{_text(line)}</text>'
        for at, (name, line) in enumerate(written)
    )
    label = " – ".join(filter(None, [node.name, node.desc, fact.state, fact.why]))
    return (
        f'<a href="#{target}" class="{_class(fact.state)}"><title>{_text(label)}</title>'
        f'<svg x="{x:.1f}" y="{y:.1f}" width="{_BOX[0]}" height="{_BOX[1]}">'
        f'<rect x="1" y="1" width="{_BOX[0] - 2}" height="{_BOX[1] - 2}" rx="{radius:.0f}"/>{texts}</svg></a>'
    )


def _last_line(node: Node) -> str:
    state, seconds = node.fact.state, node.fact.seconds
    parts = [f"{SYMBOLS[state]} {state}" if state else "", "" if seconds is None else duration(seconds)]
    return " · ".join(filter(None, parts)) or ("tracked data" if node.kind == "data" else "")


def duration(seconds: float) -> str:
    """A length of time for people: `0.4 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _fit(text: str, width: int) -> str:
    """`text` cut to `width` columns; what East Asian scripts write is two wide."""
    line, used = "", 0
    for character in printable(" ".join(text.split())):
        used += 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if used > width:
            return line[:-1] + "…"
        line += character
    return line


def _near(drawing: Drawing) -> dict[str, tuple[list[str], list[str]]]:
    """For each box, what leads to it and what it leads to."""
    near: dict[str, tuple[list[str], list[str]]] = {node.name: ([], []) for node in drawing.nodes}
    for first, second in drawing.edges:
        near[second][0].append(first)
        near[first][1].append(second)
    return near


def _article(node: Node, near: tuple[list[str], list[str]], ids: Mapping[str, str], stages: Mapping[str, Stage]) -> str:
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in _rows(node, near, ids, stages))
    return (
        f'<article id="{ids[node.name]}" class="{_class(node.fact.state)}"><h3>{_text(node.name)} '
        f"{_badge(node.fact.state)}</h3>{_paragraph(node.desc)}<dl>{rows}</dl></article>"
    )


def _paragraph(text: str | None) -> str:
    return f'<div class="quiet">{_text(text)}</div>' if text else ""


def _rows(
    node: Node, near: tuple[list[str], list[str]], ids: Mapping[str, str], stages: Mapping[str, Stage]
) -> Iterator[tuple[str, str]]:
    fact, stage = node.fact, stages.get(node.stage or "")
    if fact.why:
        yield "changed", _text(fact.why)
    if stage is not None and node.kind == "stage":
        yield "command", f"<code>{_text(stage.command.strip())}</code>"
        params = [f"{ref.file}:{key}" for ref in stage.params for key in ref.keys or ("*",)]
        for name, values in (("reads", stage.deps), ("params", params), ("writes", [out.path for out in stage.outs])):
            if values:
                yield name, ", ".join(f"<code>{_text(value)}</code>" for value in values)
    elif node.stage is not None:
        yield "made by", _text(node.stage)
    for name, others in zip(("after", "before"), near, strict=True):
        if others:
            yield name, ", ".join(f'<a href="#{ids[one]}">{_text(one)}</a>' for one in others)
    if fact.seconds is not None:
        yield "last run", f"{_text(fact.started or '')[:19].replace('T', ' ')} UTC, {duration(fact.seconds)}"
