"""What a scheduler hands to an executor and what it gets back: values, and the protocol that every executor keeps.

An executor runs commands and nothing else: it decides nothing, records nothing and never writes to the user's files
except through the command itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol

from mlgit.errors import MlgitError
from mlgit.model.relpath import RelPath
from mlgit.model.stage import Resources
from mlgit.model.tree import Content

Sink = Callable[[bytes], None]
"""Takes a piece of what a command writes, as soon as it comes; called from any thread."""


@dataclass(frozen=True, slots=True)
class Task:
    """One command of one stage, to be run once.

    Attributes:
        root: the working tree it runs in; an executor that is `apart` makes one of its own instead.
        wdir: the folder in it that the command runs in.
        environment: all variables the command gets.
        timeout: seconds; None for no limit.
        inputs: all that the stage declares to read, and what it holds; for an executor that is `apart`.
        outs: all that the stage declares to write.
        trace: where strace is to write which files the command touches; None for no trace.
    """

    address: str
    cmd: str | tuple[str, ...]
    root: Path
    wdir: RelPath
    environment: Mapping[str, str]
    resources: Resources = field(default_factory=Resources)
    timeout: float | None = None
    inputs: Mapping[RelPath, Content] = field(default_factory=dict)
    outs: tuple[RelPath, ...] = ()
    trace: Path | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """How a task ended.

    Attributes:
        status: the exit status; negative for the signal that killed the command.
        seconds: how long the command ran.
        timed_out: it was ended because its time was up.
        outs: what the declared outputs hold, if the executor is `apart`: all of it is in the remote then. An output
            that the command did not write is left out.
        error: why there is no such result: the command could not be started, or the executor failed.
    """

    status: int = 0
    seconds: float = 0.0
    timed_out: bool = False
    outs: Mapping[RelPath, Content] | None = None
    error: MlgitError | None = None


class Executor(Protocol):
    """Runs tasks, several at a time; used with `with`, at whose end nothing of any task is left running.

    Attributes:
        apart: tasks run where this repository is not: their inputs are taken from a remote, their outputs put there.
    """

    apart: bool

    def __enter__(self) -> Executor: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def start(self, task: Task, sink: Sink, done: Callable[[Result], None]) -> None:
        """Begin `task` and return at once.

        Args:
            sink: gets what the command writes, both streams as one.
            done: called exactly once, from any thread, when nothing of the task is left running.
        """

    def stop(self) -> None:
        """End every task, as Ctrl-C would and then by force; returns when they have ended and `done` was called."""
