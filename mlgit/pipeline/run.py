"""Carrying out a plan: run a stage's command, save what it made, record it; or put earlier results in place.

Nothing of a stage is recorded before its command ended with 0 and every declared output is in the cache; then the run
record comes first and the lock last. Outputs that a run is about to replace are kept in the cache if they are not yet.
"""

from __future__ import annotations

import bisect
import datetime
import functools
import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import mlgit
from mlgit.errors import InvalidError, MissingError, MlgitError, StageError
from mlgit.fs.confine import Folder
from mlgit.fs.link import LinkKind
from mlgit.model.lock import StageLock
from mlgit.model.relpath import RelPath
from mlgit.model.runrecord import Environment, RunRecord
from mlgit.model.stage import Stage
from mlgit.model.tree import Content
from mlgit.pipeline import runcache
from mlgit.pipeline.events import (
    OnEvent,
    Outcome,
    OutputLine,
    StageFailed,
    StageFinished,
    StageRestored,
    StageSkipped,
    StageStarted,
)
from mlgit.pipeline.executors.local import LocalExecutor
from mlgit.pipeline.graph import Graph
from mlgit.pipeline.key import stage_key
from mlgit.pipeline.load import Project
from mlgit.pipeline.locks import Locks
from mlgit.pipeline.observe import Observer
from mlgit.pipeline.plan import Options, Step, blocked, decide, select
from mlgit.pipeline.status import Seen
from mlgit.work.workspace import Workspace

_OWN: Final[tuple[LinkKind, ...]] = ("reflink", "copy")


