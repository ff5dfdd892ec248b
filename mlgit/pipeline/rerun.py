"""Running stages once more from their recorded inputs, beside the user's files: what `verify` compares with the lock.

Nothing is recorded and nothing in the working tree changes; what the commands make is saved into the cache only, where
nothing names it, so that `gc` takes it away again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mlgit.errors import MlgitError
from mlgit.model.lock import StageLock
from mlgit.model.relpath import RelPath
from mlgit.model.stage import Stage
from mlgit.model.tree import Content
from mlgit.pipeline.attempt import Attempt, Setting
from mlgit.pipeline.events import OnEvent, OutputLine, StageFailed, StageFinished, StageStarted, StageWarned
from mlgit.pipeline.inbox import Inbox
from mlgit.pipeline.observe import Observer
from mlgit.pipeline.outputs import Outputs
from mlgit.pipeline.schedule import Capacity
from mlgit.pipeline.status import Change, input_changes
from mlgit.pipeline.task import Executor, Result
from mlgit.work.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Rerun:
    """What a stage made this time.

    Attributes:
        locked: what the lock says; None if the stage has never run.
        stale: why its present inputs are not the recorded ones; it was not run then.
        outs: what its outputs hold now, all of it in the cache; those that it did not write are left out.
        error: why there is no result; None if the command ended well.
    """

    address: str
    locked: StageLock | None
    stale: tuple[Change, ...] = ()
    outs: Mapping[RelPath, Content] = field(default_factory=dict)
    seconds: float = 0.0
    error: MlgitError | None = None


class Rerunning:
    """One round of re-runs; every stage runs for itself, in any order.

    Args:
        setting: must be hermetic.
    """

    def __init__(
        self,
        workspace: Workspace,
        observer: Observer,
        *,
        setting: Setting,
        executor: Executor,
        capacity: Capacity,
        on_event: OnEvent,
    ) -> None:
        self._workspace = workspace
        self._observer = observer
        self._setting = setting
        self._executor = executor
        self._capacity = capacity
        self._emit = on_event
        self._outputs = Outputs(workspace)
        self._messages: Inbox[tuple[Attempt, Result]] = Inbox()

    def run(self, stages: Iterable[tuple[Stage, StageLock | None]]) -> Iterator[Rerun]:
        """Run the stages, several at a time; gives what each made as soon as it has ended."""
        waiting, running = list(stages), dict[str, StageLock]()
        try:
            while waiting or running:
                while waiting:
                    stage, locked = waiting[0]
                    devices = self._capacity.take(stage.address, stage.resources)
                    if devices is None and running:
                        break
                    waiting.pop(0)
                    refused = self._begin(stage, locked, devices or [])
                    if refused is not None:
                        if devices is not None:
                            self._capacity.give_back(stage.address)
                        yield refused
                    elif locked is not None:
                        running[stage.address] = locked
                if running:
                    attempt, result = self._next_end()
                    self._capacity.give_back(attempt.stage.address)
                    yield self._finish(attempt, running.pop(attempt.stage.address), result)
        finally:
            self._messages.flow()
            self._executor.stop()

    def _begin(self, stage: Stage, locked: StageLock | None, devices: list[str]) -> Rerun | None:
        """Start one; gives what it comes to at once if it cannot be."""
        try:
            self._capacity.check(stage)
            seen = self._observer.look(stage, locked)
            stale = [one for one in input_changes(stage, locked, seen) if one.kind != "always"]
            if locked is None or stale:
                return Rerun(stage.address, locked, tuple(stale))
            attempt = Attempt(self._workspace, self._setting, self._outputs, stage, seen, apart=False)
            self._launch(attempt, devices)
        except MlgitError as error:
            return Rerun(stage.address, locked, error=error)
        return None

    def _launch(self, attempt: Attempt, devices: list[str]) -> None:
        address = attempt.stage.address
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(attempt.close)
            task = attempt.prepare(devices)

            def sink(data: bytes) -> None:
                attempt.note(data)
                self._messages.write(OutputLine(address, data))

            self._emit(StageStarted(address, attempt.stage.command, "verified"))
            self._executor.start(task, sink, lambda result: self._messages.end((attempt, result)))
            on_failure.pop_all()

    def _next_end(self) -> tuple[Attempt, Result]:
        while isinstance(message := self._messages.get(wait=True), OutputLine):
            self._emit(message)
        return message

    def _finish(self, attempt: Attempt, locked: StageLock, result: Result) -> Rerun:
        address = attempt.stage.address
        with attempt:
            try:
                with self._workspace.using_cache("verify"):
                    outs = attempt.made(result)
            except MlgitError as error:
                self._emit(StageFailed(address, error.message))
                return Rerun(address, locked, seconds=result.seconds, error=error)
        for message in attempt.warnings:
            self._emit(StageWarned(address, message))
        self._emit(StageFinished(address, result.seconds))
        return Rerun(address, locked, outs=outs, seconds=result.seconds)
