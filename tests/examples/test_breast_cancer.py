"""The breast-cancer example: fewer trees are no more than chance, shuffled labels are a regression."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlgit.model.relpath import RelPath
from mlgit.ops.compare.significance import Effect, from_predictions
from mlgit.repo import Repo

EXAMPLE = Path(__file__).parents[2] / "examples/breast-cancer"
METRICS = RelPath("metrics/eval.json")


def run(folder: Path, *words: str, code: int = 0) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(words, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def mlgit(folder: Path, *words: str, code: int = 0) -> str:
    return run(folder, sys.executable, "-m", "mlgit", *words, code=code)


@pytest.fixture(scope="module")
def tumours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with its first model, committed."""
    folder = tmp_path_factory.mktemp("example") / "tumours"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    run(folder, "git", "init", "-q", "-b", "main")
    mlgit(folder, "init")
    run(folder, sys.executable, "make_data.py")
    mlgit(folder, "add", "data/raw.csv")
    mlgit(folder, "repro")
    run(folder, "git", "add", "-A")
    run(folder, "git", "-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "-q", "-m", "first model")
    return folder


def judged(folder: Path, old: str, new: str, gate: int) -> tuple[Effect, str]:
    """What the predictions and the gate say of a parameter's other value; it is put back."""
    params = folder / "params.yaml"
    before = params.read_text()
    assert old in before
    params.write_text(before.replace(old, new))
    try:
        mlgit(folder, "repro")
        repo = Repo(folder)
        sides = repo.snapshot("HEAD"), repo.snapshot()
        effect = from_predictions(repo, *sides, METRICS, "accuracy", "higher", test="bootstrap")
        note = json.loads(mlgit(folder, "gate", "--json", code=gate))["gates"][0]["note"]
    finally:
        params.write_text(before)
    assert isinstance(effect, Effect)
    return effect, note


def test_a_quarter_of_the_trees_is_changed_not_significant(tumours: Path) -> None:
    effect, note = judged(tumours, "trees: 200", "trees: 50", 0)
    assert effect.outcome == "inconclusive"
    assert effect.low < effect.delta < 0 <= effect.high
    assert effect.words.startswith(
        "changed, not significant: -0.00585 in [-0.0175, 0] at 95 % (paired bootstrap of 171"
    )
    assert effect.words in note


def test_shuffled_labels_regress(tumours: Path) -> None:
    effect, note = judged(tumours, "shuffle_labels: false", "shuffle_labels: true", 1)
    assert effect.outcome == "regressed"
    assert effect.high < -0.2
    assert effect.words in note
