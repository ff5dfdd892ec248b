"""Drawing a pipeline as text: a tree, a Mermaid flowchart, a Graphviz graph, Markdown. Pure; nothing recurses.

Names come from a repository, so each format quotes them and control characters are shown, never sent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from mlgit.pipeline.graph import Graph

_AGAIN: Final = " (see above)"


def tree(graph: Graph, chosen: Collection[str]) -> str:
    """The `chosen` stages as a tree, what comes first on top; a stage that several feed is spelled out once."""
    lines: list[str] = []
    shown: set[str] = set()
    roots = [address for address in graph.sort(chosen) if not _among(graph.upstream[address], chosen)]
    waiting = [(address, "", "") for address in reversed(roots)]
    while waiting:
        address, head, below = waiting.pop()
        children = _among(graph.downstream[address], chosen)
        again = address in shown and bool(children)
        lines.append(f"{head}{printable(address)}{_AGAIN if again else ''}")
        if address in shown:
            continue
        shown.add(address)
        last = len(children) - 1
        branches = [
            (child, f"{below}{'└── ' if at == last else '├── '}", f"{below}{'    ' if at == last else '│   '}")
            for at, child in enumerate(children)
        ]
        waiting.extend(reversed(branches))
    return "".join(f"{line}\n" for line in lines)


def mermaid(graph: Graph, chosen: Collection[str]) -> str:
    """The `chosen` stages as a Mermaid flowchart."""
    addresses = graph.sort(chosen)
    ids = {address: f"node{number}" for number, address in enumerate(addresses, 1)}
    nodes = [f'    {ids[address]}["{_for_mermaid(address)}"]\n' for address in addresses]
    edges = [f"    {ids[first]}-->{ids[second]}\n" for first, second in _edges(graph, addresses, chosen)]
    return "".join(["flowchart TD\n", *nodes, *edges])


def dot(graph: Graph, chosen: Collection[str]) -> str:
    """The `chosen` stages as a Graphviz digraph."""
    addresses = graph.sort(chosen)
    nodes = [f"  {_for_dot(address)};\n" for address in addresses]
    edges = [f"  {_for_dot(first)} -> {_for_dot(second)};\n" for first, second in _edges(graph, addresses, chosen)]
    return "".join(["digraph mlgit {\n", *nodes, *edges, "}\n"])


def markdown(graph: Graph, chosen: Collection[str]) -> str:
    """The `chosen` stages as a fenced Mermaid flowchart, which code hosts draw."""
    return f"```mermaid\n{mermaid(graph, chosen)}```\n"


def printable(text: str) -> str:
    """`text` with whatever is not printable spelled out."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _among(addresses: Sequence[str], chosen: Collection[str]) -> list[str]:
    return [address for address in addresses if address in chosen]


def _edges(graph: Graph, addresses: Sequence[str], chosen: Collection[str]) -> Iterator[tuple[str, str]]:
    for address in addresses:
        for near in _among(graph.downstream[address], chosen):
            yield address, near


def _for_mermaid(text: str) -> str:
    for bad, good in (("#", "#35;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;"), ("`", "#96;")):
        text = text.replace(bad, good)
    return printable(text)


def _for_dot(text: str) -> str:
    quoted = printable(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"'
