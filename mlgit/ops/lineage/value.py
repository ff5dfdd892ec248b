"""The answer of `lineage` as values, before anybody renders it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from mlgit.model.lock import StageLock
from mlgit.model.metric import Scalar
from mlgit.model.oid import Oid
from mlgit.model.relpath import RelPath
from mlgit.model.runrecord import RunRecord
from mlgit.model.stage import Stage
from mlgit.model.tree import Content

UseState = Literal["used it", "used another version", "has not run", "cannot be told"]


@dataclass(frozen=True, slots=True)
class Moment:
    """A commit, as people name it: full id, date (ISO 8601), first line of its message."""

    commit: str
    date: str
    subject: str


@dataclass(frozen=True, slots=True)
class Subject:
    """What was asked about: a path, or a stage with all that it makes.

    Attributes:
        path: None for a stage.
        content: what the path holds; None for a stage, or where it is not known here.
        oid: the object, also where only that is known.
        stage: the stage itself, or the one that makes the path.
        pointer: the pointer that names the path.
        artifact: the name in `artifacts:` that led here.
        others: where else the same object stands, if it was asked for by its id.
    """

    path: RelPath | None = None
    content: Content | None = None
    oid: Oid | None = None
    stage: str | None = None
    pointer: RelPath | None = None
    artifact: str | None = None
    others: tuple[RelPath, ...] = ()


@dataclass(frozen=True, slots=True)
class Production:
    """One stage that made something on the way.

    Attributes:
        since: the commit at which this lock entry appeared; None if it is not committed.
        former: the name that the stage had then, if it was renamed later.
        record: the run that gave the entry; None if no record of it is here.
    """

    stage: Stage
    entry: StageLock
    since: Moment | None = None
    former: str | None = None
    record: RunRecord | None = None


@dataclass(frozen=True, slots=True)
class Code:
    """A file in Git that a stage read.

    Attributes:
        content: what the lock says it held; None for a parameter file.
        moment: the newest commit that has exactly that; else the last one that changed it; None if in no commit.
        exact: the bytes at that commit are those that the stage read; None where that cannot be told.
    """

    stage: str
    path: RelPath
    content: Content | None
    moment: Moment | None = None
    exact: bool | None = None


@dataclass(frozen=True, slots=True)
class Data:
    """What a stage read that a pointer tracks.

    Attributes:
        content: what the stage read.
        same: whether the pointer still names that; None where it cannot be told.
    """

    stage: str | None
    path: RelPath
    content: Content
    pointer: RelPath
    desc: str | None = None
    source: dict[str, Any] = field(default_factory=dict)
    moment: Moment | None = None
    same: bool | None = True


@dataclass(frozen=True, slots=True)
class Use:
    """A stage that reads the subject, or what was made of it.

    Attributes:
        reads: its dependencies on that way.
    """

    address: str
    reads: tuple[RelPath, ...]
    state: UseState


@dataclass(frozen=True, slots=True)
class Metric:
    """One value in a metrics file; `note` says why there is none."""

    stage: str
    path: RelPath
    key: str = ""
    value: Scalar = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Lineage:
    """From `subject` back to code, parameters and data, and forward to uses and metrics.

    Attributes:
        side: the commit or the working tree, as people name it.
        commit: its full id; None for the working tree.
        made: upstream first.
        edges: from what was read to who read it; paths and stages by name.
        notes: what a reader must not miss.
    """

    subject: Subject
    side: str
    commit: str | None
    made: tuple[Production, ...] = ()
    code: tuple[Code, ...] = ()
    data: tuple[Data, ...] = ()
    uses: tuple[Use, ...] = ()
    metrics: tuple[Metric, ...] = ()
    edges: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
