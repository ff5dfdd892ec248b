"""Processes that do one kind of work beside each other, for work that is many small system calls.

Threads do not help there: they hand Python's lock to each other at every call. Workers are forked: they know all that
their maker knew, and get nothing but tasks. They must not touch what only one process may use (databases, locks, the
terminal), nor start anything that is broken by a fork in a process with threads: small files, and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Final, Generic, NamedTuple, NoReturn, TypeVar

from mlgit.errors import MlgitError

Task = TypeVar("Task")
Result = TypeVar("Result")

_MOST: Final = 4
_LENGTH: Final = struct.Struct("<Q")


class _Worker(NamedTuple):
    """One process, and the pipes to and from it."""

    process: int
    tasks: int
    results: int


def cores() -> int:
    """How many processes are worth their while on this machine."""
    return min(len(os.sched_getaffinity(0)), _MOST) if sys.platform == "linux" else 1


class Pool(Generic[Task, Result]):
    """Processes that do `work`; use it with `with`. When their maker dies, they end with the task in hand.

    Args:
        work: what is done with each task, in another process. What it raises is raised by `run`.
        size: number of processes.
    """

    def __init__(self, work: Callable[[Task], Result], size: int) -> None:
        self._work = work
        self._size = size
        self._workers: list[_Worker] = []

    def __enter__(self) -> Pool[Task, Result]:
        for _ in range(self._size):
            self._workers.append(self._start())
        return self

    def _start(self) -> _Worker:
        task_end, tasks = os.pipe()
        results, result_end = os.pipe()
        process = os.fork()
        if process == 0:
            self._serve(task_end, result_end)
        os.close(task_end)
        os.close(result_end)
        return _Worker(process, tasks, results)

    def _serve(self, tasks: int, results: int) -> NoReturn:
        """Be a worker: work until there are no more tasks, and end without the clean-up that is the maker's."""
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            kept = sorted((tasks, results))
            for start, end in ((3, kept[0]), (kept[0] + 1, kept[1]), (kept[1] + 1, os.sysconf("SC_OPEN_MAX"))):
                os.closerange(start, end)  # locks above all: they must be free when their holder is gone
            while True:
                task = _receive(tasks)
                try:
                    answer = self._work(task)
                except MlgitError as error:
                    _send(results, error)
                except OSError as error:
                    _send(results, OSError(error.errno, error.strerror))
                except Exception as error:
                    _send(results, MlgitError(f"a process of this command failed: {error!r}"))
                else:
                    _send(results, (answer,))
        except (EOFError, OSError):
            pass
        finally:
            os._exit(0)

    def run(self, tasks: list[Task]) -> Iterator[tuple[Task, Result]]:
        """Do `tasks`, the last one first, and give each with its result as it comes; more may be appended meanwhile.

        Raises:
            MlgitError: a process was killed.
        """
        idle = list(self._workers)
        busy: dict[int, tuple[_Worker, Task]] = {}
        while tasks or busy:
            while tasks and idle:
                worker, task = idle.pop(), tasks.pop()
                busy[worker.results] = worker, task
                with contextlib.suppress(BrokenPipeError):  # which the answer will tell
                    _send(worker.tasks, task)
            for ready in select.select(list(busy), [], [])[0]:
                try:
                    answer = _receive(ready)
                except EOFError:
                    raise MlgitError("a process of this command was killed", hint="run the command again") from None
                if isinstance(answer, BaseException):
                    raise answer
                worker, task = busy.pop(ready)
                idle.append(worker)
                yield task, answer[0]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            os.close(worker.tasks)
            os.close(worker.results)
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.process, signal.SIGKILL)
            os.waitpid(worker.process, 0)
        self._workers.clear()


def _send(pipe: int, message: object) -> None:
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    view = memoryview(_LENGTH.pack(len(data)) + data)
    while view:
        view = view[os.write(pipe, view) :]


def _receive(pipe: int) -> Any:
    (length,) = _LENGTH.unpack(_read(pipe, _LENGTH.size))
    return pickle.loads(_read(pipe, length))


def _read(pipe: int, length: int) -> bytes:
    parts, left = [], length
    while left:
        data = os.read(pipe, min(left, 1 << 20))
        if not data:
            raise EOFError
        parts.append(data)
        left -= len(data)
    return b"".join(parts)
