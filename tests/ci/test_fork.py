"""A fork's pull request, whole: the unprivileged workflow, its artifact, and the workflow that comments, with mlgit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from actions_runner import Evaluator, Run, Runner
from openapi import SLUG, TOKEN, GitHubState
from pulls import NUMBER, Pull, event, github_context, mlgit_in

from mlgit.ops.ci.workflows import apply, plan

HEAD = {"full_name": "you/flowers", "owner": {"login": "you"}}


class Fork:
    """Both workflows as `ci init` writes them, and what is handed from one to the other."""

    def __init__(self, made: Pull, folder: Path, evaluator: Evaluator, hub: GitHubState) -> None:
        sides = made.event["pull_request"]
        self.sha = sides["head"]["sha"]
        self.made, self.folder, self.evaluator, self.hub = made, folder, evaluator, hub
        made.event = event(sides["base"]["sha"], self.sha, fork=True)
        made.github.update(api_url=hub.server.address, token="")
        hub.pull(NUMBER, self.sha, "you:topic")
        hub.pull(8, self.sha, "you:topic", state="closed")
        apply(folder, plan(folder, "github", "mlgit==0.1.0"))
        self.workflows = folder / ".github/workflows"
        self.artifact = folder / "artifact"

    def judge(self) -> Run:
        def upload(given: dict[str, str]) -> dict[str, str]:
            shutil.copytree(given["path"], self.artifact)
            return {}

        self.made.runner.uses["actions/upload-artifact"] = upload
        run = self.made.runner.workflow(self.workflows / "mlgit.yml", "report", self.made.event, **self.made.github)
        assert run is not None
        return run

    def comment(self, name: str = "first") -> Run:
        """The other workflow, on another machine, in an empty folder."""
        empty = self.folder / f"empty-{name}"
        empty.mkdir()
        runner = Runner(self.evaluator, self.folder / f"privileged-{name}", empty)
        mlgit_in(runner)

        def download(given: dict[str, str]) -> dict[str, str]:
            shutil.copytree(self.artifact, given["path"])
            return {}

        runner.uses["actions/download-artifact"] = download
        ended = {
            "event": "pull_request",
            "conclusion": "failure",
            "id": 77,
            "pull_requests": [],
            "head_branch": "topic",
        }
        own: dict[str, Any] = {"full_name": SLUG}
        payload = {
            "action": "completed",
            "workflow_run": {**ended, "head_sha": self.sha, "head_repository": HEAD, "repository": own},
            "repository": own,
        }
        context = github_context(self.sha) | {"event_name": "workflow_run", "api_url": self.hub.server.address}
        run = runner.workflow(self.workflows / "mlgit-comment.yml", "comment", payload, **context)
        assert run is not None
        return run


@pytest.fixture
def fork(pull, tmp_path: Path, evaluator: Evaluator, hub: GitHubState) -> Fork:
    return Fork(pull({"metrics.json": '{"accuracy": 0.80}'}), tmp_path, evaluator, hub)


def test_the_report_reaches_the_pull_request(fork: Fork, hub: GitHubState) -> None:
    judged = fork.judge()
    assert judged.code == 1, judged.log
    assert sorted(file.name for file in fork.artifact.iterdir()) == ["report.html", "report.json"]
    assert any("accuracy" in found.message for found in judged.annotations("error")), judged.log
    assert not hub.server.asked
    for name in ("first", "again"):
        told = fork.comment(name)
        assert told.code == 0, told.log
        assert TOKEN not in told.log
    (comment,) = hub.comments[NUMBER]
    assert "accuracy" in comment["body"]
    assert hub.server.changes() == ["POST"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[" * 100_000,
        "::error::x",
        json.dumps({"version": 1, "kind": "ci", "verdict": "##[add-mask]x\n::add-mask::y"}),
        json.dumps({"\n::error::x": 1}),
    ],
    ids=["empty", "deep", "no JSON", "a command as value", "a command as key"],
)
def test_a_hostile_artifact_does_nothing(fork: Fork, hub: GitHubState, text: str) -> None:
    fork.artifact.mkdir()
    (fork.artifact / "report.json").write_text(text)
    told = fork.comment()
    assert told.code not in (0, 70), told.log
    assert {command.name for step in told.steps for command in step.commands} == {"stop-commands"}
    assert not hub.comments
    assert not hub.server.changes()


def test_a_pull_request_that_moved_on_is_left_alone(fork: Fork, hub: GitHubState) -> None:
    fork.judge()
    hub.pulls[0]["head"]["sha"] = "b" * 40
    told = fork.comment()
    assert told.code == 0, told.log
    assert "no open pull request" in told.log
    assert not hub.comments


def test_a_report_cannot_speak_to_anybody(fork: Fork, hub: GitHubState) -> None:
    fork.judge()
    path = fork.artifact / "report.json"
    path.write_text(path.read_text().replace("accuracy", "@everyone <img src=x> ##[add-mask]x"))
    told = fork.comment()
    assert told.code == 0, told.log
    assert {command.name for step in told.steps for command in step.commands} == {"stop-commands"}
    (comment,) = hub.comments[NUMBER]
    assert "<img" not in comment["body"]
    assert "@everyone" not in comment["body"]
