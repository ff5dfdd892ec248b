"""Which stages a command line means beyond single names: patterns, whole pipelines, the stage file one stands beside.

Pure: all is told from the stage files that are read already; nothing here looks at the working tree.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase

from mlgit.errors import UsageError
from mlgit.model import stage
from mlgit.model.relpath import RelPath
from mlgit.model.stagepath import resolve_path
from mlgit.pipeline import load
from mlgit.pipeline.graph import Graph
from mlgit.pipeline.load import Project


def matching(project: Project, patterns: Iterable[str], folder: RelPath) -> tuple[str, ...]:
    """The addresses whose stages' names match any of `patterns`, as typed in `folder`.

    `train-*` stands for stages of the stage file in `folder`, or of any if none of those match; `FILE:train-*` for
    stages of that file. In a pattern `*`, `?` and `[…]` mean what they mean to a shell.

    Raises:
        UsageError: a pattern matches nothing.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        matched = _matching(project, pattern, folder)
        if not matched:
            names = {one.name for one in project.stages.values()}
            near = difflib.get_close_matches(pattern.strip("*"), sorted(names), 1)
            hint = (
                f"did you mean {near[0]!r}?" if near else "quote it from the shell; `mlgit stage list` shows the stages"
            )
            raise UsageError(f"no stage matches {pattern!r}", hint=hint)
        found.update(dict.fromkeys(matched))
    return tuple(found)


def _matching(project: Project, pattern: str, folder: RelPath) -> list[str]:
    file, _, name = pattern.rpartition(":")
    among = resolve_path(file, folder, "target") if file else folder.child(stage.NAME)
    near = [each for each, one in project.stages.items() if one.file == among and fnmatchcase(one.name, name)]
    if near or file:
        return near
    return [each for each, one in project.stages.items() if fnmatchcase(one.name, name)]


def beside(project: Project, folder: RelPath) -> tuple[str, ...]:
    """The stages of the stage file in `folder`; every stage where that has none."""
    file = project.files.get(folder.child(stage.NAME))
    if file is None or not file.stages:
        return tuple(project.stages)
    return tuple(load.address(folder.child(stage.NAME), name) for name in file.stages)


def whole(graph: Graph, addresses: Collection[str]) -> tuple[str, ...]:
    """All stages that are connected with one of `addresses`, in either direction, in the order to run them."""
    found = set(addresses)
    waiting = list(found)
    while waiting:
        one = waiting.pop()
        fresh = {*graph.upstream[one], *graph.downstream[one]} - found
        found |= fresh
        waiting.extend(fresh)
    return graph.sort(found)
