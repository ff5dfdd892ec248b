"""The steps that workloads are made of, and how tools take turns at them.

Exists because a timing means something only beside another of the same minute: in each round every tool does each step
once, and the order moves on by one from step to step and from round to round, so that no tool is always first.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import methodcaller
from pathlib import Path

from tests.bench.data import change_one
from tests.bench.process import run, settle
from tests.bench.results import Results
from tests.bench.tools import Tool


def _nothing(tool: Tool) -> None:
    """No preparation."""


def _status_once(tool: Tool) -> None:
    """Let the tool look once at files that are new to it."""
    run(tool.status(), tool.env)


def _change(tool: Tool) -> None:
    change_one(tool.data)


@dataclass(frozen=True, slots=True)
class Step:
    """One row of a table.

    Attributes:
        name: the row's name.
        verb: the method of `Tool` that gives the commands.
        prepare: what is done before, untimed; floors need none.
        floors: whether the floors have something to do here.
    """

    name: str
    verb: str
    prepare: Callable[[Tool], None] = _nothing
    floors: bool = False


START = Step("start (--version)", "start", floors=True)
HELP = Step("--help", "help")
TINY = Step("status (tiny repository)", "status")
ADD = Step("add", "add", Tool.bring, floors=True)
STATUS = Step("status (nothing changed)", "status", _status_once, floors=True)
PUSH = Step("push", "push", methodcaller("commit"), floors=True)
PUSH_AGAIN = Step("push (again)", "push")
CHECKOUT = Step("checkout (all missing)", "checkout", methodcaller("put_aside"), floors=True)
CHECKOUT_AGAIN = Step("checkout (nothing to do)", "checkout")
PULL = Step("pull (fresh clone)", "pull", methodcaller("make_clone"), floors=True)
PULL_AGAIN = Step("pull (again)", "pull")
STATUS_ONE = Step("status (1 changed)", "status", _change, floors=True)
ADD_ONE = Step("add (1 changed)", "add", _change)
GC = Step("gc (one old version)", "gc")
FIRST_RUN = Step("repro (first run)", "repro", floors=True)
NOTHING_TO_RUN = Step("repro (nothing changed)", "repro")
RESTORED = Step("repro (all restored)", "repro", methodcaller("lose"))
NAPS = Step("repro (sleeping stages)", "nap", floors=True)
METRICS_DIFF = Step("metrics diff HEAD~1", "metrics_diff", floors=True)
REVIEW = Step("ci", "review", floors=True)
REVIEW_WRITTEN = Step("ci --html --output", "review_written", floors=True)
COMMIT_CODE = Step("pre-commit (no data)", "pre_commit", methodcaller("stage_code"), floors=True)
COMMIT_POINTER = Step("pre-commit (a pointer)", "pre_commit", methodcaller("stage_pointer"), floors=True)
POST_CHECKOUT = Step("post-checkout (none)", "post_checkout", floors=True)
DIFF_DRIVER = Step("diff-driver metrics", "show_metrics", floors=True)
GATES = Step("gate", "gate", floors=True)
RESAMPLES = Step("gate, tested", "resample", floors=True)
# A tool that is given the data where it is, not a copy of it.
ADD_IN_PLACE = Step(ADD.name, "add", floors=True)

SMALL_STEPS = (
    ADD,
    STATUS,
    PUSH,
    PUSH_AGAIN,
    CHECKOUT,
    CHECKOUT_AGAIN,
    PULL,
    PULL_AGAIN,
    STATUS_ONE,
    ADD_ONE,
    GC,
)
SCALE_STEPS = (ADD_IN_PLACE, STATUS, PUSH, CHECKOUT, PULL, STATUS_ONE)
LARGE_STEPS = (ADD, STATUS, PUSH, CHECKOUT, PULL)
LINKED_STEPS = (ADD, CHECKOUT)
PIPELINE_STEPS = (FIRST_RUN, NOTHING_TO_RUN, RESTORED)
COMMIT_STEPS = (METRICS_DIFF, REVIEW, REVIEW_WRITTEN, COMMIT_CODE, POST_CHECKOUT)
CI_STEPS = {
    "ci, small": (*COMMIT_STEPS, COMMIT_POINTER, DIFF_DRIVER),
    "ci, tracked": (*COMMIT_STEPS, COMMIT_POINTER),
    "ci, in Git": COMMIT_STEPS,
    "ci, gates": (GATES,),
    "ci, predictions": (RESAMPLES,),
}


def take(results: Results, workload: str, step: Step, tool: Tool) -> None:
    """Prepare and measure one step of one tool; nothing happens if the tool has no such verb."""
    if tool.floor and not step.floors:
        return
    if not tool.floor:
        step.prepare(tool)
    commands = getattr(tool, step.verb)()
    if commands:
        settle(tool.home, tool.env)
        results.note(workload, step.name, tool.name, run(commands, tool.env))


def interleaved(results: Results, workload: str, steps: Sequence[Step], tools: Sequence[Tool], turn: int) -> None:
    """One round, step by step: all tools do the first, then all do the second."""
    for tool in tools:
        tool.create()
    for number, step in enumerate(steps):
        for tool in rotated(tools, turn + number):
            take(results, workload, step, tool)


def one_by_one(results: Results, workload: str, steps: Sequence[Step], tools: Sequence[Tool], turn: int) -> None:
    """One round, tool by tool, for files so large that those of all tools do not fit at once.

    What a tool leaves is removed after its turn: that frees much space but few inodes.
    """
    results.expect(workload, (step.name for step in steps))
    for tool in rotated(tools, turn):
        tool.create()
        for step in steps:
            take(results, workload, step, tool)
        _remove(tool.home)


def rotated(tools: Sequence[Tool], by: int) -> list[Tool]:
    """The same tools, beginning with another."""
    start = by % len(tools)
    return [*tools[start:], *tools[:start]]


def _remove(home: Path) -> None:
    for path in home.parent.glob(f"{home.name}*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
