"""Rows 1-4 and 6: a command killed before any of its changes to the disk loses nothing and can be run again.

A sample of all such points runs always; the whole sweep is marked `slow`, in parts that run side by side:
`pytest -m slow tests/faults/test_kill.py -n 2` prints how many points each command has and what they broke.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sweep import CASES, Case, Swept, points, prepare, sweep

Told = Callable[[str, Swept], None]
SAMPLE = 4
PARTS = 4
EVERY = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@EVERY
@pytest.mark.usefixtures("tracing")
def test_a_sample_of_kills(scratch: Path, case: Case, told: Told) -> None:
    area = prepare(scratch / "area", case.name)
    found = points(area, case, scratch)
    assert len(found) >= SAMPLE
    step = len(found) / SAMPLE
    swept = sweep(area, case, scratch, [found[int((at + 0.5) * step)] for at in range(SAMPLE)])
    told(case.name, swept)
    assert swept.violations == []
    assert swept.killed > SAMPLE // 2


@EVERY
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.slow
@pytest.mark.usefixtures("tracing")
def test_every_kill(scratch: Path, case: Case, part: int, told: Told) -> None:
    area = prepare(scratch / "area", case.name)
    swept = sweep(area, case, scratch, points(area, case, scratch)[part::PARTS])
    told(case.name, swept)
    assert swept.violations == []
