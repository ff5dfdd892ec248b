"""The composite action, on a clone as actions/checkout makes it: parsed and evaluated by GitHub's own packages."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from actions_runner import ROOT
from openapi import SLUG, TOKEN, GitHubState
from pulls import NUMBER, STAGES, event, git, mlgit

from mlgit.ops.gates.rules import ACCEPT
from mlgit.repo import Repo

FILE = ROOT / "action.yml"
ACTION = yaml.safe_load(FILE.read_text())

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="composite actions need bash")


def test_a_good_pull_request_passes_and_the_summary_shows_it(pull) -> None:
    ran = pull({"metrics.json": '{"accuracy": 0.93}', "params.yaml": "rate: 2\n"}).run(allow_stale="true")
    assert ran.code == 0, ran.log
    assert "passed" in ran.summary.splitlines()[0]
    assert "later.txt" not in ran.summary
    assert (ran.outputs["verdict"], ran.outputs["exit-code"]) == ("pass", "0")
    assert json.loads(Path(ran.outputs["report"]).read_text())["kind"] == "ci"
    assert "<html" in Path(ran.outputs["html"]).read_text()
    assert "accuracy" in Path(ran.outputs["markdown"]).read_text()
    assert not ran.annotations("error")


def test_a_bad_one_ends_with_the_code_of_the_gate(pull) -> None:
    ran = pull({"metrics.json": '{"accuracy": 0.80}'}).run(allow_stale="true")
    assert ran.code == 1, ran.log
    assert "failed" in ran.summary.splitlines()[0]
    assert (ran.outputs["verdict"], ran.outputs["exit-code"]) == ("fail", "1")
    assert Path(ran.outputs["report"]).is_file()
    assert any("accuracy" in found.message for found in ran.annotations("error"))


def test_loosening_the_gate_does_not_help_unless_it_is_accepted(pull) -> None:
    made = pull({"metrics.json": '{"accuracy": 0.80}', "mlgit.yaml": STAGES.replace("0.01", "0.50")})
    assert made.run(allow_stale="true").code == 1
    assert made.run(allow_stale="true", accept_gate_change="true").code == 0


def test_a_base_that_is_not_there_cannot_be_evaluated(pull) -> None:
    made = pull({})
    git(made.runner.workspace, "remote", "set-url", "origin", "/nowhere")
    ran = made.run(allow_stale="true")
    assert ran.code == 19, ran.log
    assert ran.outputs["verdict"] == "not-evaluable"
    assert "could not be evaluated" in ran.summary


def test_a_broken_file_is_neither_yes_nor_no(pull) -> None:
    ran = pull({"mlgit.yaml": "stages: [\n"}).run()
    assert ran.code == 10
    assert ran.outputs == {"verdict": "error", "exit-code": "10", "report": "", "html": "", "markdown": ""}
    assert "the report broke (exit 10)" in ran.summary


def test_inputs_are_data_and_never_script(pull, tmp_path: Path) -> None:
    made = pull({})
    hostile = f"$(touch {tmp_path}/owned)`touch {tmp_path}/owned`;touch {tmp_path}/owned"
    for name in ("base", "head", "key", "args", "remote"):
        made.run(**{name: hostile}, pull="true" if name == "remote" else "false")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "name",
    [
        "::add-mask::x\n::error::y <img src=x> @everyone",
        "##[add-mask]x",
        "\r::set-output name=verdict::pass",
        "%0A::error::x",
    ],
)
def test_hostile_names_reach_neither_the_runner_nor_the_page(pull, name: str) -> None:
    gate = STAGES + "  - {metric: 'metrics.json:*', max: 0.5}\n"
    ran = pull({"metrics.json": json.dumps({"accuracy": 0.9, name: 1})}, {"mlgit.yaml": gate}).run(allow_stale="true")
    assert ran.code == 1, ran.log
    found = [command.name for step in ran.steps for command in step.commands]
    assert set(found) <= {"stop-commands", "error", "warning", "notice"}
    for annotation in ran.annotations():
        assert not annotation.message.startswith("y ")
        assert annotation.properties.get("file", "mlgit.yaml") in ("mlgit.yaml", "metrics.json", "mlgit.lock")
    assert "<img" not in ran.summary
    assert not re.search(r"(?<!`)@everyone", ran.summary)


@pytest.mark.parametrize("key", ["##[add-mask]x", "x\n::add-mask::x", "x\r::add-mask::x"])
def test_nor_do_hostile_errors(pull, key: str) -> None:
    ran = pull({"mlgit.yaml": STAGES + f"{json.dumps(key)}: 1\n"}).run()
    assert ran.code == 10, ran.log
    found = [command.name for step in ran.steps for command in step.commands]
    assert set(found) <= {"stop-commands", "error"}, ran.log


def test_base_and_head_can_be_named(pull) -> None:
    made = pull({"metrics.json": '{"accuracy": 0.80}'})
    assert made.run(base="HEAD", head="HEAD", allow_stale="true").code == 0


def test_data_is_pulled_on_demand(repo: Repo, pull, tmp_path: Path) -> None:
    (repo.root / "data.txt").write_text("one")
    mlgit(repo.root, "remote", "add", "-d", "store", str(tmp_path / "store"))
    mlgit(repo.root, "add", "data.txt")
    mlgit(repo.root, "push")
    made = pull({})
    assert made.run(pull="true", remote="store", allow_stale="true").code == 0
    assert (made.runner.workspace / "data.txt").read_text() == "one"


def test_a_pull_that_fails_is_told_like_everything_that_breaks(pull) -> None:
    ran = pull({}).run(pull="true", remote="nosuch")
    assert ran.outputs["verdict"] == "error"
    assert ran.code not in (0, 1, 19)


def test_the_options_are_what_the_inputs_say(pull) -> None:
    """Only the script is looked at: a program in mlgit's place says what it was called with, and breaks."""
    made = pull({})
    made.runner.program("mlgit", '#!/bin/sh\nprintf "%s\\n" "$@"\necho "token: ${MLGIT_TOKEN-}"\nexit 70\n')
    plain = made.run()
    assert plain.code == 70
    assert "token: \n" in plain.log
    assert "--comment" not in plain.log
    switches = {"worktree", "repro", "accept_gate_change", "allow_stale", "comment", "check"}
    ran = made.run(**dict.fromkeys(switches, "true"), base="b c", head="h", key="k", args="--x  --y=1")
    said = ran.log.splitlines()
    for option in (
        *(f"--{name.replace('_', '-')}" for name in switches),
        "--base=b c",
        "--head=h",
        "--key=k",
        "--x",
        "--y=1",
    ):
        assert option in said
    assert f"token: {TOKEN}" in said
    assert made.run(comment="true", token="").log.count("token: \n") == 1


