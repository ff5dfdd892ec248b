"""Keeping lock files: one entry at a time, written at once, and only when the file's bytes change."""

from __future__ import annotations

from pathlib import Path

from mlgit.fs import atomic
from mlgit.model import lock
from mlgit.model.lock import StageLock
from mlgit.model.relpath import RelPath
from mlgit.model.stage import Stage
from mlgit.pipeline.load import Project, address, lock_path


class Locks:
    """The lock files of a project under change.

    Every entry is encoded once, however many stages run: writing a file again only joins texts.
    """

    __slots__ = ("_project", "_root", "_texts", "current", "written")

    def __init__(self, root: Path, project: Project) -> None:
        self._root = root
        self._project = project
        self._texts: dict[RelPath, dict[str, str]] = {}
        self.current = dict(project.locked)
        self.written: dict[RelPath, None] = {}

    def record(self, stage: Stage, entry: StageLock) -> None:
        """Make `entry` the one of `stage`; entries of stages that are no longer declared go.

        Raises:
            DiskError: the file cannot be written; the old one stands.
        """
        texts, text = self._encoded(stage.file), lock.encode_entry(stage.name, entry)
        if texts.get(stage.name) == text:
            return
        self.current[stage.address] = entry
        texts[stage.name] = text
        path = lock_path(stage.file)
        atomic.write_text(self._root / path, lock.assemble(texts))
        self.written[path] = None

    def _encoded(self, file: RelPath) -> dict[str, str]:
        if file not in self._texts:
            entries = {name: self.current.get(address(file, name)) for name in self._project.files[file].stages}
            self._texts[file] = {name: lock.encode_entry(name, entry) for name, entry in entries.items() if entry}
        return self._texts[file]
