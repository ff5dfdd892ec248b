"""Metrics as functions of how often each kind of row occurs, for thousands of samples at once.

A resample of paired predictions is told by how often it has each distinct row. `difference` finds the rows' kinds (for
accuracy only four: right or wrong on either side) and gives the function that turns counts into head minus base. It
agrees with `scores.compute` on the rows written out; a test holds the two together. A sample in which the metric has no
value gives NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mlgit.ops.compare.predictions import Array, Examples, as_text
from mlgit.ops.compare.scores import Metric, group_values

_ROUNDING: Final = 1e-12

Statistic = Callable[[Array], Array]
"""From counts, (samples, kinds), to a number for each sample."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A metric's difference between two sides.

    Attributes:
        counts: how often each kind of row occurs, (kinds,), whole numbers.
        difference: head minus base, in the metric's unit, from counts.
        unit: what a resample draws.
    """

    counts: Array
    difference: Statistic
    unit: str = "prediction"

    @property
    def size(self) -> int:
        """How many are drawn for a resample."""
        return int(self.counts.sum())


def difference(metric: Metric, base: Examples, head: Examples) -> Counted:
    """The metric's difference; `base` and `head` hold the same examples in the same order, and it has a value."""
    if metric.task == "ranking":
        values = [group_values(metric, side) for side in (base, head)]
        return _of_losses(values, lambda mean: mean, "group")
    if metric.task == "regression":
        return _regression(metric, base, head)
    if metric.name in ("log_loss", "brier"):
        losses = [_score_losses(metric, side) for side in (base, head)]
        return _of_losses(losses, lambda mean: mean)
    if "score" in metric.roles:
        return _rank(metric, base, head)
    return _confusion(metric, base, head)


def _kinds(*columns: Array) -> tuple[list[Array], Array]:
    """The distinct rows of `columns`, column by column, and how often each occurs."""
    import numpy as np

    rows, counts = np.unique(np.column_stack(columns), axis=0, return_counts=True)
    return list(rows.T), counts


def _joined(statistic: Callable[[int], Statistic]) -> Statistic:
    """Head minus base; `statistic` gives that of a side, 0 for the base."""
    base, head = statistic(0), statistic(1)
    return lambda counts: subtracted(base(counts), head(counts))


def subtracted(base: Array, head: Array) -> Array:
    """Head minus base, 0 where they differ only because sums were rounded: an interval may end at 0 exactly."""
    import numpy as np

    return np.where(np.isclose(base, head, rtol=_ROUNDING, atol=0), 0.0, head - base)


def _codes(*columns: Array) -> list[Array]:
    """Columns of classes as whole numbers, equal for equal classes."""
    import numpy as np

    texts = [as_text(column) for column in columns]
    names = {name: code for code, name in enumerate(sorted(set().union(*map(set, texts))))}
    return [np.fromiter((names[text] for text in column), dtype=np.int64, count=len(column)) for column in texts]


# --- classes -----------------------------------------------------------------------------------------------------


def _confusion(metric: Metric, base: Examples, head: Examples) -> Counted:
    label, *sides = _codes(base.roles["label"], base.roles["prediction"], head.roles["prediction"])
    if metric.name in ("accuracy", "error_rate"):
        flags, counts = _kinds(*(side == label for side in sides))
        weights = [flag * (1.0 if metric.name == "accuracy" else -1.0) for flag in flags]
        return Counted(counts, _joined(lambda side: lambda drawn: drawn @ weights[side] / drawn.sum(axis=1)))
    if metric.average == "binary":
        columns = (base.roles["label"], base.roles["prediction"], head.roles["prediction"])
        label, *sides = (as_text(column) == metric.positive for column in columns)
    elif metric.name == "balanced_accuracy":
        sides = [label * 2 + (side != label) for side in sides]  # which wrong class was said does not matter
        label = label * 2
    (label, *sides), counts = _kinds(label, *sides)
    return Counted(counts, _joined(lambda side: _of_classes(metric, label, sides[side])))


def _of_classes(metric: Metric, label: Array, prediction: Array) -> Statistic:
    """One side's metric from counts of (label, prediction)."""
    import numpy as np

    classes = np.union1d(label, prediction)
    hits, true, said = (
        _summing(classes, where, which)
        for where, which in ((label, label == prediction), (label, label == label), (prediction, label == label))  # noqa: PLR0124
    )
    return lambda counts: _average(metric, classes, hits(counts), true(counts), said(counts))


def _summing(classes: Array, member: Array, chosen: Array) -> Statistic:
    """Sums of counts by class, (samples, classes), over kinds that are `chosen`, each in the class `member`."""
    import numpy as np
    from scipy import sparse

    kinds = np.flatnonzero(chosen)
    places = (np.searchsorted(classes, member[kinds]), kinds)
    matrix = sparse.csr_matrix((np.ones(len(kinds)), places), shape=(len(classes), len(member)))
    return lambda counts: (matrix @ counts.T).T


