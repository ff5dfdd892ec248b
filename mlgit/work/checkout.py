"""Putting content into the working tree: the plan, which touches nothing; `placer` carries it out.

The plan lists, folder by folder, what goes, what comes and what would be lost. Nothing of the user's is overwritten
unless its bytes are in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from mlgit.errors import RefusedError
from mlgit.model.oid import Oid
from mlgit.model.relpath import RelPath
from mlgit.model.tree import Entry, Tree
from mlgit.work.difference import Load

_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class FolderStep:
    """What happens in one folder.

    Attributes:
        remove: names that go, whole sub-folders included.
        put: files and links that come or are replaced.
        make: sub-folders that come with everything below them.
    """

    path: RelPath
    remove: tuple[str, ...] = ()
    put: tuple[Entry, ...] = ()
    make: tuple[Entry, ...] = ()


class _Names(NamedTuple):
    """A folder's step under construction."""

    remove: list[str]
    put: list[Entry]
    make: list[Entry]


@dataclass(slots=True)
class CheckoutPlan:
    """All folders' steps, and the paths whose present content is in no store."""

    folders: list[FolderStep] = field(default_factory=list)
    lost: list[RelPath] = field(default_factory=list)

    def lines(self) -> list[str]:
        """For `--dry-run`: one line a name."""
        found = []
        for step in self.folders:
            found += [f"remove {step.path.child(name)}" for name in step.remove]
            found += [f"write {step.path.child(entry.name)}" for entry in step.put]
            found += [f"write {step.path.child(entry.name)}/ ({entry.files} files)" for entry in step.make]
        return found


def plan(
    path: RelPath,
    have: Entry | None,
    want: Entry | None,
    *,
    load_have: Load,
    load_want: Load,
    kept: Callable[[Oid], bool],
    unseen: Callable[[RelPath], Iterable[RelPath]],
) -> CheckoutPlan:
    """What turns `have` at `path` into `want`.

    Args:
        kept: whether an object is in the cache, so that its file may be overwritten.
        unseen: what stands in a folder besides `have`, ignored by the rules and not in the cache.
    """
    made = CheckoutPlan()
    pending: list[tuple[RelPath, dict[str, Entry], dict[str, Entry]]] = []
    pending.append((path.parent, {have.name: have} if have else {}, {want.name: want} if want else {}))
    while pending:
        folder, old, new = pending.pop()
        step = _Names([], [], [])
        if new.keys() - old.keys():
            made.lost += [at for at in unseen(folder) if at.name in new]
        for name in sorted(name for name in {*old, *new} if old.get(name) != new.get(name)):
            first, last = old.get(name), new.get(name)
            at = folder.child(name)
            if first and last and first.kind == last.kind == "tree":
                pending.append((at, _by_name(load_have(first.oid, at)), _by_name(load_want(last.oid, at))))
                continue
            if first:
                made.lost += _unkept(at, first, load_have, kept, unseen)
            if first and (last is None or "tree" in (first.kind, last.kind)):
                step.remove.append(name)
            if last:
                (step.make if last.kind == "tree" else step.put).append(last)
        if any(step):
            made.folders.append(FolderStep(folder, tuple(step.remove), tuple(step.put), tuple(step.make)))
    return made


def _by_name(tree: Tree) -> dict[str, Entry]:
    return {entry.name: entry for entry in tree.entries}


def _unkept(
    path: RelPath,
    entry: Entry,
    load: Load,
    kept: Callable[[Oid], bool],
    unseen: Callable[[RelPath], Iterable[RelPath]],
) -> list[RelPath]:
    """What goes with `entry` and is in no store."""
    found: list[RelPath] = []
    pending = [(path, entry)]
    while pending:
        at, one = pending.pop()
        if one.kind == "tree":
            found += unseen(at)
            pending += [(at.child(below.name), below) for below in load(one.oid, at).entries]
        elif not kept(one.oid):
            found.append(at)
    return found


def refuse_loss(made: CheckoutPlan) -> None:
    """Stop when the plan would destroy content that is in no store.

    Raises:
        RefusedError: listing the paths.
    """
    if made.lost:
        shown = "".join(f"\n  {path}" for path in sorted(made.lost)[:_SHOWN])
        more = f"\n  and {len(made.lost) - _SHOWN} more" if len(made.lost) > _SHOWN else ""
        raise RefusedError(
            f"these have changes that are in no store and would be lost:{shown}{more}",
            hint="save them with `mlgit add`, or overwrite them with --force",
        )
