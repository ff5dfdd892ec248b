"""Drawing a pipeline as text: a tree, a Mermaid flowchart, a Graphviz graph, Markdown, JSON. Pure; nothing recurses.

A drawing is of stages, or of the outputs and tracked data between them. Names come from a repository, so each format
quotes them and control characters are shown, never sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from mlgit.model.glob import may_hold
from mlgit.model.lock import StageLock
from mlgit.model.relpath import RelPath
from mlgit.model.stage import Out, Stage
from mlgit.pipeline.graph import Graph
from mlgit.pipeline.status import StageStatus

State = Literal["up to date", "changed", "frozen", "never run"]
Paint = Callable[[str, State], str]

VERSION: Final = 1
SYMBOLS: Final[dict[State, str]] = {"up to date": "✓", "changed": "~", "frozen": "*", "never run": "○"}
COLORS: Final[dict[State, tuple[str, str]]] = {
    "up to date": ("#dcfce7", "#047857"),
    "changed": ("#fef3c7", "#b45309"),
    "frozen": ("#dbeafe", "#1d4ed8"),
    "never run": ("#f1f5f9", "#475569"),
}
"""Fill and line of each state, wherever there are colours; the word always stands beside them."""
_AGAIN: Final = " (see above)"
_MERMAID: Final = {
    **{"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "`": "#96;"},
    **{"&": "#amp;", "%": "#37;", "\\": "#92;"},  # entities, directives, and `\n`, which would break the line
}


@dataclass(frozen=True, slots=True)
class Fact:
    """What is known of a stage besides its declaration.

    Attributes:
        state: None where nobody asked.
        why: what changed, in words.
        started: when it last ran, ISO 8601; None if no record tells.
        seconds: how long that took.
    """

    state: State | None = None
    why: str = ""
    started: str | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """One box: a stage, an output of one, or data that a pointer tracks.

    Attributes:
        stage: the address of the stage that it is, or that makes it; None for tracked data.
    """

    name: str
    kind: Literal["stage", "output", "data"] = "stage"
    desc: str | None = None
    stage: str | None = None
    fact: Fact = Fact()


@dataclass(frozen=True, slots=True)
class Drawing:
    """Boxes in an order in which everything comes after what it needs, and arrows between them by name."""

    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...]


def of_stages(graph: Graph, chosen: Collection[str], facts: Mapping[str, Fact] | None = None) -> Drawing:
    """The `chosen` stages, with `facts` by address as far as they are wanted."""
    known = facts or {}
    addresses = graph.sort(chosen)
    nodes = [
        Node(address, "stage", graph.stages[address].desc, address, known.get(address, Fact())) for address in addresses
    ]
    edges = [(one, near) for one in addresses for near in graph.downstream[one] if near in chosen]
    return Drawing(tuple(nodes), tuple(edges))


def of_outs(
    graph: Graph,
    chosen: Collection[str],
    tracked: Collection[RelPath],
    facts: Mapping[str, Fact] | None = None,
) -> Drawing:
    """The outputs of the `chosen` stages, and those of the `tracked` paths that they read."""
    known = facts or {}
    addresses = graph.sort(chosen)
    nodes: dict[str, Node] = {}
    edges: dict[tuple[str, str], None] = {}
    below = _by_folder(tracked)
    for address in addresses:
        stage = graph.stages[address]
        sources = [source for path in stage.inputs for source in _sources(graph, path, chosen, tracked, below)]
        sources += [source for glob in stage.globs for source in _matched(graph, address, glob, chosen, tracked)]
        for source in sources:
            nodes.setdefault(source, Node(source, "data"))
        for out in stage.outs:
            nodes[out.path] = Node(out.path, "output", out.desc, address, known.get(address, Fact()))
            edges |= dict.fromkeys((source, str(out.path)) for source in sources)
    return Drawing(tuple(nodes.values()), tuple(edges))


def _sources(
    graph: Graph,
    path: RelPath,
    chosen: Collection[str],
    tracked: Collection[RelPath],
    below: Mapping[RelPath, list[RelPath]],
) -> Iterator[str]:
    """What a stage reads with `path`: outputs of the chosen stages that overlap with it, or tracked data."""
    for maker in graph.makers_of(path):
        if maker in chosen:
            yield from (out.path for out in graph.stages[maker].outs if _overlap(out, path))
    around = next((folder for folder in _upwards(path) if folder in tracked), None)
    yield from [around] if around is not None else below.get(path, ())


def _matched(
    graph: Graph, address: str, glob: str, chosen: Collection[str], tracked: Collection[RelPath]
) -> Iterator[str]:
    """What a pattern of a stage may stand for."""
    for maker in graph.upstream[address]:
        if maker in chosen:
            yield from (out.path for out in graph.stages[maker].outs if may_hold(out.path, glob))
    yield from (path for path in tracked if may_hold(path, glob))


def _overlap(out: Out, path: RelPath) -> bool:
    return path.within(out.path) or out.path.within(path)


def _upwards(path: RelPath) -> Iterator[RelPath]:
    while path:
        yield path
        path = path.parent


def _by_folder(paths: Collection[RelPath]) -> dict[RelPath, list[RelPath]]:
    found: dict[RelPath, list[RelPath]] = {}
    for path in sorted(paths):
        for folder in (*list(_upwards(path))[1:], RelPath("")):
            found.setdefault(folder, []).append(path)
    return found


def state_of(status: StageStatus, locked: StageLock | None) -> State:
    """A stage's state in a word."""
    if status.stage.frozen:
        return "frozen"
    if locked is None:
        return "never run"
    return "changed" if status.changes else "up to date"


