"""`python -m tests.bench.significance`: how long 10,000 resamples of 100,000 paired predictions take, by metric.

The budget is 3 s for accuracy, loading scikit-learn and SciPy not counted; medians of five. The floor is drawing the
counts alone, and `rows` what drawing the rows themselves would take, measured on a hundredth and multiplied.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

from mlgit.ops.compare import counted, resample
from mlgit.ops.compare.predictions import Examples
from mlgit.ops.compare.scores import classes_of, variants

ROWS = 100_000
METRICS = ("accuracy", "f1", "f1_macro", "balanced_accuracy", "brier", "roc_auc")


def seconds(work: Callable[[], object], times: int = 5) -> float:
    """The median of several runs."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def sides() -> tuple[Examples, Examples]:
    """Two models of two classes, right nine times of ten."""
    random = np.random.default_rng(0)
    label = random.integers(0, 2, ROWS).astype(float)
    made = []
    for wrong in (0.1, 0.097):
        prediction = np.where(random.random(ROWS) < wrong, 1 - label, label)
        score = np.clip(prediction * 0.5 + random.random(ROWS) * 0.5, 0, 1)
        made.append(Examples("p", ROWS, {"label": label, "prediction": prediction, "score": score}, {}))
    return made[0], made[1]


def drawn_rows(difference: np.ndarray, resamples: int) -> None:
    """The bootstrap as it is usually written: an index for each row of each resample."""
    random = np.random.default_rng(0)
    for _ in range(resamples):
        difference[random.integers(0, len(difference), len(difference))].mean()


def main() -> None:
    """Print a line for each metric."""
    base, head = sides()
    right = [side.roles["label"] == side.roles["prediction"] for side in (base, head)]
    step = right[1].astype(float) - right[0]
    say = sys.stdout.write
    say(f"{'rows (estimated)':<18} {100 * seconds(lambda: drawn_rows(step, 100), 1):8.2f} s\n")
    kinds = np.unique(np.column_stack(right), axis=0, return_counts=True)[1]
    say(f"{'floor':<18} {seconds(lambda: list(resample.draws(kinds, 10_000))):8.3f} s\n")
    for name in METRICS:
        metric = variants(name, classes_of(base, head))[0]
        times = 1 if "score" in metric.roles else 5
        taken = seconds(lambda metric=metric: resample.bootstrap(counted.difference(metric, base, head), 0.95), times)
        say(f"{name:<18} {taken:8.3f} s\n")


if __name__ == "__main__":
    main()
