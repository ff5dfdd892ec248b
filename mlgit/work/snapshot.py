"""A commit or the working tree as one thing: files by path.

Everything that compares, gates or reads history takes snapshots, so that no code asks where it is looking.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, Protocol

from mlgit.errors import DiskError, InvalidError, MissingError, UnsafeError
from mlgit.fs import atomic
from mlgit.fs.confine import Folder
from mlgit.git import Git
from mlgit.model.relpath import RelPath

STAGE_FILE: Final = "mlgit.yaml"
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
        """A file's bytes; links are not followed.

        Raises:
            UnsafeError: the path leads through a symbolic link.
            DiskError: it cannot be read.
        """
        try:
            with Folder.beneath(self._root, path.parent.parts) as folder, atomic.disk_errors(path):
                descriptor = folder.open(path.name)
        except MissingError:
            return None
        except DiskError as error:
            if os.path.islink(self._root / path):
                raise UnsafeError(f"{path} is a symbolic link", hint="replace it with the file itself") from error
            raise
        with os.fdopen(descriptor, "rb") as file, atomic.disk_errors(path):
            return file.read()

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

    def read(self, path: RelPath) -> bytes | None:
        """A file's bytes as Git stores them."""
        return self._git.read(self.rev, path)

    @functools.cached_property
    def control_files(self) -> tuple[RelPath, ...]:
        """Pointers and stage files."""
        return tuple(self.paths(*CONTROL_FILES))

    def paths(self, *patterns: str) -> list[RelPath]:
        """All files of the commit."""
        names = self._git.files_at(self.rev)
        if patterns:
            names = [one for one in names if any(fnmatchcase(one.rpartition("/")[2], p) for p in patterns)]
        return _valid(names)


def _valid(names: Iterable[str]) -> list[RelPath]:
    """Paths that Git gave; it guards its own against climbing out, and one that we refuse is not ours to read."""
    found = []
    for name in names:
        try:
            found.append(RelPath.parse(name))
        except (UnsafeError, InvalidError):
            continue
    return found
