"""Two files as bytes: the first one that differs, and in text the line it stands in.

For every format that nothing else here reads, and for files that are not what their name says.
"""

from __future__ import annotations

from typing import BinaryIO, Final

from mlgit.ops.verify.finding import Difference, Finding, clipped

_BLOCK: Final = 1 << 20
_LOOK: Final = 8000
_BEFORE: Final = 20
_AFTER: Final = 39


def compare(recorded: BinaryIO, new: BinaryIO, note: str = "") -> Finding:
    """Where two files that differ begin to; they are read in blocks."""
    offset = line = 0
    text = _is_text(recorded) and _is_text(new)
    while True:
        old, fresh = recorded.read(_BLOCK), new.read(_BLOCK)
        if old != fresh or not old:
            break
        offset += len(old)
        line += old.count(b"\n") if text else 0
    at = _first(old, fresh)
    line += old.count(b"\n", 0, at) + 1 if text else 0
    offset += at
    where = f"line {line} (byte {offset})" if text else f"byte {offset}"
    show = _line if text else _byte
    return Finding(Difference(where, show(recorded, offset), show(new, offset)), note=note)


def _first(old: bytes, new: bytes) -> int:
    """The first position at which two blocks differ, by halving: comparing slices is far faster than a loop."""
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high) // 2
        if old[low : middle + 1] == new[low : middle + 1]:
            low = middle + 1
        else:
            high = middle
    return low


def _is_text(file: BinaryIO) -> bool:
    """Git's rule: no zero byte near the beginning. Leaves the file at its beginning."""
    file.seek(0)
    head = file.read(_LOOK)
    file.seek(0)
    return b"\0" not in head


def _byte(file: BinaryIO, offset: int) -> str:
    file.seek(offset)
    found = file.read(1)
    return f"0x{found.hex()}" if found else "end of file"


def _line(file: BinaryIO, offset: int) -> str:
    """What stands around `offset` on its line."""
    start = max(offset - _BEFORE, 0)
    file.seek(start)
    piece = file.read(offset - start + _AFTER)
    at = offset - start
    if at >= len(piece):
        return "end of file"
    begin = piece.rfind(b"\n", 0, at) + 1
    end = piece.find(b"\n", at)
    return clipped(piece[begin : len(piece) if end < 0 else end].decode("utf-8", "backslashreplace"))
