"""Strict YAML: what is written comes back, and hostile documents are refused within bounds."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.errors import InvalidError, MlgitError
from mlgit.model.text import MAX_BYTES, MAX_DEPTH, Block, dump_yaml, load_yaml

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
WORDS = (
    "yes no on ~ null 1e3 1_000 0x1f 0o17 017 1:30 << = .inf .nan - 2001-01-01 true # ' | > % @ !x &a *a { [ 1. +1 _1"
)
TRICKY = st.sampled_from([*WORDS.split(), "", " ", "- a", "a: b", '"', "\n", "\t", "a\n b\n", "\x85", "\ufeff"])
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.floats(allow_nan=False), TEXT, TRICKY)
KEYS = st.one_of(TEXT, TRICKY)
VALUES = st.recursive(
    SCALARS,
    lambda below: st.one_of(st.lists(below, max_size=4), st.dictionaries(KEYS, below, max_size=4)),
    max_leaves=12,
)


@given(st.one_of(st.lists(VALUES, max_size=4), st.dictionaries(KEYS, VALUES, max_size=4)))
def test_what_is_written_comes_back(value: object) -> None:
    text = dump_yaml(value)  # type: ignore[arg-type]
    again = load_yaml(text, "x")
    assert again == value
    assert dump_yaml(again) == text
    assert "\r" not in text


@given(st.one_of(st.binary(max_size=200), st.text(st.sampled_from("ab:-[]{}&*!|>'\"#%@\n\t ,?~0<\\"), max_size=60)))
def test_any_text_ends_in_our_errors(data: bytes | str) -> None:
    try:
        load_yaml(data, "x")
    except MlgitError as error:
        assert error.code == 10


def _bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        _bomb(9),
        "a: 1\na: 2",
        "b:\n  a: 1\n  'a': 2",
        "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
        "[" * 100_000,
        "- " * 5000,
        "!!python/object/apply:os.system ['id']",
        "a: !!binary aGk=",
        "a: !local x",
        "? [a]\n: b",
        "&a [*a]",
        "*nothing",
        "a: 1\n---\nb: 2",
        "x: " + "9" * 5000,
        "x: 0x" + "f" * 5000,
        "a: \x00",
        "a: \x07",
        "x" * (MAX_BYTES + 1),
        "\n".join(["- a"] * 250_000),
        "a:\tb\n\t- c",
    ],
    ids=lambda text: text[:12].replace("\n", "|"),
)
def test_hostile_documents_are_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="file"):
        load_yaml(text.encode(), "file")


def test_bytes_must_be_utf8() -> None:
    with pytest.raises(InvalidError, match="not UTF-8 at byte 3"):
        load_yaml(b"a: \xff", "file")


def test_scalars_are_those_of_yaml_1_2() -> None:
    text = (
        "a: yes\nb: 1e-3\nc: 0o17\nd: 017\ne: 1:30\nf: .inf\ng: 0x1F\nh: True\ni: ~\nj: 1_000\nk: .nan\nl: 2001-01-01"
    )
    found = load_yaml(text, "x")
    nan = found.pop("k")
    assert math.isnan(nan)
    assert found == {
        **{"a": "yes", "b": 0.001, "c": 15, "d": 17, "e": "1:30", "f": math.inf, "g": 31, "h": True, "i": None},
        **{"j": "1_000", "l": "2001-01-01"},
    }


def test_errors_name_the_line() -> None:
    with pytest.raises(InvalidError, match=r"mlgit\.yaml:3: duplicate key 'a'"):
        load_yaml("a: 1\nb: 2\na: 3\n", "mlgit.yaml")


def test_mappings_know_their_lines_and_merge_keys_work() -> None:
    found = load_yaml("base: &b\n  x: 1\n  y: 2\nmore:\n  <<: *b\n  y: 3\n", "x")
    assert isinstance(found, Block)
    assert (found.line, found.lines) == (1, {"base": 1, "more": 4})
    assert found["more"] == {"x": 1, "y": 3}


def test_what_a_merge_left_is_called_by_its_name() -> None:
    sides = "out: a\n<<<<<<< HEAD\nsize: 1\n=======\nsize: 2\n>>>>>>> other\n"
    with pytest.raises(InvalidError, match=r"x\.mlgit:2: a merge left a conflict") as caught:
        load_yaml(sides, "x.mlgit")
    assert "git checkout --ours 'x.mlgit'" in (caught.value.hint or "")
    assert load_yaml("a: |\n  <<<<<<< HEAD\n  =======\n  >>>>>>> other\n", "x")


def test_a_character_that_yaml_refuses_is_told_in_one_line() -> None:
    with pytest.raises(InvalidError) as caught:
        load_yaml("a: x\x00y", "x")
    assert "\n" not in caught.value.message
