import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.model.metric import join_key
from mlgit.model.slicekey import parse_slice


@pytest.mark.parametrize(
    ("key", "name", "metric", "count"),
    [
        ("by_size.medium.recall", "size = medium", "recall", "by_size.medium.n"),
        ("test.by_size.medium.top.recall", "size = medium", "test.top.recall", "test.by_size.medium.n"),
        ("by_a.x.by_b.y.f1", "a = x, b = y", "f1", "by_a.x.by_b.y.n"),
        ("recall.by_size.medium", "size = medium", "recall", "n.by_size.medium"),
        ("test.recall.by_a.x.by_b.y", "a = x, b = y", "test.recall", "test.n.by_a.x.by_b.y"),
        ("by_size.medium", "size = medium", "value", "n.by_size.medium"),
        ("by_size[0].recall", "size = 0", "recall", "by_size[0].n"),
        (r"by_size.1\.5.recall", "size = 1.5", "recall", r"by_size.1\.5.n"),
    ],
)
def test_slices(key, name, metric, count):
    found = parse_slice(key)
    assert (found.name, found.metric, found.counts[0]) == (name, metric, count)
    assert found.count({count: 7}) == 7
    assert found.count({count: True}) is found.count({count: 7.0}) is found.count({}) is None


@pytest.mark.parametrize("key", ["recall", "by_.x.recall", "recall.by_size", "standby_x.y", "", "baby_size"])
def test_other_keys(key):
    assert parse_slice(key) is None


@given(st.lists(st.one_of(st.sampled_from(["by_a", "by_b", "n", ""]), st.text(), st.integers(0, 9)), min_size=1))
def test_any_key(path):
    found = parse_slice(join_key(path))
    assert found is None or (found.name and found.metric and len(found.counts) == 3)
