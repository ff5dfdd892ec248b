"""Row 8: whatever a command reported as done is there after the power fails.

On an ext4 of its own, told to write nothing by itself, the file system is shut down without writing its journal: all
that was not flushed is gone, as when the plug is pulled. Then it is mounted again, which replays the journal.
"""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import unsafe
from health import files_below, violations
from sweep import CASES, NEW, PROGRAM, Case, Point, Swept, again, copied, execute, inject, look, mlgit, points, prepare

from mlgit.repo import Repo

SHUTDOWN = 0x8004587D
WITHOUT_JOURNAL = struct.pack("I", 2)
OPTIONS = "loop,noauto_da_alloc,commit=600,data=writeback"
STORING = [case for case in CASES if case.name in ("add", "push", "gc", "repair")]
TELLING = ("rename", "renameat", "link", "linkat", "unlink", "unlinkat", "fsync")
PARTS = 4
Told = Callable[[str, Swept], None]
pytestmark = pytest.mark.root


class Disk:
    """An ext4 in a file, which can lose its power."""

    def __init__(self, folder: Path) -> None:
        self.image, self.root = folder / "image", folder / "disk"
        self.root.mkdir()
        with self.image.open("wb") as file:
            file.truncate(256 << 20)
        if shutil.which("mkfs.ext4") is None:
            pytest.skip("mkfs.ext4 is not installed")
        subprocess.run(["mkfs.ext4", "-q", "-F", str(self.image)], check=True, capture_output=True)
        done = self._mount()
        if done.returncode:
            pytest.skip(f"an ext4 cannot be mounted here: {done.stderr.strip()}")

    def _mount(self) -> subprocess.CompletedProcess[str]:
        words = ["mount", "-o", OPTIONS, str(self.image), str(self.root)]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    def take(self, area: Path) -> Path:
        """A durable copy of `area`, in place of the last one."""
        shutil.rmtree(self.root / "area", ignore_errors=True)
        copied(area, self.root / "area")
        subprocess.run(["sync", "-f", str(self.root)], check=True)
        return self.root / "area"

    def unmount(self) -> None:
        subprocess.run(["umount", "-l", str(self.root)], check=False, capture_output=True)

    def fail(self) -> None:
        """Pull the plug, and start again."""
        descriptor = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, SHUTDOWN, WITHOUT_JOURNAL)
        except OSError as error:
            pytest.skip(f"this kernel cannot shut a file system down: {error}")
        finally:
            os.close(descriptor)
        gc.collect()  # what looked at the last area in this process
        subprocess.run(["umount", str(self.root)], check=True)
        done = self._mount()
        assert not done.returncode, done.stderr


@pytest.fixture
def disk(scratch: Path) -> Iterator[Disk]:
    if os.name != "posix" or os.getuid() or sys.platform != "linux":
        pytest.skip("mounting needs root, on Linux")
    made = Disk(scratch)
    yield made
    made.unmount()


def _lost(area: Path, case: Case) -> list[str]:
    """What is broken after `case` succeeded and the power failed."""
    root = case.root(area)
    remotes = [area / "remote"] if (area / "remote").exists() else []
    found = violations(Repo(root), remotes=remotes, bytes_of_user=case.user)
    present, changed = files_below(root / "data"), _changed(root)
    if present != case.after and not changed:
        found.append("status calls a working tree clean that is not")
    return found


def _changed(root: Path) -> bool:
    done = execute(root, *PROGRAM, "status", "--exit-code", code=None)
    assert "Traceback" not in done.stderr
    return bool(done.returncode)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_power_fails_after_success(scratch: Path, disk: Disk, case: Case) -> None:
    area = disk.take(prepare(scratch / "area", case.name))
    execute(case.root(area), *PROGRAM, *case.command)
    disk.fail()
    assert _lost(area, case) == []
    _check_effect(area, case)
    mlgit(case.root(area), "checkout", "-f")
    assert files_below(case.root(area) / "data") == case.after
    mlgit(case.root(area), "fsck", "--full")


def _check_effect(area: Path, case: Case) -> None:
    """What the command had promised."""
    if case.name == "add":
        assert f"\nsize: {sum(map(len, NEW.values()))}\n" in (case.root(area) / "data.mlgit").read_text()
    if case.name == "push":
        execute(area, "git", "clone", "-q", "project", "other")
        mlgit(area / "other", "pull")
        assert files_below(area / "other" / "data") == case.after


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.name in ("checkout", "pull")], ids=lambda case: case.name
)
def test_what_the_working_tree_lost_is_told_and_comes_back(scratch: Path, disk: Disk, case: Case) -> None:
    """Checkout does not wait for the working tree to be on the disk (ADR 0011); stores and pointers are."""
    area = disk.take(prepare(scratch / "area", case.name))
    execute(case.root(area), *PROGRAM, *case.command)
    disk.fail()
    root = case.root(area)
    whole = files_below(root / "data") == case.after
    told = execute(root, *PROGRAM, "status", "--exit-code", code=None)
    assert (told.returncode == 0) == whole
    execute(root, *PROGRAM, "checkout", "--force")
    assert files_below(root / "data") == case.after


def _cut(disk: Disk, source: Path, case: Case, point: Point, program: Sequence[str] = PROGRAM) -> Swept:
    """What is broken when the power fails in the middle of the command."""
    area = disk.take(source)
    damage = look(area, case) if case.broken else []
    inject(area, case, point, "signal=KILL", program=program)
    disk.fail()
    found = [line for line in look(area, case) if line not in damage] + again(area, case)
    return Swept(1, 1, [f"power failed at {point[0]} number {point[1]}: {line}" for line in found])


@pytest.mark.parametrize("case", STORING, ids=lambda case: case.name)
@pytest.mark.usefixtures("tracing")
def test_power_fails_in_the_middle(scratch: Path, disk: Disk, case: Case, told: Told) -> None:
    area, swept = prepare(scratch / "area", case.name), Swept()
    found = [point for point in points(area, case, scratch) if point[0] in TELLING]
    for point in found[:: max(len(found) // 4, 1)]:
        swept.add(_cut(disk, area, case, point))
    told(f"power loss: {case.name}", swept)
    assert swept.violations == []


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("case", STORING, ids=lambda case: case.name)
@pytest.mark.slow
@pytest.mark.usefixtures("tracing")
def test_power_fails_anywhere(scratch: Path, disk: Disk, case: Case, part: int, told: Told) -> None:
    area, swept = prepare(scratch / "area", case.name), Swept()
    for point in points(area, case, scratch)[part::PARTS]:
        swept.add(_cut(disk, area, case, point))
    told(f"power loss: {case.name}", swept)
    assert swept.violations == []


@pytest.mark.parametrize("name", ["add", "push"])
def test_a_program_that_never_flushes_is_found_out(scratch: Path, disk: Disk, name: str) -> None:
    (case,) = [case for case in CASES if case.name == name]
    area = disk.take(prepare(scratch / "area", case.name))
    execute(case.root(area), sys.executable, unsafe.__file__, "unsynced", *case.command)
    written = files_below(area / "remote")
    disk.fail()
    assert _lost(area, case) or files_below(area / "remote") != written, "what was announced must be gone somewhere"
