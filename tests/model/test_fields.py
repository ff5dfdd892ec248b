"""Typed access to parsed mappings: errors name file, line and key, and guess what was meant."""

from __future__ import annotations

import pytest

from mlgit.errors import InvalidError
from mlgit.model.fields import Fields, describe
from mlgit.model.text import load_yaml

TEXT = "name: x\ncount: 3\nratio: 1\nflag: true\nlist: [1]\nmap: {a: 1}\nempty:\n"
KNOWN = ("name", "count", "ratio", "flag", "list", "map", "empty", "absent")


@pytest.fixture
def fields() -> Fields:
    return Fields(load_yaml(TEXT, "a.yaml"), "a.yaml", KNOWN)


def test_values_of_every_type(fields: Fields) -> None:
    assert fields.text("name") == "x"
    assert fields.whole("count") == 3
    assert fields.number("ratio") == 1.0
    assert isinstance(fields.number("ratio"), float)
    assert fields.flag("flag") is True
    assert fields.items("list") == [1]
    assert fields.mapping("map") == {"a": 1}
    assert fields.text("absent", None) is None
    assert fields.text("empty", "d") == "d"
    assert fields.choice("name", ("x", "y")) == "x"


@pytest.mark.parametrize(
    ("method", "key", "words"),
    [
        ("text", "count", "a.yaml:2: count: expected text"),
        ("whole", "flag", "a.yaml:4: flag: expected a whole number"),
        ("number", "flag", "a.yaml:4: flag: expected a number"),
        ("flag", "name", "a.yaml:1: name: expected true or false"),
        ("items", "map", "expected a list, found a mapping"),
        ("mapping", "list", "expected a mapping, found a list"),
        ("text", "absent", "a.yaml: absent: missing"),
        ("text", "empty", "a.yaml:7: empty: empty"),
    ],
)
def test_wrong_types_are_named(fields: Fields, method: str, key: str, words: str) -> None:
    with pytest.raises(InvalidError) as caught:
        getattr(fields, method)(key)
    assert words in caught.value.message


def test_near_misses_are_guessed() -> None:
    with pytest.raises(InvalidError, match="unknown key") as caught:
        Fields(load_yaml("naem: x", "a.yaml"), "a.yaml", KNOWN)
    assert caught.value.hint == "did you mean 'name'?"
    with pytest.raises(InvalidError, match="unknown value 'flie'") as caught:
        Fields({"name": "flie"}, "a.yaml", KNOWN).choice("name", ("file", "tree"))
    assert caught.value.hint == "did you mean 'file'?"


def test_nested_places_keep_the_file_and_the_keys() -> None:
    outer = Fields(load_yaml("a:\n  b:\n    c: 1\n", "f.yaml"), "f.yaml", ["a"])
    inner = Fields(outer.mapping("a"), outer.at("a"), ["b"])
    deepest = Fields(inner.mapping("b"), inner.at("b"), ["c"])
    assert deepest.at("c") == "f.yaml:3: a.b.c"


def test_a_number_too_large_for_a_float_is_refused() -> None:
    with pytest.raises(InvalidError, match="too large"):
        Fields({"ratio": 10**400}, "a", KNOWN).number("ratio")


def test_descriptions() -> None:
    assert [describe(one) for one in (None, {}, [], True, "x")] == [
        "nothing",
        "a mapping",
        "a list",
        "true or false",
        "'x'",
    ]
