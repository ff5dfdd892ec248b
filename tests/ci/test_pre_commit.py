"""The pre-commit program builds an environment from a clone of this repository and runs the hooks of its manifest."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mlgit as package

SOURCE = Path(package.__file__).parent.parent
PARTS = ("mlgit", "pyproject.toml", "README.md", "LICENSE", ".pre-commit-hooks.yaml")
BLOCKED = "more than 5.0 MiB"


def run(*words: str, cwd: Path, home: Path) -> tuple[int, str]:
    environment = {**os.environ, "PRE_COMMIT_HOME": str(home), "PIP_NO_COMPILE": "1"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A Git repository that holds what a user's pre-commit would clone."""
    if not (SOURCE / PARTS[-1]).exists():
        pytest.skip("mlgit is installed, and not run from its source")
    folder = tmp_path / "clone"
    folder.mkdir()
    for name in PARTS:
        path = SOURCE / name
        if path.is_dir():
            shutil.copytree(path, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, folder)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "all")
    return folder


class Program:
    """The pre-commit program in a repository of mlgit's, with nothing installed before."""

    def __init__(self, folder: Path, home: Path) -> None:
        pytest.importorskip("pre_commit")
        self.folder, self._home = folder, home
        (folder / ".mlgit").mkdir()
        (folder / ".mlgit/config.yaml").touch()

    def __call__(self, *words: str) -> tuple[int, str]:
        code, output = run(sys.executable, "-m", "pre_commit", *words, cwd=self.folder, home=self._home)
        if "No matching distribution" in output or "Could not find a version" in output:
            pytest.skip("pip cannot reach an index that has what mlgit needs")
        return code, output


@pytest.fixture
def pre_commit(git_folder: Path, tmp_path: Path) -> Program:
    return Program(git_folder, tmp_path / "home")


def test_the_program_tries_the_hooks_and_a_large_file_is_blocked(clone: Path, pre_commit: Program) -> None:
    (pre_commit.folder / "big.bin").write_bytes(bytes(6 << 20))
    git(pre_commit.folder, "add", "-A")
    code, output = pre_commit("try-repo", str(clone))
    assert (code, output.count("Failed"), BLOCKED in output) == (1, 1, True), output


@pytest.mark.slow
def test_every_hook_of_the_manifest_passes_where_nothing_is_wrong(clone: Path, pre_commit: Program) -> None:
    rev = subprocess.run(["git", "rev-parse", "HEAD"], cwd=clone, check=True, capture_output=True, text=True).stdout
    names = re.findall(r"^- id: (.+)$", (clone / PARTS[-1]).read_text(), re.MULTILINE)
    repo = {"repo": str(clone), "rev": rev.strip(), "hooks": [{"id": name} for name in names]}
    (pre_commit.folder / ".pre-commit-config.yaml").write_text(json.dumps({"repos": [repo]}))
    git(pre_commit.folder, "add", "-A")
    git(pre_commit.folder, "commit", "-q", "-m", "small")
    for words in (
        (),
        ("--hook-stage", "post-checkout", "--from-ref", "HEAD", "--to-ref", "HEAD", "--checkout-type", "1"),
        ("--hook-stage", "post-merge", "--is-squash-merge", "0"),
    ):
        code, output = pre_commit("run", *words)
        assert (code, "Passed" in output, "Failed" in output) == (0, True, False), output
