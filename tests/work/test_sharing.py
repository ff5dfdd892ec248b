"""A cache that several repositories use: gc in one keeps what the others need, and refuses when one cannot be asked."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def two(tmp_path: Path, mlgit: Callable[..., Any]) -> tuple[Path, Path]:
    """Two repositories with one cache, each with a file of its own."""
    made = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        subprocess.run(["git", "init", "-q", "-b", "main"], cwd=folder, check=True)
        mlgit("init", cwd=folder)
        mlgit("config", "--local", "cache.dir", str(tmp_path / "cache"), cwd=folder)
        (folder / "data.txt").write_text(name)
        mlgit("add", "data.txt", cwd=folder)
        subprocess.run(["git", "add", "-A"], cwd=folder, check=True)
        subprocess.run(["git", "commit", "-q", "-m", "data"], cwd=folder, check=True)
        made.append(folder)
    return made[0], made[1]


def test_gc_keeps_what_the_other_repository_needs(two: tuple[Path, Path], mlgit: Callable[..., Any]) -> None:
    first, second = two
    (first / "data.txt").write_text("newer")
    mlgit("add", "data.txt", cwd=first)
    done = mlgit("gc", "-w", "--grace", "0", "--yes", cwd=first)
    assert "deleted 1 object" in done.err
    (second / "data.txt").unlink()
    mlgit("checkout", cwd=second)
    assert (second / "data.txt").read_text() == "second"
    mlgit("fsck", "--full", cwd=second)


def test_gc_refuses_while_another_repository_cannot_be_read(two: tuple[Path, Path], mlgit: Callable[..., Any]) -> None:
    first, second = two
    shutil.move(second, second.with_name("moved"))
    done = mlgit("gc", "-w", "--grace", "0", "--yes", cwd=first, code=1)
    assert str(second) in done.err
    assert "rm " in done.err
