from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.errors import InvalidError
from mlgit.model.quantity import format_size, format_time, parse_size, parse_time


@pytest.mark.parametrize(
    ("value", "seconds"), [(5, 5.0), (0.5, 0.5), ("90s", 90.0), ("10m", 600.0), ("1.5h", 5400.0), ("1d", 86400.0)]
)
def test_a_time_is_read(value: object, seconds: float) -> None:
    assert parse_time(value, "here") == seconds


@pytest.mark.parametrize(
    ("value", "size"),
    [(5, 5), ("5B", 5), ("4GiB", 4 << 30), ("500MB", 500_000_000), ("1.5 KiB", 1536), ("2TB", 2 * 10**12)],
)
def test_a_size_is_read(value: object, size: int) -> None:
    assert parse_size(value, "here") == size


@pytest.mark.parametrize("value", [0, -1, True, None, "", "10", "ten", "10 m", "0s", [], float("inf"), float("nan")])
def test_what_is_no_time_is_refused(value: object) -> None:
    with pytest.raises(InvalidError, match="here: not a time"):
        parse_time(value, "here")


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "", "4G", "4gib", "0MB", "0.1B", "GB", None])
def test_what_is_no_size_is_refused(value: object) -> None:
    with pytest.raises(InvalidError, match="here: not a size"):
        parse_size(value, "here")


@given(st.integers(1, 10**15))
def test_a_size_survives_being_written(size: int) -> None:
    assert parse_size(format_size(size), "here") == size


@given(st.integers(1, 10**9) | st.floats(0.001, 1e6))
def test_a_time_survives_being_written(seconds: float) -> None:
    assert parse_time(format_time(seconds), "here") == seconds
