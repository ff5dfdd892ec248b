"""What many commits track, read in one go: every Git tree and every control file once, however many commits hold it.

A commit's tracked data is named by units: a pointer, or a stage file with its lock. Thousands of commits share a few
units, so whoever asks about history (`gc`, `fsck`) looks at units and asks which commits have them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from mlgit.errors import InvalidError, UnsafeError
from mlgit.git import Git
from mlgit.model.blob import Blob
from mlgit.model.pointer import SUFFIX
from mlgit.model.relpath import RelPath
from mlgit.work.snapshot import LOCK_FILE, STAGE_FILE, Commit

Unit = tuple[Blob, ...]
"""A pointer, or a stage file and, if there is one, its lock; paths are seen from the mlgit root."""

_EMPTY: Final = frozenset(  # the empty blob, by SHA-1 and by SHA-256
    {
        "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
        "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813",
    }
)
_TREE: Final = "40000"


class Recorded:
    """One unit as a snapshot: nothing but its files is tracked there.

    Args:
        name: who names it, for messages.
        rev: a commit that has it; None for Git's index.
    """

    def __init__(self, git: Git, unit: Unit, texts: Mapping[str, bytes], name: str, rev: str | None) -> None:
        self._git = git
        self._blobs = {blob.path: blob for blob in unit}
        self._texts = texts
        self.name = name
        self.rev = rev
        self.control_files = (RelPath(unit[0].path),)

    def read(self, path: RelPath) -> bytes | None:
        """A file's bytes; None if there is no such file.

        Raises:
            UnsafeError: a symbolic link stands there.
        """
        blob = self._blobs.get(path)
        if blob is None:
            return self._commit.read(path) if self._commit is not None else None
        if not blob.is_file:
            raise UnsafeError(f"{path} is no regular file in Git", hint="commit the file itself")
        return self._texts[blob.id]

    @functools.cached_property
    def _commit(self) -> Commit | None:
        return None if self.rev is None else Commit(self._git, self.rev)

    def paths(self, *patterns: str) -> list[RelPath]:
        """All files of the commit."""
        return self._commit.paths(*patterns) if self._commit is not None else []


def units_of(git: Git, commits: Iterable[str], *, top: bool = False) -> dict[Unit, list[str]]:
    """Every unit of `commits`, with the commits that have it.

    Args:
        top: below Git's top, and not only below where the mlgit root stands today.

    Raises:
        MissingError: Git lacks one of the trees.
    """
    having: dict[str, list[str]] = {}
    for commit, root in git.root_trees(commits, top=top).items():
        having.setdefault(root, []).append(commit)
    trees = _Trees(git)
    trees.load(having)
    found: dict[Unit, list[str]] = {}
    for root, same in having.items():
        for unit in _grouped(trees.take_files(root)):
            found.setdefault(unit, []).extend(same)
    return found


def staged_units(git: Git) -> list[Unit]:
    """The units of Git's index; files that are announced only (`git add -N`) are not there yet."""
    blobs = (blob for blob in git.blobs(None) if _is_control(blob.path.rpartition("/")[2]))
    return list(_grouped(blob for blob in blobs if blob.id not in _EMPTY))


def texts_of(git: Git, units: Iterable[Unit]) -> dict[str, bytes]:
    """The bytes of all files of `units`, by blob.

    Raises:
        MissingError: Git lacks one.
    """
    return git.contents(blob.id for unit in units for blob in unit if blob.is_file)


def _is_control(name: str) -> bool:
    return name.endswith(SUFFIX) or name in (STAGE_FILE, LOCK_FILE)


def _grouped(blobs: Iterable[Blob]) -> Iterator[Unit]:
    """Pointers alone, stage files with the lock beside them; paths that are refused anywhere else are left out."""
    here = {blob.path: blob for blob in blobs if _is_valid(blob.path)}
    for path, blob in here.items():
        folder, _, name = path.rpartition("/")
        if name == STAGE_FILE:
            lock = here.get(f"{folder}/{LOCK_FILE}" if folder else LOCK_FILE)
            yield (blob, lock) if lock is not None else (blob,)
        elif name != LOCK_FILE:
            yield (blob,)


@functools.lru_cache(maxsize=1 << 16)
def _is_valid(path: str) -> bool:
    try:
        RelPath.parse(path)
    except (UnsafeError, InvalidError):
        return False
    return True


class _Trees:
    """Git's trees, pared down to sub-trees and control files."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._rows: dict[str, list[tuple[str, str, str]]] = {}
        self._files: dict[str, tuple[Blob, ...]] = {}

    def load(self, roots: Iterable[str]) -> None:
        """Read everything below `roots`, one process a level."""
        level = set(roots)
        while level:
            for tree, data in self._git.contents(level).items():
                rows = _decoded(data, len(tree) // 2)
                self._rows[tree] = [row for row in rows if row[0] == _TREE or _is_control(row[1])]
            level = {row[2] for tree in level for row in self._rows[tree] if row[0] == _TREE} - self._rows.keys()

    def take_files(self, root: str) -> tuple[Blob, ...]:
        """The control files below a commit's tree, which is not kept in mind: no other commit asks for the same one."""
        stack = [root]
        while stack:
            tree = stack[-1]
            waiting = [one for mode, _, one in self._rows[tree] if mode == _TREE and one not in self._files]
            if waiting:
                stack += waiting
                continue
            self._files[tree] = tuple(self._below(tree))
            stack.pop()
        return self._files.pop(root)

    def _below(self, tree: str) -> Iterator[Blob]:
        for mode, name, one in self._rows[tree]:
            if mode == _TREE:
                yield from (Blob(f"{name}/{blob.path}", blob.mode, blob.id) for blob in self._files[one])
            else:
                yield Blob(name, mode, one)


def _decoded(data: bytes, width: int) -> Iterator[tuple[str, str, str]]:
    """Mode, name and id of a Git tree's entries; an id has `width` bytes."""
    at = 0
    while at < len(data):
        space = data.index(b" ", at)
        end = data.index(b"\0", space)
        mode, name = data[at:space].decode(), data[space + 1 : end].decode(errors="surrogateescape")
        at = end + 1 + width
        yield mode, name, data[end + 1 : at].hex()
