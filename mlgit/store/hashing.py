"""Hashing content into object ids.

BLAKE3 is the default (O'Connor et al., 2020): a tree hash, so that one large buffer uses every core. SHA-256 is for
those who must. Nothing weaker is offered.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from blake3 import blake3

from mlgit.model.oid import Oid

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
    hasher = new_hasher(algorithm)
    with open(path, "rb", buffering=0) as file:
        while data := file.read(CHUNK):
            hasher.update(data)
    return Oid.from_digest(algorithm, hasher.digest())
