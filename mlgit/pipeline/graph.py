"""The order of stages: who produces what, who needs it, and in which sequence everything can run.

A stage needs another when it reads one of its outputs, a file inside one, or a folder that holds one, or when a pattern
among its dependencies may match something in one. Everything is linear in stages and paths, nothing recurses, and the
order depends on the stage files alone.
"""

from __future__ import annotations

import bisect
import heapq
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mlgit.errors import InvalidError
from mlgit.model.glob import literal_start, may_hold
from mlgit.model.relpath import RelPath
from mlgit.model.stage import Stage

_LAST: Final = chr(sys.maxunicode)


@dataclass(frozen=True, slots=True)
class Graph:
    """Stages with their edges.

    Attributes:
        stages: by address.
        upstream: for each stage, the stages it needs, sorted.
        downstream: for each stage, the stages that need it, sorted.
        order: every stage after all it needs; among the free ones the order of the stage files.
        makers: output path → the stage that declares it.
        inside: folder → the stages that declare an output somewhere below it.
    """

    stages: Mapping[str, Stage]
    upstream: Mapping[str, tuple[str, ...]]
    downstream: Mapping[str, tuple[str, ...]]
    order: tuple[str, ...]
    makers: Mapping[RelPath, str]
    inside: Mapping[RelPath, Collection[str]]

    def makers_of(self, path: RelPath) -> Collection[str]:
        """The stages that produce `path`: it, a folder around it, or something in it."""
        return _makers_of(path, self.makers, self.inside)

    def sort(self, chosen: Iterable[str]) -> tuple[str, ...]:
        """`chosen`, each once, in the order to run them."""
        among = set(chosen)
        return tuple(address for address in self.order if address in among)

    def reach(self, start: Iterable[str], *, up: bool, stop: Collection[str] = ()) -> set[str]:
        """`start` and all that is upstream, or downstream, of it; nothing is followed beyond `stop`."""
        edges = self.upstream if up else self.downstream
        found = set(start)
        waiting = list(found)
        while waiting:
            address = waiting.pop()
            fresh = [near for near in edges[address] if near not in found] if address not in stop else []
            found.update(fresh)
            waiting.extend(fresh)
        return found


def build(stages: Mapping[str, Stage], tracked: Mapping[RelPath, RelPath]) -> Graph:
    """Connect `stages`; `tracked` are paths that pointer files own, with the pointer's path.

    Raises:
        InvalidError: two declare overlapping outputs, or the stages need each other in a circle.
    """
    makers = _makers(stages, tracked)
    inside = _outs_by_folder(makers)
    matched = _makers_by_glob({glob for stage in stages.values() for glob in stage.globs}, makers)
    upstream: dict[str, tuple[str, ...]] = {}
    downstream: dict[str, list[str]] = {address: [] for address in stages}
    for address, stage in stages.items():
        needed = {maker for path in stage.inputs for maker in _makers_of(path, makers, inside)}
        needed.update(maker for glob in stage.globs for maker in matched[glob])
        upstream[address] = tuple(sorted(needed))
    for address in sorted(stages):
        for near in upstream[address]:
            downstream[near].append(address)
    order = _order(stages, upstream, downstream)
    return Graph(
        stages, upstream, {address: tuple(near) for address, near in downstream.items()}, order, makers, inside
    )


def _upwards(path: RelPath) -> list[RelPath]:
    """`path` and every folder above it, the root left out."""
    places, end = [path], len(path)
    while (end := path.rfind("/", 0, end)) > 0:
        places.append(RelPath(path[:end]))
    return places


def _makers(stages: Mapping[str, Stage], tracked: Mapping[RelPath, RelPath]) -> dict[RelPath, str]:
    owners: dict[RelPath, str] = {path: str(pointer) for path, pointer in tracked.items()}
    makers: dict[RelPath, str] = {}
    for address, stage in stages.items():
        for out in stage.outs:
            if out.path in owners:
                raise _overlap(stage, out.path, out.path, owners[out.path])
            owners[out.path] = f"stage {address!r}"
            makers[out.path] = address
    for path, address in makers.items():
        for folder in _upwards(path)[1:]:
            if folder in owners:
                raise _overlap(stages[address], path, folder, owners[folder])
    for path, pointer in tracked.items():
        for folder in _upwards(path)[1:]:
            if folder in makers:
                raise _overlap(stages[makers[folder]], folder, path, str(pointer))
    return makers


def _overlap(stage: Stage, path: RelPath, other: RelPath, owner: str) -> InvalidError:
    reason = f"is also an output of {owner}" if path == other else f"overlaps with {str(other)!r}, an output of {owner}"
    return InvalidError(
        f"{stage.file}:{stage.line}: stages.{stage.name}: the output {str(path)!r} {reason}",
        hint="one path has one maker: give one of the two another path, or remove it there",
    )


def _outs_by_folder(makers: Mapping[RelPath, str]) -> dict[RelPath, set[str]]:
    """For every folder above an output, the root included, the stages that produce something in it."""
    inside: dict[RelPath, set[str]] = {}
    for path, address in makers.items():
        for folder in (*_upwards(path)[1:], RelPath("")):
            inside.setdefault(folder, set()).add(address)
    return inside


def _makers_of(
    path: RelPath, makers: Mapping[RelPath, str], inside: Mapping[RelPath, Collection[str]]
) -> Collection[str]:
    for place in _upwards(path):
        if place in makers:
            return (makers[place],)
    return inside.get(path, ())


def _makers_by_glob(globs: Collection[str], makers: Mapping[RelPath, str]) -> dict[str, list[str]]:
    """For each pattern, the stages with an output that may match it, or hold files that do.

    Only outputs that begin as the pattern does, and folders above its beginning, are compared with it.
    """
    paths = sorted(makers) if globs else []
    found = {}
    for glob in globs:
        start = literal_start(glob)
        first = bisect.bisect_left(paths, start)
        near = paths[first : bisect.bisect_left(paths, start + _LAST)]
        above = [path for path in _upwards(RelPath(start.rpartition("/")[0])) if path in makers]
        found[glob] = [makers[path] for path in (*above, *near) if may_hold(path, glob)]
    return found


def _order(
    stages: Mapping[str, Stage], upstream: Mapping[str, tuple[str, ...]], downstream: Mapping[str, list[str]]
) -> tuple[str, ...]:
    """Kahn's algorithm; the free stage that is written first goes first."""
    rank = {address: number for number, address in enumerate(stages)}
    names = list(stages)
    missing = {address: len(upstream[address]) for address in stages}
    free = [rank[address] for address in stages if not missing[address]]
    order: list[str] = []
    while free:
        address = names[heapq.heappop(free)]
        order.append(address)
        for near in downstream[address]:
            missing[near] -= 1
            if not missing[near]:
                heapq.heappush(free, rank[near])
    if len(order) < len(stages):
        raise _circle({address for address in stages if missing[address]}, stages, upstream)
    return tuple(order)


def _circle(left: set[str], stages: Mapping[str, Stage], upstream: Mapping[str, tuple[str, ...]]) -> InvalidError:
    """Walk upstream among the stages that never became free: the walk must come back to itself."""
    walk: dict[str, None] = {}
    address = min(left)
    while address not in walk:
        walk[address] = None
        address = next(near for near in upstream[address] if near in left)
    seen = list(walk)
    circle = [*seen[seen.index(address) :], address]
    first = stages[address]
    return InvalidError(
        f"{first.file}:{first.line}: stages need each other in a circle: {' → '.join(reversed(circle))}",
        hint="remove one of the deps, or the output that feeds it",
    )
