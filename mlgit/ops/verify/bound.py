"""When two numbers are near enough: a tolerance made ready for reckoning, for single numbers and for whole arrays.

A number passes if it lies within `abs` of the recorded one, or within `rel` times the recorded one's size; the bounds
themselves pass. NaN equals NaN and an infinity itself; neither is near anything else. Whoever asks without a tolerance
wants the same value of the same kind: 1 is not 1.0, and 0.0 is not -0.0, since their bytes differ.

Numbers from text are taken as the decimals that it spells, those from arrays as the binary numbers they are. Floating
point decides wherever its rounding cannot change the answer, exact fractions do the rest.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from mlgit.errors import InvalidError
from mlgit.model.metric import exact, is_finite, to_float
from mlgit.model.stage import Tolerance

if TYPE_CHECKING:
    import numpy as np

_SLACK: Final = 1e-15
"""More than what rounding two operands, their difference and the bound can amount to, relative to their sizes."""


class Bound:
    """A tolerance; `given` tells whether there is one.

    Raises:
        InvalidError: a bound is negative, infinite or NaN.
    """

    def __init__(self, tolerance: Tolerance | None) -> None:
        self.given = tolerance is not None
        limits = (tolerance.abs, tolerance.rel) if tolerance else (0.0, 0.0)
        for limit in limits:
            if not (math.isfinite(limit) and limit >= 0):
                raise InvalidError(
                    f"tolerance: not a bound: {limit}", hint="give a number from 0 up, such as {abs: 1e-9}"
                )
        self.abs, self.rel = limits
        self._spelled = exact(self.abs), exact(self.rel)
        self._binary = Fraction(self.abs), Fraction(self.rel)

    def judge(self, recorded: int | float, new: int | float) -> tuple[float, float, bool]:
        """Absolute and relative deviation of two numbers that differ, and whether they may."""
        if not (is_finite(recorded) and is_finite(new)):
            return math.inf, math.inf, False
        if isinstance(recorded, float) and isinstance(new, float):
            gap, limit = abs(new - recorded), max(self.abs, self.rel * abs(recorded))
            slack = _SLACK * (abs(recorded) + abs(new) + limit)
            if math.isfinite(gap) and abs(gap - limit) > slack:
                return gap, _relative(gap, abs(recorded)), self.given and gap <= limit
        old, fresh = exact(recorded), exact(new)
        difference = abs(fresh - old)
        relative = to_float(difference / abs(old)) if old else math.inf if difference else 0.0
        return to_float(difference), relative, self.given and _admits(self._spelled, old, fresh)

    def judge_arrays(self, recorded: np.ndarray[Any, Any], new: np.ndarray[Any, Any]) -> tuple[Any, Any, Any]:
        """As `judge` for two flat arrays of one integer or real type, in native byte order; gives three arrays."""
        import numpy as np

        with np.errstate(all="ignore"):
            gap, old, fresh = _gaps(recorded, new)
            finite = np.isfinite(old) & np.isfinite(fresh)
            size = np.abs(old)
            limit = np.maximum(self.abs, self.rel * size)
            inside = finite & (gap <= limit) & self.given
            unsure = finite & (~np.isfinite(gap) | ~np.isfinite(limit) | (np.abs(gap - limit) <= _SLACK * limit))
            if self.given:
                for at in np.flatnonzero(unsure):
                    inside[at] = _admits(self._binary, _fraction(recorded[at]), _fraction(new[at]))
            relative = np.where(gap == 0, 0.0, gap / size)
        return np.where(finite, gap, np.inf), np.where(finite, relative, np.inf), inside


def _admits(limits: tuple[Fraction, Fraction], recorded: Fraction, new: Fraction) -> bool:
    """Whether `new` is near enough by an absolute or a relative bound, reckoned exactly."""
    gap = abs(new - recorded)
    return gap <= limits[0] or gap <= limits[1] * abs(recorded)


def _gaps(recorded: np.ndarray[Any, Any], new: np.ndarray[Any, Any]) -> tuple[Any, Any, Any]:
    """Absolute differences and both sides, as floats no narrower than the arrays' own."""
    import numpy as np

    wide = np.result_type(recorded.dtype, np.float64)
    old, fresh = recorded.astype(wide), new.astype(wide)
    if recorded.dtype.kind == "f":
        return np.abs(fresh - old), old, fresh
    # Whole numbers beyond 2**53 would meet in one float: they are subtracted as they are, modulo 2**64.
    long = np.int64 if recorded.dtype.kind == "i" else np.uint64
    first: np.ndarray[Any, Any] = recorded.astype(long)
    last: np.ndarray[Any, Any] = new.astype(long)
    lower, upper = np.minimum(first, last).view(np.uint64), np.maximum(first, last).view(np.uint64)
    return (upper - lower).astype(np.float64), old, fresh


def _fraction(value: Any) -> Fraction:
    """One element of an array as the number it is."""
    return Fraction(int(value)) if value.dtype.kind in "iu" else Fraction(*value.as_integer_ratio())


def same(recorded: object, new: object) -> bool:
    """Whether two values are the same: of one kind, equal, zeros of one sign; NaN equals NaN."""
    if type(recorded) is not type(new):
        return False
    if isinstance(recorded, float) and isinstance(new, float):
        if recorded == new:
            return recorded != 0 or math.copysign(1, recorded) == math.copysign(1, new)
        return math.isnan(recorded) and math.isnan(new)
    return recorded == new


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a number, be it NaN or infinite; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _relative(gap: float, size: float) -> float:
    return gap / size if size else math.inf if gap else 0.0
