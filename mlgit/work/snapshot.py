"""A commit or the working tree as one thing: files by path.

Everything that compares, gates or reads history takes snapshots, so that no code asks where it is looking.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable
from fnmatch import translate
from pathlib import Path
from typing import Final, Protocol

from mlgit.errors import InvalidError, MissingError, UnsafeError
from mlgit.fs import atomic
from mlgit.fs.confine import Folder
from mlgit.git import Git
from mlgit.model.blob import Blob
from mlgit.model.relpath import RelPath

STAGE_FILE: Final = "mlgit.yaml"
LOCK_FILE: Final = "mlgit.lock"
CONTROL_FILES: Final = ("*.mlgit", STAGE_FILE)


class Snapshot(Protocol):
    """Files by root-relative path."""

    @property
    def name(self) -> str:
        """As people name it."""

    @property
    def rev(self) -> str | None:
        """The full commit id; None for the working tree."""

    def read(self, path: RelPath) -> bytes | None:
        """A file's bytes; None if there is no such file."""

    @property
    def control_files(self) -> tuple[RelPath, ...]:
        """Pointers and stage files: all that mlgit has to read to know what there is."""

    def paths(self, *patterns: str) -> list[RelPath]:
        """Files that Git knows or would add, whose last component matches one of `patterns` (all if none)."""


class WorkingTree:
    """The files that lie below `root` now."""

    name = "working tree"
    rev = None

    def __init__(self, root: Path, git: Git) -> None:
        self._root = root
        self._git = git

    def read(self, path: RelPath) -> bytes | None:
        """A file's bytes; None if no regular file stands there. Links are not followed.

        Raises:
            UnsafeError: the path leads through a symbolic link, or is one.
            DiskError: it cannot be read.
        """
        try:
            with Folder.beneath(self._root, path.parent.parts) as folder, atomic.disk_errors(path):
                return folder.read(path.name)
        except MissingError:
            return None

    def paths(self, *patterns: str) -> list[RelPath]:
        """Files that Git tracks, or that are untracked and not ignored."""
        return _valid(name for name in self._git.known_files(*patterns) if os.path.lexists(self._root / name))

    @functools.cached_property
    def control_files(self) -> tuple[RelPath, ...]:
        """Pointers and stage files, listed once."""
        return tuple(self.paths(*CONTROL_FILES))


class Commit:
    """The files of one commit.

    Args:
        rev: what the user typed, for the name.
    """

    def __init__(self, git: Git, rev: str) -> None:
        self._git = git
        self.rev: str = git.resolve(rev)
        short = self.rev[:7]
        self.name = short if self.rev.startswith(rev) else f"{rev} ({short})"
        self._read: dict[str, bytes] = {}

    def read(self, path: RelPath) -> bytes | None:
        """A file's bytes as Git stores them; with the first pointer all are read, and so are stage files and locks.

        Raises:
            UnsafeError: a symbolic link stands there.
        """
        blob = self._blobs.get(path)
        if blob is None:
            return None
        if blob.mode == "120000":
            raise UnsafeError(f"{path} is a symbolic link in Git", hint="commit the file itself")
        if path not in self._read:
            together = next((each for each in self._texts if path in each), {path})
            found = self._git.contents(self._blobs[one].id for one in together)
            self._read |= {one: found[self._blobs[one].id] for one in together}
        return self._read[path]

    @functools.cached_property
    def _blobs(self) -> dict[str, Blob]:
        return {blob.path: blob for blob in self._git.blobs(self.rev)}

    @functools.cached_property
    def _texts(self) -> tuple[set[RelPath], set[RelPath]]:
        """The files that say what there is: pointers, which may be many, then stage files and locks."""
        files = {path for path in self._own if self._blobs[path].is_file}
        others = {path for path in files if path.name in (STAGE_FILE, LOCK_FILE)}
        return files - others, others

    @functools.cached_property
    def _own(self) -> tuple[RelPath, ...]:
        return tuple(self.paths(*CONTROL_FILES, LOCK_FILE))

    @functools.cached_property
    def control_files(self) -> tuple[RelPath, ...]:
        """Pointers and stage files."""
        return tuple(path for path in self._own if path.name != LOCK_FILE)

    def paths(self, *patterns: str) -> list[RelPath]:
        """All files of the commit."""
        if not patterns:
            return _valid(self._blobs)
        fits = re.compile("|".join(map(translate, patterns))).match
        return _valid(one for one in self._blobs if fits(one.rpartition("/")[2]))


def _valid(names: Iterable[str]) -> list[RelPath]:
    """Paths that Git gave; it guards its own against climbing out, and one that we refuse is not ours to read."""
    found = []
    for name in names:
        try:
            found.append(RelPath.parse(name))
        except (UnsafeError, InvalidError):
            continue
    return found
