"""A pack being written: a temporary file, a buffer in front of it, and its closing table so far."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from mlgit.fs import atomic
from mlgit.store.indexfile import PackEntry
from mlgit.store.pack import PACK_MAGIC, RAW, ROW, encode_footer, pack_id

_BUFFER: Final = 4 << 20
_row = ROW.pack


class OpenPack:
    """Objects on their way into the pack at `path`, which must not exist."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.table = bytearray()
        self.end = len(PACK_MAGIC)
        self._buffer = bytearray(PACK_MAGIC)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

    @property
    def size(self) -> int:
        """Bytes of objects and table so far."""
        return self.end + len(self.table)

    def append(self, digest: bytes, data: bytes | memoryview) -> None:
        """Take one object; `DiskError` if the disk refuses."""
        size = len(data)
        self.table += _row(digest, RAW, self.end, size, size)
        self.end += size
        self._buffer += data
        if len(self._buffer) >= _BUFFER:
            self._flush()

    def _flush(self) -> None:
        with atomic.disk_errors(self.path):
            atomic.write_all(self._file, self._buffer)
        self._buffer = bytearray()

    def finish(self) -> PackEntry:
        """Write table and footer."""
        footer = encode_footer(self.table, self.end)
        self._buffer += self.table + footer
        self._flush()
        self.close()
        return PackEntry(pack_id(self.table), len(self.table) // ROW.size, self.size + len(footer))

    def close(self) -> None:
        """Let go of the file; fine if that is done."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
