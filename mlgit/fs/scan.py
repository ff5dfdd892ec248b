"""Reading one folder: names, kinds and stats of what stands in it, sorted as a tree sorts them."""

from __future__ import annotations

import os
import stat
from typing import Literal, NamedTuple

from mlgit.fs.confine import Folder
from mlgit.fs.fingerprint import fingerprint

SeenKind = Literal["file", "exec", "link", "folder", "other"]


class Seen(NamedTuple):
    """One entry of a folder; a tuple, since folders of 200,000 entries are made of them.

    Attributes:
        name: as the disk gives it; bytes that are not UTF-8 are surrogates.
        kind: `other` for a pipe, a socket or a device.
        found: its stat, links not followed.
        print: fingerprint of `found`.
    """

    name: str
    kind: SeenKind
    found: os.stat_result
    print: int

    @classmethod
    def of(cls, name: str, found: os.stat_result) -> Seen:
        """What `found` says of the entry `name`."""
        return cls(name, kind_of(found), found, fingerprint(found))

    @property
    def mark(self) -> str:
        """The name, with a slash if it is a folder: what ignore rules judge."""
        return f"{self.name}/" if self.kind == "folder" else self.name


def scan(folder: Folder, skip: frozenset[str] = frozenset()) -> list[Seen]:
    """The entries of `folder` sorted by the bytes of their names, leaving out those whose mark is in `skip`."""
    seen = []
    for entry in folder.scan():
        if skip and (f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name) in skip:
            continue
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue  # deleted since the folder was read
        seen.append(Seen.of(entry.name, found))
    seen.sort(key=lambda one: one.name.encode(errors="surrogateescape"))
    return seen


def kind_of(found: os.stat_result) -> SeenKind:
    """What `found` is."""
    mode = found.st_mode
    if stat.S_ISREG(mode):
        return "exec" if mode & 0o100 else "file"
    if stat.S_ISDIR(mode):
        return "folder"
    return "link" if stat.S_ISLNK(mode) else "other"
