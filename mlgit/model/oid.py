"""Object ids: a tagged cryptographic hash of content, such as `blake3:9f86d0…`.

An id says which algorithm made it, so it is parsed and never guessed. Weak hashes are not ids: a second preimage of
XXH128 takes under a millisecond to build.
"""

from __future__ import annotations

import re
from typing import Final

from mlgit.errors import InvalidError

ALGORITHMS: Final = ("blake3", "sha256")
_TAG: Final = len("blake3:")  # as long as "sha256:"
_PATTERN: Final = re.compile(r"(blake3|sha256):[0-9a-f]{64}")


class Oid(str):
    """An object id, `<algorithm>:<64 lower-case hex digits>`; a validated string, so it sorts and hashes as one."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str, where: str = "object id") -> Oid:
        """Validate `text`.

        Raises:
            InvalidError: it is not a tagged id of a known algorithm.
        """
        if not isinstance(text, str) or _PATTERN.fullmatch(text) is None:
            raise InvalidError(f"{where}: not an object id: {text!r}", hint="an id looks like blake3:<64 hex digits>")
        return cls(text)

    @classmethod
    def from_digest(cls, algorithm: str, digest: bytes) -> Oid:
        """The id of a 32-byte `digest` made with `algorithm`."""
        return cls(f"{algorithm}:{digest.hex()}")

    @property
    def algorithm(self) -> str:
        """The tag before the colon."""
        return self.partition(":")[0]

    @property
    def hex(self) -> str:
        """The 64 hex digits."""
        return self.partition(":")[2]

    @property
    def digest(self) -> bytes:
        """The 32 raw bytes."""
        return bytes.fromhex(self[_TAG:])

    @property
    def short(self) -> str:
        """The first 10 hex digits, for people."""
        return self.partition(":")[2][:10]