def tree(drawing: Drawing, paint: Paint | None = None) -> str:
    """The drawing as a tree, what comes first on top; a box that several feed is spelled out once.

    Args:
        paint: colours the sign and the word of a state; by default they stay plain.
    """
    nodes = {node.name: node for node in drawing.nodes}
    below = _children(drawing)
    fed = {second for _, second in drawing.edges}
    lines: list[str] = []
    shown: set[str] = set()
    waiting = [(node.name, "", "") for node in reversed(drawing.nodes) if node.name not in fed]
    while waiting:
        name, head, indent = waiting.pop()
        children = below[name]
        if name in shown:
            lines.append(f"{head}{printable(name)}{_AGAIN if children else ''}")
            continue
        lines.append(f"{head}{printable(name)}{_label(nodes[name], paint)}")
        shown.add(name)
        last = len(children) - 1
        branches = [
            (child, f"{indent}{'└── ' if at == last else '├── '}", f"{indent}{'    ' if at == last else '│   '}")
            for at, child in enumerate(children)
        ]
        waiting.extend(reversed(branches))
    return "".join(f"{line}\n" for line in lines)


def _children(drawing: Drawing) -> dict[str, list[str]]:
    below: dict[str, list[str]] = {node.name: [] for node in drawing.nodes}
    for first, second in drawing.edges:
        below[first].append(second)
    return below


def _label(node: Node, paint: Paint | None) -> str:
    state = node.fact.state
    if state is None:
        return ""
    label = f"{SYMBOLS[state]} {state}"
    return f"  {paint(label, state) if paint else label}"


def mermaid(drawing: Drawing, *, rich: bool = False) -> str:
    """The drawing as a Mermaid flowchart.

    Args:
        rich: with descriptions, and a class for each state.
    """
    ids = {node.name: f"node{number}" for number, node in enumerate(drawing.nodes, 1)}
    nodes = [f"    {ids[node.name]}{_mermaid_node(node, rich)}\n" for node in drawing.nodes]
    edges = [f"    {ids[first]}-->{ids[second]}\n" for first, second in drawing.edges]
    states = sorted({node.fact.state for node in drawing.nodes if node.fact.state}) if rich else []
    classes = [
        f"    classDef {_class(state)} fill:{COLORS[state][0]},stroke:{COLORS[state][1]},color:#1a202c\n"
        for state in states
    ]
    return "".join(["flowchart TD\n", *nodes, *edges, *classes])


def _mermaid_node(node: Node, rich: bool) -> str:
    lines = [node.name]
    if rich and node.desc:
        lines.append(node.desc)
    state = node.fact.state if rich else None
    if state:
        lines.append(f"{SYMBOLS[state]} {state}")
    label = "<br/>".join(map(for_mermaid, lines))
    shape = f'[("{label}")]' if node.kind == "data" else f'["{label}"]'
    return shape + (f":::{_class(state)}" if state else "")


def _class(state: State) -> str:
    """A state as a name in Mermaid and CSS."""
    return state.replace(" ", "-")


def dot(drawing: Drawing) -> str:
    """The drawing as a Graphviz digraph."""
    nodes = [f"  {_for_dot(node.name)};\n" for node in drawing.nodes]
    edges = [f"  {_for_dot(first)} -> {_for_dot(second)};\n" for first, second in drawing.edges]
    return "".join(["digraph mlgit {\n", *nodes, *edges, "}\n"])


def markdown(drawing: Drawing) -> str:
    """The drawing as a fenced Mermaid flowchart, which code hosts draw."""
    return f"```mermaid\n{mermaid(drawing, rich=True)}```\n"


def to_json(drawing: Drawing, stages: Mapping[str, Stage]) -> str:
    """The drawing as one JSON object: `nodes` (name, kind, stage, desc, state, why, started, seconds), `edges`."""
    value: dict[str, Any] = {
        "version": VERSION,
        "kind": "dag",
        "nodes": [_node_value(node, stages) for node in drawing.nodes],
        "edges": [{"from": first, "to": second} for first, second in drawing.edges],
    }
    return json.dumps(value, indent=2, ensure_ascii=False)


def _node_value(node: Node, stages: Mapping[str, Stage]) -> dict[str, Any]:
    fact, stage = node.fact, stages.get(node.stage or "")
    return {
        "name": node.name,
        "kind": node.kind,
        "stage": node.stage,
        "file": stage.file if stage else None,
        "line": stage.line if stage else None,
        "desc": node.desc,
        "state": fact.state,
        "why": fact.why or None,
        "started": fact.started,
        "seconds": fact.seconds,
    }


def printable(text: str) -> str:
    """`text` with whatever is not printable spelled out."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def for_mermaid(text: str) -> str:
    """`text` inside the quotes of a Mermaid label, so that it shows exactly that."""
    return printable("".join(_MERMAID.get(character, character) for character in text))


def _for_dot(text: str) -> str:
    quoted = printable(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"'
