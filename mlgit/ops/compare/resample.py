"""How sure a difference between two sides is: the paired bootstrap, and McNemar's test for accuracy.

The bootstrap draws the examples anew, with replacement, both sides together, and looks at how the difference varies
(Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 16). Only the counts of each kind of row
are drawn: exactly what drawing rows would give, in a fraction of the time. The seed is fixed: the same predictions give
the same interval, wherever they are judged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mlgit.ops.compare.counted import Counted
from mlgit.ops.compare.predictions import Array

RESAMPLES: Final = 10_000
SEED: Final = 1993
_LEAST: Final = 1_000
_EFFORT: Final = 100_000_000
"""Kinds of rows times resamples that take seconds; of the few kinds that accuracy has, 10,000 take milliseconds."""
_CELLS: Final = 1 << 19
"""Numbers held at once, for each of a dozen arrays: about 50 MB together."""
_SPARSE: Final = 8
"""With fewer rows a kind than this, drawing rows is faster than drawing counts."""
_UNDEFINED: Final = 0.05
"""Share of resamples without a value from which on there is no interval."""
_FEW: Final = 25
"""Discordant pairs below which McNemar's test is the exact one, as he and most after him advise."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a difference lies, in its own unit, at a confidence that the caller chose.

    Attributes:
        p: two-sided: how likely so large a difference is by chance alone.
        resamples: how many were drawn; 0 for an interval that needs none.
        note: what a reader must know of how it was found, such as `exact`.
    """

    low: float
    high: float
    p: float
    resamples: int = 0
    note: str = ""


def bootstrap(counted: Counted, confidence: float, resamples: int = RESAMPLES) -> Interval | str:
    """The percentile interval of a difference, or why there is none.

    Args:
        counted: the difference as a function of counts.
        confidence: between 0 and 1.
        resamples: how many to draw; fewer, but at least 1,000, where so many would take minutes.
    """
    import numpy as np

    kinds = len(counted.counts)
    resamples = min(resamples, max(_LEAST, _EFFORT // kinds))
    found = np.concatenate([counted.difference(counts) for counts in draws(counted.counts, resamples)])
    known = found[np.isfinite(found)]
    if len(known) < (1 - _UNDEFINED) * resamples:
        return f"too few examples: {1 - len(known) / resamples:.0%} of the resamples have no value"
    tail = (1 - confidence) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    beyond = min((known <= 0).sum(), (known >= 0).sum())
    return Interval(float(low), float(high), min(1.0, 2 * float(beyond + 1) / (len(known) + 1)), resamples)


def draws(counts: Array, resamples: int, seed: int = SEED) -> Iterator[Array]:
    """Counts of each kind in samples drawn with replacement, in chunks of (samples, kinds), as float64."""
    import numpy as np

    random = np.random.Generator(np.random.PCG64(seed))
    size, kinds = int(counts.sum()), len(counts)
    chunk = max(1, _CELLS // kinds)
    of_row: Array = np.repeat(np.arange(kinds), counts) if kinds * _SPARSE > size else None
    for start in range(0, resamples, chunk):
        many = min(chunk, resamples - start)
        if of_row is None:
            yield random.multinomial(size, counts / size, many).astype(np.float64)
            continue
        drawn = np.empty((many, kinds))
        for sample in drawn:
            rows = random.integers(size, size=size, dtype=np.uint32)
            sample[:] = np.bincount(rows if kinds == size else of_row[rows], minlength=kinds)
        yield drawn


def mcnemar(base_right: Array, head_right: Array, confidence: float) -> Interval:
    """McNemar's test of two classifiers on the same examples, with the interval of head's accuracy minus base's.

    Only examples that one side gets right and the other wrong tell them apart (McNemar 1947; for comparing classifiers:
    Dietterich 1998). Fewer than 25 of them: the exact binomial test, the interval by Clopper & Pearson 1934. Else
    chi-square with the continuity correction by Edwards 1948. Both intervals are the values that the test does not
    refuse, given how many differ: they hold 0 exactly where p is above 1 - confidence.

    Args:
        base_right, head_right: (examples,), whether each prediction is right.
    """
    from scipy import stats

    won, lost = int((head_right & ~base_right).sum()), int((base_right & ~head_right).sum())
    discordant, size = won + lost, len(base_right)
    if not discordant:
        return Interval(0.0, 0.0, 1.0, note="no example is judged differently")
    if discordant < _FEW:
        exact = stats.binomtest(won, discordant, 0.5)
        share = exact.proportion_ci(confidence, method="exact")
        low, high = ((2 * float(bound) - 1) * discordant / size for bound in (share.low, share.high))
        return Interval(low, high, float(exact.pvalue), note=f"exact, {discordant} differ")
    statistic = max(0, abs(won - lost) - 1) ** 2 / discordant
    reach = (float(stats.norm.ppf((1 + confidence) / 2)) * math.sqrt(discordant) + 1) / size
    middle = (won - lost) / size
    p = float(stats.chi2.sf(statistic, 1))
    return Interval(middle - reach, middle + reach, p, note=f"chi-square, {discordant} differ")