class Reproduction:
    """One `repro`: goes through the chosen stages in order, deciding and acting on each.

    Args:
        environment: all variables the commands get.
        capture: send what commands write to `on_event` as `OutputLine`; otherwise it goes to mlgit's stderr.
    """

    def __init__(
        self,
        workspace: Workspace,
        project: Project,
        graph: Graph,
        observer: Observer,
        *,
        environment: Mapping[str, str],
        on_event: OnEvent,
        capture: bool,
    ) -> None:
        self.workspace = workspace
        self.graph = graph
        self.observer = observer
        self.environment = environment
        self.emit = on_event
        self.capture = capture
        self.locks = Locks(workspace.root, project)
        self.failed: dict[str, str] = {}
        self.left: dict[str, None] = {}
        self.done: dict[str, list[str]] = {"run": [], "restore": [], "skip": [], "frozen": []}
        self.ignored: dict[RelPath, None] = {}
        self._commit: str | bool | None = False

    def run(self, options: Options) -> Outcome:
        """Go through the stages; an `Outcome` is the last event, whatever happens.

        Raises:
            MlgitError: a stage failed: at once, or with `keep_going` after all others.
        """
        began = time.monotonic()
        try:
            with LocalExecutor() as executor:
                for address in select(self.graph, options):
                    self._visit(address, options, executor)
        finally:
            outcome = self._outcome(time.monotonic() - began)
            self.emit(outcome)
        if outcome.failed:
            raise StageError(
                f"{len(outcome.failed)} of the stages failed: {', '.join(outcome.failed)}",
                hint="mend them, then run the same command again; what finished is kept",
            )
        return outcome

    def _visit(self, address: str, options: Options, executor: LocalExecutor) -> None:
        culprit = blocked(self.graph, address, self.failed.keys() | self.left.keys())
        if culprit is not None:
            self.left[address] = None
            self.emit(StageSkipped(address, f"it needs {culprit}, which failed or was left out"))
            return
        try:
            self._reproduce(self.graph.stages[address], options, executor)
        except MlgitError as error:
            self.failed[address] = error.message
            self.emit(StageFailed(address, error.message))
            if not options.keep_going:
                raise

    def _outcome(self, seconds: float) -> Outcome:
        return Outcome(
            ran=tuple(self.done["run"]),
            restored=tuple(self.done["restore"]),
            skipped=(*self.done["skip"], *self.done["frozen"]),
            failed=dict(self.failed),
            blocked=tuple(self.left),
            written=(*self.locks.written, *self.ignored),
            seconds=seconds,
        )

    def _reproduce(self, stage: Stage, options: Options, executor: LocalExecutor) -> None:
        locked = self.locks.current.get(stage.address)
        seen = self.observer.look(stage, locked)
        step = decide(
            stage,
            locked,
            seen,
            force=options.force,
            has=self.workspace.has,
            remembered=lambda: runcache.lookup(self.workspace.store.backend, stage, seen, self.workspace.has),
        )
        if step.action == "run":
            self._run(stage, seen, step, executor)
        elif step.action == "restore" and step.entry is not None:
            self._restore(stage, seen, step, step.entry)
        else:
            self.emit(StageSkipped(stage.address, step.reason, frozen=step.action == "frozen"))
            if step.action == "skip" and locked is not None:
                self.observer.learn(locked.outs)
        self.done[step.action].append(stage.address)

    def _restore(self, stage: Stage, seen: Seen, step: Step, entry: StageLock) -> None:
        with self.workspace.writing("repro"):
            self._preserve(seen, entry.outs)
            for path, content in entry.outs.items():
                links = None if path in _linkable(stage) else _OWN
                self.workspace.apply(self.workspace.plan_checkout(path, content), path, links=links)
            self._ignore(stage)
            self.locks.record(stage, entry)
        self.observer.forget(entry.outs)
        self.observer.learn(entry.outs)
        self.emit(StageRestored(stage.address, step.reason))

    def _run(self, stage: Stage, seen: Seen, step: Step, executor: LocalExecutor) -> None:
        deps = _complete(stage, seen)
        folder = self._folder(stage)
        self._refuse_committed(stage)
        self.emit(StageStarted(stage.address, stage.command, step.reason))
        with self.workspace.writing("repro"):
            self._clear(stage, seen)
        started, began = _now(), time.monotonic()
        status = executor.run(stage.cmd, folder, self.environment, self._sink(stage.address))
        seconds = time.monotonic() - began
        self.observer.forget(out.path for out in stage.outs)
        if status != 0:
            raise StageError(
                f"stage {stage.address!r} {_describe(status)}: {stage.command}",
                hint=f"mend the command or its inputs, then run `mlgit repro {stage.address}` again",
            )
        with self.workspace.writing("repro"):
            outs = self._collect(stage)
            params = {file: dict(values) for file, values in seen.params.items()}
            entry = StageLock(stage.cmd, deps, params, outs, stage.wdir)
            self._remember(stage, entry, started, seconds)
            self.locks.record(stage, entry)
        self.observer.learn(outs)
        self.emit(StageFinished(stage.address, seconds))

    def _clear(self, stage: Stage, seen: Seen) -> None:
        """Remove what the stage will write anew, and make the folders it will write into."""
        self._preserve(seen, {})
        for out in stage.outs:
            if seen.outs[out.path] is not None and not out.persist:
                self.workspace.remove(out.path)
            if not (self.workspace.root / out.path.parent).is_dir():
                Folder.beneath(self.workspace.root, out.path.parent.parts, create=True).close()

    def _preserve(self, seen: Seen, wanted: Mapping[RelPath, Content]) -> None:
        """Save outputs that somebody changed by hand before they are replaced."""
        lost = [
            path
            for path, content in seen.outs.items()
            if content is not None and content != wanted.get(path) and not self.workspace.has(content)
        ]
        if lost:
            self.workspace.save(lost)

    def _folder(self, stage: Stage) -> Path:
        folder = self.workspace.root / stage.wdir
        if not folder.is_dir():
            raise InvalidError(
                f"{stage.file}:{stage.line}: stages.{stage.name}.wdir: no such folder: {stage.wdir}",
                hint=f"make it: mkdir -p {stage.wdir}",
            )
        return folder

    def _refuse_committed(self, stage: Stage) -> None:
        """A cached output that Git has too would be kept twice, and be deleted from under Git before each run."""
        for out in stage.outs:
            if out.cache and _holds(self._in_git, out.path):
                raise InvalidError(
                    f"{stage.file}:{stage.line}: stages.{stage.name}: the output {str(out.path)!r} is tracked by Git",
                    hint=f"take it out of Git: git rm -r --cached {out.path}; or set `cache: false` on it",
                )

    @functools.cached_property
    def _in_git(self) -> list[str]:
        return sorted(self.workspace.git.tracked_files())

    def _sink(self, address: str) -> Callable[[bytes], None] | None:
        return (lambda data: self.emit(OutputLine(address, data))) if self.capture else None

    def _collect(self, stage: Stage) -> dict[RelPath, Content]:
        """Save the declared outputs.

        Raises:
            StageError: one of them is not there.
        """
        for out in stage.outs:
            if not os.path.lexists(self.workspace.root / out.path):
                raise StageError(
                    f"stage {stage.address!r} did not write the output it declares: {out.path}",
                    hint=f"make the command write it, or take it out of {stage.file}",
                )
        outs = self.workspace.save([out.path for out in stage.outs]) if stage.outs else {}
        for path in _linkable(stage):
            self.workspace.relink(path, outs[path])
        self._ignore(stage)
        return outs

    def _ignore(self, stage: Stage) -> None:
        changed = self.workspace.ignore_in_git([out.path for out in stage.outs if out.cache])
        self.ignored.update(dict.fromkeys(changed))

    def _remember(self, stage: Stage, entry: StageLock, started: str, seconds: float) -> None:
        if not stage.outs:
            return
        record = RunRecord(
            key=stage_key(stage, entry.deps, entry.params),
            stage=entry,
            started=started,
            seconds=round(seconds, 3),
            exit=0,
            environment=_environment(),
            commit=self._head,
        )
        runcache.save(self.workspace.store.backend, record)

    @functools.cached_property
    def _head(self) -> str | None:
        return self.workspace.git.head()


def _linkable(stage: Stage) -> list[RelPath]:
    """Outputs that may become read-only links into the cache: neither Git's nor the next run's to write into."""
    return [out.path for out in stage.outs if out.cache and not out.persist]


def _complete(stage: Stage, seen: Seen) -> dict[RelPath, Content]:
    """The dependencies, all of which must be there for a run."""
    for path, content in seen.deps.items():
        if content is None:
            raise MissingError(
                f"stage {stage.address!r} needs {path}, which is not there",
                hint=f"get it with `mlgit pull {path.quoted}`, or make it; then run `mlgit repro` again",
            )
    return {path: content for path, content in seen.deps.items() if content is not None}


def _holds(files: list[str], path: RelPath) -> bool:
    """Whether the sorted `files` have `path`, or a file below it."""
    starts = (bisect.bisect_left(files, path), bisect.bisect_left(files, f"{path}/"))
    return any(at < len(files) and RelPath(files[at]).within(path) for at in starts)


def _describe(status: int) -> str:
    return f"was killed by signal {-status}" if status < 0 else f"failed with exit status {status}"


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _environment() -> Environment:
    return Environment(platform.python_version(), f"{platform.system()}-{platform.machine()}", mlgit.__version__)
