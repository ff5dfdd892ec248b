"""What differs between a stage as it stands and as its lock entry says it last ran.

Pure: the caller looks at the disk and hands in what it saw.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mlgit.model.lock import StageLock, canonical, same
from mlgit.model.relpath import RelPath
from mlgit.model.stage import Stage
from mlgit.model.tree import Content

ChangeKind = Literal["never-run", "always", "command", "wdir", "env", "dep", "param", "out"]
ChangeState = Literal["new", "modified", "missing", "removed"]


@dataclass(frozen=True, slots=True)
class Change:
    """One reason why a stage is not up to date.

    Attributes:
        subject: the path, for a parameter `file:key`, else empty.
        old: the value or object id in the lock; None where it has none.
        new: the one found now; None where there is none.
    """

    kind: ChangeKind
    state: ChangeState = "modified"
    subject: str = ""
    old: Any = None
    new: Any = None

    @property
    def words(self) -> str:
        """The change as a person would say it."""
        if self.kind == "never-run":
            return "has no entry in the lock"
        if self.kind == "always":
            return "is set to run always" if self.subject else "declares neither inputs nor outputs"
        if self.kind == "command":
            return "the command changed"
        if self.kind == "wdir":
            return f"runs in another folder: {self.old or '.'} → {self.new or '.'}"
        if self.kind == "env":
            return f"environment variable {self.subject} changed: {self.old!r} → {self.new!r}"
        noun = {"dep": "dependency", "param": "parameter", "out": "output"}[self.kind]
        if self.kind == "param" and self.state == "modified":
            return f"parameter {self.subject} changed: {canonical(self.old)} → {canonical(self.new)}"
        verb = {"new": "is new", "modified": "changed", "missing": "is missing", "removed": "is no longer declared"}
        return f"{noun} {self.subject} {verb[self.state]}"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a stage's inputs and outputs hold now; None for what is not there."""

    deps: Mapping[RelPath, Content | None] = field(default_factory=dict)
    params: Mapping[RelPath, Mapping[str, Any]] = field(default_factory=dict)
    outs: Mapping[RelPath, Content | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StageStatus:
    """One stage's state: `changes` empty means up to date."""

    address: str
    stage: Stage
    changes: tuple[Change, ...]


def input_changes(stage: Stage, locked: StageLock | None, seen: Seen) -> tuple[Change, ...]:
    """Why the stage's recorded outputs are not those of its present inputs; empty if they are."""
    if stage.always_changed:
        return (Change("always", subject="always_changed"),)
    if not (stage.deps or stage.params or stage.outs):
        return (Change("always"),)
    if locked is None:
        return (Change("never-run", "new"),)
    command = [Change("command", old=locked.cmd, new=stage.cmd)] if stage.cmd != locked.cmd else []
    command += [Change("wdir", old=locked.wdir, new=stage.wdir)] if stage.wdir != locked.wdir else []
    command += [
        Change("env", subject=name, old=locked.env.get(name), new=stage.env.get(name))
        for name in sorted(stage.env.keys() | locked.env.keys())
        if stage.env.get(name) != locked.env.get(name)
    ]
    deps = _content_changes("dep", locked.deps, seen.deps)
    params = _param_changes(locked.params, seen.params)
    declared = {out.path for out in stage.outs}
    outs = [Change("out", "new", path) for path in sorted(declared - locked.outs.keys())]
    outs += [Change("out", "removed", path, locked.outs[path].oid) for path in sorted(locked.outs.keys() - declared)]
    return (*command, *deps, *params, *outs)


def output_changes(locked: StageLock | None, seen: Seen) -> tuple[Change, ...]:
    """Which recorded outputs do not stand on disk as recorded."""
    if locked is None:
        return ()
    known = {path: content for path, content in locked.outs.items() if path in seen.outs}
    return tuple(_content_changes("out", known, seen.outs))


def _content_changes(
    kind: Literal["dep", "out"], locked: Mapping[RelPath, Content], seen: Mapping[RelPath, Content | None]
) -> Iterator[Change]:
    for path in sorted(seen.keys() | locked.keys()):
        old, new = locked.get(path), seen.get(path)
        if path not in seen:
            yield Change(kind, "removed", path, old.oid if old else None)
        elif new is None:
            yield Change(kind, "missing", path, old.oid if old else None)
        elif old is None:
            if kind == "dep":
                yield Change(kind, "new", path, None, new.oid)
        elif old.oid != new.oid:
            yield Change(kind, "modified", path, old.oid, new.oid)


def _param_changes(
    locked: Mapping[RelPath, Mapping[str, Any]], seen: Mapping[RelPath, Mapping[str, Any]]
) -> Iterator[Change]:
    for file in sorted(seen.keys() | locked.keys()):
        old, new = locked.get(file, {}), seen.get(file, {})
        for key in sorted(old.keys() | new.keys()):
            if key not in new:
                yield Change("param", "removed", f"{file}:{key}", old[key])
            elif key not in old:
                yield Change("param", "new", f"{file}:{key}", None, new[key])
            elif not same(old[key], new[key]):
                yield Change("param", "modified", f"{file}:{key}", old[key], new[key])
