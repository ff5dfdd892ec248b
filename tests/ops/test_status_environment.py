from __future__ import annotations

import json
import os
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlgit.repo import Repo

Mlgit = Callable[..., Any]
STAGES = """\
stages:
  make:
    cmd: echo 1 > made
    outs: [made]
  use:
    cmd: cat made > used
    deps: [made]
    outs: [used]
"""


def set_up(folder: Path, *packages: str) -> None:
    """A virtual environment with the metadata of `packages` at its place."""
    venv.create(folder, with_pip=False, symlinks=True, clear=True)
    for name in packages:
        (next((folder / "lib").glob("python*/site-packages")) / f"{name}.dist-info").mkdir()


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Python that commands find; mlgit itself runs with another one."""
    set_up(tmp_path / "venv", "numpy-1.26.4", "pandas-2.0")
    monkeypatch.setenv("PATH", f"{tmp_path / 'venv/bin'}{os.pathsep}{os.environ['PATH']}")
    assert not sys.executable.startswith(str(tmp_path))
    return tmp_path / "venv"


def notes(mlgit: Mlgit, root: Path, *arguments: str) -> tuple[dict[str, str], list[str]]:
    found = json.loads(mlgit("status", "--environment", "--json", *arguments, cwd=root).out)
    return {row["stage"]: row.get("note", "") for row in found["stages"]}, found["notes"]


@pytest.fixture
def root(repo: Repo, python: Path, mlgit: Mlgit) -> Path:
    (repo.root / "mlgit.yaml").write_text(STAGES)
    mlgit("repro", cwd=repo.root)
    return repo.root


def test_nothing_to_say(root: Path, mlgit: Mlgit) -> None:
    assert notes(mlgit, root) == ({"make": "", "use": ""}, ["everything is up to date"])


def test_other_packages_are_named(root: Path, python: Path, mlgit: Mlgit) -> None:
    set_up(python, "numpy-2.0.0", "tqdm-4.1")
    words = "since it last ran: numpy 1.26.4 → 2.0.0; pandas removed; tqdm 4.1 added"
    rows, said = notes(mlgit, root)
    assert rows == {"make": words, "use": words}
    assert said[1].startswith("2 stages last ran in other surroundings")
    assert "pandas" not in mlgit("status", cwd=root).out
    shown = mlgit("status", "--environment", "--exit-code", "use", cwd=root).out
    assert "up to date" in shown
    assert "pandas removed" in shown
    mlgit("repro", "--force", cwd=root)
    assert notes(mlgit, root)[0] == {"make": "", "use": ""}


def test_a_changed_stage_has_its_note_too(root: Path, python: Path, mlgit: Mlgit) -> None:
    set_up(python, "numpy-2.0.0", "pandas-2.0")
    (root / "mlgit.yaml").write_text(STAGES.replace("echo 1", "echo 2"))
    rows, _ = notes(mlgit, root, "make")
    assert rows == {"make": "since it last ran: numpy 1.26.4 → 2.0.0"}


def test_no_record_no_claim(root: Path, mlgit: Mlgit) -> None:
    for file in (root / ".mlgit/cache/runs").rglob("*.json"):
        file.unlink()
    assert notes(mlgit, root) == (
        {"make": "", "use": ""},
        ["everything is up to date", "what 2 stages last ran with is not known here"],
    )
