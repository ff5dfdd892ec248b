"""What was measured: every sample by workload, step and tool, and the medians and ratios that follow from them."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.bench.process import Sample

Numbers = dict[str, dict[str, dict[str, float]]]


@dataclass(frozen=True, slots=True)
class Growth:
    """How much one tool's store grew by a second version that differs in one file.

    Attributes:
        before, added: bytes.
        objects: new objects, where the tool can tell.
        bound: how many objects there must be: the file and the trees on its path.
    """

    before: int
    added: int
    objects: int | None = None
    bound: int | None = None


@dataclass
class Results:
    """All samples of one run.

    Attributes:
        samples: workload → step → tool → one sample a round; all tools of a step ran in the same rounds.
        titles: what each workload's data is.
        files: how many files each workload moves, or stages it runs.
        growth: tool → what a second version cost.
        machine: what must be known to read the numbers.
    """

    samples: dict[str, dict[str, dict[str, list[Sample]]]] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)
    growth: dict[str, Growth] = field(default_factory=dict)
    machine: dict[str, object] = field(default_factory=dict)

    def expect(self, workload: str, steps: Iterable[str]) -> None:
        """Fix the order of a workload's rows, whichever tool comes first."""
        for step in steps:
            self.samples.setdefault(workload, {}).setdefault(step, {})

    def note(self, workload: str, step: str, tool: str, sample: Sample) -> None:
        """Keep one sample."""
        self.samples.setdefault(workload, {}).setdefault(step, {}).setdefault(tool, []).append(sample)

    def median(self, workload: str, step: str, tool: str) -> float:
        """Median wall seconds; NaN if that was not measured, so that whatever follows from it is NaN too."""
        return self._median(workload, step, tool, lambda sample: sample.seconds)

    def memory(self, workload: str, step: str, tool: str) -> float:
        """Median of the peak memory in bytes; NaN if that was not measured."""
        return self._median(workload, step, tool, lambda sample: sample.memory)

    def ratio(self, workload: str, step: str, above: str, below: str) -> float:
        """Median over the rounds of `above` ÷ `below`, each pair from the same round; NaN if one is missing."""
        tools = self.samples.get(workload, {}).get(step, {})
        pairs = zip(tools.get(above, ()), tools.get(below, ()), strict=False)
        ratios = [first.seconds / second.seconds for first, second in pairs]
        return statistics.median(ratios) if ratios else math.nan

    def to_json(self) -> dict[str, object]:
        """Samples, medians and ratios as plain values."""
        return {
            "machine": self.machine,
            "workloads": self.titles,
            "samples": {
                workload: {
                    step: {tool: [dataclasses.asdict(sample) for sample in rounds] for tool, rounds in tools.items()}
                    for step, tools in steps.items()
                }
                for workload, steps in self.samples.items()
            },
            "medians": self._each(self.median),
            "memory": self._each(self.memory),
            "ratios to mlgit": self._each(lambda workload, step, tool: self.ratio(workload, step, tool, "mlgit")),
            "growth": {tool: dataclasses.asdict(growth) for tool, growth in self.growth.items()},
        }

    def _median(self, workload: str, step: str, tool: str, of: Callable[[Sample], float]) -> float:
        rounds = self.samples.get(workload, {}).get(step, {}).get(tool, ())
        return statistics.median(map(of, rounds)) if rounds else math.nan

    def _each(self, number: Callable[[str, str, str], float]) -> Numbers:
        found: Numbers = {}
        for workload, steps in self.samples.items():
            for step, tools in steps.items():
                numbers = {tool: number(workload, step, tool) for tool in tools}
                kept = {tool: round(value, 6) for tool, value in numbers.items() if not math.isnan(value)}
                found.setdefault(workload, {})[step] = kept
        return found
