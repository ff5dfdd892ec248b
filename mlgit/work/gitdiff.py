"""The files of Git that differ between two snapshots, with the lines added and deleted in each.

Looking runs nothing that the repository brings: no external diff, no text conversion. Names are Git's own bytes,
whatever they are; a file is opened only to count the lines of one that Git does not know yet.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from mlgit.git import Git

MAX_COUNTED: Final = 1 << 20
"""Bytes of an untracked file beyond which its lines are not counted."""
_OPTIONS: Final = ("--raw", "--numstat", "-z", "-M", "--relative", "--no-ext-diff", "--no-textconv", "--no-color")
_KINDS: Final[dict[str, Kind]] = {"A": "added", "D": "deleted", "R": "renamed"}

Kind = Literal["added", "deleted", "modified", "renamed"]


@dataclass(frozen=True, slots=True)
class GitChange:
    """One file that differs.

    Attributes:
        path: seen from the mlgit root; bytes of a name that are not UTF-8 are surrogates.
        added: lines; None for a binary file, or one whose lines were not counted.
        deleted: likewise.
        source: where it was before, if it was renamed.
    """

    path: str
    kind: Kind
    added: int | None
    deleted: int | None
    source: str | None = None


def git_changes(git: Git, base: str, head: str | None) -> list[GitChange]:
    """Files that differ between the commits `base` and `head`, sorted by path.

    Args:
        head: None for the working tree, with the files in it that Git would add.

    Raises:
        InvalidError: Git could not compare them.
    """
    words = iter(git.run("diff", *_OPTIONS, base, *([head] if head else []), "--").split("\0"))
    found = list(_changes(words))
    if head is None:
        others = git.run("ls-files", "-z", "--others", "--exclude-standard").split("\0")
        found += [_untracked(git, name) for name in others if name]
    return sorted(found, key=lambda one: one.path)


def _changes(words: Iterator[str]) -> Iterator[GitChange]:
    """What `--raw --numstat -z` says: first every file's change, then every file's lines."""
    kinds: dict[str, tuple[Kind, str | None]] = {}
    for word in words:
        if word.startswith(":"):
            letter = word.rpartition(" ")[2][:1]
            first = next(words)
            source, path = (first, next(words)) if letter in "RC" else (None, first)
            kinds[path] = _KINDS.get(letter, "modified"), source
        elif word:
            added, deleted, path = word.split("\t", 2)
            if not path:
                _, path = next(words), next(words)
            kind, source = kinds[path]
            yield GitChange(path, kind, _number(added), _number(deleted), source)


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _untracked(git: Git, name: str) -> GitChange:
    path = git.root / name
    try:
        counted = not path.is_symlink() and path.is_file() and os.path.getsize(path) <= MAX_COUNTED
        data = path.read_bytes() if counted else b"\0"
    except OSError:
        data = b"\0"
    lines = None if b"\0" in data else data.count(b"\n") + (not data.endswith(b"\n") and bool(data))
    return GitChange(name, "added", lines, None if lines is None else 0)
