"""Where a store's files live: the protocol that the local disk and every remote implement.

A backend is a flat namespace of immutable files with `/`-separated names, such as `packs/ab12….pack`. It knows nothing
of objects. What it promises, for every implementation (one conformance suite checks them all):

- A file under its final name is complete. `put` publishes atomically or not at all; an exception publishes nothing.
- A file never changes. Putting a name that exists again is harmless: names are content ids.
- After `put` returns, the file survives a crash of this machine, as far as the medium can promise it.
- Reads of a name that does not exist raise `MissingError`; listing an empty or absent prefix yields nothing.
- Failures arrive as `RemoteError`, `AuthError` or `DiskError`, after the backend's own bounded retries.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Progress(Protocol):
    """Whoever counts what was moved or looked at since the last call."""

    def __call__(self, size: int, files: int = 0, /) -> object:
        """Take note of `size` bytes, and of `files` that are done with them."""


@dataclass(frozen=True, slots=True)
class Stat:
    """One file of a backend.

    Attributes:
        size: bytes.
        modified: seconds since the epoch by the medium's clock; 0.0 where it keeps none.
    """

    name: str
    size: int
    modified: float


class Backend(Protocol):
    """A flat namespace of immutable files."""

    @property
    def url(self) -> str:
        """Where it is, without credentials, for messages."""

    @property
    def local(self) -> Path | None:
        """Its folder when it is on a local disk, so that files can be linked; None otherwise."""

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """`length` bytes from `offset`, or all to the end; fewer only at the end of the file."""

    def download(self, name: str, target: Path, progress: Progress | None = None) -> None:
        """Write the whole file to `target`, a temporary path of the caller, resuming what is already there."""

    def put(self, name: str, source: Path, progress: Progress | None = None, *, move: bool = False) -> None:
        """Publish the complete file `source` as `name`; `source` stays, unless `move` gives it away."""

    def put_bytes(self, name: str, data: bytes, *, durable: bool = True) -> None:
        """Publish `data` as `name`; unless `durable`, a power loss may take it or leave a torn file under the name."""

    def list(self, prefix: str) -> Iterator[Stat]:
        """All files whose name starts with the folder `prefix`, such as `index/`, in any order."""

    def exists(self, name: str) -> bool:
        """Whether `name` is there."""

    def delete(self, names: Iterable[str]) -> None:
        """Remove files; ones that are already gone are fine."""
