"""Row 10: every command on a disk that is full at any point: it says so, loses nothing, and goes on when there is room.

The whole area of the command (working tree, cache, remote) lies on a small file system in memory, which is filled up to
a few bytes or a few files. `test_disk.py` does the same with the cache alone.
"""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sweep import CASES, Case, Swept, again, copied, look, prepare

from mlgit.cli.main import run

Told = Callable[[str, Swept], None]
SIZE, FILES = 48 << 20, 1500
BANDS = (0, 4096, 16384, 65536, 1 << 20, 5 << 18, 9 << 18)
EVERY_BAND = (*range(0, 1 << 17, 4096), *range(1 << 17, 4 << 20, 1 << 15))
FEW_FILES = (0, 1, 2, 4, 7)
EVERY = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
pytestmark = pytest.mark.root


@dataclass(frozen=True)
class Small:
    """A file system of `SIZE` bytes and `FILES` files."""

    root: Path

    def leave(self, *, size: int | None = None, files: int | None = None) -> Path:
        """Fill it up; returns what to delete to have room again."""
        filler = self.root / "filler"
        filler.mkdir()
        if files is not None:
            for number in range(max(os.statvfs(self.root).f_ffree - files, 0)):
                (filler / str(number)).touch()
        if size is not None:
            found = os.statvfs(self.root)
            with (filler / "bytes").open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, max(found.f_bavail * found.f_frsize - size, 1))
        return filler


@pytest.fixture
def small(scratch: Path) -> Iterator[Small]:
    folder = scratch / "small"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},nr_inodes={FILES}", "tmpfs", str(folder)]
    if shutil.which("mount") is None:
        pytest.skip("there is no mount program")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not permitted: {done.stderr.strip()}")
    yield Small(folder)
    gc.collect()  # connections to the indexes there
    subprocess.run(["umount", "-l", str(folder)], check=False)


def _full(source: Path, small: Small, case: Case, *, size: int | None = None, files: int | None = None) -> Swept:
    """What is wrong after the command met a full disk."""
    area = copied(source, small.root / "area")
    damage = look(area, case) if case.broken else []
    filler = small.leave(size=size, files=files)
    code = run(["-C", str(case.root(area)), *case.command])
    found = [line for line in look(area, case, tidy=True) if line not in damage]
    if code not in (0, 18):
        found.append(f"exit {code}")
    shutil.rmtree(filler)
    found += again(area, case)
    shutil.rmtree(area)
    left = f"{files} files" if size is None else f"{size} bytes"
    return Swept(1, int(code != 0), [f"with {left} left (exit {code}): {line}" for line in found])


def _all(told: Told, name: str, tried: Iterable[Swept]) -> None:
    swept = Swept()
    for one in tried:
        swept.add(one)
    told(name, swept)
    assert swept.violations == []
    assert swept.killed


@EVERY
def test_bytes_run_out(scratch: Path, small: Small, case: Case, told: Told) -> None:
    area = prepare(scratch / "area", case.name)
    _all(told, f"full disk: {case.name}", (_full(area, small, case, size=left) for left in BANDS))


@EVERY
def test_files_run_out(scratch: Path, small: Small, case: Case, told: Told) -> None:
    area = prepare(scratch / "area", case.name)
    _all(told, f"no inodes: {case.name}", (_full(area, small, case, files=left) for left in FEW_FILES))


@EVERY
@pytest.mark.slow
def test_every_band(scratch: Path, small: Small, case: Case, told: Told) -> None:
    area = prepare(scratch / "area", case.name)
    _all(told, f"full disk: {case.name}", (_full(area, small, case, size=left) for left in EVERY_BAND))
    _all(told, f"no inodes: {case.name}", (_full(area, small, case, files=left) for left in range(40)))
