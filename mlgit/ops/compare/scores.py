"""Metrics by name, computed from predictions by scikit-learn, overall and by slice.

One name may stand for several computations: `f1` of two classes is that of the positive one, of many it is some mean
over them, and which class is positive only the author knows. `variants` lists the likely ones, most likely first, and
whoever has the value that was written picks the one that gives it.
"""

from __future__ import annotations

import itertools
import math
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mlgit.errors import InvalidError
from mlgit.model.metric import split_key
from mlgit.model.stage import Task
from mlgit.ops.compare.predictions import Array, Examples, as_text, first_bad

MACRO: Final = ("macro", "weighted", "micro")
_PLAIN: Final = ("accuracy", "error_rate", "balanced_accuracy")
_AVERAGED: Final = ("precision", "recall", "f1")
_SCORED: Final = ("roc_auc", "average_precision", "log_loss", "brier")
_REGRESSION: Final = ("mae", "mse", "rmse", "r2", "mape", "median_absolute_error")
_RANKING: Final = ("ndcg", "mrr", "map")
BY_TASK: Final[dict[Task, tuple[str, ...]]] = {
    "classification": (*_PLAIN[::2], *_AVERAGED, *_SCORED),
    "regression": _REGRESSION,
    "ranking": _RANKING,
}
_ROLES: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys((*_PLAIN, *_AVERAGED, *_REGRESSION), ("label", "prediction")),
    **dict.fromkeys(_SCORED, ("label", "score")),
    **dict.fromkeys(_RANKING, ("label", "score", "group")),
}
_SYNONYMS: Final = {
    **{"acc": "accuracy", "accuracy_score": "accuracy", "error": "error_rate", "misclassification_rate": "error_rate"},
    **{
        "balanced_acc": "balanced_accuracy",
        "bacc": "balanced_accuracy",
        "balanced_accuracy_score": "balanced_accuracy",
    },
    **{"sensitivity": "recall", "tpr": "recall", "ppv": "precision", "f1_score": "f1", "precision_score": "precision"},
    **{"recall_score": "recall", "auc": "roc_auc", "auroc": "roc_auc", "rocauc": "roc_auc", "roc_auc_score": "roc_auc"},
    **{"pr_auc": "average_precision", "auprc": "average_precision", "ap": "average_precision", "logloss": "log_loss"},
    **{"cross_entropy": "log_loss", "brier_score": "brier", "brier_score_loss": "brier", "mean_squared_error": "mse"},
    **{"mean_absolute_error": "mae", "root_mean_squared_error": "rmse", "r2_score": "r2", "r_squared": "r2"},
    **{"mean_absolute_percentage_error": "mape", "medae": "median_absolute_error", "medianae": "median_absolute_error"},
    **{"mean_reciprocal_rank": "mrr", "mean_average_precision": "map", "ndcg_score": "ndcg"},
}
_CUT: Final = re.compile(r"(ndcg|mrr|map)[@_]([1-9][0-9]{0,5})")
_POSITIVE: Final = frozenset({"1", "true", "yes", "positive", "pos"})


@dataclass(frozen=True, slots=True)
class Metric:
    """One way to compute a number from predictions.

    Attributes:
        average: over classes: `binary`, `macro`, `weighted` or `micro`; over groups of a ranking: `all`, where a group
            with nothing relevant counts as 0, or `relevant`, where it is left out.
        positive: the class that a binary metric is about.
        cut: how many places of a ranking count, all if None.
    """

    name: str
    average: str = ""
    positive: str = ""
    cut: int | None = None

    @property
    def task(self) -> Task:
        """What it judges."""
        return next(task for task, names in _TASKS.items() if self.name in names)

    @property
    def roles(self) -> tuple[str, ...]:
        """The columns it needs."""
        return _ROLES[self.name]

    @property
    def words(self) -> str:
        """It, for people: `f1 (macro)`, `roc_auc of 'malignant'`."""
        average = f" ({self.average})" if self.average in MACRO else ""
        return self.name + (f"@{self.cut}" if self.cut else "") + average


_TASKS: Final[dict[Task, tuple[str, ...]]] = {**BY_TASK, "classification": (*_PLAIN, *_AVERAGED, *_SCORED)}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a metric's key asks for: a name, and the values of columns that its rows have."""

    metric: str
    where: tuple[tuple[str, str], ...]


def parse_key(key: str) -> Asked:
    """`by_size.medium.recall` is the recall of rows whose column `size` is `medium`; other names are passed over.

    Raises:
        InvalidError: no key of a metrics file.
    """
    *above, last = map(str, split_key(key)) if key else [""]
    where, at = [], 0
    while at < len(above):
        column = above[at].removeprefix("by_")
        sliced = column != above[at] and at + 1 < len(above)
        if sliced:
            where.append((column, above[at + 1]))
        at += 2 if sliced else 1
    return Asked(last, tuple(where))


