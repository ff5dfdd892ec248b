"""What commands write, kept in `.mlgit/logs/<run>/<stage>.log`, byte for byte as it came.

The logs of the last runs are kept; older ones go when a new run begins. Never tracked, never pushed.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
from pathlib import Path
from typing import IO, Final

from blake3 import blake3

from mlgit.errors import MissingError
from mlgit.fs import atomic
from mlgit.fs.confine import Folder
from mlgit.model.relpath import RelPath

KEPT: Final = 30
"""How many runs' logs there are at most."""
_FOLDER: Final = ".mlgit/logs"
_LONGEST: Final = 200


class Logs:
    """The logs of one run; the folder is made with the first of them."""

    def __init__(self, root: Path) -> None:
        self._root = root
        moment = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%S")
        self.folder = RelPath(f"{_FOLDER}/{moment}-{os.getpid()}")
        self.used = False

    def path(self, address: str) -> RelPath:
        """The log of the stage `address`."""
        name = re.sub(r"[^\w.@+=,-]", "_", address)[:_LONGEST]
        if name != address:
            name += f"-{blake3(address.encode()).hexdigest()[:8]}"
        return self.folder.child(f"{name}.log")

    def open(self, address: str) -> IO[bytes]:
        """The log of a stage, to go on writing to its end.

        Raises:
            DiskError: it cannot be made.
        """
        if not self.used:
            self._make()
        with atomic.disk_errors(self.path(address)):
            return open(self._root / self.path(address), "ab", buffering=0)

    def tail(self, address: str, size: int = 1 << 16) -> bytes:
        """The last `size` bytes of a log; empty if somebody removed it."""
        with (
            contextlib.suppress(MissingError),
            atomic.disk_errors(self.path(address)),
            open(self._root / self.path(address), "rb") as log,
        ):
            log.seek(max(0, os.fstat(log.fileno()).st_size - size))
            return log.read()
        return b""

    def _make(self) -> None:
        with Folder.beneath(self._root, self.folder.parent.parts, create=True) as above, atomic.disk_errors(above.path):
            above.mkdir(self.folder.name)
            for old in sorted(entry.name for entry in above.scan())[:-KEPT]:
                above.remove(old)
        self.used = True
