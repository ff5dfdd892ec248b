"""The composite action: its own scripts, run as GitHub runs them, on a clone made as actions/checkout makes it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import mlgit as package
from mlgit.repo import Repo

SOURCE = Path(package.__file__).parent.parent
ACTION = yaml.safe_load((SOURCE / "action.yml").read_text())
WORKFLOWS = sorted([*(SOURCE / ".github/workflows").glob("*.yml"), *(SOURCE / "docs/workflows").glob("*.yml")])
STAGES = """\
stages:
  train:
    cmd: "true"
    params: [rate]
    metrics:
      - metrics.json: {cache: false}
gates:
  - {metric: 'metrics.json:accuracy', direction: higher, max_drop_abs: 0.01}
"""

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="composite actions need bash")


@dataclass
class Ran:
    code: int
    log: str
    summary: str
    outputs: dict[str, str]


class Runner:
    """As much of a GitHub runner as the action needs: expressions of inputs, step environments, command files."""

    def __init__(self, folder: Path, workspace: Path) -> None:
        self.folder = folder
        self.workspace = workspace
        folder.mkdir()
        (folder / "bin").mkdir()
        program = folder / "bin/mlgit"
        program.write_text(f"#!{sys.executable}\nfrom mlgit.__main__ import main\nmain()\n")
        program.chmod(0o755)
        self.files = {name: folder / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        self.payload = folder / "event.json"

    def run(self, event: dict[str, Any], variables: dict[str, str], **inputs: str) -> Ran:
        for file in self.files.values():
            file.write_text("")
        self.payload.write_text(json.dumps(event))
        given = {name: str(spec.get("default", "")) for name, spec in ACTION["inputs"].items()}
        given |= {"version": "installed"} | {name.replace("_", "-"): value for name, value in inputs.items()}
        code, log = 0, ""
        for step in ACTION["runs"]["steps"]:
            if self._skips(step.get("if", ""), given):
                continue
            assert "run" in step, f"{step['name']} uses another action"
            done = self._step(step, given, variables)
            code, log = done.returncode, log + done.stdout + done.stderr
            if code:
                break
        outputs = dict(line.split("=", 1) for line in self.files["GITHUB_OUTPUT"].read_text().splitlines())
        return Ran(code, log, self.files["GITHUB_STEP_SUMMARY"].read_text(), outputs)

    def _step(
        self, step: dict[str, Any], inputs: dict[str, str], variables: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        script = self.folder / "step.sh"
        script.write_text(step["run"])
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        environment = {
            **os.environ,
            **{name: str(file) for name, file in self.files.items()},
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_PATH": str(self.payload),
            "RUNNER_TEMP": str(self.folder),
            "PATH": path,
            "PYTHONPATH": str(SOURCE),
            **variables,
            **{name: self._expand(value, inputs) for name, value in step.get("env", {}).items()},
        }
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=self.workspace / self._expand(step.get("working-directory", "."), inputs),
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    @staticmethod
    def _expand(text: str, inputs: dict[str, str]) -> str:
        known = {f"inputs.{name}": value for name, value in inputs.items()} | {"github.action_path": str(SOURCE)}
        return re.sub(r"\$\{\{ *([\w.-]+) *\}\}", lambda match: known[match[1]], text)

    @staticmethod
    def _skips(condition: str, inputs: dict[str, str]) -> bool:
        if not condition:
            return False
        name, sign, value = re.fullmatch(r"inputs\.([\w-]+) (==|!=) '(.*)'", condition).groups()
        return (inputs[name] == value) != (sign == "==")


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", "change")


@dataclass
class Pull:
    """A pull request at GitHub: the clone of its trial merge, one commit deep, and the event."""

    runner: Runner
    event: dict[str, Any]
    variables: dict[str, str]

    def run(self, **inputs: str) -> Ran:
        return self.runner.run(self.event, self.variables, **inputs)


@pytest.fixture
def pull(repo: Repo, tmp_path: Path):
    def make(files: dict[str, str], base: dict[str, str] | None = None) -> Pull:
        start = {"mlgit.yaml": STAGES, "params.yaml": "rate: 1\n", "metrics.json": '{"accuracy": 0.90}'}
        write(repo.root, start | (base or {}))
        git(repo.root, "checkout", "-q", "-b", "topic")
        write(repo.root, files)
        head = git(repo.root, "rev-parse", "HEAD")
        git(repo.root, "checkout", "-q", "main")
        write(repo.root, {"later.txt": "main moved on\n"})
        sha = git(repo.root, "rev-parse", "HEAD")
        git(repo.root, "checkout", "-q", "--detach")
        git(repo.root, "merge", "-q", "--no-ff", "-m", "trial", "topic")
        git(repo.root, "update-ref", "refs/pull/1/merge", "HEAD")
        git(repo.root, "checkout", "-q", "main")
        clone = tmp_path / "clone"
        clone.mkdir()
        git(clone, "init", "-q")
        git(clone, "remote", "add", "origin", repo.root.as_uri())
        spec = "+refs/pull/1/merge:refs/remotes/pull/1/merge"
        git(clone, "fetch", "-q", "--no-tags", "--depth=1", "origin", spec)
        git(clone, "checkout", "-q", "--detach", "refs/remotes/pull/1/merge")
        event = {"pull_request": {"number": 1, "base": {"ref": "main", "sha": sha}, "head": {"sha": head}}}
        variables = {"GITHUB_EVENT_NAME": "pull_request", "GITHUB_BASE_REF": "main"}
        return Pull(Runner(tmp_path / "runner", clone), event, variables)

    return make


def test_a_good_pull_request_passes_and_the_summary_shows_it(pull) -> None:
    ran = pull({"metrics.json": '{"accuracy": 0.93}', "params.yaml": "rate: 2\n"}).run()
    assert ran.code == 0, ran.log
    assert ran.summary.startswith("## mlgit: ✅ passed")
    assert "later.txt" not in ran.summary
    assert (ran.outputs["verdict"], ran.outputs["exit-code"]) == ("pass", "0")
    report = json.loads(Path(ran.outputs["report"]).read_text())
    assert (report["kind"], report["metrics"][0]["head"]) == ("ci", 0.93)
    assert report["params"][0]["mark"] == "changed"
    assert report["stages"][0]["why"] == "has no entry in the lock"


def test_a_bad_one_ends_with_the_code_of_the_gate(pull) -> None:
    ran = pull({"metrics.json": '{"accuracy": 0.80}'}).run()
    assert ran.code == 1
    assert ran.summary.startswith("## mlgit: ❌ failed")
    assert "max_drop_abs 0.01" in ran.summary
    assert (ran.outputs["verdict"], ran.outputs["exit-code"]) == ("fail", "1")
    assert Path(ran.outputs["report"]).is_file()


def test_loosening_the_gate_does_not_help_unless_it_is_accepted(pull) -> None:
    made = pull({"metrics.json": '{"accuracy": 0.80}', "mlgit.yaml": STAGES.replace("0.01", "0.50")})
    ran = made.run()
    assert ran.code == 1
    assert "takes out or edits gates of the base" in ran.summary
    assert made.run(args="--accept-gate-change --md").code == 0


def test_a_base_that_is_not_there_cannot_be_evaluated(pull) -> None:
    made = pull({})
    git(made.runner.workspace, "remote", "set-url", "origin", "/nowhere")
    ran = made.run()
    assert ran.code == 19
    assert "::warning::the clone is shallow" in ran.log
    assert "could not be evaluated" in ran.summary
    assert "fetch-depth: 0" in ran.summary
    assert ran.outputs["verdict"] == "not-evaluable"


def test_a_broken_file_is_neither_yes_nor_no(pull) -> None:
    ran = pull({"mlgit.yaml": "stages: [\n"}).run()
    assert ran.code == 10
    assert ran.outputs == {"verdict": "error", "exit-code": "10"}
    assert "the report broke (exit 10)" in ran.summary


def test_inputs_are_data_and_never_script(pull, tmp_path: Path) -> None:
    made = pull({})
    hostile = f"$(touch {tmp_path}/owned)`touch {tmp_path}/owned`;touch {tmp_path}/owned"
    for name in ("base", "head"):
        assert made.run(**{name: hostile}).code == 2
    assert made.run(args=hostile).code == 2
    assert not (tmp_path / "owned").exists()


def test_hostile_names_reach_neither_the_runner_nor_the_page(pull) -> None:
    name = "::add-mask::x\n::error::y <img src=x> @everyone"
    ran = pull({"metrics.json": json.dumps({"accuracy": 0.9, name: 1})}).run()
    assert ran.code == 0, ran.log
    token = re.search(r"^::stop-commands::([0-9a-f]{32})$", ran.log, re.MULTILINE)[1]
    before, _, after = ran.log.partition(f"::stop-commands::{token}\n")
    printed, end, rest = after.partition(f"\n::{token}::\n")
    assert end
    assert "add-mask" in printed
    assert "add-mask" not in before + rest
    assert "<img" not in ran.summary
    assert "@everyone" not in ran.summary


def test_base_and_head_can_be_named(pull) -> None:
    made = pull({"metrics.json": '{"accuracy": 0.80}'})
    assert made.run(base="HEAD", head="HEAD").code == 0


def test_data_is_pulled_on_demand(repo: Repo, pull, tmp_path: Path) -> None:
    def mlgit(*words: str) -> None:
        subprocess.run([sys.executable, "-m", "mlgit", *words], cwd=repo.root, check=True, capture_output=True)

    (repo.root / "data.txt").write_text("one")
    mlgit("remote", "add", "-d", "store", str(tmp_path / "store"))
    mlgit("add", "data.txt")
    mlgit("push")
    made = pull({})
    assert made.run(pull="true", remote="store").code == 0
    assert (made.runner.workspace / "data.txt").read_text() == "one"


def test_the_install_step_names_what_was_asked_for(pull, tmp_path: Path) -> None:
    """Only the choice is looked at: `python3` is replaced by a script that says what it was called with."""
    made = pull({})
    fake = made.runner.folder / "bin/python3"
    fake.write_text('#!/bin/sh\nmkdir -p "$3/bin" && printf \'#!/bin/sh\\necho "pip: $*"\\n\' >"$3/bin/python"\n')
    fake.write_text(fake.read_text() + 'chmod +x "$3/bin/python"\n')
    fake.chmod(0o755)
    for inputs, wanted in {
        ("0.1.0", "s3"): "mlgit[s3]==0.1.0",
        ("0.1.0", ""): "mlgit==0.1.0",
        ("", "s3,plots"): f"{SOURCE}[s3,plots]",
    }.items():
        assert f"-- {wanted}\n" in made.run(version=inputs[0], extras=inputs[1]).log


# -- what the files say ----------------------------------------------------------------------------


def test_every_script_has_a_shell_and_no_expression() -> None:
    for step in ACTION["runs"]["steps"]:
        if "run" in step:
            assert step["shell"] == "bash"
            assert "${{" not in step["run"]


@pytest.mark.parametrize("file", [SOURCE / "action.yml", *WORKFLOWS], ids=lambda file: file.name)
def test_actions_of_others_are_pinned_to_full_commits(file: Path) -> None:
    for used in re.findall(r"uses: (\S+)", file.read_text()):
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", used), used


def test_every_input_and_output_is_used_and_documented() -> None:
    text = (SOURCE / "action.yml").read_text()
    documentation = (SOURCE / "docs/ci.md").read_text()
    for name, spec in ACTION["inputs"].items():
        assert spec["description"]
        assert re.search(rf"inputs\.{name}\b", text)
        assert f"`{name}`" in documentation
    for name in ACTION["outputs"]:
        assert f"`{name}`" in documentation


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_workflows_ask_for_reading_only(file: Path) -> None:
    assert yaml.safe_load(file.read_text())["permissions"] == {"contents": "read"}


def test_the_files_are_what_github_takes() -> None:
    pytest.importorskip("check_jsonschema")
    for schema, files in {"actions": [SOURCE / "action.yml"], "workflows": WORKFLOWS}.items():
        command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.github-{schema}", *files]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
