"""Amounts with a unit, as people write them: times such as `10m`, sizes such as `4GiB`."""

from __future__ import annotations

import math
import re
from typing import Final

from mlgit.errors import InvalidError

TIME_PATTERN: Final = r"[0-9]+(?:\.[0-9]+)?[smhd]"
SIZE_PATTERN: Final = r"[0-9]+(?:\.[0-9]+)? ?(?:B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)"
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES: Final = {
    **{f"{prefix}B": 1000**power for power, prefix in enumerate(("", "K", "M", "G", "T"))},
    **{f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGT", 1)},
}
_PARTS: Final = re.compile(r"([0-9.]+) ?([A-Za-z]+)")


def parse_time(value: object, where: str) -> float:
    """Seconds, from a number of them or a text with one unit: `90s`, `10m`, `2h`, `1d`.

    Raises:
        InvalidError: it is neither, or not above 0.
    """
    seconds = _number(value)
    if isinstance(value, str) and re.fullmatch(TIME_PATTERN, value):
        seconds = float(value[:-1]) * _SECONDS[value[-1]]
    if seconds is None or not 0 < seconds < math.inf:
        raise InvalidError(f"{where}: not a time: {value!r:.60}", hint="write seconds, or a text such as 90s, 10m, 2h")
    return seconds


def parse_size(value: object, where: str) -> int:
    """Bytes, from a number of them or a text with a unit: `500MB` is 500 · 1000², `4GiB` is 4 · 1024³.

    Raises:
        InvalidError: it is neither, or not above 0.
    """
    size = value if isinstance(value, int) and not isinstance(value, bool) else None
    if isinstance(value, str) and re.fullmatch(SIZE_PATTERN, value) and (parts := _PARTS.fullmatch(value)):
        whole, _, fraction = parts[1].partition(".")
        size = int(whole + fraction) * _BYTES[parts[2]] // 10 ** len(fraction)
    if size is None or size <= 0:
        raise InvalidError(f"{where}: not a size: {value!r:.60}", hint="write a text such as 500MB or 4GiB, or bytes")
    return size


def format_time(seconds: float) -> str | float | int:
    """As `parse_time` reads it, in the largest unit that needs no fraction."""
    for unit, length in reversed(_SECONDS.items()):
        if seconds >= length and seconds % length == 0 and length > 1:
            return f"{int(seconds // length)}{unit}"
    return int(seconds) if seconds == int(seconds) else seconds


def format_size(size: int) -> str | int:
    """As `parse_size` reads it, in the largest unit that needs no fraction."""
    for unit in ("TiB", "GiB", "MiB", "KiB", "TB", "GB", "MB", "KB"):
        if size % _BYTES[unit] == 0 and size:
            return f"{size // _BYTES[unit]}{unit}"
    return size


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) < 10**300 else math.inf
