"""The next commit as a snapshot: what is staged, whatever the working tree holds."""

from __future__ import annotations

import contextlib
import functools

from mlgit.errors import InvalidError, UnsafeError
from mlgit.git import Git
from mlgit.model.relpath import RelPath
from mlgit.work.snapshot import CONTROL_FILES


class Staged:
    """The files of Git's index. `rev` is empty rather than None: it is neither a commit nor the working tree."""

    name = "staged files"
    rev = ""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._read: dict[RelPath, bytes | None] = {}

    def read(self, path: RelPath) -> bytes | None:
        """A file's bytes as the next commit will have them.

        Raises:
            UnsafeError: a symbolic link stands there.
        """
        if path not in self._read:
            self._read[path] = self._look(path)
        return self._read[path]

    def _look(self, path: RelPath) -> bytes | None:
        blob = next((one for one in self._git.blobs(None, path) if one.path == path), None)
        if blob is not None and blob.mode == "120000":
            raise UnsafeError(f"{path} is a symbolic link in Git", hint="stage the file itself")
        return self._git.contents([blob.id])[blob.id] if blob is not None and blob.is_file else None

    def paths(self, *patterns: str) -> list[RelPath]:
        """Files whose last component matches one of `patterns` (all if none)."""
        found = []
        for name in self._git.known_files(*patterns, untracked=False):
            with contextlib.suppress(
                UnsafeError, InvalidError
            ):  # Git guards its own; what we refuse is not ours to read
                found.append(RelPath.parse(name))
        return found

    @functools.cached_property
    def control_files(self) -> tuple[RelPath, ...]:
        """Staged pointers and stage files."""
        return tuple(self.paths(*CONTROL_FILES))
