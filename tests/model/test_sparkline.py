import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.model.sparkline import GAP, WIDTH, span, sparkline

NUMBERS = st.lists(st.one_of(st.none(), st.integers(-(10**300), 10**300), st.floats()), max_size=100)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([], ""),
        ([1], "▄"),
        ([3, 3, 3], "▄▄▄"),
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        ([1.0, 0.5, 0.0], "█▅▁"),
        ([1, math.nan, None, math.inf, 0], "█···▁"),
        ([math.nan], "·"),
        (list(range(40)), "▁▁▁▂▂▃▃▃▄▄▅▅▆▆▆▇▇███"),
        ([0, 0, math.nan, 1] * 10 + [math.nan] * 40, "▃▃▃▃▃▃▃▃▃▃··········"),
    ],
)
def test_lines(numbers, expected):
    found = sparkline(numbers, span(numbers) or (0, 0))
    assert len(found) == len(expected)
    assert found == expected


def test_one_scale_for_two_sides():
    scale = span([0, 8, *[4, 4]])
    assert (sparkline([0, 8], scale), sparkline([4, 4], scale)) == ("▁█", "▅▅")
    assert span([None, math.nan, math.inf]) is None
    assert sparkline([-5, 50], (0, 1)) == "▁█"


@given(NUMBERS)
def test_any_numbers(numbers):
    scale = span(numbers)
    found = sparkline(numbers, scale or (0, 0))
    assert len(found) == min(len(numbers), WIDTH)
    assert scale is not None or set(found) <= {GAP}


def test_the_largest_floats():
    big = 1.7e308
    assert sparkline([-big, 0, big], (-big, big)) == "▁▅█"
    assert sparkline([big] * 60, (-big, big)) == "█" * WIDTH
