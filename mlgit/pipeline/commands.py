"""The commands that run now: as many as fit beside each other, heard on one thread, tried again when they fail.

Who decides which stage is next, and who keeps what a command made, is the caller's business.
"""

from __future__ import annotations

import contextlib
import queue
from typing import Final

from mlgit.errors import MlgitError
from mlgit.model.stage import Resources, Stage
from mlgit.pipeline.attempt import Attempt
from mlgit.pipeline.events import OnEvent, OutputLine, StageRetried, StageStarted
from mlgit.pipeline.inbox import Inbox
from mlgit.pipeline.schedule import Capacity
from mlgit.pipeline.task import Executor, Result

Ended = tuple[Attempt, Result]

_ELSEWHERE: Final = Resources(cpus=0)
"""What a command takes of this machine that runs on another one."""


class Commands:
    """Commands of stages on one executor.

    Args:
        capacity: what there is to run them on.
        on_event: told what commands write and that they are tried again, on the thread of the caller.
    """

    def __init__(self, executor: Executor, capacity: Capacity, on_event: OnEvent) -> None:
        self._executor = executor
        self._capacity = capacity
        self._emit = on_event
        self._inbox: Inbox[tuple[str, Result]] = Inbox()
        self._running: dict[str, Attempt] = {}
        self.retrying = True

    @property
    def apart(self) -> bool:
        """Whether commands run where the working tree is not."""
        return self._executor.apart

    def __bool__(self) -> bool:
        """Whether any is running."""
        return bool(self._running)

    def check(self, stage: Stage) -> None:
        """Refuse a stage that can never start here.

        Raises:
            StageError: it needs more devices than this machine has.
        """
        if not self.apart:
            self._capacity.check(stage)

    def start(self, attempt: Attempt, reason: str) -> bool:
        """Start a command; false if it does not fit beside those that run.

        Raises:
            MlgitError: it cannot be made ready; nothing of it is left then.
        """
        stage = attempt.stage
        devices = self._capacity.take(stage.address, _ELSEWHERE if self.apart else stage.resources)
        if devices is None:
            return False
        self._running[stage.address] = attempt
        self._emit(StageStarted(stage.address, stage.command, reason))
        self._launch(attempt, devices)
        return True

    def _launch(self, attempt: Attempt, devices: list[str]) -> None:
        address = attempt.stage.address
        try:
            task = attempt.prepare(devices)

            def sink(data: bytes) -> None:
                attempt.note(data)
                self._inbox.write(OutputLine(address, data))

            self._executor.start(task, sink, lambda result: self._inbox.end((address, result)))
        except BaseException:
            attempt.close()
            self._drop(address)
            raise

    def _drop(self, address: str) -> None:
        del self._running[address]
        self._capacity.give_back(address)

    def next_end(self, *, wait: bool) -> Ended | None:
        """The next command that has ended for good; None if there is none yet and it is not to `wait`."""
        while True:
            try:
                message = self._inbox.get(wait=wait)
            except queue.Empty:
                return None
            if isinstance(message, OutputLine):
                self._emit(message)
                continue
            address, result = message
            attempt = self._running[address]
            if not (self.retrying and attempt.will_retry(result)):
                self._drop(address)
                return attempt, result
            try:
                self._retry(attempt, result)
            except MlgitError as error:
                return attempt, Result(error=error)

    def _retry(self, attempt: Attempt, result: Result) -> None:
        problem = attempt.problem(result)
        attempt.close()
        attempt.number += 1
        message = problem.message if problem is not None else ""
        self._emit(StageRetried(attempt.stage.address, message, attempt.number))
        self._launch(attempt, attempt.devices)

    def close(self) -> list[Ended]:
        """Leave nothing running; gives those that had ended before nobody heard of it."""
        ended = []
        with contextlib.suppress(queue.Empty):
            while True:
                message = self._inbox.get(wait=False)
                if not isinstance(message, OutputLine):
                    ended.append(message)
        self._inbox.flow()
        self._executor.stop()
        finished = [(self._running.pop(address), result) for address, result in ended]
        for attempt in self._running.values():
            attempt.close()
        return finished