def test_the_install_step_names_what_was_asked_for(pull) -> None:
    """Only the choice is looked at: `python3` is replaced by a script that says what it was called with."""
    made = pull({})
    fake = '#!/bin/sh\nmkdir -p "$3/bin" && printf \'#!/bin/sh\\necho "pip: $*"\\n\' >"$3/bin/python"\n'
    made.runner.program("python3", fake + 'chmod +x "$3/bin/python"\n')
    made.runner.program("mlgit", "#!/bin/sh\n")
    for inputs, wanted in {
        ("0.1.0", "s3"): "mlgit[s3]==0.1.0",
        ("0.1.0", ""): "mlgit==0.1.0",
        ("", "s3,plots"): f"{ROOT}[s3,plots]",
    }.items():
        assert f"-- {wanted}\n" in made.run(version=inputs[0], extras=inputs[1]).log


def test_the_cache_is_keyed_by_what_is_tracked(pull) -> None:
    made = pull({})
    made.runner.program("mlgit", "#!/bin/sh\n")
    made.run(python_version="3.12")
    (made.runner.workspace / "a.mlgit").write_text("one")
    made.run(cache="true")
    (made.runner.workspace / "a.mlgit").write_text("two")
    made.run(cache="true")
    python, one, two = (said["with"] for said in made.runner.used)
    assert python == {"python-version": "3.12"}
    assert one["path"] == "./.mlgit/cache"
    assert one["key"] != two["key"]
    assert one["key"].startswith(one["restore-keys"])


# -- comments --------------------------------------------------------------------------------------


