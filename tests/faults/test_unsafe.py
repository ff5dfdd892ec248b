"""The sweep finds what it is for: every store that was made unsafe on purpose breaks invariants under it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import unsafe
from sweep import CASES, Case, Swept, points, prepare, sweep

Told = Callable[[str, Swept], None]
BY_NAME = {case.name: case for case in CASES}
UNSAFE = (
    ("index_first", "add", "I4"),
    ("index_first", "push", "I4"),
    ("in_place", "add", "I1"),
    ("in_place", "push", "I1"),
    ("pointer_first", "add", "I2"),
    ("delete_first", "gc", "I4"),
)
TELLING = ("rename", "renameat", "unlink", "unlinkat", "write", "fsync", "syncfs", "link", "linkat")
EVERY = pytest.mark.parametrize(
    ("kind", "case", "invariant"),
    [(kind, BY_NAME[name], invariant) for kind, name, invariant in UNSAFE],
    ids=[f"{kind}-{name}" for kind, name, _ in UNSAFE],
)


def _swept(scratch: Path, kind: str, case: Case, *, enough: int) -> Swept:
    area = prepare(scratch / "area", case.name)
    program = (sys.executable, unsafe.__file__, kind)
    found = points(area, case, scratch, program)
    if enough:
        found = sorted((point for point in found if point[0] in TELLING), key=lambda point: TELLING.index(point[0]))
    return sweep(area, case, scratch, found, program, enough)


@EVERY
@pytest.mark.usefixtures("tracing")
def test_an_unsafe_store_is_found_out(scratch: Path, kind: str, case: Case, invariant: str, told: Told) -> None:
    swept = _swept(scratch, kind, case, enough=1)
    told(f"unsafe: {kind}, {case.name}", swept)
    assert any(invariant in line for line in swept.violations), swept


@EVERY
@pytest.mark.slow
@pytest.mark.usefixtures("tracing")
def test_all_of_an_unsafe_store(scratch: Path, kind: str, case: Case, invariant: str, told: Told) -> None:
    swept = _swept(scratch, kind, case, enough=0)
    told(f"unsafe: {kind}, {case.name}", swept)
    assert any(invariant in line for line in swept.violations), swept