def variants(name: str, classes: Sequence[str]) -> list[Metric]:
    """What a metric called `name` may be, the likeliest first; nothing where the name is unknown.

    Args:
        classes: what occurs as label or prediction, as `classes_of` gives them.
    """
    plain = name.strip().lower().replace("-", "_").replace(" ", "_")
    cut = _CUT.fullmatch(plain)
    if cut:
        return [Metric(cut[1], average, cut=int(cut[2])) for average in ("relevant", "all")]
    averages: tuple[str, ...] = ("binary", *MACRO)
    for average in averages:
        if plain.endswith(f"_{average}") or plain.startswith(f"{average}_"):
            plain, averages = plain.removesuffix(f"_{average}").removeprefix(f"{average}_"), (average,)
    plain = _SYNONYMS.get(plain, plain)
    if plain in _RANKING:
        return [Metric(plain, average) for average in ("relevant", "all")]
    if plain in _AVERAGED:
        binary = [Metric(plain, "binary", one) for one in _positives(classes)] if "binary" in averages else []
        return binary + [Metric(plain, average) for average in averages if average != "binary"]
    if plain in _SCORED:
        return [Metric(plain, "binary", one) for one in _positives(classes)]
    return [Metric(plain)] if plain in _ROLES and len(averages) > 1 else []


def classes_of(*sides: Examples) -> list[str]:
    """Every class that occurs as label or prediction, numbers by size, texts by letter."""
    import numpy as np

    found: set[str] = set()
    for side in sides:
        for role in ("label", "prediction"):
            if role in side.roles:
                column = side.roles[role]
                found.update(as_text(np.unique(column)) if column.dtype.kind == "f" else set(column))
    return sorted(found, key=_class_order)


def _class_order(name: str) -> tuple[bool, float, str]:
    try:
        return False, float(name), name
    except ValueError:
        return True, 0.0, name


def _positives(classes: Sequence[str]) -> list[str]:
    """Which of two classes may be the positive one, the likeliest first."""
    if len(classes) == 1:
        return ["1" if classes[0] in ("0", "-1") else classes[0]]
    if len(classes) != 2:
        return []
    known = [name for name in classes if name.lower() in _POSITIVE]
    return known if len(known) == 1 else [classes[1], classes[0]]


def select(examples: Examples, where: Iterable[tuple[str, str]]) -> Examples:
    """The rows whose columns have these values.

    Raises:
        InvalidError: there are none.
    """
    for column, value in where:
        texts = as_text(examples.slices[column])
        mask = texts == value
        if not mask.any():
            mask = texts == value.lower()
        if not mask.any():
            raise InvalidError(
                f"{examples.name}: no row has {value!r} in the column {column!r}", hint="its stage must write both"
            )
        examples = examples.rows(mask)
    return examples


def lacking(metric: Metric, examples: Examples) -> str:
    """Why the metric cannot be computed from these rows' columns; empty if it can."""
    for role in metric.roles:
        if role not in examples.roles:
            return f"{examples.name}: {metric.name} needs a column for the {role}"
    for role in _numeric_roles(metric):
        problem = _not_numbers(examples, role)
        if problem:
            return problem
    if metric.name in ("log_loss", "brier"):
        score = examples.roles["score"]
        if score.min() < 0 or score.max() > 1:
            return f"{examples.name}: {metric.name} needs scores from 0 to 1, found {score.min():g} to {score.max():g}"
    if metric.name == "ndcg" and examples.roles["label"].min() < 0:
        return f"{examples.name}: ndcg needs labels of 0 or more"
    return ""


def _numeric_roles(metric: Metric) -> tuple[str, ...]:
    if metric.task == "classification":
        return ("score",) if "score" in metric.roles else ()
    return tuple(role for role in metric.roles if role != "group")


def _not_numbers(examples: Examples, role: str) -> str:
    import numpy as np

    column = examples.roles[role]
    if column.dtype.kind != "f":
        return f"{examples.name}: the {role} is text, such as {str(column[0])!r:.40}, and must be a number"
    if not np.isfinite(column).all():
        return f"{examples.name}: the {role} in row {first_bad(np.isfinite(column))} is no finite number"
    return ""


def compute(metric: Metric, examples: Examples) -> float | str:
    """The metric's value for these rows, in its own unit, or why it has none.

    Computed by scikit-learn; where that only warns that a value is undefined, there is none either.
    """
    problem = lacking(metric, examples)
    if problem:
        return problem
    if metric.task == "ranking":
        values = group_values(metric, examples)
        return float(values.mean()) if len(values) else f"{examples.name}: no group has anything relevant to rank"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = _regression(metric, examples) if metric.task == "regression" else _classification(metric, examples)
    if isinstance(value, str) or math.isfinite(value):
        return value
    return f"{examples.name}: {metric.name} of these rows is {value:g}"


