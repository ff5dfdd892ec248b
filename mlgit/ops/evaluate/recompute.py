"""Metrics of a predictions file: nested values, as a stage would write them, and a report of the same.

A metric that has no value for some rows is left out, and a note says why: a slice with a single class has no ROC AUC,
and 0 or NaN in its place would be taken for a result.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mlgit.errors import InvalidError, UsageError
from mlgit.model.metric import join_key
from mlgit.model.report import Report, Row, Table, count
from mlgit.model.stage import Predictions
from mlgit.ops.compare import predictions as tables
from mlgit.ops.compare.predictions import Array, Examples, as_text
from mlgit.ops.compare.scores import BY_TASK, MACRO, Metric, by_group, classes_of, compute, variants

_MOST_SLICES: Final = 1_000
_DIGITS: Final = 12
"""Significant digits kept: sums may be added up in another order elsewhere, and that must not look like a change."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a predictions file gives.

    Attributes:
        values: `{"n": rows, metric: value, …, "by_<column>": {value: {"n": …, …}}}`.
        notes: which metrics have no value where, and how a mean over classes was taken.
    """

    name: str
    values: dict[str, Any]
    notes: tuple[str, ...]


def evaluate(data: bytes, said: Predictions, slices: Sequence[str] = (), name: str = "") -> Evaluation:
    """Compute every metric of a task from a predictions file.

    Args:
        data: the file's bytes.
        said: its path, its columns' names and the task.
        slices: columns to compute them by as well, value by value.
        name: what to call the file; by default its path.

    Raises:
        UsageError: the task is not said, a slice has too many values, or the format cannot be read.
        InvalidError: the file is malformed, or a column is missing or of the wrong kind.
    """
    if said.task is None:
        raise UsageError("what is predicted is not said", hint=f"--task {'|'.join(BY_TASK)}")
    examples = tables.read(data, said, slices, name or said.path)
    metrics = _chosen(said, examples)
    notes = [f"{metric.name}: the {metric.average} mean over classes" for metric in metrics if metric.average in MACRO]
    values = _values(metrics, examples, "", notes)
    for column in dict.fromkeys(slices):
        parts = _parts(examples, column)
        values[f"by_{column}"] = {
            value: _values(metrics, part, join_key((f"by_{column}", value)) + ".", notes) for value, part in parts
        }
    return Evaluation(examples.name, values, tuple(notes))


def to_json(evaluation: Evaluation) -> str:
    """The values as the text of a metrics file."""
    return json.dumps(evaluation.values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def report(evaluation: Evaluation) -> Report:
    """The values as a report of kind `evaluate`: a table `metrics` with slice, metric, value."""
    rows = tuple(Row((where or None, metric, value)) for where, metric, value in _flat(evaluation.values, ""))
    table = Table("metrics", "Metrics", ("slice", "metric", "value"), rows, "no metrics")
    return Report("evaluate", f"Metrics of {evaluation.name}", (table,), notes=evaluation.notes)


def _flat(values: dict[str, Any], where: str) -> Iterator[tuple[str, str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{where}.{key}" if where else key)
        else:
            yield where, key, value


def _chosen(said: Predictions, examples: Examples) -> list[Metric]:
    """What the file's columns suffice for; one that is needed for all is refused where it is missing."""
    assert said.task is not None
    classes = classes_of(examples) if said.task == "classification" else []
    found = [metric for name in BY_TASK[said.task] for metric in variants(name, classes)[:1]]
    usable = [metric for metric in found if all(role in examples.roles for role in metric.roles)]
    if not usable:
        role = next(role for role in found[0].roles if role not in examples.roles)
        raise InvalidError(
            f"{examples.name}: no column {getattr(said, role)!r}",
            hint=f"say which column holds the {role}: --{role} COLUMN",
        )
    return usable


def _parts(examples: Examples, column: str) -> Iterator[tuple[str, Examples]]:
    """The rows of each value of a column, in the order of the values."""
    import numpy as np

    texts = as_text(examples.slices[column])
    values = sorted(set(texts))
    if len(values) > _MOST_SLICES:
        raise UsageError(
            f"{examples.name}: the column {column!r} has {len(values):,} values",
            hint=f"slice by a column with at most {_MOST_SLICES:,}; put numbers into classes first",
        )
    order = np.argsort(texts, kind="stable")
    starts: Array = np.searchsorted(texts[order], values)
    for value, rows in zip(values, np.split(order, starts[1:]), strict=True):
        yield value, examples.rows(rows)


def _values(metrics: Sequence[Metric], examples: Examples, where: str, notes: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {"n": examples.count}
    if metrics[0].task == "ranking":
        values["groups"] = len(by_group(examples)[1])
    for metric in metrics:
        value = compute(metric, examples)
        if isinstance(value, str):
            notes.append(f"{where}{metric.name}: {value}")
        else:
            values[metric.name] = float(f"{value:.{_DIGITS}g}")
    if len(values) <= 1 + (metrics[0].task == "ranking") and not where:
        raise InvalidError(f"{notes[-1]}", hint=f"nothing can be computed from these {count(examples.count, 'row')}")
    return values
