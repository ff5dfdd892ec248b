"""The three-way merge of lock files, stage by stage.

An entry that only one side changed is that side's. One that both changed, or that one changed and the other deleted, is
left out: its stage is stale then, and `repro` writes what is true of the merged files. Nothing is ever guessed, so an
entry is always one that a run has written. Pure: texts in, text out.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlgit.model import lock
from mlgit.model.lock import Lock, StageLock
from mlgit.model.threeway import pick


@dataclass(frozen=True, slots=True)
class Merged:
    """A merged lock.

    Attributes:
        dropped: names of the stages whose entries were left out, sorted.
    """

    lock: Lock
    dropped: tuple[str, ...]


def merge(base: Lock, ours: Lock, theirs: Lock) -> Merged:
    """What `ours` and `theirs` made of `base`."""
    stages, dropped = {}, []
    for name in sorted(base.stages.keys() | ours.stages.keys() | theirs.stages.keys()):
        found = pick(base.stages.get(name), ours.stages.get(name), theirs.stages.get(name), _same)
        if found is None:
            dropped.append(name)
        elif found[0] is not None:
            stages[name] = found[0]
    return Merged(Lock(stages), tuple(dropped))


def merge_texts(base: bytes, ours: bytes, theirs: bytes, where: str) -> tuple[str, tuple[str, ...]]:
    """The merged file's text, and the stages that were left out.

    Args:
        base: empty where both sides added the file.
        where: path of the lock, for errors.

    Raises:
        InvalidError, UnsafeError: one of the three does not decode, and so cannot be merged by stage.
    """
    sides = lock.decode(ours, where), lock.decode(theirs, where)
    merged = merge(lock.decode(base, where) if base else Lock(), *sides)
    return lock.encode(merged.lock), merged.dropped


def _same(first: StageLock | None, second: StageLock | None) -> bool:
    """Whether two entries have one text; `==` would take the parameters 1 and true for one value."""
    if first is None or second is None:
        return first is second
    return lock.same(lock.entry_value(first), lock.entry_value(second))
