"""Rows 1-4 and 6: a command killed before any of its changes to the disk loses nothing and can be run again.

strace kills the process at the entry of its N-th call of one kind. A sample of all such points runs always; the whole
sweep is marked `slow`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from health import assert_healthy, files_below

from mlgit.repo import Repo

CALLS = (
    *(
        "rename",
        "renameat",
        "renameat2",
        "link",
        "linkat",
        "symlink",
        "symlinkat",
        "unlink",
        "unlinkat",
        "rmdir",
        "mkdir",
    ),
    *(
        "mkdirat",
        "chmod",
        "fchmod",
        "fchmodat",
        "fsync",
        "fdatasync",
        "syncfs",
        "ftruncate",
        "copy_file_range",
        "utimensat",
    ),
    *("write", "pwrite64", "ioctl", "flock"),
)
SAMPLE = 4
OLD = {"a.txt": b"a old", "sub/b.txt": b"b old", "gone.txt": b"gone", "large.bin": b"L" * (1 << 20) + b"old"}
NEW = {"a.txt": b"a new!", "sub/b.txt": b"b old", "more/c.txt": b"c new", "large.bin": b"L" * (1 << 20) + b"new"}


@dataclass(frozen=True)
class Case:
    """A command and what stands before it."""

    name: str
    command: tuple[str, ...]
    clone: bool = False
    complete: bool = True
    after: dict[str, bytes] = field(default_factory=lambda: NEW)


CASES = (
    Case("add", ("add", "data")),
    Case("checkout", ("checkout",), after=OLD),
    Case("push", ("push", "--yes")),
    Case("pull", ("pull",), clone=True, complete=False),
    Case("gc", ("gc", "-w", "--yes", "--grace", "0")),
)


def _run(folder: Path, *words: str, code: int | None = 0) -> None:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert code is None or done.returncode == code, f"{words}: exit {done.returncode}\n{done.stdout}{done.stderr}"


def _mlgit(folder: Path, *words: str) -> None:
    _run(folder, sys.executable, "-m", "mlgit", *words)


def _write(folder: Path, files: dict[str, bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def _prepare(area: Path, name: str) -> None:
    """Bring `area` to where the command called `name` starts."""
    project = area / "project"
    project.mkdir()
    _run(project, "git", "init", "-q", "-b", "main")
    _mlgit(project, "init")
    _mlgit(project, "remote", "add", "-d", "store", "../remote")
    _write(project / "data", OLD)
    _mlgit(project, "add", "data")
    _run(project, "git", "add", "-A")
    _run(project, "git", "commit", "-q", "-m", "old")
    if name == "push":
        _mlgit(project, "push", "--yes")
    _write(project / "data", NEW)
    if name == "add":
        return
    _mlgit(project, "add", "data")
    _run(project, "git", "commit", "-q", "-a", "-m", "new")
    if name == "checkout":
        _run(project, "git", "checkout", "-q", "HEAD~1")
    if name == "pull":
        _mlgit(project, "push", "--yes")
        _run(area, "git", "clone", "-q", "project", "clone")


@pytest.fixture(scope="module")
def areas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that keeps one prepared area a case; nothing in it is ever changed."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    root = tmp_path_factory.mktemp("areas")
    seen = subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], capture_output=True, check=False)
    if seen.returncode:
        pytest.skip("strace may not trace here")
    yield root


def _area(areas: Path, case: Case) -> Path:
    area = areas / case.name
    if not area.exists():
        area.mkdir()
        _prepare(area, case.name)
    return area


def _root(area: Path, case: Case) -> Path:
    return area / ("clone" if case.clone else "project")


def _fresh(area: Path, target: Path) -> Path:
    shutil.copytree(area, target, symlinks=True)
    return target


def _points(area: Path, case: Case, scratch: Path) -> list[tuple[str, int]]:
    """Every (call, N) that the command's own process makes, in the order of the calls' names."""
    copy = _fresh(area, scratch / "count")
    log = scratch / "log"
    traced = ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace=?{',?'.join(CALLS)}"]
    _run(_root(copy, case), *traced, sys.executable, "-m", "mlgit", *case.command)
    lines = log.read_text(errors="replace").splitlines()
    main = lines[0].split(" ", 1)[0]
    made = re.compile(rf"{main} +([a-z0-9_]+)\(")
    counts = Counter(found[1] for line in lines if (found := made.match(line)))
    return [(call, number) for call in CALLS for number in range(1, counts[call] + 1)]


def _check(area: Path, case: Case, *, whole: bool) -> None:
    """The invariants; with `whole`, also what the command is for."""
    root = _root(area, case)
    user = list(OLD.values()) if case.name not in ("pull", "gc") else []
    user += list(NEW.values()) if case.name != "pull" else []
    remotes = [area / "remote"] if (area / "remote").exists() else []
    assert_healthy(Repo(root), remotes=remotes, complete=case.complete or whole, bytes_of_user=user)
    present = {name: data for name, data in files_below(root / "data").items() if not name.startswith(".")}
    for name, data in present.items():
        assert data in (OLD.get(name), NEW.get(name)), f"{name} is neither old nor new"
    if whole:
        assert present == case.after


def _kill(area: Path, case: Case, target: Path, call: str, number: int) -> None:
    copy = _fresh(area, target)
    inject = [
        "strace",
        "-f",
        "-qq",
        "-o",
        os.devnull,
        "-e",
        f"trace={call}",
        "-e",
        f"inject={call}:signal=KILL:when={number}",
    ]
    _run(_root(copy, case), *inject, sys.executable, "-m", "mlgit", *case.command, code=None)
    _check(copy, case, whole=False)
    _mlgit(_root(copy, case), *case.command)
    _check(copy, case, whole=True)
    shutil.rmtree(copy)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_sample_of_kills(areas: Path, case: Case, tmp_path: Path) -> None:
    area = _area(areas, case)
    points = _points(area, case, tmp_path)
    assert len(points) >= SAMPLE
    step = len(points) / SAMPLE
    for at in range(SAMPLE):
        _kill(area, case, tmp_path / "killed", *points[int((at + 0.5) * step)])


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_kill(areas: Path, case: Case, tmp_path: Path) -> None:
    area = _area(areas, case)
    points = _points(area, case, tmp_path)
    for call, number in points:
        try:
            _kill(area, case, tmp_path / "killed", call, number)
        except AssertionError as error:
            raise AssertionError(f"killed at {call} number {number}: {error}") from error
    print(f"{case.name}: {len(points)} kill points")
