"""Whether a metric's change is more than chance: what gates ask, answered from predictions or from repeated seeds.

An answer is an `Effect`; where none can be given, the reason is a text, never an exception: the files judged are those
of a pull request, and a gate must be able to say why it has no answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal

from mlgit.errors import InvalidError, MissingError, UsageError
from mlgit.model.metric import Scalar, is_finite
from mlgit.model.relpath import RelPath
from mlgit.model.report import count
from mlgit.model.stage import Predictions
from mlgit.ops.compare import predictions as tables
from mlgit.ops.compare.counted import Counted, difference, subtracted
from mlgit.ops.compare.files import naming, read_values, stage_files
from mlgit.ops.compare.predictions import Examples, as_text
from mlgit.ops.compare.ranktest import shift
from mlgit.ops.compare.resample import Interval, bootstrap, mcnemar
from mlgit.ops.compare.scores import Asked, Metric, classes_of, compute, parse_key, select, variants

if TYPE_CHECKING:
    from mlgit.repo import Repo
    from mlgit.work.snapshot import Snapshot

Direction = Literal["higher", "lower"]
Outcome = Literal["improved", "regressed", "inconclusive"]
Test = Literal["bootstrap", "mcnemar"]
_FEWEST: Final = 10
"""Rows below which a resample says more of itself than of the model."""
_LEAST_DIGITS: Final = 2
_ROUNDED: Final = Decimal("0.5000001")
_FULL_DIGITS: Final = 9
"""A value with at least so many digits is taken as unrounded; sums may still be added up in another order."""


class Contradiction(str):
    """Why nothing can be told: the predictions are not those that the metric was computed from."""


@dataclass(frozen=True, slots=True)
class Effect:
    """How a metric differs, and how sure that is.

    Attributes:
        delta: head minus base, in the metric's unit.
        low, high: the interval of `delta` at `confidence`.
        p: two-sided: how likely so large a difference is by chance alone.
        method: how it was found, such as `paired bootstrap of 171 predictions, 10,000 resamples`.
    """

    outcome: Outcome
    delta: float
    low: float
    high: float
    confidence: float
    p: float | None
    method: str

    @property
    def words(self) -> str:
        """It in a line: `changed, not significant: -0.0117 in [-0.0351, 0.0117] at 95 % (…)`."""
        if self.delta == self.low == self.high == 0:
            return f"unchanged ({self.method})"
        outcome = {"inconclusive": "changed, not significant"}.get(self.outcome, self.outcome)
        if self.delta == 0 and self.outcome == "inconclusive":
            outcome = "unchanged"
        bounds = f"[{_short(self.low)}, {_short(self.high)}] at {100 * self.confidence:g} %"
        return f"{outcome}: {_short(self.delta, '+')} in {bounds} ({self.method})"


@dataclass(frozen=True, slots=True)
class _Side:
    """What one side has: the metric's value as written, and the predictions that it was computed from."""

    name: str
    value: Scalar
    examples: Examples
    said: Predictions


