"""Reading one folder: names, kinds and stats, with what cannot be versioned refused by name."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Literal

from mlgit.errors import InvalidError
from mlgit.fs.confine import Folder

SeenKind = Literal["file", "exec", "link", "folder"]


@dataclass(frozen=True, slots=True)
class Seen:
    """One entry of a folder.

    Attributes:
        found: its stat, links not followed.
    """

    name: str
    kind: SeenKind
    found: os.stat_result


def scan(folder: Folder, skip: frozenset[str] = frozenset()) -> list[Seen]:
    """The entries of `folder` sorted by the bytes of their names, leaving out the names in `skip`.

    Raises:
        InvalidError: an entry is a pipe, a socket or a device, or its name is not UTF-8.
    """
    seen = []
    for entry in folder.scan():
        if entry.name in skip:
            continue
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue  # deleted since the folder was read
        seen.append(Seen(entry.name, kind_of(found, folder, entry.name), found))
    try:
        seen.sort(key=lambda one: one.name.encode())
    except UnicodeEncodeError as error:
        raise InvalidError(
            f"{folder.path}: a file name is not UTF-8: {error.object!r}", hint="rename it, or list it in .mlgitignore"
        ) from error
    return seen


def kind_of(found: os.stat_result, folder: Folder, name: str) -> SeenKind:
    """What `found` is.

    Raises:
        InvalidError: it is neither file, folder nor link.
    """
    mode = found.st_mode
    if stat.S_ISREG(mode):
        return "exec" if mode & 0o100 else "file"
    if stat.S_ISDIR(mode):
        return "folder"
    if stat.S_ISLNK(mode):
        return "link"
    raise InvalidError(
        f"neither a file nor a folder (a pipe, socket or device): {folder.path / name}",
        hint="remove it, or list it in .mlgitignore",
    )
