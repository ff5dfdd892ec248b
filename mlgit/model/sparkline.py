"""A line of numbers as a line of text, `▇▅▃▂▁`, for reports that show no pictures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

WIDTH: Final = 20
GAP: Final = "·"
_BARS: Final = "▁▂▃▄▅▆▇█"
_FLAT: Final = _BARS[3]


def span(numbers: Iterable[float | None]) -> tuple[float, float] | None:
    """The least and the greatest finite one of `numbers`, the scale for `sparkline`; None if there is none."""
    finite = [one for one in numbers if one is not None and math.isfinite(one)]
    return (min(finite), max(finite)) if finite else None


def sparkline(numbers: Sequence[float | None], scale: tuple[float, float], width: int = WIDTH) -> str:
    """One bar for each number, or for the mean of neighbours where there are more than `width`.

    Args:
        numbers: None, NaN and infinities are gaps.
        scale: the values of the lowest and of the highest bar; where they are equal, all bars are of middle height.
        width: characters at most.
    """
    length = min(len(numbers), width)
    pieces = [numbers[at * len(numbers) // length : (at + 1) * len(numbers) // length] for at in range(length)]
    return "".join(_bar(_mean(piece), *scale) for piece in pieces)


def _mean(numbers: Sequence[float | None]) -> float | None:
    """Of the finite ones; divided before they are added, so that the largest floats do not overflow."""
    finite = [one for one in numbers if one is not None and math.isfinite(one)]
    return sum(one / len(finite) for one in finite) if finite else None


def _bar(number: float | None, low: float, high: float) -> str:
    if number is None:
        return GAP
    if low == high:
        return _FLAT
    share = (number / 2 - low / 2) / (high / 2 - low / 2)
    return _BARS[min(max(int(share * len(_BARS)), 0), len(_BARS) - 1)]
