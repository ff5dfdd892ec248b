"""The workloads: which data, which steps, which tools.

A workload works in the folder it is given and leaves all there; who gave the folder removes it. Each begins with a
round on a handful of files that is not counted, so that bytecode and caches are there for every tool.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import steps
from tests.bench.data import Shape, change_one, make_large, make_tree, readable, stored_bytes
from tests.bench.process import run
from tests.bench.results import Growth, Results
from tests.bench.reviewed import DvcJudged, GitAlone, Judged, Project, Reviewed
from tests.bench.staged import NAP, NAPS, DvcStages, Shell, Stages
from tests.bench.steps import Step
from tests.bench.tools import Borg, CheckoutCopy, Copy, DurableCopy, Dvc, GitLfs, Mlgit, Python, Tool

TINY = Shape(6, 2, 4096)
BASE_FILES = 10_000
_START_ROUNDS = 3  # starts are short and noisy: three times as many rounds


@dataclass(frozen=True, slots=True)
class Settings:
    """What was asked for: shapes, sizes in bytes, numbers of all kinds, programs and their environment."""

    programs: Mapping[type[Tool], tuple[str, ...]]
    env: Mapping[str, str]
    small: Shape
    large: int
    scale: Shape
    flat: Shape
    stages: int
    many_stages: int
    gates: int
    examples: int
    rounds: int
    scale_rounds: int
    say: Callable[[str], None]

    def tools(self, kinds: Sequence[type[Tool]], folder: Path, source: Path, links: str | None = None) -> list[Tool]:
        """Those of `kinds` that are installed, each with a home of its own in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        return [
            kind(self.programs[kind], folder / kind.name, source, self.env, links)
            for kind in kinds
            if kind in self.programs
        ]


def start_up(results: Results, place: Path, settings: Settings) -> None:
    """Processes that have nothing to do."""
    kinds = (Python, Mlgit, Dvc, GitLfs, Borg)
    results.titles["start-up"] = f"a repository of {TINY.files} files, {settings.rounds * _START_ROUNDS} rounds"
    source = place / "source"
    make_tree(source, TINY)
    tools = settings.tools(kinds, place, source)
    for tool in tools:
        tool.create()
        if not tool.floor:
            tool.bring()
            run(tool.add(), settings.env)
    for turn in range(-1, settings.rounds * _START_ROUNDS):
        into = results if turn >= 0 else Results()
        for number, step in enumerate((steps.START, steps.HELP, steps.TINY)):
            for tool in steps.rotated(tools, turn + number):
                steps.take(into, "start-up", step, tool)


def small(results: Results, place: Path, settings: Settings) -> None:
    """Many small files, through the whole life of a data set."""
    kinds = (Copy, Python, Mlgit, Dvc, GitLfs, Borg)
    results.titles["small"] = f"{settings.small}, {settings.rounds} rounds"
    results.files["small"] = settings.small.files
    _rehearse(place, settings, kinds, steps.SMALL_STEPS)
    source = place / "source"
    make_tree(source, settings.small)
    for turn in range(settings.rounds):
        settings.say(f"small: round {turn + 1} of {settings.rounds}")
        tools = settings.tools(kinds, place / f"round{turn}", source)
        steps.interleaved(results, "small", steps.SMALL_STEPS, tools, turn)


def large(results: Results, place: Path, settings: Settings) -> None:
    """One large file, copied and linked."""
    kinds = (Copy, DurableCopy, Mlgit, Dvc, GitLfs, Borg)
    source = place / "large.bin"
    _rehearse(place, settings, kinds, steps.LARGE_STEPS)
    make_large(source, settings.large)
    for workload, links, entrants, taken in (
        ("large, copied", "copy", kinds, steps.LARGE_STEPS),
        ("large, hard-linked", "hardlink", kinds[:4], steps.LINKED_STEPS),
    ):
        results.titles[workload] = f"one file of {readable(settings.large)}, {settings.rounds} rounds"
        for turn in range(settings.rounds):
            settings.say(f"{workload}: round {turn + 1} of {settings.rounds}")
            tools = settings.tools(entrants, place / links, source, links)
            steps.one_by_one(results, workload, taken, tools, turn)


def scale(results: Results, place: Path, settings: Settings) -> None:
    """Very many files in many folders."""
    _scaled(results, place, settings, "scale", settings.scale)


def flat(results: Results, place: Path, settings: Settings) -> None:
    """Very many files in one folder."""
    _scaled(results, place, settings, "flat", settings.flat)


