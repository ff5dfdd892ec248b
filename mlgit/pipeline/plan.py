"""Which stages to look at, and what to do with each: run, restore, skip, or leave frozen, with the reason in words.

Pure decisions. Whether a stage must run is known only when the outputs of those before it are, so a plan is made step
by step, as ninja does: a stage behind one that ran but produced the same bytes is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from mlgit.model.lock import StageLock
from mlgit.model.runrecord import RunRecord
from mlgit.model.stage import Stage
from mlgit.model.tree import Content
from mlgit.pipeline.graph import Graph
from mlgit.pipeline.status import Change, Seen, input_changes, output_changes

Action = Literal["run", "restore", "skip", "frozen"]


@dataclass(frozen=True, slots=True)
class Options:
    """What to reproduce and how.

    Attributes:
        targets: addresses; empty means every stage.
        force: run the stages even if nothing changed, without looking into the run cache.
        single: the targets alone, nothing upstream.
        downstream: the targets and what needs them, nothing upstream.
        keep_going: after a failure, go on with the stages that do not need the failed one.
        jobs: how many commands may run at a time.
        hermetic: run every stage in a folder that holds only what it declares.
        trace: tell which files commands touch without declaring them.
        pull: get what is missing from the remote: inputs of stages that must run, and results of earlier runs.
        executor: what runs the commands: this machine or a Ray cluster.
        address: of the Ray cluster, HOST:PORT; None for the one that this machine is part of.
        remote: the remote for `pull` and for what travels to and from a cluster; None for the default one.
    """

    targets: tuple[str, ...] = ()
    force: bool = False
    single: bool = False
    downstream: bool = False
    keep_going: bool = False
    jobs: int = 1
    hermetic: bool = False
    trace: bool = False
    pull: bool = False
    executor: Literal["local", "ray"] = "local"
    address: str | None = None
    remote: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What to do with one stage.

    Attributes:
        certain: false in a dry run where it depends on what an earlier step will produce.
        entry: for `restore`, the lock entry whose outputs to put in place.
        saved: for `restore`, how many seconds the command took when it ran; None if nobody knows.
    """

    address: str
    action: Action
    reason: str
    changes: tuple[Change, ...] = ()
    certain: bool = True
    entry: StageLock | None = None
    saved: float | None = None


def select(graph: Graph, options: Options) -> tuple[str, ...]:
    """The stages that `options` is about, in the order to run them."""
    targets = options.targets or graph.order
    if options.single:
        chosen = set(targets)
    elif options.downstream:
        chosen = graph.reach(targets, up=False)
    else:
        frozen = {address for address, stage in graph.stages.items() if stage.frozen}
        chosen = graph.reach(targets, up=True, stop=frozen)
    return graph.sort(chosen)


def decide(
    stage: Stage,
    locked: StageLock | None,
    seen: Seen,
    *,
    force: bool,
    has: Callable[[Content], bool],
    remembered: Callable[[], RunRecord | None],
) -> Step:
    """The step for `stage`, whose inputs and outputs are as `seen`.

    Args:
        has: whether a content is in the cache.
        remembered: looks for an earlier run on the same inputs; asked only where it matters.
    """
    inputs, outputs = input_changes(stage, locked, seen), output_changes(locked, seen)
    changes = (*inputs, *outputs)
    if stage.frozen:
        return _decide_frozen(stage, locked, changes, outputs, has)
    if force:
        return Step(stage.address, "run", "forced", changes)
    if locked is not None and not inputs:
        if not outputs:
            return Step(stage.address, "skip", "nothing changed", changes)
        if _at_hand(locked, has):
            return _restore(stage, _join(outputs), changes, locked, remembered())
    if not stage.always_changed and not any(out.persist for out in stage.outs) and stage.outs:
        record = remembered()
        if record is not None:
            return _restore(stage, f"{_join(changes)}; it ran like this before", changes, record.stage, record)
    return Step(stage.address, "run", _join(changes), changes)


def _restore(
    stage: Stage, reason: str, changes: tuple[Change, ...], entry: StageLock, record: RunRecord | None
) -> Step:
    saved = record.seconds if record is not None else None
    return Step(stage.address, "restore", reason, changes, entry=entry, saved=saved)


def decide_blind(stage: Stage, locked: StageLock | None, seen: Seen, *, force: bool, behind: Sequence[str]) -> Step:
    """The step, in a dry run, for a stage whose inputs are not all known because the stages `behind` come first.

    Args:
        seen: as recorded in the lock where it is not known.
    """
    changes = input_changes(stage, locked, seen)
    if stage.frozen:
        return Step(stage.address, "frozen", "it is frozen", changes)
    if force or changes:
        return Step(stage.address, "run", "forced" if force else _join(changes), changes)
    return Step(stage.address, "run", f"it needs what {', '.join(behind)} will produce", changes, certain=False)


def blocked(graph: Graph, address: str, failed: Collection[str]) -> str | None:
    """The first of `failed` that the stage at `address` needs directly."""
    return next((near for near in graph.upstream[address] if near in failed), None)


def _decide_frozen(
    stage: Stage,
    locked: StageLock | None,
    changes: tuple[Change, ...],
    outputs: tuple[Change, ...],
    has: Callable[[Content], bool],
) -> Step:
    missing = any(change.state == "missing" for change in outputs)
    if locked is not None and missing and _at_hand(locked, has):
        return Step(stage.address, "restore", f"it is frozen, and {_join(outputs)}", changes, entry=locked)
    reason = f"it is frozen, though {_join(changes)}" if changes else "it is frozen"
    return Step(stage.address, "frozen", reason, changes)


def _at_hand(entry: StageLock, has: Callable[[Content], bool]) -> bool:
    return all(has(content) for content in entry.outs.values())


def _join(changes: Sequence[Change]) -> str:
    """The reasons in one line; a long list is cut."""
    words = [change.words for change in changes[:3]]
    more = [f"{len(changes) - 3} more"] if len(changes) > 3 else []
    return ", ".join([*words, *more])
