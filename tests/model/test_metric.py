import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.errors import InvalidError
from mlgit.model.metric import (
    diff_values,
    join_key,
    match_keys,
    parse_metrics,
    parse_records,
    parse_value,
    split_key,
)
from mlgit.model.report import Mark

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
paths = st.lists(names | st.integers(0, 999), min_size=1, max_size=5).map(tuple)


@given(paths)
def test_a_key_gives_its_path_back(path):
    assert split_key(join_key(path)) == path


@given(st.lists(paths, unique=True, max_size=6))
def test_two_paths_never_share_a_key(many):
    assert len({join_key(path) for path in many}) == len(many)


@pytest.mark.parametrize("key", ["a..b", ".a", "a.", "[x]", "a[0", "a\\", "[01]"])
def test_what_no_path_gives_is_no_key(key):
    with pytest.raises(InvalidError):
        split_key(key)


def test_nested_names_lists_and_dots_in_names():
    data = {"a": {"b": [1, {"c": None}], "x.y": True}, "": 2, "empty": {}, "none": []}
    assert parse_metrics(json.dumps(data).encode(), "m.json") == {
        "a.b[0]": 1,
        "a.b[1].c": None,
        r"a.x\.y": True,
        r"\e": 2,
    }


def test_every_format_says_the_same():
    expected = {"auc": 0.5, "n.train": 3, "tag": "x"}
    assert parse_metrics(b'{"auc": 0.5, "n": {"train": 3}, "tag": "x"}', "m.json") == expected
    assert parse_metrics(b"auc: 0.5\nn:\n  train: 3\ntag: x\n", "m.yaml") == expected
    assert parse_metrics(b'auc = 0.5\ntag = "x"\n[n]\ntrain = 3\n', "m.toml") == expected
    assert parse_metrics(b"\xef\xbb\xbfauc,tag\r\n0.5,x\r\n", "M.CSV") == {"auc": 0.5, "tag": "x"}
    assert parse_metrics(b"auc\ttag\n0.5\tx\n", "m.tsv") == {"auc": 0.5, "tag": "x"}


def test_rows_of_a_table_are_named_by_their_first_column():
    data = b"carrier,n,auc\nAA,10,0.7\nB.6,20,\n"
    assert parse_metrics(data, "m.csv") == {"AA.n": 10, "AA.auc": 0.7, r"B\.6.n": 20, r"B\.6.auc": None}


def test_a_bare_value_and_an_empty_file():
    assert parse_metrics(b"0.93", "m.json") == {"": 0.93}
    assert parse_metrics(b"", "m.csv") == {}
    assert parse_metrics(b"a,b\n", "m.csv") == {}


def test_json_numbers_as_python_writes_them():
    found = parse_metrics(b'{"a": NaN, "b": -Infinity, "c": 1e400}', "m.json")
    assert math.isnan(found["a"])
    assert found["b"] == -math.inf
    assert found["c"] == math.inf


def test_toml_dates_are_text():
    assert parse_metrics(b"day = 2024-01-02\n", "m.toml") == {"day": "2024-01-02"}


DEEP = b'{"a":' * 40 + b"1" + b"}" * 40


@pytest.mark.parametrize(
    ("data", "path", "word"),
    [
        (b'{"a": 1, "a": 2}', "m.json", "'a'"),
        (b'{"a": 1', "m.json", "delimiter"),
        (DEEP, "m.json", "deep"),
        (b"[" * 100_000, "m.json", "deep"),
        (b'{"a": ' + b"9" * 5000 + b"}", "m.json", "digits"),
        (b"a: " + b"9" * 350 + b"\n", "m.yaml", "digits"),
        (b"a = " + b"9" * 5000 + b"\n", "m.toml", "m.toml"),
        (b"a\n" + b"9" * 5000 + b"\n", "m.csv", "digits"),
        (b'{"a": "\\ud800"}', "m.json", "character"),
        (b'{"\\ud800": 1}', "m.json", "character"),
        (b"a,a\n1,2\n", "m.csv", "twice"),
        (b"a,b\n1\n", "m.csv", ":2"),
        (b"k,b\nx,1\nx,2\n", "m.csv", "'x'"),
        (b'a\n"x', "m.csv", "m.csv:"),
        (b"\xff", "m.json", "UTF-8"),
        (b"a: !!python/object:os.system {}\n", "m.yaml", "tag"),
        (b"a: 1\na: 2\n", "m.yaml", "duplicate"),
        (b"x = 1\nx = 2\n", "m.toml", "m.toml"),
        (b"import os", "params.py", "not a format"),
        (b"x = " + b"[" * 5000, "m.toml", "m.toml"),
    ],
)
def test_what_is_malformed_is_refused_by_name(data, path, word):
    with pytest.raises(InvalidError) as caught:
        parse_metrics(data, path)
    assert word in caught.value.message
    assert path in caught.value.message
    assert caught.value.hint


