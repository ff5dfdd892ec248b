"""Ready workflows: what `ci init` writes, checked by the hosts' schemas, GitHub's parser and zizmor, and run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from actions_runner import ROOT, Evaluator, Runner, StepFailedError
from openapi import SLUG
from pulls import STAGES, git, mlgit_in, write

from mlgit import __version__
from mlgit.errors import InvalidError, RefusedError, UnsafeError
from mlgit.ops.ci.workflows import Host, apply, plan
from mlgit.repo import Repo

HOSTS: tuple[Host, ...] = ("github", "gitlab", "bitbucket")
NEEDED = "mlgit[s3]==0.1.0"
OWN = sorted((ROOT / ".github/workflows").glob("*.yml"))


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A folder with the workflows of every host."""
    for host in HOSTS:
        apply(tmp_path, plan(tmp_path, host, NEEDED, "models"))
    return tmp_path


def github_files(folder: Path) -> list[Path]:
    return sorted((folder / ".github/workflows").glob("*.yml"))


# -- plan and apply --------------------------------------------------------------------------------


@pytest.mark.parametrize("host", HOSTS)
def test_what_is_written_is_not_written_again(tmp_path: Path, host: Host) -> None:
    first = plan(tmp_path, host, NEEDED)
    assert {file.state for file in first.files} == {"new"}
    assert not list(tmp_path.iterdir())
    assert apply(tmp_path, first) == [file.path for file in first.files]
    second = plan(tmp_path, host, NEEDED)
    assert {file.state for file in second.files} == {"same"}
    assert apply(tmp_path, second) == []


