"""Which stage may start next: every stage after those it needs, the longest way to the end first, as resources allow.

Pure: it is told what happened and answers what can be done.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mlgit.errors import StageError
from mlgit.model.stage import Resources, Stage
from mlgit.pipeline.graph import Graph


class Schedule:
    """The stages of one run that are not done with.

    Args:
        chosen: the stages of this run, each after all it needs.
        weight: how long a stage is likely to take, in seconds; None to keep the order of `chosen`.
    """

    def __init__(self, graph: Graph, chosen: Sequence[str], weight: Callable[[str], float] | None) -> None:
        self._graph = graph
        self._rank = {address: number for number, address in enumerate(chosen)}
        self._chosen = chosen
        self._missing = {one: sum(near in self._rank for near in graph.upstream[one]) for one in chosen}
        self._ahead = self._ways(weight) if weight is not None else dict.fromkeys(chosen, 0.0)
        self._ready = [self._entry(one) for one in chosen if not self._missing[one]]
        heapq.heapify(self._ready)

    def _ways(self, weight: Callable[[str], float]) -> dict[str, float]:
        """For each stage the length of the longest way from its start to the end of the run, in seconds."""
        ways: dict[str, float] = {}
        for one in reversed(self._chosen):
            ways[one] = weight(one) + max((ways.get(near, 0.0) for near in self._graph.downstream[one]), default=0.0)
        return ways

    def _entry(self, address: str) -> tuple[float, int, str]:
        return (-self._ahead[address], self._rank[address], address)

    def next(self) -> str | None:
        """A stage whose upstream stages are all done with; None if there is none now."""
        return heapq.heappop(self._ready)[2] if self._ready else None

    def done(self, address: str) -> None:
        """`address` ran, was skipped, restored or failed: those that waited for it may be next."""
        for near in self._graph.downstream[address]:
            if near in self._missing:
                self._missing[near] -= 1
                if not self._missing[near]:
                    heapq.heappush(self._ready, self._entry(near))


@dataclass
class Capacity:
    """What is left of a machine while stages run on it.

    Attributes:
        jobs: how many more may start.
        cpus: processors; a stage that wants more than there are gets them all.
        memory: bytes, likewise; 0 if not known, then memory is not counted.
        gpus: the devices that are free.
    """

    jobs: int
    cpus: float
    memory: int
    gpus: list[str]

    def __post_init__(self) -> None:
        self._all = (self.cpus, self.memory, len(self.gpus))
        self._given: dict[str, tuple[float, int, list[str]]] = {}

    def check(self, stage: Stage) -> None:
        """Refuse a stage that can never start here.

        Raises:
            StageError: it needs more devices than this machine has.
        """
        if stage.resources.gpus > self._all[2]:
            raise StageError(
                f"stage {stage.address!r} needs {stage.resources.gpus} GPUs, and this machine has {self._all[2]}",
                hint="run it where they are, or lower `resources.gpus`",
            )

    def take(self, address: str, wanted: Resources) -> list[str] | None:
        """Reserve what `address` needs: the devices it gets; None if it has to wait."""
        cpus, memory = min(wanted.cpus, self._all[0]), min(wanted.memory, self._all[1])
        if self.jobs < 1 or cpus > self.cpus or memory > self.memory or wanted.gpus > len(self.gpus):
            return None
        devices, self.gpus = self.gpus[: wanted.gpus], self.gpus[wanted.gpus :]
        self.jobs, self.cpus, self.memory = self.jobs - 1, self.cpus - cpus, self.memory - memory
        self._given[address] = (cpus, memory, devices)
        return devices

    def give_back(self, address: str) -> None:
        """`address` needs nothing any more."""
        cpus, memory, devices = self._given.pop(address)
        self.jobs, self.cpus, self.memory = self.jobs + 1, self.cpus + cpus, self.memory + memory
        self.gpus = sorted([*self.gpus, *devices], key=lambda name: (len(name), name))
        if not self._given:  # parts of processors do not add up to a whole to the last digit
            self.cpus = self._all[0]
