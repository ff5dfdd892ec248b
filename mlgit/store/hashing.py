"""Hashing content into object ids.

BLAKE3 is the default (O'Connor et al., 2020): a tree hash, so that one large buffer uses every core. SHA-256 is for
those who must. Nothing weaker is offered. What is both copied and hashed is hashed from the copy, so that an id is
always that of the bytes which were written.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol

from blake3 import blake3

from mlgit.fs.link import copy_bytes, reflink
from mlgit.model.oid import Oid
from mlgit.store.backend import Progress

CHUNK: Final = 1 << 22
_PART: Final = 1 << 18


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


def new_hasher(algorithm: str, threads: int | None = None) -> Hasher:
    """A running hash for content that comes in large pieces.

    Args:
        threads: for BLAKE3; all cores by default.
    """
    hasher: Hasher
    if algorithm == "blake3":
        hasher = blake3(max_threads=blake3.AUTO if threads is None else threads)
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
    running = _Running(algorithm, writer, progress, threads=1)
    with _Beside(running) as beside:
        copy_bytes(reader, writer, beside.copied)
    return running.oid


class _Running:
    """The hash of an open file up to the offset `done`."""

    def __init__(
        self, algorithm: str, descriptor: int, progress: Progress | None, *, threads: int | None = None
    ) -> None:
        self.done = 0
        self._algorithm = algorithm
        self._progress = progress
        self._hasher = new_hasher(algorithm, threads)
        self._file = open(descriptor, "rb", buffering=0, closefd=False)  # noqa: SIM115 - the caller's to close
        self._file.seek(0)
        self._buffer = memoryview(bytearray(CHUNK if threads is None else _PART))

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


class _Beside:
    """A thread that hashes a file as far as it has been copied; leaving the `with` block waits for it."""

    def __init__(self, running: _Running) -> None:
        self._running = running
        self._news = threading.Condition()
        self._copied = 0
        self._ended = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._follow)

    def copied(self, end: int) -> None:
        """Everything before `end` may be hashed."""
        with self._news:
            self._copied = end
            self._news.notify()

    def _follow(self) -> None:
        try:
            ended = False
            while not ended:
                with self._news:
                    self._news.wait_for(lambda: self._ended or self._copied > self._running.done)
                    end, ended = self._copied, self._ended
                self._running.advance(end)
        except BaseException as error:
            self._error = error

    def __enter__(self) -> _Beside:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._news:
            self._ended = True
            if kind is not None:
                self._copied = 0
            self._news.notify()
        self._thread.join()
        if error is None and self._error is not None:
            raise self._error
