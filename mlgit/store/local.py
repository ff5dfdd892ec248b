"""A store on a local or mounted disk: the backend of the cache and of every folder remote."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from mlgit.errors import MissingError
from mlgit.fs import atomic
from mlgit.fs.link import copy_bytes, reflink
from mlgit.store.backend import Progress, Stat


class LocalBackend:
    """Files below the folder `root`, published by rename; see `Backend` for what is promised.

    Args:
        root: made on the first write.
        shared: several users of one group write here: folders are open to the group whatever the umask.
    """

    def __init__(self, root: Path, *, shared: bool = False) -> None:
        self.root = root
        self._shared = shared
        self._made: set[Path] = set()

    @property
    def url(self) -> str:
        """The folder."""
        return str(self.root)

    @property
    def local(self) -> Path | None:
        """The folder."""
        return self.root

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Part of a file, or all of it."""
        path = self.root / name
        with self._reading(name):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                wanted = os.fstat(descriptor).st_size - offset if length is None else length
                data = os.pread(descriptor, max(wanted, 0), offset)
                while len(data) < wanted and (more := os.pread(descriptor, wanted - len(data), offset + len(data))):
                    data += more
                return data
            finally:
                os.close(descriptor)

    def download(self, name: str, target: Path, progress: Progress | None = None) -> None:
        """Copy the whole file to `target`."""
        with self._reading(name):
            reader = os.open(self.root / name, os.O_RDONLY)
        try:
            with atomic.disk_errors(target):
                _copy(reader, target, progress)
        finally:
            os.close(reader)

    def put(self, name: str, source: Path, progress: Progress | None = None, *, move: bool = False) -> None:
        """Publish `source` durably, by rename if it may be moved and stands on the same file system."""
        final = self.root / name
        self._make(final.parent)
        with atomic.disk_errors(final):
            if move and self._moved(source, final):
                return
            temp = atomic.temporary(final)
            try:
                reader = os.open(source, os.O_RDONLY)
                try:
                    _copy(reader, temp, progress)
                finally:
                    os.close(reader)
                self._publish(temp, final)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temp)
                raise
            if move:
                os.unlink(source)

    def _moved(self, source: Path, final: Path) -> bool:
        try:
            os.chmod(source, 0o444)
            atomic.sync_file(source)
            os.replace(source, final)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return False
        atomic.sync_folder(final.parent)
        return True

    def _publish(self, temp: Path, final: Path) -> None:
        os.chmod(temp, 0o444)
        atomic.sync_file(temp)
        os.replace(temp, final)
        atomic.sync_folder(final.parent)

    def put_bytes(self, name: str, data: bytes, *, durable: bool = True) -> None:
        """Publish `data`, flushed if `durable`."""
        final = self.root / name
        self._make(final.parent, durable=durable)
        atomic.write_bytes(final, data, 0o444, durable=durable)

    def _make(self, folder: Path, *, durable: bool = True) -> None:
        if folder in self._made:
            return
        atomic.make_folders(folder, shared=self._shared, durable=durable)
        self._made.add(folder)

    def list(self, prefix: str) -> Iterator[Stat]:
        """The files below a folder; temporary files of writers under way are left out."""
        pending = [(self.root / prefix, prefix.rstrip("/"))]
        while pending:
            folder, name = pending.pop()
            try:
                with atomic.disk_errors(folder), os.scandir(folder) as entries:
                    found = list(entries)
            except MissingError:
                continue
            for entry in found:
                below = f"{name}/{entry.name}" if name else entry.name
                if entry.is_dir(follow_symlinks=False):
                    pending.append((folder / entry.name, below))
                elif not entry.name.startswith("."):
                    with contextlib.suppress(FileNotFoundError):
                        stat = entry.stat()
                        yield Stat(below, stat.st_size, stat.st_mtime)

    def exists(self, name: str) -> bool:
        """Whether the file is there."""
        return (self.root / name).is_file()

    def delete(self, names: Iterable[str]) -> None:
        """Remove files."""
        for name in names:
            with atomic.disk_errors(self.root / name), contextlib.suppress(FileNotFoundError):
                os.unlink(self.root / name)

    @contextlib.contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        try:
            with atomic.disk_errors(self.root / name):
                yield
        except MissingError:
            raise MissingError(f"{self.url}: no file {name}", hint="run `mlgit fsck`") from None


def _copy(reader: int, target: Path, progress: Progress | None) -> None:
    size = os.fstat(reader).st_size
    writer = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        try:
            reflink(reader, writer)
        except OSError:
            done = 0

            def copied(end: int) -> None:
                nonlocal done
                if progress is not None:
                    progress(end - done)
                done = end

            if copy_bytes(reader, writer, copied) != size:
                raise OSError(errno.EIO, f"copied {done} of {size} bytes") from None
        else:
            if progress is not None:
                progress(size)
    finally:
        os.close(writer)
