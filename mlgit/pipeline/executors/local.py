"""Runs a stage's command on this machine, and sees to it that nothing of it is left running.

A command gets a session and process group of its own, which ends as a whole when the command ends, when mlgit is
interrupted, and when mlgit dies. The last is done by a guard: one tiny shell, started once, that waits at the end of a
pipe. However mlgit dies, the kernel closes the pipe, and the guard kills the group it was told about last. A command
only starts after the guard knows its group, so there is no moment in which a kill leaves an orphan. It needs nothing
but a POSIX shell; where there is none (Windows) only the command itself is ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Final

from mlgit.errors import StageError

GRACE: Final = 3.0
"""Seconds between asking a group to end and killing it."""

_SHELL: Final = "/bin/sh"
_WAIT_FOR_GO: Final = 'read -r _ || exit 125; exec "$@" </dev/null'
_GUARD: Final = 'g=; while read -r line; do g=$line; done; test -z "$g" || kill -KILL "-$g"'
_STDERR: Final = 2

Sink = Callable[[bytes], None]


class LocalExecutor:
    """Commands on this machine, one at a time; use it with `with`."""

    def __init__(self) -> None:
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
            self._guard.wait()
            self._guard = None

    def run(self, cmd: str | tuple[str, ...], folder: Path, environment: Mapping[str, str], sink: Sink | None) -> int:
        """Run `cmd` in `folder` to its end.

        Args:
            cmd: for the shell if it is a text, a program with its arguments otherwise.
            environment: all variables it gets.
            sink: called from another thread with what it writes; by default that goes to mlgit's stderr.

        Returns:
            The exit status; negative for the signal that killed it.

        Raises:
            StageError: the program cannot be started.
            KeyboardInterrupt: mlgit was interrupted; the whole group has ended.
        """
        try:
            process = self._start(cmd, folder, environment, piped=sink is not None)
        except (OSError, ValueError) as error:
            raise StageError(f"cannot start {cmd!r}: {error}", hint="check the command and its folder") from error
        with _pumped(process, sink):
            try:
                self._go(process)
                _wait(process)
            except BaseException:
                _end_group(process)
                raise
            finally:
                _kill_group(process)
                self._tell("")
        return process.wait()

    def _start(
        self, cmd: str | tuple[str, ...], folder: Path, environment: Mapping[str, str], *, piped: bool
    ) -> subprocess.Popen[bytes]:
        out = subprocess.PIPE if piped else _STDERR
        err = subprocess.STDOUT if piped else _STDERR
        env = dict(environment)
        if os.name == "nt":
            shell = isinstance(cmd, str)
            return subprocess.Popen(
                cmd, cwd=folder, env=env, shell=shell, stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )
        words = (_SHELL, "-c", cmd) if isinstance(cmd, str) else cmd
        return subprocess.Popen(
            (_SHELL, "-c", _WAIT_FOR_GO, "mlgit", *words),
            cwd=folder,
            env=env,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )

    def _go(self, process: subprocess.Popen[bytes]) -> None:
        """Tell the guard about the group, then let the command start."""
        self._tell(str(process.pid))
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(b"\n")
                process.stdin.close()

    def _tell(self, group: str) -> None:
        if os.name == "nt":
            return
        if self._guard is None:
            self._guard = subprocess.Popen(
                (_SHELL, "-c", _GUARD),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                start_new_session=True,
                cwd="/",
            )
        if self._guard.stdin is not None:
            self._guard.stdin.write(f"{group}\n".encode())


def _wait(process: subprocess.Popen[bytes]) -> None:
    """Wait for the command's end without reaping it: until then its process id cannot become somebody else's."""
    if hasattr(os, "waitid"):
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    else:
        process.wait()


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Ask the group to end as Ctrl-C would, and give it a moment; a second Ctrl-C cuts that short."""
    _signal_group(process, signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
        process.wait(GRACE)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End whatever is left of the group, also after success: a leftover could write into recorded outputs."""
    _signal_group(process, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.name == "nt":
            process.send_signal(number)
        else:
            os.killpg(process.pid, number)


@contextlib.contextmanager
def _pumped(process: subprocess.Popen[bytes], sink: Sink | None) -> Iterator[None]:
    """Hand what the command writes to `sink` while the body runs."""
    if process.stdout is None or sink is None:
        yield
        return
    pump = threading.Thread(target=_pump, args=(process.stdout, sink), daemon=True)
    pump.start()
    try:
        yield
    finally:
        pump.join(GRACE)  # a process that left the group may hold the pipe open for ever


def _pump(stream: IO[bytes], sink: Sink) -> None:
    while data := os.read(stream.fileno(), 1 << 16):
        sink(data)
