"""Repeated seeds: whether a metric of several runs lies higher on one side than on the other, by ranks.

Ranks make no assumption on how the values are spread. The interval is that of Hodges & Lehmann 1963: the order
statistics of all pairwise differences, or of all pairwise means where the runs are paired, between which the shift lies
(Hollander & Wolfe, Nonparametric Statistical Methods, sections 3.1-3.3 and 4.1-4.3).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Final

from mlgit.ops.compare.resample import Interval

_EXACT_RUNS: Final = 50
"""Up to so many runs the null distribution is counted out; beyond, the normal approximation is as good."""
_MOST_RUNS: Final = 2_000


def shift(
    base: Sequence[float], head: Sequence[float], *, paired: bool, confidence: float
) -> tuple[float, Interval] | str:
    """How far the head's values lie from the base's, with its interval; or why that cannot be told.

    Args:
        base, head: one value a run, in the metric's unit; if `paired`, in the same order of seeds.

    Returns:
        The Hodges-Lehmann estimate of head minus base, and the interval.
    """
    if not all(map(math.isfinite, [*base, *head])):
        return "a run has no finite value"
    if paired and len(base) != len(head):
        return f"{len(base)} runs at the base, {len(head)} at the head: not the same seeds"
    if max(len(base), len(head)) > _MOST_RUNS:
        return f"more than {_MOST_RUNS:,} runs"
    differences = _walsh(base, head) if paired else sorted(h - b for b in base for h in head)
    tail = (1 - confidence) / 2
    rank = _signed_rank_bound(len(base), tail) if paired else _rank_sum_bound(len(base), len(head), tail)
    if rank < 1:
        runs = f"{len(base)} pairs of runs" if paired else f"{len(base)} and {len(head)} runs"
        return f"{runs} are too few to reach {confidence:.0%}"
    middle = (differences[(len(differences) - 1) // 2] + differences[len(differences) // 2]) / 2
    return middle, Interval(differences[rank - 1], differences[-rank], _p(base, head, paired))


def _walsh(base: Sequence[float], head: Sequence[float]) -> list[float]:
    """The means of every two differences, each with itself too."""
    steps = [h - b for b, h in zip(base, head, strict=True)]
    return sorted((one + other) / 2 for one, other in itertools.combinations_with_replacement(steps, 2))


def _p(base: Sequence[float], head: Sequence[float], paired: bool) -> float:
    """Mann & Whitney 1947, or Wilcoxon 1945 for pairs; ties are corrected for."""
    from scipy import stats

    if not paired:
        return float(stats.mannwhitneyu(head, base, alternative="two-sided").pvalue)
    if list(base) == list(head):
        return 1.0
    return float(stats.wilcoxon(head, base, alternative="two-sided").pvalue)


def _rank_sum_bound(base: int, head: int, tail: float) -> int:
    """Which difference, from below, bounds the interval: the last that leaves no more than `tail`; 0 if none does."""
    if max(base, head) > _EXACT_RUNS:
        return _normal_bound(base * head / 2, base * head * (base + head + 1) / 12, tail)
    return _counted_bound(_rank_sum_counts(base, head), tail)


def _signed_rank_bound(pairs: int, tail: float) -> int:
    """As `_rank_sum_bound`, for the means of pairs."""
    if pairs > _EXACT_RUNS:
        return _normal_bound(pairs * (pairs + 1) / 4, pairs * (pairs + 1) * (2 * pairs + 1) / 24, tail)
    counts = [1]
    for rank in range(1, pairs + 1):  # each rank is in the sum or not
        counts = [a + b for a, b in itertools.zip_longest(counts, [0] * rank + counts, fillvalue=0)]
    return _counted_bound(counts, tail)


def _rank_sum_counts(base: int, head: int) -> list[int]:
    """In how many of all orders U has each value: the coefficients of a Gaussian binomial."""
    counts = [1]
    for step in range(1, head + 1):
        longer = [0] * (base + step) + counts
        product = [a - b for a, b in itertools.zip_longest(counts, longer, fillvalue=0)]
        for at in range(step, len(product)):  # divided by 1 - x**step, which goes without rest
            product[at] += product[at - step]
        counts = product[: base * step + 1]
    return counts


def _counted_bound(counts: list[int], tail: float) -> int:
    total, below = sum(counts), 0
    for value, ways in enumerate(counts):
        below += ways
        if below > tail * total:
            return value
    return len(counts)


def _normal_bound(mean: float, variance: float, tail: float) -> int:
    from scipy import stats

    return math.floor(mean + float(stats.norm.ppf(tail)) * math.sqrt(variance))