def _regression(metric: Metric, examples: Examples) -> float | str:
    from sklearn import metrics

    label, prediction = examples.roles["label"], examples.roles["prediction"]
    if metric.name == "r2" and (label == label[0]).all():
        return f"{examples.name}: r2 is not defined where all labels are the same"
    functions: dict[str, Any] = {
        "mae": metrics.mean_absolute_error,
        "mse": metrics.mean_squared_error,
        "rmse": lambda y, p: math.sqrt(metrics.mean_squared_error(y, p)),
        "r2": metrics.r2_score,
        "mape": metrics.mean_absolute_percentage_error,
        "median_absolute_error": metrics.median_absolute_error,
    }
    return float(functions[metric.name](label, prediction))


def _classification(metric: Metric, examples: Examples) -> float | str:
    from sklearn import metrics

    label = as_text(examples.roles["label"])
    if metric.name in _SCORED:
        return _scored(metric, label == metric.positive, examples)
    prediction = as_text(examples.roles["prediction"])
    if metric.name in ("accuracy", "error_rate"):
        right = float(metrics.accuracy_score(label, prediction))
        return right if metric.name == "accuracy" else float((label != prediction).mean())
    if metric.name == "balanced_accuracy":
        return float(metrics.balanced_accuracy_score(label, prediction))
    if metric.average == "binary":
        label, prediction = label == metric.positive, prediction == metric.positive
        nothing = {"recall": not label.any(), "precision": not prediction.any()}
        if nothing.get(metric.name, not (label.any() or prediction.any())):
            return f"{examples.name}: {metric.name} is not defined: class {metric.positive!r} does not occur"
    function = getattr(metrics, f"{metric.name}_score")
    return float(function(label, prediction, average=metric.average, zero_division=0))


def _scored(metric: Metric, positive: Array, examples: Examples) -> float | str:
    from sklearn import metrics

    score = examples.roles["score"]
    if metric.name == "log_loss":
        return float(metrics.log_loss(positive, score, labels=[False, True]))
    if metric.name == "brier":
        return float(metrics.brier_score_loss(positive, score, pos_label=True)) if len(score) else 0.0
    if positive.all() or not positive.any():
        return f"{examples.name}: {metric.name} is not defined: there is only one class"
    function = metrics.roc_auc_score if metric.name == "roc_auc" else metrics.average_precision_score
    return float(function(positive, score))


def group_values(metric: Metric, examples: Examples) -> Array:
    """A ranking metric of each group, in the groups' order; see `Metric.average` for groups with nothing relevant.

    `ndcg`: Järvelin & Kekäläinen 2002, ties averaged; `map`, `mrr`: Manning, Raghavan & Schütze 2008, chapter 8;
    whatever has a label above 0 is relevant to these two.
    """
    import numpy as np

    order, starts = by_group(examples)
    label, score = examples.roles["label"][order], examples.roles["score"][order]
    bounds = [*starts.tolist(), len(label)]
    values = [_of_group(metric, label[first:last], score[first:last]) for first, last in itertools.pairwise(bounds)]
    found = np.array([math.nan if value is None else value for value in values])
    return np.nan_to_num(found) if metric.average == "all" else found[~np.isnan(found)]


def by_group(examples: Examples) -> tuple[Array, Array]:
    """The order of rows that puts groups together, and where each begins in it."""
    import numpy as np

    names = as_text(examples.roles["group"])
    order = np.argsort(names, kind="stable")
    changes = names[order][1:] != names[order][:-1]
    return order, np.concatenate([[0], np.flatnonzero(changes) + 1])


def _of_group(metric: Metric, label: Array, score: Array) -> float | None:
    import numpy as np

    if not (label > 0).any():
        return None
    if metric.name == "ndcg":
        return _ndcg(metric, label, score)
    order = np.argsort(-score, kind="stable")[: metric.cut]
    relevant = label[order] > 0
    if metric.name == "mrr":
        places = np.flatnonzero(relevant)
        return 1 / (int(places[0]) + 1) if len(places) else 0.0
    if metric.cut is None:
        from sklearn.metrics import average_precision_score

        return float(average_precision_score(label > 0, score))
    hits = relevant.cumsum() / np.arange(1, len(relevant) + 1)
    return float((hits * relevant).sum() / min(int((label > 0).sum()), metric.cut))


def _ndcg(metric: Metric, label: Array, score: Array) -> float:
    from sklearn.metrics import ndcg_score

    return 1.0 if len(label) == 1 else float(ndcg_score([label], [score], k=metric.cut))
