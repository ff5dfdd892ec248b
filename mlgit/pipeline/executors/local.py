"""Runs commands of stages on this machine, and sees to it that nothing of them is left running.

A command gets a session and process group of its own, which ends as a whole when the command ends, when its time is up,
when mlgit is interrupted, and when mlgit dies. The last is done by a guard: one tiny shell, started once, that waits at
the end of a pipe. However mlgit dies, the kernel closes the pipe, and the guard kills the groups it was told about. A
command only starts after the guard knows its group, so there is no moment in which a kill leaves an orphan. It needs
nothing but a POSIX shell; where there is none (Windows) only the command itself is ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO, Final

from mlgit.errors import StageError
from mlgit.pipeline.task import Result, Sink, Task

GRACE: Final = 3.0
"""Seconds between asking a group to end and killing it."""

_SHELL: Final = "/bin/sh"
_WAIT_FOR_GO: Final = 'read -r _ || exit 125; exec "$@" </dev/null'
_GUARD: Final = """\
groups=
while read -r sign group; do
    case $sign in
    +) groups="$groups $group" ;;
    -) left=
       for one in $groups; do [ "$one" = "$group" ] || left="$left $one"; done
       groups=$left ;;
    esac
done
for one in $groups; do kill -KILL "-$one"; done
"""


class LocalExecutor:
    """Commands on this machine, each watched by a thread; use it with `with`."""

    apart = False

    def __init__(self) -> None:
        self._guard = _Guard()
        self._running: dict[int, _Running] = {}
        self._ends: list[threading.Event] = []

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._guard.close()

    def start(self, task: Task, sink: Sink, done: Callable[[Result], None]) -> None:
        """Begin `task` and return at once; see `Executor`."""
        ended = threading.Event()  # a join that Ctrl-C cuts short makes CPython take a running thread for ended

        def watch() -> None:
            try:
                done(self._guarded(task, sink))
            finally:
                ended.set()

        self._ends = [*(one for one in self._ends if not one.is_set()), ended]
        threading.Thread(target=watch, daemon=True).start()

    def stop(self) -> None:
        """Ask every group to end as Ctrl-C would, give it a moment, then kill it; a second Ctrl-C cuts that short."""
        deadline = time.monotonic() + GRACE
        with contextlib.suppress(KeyboardInterrupt):
            for one in list(self._running.values()):
                one.signal(signal.SIGINT)
            for end in self._ends:
                end.wait(max(0.0, deadline - time.monotonic()))
        while not all(end.is_set() for end in self._ends):
            for one in list(self._running.values()):
                one.kill()
            for end in self._ends:
                end.wait(0.05)

    def _guarded(self, task: Task, sink: Sink) -> Result:
        """As `_run`; that there is no guard, and so no command, is a result too: somebody waits for one."""
        try:
            return self._run(task, sink)
        except OSError as error:
            problem = StageError(
                f"cannot watch over the command of stage {task.address!r}: {error}",
                hint="the shell that mlgit keeps for that was killed or could not be started; run it again",
            )
            return Result(error=problem)

    def _run(self, task: Task, sink: Sink) -> Result:
        began = time.monotonic()
        try:
            process = _start(task)
        except (OSError, ValueError) as error:
            problem = StageError(
                f"cannot start the command of stage {task.address!r}: {error}", hint="check the command and its folder"
            )
            return Result(error=problem)
        running = _Running(process)
        self._running[process.pid] = running
        pump = _Pump(process.stdout, sink)
        pump.start()
        try:
            self._guard.add(process.pid)
            running.go()
            running.wait(task.timeout)
        finally:
            running.kill()  # also after success: a leftover could write into recorded outputs
            self._guard.drop(process.pid)
            pump.finish(GRACE)  # a process that left the group may hold the pipe open for ever
            del self._running[process.pid]
        return Result(process.wait(), time.monotonic() - began, timed_out=running.timed_out)


class _Running:
    """The process group of one command."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.timed_out = False

    def go(self) -> None:
        """Let the command start."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(b"\n")
                self._process.stdin.close()

    def wait(self, timeout: float | None) -> None:
        """Wait for the command's end, or end it when `timeout` seconds are over."""
        longest = threading.TIMEOUT_MAX / 2  # some 146 years; clocks overflow beyond
        timer = threading.Timer(min(timeout, longest), self._expire) if timeout is not None else None
        if timer is not None:
            timer.daemon = True
            timer.start()
        try:
            if hasattr(os, "waitid"):  # not reaped yet: until then its process id cannot become somebody else's
                os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
            else:
                self._process.wait()
        finally:
            if timer is not None:
                timer.cancel()
                timer.join()

    def _expire(self) -> None:
        self.timed_out = True
        self.kill()

    def kill(self) -> None:
        """End whatever is left of the group."""
        self.signal(signal.SIGTERM if os.name == "nt" else signal.SIGKILL)

    def signal(self, number: int) -> None:
        """Send a signal to the whole group; fine if it is gone."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.name == "nt":
                self._process.send_signal(number)
            elif self._process.returncode is None:
                os.killpg(self._process.pid, number)


class _Pump(threading.Thread):
    """Hands on what one command writes, until `finish`."""

    def __init__(self, stream: IO[bytes] | None, sink: Sink) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._sink: Sink | None = sink
        self._lock = threading.Lock()

    def run(self) -> None:
        if self._stream is None:
            return
        with self._stream as stream:
            while data := os.read(stream.fileno(), 1 << 16):
                with self._lock:
                    if self._sink is not None:
                        self._sink(data)

    def finish(self, grace: float) -> None:
        """Wait for the end of the stream, `grace` seconds at most; nothing is handed on after that."""
        self.join(grace)
        with self._lock:
            self._sink = None


class _Guard:
    """The shell that outlives mlgit by a moment."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def add(self, group: int) -> None:
        """Have `group` killed when mlgit dies."""
        self._tell(f"+ {group}\n")

    def drop(self, group: int) -> None:
        """`group` has ended."""
        with contextlib.suppress(BrokenPipeError):  # a guard that is gone does nothing to it
            self._tell(f"- {group}\n")

    def _tell(self, line: str) -> None:
        if os.name == "nt":
            return
        with self._lock:
            if self._process is None:
                self._process = subprocess.Popen(
                    (_SHELL, "-c", _GUARD),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    bufsize=0,
                    start_new_session=True,
                    cwd="/",
                )
            if self._process.stdin is not None:
                self._process.stdin.write(line.encode())

    def close(self) -> None:
        """Let it go, when nothing runs any more."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()
            self._process = None


def _start(task: Task) -> subprocess.Popen[bytes]:
    folder, env = task.root / task.wdir, dict(task.environment)
    if os.name == "nt":
        return subprocess.Popen(
            task.cmd,
            cwd=folder,
            env=env,
            shell=isinstance(task.cmd, str),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    words = (_SHELL, "-c", task.cmd) if isinstance(task.cmd, str) else task.cmd
    if task.trace is not None:
        from mlgit.pipeline import trace

        words = tuple(trace.wrap(words, task.trace))
    return subprocess.Popen(
        (_SHELL, "-c", _WAIT_FOR_GO, "mlgit", *words),
        cwd=folder,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
