"""Reports: one value, one exit code, one JSON object; cells for people."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.model.report import Mark, Report, Row, Table, Verdict, count, format_bytes, format_cell, to_json

CELLS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text())


def _report(rows: tuple[Row, ...], verdict: Verdict = Verdict.NONE) -> Report:
    return Report("kind", "Title", (Table("rows", "Rows", ("a", "b"), rows),), verdict)


@given(st.lists(st.builds(lambda a, b, mark: Row((a, b), mark), CELLS, CELLS, st.sampled_from(Mark)), max_size=5))
def test_json_is_always_one_strict_object(rows: list[Row]) -> None:
    value = json.loads(to_json(_report(tuple(rows))), parse_constant=lambda name: pytest.fail(f"not JSON: {name}"))
    assert (value["version"], value["kind"], value["verdict"]) == (1, "kind", "none")
    assert [row["mark"] for row in value["rows"]] == [row.mark.value for row in rows]
    for shown, row in zip(value["rows"], rows, strict=True):
        if isinstance(row.cells[0], float) and not math.isfinite(row.cells[0]):
            assert shown["a"] == str(row.cells[0])
        else:
            assert shown["a"] == row.cells[0]


def test_verdicts_are_exit_codes() -> None:
    codes = {verdict: _report((), verdict).exit_code for verdict in Verdict}
    assert codes == {
        Verdict.NONE: 0,
        Verdict.PASS: 0,
        Verdict.FAIL: 1,
        Verdict.NOT_EVALUABLE: 19,
        Verdict.NOT_COMPARABLE: 19,
        Verdict.MISSING: 12,
        Verdict.DAMAGED: 13,
        Verdict.ERROR: 70,
    }


def test_changed_means_any_row_that_is_not_the_same() -> None:
    assert not _report((Row((1, 2), Mark.SAME),)).changed
    assert _report((Row((1, 2), Mark.SAME), Row((1, 3), Mark.CHANGED))).changed


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        (None, "–"),
        (True, "true"),
        (False, "false"),
        (1, "1"),
        (0.1 + 0.2, "0.3"),
        (1e-9, "1e-09"),
        (math.nan, "nan"),
        ("x", "x"),
    ],
)
def test_cells_for_people(cell: object, shown: str) -> None:
    assert format_cell(cell) == shown  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (40_960_000, "39.1 MiB"),
        (1 << 30, "1.0 GiB"),
        (1 << 44, "16.0 TiB"),
    ],
)
def test_bytes_for_people(size: int, shown: str) -> None:
    assert format_bytes(size) == shown


def test_counts() -> None:
    assert (count(1, "file"), count(0, "file"), count(12345, "file")) == ("1 file", "0 files", "12,345 files")
