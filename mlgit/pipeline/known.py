"""Which files of a repository are worth a word when a command touches them without declaring it."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from mlgit.model.relpath import RelPath
from mlgit.work.workspace import Workspace


class Known:
    """The files whose reading or writing is worth a word: Git's, those it would add, and all that mlgit tracks.

    Args:
        tracked: outputs of stages, and what pointers own.
    """

    def __init__(self, workspace: Workspace, tracked: Iterable[RelPath]) -> None:
        self._workspace = workspace
        self._tracked = frozenset(tracked)

    @functools.cached_property
    def _paths(self) -> frozenset[str]:
        """Files, and the folders that they are in."""
        files = {*self._workspace.git.known_files(), *self._tracked}
        return frozenset(files | {folder for file in files for folder in _above(file)})

    def __call__(self, path: RelPath) -> bool:
        """Whether `path` is one of them, a folder of them, or lies in a tracked folder."""
        return path in self._paths or any(folder in self._tracked for folder in _above(path))


def _above(path: str) -> Iterable[str]:
    parts = path.split("/")
    return ("/".join(parts[:length]) for length in range(1, len(parts)))
