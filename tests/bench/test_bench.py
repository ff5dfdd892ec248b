"""The benchmarks still run, from the data to the JSON; how fast is not asked here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TINY = ["small", "versions", "pipeline", "ci", "--rounds", "1", "--files", "20", "--folders", "2"]
TINY += ["--stages", "4", "--many-stages", "8", "--gates", "3", "--examples", "100"]
ALONE = [word for rival in ("dvc", "git-lfs", "borg") for word in ("--without", rival)]


def bench(folder: Path, **environment: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """Run tiny workloads in `folder`; what was printed, and the JSON."""
    command = [sys.executable, "-m", "tests.bench", *TINY, *ALONE, "--folder", str(folder)]
    command += ["--json", str(folder / "out.json")]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)
    return done, json.loads((folder / "out.json").read_text())


def test_it_measures_judges_and_leaves_nothing(tmp_path: Path) -> None:
    done, written = bench(tmp_path)
    assert done.returncode == 0, done.stderr
    assert written["failed"] is None
    small = written["samples"]["small"]
    assert set(small["add"]) == {"cp", "floor", "mlgit"}
    assert all(len(rounds) == 1 for tools in small.values() for rounds in tools.values())
    assert set(written["samples"]["pipeline"]["repro (first run)"]) == {"floor", "mlgit"}
    assert set(written["samples"]["ci, tracked"]["ci"]) == {"floor", "mlgit"}
    assert set(written["samples"]["ci, predictions"]) == {"gate, tested"}
    assert {budget["work"] for budget in written["budgets"]} >= {"small: add", "versions: objects of the second"}
    assert max(map(len, done.stdout.splitlines())) <= 120
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_a_tool_that_fails_is_named_and_the_exit_code_is_1(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "cp").write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    (programs / "cp").chmod(0o755)
    done, written = bench(tmp_path, PATH=f"{programs}{os.pathsep}{os.environ['PATH']}")
    assert done.returncode == 1
    assert "exit 3" in done.stderr
    assert "broken" in str(written["failed"])