class _NoAnswerError(Exception):
    """Why there is no answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def from_predictions(
    repo: Repo,
    base: Snapshot,
    head: Snapshot,
    file: RelPath,
    key: str,
    direction: Direction,
    *,
    test: Test,
    confidence: float = 0.95,
) -> Effect | str:
    """Judge one metric by the predictions that its stage declares on both sides; a text says why it cannot be told.

    Args:
        file: the metrics file; on both sides a stage must have it with `predictions`.
        key: the metric's dotted key; see `scores.parse_key`.
        test: `mcnemar` judges accuracy and error rate only.
        confidence: of the interval, between 0 and 1.

    Raises:
        InvalidError: a stage file is malformed.
        IntegrityError, RemoteError: predictions are damaged, or the remote that has them failed.
    """
    try:
        asked = parse_key(key)
        older, newer = (_side(repo, name, side, file, key, asked) for name, side in (("base", base), ("head", head)))
        return _judge(asked, older, newer, direction, test, confidence)
    except _NoAnswerError as error:
        return error.reason
    except (InvalidError, MissingError, UsageError) as error:
        return f"{error.message} ({error.hint})" if error.hint else error.message


def from_seeds(
    base: Sequence[float],
    head: Sequence[float],
    direction: Direction,
    *,
    paired: bool,
    confidence: float = 0.95,
) -> Effect | str:
    """Judge the values of repeated runs by ranks; a text says why it cannot be told.

    Args:
        base, head: one value a run, in the metric's unit; if `paired`, of the same seeds in the same order.
    """
    found = shift(base, head, paired=paired, confidence=confidence)
    if isinstance(found, str):
        return found
    name = "Wilcoxon's signed-rank test" if paired else "Mann-Whitney U test"
    runs = f"{len(base)} pairs of runs" if paired else f"{len(base)} and {len(head)} runs"
    return _effect(*found, direction, confidence, f"{name}, {runs}")


def _judge(asked: Asked, base: _Side, head: _Side, direction: Direction, test: Test, confidence: float) -> Effect:
    paired = tables.pair(base.examples, head.examples)
    if isinstance(paired, str):
        raise _NoAnswerError(f"the predictions cannot be paired: {paired}")
    classes = classes_of(*paired)
    older, newer = (select(examples, asked.where) for examples in paired)
    metric, delta = _recomputed(asked, classes, (base, older), (head, newer))
    if test == "mcnemar":
        return _mcnemar(metric, older, newer, delta, direction, confidence)
    counted = difference(metric, older, newer)
    if counted.size < _FEWEST:
        raise _NoAnswerError(f"{count(counted.size, counted.unit)}: too few to tell a change from chance")
    interval = bootstrap(counted, confidence)
    if isinstance(interval, str):
        raise _NoAnswerError(interval)
    return _effect(delta, interval, direction, confidence, _bootstrap_words(metric, counted, interval))


def _bootstrap_words(metric: Metric, counted: Counted, interval: Interval) -> str:
    drawn = f"paired bootstrap of {count(counted.size, counted.unit)}, {interval.resamples:,} resamples"
    return f"{metric.average} mean, {drawn}" if metric.average in ("macro", "micro", "weighted") else drawn


def _mcnemar(
    metric: Metric, base: Examples, head: Examples, delta: float, direction: Direction, confidence: float
) -> Effect:
    if metric.name not in ("accuracy", "error_rate"):
        raise _NoAnswerError(f"McNemar's test judges accuracy and error_rate, not {metric.name}: use `test: bootstrap`")
    older, newer = (as_text(side.roles["label"]) == as_text(side.roles["prediction"]) for side in (base, head))
    found = mcnemar(older, newer, confidence)
    low, high = (found.low, found.high) if metric.name == "accuracy" else (-found.high, -found.low)
    method = f"McNemar's test of {count(base.count, 'prediction')}, {found.note}"
    return _effect(delta, Interval(low, high, found.p), direction, confidence, method)


def _effect(delta: float, interval: Interval, direction: Direction, confidence: float, method: str) -> Effect:
    up, down = interval.low > 0, interval.high < 0
    better, worse = (up, down) if direction == "higher" else (down, up)
    outcome: Outcome = "improved" if better else "regressed" if worse else "inconclusive"
    return Effect(outcome, delta, interval.low, interval.high, confidence, interval.p, method)


def _side(repo: Repo, name: str, snapshot: Snapshot, file: RelPath, key: str, asked: Asked) -> _Side:
    said = declared_predictions(repo, snapshot, file)
    if said is None:
        raise _NoAnswerError(f"no `predictions` are declared for {file} at the {name}")
    data = repo.read(said.path, snapshot)
    if data is None:
        raise _NoAnswerError(f"there are no predictions at the {name}: {said.path}")
    value = (read_values(repo, file, snapshot) or {}).get(key)
    if not is_finite(value):
        raise _NoAnswerError(f"{file}:{key} is no finite number at the {name}")
    columns = dict.fromkeys(column for column, _ in asked.where)
    examples = naming(snapshot, lambda: tables.read(data, said, columns))
    return _Side(name, value, examples, said)


def declared_predictions(repo: Repo, snapshot: Snapshot, file: RelPath) -> Predictions | None:
    """The predictions that a stage of one side says its metrics `file` is computed from.

    Raises:
        InvalidError: a stage file is malformed.
    """
    outs = (out for one in stage_files(repo, snapshot) for stage in one.stages.values() for out in stage.outs)
    return next((out.predictions for out in outs if out.kind == "metric" and file.within(out.path)), None)


def _recomputed(
    asked: Asked, classes: list[str], base: tuple[_Side, Examples], head: tuple[_Side, Examples]
) -> tuple[Metric, float]:
    """What the metric's name stands for, given what was written on both sides; and its exact difference."""
    tasks = {side.said.task for side, _ in (base, head)} - {None}
    metrics = variants(asked.metric, classes)
    if not metrics:
        raise _NoAnswerError(f"no metric called {asked.metric!r} is known for these predictions")
    if tasks - {metrics[0].task}:
        declared = " and ".join(sorted(map(str, tasks)))
        raise _NoAnswerError(f"{metrics[0].name} is a metric of {metrics[0].task}, the predictions are of {declared}")
    problems = []
    for metric in metrics:
        values = [compute(metric, examples) for _, examples in (base, head)]
        problem = next(filter(None, map(_mismatch, (base[0], head[0]), values)), None)
        if problem is None:
            older, newer = map(float, values)
            return metric, float(subtracted(older, newer))
        problems.append(problem)
    raise _NoAnswerError(problems[0])


def _mismatch(side: _Side, value: float | str) -> str | None:
    """What is wrong with a recomputed value: there is none, or it is not what the metrics file says."""
    if isinstance(value, str):
        return f"{value} (at the {side.name})"
    written = Decimal(str(side.value))
    exponent = written.normalize().as_tuple().exponent
    digits = -exponent if isinstance(exponent, int) else 0
    unit = Decimal(10) ** -(digits if digits >= _LEAST_DIGITS else _FULL_DIGITS)
    tolerance = float(_ROUNDED * max(unit, Decimal(10) ** -_FULL_DIGITS)) + 1e-9 * abs(value)
    if abs(value - float(written)) <= tolerance:
        return None
    return Contradiction(f"the predictions give {value:.6g} at the {side.name}, but the metrics file says {side.value}")


def _short(number: float, sign: str = "-") -> str:
    text = f"{number:{sign}.3g}"
    return text if math.isfinite(number) and number else "0" if number == 0 else text
