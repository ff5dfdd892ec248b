"""Fetching one file by ranges, so that an interrupted download goes on where it stopped.

Beside the target stands a note of which version of the file its bytes came from (`<target>.from`); it is there only
while a download of more than one range is incomplete. Whether the bytes are right is for the caller to verify.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Protocol

from mlgit.fs.atomic import disk_errors
from mlgit.store.backend import Progress

PART: Final = 32 << 20
"""Bytes of a range: most packs come with one request, and memory stays bounded."""


@dataclass(frozen=True, slots=True)
class Version:
    """What tells one content under a name from another: its size and the medium's tag (ETag, checksum or time)."""

    size: int
    tag: str


class Source(Protocol):
    """A remote file."""

    def version(self) -> Version:
        """Ask the remote."""

    def fetch(self, start: int, length: int) -> tuple[bytes, bool]:
        """Up to `length` bytes from `start`, and whether the file ends with them."""


def download(source: Source, target: Path, progress: Progress) -> None:
    """Bring `target` up to the whole of `source`.

    Raises:
        DiskError: the local disk refused.
    """
    note = target.with_name(f"{target.name}.from")
    position = _resume_point(source, target, note)
    progress(position)
    with disk_errors(target), open(target, "r+b" if position else "wb") as file:
        file.truncate(position)
        file.seek(position)
        ended = False
        while not ended:
            data, ended = source.fetch(position, PART)
            file.write(data)
            file.flush()
            if position == 0 and not ended:
                _remember(note, source.version())
            position += len(data)
            progress(len(data))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(note)


def _resume_point(source: Source, target: Path, note: Path) -> int:
    """How many bytes of `target` are still good."""
    try:
        have = os.stat(target).st_size
    except FileNotFoundError:
        return 0
    if have == 0:
        return 0
    now = source.version()
    before = _recall(note)
    if have > now.size or (before is not None and before != now):
        return 0
    if before is None:
        _remember(note, now)
    return have


def _remember(note: Path, version: Version) -> None:
    with disk_errors(note):
        note.write_text(json.dumps(asdict(version)), encoding="utf-8")


def _recall(note: Path) -> Version | None:
    """The version noted; an unreadable note counts as a version that no file has."""
    try:
        return Version(**json.loads(note.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        return Version(-1, "")
