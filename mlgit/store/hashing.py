"""Hashing content into object ids.

BLAKE3 is the default (O'Connor et al., 2020): a tree hash, so that one large buffer uses every core. SHA-256 is for
those who must. Nothing weaker is offered. What is both copied and hashed is hashed from the copy, so that an id is
always that of the bytes which were written.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from blake3 import blake3

from mlgit.fs.link import copy_bytes, reflink
from mlgit.model.oid import Oid
from mlgit.store.backend import Progress

CHUNK: Final = 1 << 22


class Hasher(Protocol):
    """What both algorithms offer."""

    def update(self, data: bytes | memoryview, /) -> object:
        """Take more bytes."""

    def digest(self) -> bytes:
        """The 32 bytes so far."""


def digest_function(algorithm: str) -> Callable[[bytes | memoryview], bytes]:
    """A function from content to its 32-byte digest, for small content."""
    if algorithm == "blake3":
        return lambda data: blake3(data).digest()
    import hashlib  # loads OpenSSL, which the default does not need

    return lambda data: hashlib.sha256(data).digest()


def hash_bytes(algorithm: str, data: bytes | memoryview) -> Oid:
    """The id of `data`."""
    return Oid.from_digest(algorithm, digest_function(algorithm)(data))


def new_hasher(algorithm: str) -> Hasher:
    """A running hash for content that comes in large pieces; BLAKE3 uses all cores."""
    hasher: Hasher
    if algorithm == "blake3":
        hasher = blake3(max_threads=blake3.AUTO)
        return hasher
    import hashlib

    hasher = hashlib.sha256()
    return hasher


def hash_file(algorithm: str, path: Path) -> Oid:
    """The id of a file's bytes, in constant memory.

    Raises:
        OSError: it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        return hash_open(algorithm, descriptor)
    finally:
        os.close(descriptor)


def hash_open(algorithm: str, descriptor: int, progress: Progress | None = None) -> Oid:
    """The id of an open file's bytes, from the first to the last; `OSError` if it cannot be read."""
    running = _Running(algorithm, descriptor, progress)
    while running.advance(running.done + CHUNK):
        pass
    return running.oid


def copy_hashed(algorithm: str, reader: int, writer: int, *, clone: bool, progress: Progress | None = None) -> Oid:
    """Copy the open file `reader` to the empty file `writer`, and name the copy; the two go on side by side.

    Args:
        clone: share the blocks where the file system can.

    Raises:
        OSError: it cannot be read or written.
    """
    if clone:
        try:
            reflink(reader, writer)
            return hash_open(algorithm, writer, progress)
        except OSError:  # another way, then; a disk that fails will do so again
            pass
    from concurrent.futures import Future, ThreadPoolExecutor  # slow to load, and for large files alone

    running = _Running(algorithm, writer, progress)
    under_way: list[Future[bool]] = []
    with ThreadPoolExecutor(1) as beside:

        def copied(end: int) -> None:
            """Hash up to `end` while the next part is copied: never more than one part behind."""
            while under_way:
                under_way.pop().result()
            under_way.append(beside.submit(running.advance, end))

        copy_bytes(reader, writer, copied)
        for last in under_way:
            last.result()
    return running.oid


class _Running:
    """The hash of an open file up to the offset `done`."""

    def __init__(self, algorithm: str, descriptor: int, progress: Progress | None) -> None:
        self.done = 0
        self._algorithm = algorithm
        self._progress = progress
        self._hasher = new_hasher(algorithm)
        self._file = open(descriptor, "rb", buffering=0, closefd=False)  # noqa: SIM115 - the caller's to close
        self._file.seek(0)
        self._buffer = memoryview(bytearray(CHUNK))

    def advance(self, end: int) -> bool:
        """Go on to `end`, or to the end of the file; whether there was anything."""
        start = self.done
        while self.done < end and (count := self._file.readinto(self._buffer[: end - self.done])):
            self._hasher.update(self._buffer[:count])
            self.done += count
            if self._progress is not None:
                self._progress(count)
        return self.done > start

    @property
    def oid(self) -> Oid:
        """The id of what was read."""
        return Oid.from_digest(self._algorithm, self._hasher.digest())
