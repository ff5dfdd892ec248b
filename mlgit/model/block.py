"""A mapping as it was read from a file, and how large and deep such files may be."""

from __future__ import annotations

from typing import Any, Final

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 32
MAX_NODES: Final = 200_000


class Block(dict[str, Any]):
    """A mapping read from a file: a `dict` that knows the line (from 1) of itself and of each key."""

    __slots__ = ("line", "lines")
    line: int
    lines: dict[str, int]
