"""Stages, their inputs and outputs, and the plots of a project, as values; `stagefile.py` reads them from a file.

Paths are relative to the repository's root. `gates` is kept as parsed, lines included: the operation that owns it
decodes it.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from mlgit.model.relpath import RelPath

NAME: Final = "mlgit.yaml"
DEFAULT_PARAMS: Final = "params.yaml"
KINDS: Final = (("outs", "out"), ("metrics", "metric"), ("plots", "plot"))
_ROOT: Final = RelPath("")

OutKind = Literal["out", "metric", "plot"]
Task = Literal["classification", "regression", "ranking"]


@dataclass(frozen=True, slots=True)
class ParamRef:
    """Parameters that a stage reads.

    Attributes:
        keys: dotted keys into the file; empty means every key at its top level.
    """

    file: RelPath
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlotStyle:
    """How one plot output is drawn: columns or keys for the axes, labels, and a Vega-Lite template's name or path."""

    x: str | None = None
    y: str | None = None
    x_label: str | None = None
    y_label: str | None = None
    title: str | None = None
    template: str | None = None
    header: bool | None = None


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a number in an output may lie from the recorded one: within `abs`, or within `rel` times its size."""

    abs: float = 0.0
    rel: float = 0.0


@dataclass(frozen=True, slots=True)
class Predictions:
    """A table with a row for each example that a metric was computed from; the others are names of its columns.

    Attributes:
        task: what is predicted; None where the columns must tell.
        id: names the example, so that two runs are compared example by example whatever the order of the rows.
        label: what is true.
        prediction: what the model says: a class, or a number.
        score: how sure it is of the positive class, from 0 to 1, or by what a ranking is sorted.
        group: which examples are ranked against each other.

    A column that the table lacks is simply not there.
    """

    path: RelPath
    task: Task | None = None
    id: str = "id"
    label: str = "label"
    prediction: str = "prediction"
    score: str = "score"
    group: str = "group"


@dataclass(frozen=True, slots=True)
class Out:
    """One output of a stage.

    Attributes:
        cache: kept in the cache and out of Git; otherwise the file itself is committed.
        persist: not removed before the stage runs.
        push: goes along with `push`.
        remote: the only remote it is pushed to and pulled from, if set.
        styles: for a plot, each way to draw it; empty for the default one.
        tolerance: what `verify` lets pass; by default no differing byte.
        predictions: for a metric, the predictions that it was computed from.
        fixed: for a metric, the files that must be the same on two sides to compare it; None where nothing is said.
    """

    path: RelPath
    kind: OutKind = "out"
    cache: bool = True
    persist: bool = False
    push: bool = True
    remote: str | None = None
    desc: str | None = None
    type: str | None = None
    labels: tuple[str, ...] = ()
    meta: dict[str, Any] = field(default_factory=dict)
    styles: tuple[PlotStyle, ...] = ()
    tolerance: Tolerance | None = None
    predictions: Predictions | None = None
    fixed: tuple[RelPath, ...] | None = None


@dataclass(frozen=True, slots=True)
class Resources:
    """What a stage needs while it runs.

    Attributes:
        cpus: processors; numeric libraries are told to use that many threads, at least one.
        memory: bytes; 0 if not said.
        gpus: whole devices.
    """

    cpus: float = 1.0
    memory: int = 0
    gpus: int = 0


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a pipeline.

    Attributes:
        file: the stage file that declares it.
        cmd: a shell command, or an argument list that runs without a shell.
        wdir: the folder the command runs in.
        globs: dependencies given as patterns: each stands for whatever files match it.
        always_changed: runs on every `repro`.
        env: variables that the command gets besides the usual ones; a change of one is a change of the stage.
        timeout: seconds after which a run is ended and counts as failed; None for no limit.
        retries: how often a command that failed, or ran out of time, is run again.
        hermetic: runs in a folder that holds only what it declares.
        line: where it stands in its file, for messages.
    """

    name: str
    file: RelPath
    cmd: str | tuple[str, ...]
    wdir: RelPath = _ROOT
    deps: tuple[RelPath, ...] = ()
    globs: tuple[str, ...] = ()
    params: tuple[ParamRef, ...] = ()
    outs: tuple[Out, ...] = ()
    frozen: bool = False
    always_changed: bool = False
    desc: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    resources: Resources = Resources()
    timeout: float | None = None
    retries: int = 0
    hermetic: bool = False
    line: int = field(default=0, compare=False)

    @property
    def address(self) -> str:
        """Its unique name: `train`, or `folder/mlgit.yaml:train` outside the root's file."""
        return self.name if "/" not in self.file else f"{self.file}:{self.name}"

    @property
    def inputs(self) -> tuple[RelPath, ...]:
        """Every path it reads: dependencies and parameter files."""
        return (*self.deps, *(ref.file for ref in self.params))

    @property
    def command(self) -> str:
        """The command on one line, for messages."""
        return self.cmd if isinstance(self.cmd, str) else shlex.join(self.cmd)


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot defined at the top of a stage file.

    Attributes:
        x: the file and column of the horizontal axis; without a file the column is looked up in each file of `y`.
        y: columns to draw by file or folder; an empty tuple lets the renderer choose.
    """

    id: str
    y: dict[RelPath, tuple[str, ...]]
    x: str | dict[RelPath, str] | None = None
    x_label: str | None = None
    y_label: str | None = None
    title: str | None = None
    template: str | None = None


@dataclass(frozen=True, slots=True)
class Artifact:
    """Something that a project offers to others under a name: a model or a data set."""

    name: str
    path: RelPath
    type: str | None = None
    desc: str | None = None
    labels: tuple[str, ...] = ()
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StageFile:
    """One `mlgit.yaml`; `gates` as parsed, None where absent."""

    path: RelPath
    stages: dict[str, Stage] = field(default_factory=dict)
    params: tuple[RelPath, ...] = ()
    metrics: tuple[RelPath, ...] = ()
    plots: tuple[Plot, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    gates: Any = None
