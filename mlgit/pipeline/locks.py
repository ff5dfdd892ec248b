"""Keeping lock files: one entry at a time, written at once, and only when the file's bytes change.

A lock file may change while stages run: by a merge, a checkout, or another run that ended just before this one began.
What stands there for other stages is kept.
"""

from __future__ import annotations

import os
from pathlib import Path

from mlgit.fs import atomic
from mlgit.model import lock
from mlgit.model.lock import StageLock
from mlgit.model.relpath import RelPath
from mlgit.model.stage import Stage
from mlgit.pipeline.load import Project, address, lock_path

_Stamp = tuple[int, int, int] | None


class Locks:
    """The lock files of a project under change.

    Every entry is encoded once, however many stages run: writing a file again only joins texts.
    """

    __slots__ = ("_project", "_root", "_stamps", "_texts", "current", "written")

    def __init__(self, root: Path, project: Project) -> None:
        self._root = root
        self._project = project
        self._texts: dict[RelPath, dict[str, str]] = {}
        self._stamps: dict[RelPath, _Stamp] = {}
        self.current = dict(project.locked)
        self.written: dict[RelPath, None] = {}

    def record(self, stage: Stage, entry: StageLock) -> None:
        """Make `entry` the one of `stage`; entries of stages that are no longer declared go.

        Raises:
            InvalidError, UnsafeError: the file has become something that is no lock; it stands.
            DiskError: the file cannot be written; the old one stands.
        """
        path = lock_path(stage.file)
        if stage.file not in self._texts or self._stamps[path] != self._stamp(path):
            self._read(stage.file)
        texts, text = self._texts[stage.file], lock.encode_entry(stage.name, entry)
        if texts.get(stage.name) == text:
            return
        self.current[stage.address] = entry
        texts[stage.name] = text
        atomic.write_text(self._root / path, lock.assemble(texts))
        self._stamps[path] = self._stamp(path)
        self.written[path] = None

    def prune(self) -> None:
        """Take out the entries of stages that are no longer declared: a lock says nothing of what is not there.

        Raises:
            InvalidError, UnsafeError: as `record`.
            DiskError: a file cannot be written; the old one stands.
        """
        gone = self.current.keys() - self._project.stages.keys()
        for file in self._project.files if gone else ():
            if any(one == address(file, one.rpartition(":")[2]) for one in gone):
                self._read(file)
                path = lock_path(file)
                atomic.write_text(self._root / path, lock.assemble(self._texts[file]))
                self._stamps[path] = self._stamp(path)
                self.written[path] = None
        for one in gone:
            del self.current[one]

    def _read(self, file: RelPath) -> None:
        """Take over what the lock file beside the stage file `file` says now."""
        path = lock_path(file)
        self._stamps[path] = self._stamp(path)
        entries: dict[str, StageLock] = {}
        if self._stamps[path] is not None:
            with atomic.disk_errors(path):
                entries = lock.decode((self._root / path).read_bytes(), path).stages
        names = [name for name in self._project.files[file].stages if name in entries]
        for name in self._project.files[file].stages:
            self.current.pop(address(file, name), None)
        self.current.update((address(file, name), entries[name]) for name in names)
        self._texts[file] = {name: lock.encode_entry(name, entries[name]) for name in names}

    def _stamp(self, path: RelPath) -> _Stamp:
        """Another value for another file under the same name; None if there is none."""
        try:
            found = os.stat(self._root / path)
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns
