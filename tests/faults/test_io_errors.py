"""Row 9: the disk reports an error for one call; the command says so, publishes nothing of it, and does not try again.

After a failed fsync the kernel may have dropped the pages, so trying once more would report success falsely.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import unsafe
from sweep import CASES, PROGRAM, Case, Point, Swept, again, copied, inject, look, points, prepare

Told = Callable[[str, Swept], None]
FLUSHING = ("fsync", "fdatasync", "syncfs", "sync_file_range")
CHANGING = ("rename", "renameat", "link", "mkdir", "mkdirat", "ftruncate", "write", "pwrite64", "openat")
DISPENSABLE = re.compile(r"/\.mlgit/(index\.db|clock|lock)|/cache/lock|/\.mlgit$|^/dev/(null|tty|pts/)|^pipe:")
_HIT = re.compile(r"\(\d+<([^>]*)>.*INJECTED")
PARTS = 4


def _broken(
    area: Path, case: Case, point: Point, effect: str, scratch: Path, program: Sequence[str] = PROGRAM
) -> list[str]:
    """What is wrong after one call failed."""
    copy, log = copied(area, scratch / "broken"), scratch / "log"
    pointer = case.root(copy) / "data.mlgit"
    before = pointer.read_text()
    damage = look(copy, case) if case.broken else []
    done = inject(copy, case, point, effect, log, program)
    lines = log.read_text(errors="replace").splitlines()
    hit = next((number for number, line in enumerate(lines) if "INJECTED" in line), len(lines))
    where = found[1] if hit < len(lines) and (found := _HIT.search(lines[hit])) else ""
    tidy = case.name != "repair"
    found_wrong = [line for line in look(copy, case, tidy=tidy) if line not in damage]
    if "Traceback" in done.stderr or done.returncode not in (0, 18):
        found_wrong.append(f"exit {done.returncode}: {done.stderr}")
    if point[0] in FLUSHING and hit < len(lines):
        if done.returncode == 0 and not DISPENSABLE.search(where):
            found_wrong.append(f"a failed flush of {where} is passed over")
        if done.returncode == 18 and case.name == "add" and "/cache/" in where and pointer.read_text() != before:
            found_wrong.append("the pointer names what was not flushed")
        if any(where and f"<{where}>" in line for line in lines[hit + 1 :]) and not DISPENSABLE.search(where):
            found_wrong.append(f"{where} is flushed again")
    found_wrong += again(copy, case)
    shutil.rmtree(copy)
    return [f"{effect} at {point[0]} number {point[1]} ({where}): {line}" for line in found_wrong]


def _all(area: Path, case: Case, chosen: list[Point], effect: str, scratch: Path) -> Swept:
    swept = Swept(len(chosen), len(chosen))
    for point in chosen:
        swept.violations += _broken(area, case, point, effect, scratch)
    return swept


@pytest.mark.parametrize("case", [case for case in CASES if case.name in ("add", "push")], ids=lambda case: case.name)
@pytest.mark.usefixtures("tracing")
def test_a_flush_that_fails(scratch: Path, case: Case, told: Told) -> None:
    area = prepare(scratch / "area", case.name)
    chosen = [point for point in points(area, case, scratch) if point[0] in FLUSHING]
    assert chosen
    swept = _all(area, case, chosen, "error=EIO", scratch)
    told(f"EIO on flush: {case.name}", swept)
    assert swept.violations == []


@pytest.mark.usefixtures("tracing")
def test_a_program_that_ignores_it_is_found_out(scratch: Path) -> None:
    (case,) = [case for case in CASES if case.name == "push"]
    area, program = prepare(scratch / "area", case.name), (sys.executable, unsafe.__file__, "deaf")
    flushes = [point for point in points(area, case, scratch, program) if point[0] == "fsync"]
    found = [line for point in flushes for line in _broken(area, case, point, "error=EIO", scratch, program)]
    assert any("passed over" in line for line in found), found


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("effect", ["error=EIO", "error=ENOSPC"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.slow
@pytest.mark.usefixtures("tracing")
def test_any_change_that_fails(scratch: Path, case: Case, effect: str, part: int, told: Told) -> None:
    area = prepare(scratch / "area", case.name)
    kinds = FLUSHING + CHANGING if effect == "error=EIO" else CHANGING
    chosen = [point for point in points(area, case, scratch) if point[0] in kinds]
    swept = _all(area, case, chosen[part::PARTS], effect, scratch)
    told(f"{effect[6:]}: {case.name}", swept)
    assert swept.violations == []
