"""Locks between processes that the kernel frees when their holder dies, however it dies.

The lock is `flock` on an open file; the file's text only names the holder for the message of whoever waits in vain and
is never trusted. Systems without `flock` (Windows) lock the first byte with `msvcrt`, always exclusively.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from mlgit.errors import DiskError, LockedError
from mlgit.fs.atomic import explain, temporary

_STEP = 0.05


@contextlib.contextmanager
def locked(
    path: Path, purpose: str, *, shared: bool = False, wait: float = 60.0, mode: int | None = None
) -> Iterator[None]:
    """Hold the lock file `path` for the body.

    Args:
        purpose: what the holder does, such as `add`; shown to whoever waits in vain.
        shared: allow other shared holders beside this one. On a read-only file system, where nobody can change
            anything, there is nothing to hold.
        wait: seconds to wait for other holders before giving up.
        mode: permission bits of the lock file; by default what the umask gives.

    Raises:
        LockedError: another process kept the lock all the time; names it.
        DiskError: the lock file cannot be made, or this file system knows no locks.
    """
    descriptor = _open(path, shared, mode)
    if descriptor is None:
        yield
        return
    try:
        _acquire(descriptor, path, shared, wait)
        _sign(descriptor, f"process {os.getpid()} (mlgit {purpose})\n")
        try:
            yield
        finally:
            _sign(descriptor, "")  # else whoever waits for the next holder, who may share, is told of this one
    finally:
        os.close(descriptor)


def _open(path: Path, shared: bool, mode: int | None) -> int | None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if mode is not None:
            _make(path, mode)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        if mode is not None and os.fstat(descriptor).st_mode & mode != mode:
            with contextlib.suppress(PermissionError):  # another user's, and open to us already
                os.chmod(path, mode)
        return descriptor
    except OSError as error:
        if shared and error.errno == errno.EROFS:
            return None
        raise explain(error, path) from error


def _make(path: Path, mode: int) -> None:
    """Make the lock file with permissions that the umask has no say in, before anybody can meet it with others."""
    if path.exists():
        return
    temp = temporary(path)
    try:
        os.close(os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        os.chmod(temp, mode)
        with contextlib.suppress(OSError):  # it exists by now, or there are no hard links; then opening makes it
            os.link(temp, path)
    finally:
        with contextlib.suppress(FileNotFoundError):  # it could not be made, and that error says more
            os.unlink(temp)


def _sign(descriptor: int, text: str) -> None:
    """Name the holder, or with an empty `text` nobody; of several who share the lock, the last to come or go did."""
    with contextlib.suppress(OSError):  # the lock holds without the text, also on a full disk
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)


def _acquire(descriptor: int, path: Path, shared: bool, wait: float) -> None:
    deadline = time.monotonic() + wait
    while not _try_lock(descriptor, path, shared):
        if time.monotonic() >= deadline:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
            raise LockedError(f"{path} is held by {holder}", hint="wait for it to end, then run the same command again")
        time.sleep(_STEP)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int, path: Path, shared: bool) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(descriptor: int, path: Path, shared: bool) -> bool:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise DiskError(
                f"{path}: this file system cannot lock files: {error.strerror}",
                hint="put the repository, or cache.dir, on a local disk",
            ) from error
        return True
