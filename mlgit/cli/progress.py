"""A progress bar for what can pass one second; nothing is drawn before that, and nothing when piped."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from mlgit.cli.session import Session

if TYPE_CHECKING:
    from rich.progress import Progress as Drawing

    from mlgit.store.backend import Progress

_PATIENCE: Final = 0.7
_STEP: Final = 1 << 18


class _Bar:
    """Counts bytes and files; draws only after some patience."""

    def __init__(self, title: str, total: int | None) -> None:
        self._title = title
        self._files = 0
        self._total = total
        self._started = time.monotonic()
        self._done = 0
        self._drawn = 0
        self._bar: Drawing | None = None

    def advance(self, size: int, files: int = 0, /) -> None:
        self._done += size
        self._files += files
        if self._done - self._drawn < _STEP and size < _STEP:
            return
        self._drawn = self._done
        if self._bar is None and time.monotonic() - self._started > _PATIENCE:
            self._open()
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._done, files=f"{self._files:,}")

    def _open(self) -> None:
        from rich import progress
        from rich.console import Console

        self._bar = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.TextColumn("{task.fields[files]} files", markup=False),
            progress.DownloadColumn(binary_units=True),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._bar.add_task(self._title, total=self._total, files="0")
        self._bar.start()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()


@contextlib.contextmanager
def bar(session: Session, title: str, total: int | None = None) -> Iterator[Progress | None]:
    """A callback for the bytes and files that are done; None where no bar is wanted.

    Args:
        total: bytes in all, if known.
    """
    if not session.progress:
        yield None
        return
    drawn = _Bar(title, total)
    try:
        yield drawn.advance
    finally:
        drawn.close()
