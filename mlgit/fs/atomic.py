"""Files that appear whole or not at all, and stay once they have been announced.

The order is always: temporary file on the same file system, write, check the length, fsync, rename, fsync the folder.
A failed fsync is never tried again: after it the kernel may have dropped the pages (Rebello et al., ATC 2020).
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from mlgit.errors import DiskError, InvalidError, MissingError, MlgitError, UnsafeError

SHARED_FOLDER: Final = 0o2775
SHARED_FILE: Final = 0o664
_NO_SYNC: Final = {errno.EINVAL, errno.ENOSYS, errno.EBADF, errno.EACCES, errno.EISDIR}


@contextlib.contextmanager
def disk_errors(path: object) -> Iterator[None]:
    """Turn an `OSError` of the body into a `MlgitError` that names `path`.

    Raises:
        MissingError: the file does not exist.
        InvalidError: a folder stands where a file is expected, or the other way round.
        UnsafeError: a symbolic link stands where none is followed.
        DiskError: anything else: full, read-only, not permitted, I/O error.
    """
    try:
        yield
    except OSError as error:
        raise explain(error, path) from error


def explain(error: OSError, path: object) -> MlgitError:
    """The `MlgitError` that says what `error` means for `path`."""
    if isinstance(error, FileNotFoundError):
        return MissingError(f"no such file or folder: {path}", hint="check the spelling; paths are seen from here")
    if isinstance(error, (IsADirectoryError, NotADirectoryError)):
        return InvalidError(f"{error.strerror}: {path}", hint="a file and a folder are mixed up")
    if error.errno == errno.ELOOP:
        return UnsafeError(f"refused to follow a symbolic link: {path}", hint="replace the link by what it leads to")
    hints = {
        errno.ENOSPC: "free some space; nothing was lost, the same command will go on",
        errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
        errno.EROFS: "the file system is read-only; remount it, or work in a copy",
        errno.EACCES: "check the permissions of the file and its folder",
        errno.EPERM: "check the owner and permissions of the file and its folder",
        errno.EMFILE: "raise the limit of open files (ulimit -n)",
        errno.EFBIG: "raise the file size limit (ulimit -f)",
        errno.ENAMETOOLONG: "shorten the name",
    }
    return DiskError(f"{error.strerror}: {path}", hint=hints.get(error.errno or 0, "check the disk"))


def write_bytes(path: Path, data: bytes, mode: int | None = None, *, durable: bool = True) -> None:
    """Durably replace `path` by `data`; readers see the old content or the new.

    Args:
        durable: false for what may be lost, and even torn, in a power loss: only for what its name verifies.
        mode: permission bits; by default those of the file it replaces, else what the umask gives.

    Raises:
        DiskError: the disk refused; the old file stands untouched and no temporary file is left.
    """
    with disk_errors(path):
        temp = temporary(path)
        try:
            descriptor = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
            try:
                write_all(descriptor, data)
                _copy_mode(path, temp, mode)
                if durable:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(temp, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temp)
            raise
        if durable:
            sync_folder(path.parent)


def make_folders(path: Path, *, shared: bool = False, durable: bool = True) -> None:
    """Durably make `path` and the folders above it that are missing.

    Args:
        shared: its group may write there whatever the umask, and new files belong to that group (mode 2775). A folder
            gets its mode before it gets its name, so another user never meets one that is closed.

    Raises:
        DiskError: the disk refused, or `path` belongs to somebody else and is closed to the group.
    """
    with disk_errors(path):
        missing = [one for one in (path, *path.parents) if not one.exists()]
        for one in reversed(missing):
            if shared:
                _make_shared(one)
            else:
                one.mkdir(exist_ok=True)
            if durable:
                sync_folder(one.parent)
        if shared and path not in missing:
            _open_to_group(path)


def _make_shared(path: Path) -> None:
    temp = temporary(path)
    temp.mkdir()
    try:
        temp.chmod(SHARED_FOLDER)
        temp.rename(path)
    except OSError as error:
        temp.rmdir()
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # somebody else has just made it
            raise


def _open_to_group(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & SHARED_FOLDER == SHARED_FOLDER:
        return
    try:
        path.chmod(mode | SHARED_FOLDER)
    except PermissionError as error:
        if mode & 0o070 != 0o070:
            raise DiskError(
                f"the group may not write in {path}, which belongs to another user",
                hint=f"its owner can open it: chmod g+rwxs '{path}'",
            ) from error


def write_text(path: Path, text: str) -> None:
    """Durably replace `path` by `text` in UTF-8 with LF line ends."""
    write_bytes(path, text.encode())


def append_text(path: Path, text: str) -> None:
    """Add `text` in UTF-8 to the end of a file, or of a device such as `/dev/null`; what is missing is made.

    Raises:
        InvalidError: a pipe or socket stands there, on which one could wait for ever.
        DiskError: the disk refused.
    """
    with disk_errors(path):
        descriptor = _open_at_once(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            write_all(descriptor, text.encode())
        finally:
            os.close(descriptor)


def read_start(path: Path, most: int) -> bytes:
    """The first bytes of a file, at most so many.

    Raises:
        MissingError: there is none.
        InvalidError: a pipe or socket stands there, on which one could wait for ever.
        DiskError: it cannot be read.
    """
    with disk_errors(path), os.fdopen(_open_at_once(path, os.O_RDONLY), "rb") as file:
        return file.read(most)


def _open_at_once(path: Path, flags: int) -> int:
    """Open what can be written or read without waiting for somebody else."""
    flags |= getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a pipe that nobody reads, or a socket
            raise no_file(path) from error
        raise
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode) or stat.S_ISCHR(mode):
        if hasattr(os, "O_NONBLOCK"):
            os.set_blocking(descriptor, True)  # a terminal takes a long text bit by bit
        return descriptor
    os.close(descriptor)
    raise no_file(path)


def no_file(path: Path) -> InvalidError:
    """The error for what is there, but is no file."""
    return InvalidError(f"not a regular file: {path}", hint="name a file; pipes and folders are none")


def temporary(path: Path) -> Path:
    """A name in the folder of `path` that nothing else uses."""
    return path.with_name(f".{path.name[:40]}.{os.urandom(6).hex()}.tmp")


def write_all(descriptor: int, data: bytes | bytearray | memoryview) -> None:
    """Write every byte of `data`; a short write is continued, a refused one raises `OSError`."""
    done = os.write(descriptor, data)
    while done < len(data):
        done += os.write(descriptor, memoryview(data)[done:])


def sync_file(path: Path) -> None:
    """Flush the content of one file to the medium."""
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_beside(descriptor: int) -> Callable[[], None]:
    """Begin to flush an open file to the medium, beside other work; to be called before it is closed, to wait for that.

    Raises:
        OSError: when waiting, if the disk refused.
    """
    refused: list[OSError] = []

    def flush() -> None:
        try:
            os.fsync(descriptor)
        except OSError as error:
            refused.append(error)

    thread = threading.Thread(target=flush)
    thread.start()

    def wait() -> None:
        thread.join()
        if refused:
            raise refused[0]

    return wait


def sync_folder(path: Path | str) -> None:
    """Flush a folder's names to the medium, on systems that can."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)


def _copy_mode(path: Path, temp: Path, mode: int | None) -> None:
    if mode is None:
        try:
            mode = stat.S_IMODE(os.stat(path).st_mode)
        except FileNotFoundError:
            return
    os.chmod(temp, mode)
