"""Putting one file's bytes under another name: reflink, hard link, symbolic link or copy.

Each kind is tried in the order the caller gives; a kind that this file system, owner or pair of disks does not allow
falls through to the next, and a copy always works.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal

from mlgit.fs.confine import Folder

LinkKind = Literal["reflink", "hardlink", "symlink", "copy"]
LINK_KINDS: Final = ("reflink", "hardlink", "symlink", "copy")
CHUNK: Final = 1 << 23
_FICLONE: Final = 0x40049409
_UNABLE: Final = {
    errno.EXDEV,
    errno.EPERM,
    errno.EOPNOTSUPP,
    errno.ENOTTY,
    errno.EINVAL,
    errno.ENOSYS,
    errno.EMLINK,
    errno.EACCES,
    errno.ETXTBSY,
    errno.EBADF,
}


def place(source: Path, folder: Folder, name: str, kinds: tuple[LinkKind, ...], mode: int = 0o666) -> LinkKind:
    """Make `name`, which must not exist, in `folder` hold the bytes of `source`.

    Returns:
        The kind that worked. A hard or symbolic link shares the bytes: `source` must be read-only.
    """
    for kind in kinds:
        try:
            if kind == "hardlink":
                folder.hardlink(source, name)
            elif kind == "symlink":
                folder.symlink(str(source), name)
            else:
                _copy(source, folder, name, mode, clone_only=kind == "reflink")
            return kind
        except OSError as error:
            if error.errno not in _UNABLE or kind == "copy":
                raise
    _copy(source, folder, name, mode, clone_only=False)
    return "copy"


def _copy(source: Path, folder: Folder, name: str, mode: int, *, clone_only: bool) -> None:
    reader = os.open(source, os.O_RDONLY)
    try:
        writer = folder.create(name, mode)
        try:
            if clone_only:
                reflink(reader, writer)
            else:
                copy_bytes(reader, writer)
        except BaseException:
            folder.remove(name)
            raise
        finally:
            os.close(writer)
    finally:
        os.close(reader)


def reflink(reader: int, writer: int) -> None:
    """Let the open file `writer` share the blocks of `reader` until one is written.

    Raises:
        OSError: the file system cannot (`EOPNOTSUPP` where the platform has no such call).
    """
    if sys.platform != "linux":
        raise OSError(errno.EOPNOTSUPP, "no reflink on this platform")
    import fcntl

    fcntl.ioctl(writer, _FICLONE, reader)


def copy_bytes(reader: int, writer: int, copied: Callable[[int], object] | None = None) -> int:
    """Copy the whole file `reader` to the empty file `writer`, in the kernel where possible; holes stay holes.

    Args:
        copied: called with the offset up to which `writer` is complete, after every few MiB.

    Returns:
        The bytes of the copy: fewer than `reader` had if it shrinks meanwhile.
    """
    size = os.fstat(reader).st_size
    done = 0
    for start, end in _extents(reader, size):
        done = start
        while done < end and (moved := _copy_range(reader, writer, done, min(end - done, CHUNK))):
            done += moved
            if copied is not None:
                copied(done)
        if done < end:
            return done
    if done < size:
        os.ftruncate(writer, size)
        if copied is not None:
            copied(size)
    return size


def _extents(reader: int, size: int) -> Iterator[tuple[int, int]]:
    """Start and end of everything in a file that is no hole."""
    end = 0
    while end < size:
        try:
            start = os.lseek(reader, end, os.SEEK_DATA)
            found = os.lseek(reader, start, os.SEEK_HOLE)
        except (OSError, AttributeError) as error:
            if getattr(error, "errno", None) != errno.ENXIO:  # ENXIO: nothing but a hole follows
                yield end, size
            return
        yield start, min(found, size)
        end = found


def _copy_range(reader: int, writer: int, start: int, length: int) -> int:
    """Copy some of `length` bytes at `start`; 0 at the end of the file."""
    try:
        if moved := os.copy_file_range(reader, writer, length, start, start):
            return moved
    except (OSError, AttributeError) as error:
        if getattr(error, "errno", errno.ENOSYS) not in _UNABLE:
            raise
    data = memoryview(os.pread(reader, length, start))
    done = 0
    while done < len(data):
        done += os.pwrite(writer, data[done:], start + done)
    return done
