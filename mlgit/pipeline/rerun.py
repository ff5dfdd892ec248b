"""Running stages once more from their recorded inputs, beside the user's files: what `verify` compares with the lock.

Nothing is recorded and nothing in the working tree changes; what the commands make is saved into the cache only, where
nothing names it, so that `gc` takes it away again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mlgit.errors import MlgitError, NotEvaluableError
from mlgit.model.lock import StageLock
from mlgit.model.relpath import RelPath
from mlgit.model.stage import Stage
from mlgit.model.tree import Content
from mlgit.pipeline.attempt import Attempt, Setting
from mlgit.pipeline.commands import Commands
from mlgit.pipeline.events import OnEvent, StageFailed, StageFinished, StageWarned
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
        self._commands = Commands(executor, capacity, on_event)
        self._emit = on_event
        self._outputs = Outputs(workspace)

    def run(self, stages: Iterable[tuple[Stage, StageLock | None]]) -> Iterator[Rerun]:
        """Run the stages, several at a time; gives what each made as soon as it has ended."""
        waiting = deque(stages)
        locks: dict[str, StageLock] = {}
        try:
            while waiting or self._commands:
                while waiting:
                    stage, locked = waiting[0]
                    begun = self._begin(stage, locked)
                    if begun is False:
                        break
                    waiting.popleft()
                    if isinstance(begun, Rerun):
                        yield begun
                    elif locked is not None:
                        locks[stage.address] = locked
                ended = self._commands.next_end(wait=True) if self._commands else None
                if ended is not None:
                    attempt, result = ended
                    yield self._finish(attempt, locks[attempt.stage.address], result)
        finally:
            for attempt, _ in self._commands.close():
                attempt.close()

    def _begin(self, stage: Stage, locked: StageLock | None) -> Rerun | bool:
        """Start one; false if it has to wait, and what it comes to if it cannot be started."""
        try:
            self._commands.check(stage)
            if any(out.persist for out in stage.outs):
                raise NotEvaluableError(
                    f"stage {stage.address!r} adds to an output that stays (persist), so it cannot be run once more",
                    hint="verify the other stages: name them",
                )
            seen = self._observer.look(stage, locked)
            stale = [one for one in input_changes(stage, locked, seen) if one.kind != "always"]
            if locked is None or stale:
                return Rerun(stage.address, locked, tuple(stale))
            attempt = Attempt(self._workspace, self._setting, self._outputs, self._observer, stage, seen, apart=False)
            return self._commands.start(attempt, "verified")
        except MlgitError as error:
            return Rerun(stage.address, locked, error=error)

    def _finish(self, attempt: Attempt, locked: StageLock, result: Result) -> Rerun:
        address = attempt.stage.address
        with attempt:
            try:
                with self._workspace.using_cache("verify"):
                    outs = attempt.made(result)
                moved = attempt.moved()
                if moved:
                    raise NotEvaluableError(
                        f"{moved[0]}, which stage {address!r} reads, changed while it was verified",
                        hint="run it again when nothing changes",
                    )
            except MlgitError as error:
                self._emit(StageFailed(address, error.message))
                return Rerun(address, locked, seconds=result.seconds, error=error)
        for message in attempt.warnings:
            self._emit(StageWarned(address, message))
        self._emit(StageFinished(address, result.seconds))
        return Rerun(address, locked, outs=outs, seconds=result.seconds)
