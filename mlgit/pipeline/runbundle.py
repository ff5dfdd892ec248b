"""The run records of a remote: many in one file, so that thousands of them cost a few requests.

A bundle is `runs/<BLAKE3 of its bytes>.runs`: the records of a run cache, one a line, compressed with zlib. It never
changes; a push writes one with the records that the remote lacks, and merges small ones as indexes are merged. Anybody
may have written a bundle, so sizes and numbers are bounded, and what is not as it should be is passed over.
"""

from __future__ import annotations

import contextlib
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from blake3 import blake3

from mlgit.errors import AuthError, MissingError, RemoteError
from mlgit.fs import atomic
from mlgit.model.runrecord import RunRecord
from mlgit.pipeline import runcache
from mlgit.store.backend import Backend, Stat

MAX_BUNDLE: Final = 16 << 20
_PART: Final = 8 << 20
"""Bytes of records, not compressed, above which a bundle is left alone and another is begun."""
_MAX_PART: Final = _PART + runcache.MAX_RECORD
_MOST_BUNDLES: Final = 256
_MOST_BYTES: Final = 128 << 20
_NAME: Final = re.compile(rf"{runcache.FOLDER}/[0-9a-f]{{64}}\.runs")
_GROWTH: Final = 2
_ATTEMPTS: Final = 10

Lines = Mapping[str, bytes]
"""Records as bytes, by their names in a local run cache."""


class Bundles:
    """All records of the remote at `backend`, read when first asked.

    Args:
        kept: folder that keeps copies of what was downloaded; None for a folder on this machine.
    """

    def __init__(self, backend: Backend, kept: Path | None) -> None:
        self._backend = backend
        self._kept = kept
        self._files: dict[str, Lines] | None = None
        self._keys: dict[str, dict[str, bytes]] = {}

    @property
    def files(self) -> dict[str, Lines]:
        """The records of every bundle, by its name."""
        if self._files is None:
            self._files = self._load()
        return self._files

    def __contains__(self, name: str) -> bool:
        return any(name in lines for lines in self.files.values())

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Every record once."""
        seen: set[str] = set()
        for lines in self.files.values():
            for name, line in lines.items():
                if name not in seen:
                    seen.add(name)
                    yield name, line

    def records(self, key: str) -> dict[str, RunRecord]:
        """The sound records under `key`, by name."""
        if not self._keys:
            for name, line in self:
                self._keys.setdefault(name.split("/")[2], {})[name] = line
        found = {name: runcache.decode(line) for name, line in self._keys.get(key, {}).items()}
        return {name: record for name, record in found.items() if record is not None and record.key == key}

    def add(self, lines: Lines) -> int:
        """Publish those of `lines` that the remote lacks, and merge small bundles with them; returns how many.

        Raises:
            RemoteError, AuthError, DiskError: the remote cannot be written.
        """
        new = {name: line for name, line in lines.items() if name not in self}
        for part in _parts(new):
            old = self._small(_size(part))
            merged: dict[str, bytes] = {}
            for name in old:
                merged |= self.files[name]
            data = encode(merged | part)
            name = _bundle_name(data)
            self._backend.put_bytes(name, data)
            self._copy(name, data)
            self.files[name] = merged | part
            self._retire(old - {name})
        self._keys.clear()
        return len(new)

    def _small(self, size: int) -> set[str]:
        """Names of the bundles that a new one of `size` bytes replaces, so that there are few (see `Catalog`)."""
        found = set()
        for below, name in sorted((_size(lines), name) for name, lines in self.files.items()):
            if below > _GROWTH * size or size + below > _PART:
                break
            size += below
            found.add(name)
        return found

    def _retire(self, old: set[str]) -> None:
        """Delete bundles that a new one replaces; who may write and not delete leaves them."""
        with contextlib.suppress(AuthError, RemoteError):
            self._backend.delete(sorted(old))
        for name in old:
            del self.files[name]

    def _load(self) -> dict[str, Lines]:
        for attempt in range(1, _ATTEMPTS + 1):
            stats = [stat for stat in self._backend.list(f"{runcache.FOLDER}/") if _NAME.fullmatch(stat.name)]
            stats = sorted((one for one in stats if one.size <= MAX_BUNDLE), key=_age)[:_MOST_BUNDLES]
            try:
                found = self._read_all(stats)
                break
            except MissingError:  # merged into another since it was listed
                if attempt == _ATTEMPTS:
                    raise
        self._forget({stat.name for stat in stats})
        return found

    def _read_all(self, stats: list[Stat]) -> dict[str, Lines]:
        """The bundles, the newest first, as far as their number of bytes is one that a remote may have."""
        found: dict[str, Lines] = {}
        room = _MOST_BYTES
        for stat in stats:
            lines = decode(stat.name, self._read(stat))
            room -= _size(lines)
            if room < 0:
                break
            if lines:
                found[stat.name] = lines
        return found

    def _read(self, stat: Stat) -> bytes:
        """The bytes of a bundle, from its copy if there is one."""
        name = stat.name
        if self._kept is None:
            return self._backend.read(name, 0, stat.size)
        copy = self._kept / name
        with contextlib.suppress(OSError):
            data = copy.read_bytes()
            if _bundle_name(data) == name:
                return data
        data = self._backend.read(name, 0, stat.size)
        if _bundle_name(data) == name:
            self._copy(name, data)
        return data

    def _copy(self, name: str, data: bytes) -> None:
        if self._kept is not None:
            copy = self._kept / name
            with atomic.disk_errors(copy):
                copy.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_bytes(copy, data)

    def _forget(self, names: set[str]) -> None:
        """Delete the copies of bundles that are no longer there."""
        if self._kept is None:
            return
        with contextlib.suppress(OSError):
            for copy in (self._kept / runcache.FOLDER).iterdir():
                name = f"{runcache.FOLDER}/{copy.name}"
                if _NAME.fullmatch(name) and name not in names:
                    os.unlink(copy)


def encode(lines: Lines) -> bytes:
    """The bytes of a bundle."""
    return zlib.compress(b"".join(lines[name] for name in sorted(lines)))


def decode(name: str, data: bytes) -> Lines:
    """The records of the bundle `name`; none if its bytes are not those of the name, or too many."""
    if _bundle_name(data) != name:
        return {}
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(data, _MAX_PART)
    except zlib.error:
        return {}
    if not unpacker.eof:
        return {}
    named = ((runcache.name_of(line), line) for line in text.splitlines(keepends=True))
    return {name: line for name, line in named if name is not None}


def _bundle_name(data: bytes) -> str:
    return f"{runcache.FOLDER}/{blake3(data).hexdigest()}.runs"


def _age(stat: Stat) -> tuple[float, str]:
    return -stat.modified, stat.name


def _size(lines: Lines) -> int:
    return sum(map(len, lines.values()))


def _parts(lines: Lines) -> Iterator[dict[str, bytes]]:
    """`lines`, cut into bundles of bounded size."""
    part: dict[str, bytes] = {}
    size = 0
    for name, line in lines.items():
        part[name] = line
        size += len(line)
        if size >= _PART:
            yield part
            part, size = {}, 0
    if part:
        yield part