@pytest.mark.parametrize(
    ("host", "path"), [("github", ".github/workflows/mlgit.yml"), ("bitbucket", "bitbucket-pipelines.yml")]
)
def test_what_differs_is_somebodys_work(tmp_path: Path, host: Host, path: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text("mine\n")
    made = plan(tmp_path, host, NEEDED)
    with pytest.raises(RefusedError, match=re.escape(path)):
        apply(tmp_path, made)
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == [path.rpartition("/")[2]]
    apply(tmp_path, made, force=True)
    assert (tmp_path / path).read_text() != "mine\n"


def test_a_gitlab_file_of_ones_own_is_kept_and_told_of(tmp_path: Path) -> None:
    entry = tmp_path / ".gitlab-ci.yml"
    entry.write_text("test: {script: [make]}\n")
    made = plan(tmp_path, "gitlab", NEEDED)
    assert any("include" in note for note in made.notes)
    assert apply(tmp_path, made, force=True) == [".gitlab/mlgit.gitlab-ci.yml"]
    assert entry.read_text() == "test: {script: [make]}\n"
    entry.write_text("include: [{local: .gitlab/mlgit.gitlab-ci.yml}]\n")
    assert not any("include" in note for note in plan(tmp_path, "gitlab", NEEDED).notes)


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    top = tmp_path / "top"
    top.mkdir()
    made = plan(top, "github", NEEDED)
    (top / ".github").symlink_to(outside)
    for attempt in (lambda: plan(top, "github", NEEDED), lambda: apply(top, made)):
        with pytest.raises(UnsafeError):
            attempt()
    assert not list(outside.iterdir())


@pytest.mark.parametrize("folder", ['a"; curl x', "a$(x)", "../x\n", "${{ x }}"])
def test_a_folder_never_becomes_script(tmp_path: Path, folder: str) -> None:
    with pytest.raises(InvalidError):
        plan(tmp_path, "github", NEEDED, folder)
    with pytest.raises(InvalidError):
        plan(tmp_path, "github", f"mlgit{folder}")


def test_ci_init_writes_at_the_top_for_the_folder_it_stands_in(git_folder: Path, mlgit) -> None:
    below = git_folder / "models"
    below.mkdir()
    mlgit("init", cwd=below)
    mlgit("remote", "add", "-d", "store", "s3://bucket/store", cwd=below)
    mlgit("ci", "init", "--github", "--dry-run", cwd=below)
    assert not (git_folder / ".github").exists()
    told = mlgit("ci", "init", "--github", cwd=below)
    text = (git_folder / ".github/workflows/mlgit.yml").read_text()
    assert 'working-directory: "models"' in text
    assert f'MLGIT: "mlgit[s3]=={__version__}"' in text
    assert "required check" in told.out + told.err
    mlgit("ci", "init", "--github", cwd=below)
    (git_folder / ".github/workflows/mlgit.yml").write_text("mine\n")
    mlgit("ci", "init", "--github", cwd=below, code=1)
    mlgit("ci", "init", cwd=below, code=2)
    mlgit("ci", "init", "--github", "--gitlab", cwd=below, code=2)


# -- what hosts take -------------------------------------------------------------------------------


def check(kind: str, *files: Path, more: tuple[str, ...] = ()) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{kind}", *more, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_files_are_what_the_hosts_take(written: Path) -> None:
    pytest.importorskip("check_jsonschema")
    check("github-actions", ROOT / "action.yml")
    check("github-workflows", *github_files(written), *OWN)
    fragment = written / ".gitlab/mlgit.gitlab-ci.yml"
    check("gitlab-ci", written / ".gitlab-ci.yml", fragment, more=("--data-transform", "gitlab-ci"))
    check("bitbucket-pipelines", written / "bitbucket-pipelines.yml")


def test_zizmor_finds_nothing(written: Path) -> None:
    zizmor = shutil.which("zizmor", path=str(Path(sys.executable).parent))
    assert zizmor is not None, "zizmor belongs to the dev group"
    files = [ROOT / "action.yml", *OWN, *github_files(written)]
    command = [zizmor, "--offline", "--no-config", "--persona=auditor", "--strict-collection", "--no-progress", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No findings to report" in done.stdout + done.stderr


def test_githubs_own_parser_takes_them(written: Path, evaluator: Evaluator) -> None:
    assert evaluator.open(ROOT / "action.yml", "action")["errors"] == []
    for file in (*github_files(written), *OWN):
        opened = evaluator.open(file, "workflow")
        assert opened["errors"] == [], file
        assert opened["jobs"]


def test_actions_of_others_are_pinned_to_full_commits(written: Path) -> None:
    for file in (ROOT / "action.yml", *OWN, *github_files(written)):
        for line in re.findall(r"uses: (.+)", file.read_text()):
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_only_the_comment_may_write(written: Path) -> None:
    for file in github_files(written):
        said = yaml.safe_load(file.read_text())
        assert said["permissions"] == {}
        (job,) = said["jobs"].values()
        writes = {name for name, access in job["permissions"].items() if access == "write"}
        assert writes == ({"pull-requests"} if file.name == "mlgit-comment.yml" else set())


def test_the_job_that_may_write_checks_nothing_out(written: Path) -> None:
    text = (written / ".github/workflows/mlgit-comment.yml").read_text()
    assert "checkout" not in text.partition("jobs:")[2]
    assert re.findall(r"uses: ([\w./-]+)", text) == ["actions/download-artifact"]
    assert "${{" not in "".join(re.findall(r"run: \|\n((?: {10}.*\n)+)", text))


# -- run -------------------------------------------------------------------------------------------


class Job:
    """A job of a ready workflow, with programs in the place of `python3` and mlgit that only say what they are told."""

    def __init__(self, evaluator: Evaluator, written: Path, tmp: Path, exit_code: int = 0) -> None:
        (written / "models").mkdir()
        self.runner = Runner(evaluator, tmp / "runner", written)
        said = f'echo "mlgit $*"; echo "token: ${{MLGIT_TOKEN-}}"; echo "::error::hostile"; exit {exit_code}'
        program = f"#!/bin/sh\n{said}\n"
        self.runner.program("mlgit", program)
        self.runner.program("python", '#!/bin/sh\necho "python $*"\n')
        made = f"mkdir -p \"$3/bin\"; ln -s '{self.runner.bin}/mlgit' '{self.runner.bin}/python' \"$3/bin\""
        self.runner.program("python3", f"#!/bin/sh\n{made}\n")
        self.folder = written / ".github/workflows"

    def run(self, name: str, job: str, event: dict[str, Any], **github: Any) -> Any:
        return self.runner.workflow(self.folder / name, job, event, **github)


def test_a_pull_request_is_judged_and_the_report_kept(written: Path, evaluator: Evaluator, tmp_path: Path) -> None:
    made = Job(evaluator, written, tmp_path, exit_code=1)
    run = made.run("mlgit.yml", "report", {"pull_request": {"number": 1}}, event_name="pull_request", token="secret")
    assert run.code == 1
    assert f"python -m pip install --quiet --disable-pip-version-check -- {NEEDED}\n" in run.log
    assert f"mlgit ci --output={made.runner.temp}/mlgit-report/report.json" in run.log
    assert "token: secret\n" in run.log
    checkout, upload = made.runner.used
    assert checkout["with"]["persist-credentials"] == "false"
    assert upload["with"]["path"] == f"{made.runner.temp}/mlgit-report/"


WORKFLOW_RUN = {"event": "pull_request", "conclusion": "failure", "id": 9, "head_branch": "x"}


def test_the_comment_is_written_from_the_artifact(written: Path, evaluator: Evaluator, tmp_path: Path) -> None:
    made = Job(evaluator, written, tmp_path)
    run = made.run("mlgit-comment.yml", "comment", {"workflow_run": WORKFLOW_RUN}, token="secret")
    assert run.code == 0
    assert f"mlgit ci comment {made.runner.temp}/mlgit-report/report.json\ntoken: secret\n" in run.log
    assert not run.annotations()
    (download,) = made.runner.used
    assert download["with"]["run-id"] == "9"
    assert download["with"]["path"] == f"{made.runner.temp}/mlgit-report"


def test_without_an_artifact_there_is_nothing_to_say(written: Path, evaluator: Evaluator, tmp_path: Path) -> None:
    made = Job(evaluator, written, tmp_path)

    def absent(_: dict[str, str]) -> dict[str, str]:
        raise StepFailedError

    made.runner.uses["actions/download-artifact"] = absent
    run = made.run("mlgit-comment.yml", "comment", {"workflow_run": WORKFLOW_RUN}, token="secret")
    assert [step.conclusion for step in run.steps] == ["success", "skipped", "skipped"]


@pytest.mark.parametrize("change", [{"event": "merge_group"}, {"conclusion": "cancelled"}])
def test_other_runs_get_no_comment(written: Path, evaluator: Evaluator, tmp_path: Path, change: dict[str, str]) -> None:
    made = Job(evaluator, written, tmp_path)
    assert made.run("mlgit-comment.yml", "comment", {"workflow_run": WORKFLOW_RUN | change}) is None


def test_the_nightly_run_reproduces_and_judges(written: Path, evaluator: Evaluator, tmp_path: Path) -> None:
    made = Job(evaluator, written, tmp_path)
    run = made.run("mlgit-nightly.yml", "repro", {}, event_name="schedule")
    assert run.code == 0
    assert re.findall(r"^mlgit (\w+(?: --worktree)?)", run.log, re.MULTILINE) == ["pull", "repro", "ci --worktree"]
    assert [said["uses"].partition("@")[0] for said in made.runner.used] == [
        *("actions/checkout", "actions/setup-python", "actions/upload-artifact")
    ]


@pytest.mark.parametrize(("measured", "code"), [("0.90", 0), ("0.50", 1)])
def test_a_night_with_mlgit_itself(
    repo: Repo, written: Path, evaluator: Evaluator, tmp_path: Path, measured: str, code: int
) -> None:
    stages = STAGES.replace('cmd: "true"', f"""cmd: 'echo "{{\\"accuracy\\": {measured}}}" > metrics.json'""")
    write(repo.root, {"mlgit.yaml": stages, "params.yaml": "rate: 1\n", "metrics.json": '{"accuracy": 0.90}\n'})
    git(tmp_path, "clone", "-q", repo.root.as_uri(), "clone")
    (tmp_path / "clone/models").symlink_to(".")
    runner = Runner(evaluator, tmp_path / "runner", tmp_path / "clone")
    mlgit_in(runner)
    said = {"event_name": "schedule", "ref": "refs/heads/main", "repository": SLUG}
    run = runner.workflow(written / ".github/workflows/mlgit-nightly.yml", "repro", {}, **said)
    assert run is not None
    assert run.code == code, run.log
    assert git(tmp_path / "clone", "log", "--oneline").count("\n") == 1
    assert (runner.temp / "mlgit-report/report.html").is_file()
