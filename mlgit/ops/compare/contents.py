"""The bytes of a file on one side, as far as they are on this machine: from the cache, from Git, or from the disk.

Nothing is ever downloaded. A file that stands alone in the cache is opened as it is, without hashing it first: what is
told of it goes into a report, not into anybody's working tree.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from mlgit.errors import MlgitError
from mlgit.model.relpath import RelPath
from mlgit.model.report import count
from mlgit.model.tree import Entry

if TYPE_CHECKING:
    from mlgit.repo import Repo
    from mlgit.work.snapshot import Snapshot


def unread(what: str, *, absent: int, beyond: int) -> tuple[str, ...]:
    """That `what` could not be told of some files: for want of their bytes, or for the bounds of a report."""
    notes = []
    if absent:
        verb = "is" if absent == 1 else "are"
        notes.append(f"{what} not read: {count(absent, 'file')} {verb} not in the cache; `mlgit pull` first")
    if beyond:
        notes.append(f"{what} of {count(beyond, 'more file')} not read: a report has its bounds")
    return tuple(notes)


@dataclass(frozen=True, slots=True)
class Version:
    """One side of one file.

    Attributes:
        size: bytes.
        entry: what a tracked output holds there; None for a file of Git.
    """

    snapshot: Snapshot
    path: RelPath
    size: int
    entry: Entry | None = None


def version_in_git(snapshot: Snapshot, path: str) -> Version:
    """The version of a file that Git itself holds; `path` is one that it has there."""
    valid = RelPath.parse(path)
    with contextlib.suppress(MlgitError):  # a link
        return Version(snapshot, valid, len(snapshot.read(valid) or b""))
    return Version(snapshot, valid, 0)


@contextlib.contextmanager
def opened(repo: Repo, version: Version) -> Iterator[BinaryIO | None]:
    """The file, open for reading; None if its bytes are not here, or it is no plain file."""
    with contextlib.ExitStack() as stack:
        found = None
        with contextlib.suppress(MlgitError, OSError):  # lost or damaged objects are the business of `fsck`
            found = _in_git(version) if version.entry is None else _tracked(repo, version, version.entry)
        yield stack.enter_context(found) if found is not None else None


def _in_git(version: Version) -> BinaryIO | None:
    data = version.snapshot.read(version.path)
    return None if data is None else io.BytesIO(data)


def _tracked(repo: Repo, version: Version, entry: Entry) -> BinaryIO | None:
    if entry.kind not in ("file", "exec"):
        return None
    store = repo.workspace.store
    if store.has(entry.oid):
        local = store.linkable(entry.oid)
        return io.BytesIO(store.read(entry.oid)) if local is None else local.open("rb")
    return _on_disk(repo, version.path) if version.snapshot.rev is None else None


def _on_disk(repo: Repo, path: RelPath) -> BinaryIO | None:
    """A file of the working tree; links are not followed, a pipe is not waited for."""
    from mlgit.fs.confine import Folder

    with Folder.beneath(repo.root, path.parent.parts) as folder:
        descriptor = folder.open(path.name)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    return None