def _average(metric: Metric, classes: Array, hits: Array, true: Array, said: Array) -> Array:
    import numpy as np

    if metric.average == "micro":
        hits, true, said = (part.sum(axis=1, keepdims=True) for part in (hits, true, said))
    below = {"precision": said, "f1": (true + said) / 2}.get(metric.name, true)
    with np.errstate(invalid="ignore", divide="ignore"):
        scores = hits / below  # NaN where a class does not occur
    if metric.average == "binary":
        return scores[:, -1]
    if metric.name == "balanced_accuracy":
        return np.nanmean(np.where(true > 0, scores, np.nan)[:, (true > 0).any(axis=0)], axis=1)
    scores = np.nan_to_num(scores)
    if metric.average == "weighted":
        return (scores * true).sum(axis=1) / true.sum(axis=1)
    occurring = (true + said) > 0
    return (scores * occurring).sum(axis=1) / occurring.sum(axis=1)


# --- means of losses ---------------------------------------------------------------------------------------------


def _of_losses(losses: list[Array], finish: Statistic, unit: str = "prediction") -> Counted:
    """A function of the mean of one loss a row."""
    columns, counts = _kinds(*losses)
    return Counted(counts, _joined(lambda side: lambda drawn: finish(drawn @ columns[side] / drawn.sum(axis=1))), unit)


def _score_losses(metric: Metric, side: Examples) -> Array:
    import numpy as np

    positive = as_text(side.roles["label"]) == metric.positive
    score = side.roles["score"]
    if metric.name == "brier":
        return (score - positive) ** 2
    least = np.finfo(np.float64).eps  # as scikit-learn does: a sure and wrong score costs much, not infinitely much
    chance = np.clip(np.where(positive, score, 1 - score), least, 1 - least)
    return -np.log(chance)


def _regression(metric: Metric, base: Examples, head: Examples) -> Counted:
    import numpy as np

    label = base.roles["label"]
    errors = [np.abs(side.roles["prediction"] - label) for side in (base, head)]
    if metric.name == "median_absolute_error":
        columns, counts = _kinds(*errors)
        return Counted(counts, _joined(lambda side: _median(columns[side])))
    if metric.name == "r2":
        (label, *squares), counts = _kinds(label - label.mean(), *(error**2 for error in errors))
        return Counted(counts, _joined(lambda side: _r2(label, squares[side])))
    if metric.name == "mape":
        size = np.maximum(np.abs(label), np.finfo(np.float64).eps)
        return _of_losses([error / size for error in errors], lambda mean: mean)
    power = 1 if metric.name == "mae" else 2
    return _of_losses([error**power for error in errors], np.sqrt if metric.name == "rmse" else lambda mean: mean)


def _r2(label: Array, squares: Array) -> Statistic:
    import numpy as np

    def r2(counts: Array) -> Array:
        spread = counts @ label**2 - (counts @ label) ** 2 / counts.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(spread > 0, 1 - counts @ squares / spread, np.nan)

    return r2


def _median(values: Array) -> Statistic:
    import numpy as np

    order = np.argsort(values)
    ordered = values[order]

    def median(counts: Array) -> Array:
        below = counts[:, order].cumsum(axis=1)
        half = below[:, -1:] / 2
        lower, upper = ((below >= half).argmax(axis=1), (below > half).argmax(axis=1))
        return (ordered[lower] + ordered[upper]) / 2

    return median


# --- ranks -------------------------------------------------------------------------------------------------------


def _rank(metric: Metric, base: Examples, head: Examples) -> Counted:
    positive = as_text(base.roles["label"]) == metric.positive
    (positive, *scores), counts = _kinds(positive, base.roles["score"], head.roles["score"])
    curve = _roc_auc if metric.name == "roc_auc" else _average_precision
    return Counted(counts, _joined(lambda side: _by_score(curve, positive > 0, scores[side])))


def _by_score(curve: Callable[[Array, Array], Array], positive: Array, score: Array) -> Statistic:
    """`curve` of the counts of positives and negatives at each distinct score, the highest first."""
    import numpy as np

    order = np.argsort(-score, kind="stable")
    ordered, positive = score[order], positive[order]
    starts = np.concatenate([[0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1])

    def statistic(counts: Array) -> Array:
        sorted_counts = counts[:, order]
        hits, alarms = sorted_counts * positive, sorted_counts * ~positive
        if len(starts) < len(score):
            hits, alarms = (np.add.reduceat(part, starts, axis=1) for part in (hits, alarms))
        with np.errstate(invalid="ignore", divide="ignore"):
            return curve(hits, alarms)

    return statistic


def _roc_auc(hits: Array, alarms: Array) -> Array:
    """The share of pairs of a positive and a negative that are in order, ties half (Hanley & McNeil 1982)."""
    above = hits.cumsum(axis=1) - hits / 2
    return (above * alarms).sum(axis=1) / (hits.sum(axis=1) * alarms.sum(axis=1))


def _average_precision(hits: Array, alarms: Array) -> Array:
    """Precision at each score, weighted by the recall gained there."""
    import numpy as np

    found = hits.cumsum(axis=1)
    said = found + alarms.cumsum(axis=1)
    precision = np.divide(found, said, out=np.zeros_like(found), where=said > 0)
    return (precision * hits).sum(axis=1) / hits.sum(axis=1)
