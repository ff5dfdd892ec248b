"""Killed at any moment in the work that only many files give: worker pools, packs that travel whole."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from health import assert_healthy, files_below

from mlgit.repo import Repo

FILES = 2_400
PROGRAM = (sys.executable, "-m", "mlgit")


def _run(folder: Path, *words: str) -> None:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: exit {done.returncode}\n{done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of many files, in folders and flat, pushed to a folder remote, and a clone that has pulled nothing."""
    area = tmp_path_factory.mktemp("many")
    project = area / "project"
    project.mkdir()
    _run(project, "git", "init", "-q", "-b", "main")
    _run(project, *PROGRAM, "init")
    _run(project, *PROGRAM, "remote", "add", "-d", "store", "../remote")
    for number in range(FILES):
        folder = project / "data" / (f"{number % 5}" if number % 3 else "flat")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{number}").write_bytes(random.Random(number).randbytes(1000))
    _run(project, *PROGRAM, "add", "data")
    _run(project, "git", "add", "-A")
    _run(project, "git", "-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "-q", "-m", "data")
    _run(project, *PROGRAM, "push", "--yes")
    _run(area, "git", "clone", "-q", "project", "clone")
    return area


@pytest.mark.parametrize("command", ["pull", "checkout", "push", "add"])
@pytest.mark.parametrize("rounds", [3, pytest.param(25, marks=pytest.mark.slow)])
def test_killed_at_any_moment(pushed: Path, tmp_path: Path, command: str, rounds: int) -> None:
    dice = random.Random(rounds)
    wanted = files_below(pushed / "project" / "data")
    for number in range(rounds):
        area = tmp_path / str(number)
        shutil.copytree(pushed, area, symlinks=True)
        root = area / ("clone" if command == "pull" else "project")
        words = {"add": ("add", "data"), "push": ("push", "--yes")}.get(command, (command,))
        if command == "checkout":
            shutil.rmtree(root / "data")
        if command == "push":
            shutil.rmtree(area / "remote")
        if command == "add":
            shutil.rmtree(root / ".mlgit" / "cache")
            (root / ".mlgit" / "index.db").unlink(missing_ok=True)
        process = subprocess.Popen(
            [*PROGRAM, *words], cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(dice.uniform(0.05, 0.7))
        process.send_signal(dice.choice((signal.SIGKILL, signal.SIGINT)))
        process.wait()
        remotes = [area / "remote"] if (area / "remote").exists() else []
        user = list(wanted.values()) if command == "add" else []
        assert_healthy(Repo(root), remotes=remotes, complete=command in ("checkout", "push"), bytes_of_user=user)
        present = files_below(root / "data") if (root / "data").exists() else {}
        assert present in ({}, wanted), "a folder comes whole or not at all"
        _run(root, *PROGRAM, *words)
        assert files_below(root / "data") == wanted
        assert_healthy(Repo(root), remotes=[area / "remote"] if (area / "remote").exists() else [])
        shutil.rmtree(area)
    assert os.path.isdir(pushed)
