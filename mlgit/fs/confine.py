"""Folders opened beneath a root, never through a symbolic link.

Names that come from a repository are only ever used relative to an open folder (`dir_fd`, `O_NOFOLLOW`), so swapping a
parent for a link, before or during a command, cannot lead a write outside. Where the system has no `dir_fd` each
component is checked before it is used instead, which leaves a race but gives the same result for what stands still.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from mlgit.errors import UnsafeError
from mlgit.fs.atomic import explain, write_all

_AT: Final = os.open in os.supports_dir_fd and os.rename in os.supports_dir_fd
_BINARY: Final = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_NOFOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
_NONBLOCK: Final = getattr(os, "O_NONBLOCK", 0)
_DIRECTORY: Final = getattr(os, "O_DIRECTORY", 0)


class Folder:
    """An open folder; names given to its methods are single components. Use it with `with`."""

    __slots__ = ("_fd", "path")

    def __init__(self, path: Path, descriptor: int | None) -> None:
        self.path = path
        self._fd = descriptor

    @classmethod
    def beneath(cls, root: Path, parts: Iterable[str] = (), *, create: bool = False) -> Folder:
        """Open `root` and walk down `parts`, making missing folders if `create`.

        Raises:
            UnsafeError: a component is a symbolic link.
            MissingError, InvalidError, DiskError: it cannot be opened.
        """
        folder = cls(root, os.open(root, os.O_RDONLY | _DIRECTORY) if _AT else None)
        for part in parts:
            try:
                below = folder.folder(part, create=create)
            finally:
                folder.close()
            folder = below
        return folder

    def folder(self, name: str, *, create: bool = False) -> Folder:
        """Open the sub-folder `name`."""
        try:
            return self._open_folder(name)
        except FileNotFoundError as error:
            if not create:
                raise explain(error, self.path / name) from error
        except OSError as error:
            raise self._refusal(error, name) from error
        try:
            self.mkdir(name)
            return self._open_folder(name)
        except OSError as error:
            raise self._refusal(error, name) from error

    def _open_folder(self, name: str) -> Folder:
        if _AT:
            flags = os.O_RDONLY | _DIRECTORY | _NOFOLLOW
            return Folder(self.path / name, os.open(name, flags, dir_fd=self._fd))
        if not stat.S_ISDIR(os.lstat(self.path / name).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", str(self.path / name))
        return Folder(self.path / name, None)

    def _refusal(self, error: OSError, name: str) -> Exception:
        found = self.stat(name)
        if found is not None and stat.S_ISLNK(found.st_mode):
            return UnsafeError(
                f"refused to write through a symbolic link: {self.path / name}", hint="remove or replace the link"
            )
        return explain(error, self.path / name)

    def _name(self, name: str) -> str:
        return name if _AT else str(self.path / name)

    def create(self, name: str, mode: int = 0o666) -> int:
        """Create the file `name`, which must not exist, and return its descriptor for writing."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _BINARY
        return os.open(self._name(name), flags, mode, dir_fd=self._fd)

    def write(self, name: str, data: bytes | memoryview, mode: int = 0o666) -> os.stat_result:
        """Create the file `name`, which must not exist, with the bytes `data`; returns its stat."""
        descriptor = self.create(name, mode)
        try:
            write_all(descriptor, data)
            return os.fstat(descriptor)
        finally:
            os.close(descriptor)

    def open(self, name: str) -> int:
        """Open the file `name` for reading; never blocks on a pipe, never follows a link."""
        return os.open(self._name(name), os.O_RDONLY | _NOFOLLOW | _NONBLOCK | _BINARY, dir_fd=self._fd)

    def read(self, name: str) -> bytes | None:
        """The bytes of the regular file `name`; None if something else stands there."""
        descriptor = self.open(name)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            with open(descriptor, "rb", closefd=False) as file:
                return file.read()
        finally:
            os.close(descriptor)

    def stat(self, name: str) -> os.stat_result | None:
        """What stands under `name`, links not followed; None if nothing does."""
        try:
            return os.stat(self._name(name), dir_fd=self._fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def status(self) -> os.stat_result:
        """The stat of the folder itself."""
        return os.stat(self.path if self._fd is None else self._fd)

    def readlink(self, name: str) -> str:
        """The target text of the symbolic link `name`."""
        return os.readlink(self._name(name), dir_fd=self._fd)

    def symlink(self, target: str, name: str) -> None:
        """Make the symbolic link `name` with the text `target`."""
        os.symlink(target, self._name(name), dir_fd=self._fd)

    def hardlink(self, source: Path, name: str) -> None:
        """Make `name` another name of the file `source`."""
        os.link(source, self._name(name), dst_dir_fd=self._fd, follow_symlinks=False)

    def give(self, name: str, target: Path) -> None:
        """Make `target`, outside this folder, another name of the file `name`."""
        os.link(self._name(name), target, src_dir_fd=self._fd, follow_symlinks=False)

    def mkdir(self, name: str) -> None:
        """Make the folder `name`; fine if it is there."""
        try:
            os.mkdir(self._name(name), dir_fd=self._fd)
        except FileExistsError:
            found = self.stat(name)
            if found is None or not stat.S_ISDIR(found.st_mode):
                raise

    def rename(self, name: str, other: Folder, new: str) -> None:
        """Move `name` to `new` in the folder `other`, replacing a file there."""
        os.replace(self._name(name), other._name(new), src_dir_fd=self._fd, dst_dir_fd=other._fd)

    def chmod(self, name: str, mode: int) -> None:
        """Set the permission bits of `name`, which the caller knows to be no link."""
        os.chmod(self._name(name), mode, dir_fd=self._fd)

    def remove(self, name: str, *, force: bool = False) -> None:
        """Delete the file, link or whole folder `name`; fine if it is gone.

        Args:
            force: also from folders whose owner took away the right to look into them or to change them.
        """
        found = self.stat(name)
        if found is None:
            return
        if stat.S_ISDIR(found.st_mode):
            if force and found.st_mode & stat.S_IRWXU != stat.S_IRWXU:
                os.chmod(self._name(name), stat.S_IRWXU, dir_fd=self._fd)
            with self._open_folder(name) as below:
                for entry in list(below.scan()):
                    below.remove(entry.name, force=force)
            self.rmdir(name)
        else:
            os.unlink(self._name(name), dir_fd=self._fd)

    def sweep(self, name: str) -> bool:
        """Delete a temporary file or folder by force; whether it is gone: one that resists is in nobody's way."""
        try:
            self.remove(name, force=True)
        except (OSError, RecursionError):  # immutable, mounted, or nested without end
            return False
        return True

    def rmdir(self, name: str) -> None:
        """Delete the folder `name` if it is empty."""
        os.rmdir(self._name(name), dir_fd=self._fd)

    def scan(self) -> Iterator[os.DirEntry[str]]:
        """The entries of the folder, in the order of the disk; nothing may change in it meanwhile."""
        with os.scandir(self._fd if self._fd is not None else str(self.path)) as found:
            yield from found

    def close(self) -> None:
        """Give the descriptor back; a closed folder must not be used."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Folder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