@given(st.binary(max_size=60), st.sampled_from(["m.json", "m.yaml", "m.toml", "m.csv", "m.tsv"]))
def test_any_bytes_are_read_or_refused(data, path):
    for parse in (parse_metrics, parse_value, parse_records):
        try:
            parse(data, path)
        except InvalidError as error:
            assert path in error.message


def test_records_of_a_plot():
    rows = [{"fpr": 0, "v.x": 1, "deep": {"a": 2}}, {"fpr": 1, "v.x": 2, "deep": {"a": 3}}]
    flat = [{"fpr": 0, "v.x": 1, "deep.a": 2}, {"fpr": 1, "v.x": 2, "deep.a": 3}]
    assert parse_records(json.dumps({"meta": 1, "roc": rows}).encode(), "roc.json") == flat
    assert parse_records(json.dumps(rows).encode(), "roc.json") == flat
    assert parse_records(b"- a: 1\n- a: 2\n", "p.yaml") == [{"a": 1}, {"a": 2}]
    assert parse_records(b"a,b\n1,true\n", "p.csv") == [{"a": 1, "b": True}]
    assert parse_records(b"[]", "p.json") == []
    with pytest.raises(InvalidError, match="no list of records"):
        parse_records(b'{"a": 1}', "p.json")


def test_patterns_stay_inside_a_name():
    keys = ["auc", "carrier.AA.auc", "carrier.B[6].auc", r"carrier.B\.6.auc", "carrier.AA.deep.auc", "layers[0]"]
    assert match_keys("carrier.*.auc", keys) == ["carrier.AA.auc", r"carrier.B\.6.auc"]
    assert match_keys("*", keys) == ["auc"]
    assert match_keys("layers[?]", keys) == ["layers[0]"]
    assert match_keys("auc", keys) == ["auc"]
    assert match_keys("AUC", keys) == []
    assert match_keys("a*c", ["a*c", "abc"]) == ["a*c", "abc"]


def test_a_hostile_pattern_is_quick():
    assert match_keys("*a" * 20 + "b", ["a" * 5000]) == []


def test_differences():
    old = {"a": 0.9, "b": 1, "gone": 2, "t": "x", "n": math.nan, "same": 1}
    new = {"a": 0.88, "b": 3, "t": "y", "n": math.nan, "same": 1.0, "fresh": None}
    found = {change.key: change for change in diff_values(old, new)}
    assert list(found) == ["a", "b", "t", "n", "same", "fresh", "gone"]
    assert (found["a"].mark, found["a"].delta) == (Mark.CHANGED, -0.02)
    assert found["a"].relative == pytest.approx(-0.02 / 0.9)
    assert (found["b"].delta, found["b"].relative) == (2, 2.0)
    assert isinstance(found["b"].delta, int)
    assert found["gone"].mark is Mark.REMOVED
    assert found["fresh"].mark is Mark.ADDED
    assert (found["t"].mark, found["t"].delta) == (Mark.CHANGED, None)
    assert found["n"].mark is Mark.SAME
    assert found["same"].mark is Mark.SAME


def test_a_missing_side_is_all_added_or_all_removed():
    assert [change.mark for change in diff_values(None, {"a": 1})] == [Mark.ADDED]
    assert [change.mark for change in diff_values({"a": 1}, None)] == [Mark.REMOVED]
    assert diff_values(None, None) == []


@pytest.mark.parametrize(
    ("old", "new", "mark", "delta", "relative"),
    [
        (0, 0.5, Mark.CHANGED, 0.5, math.inf),
        (0, -1, Mark.CHANGED, -1, -math.inf),
        (-2, -1, Mark.CHANGED, 1, 0.5),
        (1.0, math.inf, Mark.CHANGED, None, None),
        (math.nan, 1.0, Mark.CHANGED, None, None),
        (True, 1, Mark.CHANGED, None, None),
        (1, "1", Mark.CHANGED, None, None),
        (0.1, 0.10000000000000002, Mark.CHANGED, 2e-17, 2e-16),
        (1e308, -1e308, Mark.CHANGED, -math.inf, -2.0),
        (5e-324, 1e308, Mark.CHANGED, 1e308, math.inf),
    ],
)
def test_odd_values(old, new, mark, delta, relative):
    (change,) = diff_values({"k": old}, {"k": new})
    assert (change.mark, change.delta, change.relative) == (mark, delta, relative)
