"""Reading one folder: what stands in it, as evidence that is cheap to take and to compare."""

from __future__ import annotations

from typing import NamedTuple

from mlgit.fs.confine import Folder
from mlgit.fs.fingerprint import evidence, parse


class Seen(NamedTuple):
    """One entry of a folder, taken apart; only folders that changed are.

    Attributes:
        name: as the disk gives it; bytes that are not UTF-8 are surrogates.
        touched: the later of mtime and ctime, in ns.
        evidence: what it was taken from.
    """

    name: str
    mode: int
    size: int
    touched: int
    evidence: bytes

    @classmethod
    def of(cls, line: bytes) -> Seen:
        """What the evidence `line` says."""
        return cls(*parse(line), line)


def scan(folder: Folder, skip: frozenset[str] = frozenset()) -> tuple[list[bytes], list[str]]:
    """Evidence on everything in `folder` but its sub-folders, and their names.

    Args:
        skip: names to leave out; a sub-folder's has a slash at its end.
    """
    lines, folders = [], []
    for entry in folder.scan():
        name = entry.name
        if entry.is_dir(follow_symlinks=False):
            if f"{name}/" not in skip:
                folders.append(name)
        elif name not in skip:
            try:
                lines.append(evidence(name, entry.stat(follow_symlinks=False)))
            except FileNotFoundError:
                continue  # deleted since the folder was read
    return lines, sorted(folders)
