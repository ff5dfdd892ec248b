"""What mlgit promises: each budget with the bound that follows from the floors and rivals of the same run.

A budget is `value ≤ bound`. What was not measured is NaN, and so is every bound that needs it: such a budget is left
out. "start" is the time of `mlgit --version`; floors that are processes of their own include their start.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tests.bench import steps
from tests.bench.results import Results
from tests.bench.steps import Step

_MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Budget:
    """One promise: `value` in `unit` must not be above `bound`."""

    work: str
    goal: str
    value: float
    bound: float
    unit: str = "s"

    @property
    def ok(self) -> bool:
        """Whether it is held."""
        return self.value <= self.bound


def judge(results: Results) -> list[Budget]:
    """Every budget that this run measured, in the order of the workloads."""
    found = [
        *_start_up(results),
        *_small(results),
        *_versions(results),
        *_pipeline(results),
        *_ci(results),
        *_large(results),
        *_scaled(results, "scale"),
        *_scaled(results, "flat"),
    ]
    return [budget for budget in found if not math.isnan(budget.value + budget.bound)]


def _start_up(results: Results) -> list[Budget]:
    def of(step: Step, tool: str = "mlgit") -> float:
        return results.median("start-up", step.name, tool)

    return [
        Budget("mlgit --version", "≤ 0.10 s", of(steps.START), 0.10),
        Budget("mlgit --version", "faster than dvc --version", of(steps.START), of(steps.START, "dvc")),
        Budget("mlgit --help", "≤ 0.10 s", of(steps.HELP), 0.10),
        Budget("mlgit --help", "faster than dvc --version", of(steps.HELP), of(steps.START, "dvc")),
        Budget("status, tiny repository", "≤ 0.12 s", of(steps.TINY), 0.12),
        Budget("status, tiny repository", "≥ 3 × faster than dvc", of(steps.TINY), of(steps.TINY, "dvc") / 3),
    ]


def _small(results: Results) -> list[Budget]:
    def of(step: Step, tool: str = "mlgit") -> float:
        return results.median("small", step.name, tool)

    def budget(step: Step, goal: str, bound: float) -> Budget:
        return Budget(f"small: {step.name}", goal, of(step), bound)

    start = results.median("start-up", steps.START.name, "mlgit")
    return [
        budget(steps.ADD, "≤ 2 × cp -r", 2 * of(steps.ADD, "cp")),
        budget(steps.ADD, "≥ 4 × faster than dvc", of(steps.ADD, "dvc") / 4),
        budget(steps.ADD, "faster than borg", of(steps.ADD, "borg")),
        budget(steps.STATUS, "≤ start + 2 × scan", start + 2 * of(steps.STATUS, "floor")),
        budget(steps.STATUS_ONE, "≤ nothing changed + 10 ms", of(steps.STATUS) + 0.01),
        budget(steps.ADD_ONE, "≤ status + 0.1 s", of(steps.STATUS) + 0.1),
        budget(steps.PUSH, "≤ start + 3 × copy as one file", start + 3 * of(steps.PUSH, "floor")),
        budget(steps.PUSH, "≥ 10 × faster than dvc", of(steps.PUSH, "dvc") / 10),
        budget(steps.PULL, "≤ start + 1.5 × cp -r", start + 1.5 * of(steps.PULL, "cp")),
        budget(steps.PULL, "≥ 8 × faster than dvc", of(steps.PULL, "dvc") / 8),
        budget(steps.CHECKOUT, "≤ start + 1.5 × cp -r", start + 1.5 * of(steps.CHECKOUT, "cp")),
    ]


def _versions(results: Results) -> list[Budget]:
    growth = results.growth.get("mlgit")
    if growth is None or growth.objects is None or growth.bound is None:
        return []
    return [Budget("versions: objects of the second", "the file and its trees only", growth.objects, growth.bound, "")]


def _pipeline(results: Results) -> list[Budget]:
    def of(step: Step, tool: str = "mlgit", workload: str = "pipeline") -> float:
        return results.median(workload, step.name, tool)

    def budget(step: Step, goal: str, bound: float) -> Budget:
        return Budget(f"pipeline: {step.name}", goal, of(step), bound)

    count = results.files.get("pipeline", 0)
    overhead = 0.015 * count
    nothing = of(steps.NOTHING_TO_RUN)
    return [
        budget(steps.FIRST_RUN, f"≤ {count} × (`sh -c true` + 15 ms)", of(steps.FIRST_RUN, "floor") + overhead),
        budget(steps.FIRST_RUN, "≥ 4 × faster than dvc", of(steps.FIRST_RUN, "dvc") / 4),
        budget(steps.NOTHING_TO_RUN, "≤ 0.3 s", 0.3),
        budget(steps.NOTHING_TO_RUN, "≥ 3 × faster than dvc", of(steps.NOTHING_TO_RUN, "dvc") / 3),
        budget(steps.RESTORED, "≤ 1 s", 1.0),
        budget(steps.RESTORED, "≥ 10 × faster than dvc", of(steps.RESTORED, "dvc") / 10),
        Budget("pipeline: 20 × sleep 0.2, -j 2", "≤ 2.3 s", of(steps.NAPS, workload="pipeline, sleeping"), 2.3),
        Budget(
            "pipeline, large: nothing changed",
            f"≤ 10 × that of {count} stages",
            of(steps.NOTHING_TO_RUN, workload="pipeline, large"),
            10 * nothing,
        ),
    ]


def _ci(results: Results) -> list[Budget]:
    def budget(workload: str, step: Step, bound: float) -> Budget:
        return Budget(f"{workload}: {step.name}", f"≤ {bound} s", results.median(workload, step.name, "mlgit"), bound)

    def faster(workload: str, step: Step) -> Budget:
        own, dvc = (results.median(workload, step.name, tool) for tool in ("mlgit", "dvc"))
        return Budget(f"{workload}: {step.name}", "faster than dvc", own, dvc)

    found = []
    for workload in ("ci, small", "ci, tracked", "ci, in Git"):
        found += [
            budget(workload, steps.METRICS_DIFF, 0.25),
            faster(workload, steps.METRICS_DIFF),
            budget(workload, steps.REVIEW, 2),
            budget(workload, steps.REVIEW_WRITTEN, 2),
            budget(workload, steps.COMMIT_CODE, 0.3),
            faster(workload, steps.COMMIT_CODE),
            budget(workload, steps.POST_CHECKOUT, 0.3),
        ]
    return [*found, budget("ci, predictions", steps.RESAMPLES, 3)]


def _large(results: Results) -> list[Budget]:
    found = []
    for workload, times in (("large, copied", 1.2), ("large, hard-linked", 0.5)):
        own, cp, dvc = (results.median(workload, steps.ADD.name, tool) for tool in ("mlgit", "cp", "dvc"))
        found.append(Budget(f"{workload}: add", f"≤ {times} × cp", own, times * cp))
        found.append(Budget(f"{workload}: add", "≥ 2 × faster than dvc", own, dvc / 2))
    for step in (steps.ADD, steps.PUSH, steps.CHECKOUT, steps.PULL):
        peak = results.memory("large, copied", step.name, "mlgit") / _MEGABYTE
        found.append(Budget(f"large: {step.name}", "memory < 200 MB", peak, 200, "MB"))
    return found


def _scaled(results: Results, workload: str) -> list[Budget]:
    base = f"{workload}, base"
    few, many = results.files.get(base, 0), results.files.get(workload, 0)
    if not many:
        return []
    start = results.median("start-up", steps.START.name, "mlgit")
    status, scan = (results.median(workload, steps.STATUS.name, tool) for tool in ("mlgit", "floor"))
    peak = results.memory(workload, steps.STATUS.name, "mlgit") / _MEGABYTE
    status_row = f"{workload}: {steps.STATUS.name}"
    found = [
        Budget(status_row, "≤ start + 2 × scan", status, start + 2 * scan),
        Budget(status_row, "memory < 500 MB", peak, 500, "MB"),
    ]
    checkout, copy = (results.median(workload, steps.CHECKOUT.name, tool) for tool in ("mlgit", "cp"))
    found += [Budget(f"{workload}: {steps.CHECKOUT.name}", "≤ start + 1.5 × cp -r", checkout, start + 1.5 * copy)]
    for step in steps.SCALE_STEPS:
        goal = f"a file ≤ at {few:,} files"
        many_cost = results.median(workload, step.name, "mlgit") / many * 1e6
        few_cost = results.median(base, step.name, "mlgit") / few * 1e6
        found += [Budget(f"{workload}: {step.name}", goal, many_cost, few_cost, "µs")]
    return found
