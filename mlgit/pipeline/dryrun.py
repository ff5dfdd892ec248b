"""What `repro` would do, found out without doing it.

Behind a stage that would run, inputs are unknown: such a stage is reported as one that may run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mlgit.model.glob import may_hold
from mlgit.model.lock import StageLock
from mlgit.model.relpath import RelPath
from mlgit.model.runrecord import RunRecord
from mlgit.model.stage import Stage
from mlgit.model.tree import Content
from mlgit.pipeline.graph import Graph
from mlgit.pipeline.observe import Observer
from mlgit.pipeline.plan import Options, Step, decide, decide_blind, select
from mlgit.pipeline.status import Seen

Lookup = Callable[[Stage, Seen], RunRecord | None]


def foresee(
    graph: Graph,
    locked: Mapping[str, StageLock],
    observer: Observer,
    options: Options,
    *,
    has: Callable[[Content], bool],
    remembered: Lookup,
) -> tuple[Step, ...]:
    """The steps that reproducing with `options` would take.

    Args:
        has: whether a content is in the cache.
        remembered: looks a stage with its inputs up in the run cache.
    """
    steps: dict[str, Step] = {}
    for address in select(graph, options):
        stage, entry = graph.stages[address], locked.get(address)
        unknown: dict[str, list[str]] = {path: _unsettled(graph, path, steps) for path in stage.inputs}
        unknown |= {glob: _unsettled_matches(graph, address, glob, steps) for glob in stage.globs}
        behind = sorted({near for makers in unknown.values() for near in makers})
        seen = observer.look(stage, entry, {path for path, makers in unknown.items() if makers})
        if behind:
            step = decide_blind(stage, entry, seen, force=options.force, behind=behind)
        else:
            step = decide(stage, entry, seen, force=options.force, has=has, remembered=lambda: remembered(stage, seen))  # noqa: B023
        done = entry if step.action == "skip" else step.entry
        if done is not None:
            observer.learn(done.outs)
        steps[address] = step
    return tuple(steps.values())


def _unsettled_matches(graph: Graph, address: str, glob: str, steps: Mapping[str, Step]) -> list[str]:
    """The stages before `address` that will put files in place which may match `glob`."""
    acting = (near for near in graph.upstream[address] if near in steps and steps[near].action in ("run", "restore"))
    return [near for near in acting if any(may_hold(out.path, glob) for out in graph.stages[near].outs)]


def _unsettled(graph: Graph, path: RelPath, steps: Mapping[str, Step]) -> list[str]:
    """The makers of `path` among `steps` after which its content is not known yet."""
    found = []
    for near in graph.makers_of(path):
        step = steps.get(near)
        restored = step is not None and step.entry is not None and path in step.entry.outs
        if step is not None and step.action in ("run", "restore") and not restored:
            found.append(near)
    return found
