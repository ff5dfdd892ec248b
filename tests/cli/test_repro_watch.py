"""What is told at the end of a run, from the events alone: time saved, warnings again, stages that were tried again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from mlgit.cli.session import Session
from mlgit.cli.watch import Watcher
from mlgit.model.relpath import RelPath
from mlgit.pipeline import events
from mlgit.pipeline.plan import Options
from mlgit.repo import Repo

LOGS = RelPath(".mlgit/logs/1")
RUN: Sequence[events.Event] = (
    events.StageSkipped("same", "nothing changed"),
    events.StageRestored("back", "it ran like this before", 75.0),
    events.StageStarted("train", "python train.py\n", "forced"),
    events.OutputLine("train", b"ep"),
    events.OutputLine("train", b"och 1\nKilled"),
    events.StageRetried("train", "stage 'train' was killed by signal 9", 2),
    events.OutputLine("train", b"epoch 1\n"),
    events.StageWarned("train", "reads \x1b[2Ja.csv, which it does not declare"),
    events.StageFinished("train", 4.0),
    events.Outcome(ran=("train",), restored=("back",), seconds=4.2, times={"train": 4.0}, saved=75.0, logs=LOGS),
)


def told(
    repo: Repo,
    capsys: pytest.CaptureFixture[str],
    run: Sequence[events.Event],
    *,
    as_json: bool = False,
    **session: Any,
) -> tuple[str, str]:
    capsys.readouterr()
    watcher = Watcher(Session(cwd=repo.root, environment={}, **session), Options(jobs=2), total=len(run))
    for event in run:
        watcher(event)
    watcher.conclude(as_json)
    out, err = capsys.readouterr()
    return out, err


def test_the_story_of_a_run(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(repo, capsys, RUN)[1].splitlines() == [
        "same: skipped, nothing changed",
        "back: restored, it ran like this before",
        "train: running (forced)",
        "  $ python train.py",
        "train | epoch 1",
        "train | Killed",
        "train: stage 'train' was killed by signal 9; trying again, run 2",
        "train | epoch 1",
        "train: warning: reads \\x1b[2Ja.csv, which it does not declare",
        "train: done in 4.0 s",
        "1 ran, 1 restored in 4.2 s; the cache saved 1 min 15 s",
        "warning: train: reads \\x1b[2Ja.csv, which it does not declare",
        "logs: .mlgit/logs/1",
    ]
    assert "  train" in told(repo, capsys, RUN, verbose=True)[1]


def test_the_quiet_are_told_nothing_and_json_has_it_all(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = told(repo, capsys, RUN, as_json=True, quiet=True)
    assert err == ""
    value = json.loads(out)
    assert value["warnings"] == [{"stage": "train", "message": "reads \x1b[2Ja.csv, which it does not declare"}]
    assert (value["times"], value["saved"], value["logs"]) == ({"train": 4.0}, 75.0, LOGS)


def test_the_last_lines_of_many_failures_are_not_all_shown(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"s{number}" for number in range(8)]
    run: list[events.Event] = [events.StageStarted(name, "x", "forced") for name in names]
    run += [events.OutputLine(name, f"{name} is \x1b[2Jbroken".encode()) for name in names]
    run += [events.StageFailed(name, "failed") for name in names]
    _, err = told(repo, capsys, [*run, events.Outcome(failed=dict.fromkeys(names, "failed"))], quiet=True)
    assert err.count("the last lines of ") == 5
    assert "  | s4 is broken\nand 3 more failed\n" in err


def test_a_run_that_never_began_has_no_end(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(repo, capsys, [], as_json=True) == ("", "")
