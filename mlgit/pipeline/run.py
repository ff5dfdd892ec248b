"""Carrying out a plan: one loop that decides about stages, starts their commands, and records what came of them.

Everything but the commands themselves happens on the thread of the caller. Nothing of a stage is recorded before its
command ended with 0 and every declared output is in the cache; then the run record comes first and the lock last.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from mlgit.errors import AuthError, MissingError, MlgitError, RemoteError, StageError
from mlgit.model.lock import StageLock
from mlgit.model.relpath import RelPath
from mlgit.model.runrecord import RunRecord
from mlgit.model.stage import Stage
from mlgit.model.tree import Content
from mlgit.pipeline import runcache
from mlgit.pipeline.attempt import Attempt, Setting
from mlgit.pipeline.commands import Commands, Ended
from mlgit.pipeline.events import (
    OnEvent,
    Outcome,
    StageFailed,
    StageFinished,
    StageRestored,
    StageSkipped,
    StageWarned,
)
from mlgit.pipeline.graph import Graph
from mlgit.pipeline.key import stage_key
from mlgit.pipeline.lastrun import last_run
from mlgit.pipeline.locks import Locks
from mlgit.pipeline.observe import Observer
from mlgit.pipeline.outputs import Outputs
from mlgit.pipeline.plan import Options, Step, blocked, decide, select
from mlgit.pipeline.schedule import Capacity, Schedule
from mlgit.pipeline.status import Seen
from mlgit.pipeline.task import Executor, Result
from mlgit.work.workspace import Workspace

if TYPE_CHECKING:
    from mlgit.pipeline.runshare import RemoteRuns

_UNKNOWN: Final = 1.0
"""Seconds that a stage is thought to take which nobody has seen run."""


class Reproduction:
    """One `repro` of the stages that `options` chooses.

    Args:
        locks: the lock files, to be kept up to date.
        setting: what all commands have in common.
        capacity: what there is to run them on.
        remote_runs: what others ran, to be restored from the remote; None if it is not to be asked.
    """

    def __init__(
        self,
        workspace: Workspace,
        graph: Graph,
        observer: Observer,
        locks: Locks,
        options: Options,
        *,
        setting: Setting,
        executor: Executor,
        capacity: Capacity,
        remote_runs: RemoteRuns | None,
        on_event: OnEvent,
    ) -> None:
        self._workspace = workspace
        self._graph = graph
        self._observer = observer
        self._options = options
        self._setting = setting
        self._commands = Commands(executor, capacity, on_event)
        self._remote_runs = remote_runs
        self._emit = on_event
        self._outputs = Outputs(workspace)
        self._locks = locks
        self._has = setting.absent.obtain if setting.absent is not None else workspace.has
        weight = self._weight if options.jobs > 1 else None
        self._schedule = Schedule(graph, select(graph, options), weight)
        self._prepared: deque[tuple[Attempt, Step]] = deque()
        self._ended: list[Ended] = []
        self._error: MlgitError | None = None
        self._failed: dict[str, str] = {}
        self._left: dict[str, None] = {}
        self._done: dict[str, list[str]] = {"run": [], "restore": [], "skip": [], "frozen": []}
        self._times: dict[str, float] = {}
        self._saved = 0.0

    def run(self) -> Outcome:
        """Go through the stages; an `Outcome` is the last event, whatever happens.

        Raises:
            MlgitError: a stage failed: when those that ran beside it have ended, or with `keep_going` after all others.
            KeyboardInterrupt: no command is left running then; what had finished is recorded.
        """
        began = time.monotonic()
        try:
            self._loop()
        finally:
            outcome = self._outcome(time.monotonic() - began)
            self._emit(outcome)
        if self._error is not None:
            raise self._error
        if outcome.failed:
            raise StageError(
                f"{len(outcome.failed)} of the stages failed: {', '.join(outcome.failed)}",
                hint="mend them, then run the same command again; what finished is kept",
            )
        return outcome

    # -- the loop ----------------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        try:
            while True:
                self._start_prepared()
                if self._finish_one(wait=False) or self._decide_next():
                    continue
                if not self._commands:
                    return
                self._finish_one(wait=True)
        finally:
            self._close()

    def _close(self) -> None:
        """Leave nothing running; what had finished before the interruption is kept."""
        for attempt, result in [*self._ended, *self._commands.close()]:
            if result.status == 0 and result.error is None:
                with contextlib.suppress(MlgitError):
                    self._finish(attempt, result)
            attempt.close()

    def _decide_next(self) -> bool:
        """Decide about one more stage, if one is free and it is not too early; whether there was one."""
        ahead = self._options.jobs if self._options.jobs > 1 else 0
        if self._error is not None or len(self._prepared) > ahead or (self._commands and not ahead):
            return False
        address = self._schedule.next()
        if address is None:
            return False
        with self._failures(address):
            culprit = blocked(self._graph, address, self._failed.keys() | self._left.keys())
            if culprit is not None:
                self._left[address] = None
                self._emit(StageSkipped(address, f"it needs {culprit}, which failed or was left out"))
                self._schedule.done(address)
            else:
                self._decide(self._graph.stages[address])
        return True

    def _decide(self, stage: Stage) -> None:
        locked = self._locks.current.get(stage.address)
        seen = self._observer.look(stage, locked)
        step = decide(
            stage, locked, seen, force=self._options.force, has=self._has, remembered=self._remembered(stage, seen)
        )
        if step.action == "run":
            self._commands.check(stage)
            apart = self._commands.apart
            attempt = Attempt(self._workspace, self._setting, self._outputs, self._observer, stage, seen, apart=apart)
            self._prepared.append((attempt, step))
            return
        if step.action == "restore" and step.entry is not None:
            self._outputs.refuse_committed(stage)
            self._restore(stage, step, step.entry)
        else:
            away = self._setting.absent is not None and self._outputs.are_away(stage)
            reason = f"{step.reason}, and its outputs are not fetched" if away else step.reason
            self._emit(StageSkipped(stage.address, reason, frozen=step.action == "frozen"))
            if step.action == "skip" and locked is not None:
                self._observer.learn(locked.outs)
        self._done[step.action].append(stage.address)
        self._schedule.done(stage.address)

    def _remembered(self, stage: Stage, seen: Seen) -> Callable[[], RunRecord | None]:
        def find() -> RunRecord | None:
            record = runcache.lookup(self._workspace.store.backend, stage, seen, self._has)
            if record is None and self._remote_runs is not None:
                record = self._run_elsewhere(stage, seen, self._remote_runs)
            return record

        return find

    def _run_elsewhere(self, stage: Stage, seen: Seen, remote: RemoteRuns) -> RunRecord | None:
        """A run that the remote knows, what it made fetched; None if it has none, lies, or does not answer."""
        try:
            record = remote.lookup(stage, seen)
            if record is not None:
                with self._workspace.using_cache("repro"):
                    remote.bring(stage, record)
        except MissingError:
            return None
        except (AuthError, RemoteError) as error:
            self._remote_runs = None
            self._emit(StageWarned(stage.address, f"what ran elsewhere is not known: {error.message}"))
            return None
        return record

    def _restore(self, stage: Stage, step: Step, entry: StageLock) -> None:
        with self._workspace.writing("repro"):
            self._outputs.place(stage, entry.outs)
            self._locks.record(stage, entry)
        self._observer.forget(entry.outs)
        self._observer.learn(entry.outs)
        self._saved += step.saved or 0.0
        self._emit(StageRestored(stage.address, step.reason, step.saved))

    # -- commands ----------------------------------------------------------------------------------------------------

    def _start_prepared(self) -> None:
        """Start every stage that is decided about and fits beside those that run."""
        waiting: list[tuple[Attempt, Step]] = []
        while self._prepared and self._error is None:
            attempt, step = self._prepared.popleft()
            with self._failures(attempt.stage.address):
                if not self._commands.start(attempt, step.reason):
                    waiting.append((attempt, step))
        self._prepared.extend(waiting)

    def _finish_one(self, *, wait: bool) -> bool:
        """Deal with the next command that has ended; whether there was one."""
        self._commands.retrying = self._error is None
        ended = self._commands.next_end(wait=wait)
        if ended is None:
            return False
        attempt, result = ended
        self._ended.append(ended)
        self._start_prepared()  # what takes long comes after: others need not wait for it
        self._ended.remove(ended)
        with self._failures(attempt.stage.address):
            self._finish(attempt, result)
        return True

    def _finish(self, attempt: Attempt, result: Result) -> None:
        """Save and record what a command made.

        Raises:
            StageError: it failed, or did not keep to what it declares.
        """
        stage = attempt.stage
        with attempt:
            self._observer.forget(out.path for out in stage.outs)
            attempt.bring(result)
            with self._workspace.writing("repro"):
                outs = attempt.outcome(result)
                moved = attempt.moved()
                if moved:
                    attempt.warnings.append(_unproven(moved))
                    self._observer.forget(moved)
                else:
                    self._record(attempt, outs, result.seconds)
                for message in attempt.warnings:
                    self._emit(StageWarned(stage.address, message))
        self._observer.learn(outs)
        self._times[stage.address] = result.seconds
        self._done["run"].append(stage.address)
        self._emit(StageFinished(stage.address, result.seconds))
        self._schedule.done(stage.address)

    def _record(self, attempt: Attempt, outs: dict[RelPath, Content], seconds: float) -> None:
        stage = attempt.stage
        params = {file: dict(values) for file, values in attempt.seen.params.items()}
        entry = StageLock(stage.cmd, attempt.deps, params, outs, stage.wdir, dict(stage.env))
        self._remember(attempt, entry, seconds)
        self._locks.record(stage, entry)

    def _remember(self, attempt: Attempt, entry: StageLock, seconds: float) -> None:
        if not entry.outs:
            return
        record = RunRecord(
            key=stage_key(attempt.stage, entry.deps, entry.params),
            stage=entry,
            started=attempt.started,
            seconds=round(seconds, 3),
            exit=0,
            environment=self._setting.surroundings(),
            commit=self._head,
        )
        runcache.save(self._workspace.store.backend, record)

    @functools.cached_property
    def _head(self) -> str | None:
        return self._workspace.git.head()

    # -- bookkeeping -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _failures(self, address: str) -> Iterator[None]:
        """Take note of a failure of the body; unless all is to go on, nothing more is started then."""
        try:
            yield
        except MlgitError as error:
            self._failed[address] = error.message
            self._emit(StageFailed(address, error.message))
            if not self._options.keep_going:
                self._error = self._error or error
            self._schedule.done(address)

    def _weight(self, address: str) -> float:
        """Seconds that the stage took when it last ran."""
        entry = self._locks.current.get(address)
        if entry is None:
            return _UNKNOWN
        record = last_run(self._workspace.store.backend, self._graph.stages[address], entry)
        return _UNKNOWN if record is None else record.seconds

    def _outcome(self, seconds: float) -> Outcome:
        return Outcome(
            ran=tuple(self._done["run"]),
            restored=tuple(self._done["restore"]),
            skipped=(*self._done["skip"], *self._done["frozen"]),
            failed=dict(self._failed),
            blocked=tuple(self._left),
            written=(*self._locks.written, *self._outputs.ignored),
            seconds=seconds,
            times=dict(self._times),
            saved=self._saved,
            logs=self._setting.logs.folder if self._setting.logs.used else None,
        )


def _unproven(moved: Sequence[RelPath]) -> str:
    """Said of a stage whose inputs changed under its command: recorded, its result might be restored for others."""
    names = ", ".join(moved[:3]) + (f" and {len(moved) - 3} more" if len(moved) > 3 else "")
    return f"{names} changed while it ran, so what it made is not recorded; run `mlgit repro` again"