def _scaled(results: Results, place: Path, settings: Settings, workload: str, shape: Shape) -> None:
    """The same steps at 10,000 files and at `shape`, as many files a folder, so that costs per file compare."""
    few = min(BASE_FILES, max(shape.files // 10, 1))
    base = Shape(few, max(1, shape.folders * few // shape.files), shape.size)
    _rehearse(place, settings, (Mlgit,), steps.SCALE_STEPS)
    for name, what, rounds in ((f"{workload}, base", base, settings.rounds), (workload, shape, settings.scale_rounds)):
        results.titles[name] = f"{what}, {rounds} round{'s' * (rounds > 1)}"
        results.files[name] = what.files
        for turn in range(rounds):
            settings.say(f"{name}: {what}: round {turn + 1} of {rounds}")
            folder = place / f"{name}-{turn}"
            tools = settings.tools((CheckoutCopy, Python, Mlgit), folder, folder / Mlgit.name / "data")
            for tool in tools:
                tool.create()
            make_tree(folder / Mlgit.name / "data", what)
            for number, step in enumerate(steps.SCALE_STEPS):
                for tool in steps.rotated(tools, turn + number):
                    steps.take(results, name, step, tool)


def versions(results: Results, place: Path, settings: Settings) -> None:
    """Two versions of a folder that differ in one file: what the second costs in the store."""
    results.titles["versions"] = f"two versions of {settings.small} that differ in one file"
    source = place / "source"
    make_tree(source, settings.small)
    depth = 2 if settings.small.folders > 1 else 1
    for tool in settings.tools((Mlgit, Dvc, GitLfs, Borg), place, source):
        tool.create()
        tool.bring()
        run(tool.add(), settings.env)
        tool.commit()
        before = stored_bytes(tool.store)
        change_one(tool.data)
        run(tool.add(), settings.env)
        tool.commit()
        added = stored_bytes(tool.store) - before
        known = (_new_objects(tool), depth + 1) if isinstance(tool, Mlgit) and not isinstance(tool, Dvc) else ()
        results.growth[tool.name] = Growth(before, added, *known)


def _new_objects(tool: Tool) -> int:
    """What `mlgit du` says the last commit needs that the one before it has not."""
    words = (*tool.program, "du", "--rev", "HEAD~1", "--rev", "HEAD", "--json")
    done = subprocess.run(words, cwd=tool.home, env=dict(tool.env), check=True, capture_output=True)
    return int(json.loads(done.stdout)["outputs"][-1]["new_objects"])


def pipeline(results: Results, place: Path, settings: Settings) -> None:
    """Trivial stages, stages that only sleep, and many stages of which none has to run."""
    kinds: tuple[type[Shell] | type[Stages], ...] = (Shell, Stages, DvcStages)
    programs = {Shell: ("sh",), Stages: settings.programs[Mlgit]}
    programs |= {DvcStages: settings.programs[Dvc]} if Dvc in settings.programs else {}
    settings = dataclasses.replace(settings, programs=programs)
    many = "pipeline, large"
    results.titles["pipeline"] = f"{settings.stages} stages of one echo, {settings.rounds} rounds"
    results.files["pipeline"] = settings.stages
    results.titles["pipeline, sleeping"] = f"{NAPS} stages that sleep {NAP} s, two at a time; dvc: one at a time"
    results.titles[many] = f"{settings.many_stages:,} stages of one echo"
    for turn in range(-1, settings.rounds):
        into = results if turn >= 0 else Results()
        settings.say(f"pipeline: round {turn + 1} of {settings.rounds}")
        tools = settings.tools(kinds, place / f"round{turn}", place)
        for tool in tools:
            tool.create()
            tool.write(settings.stages if turn >= 0 else 3)
        _in_turn(into, "pipeline", steps.PIPELINE_STEPS, tools, turn)
    sleepers = settings.tools(kinds, place / "sleeping", place)
    for tool in sleepers:
        tool.create()
        tool.write_naps()
    _in_turn(results, "pipeline, sleeping", (steps.NAPS,), sleepers, 0)
    settings.say(f"{many}: {settings.many_stages:,} stages")
    (alone,) = settings.tools((Stages,), place / "large", place)
    alone.create()
    alone.write(settings.many_stages)
    for step in (steps.FIRST_RUN, *[steps.NOTHING_TO_RUN] * settings.rounds):
        steps.take(results, many, step, alone)


def ci(results: Results, place: Path, settings: Settings) -> None:
    """What runs on every commit and pull request, on small and large repositories, with many gates and predictions."""
    programs: dict[type[Tool], tuple[str, ...]] = {GitAlone: ("git",), Judged: settings.programs[Mlgit]}
    programs |= {DvcJudged: settings.programs[Dvc]} if Dvc in settings.programs else {}
    settings = dataclasses.replace(settings, programs=programs)
    tracked = Project(tracked=True)
    for number, (workload, shape, project, title) in enumerate(
        (
            ("ci, small", TINY, tracked, f"{TINY}, tracked"),
            ("ci, tracked", settings.small, tracked, f"{settings.small}, tracked"),
            ("ci, in Git", settings.small, Project(), f"{settings.small}, in Git"),
            ("ci, gates", TINY, Project(gates=settings.gates), f"{settings.gates} gates"),
            ("ci, predictions", TINY, Project(examples=settings.examples), f"{settings.examples:,} predictions"),
        )
    ):
        settings.say(f"{workload}: {title}")
        results.titles[workload] = f"{title}, {settings.rounds} rounds"
        folder = place / str(number)
        make_tree(folder / "source", shape)
        tools = settings.tools(tuple(programs), folder, folder / "source")
        for tool in tools:
            assert isinstance(tool, Reviewed)
            tool.create()
            tool.write(project)
        for turn in range(-1, settings.rounds):
            _in_turn(results if turn >= 0 else Results(), workload, steps.CI_STEPS[workload], tools, turn)


def _in_turn(results: Results, workload: str, taken: Sequence[Step], tools: Sequence[Tool], turn: int) -> None:
    for number, step in enumerate(taken):
        for tool in steps.rotated(tools, turn + number):
            steps.take(results, workload, step, tool)


def _rehearse(place: Path, settings: Settings, kinds: Sequence[type[Tool]], taken: Sequence[Step]) -> None:
    """One round of tiny data, not counted."""
    folder = place / "rehearsal"
    source = folder / "source"
    make_tree(source, TINY)
    tools = settings.tools(kinds, folder, source)
    for tool in tools:
        tool.create()
        if taken is steps.SCALE_STEPS:
            tool.bring()
    for step in taken:
        for tool in tools:
            steps.take(Results(), "rehearsal", step, tool)


WORKLOADS: dict[str, Callable[[Results, Path, Settings], None]] = {
    "start-up": start_up,
    "small": small,
    "versions": versions,
    "pipeline": pipeline,
    "ci": ci,
    "large": large,
    "scale": scale,
    "flat": flat,
}
USUAL = ("start-up", "small", "versions", "pipeline", "ci", "large")