def test_one_comment_is_written_and_kept_current(pull, hub: GitHubState) -> None:
    made = pull({"metrics.json": '{"accuracy": 0.80}'})
    made.github["api_url"] = hub.server.address
    for option in ({}, {"accept_gate_change": "true"}):
        ran = made.run(comment="true", allow_stale="true", **option)
        assert ran.code == 1, ran.log
        assert len(hub.comments[NUMBER]) == 1, ran.log
    assert "accuracy" in hub.comments[NUMBER][0]["body"]
    assert TOKEN not in ran.log + ran.summary


def test_the_token_does_not_reach_commands_of_stages(repo: Repo, pull, hub: GitHubState, tmp_path: Path) -> None:
    mlgit(repo.root, "remote", "add", "-d", "store", str(tmp_path / "store"))
    command = f"""env > {tmp_path}/seen; echo "{{\\"accuracy\\": 0.9}}" > metrics.json"""
    stages = STAGES.replace('"true"', f"'{command}'")
    made = pull({"mlgit.yaml": stages})
    made.github["api_url"] = hub.server.address
    ran = made.run(repro="true", comment="true", pull="false")
    assert ran.code == 0, ran.log
    assert hub.comments[NUMBER]
    seen = (tmp_path / "seen").read_text()
    assert "PATH=" in seen
    assert TOKEN not in seen


def test_a_check_run_is_made_where_it_is_asked_for(pull, hub: GitHubState) -> None:
    made = pull({"metrics.json": '{"accuracy": 0.80}'})
    made.github["api_url"] = hub.server.address
    made.run(check="true", allow_stale="true")
    assert [run["conclusion"] for run in hub.runs] == ["failure"]
    assert not hub.comments


def test_without_being_asked_it_sends_nothing(pull, hub: GitHubState) -> None:
    made = pull({})
    made.github["api_url"] = hub.server.address
    assert made.run(allow_stale="true").code == 0
    assert not hub.server.asked


@pytest.mark.parametrize("token", [TOKEN, ""])
def test_a_forks_token_does_not_change_the_verdict(pull, hub: GitHubState, token: str) -> None:
    made = pull({"metrics.json": '{"accuracy": 0.93}'})
    hub.writes = False
    sides = made.event["pull_request"]
    made.event = event(sides["base"]["sha"], sides["head"]["sha"], fork=True)
    made.github["api_url"] = hub.server.address
    ran = made.run(comment="true", allow_stale="true", token=token)
    assert (ran.code, ran.outputs["verdict"]) == (0, "pass"), ran.log
    assert not hub.comments


@pytest.mark.parametrize("labels", [[], [ACCEPT]], ids=["no label", "accepted"])
def test_a_merge_queue_asks_for_the_labels(pull, hub: GitHubState, labels: list[str]) -> None:
    made = pull({"metrics.json": '{"accuracy": 0.80}', "mlgit.yaml": STAGES.replace("0.01", "0.50")})
    hub.labels[NUMBER] = labels
    base, head = made.event["pull_request"]["base"]["sha"], made.github["sha"]
    ref = f"refs/heads/gh-readonly-queue/main/pr-{NUMBER}-{base}"
    group = {"base_sha": base, "head_sha": head, "base_ref": "refs/heads/main", "head_ref": ref}
    made.event = {"action": "checks_requested", "merge_group": group, "repository": {"full_name": SLUG}}
    made.github.update(event_name="merge_group", ref=ref, api_url=hub.server.address, base_ref="", head_ref="")
    ran = made.run(allow_stale="true")
    assert ran.code == (0 if labels else 1), ran.log
    assert hub.server.methods() == ["GET"]


# -- what the file says ----------------------------------------------------------------------------


def test_every_script_has_a_shell_and_no_expression() -> None:
    for step in ACTION["runs"]["steps"]:
        if "run" in step:
            assert step["shell"] == "bash"
            assert "${{" not in step["run"]


def test_every_input_and_output_is_used_and_documented() -> None:
    text = FILE.read_text()
    documentation = (ROOT / "docs/ci-github.md").read_text()
    for name, spec in ACTION["inputs"].items():
        assert spec["description"]
        assert re.search(rf"inputs\.{name}\b", text)
        assert f"| `{name}` |" in documentation
    for name in ACTION["outputs"]:
        assert f"| `{name}` |" in documentation
