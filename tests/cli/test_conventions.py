"""What all commands have in common: dry runs, staging, quiet, completion, and output that cannot be abused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from mlgit.cli import render
from mlgit.cli.completion import SCRIPTS
from mlgit.cli.main import app
from mlgit.cli.session import Session
from mlgit.model.report import Mark, Report, Row, Table
from mlgit.repo import Repo

Cli = Callable[..., Any]


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def project(repo: Repo, cli: Cli) -> Path:
    """Tracked data, a stage that has run, a remote that has nothing; all committed."""
    root = repo.root
    (root / "data").mkdir()
    (root / "data/a.csv").write_text("1\n")
    (root / "one.csv").write_text("one\n")
    cli("add", "data", "one.csv", cwd=root)
    cli("stage", "add", "-n", "copy", "-d", "one.csv", "-o", "two.csv", "cp one.csv two.csv", cwd=root)
    cli("repro", cwd=root)
    cli("remote", "add", "-d", "store", "../store", cwd=root)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "data")
    return root


def state(root: Path) -> dict[str, bytes]:
    """Every file of the repository and of the remote, but for what mlgit keeps for its own speed."""
    passing = {"lock", "clock", "tmp", "index.db", "repro.lock"}
    return {
        str(path): path.read_bytes()
        for top in (root, root.parent / "store")
        for path in top.rglob("*")
        if path.is_file() and ".git" not in path.parts and not passing & set(path.parts) and "index.db" not in path.name
    }


CHANGING = {
    "add": "add new.csv",
    "checkout": "checkout -f",
    "move": "move one.csv x.csv",
    "remove": "remove --data one.csv",
    "unprotect": "unprotect",
    "gc": "gc -w --grace 0",
    "push": "push",
    "pull": "pull",
    "fetch": "fetch",
    "stage add": "stage add --dry-run -n b -o b.csv x",
    "repro": "repro -f",
    "freeze": "freeze copy",
    "unfreeze": "unfreeze copy",
    "hooks install": "hooks install",
}


@pytest.mark.parametrize("command", list(CHANGING.values()))
def test_a_dry_run_changes_nothing(command: str, project: Path, cli: Cli) -> None:
    (project / "new.csv").write_text("new\n")
    (project / "data/a.csv").write_text("changed\n")
    cli("add", "data", cwd=project)  # what was there before is garbage now
    (project / "data/a.csv").unlink()
    before = state(project)
    said = cli(*command.split(), *["--dry-run"] * ("--dry-run" not in command), cwd=project)
    assert said.out
    assert said.err.endswith("nothing was changed (--dry-run)\n")
    assert state(project) == before
    assert not (project.parent / "store").exists()


def test_every_verb_that_changes_data_has_a_dry_run() -> None:
    root: Any = typer.main.get_command(app)
    for name in CHANGING:
        command = root
        for part in name.split():
            command = command.commands[part]
        assert any("--dry-run" in one.opts for one in command.params), name


def test_a_dry_pull_of_what_is_missing(project: Path, cli: Cli) -> None:
    cli("push", cwd=project)
    shutil.rmtree(project / ".mlgit/cache")
    assert "fetch data from store" in cli("pull", "--dry-run", cwd=project).out
    assert "fetch ../one.csv from store" in cli("fetch", "--dry-run", cwd=project / "data").out
    assert not (project / ".mlgit/cache/packs").exists()


def test_autostage_stages_what_mlgit_wrote(project: Path, cli: Cli) -> None:
    cli("config", "core.autostage", "true", "--local", cwd=project)
    (project / "new.csv").write_text("new\n")

    def staged(*arguments: str) -> set[str]:
        assert "git add" not in cli(*arguments, cwd=project).err
        found = set(git(project, "diff", "--cached", "--name-only", "--no-renames").split())
        git(project, "commit", "-q", "--allow-empty", "-m", "step")
        return found

    assert staged("add", "new.csv") == {"new.csv.mlgit", ".gitignore"}
    assert staged("move", "new.csv", "moved.csv") == {"new.csv.mlgit", "moved.csv.mlgit", ".gitignore"}
    assert staged("remove", "moved.csv") == {"moved.csv.mlgit", ".gitignore"}
    assert staged("stage", "add", "-n", "more", "-o", "more.csv", "echo 1 > more.csv") == {"mlgit.yaml"}
    assert staged("repro") == {"mlgit.lock", ".gitignore"}
    assert staged("freeze", "more") == {"mlgit.yaml"}
    assert staged("config", "core.remote", "x") == {".mlgit/config.yaml"}
    assert staged("remote", "add", "other", "../other") == {".mlgit/config.yaml"}
    assert git(project, "status", "--porcelain").split() == ["??", "moved.csv"]


def test_files_that_are_gone_and_that_git_never_knew_are_not_offered(repo: Repo, cli: Cli) -> None:
    (repo.root / "a.csv").write_text("1\n")
    cli("add", "a.csv", cwd=repo.root)
    assert "git add" not in cli("remove", "a.csv", cwd=repo.root).err


def test_a_target_with_a_slash_is_a_folder(project: Path, cli: Cli) -> None:
    cli("move", "one.csv", "tables/", cwd=project)
    assert (project / "tables/one.csv.mlgit").exists()
    cli("move", "tables/one.csv.mlgit", "back.csv", cwd=project)
    assert (project / "back.csv").read_text() == "one\n"


@pytest.mark.parametrize("command", ["status", "add data", "push", "checkout", "repro"])
def test_quiet_says_nothing_but_results(command: str, project: Path, cli: Cli) -> None:
    assert cli("-q", *command.split(), cwd=project).err == ""


@pytest.mark.parametrize("shell", list(SCRIPTS))
def test_completion_scripts(shell: str, tmp_path: Path, cli: Cli) -> None:
    script = cli("completion", shell, cwd=tmp_path).out
    assert "_MLGIT_COMPLETE" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("mlgit sta", ["status", "stage"]),
        ("mlgit remote ", ["add", "list", "modify", "remove", "default"]),
        ("mlgit status --j", ["--json"]),
        ("mlgit repro c", ["copy"]),
        ("mlgit pull -r ", ["store"]),
        ("mlgit checkout o", ["one.csv"]),
        ("mlgit checkout ", ["data", "one.csv", "two.csv", "copy"]),
    ],
)
def test_completing(words: str, found: list[str], project: Path) -> None:
    assert complete(words, project) == found


def test_completing_outside_a_repository_and_in_a_broken_one(project: Path, tmp_path: Path) -> None:
    assert complete("mlgit checkout ", tmp_path) == []
    (project / "mlgit.yaml").write_text("stages: [")
    assert complete("mlgit repro ", project) == []


def complete(words: str, cwd: Path) -> list[str]:
    at = len(words.split(" ")) - 1
    variables = {"COMP_WORDS": words, "COMP_CWORD": str(at), "_MLGIT_COMPLETE": "complete_bash"}
    done = subprocess.run(
        [sys.executable, "-m", "mlgit"],
        cwd=cwd,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


HOSTILE = "a[/x]\x1b[31m\u202e[bold]b"


@pytest.mark.parametrize("color", [False, True])
def test_text_from_files_is_shown_and_never_obeyed(
    color: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str], repo: Repo
) -> None:
    session = Session(cwd=repo.root, environment={}, color=color)
    table = Table("t", HOSTILE, ("path", "note"), (Row((HOSTILE, 1), Mark.FAIL, HOSTILE), Row(("b\nc", None))))
    render.report(session, Report("x", HOSTILE, (table, table), notes=(HOSTILE,)))
    out = capsys.readouterr().out
    assert out.count("\x1b[31m") == 2 * color
    assert "\u202e" not in out
    assert "[/x]" in out
    assert "b\\nc" in out
