"""Vega-Lite specifications to PNG and SVG, by `vl-convert-python` (`mlgit[plots]`), which is loaded when needed.

It draws without a browser and without a network: what a specification wants to load is refused. It draws in a process
of its own, `drawer.py`, bounded in time and memory: a template can ask for what never ends or fills the memory, and
must not cost more than its own picture.
"""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal

from mlgit.errors import InvalidError, UsageError
from mlgit.ops.compare import drawer

Format = Literal["png", "svg"]

VEGA_LITE: Final = "5.21"
SECONDS: Final = 15.0
"""What one picture may take, with the start of the renderer."""
_KEPT: Final = (
    *("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ", "FONTCONFIG_FILE", "FONTCONFIG_PATH"),
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TEMP", "USERPROFILE"),
)
"""Variables that Python's loader, clocks and fonts depend on: all that the process which draws gets."""


def renderer() -> Any:
    """The module that draws. Nothing of the repository may be given to it here.

    Raises:
        UsageError: `mlgit[plots]` is not installed.
    """
    try:
        import vl_convert
    except ImportError as error:
        raise _missing() from error
    return vl_convert


def can_draw() -> bool:
    """Whether `mlgit[plots]` is installed."""
    return importlib.util.find_spec("vl_convert") is not None


class Drawer:
    """Draws the figures of a page or an export, all in one process as long as it stands.

    After the `with` block, however that is left, no process remains.
    """

    def __init__(self, total: float = math.inf, *, seconds: float = SECONDS) -> None:
        """A drawer that starts its process when the first figure comes.

        Args:
            total: seconds for everything, counted from now.
            seconds: for one picture.
        """
        self._end = time.monotonic() + total
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Drawer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def draw(self, name: str, spec: dict[str, Any], kind: Format) -> bytes:
        """One specification as PNG or SVG.

        Args:
            name: what an error calls it.

        Raises:
            UsageError: `mlgit[plots]` is not installed.
            InvalidError: the specification cannot be drawn, or not within the bounds.
        """
        text = json.dumps(finite(spec), allow_nan=False)
        left = min(self._seconds, self._end - time.monotonic())
        if left <= 0:
            raise _failed(name, "this and the plots before it took too long")
        request = {"spec": text, "kind": kind, "version": VEGA_LITE, "seconds": math.ceil(left)}
        answer = json.loads(self._ask(name, json.dumps(request).encode() + b"\n", left))
        if "picture" not in answer:
            said = str(answer["error"]).strip()
            raise _failed(name, said.splitlines()[0][:200] if said else "unknown reason")
        return base64.b64decode(answer["picture"])

    def _ask(self, name: str, request: bytes, seconds: float) -> bytes:
        """The answer to one request; a process that gives none is ended, the next figure gets another."""
        process = self._process = self._process or _start()
        assert process.stdin is not None and process.stdout is not None
        late = threading.Event()
        timer = threading.Timer(seconds, _expire, (process, late))
        timer.start()
        answer = b""
        try:
            with contextlib.suppress(OSError):  # a process that has ended reads nothing
                process.stdin.write(request)
                process.stdin.flush()
                answer = process.stdout.readline()
        finally:
            timer.cancel()
            timer.join()
        if answer.endswith(b"\n") and not late.is_set():
            return answer
        self._stop()
        if late.is_set():
            raise _failed(name, f"it took too long, more than {seconds:.0f} s")
        raise _failed(name, "the renderer broke down, as it does when a plot needs too much memory")

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            _kill(process)
            process.wait()
            for stream in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):  # what was not sent is lost
                    assert stream is not None
                    stream.close()


def _start() -> subprocess.Popen[bytes]:
    """The process that draws, in a group and a session of its own."""
    found = importlib.util.find_spec("vl_convert")
    if found is None or found.origin is None:
        raise _missing()
    return subprocess.Popen(
        [sys.executable, "-I", drawer.__file__, str(Path(found.origin).parent.parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={name: value for name in _KEPT if (value := os.environ.get(name)) is not None},  # handed on, never judged
        start_new_session=True,
    )


def _expire(process: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        process.kill()


def _missing() -> UsageError:
    return UsageError(
        "drawing plots needs vl-convert-python, which is not installed", hint="pip install 'mlgit[plots]'"
    )


def _failed(name: str, reason: str) -> InvalidError:
    return InvalidError(f"plot {name!r} cannot be drawn: {reason}", hint="check its template")


def finite(value: Any) -> Any:
    """`value` with what JSON cannot hold, NaN and infinities, as null: a gap in a line."""
    if isinstance(value, dict):
        return {key: finite(below) for key, below in value.items()}
    if isinstance(value, list):
        return [finite(below) for below in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
