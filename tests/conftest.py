"""Fixtures for every test: a real Git repository, an mlgit repository in it, and the program itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from mlgit.repo import Repo

# A test never fails because the machine is busy; in CI the same examples every time, everywhere else new ones.
settings.register_profile("here", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("here")
IDENTITY = {
    "GIT_AUTHOR_NAME": "Test",
    "GIT_AUTHOR_EMAIL": "test@example.org",
    "GIT_COMMITTER_NAME": "Test",
    "GIT_COMMITTER_EMAIL": "test@example.org",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "NO_COLOR": "1",
}


SERVICES = ("GIT_", "GITHUB_", "GITLAB_", "BITBUCKET_", "CI_", "MLGIT_")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same Git identity and configuration everywhere, whatever the user's are, and no CI service around it."""
    for name, value in IDENTITY.items():
        monkeypatch.setenv(name, value)
    for name in [name for name in os.environ if name.startswith(SERVICES) and name not in IDENTITY]:
        monkeypatch.delenv(name)


def run_git(folder: Path, *arguments: str) -> str:
    """Run Git and return what it printed."""
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture
def git_folder(tmp_path: Path) -> Path:
    """An empty Git repository on branch main."""
    folder = tmp_path / "project"
    folder.mkdir()
    run_git(folder, "init", "-q", "-b", "main")
    return folder


@pytest.fixture
def repo(git_folder: Path) -> Repo:
    """A fresh mlgit repository with its files committed."""
    made, _ = Repo.init(git_folder)
    run_git(git_folder, "add", "-A")
    run_git(git_folder, "commit", "-q", "-m", "start")
    return made


@dataclass(frozen=True)
class Done:
    """What a run of the program gave."""

    code: int
    out: str
    err: str


Mlgit = Callable[..., Done]


@pytest.fixture
def mlgit() -> Mlgit:
    """Run the program in a process of its own: `mlgit("add", "x", cwd=folder)`."""

    def run(*arguments: str, cwd: Path, code: int | None = 0, data: str | None = None) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "mlgit", *arguments],
            cwd=cwd,
            capture_output=True,
            text=True,
            input=data,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        if code is not None:
            assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return Done(done.returncode, done.stdout, done.stderr)

    return run
