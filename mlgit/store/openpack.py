"""A pack being written: a temporary file, a buffer in front of it, and the rows of its closing table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from blake3 import blake3

from mlgit.fs import atomic
from mlgit.store.pack import PACK_MAGIC, RAW, Slot, encode_footer, encode_table

_BUFFER: Final = 4 << 20


class OpenPack:
    """Objects on their way into the pack at `path`, which must not exist."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[bytes, Slot] = {}
        self.end = len(PACK_MAGIC)
        self._buffer = bytearray(PACK_MAGIC)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

    def append(self, digest: bytes, data: bytes | memoryview) -> None:
        """Take one object; `DiskError` if the disk refuses."""
        size = len(data)
        self.rows[digest] = Slot(RAW, self.end, size, size)
        self.end += size
        self._buffer += data
        if len(self._buffer) >= _BUFFER:
            self._flush()

    def _flush(self) -> None:
        with atomic.disk_errors(self.path):
            atomic.write_all(self._file, self._buffer)
        self._buffer = bytearray()

    def finish(self) -> str:
        """Write table and footer; returns the pack's id."""
        table = encode_table(self.rows.items())
        self._buffer += table + encode_footer(table, self.end)
        self._flush()
        self.close()
        return blake3(table).hexdigest()

    def close(self) -> None:
        """Let go of the file; fine if that is done."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
