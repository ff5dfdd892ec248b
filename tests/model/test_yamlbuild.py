from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlgit.errors import InvalidError
from mlgit.model import dialect
from mlgit.model.text import MAX_BYTES, Block, dump_yaml
from mlgit.model.yamlbuild import build

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("aA1.-:# \n'\"~", max_size=6)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab<1", max_size=3), inner, max_size=3)
)
documents = st.dictionaries(st.text("abc", min_size=1, max_size=3), values, min_size=1, max_size=4)


def quickly(text: str) -> Block | None:
    return build(yaml.parse(text, Loader=dialect._Reader), dialect._plain, 1000)


def slowly(text: str) -> Any:
    try:
        dialect._check_shape(text, "f", 1000)
        return yaml.load(text, Loader=dialect._Loader)
    except (InvalidError, yaml.YAMLError, ValueError):
        return None


def with_lines(value: Any) -> Any:
    """`value` with what `==` does not see: types and lines."""
    if isinstance(value, dict):
        lines = (value.line, value.lines) if isinstance(value, Block) else None
        return lines, {key: with_lines(item) for key, item in value.items()}
    return [with_lines(item) for item in value] if isinstance(value, list) else (type(value), repr(value))


@given(documents)
def test_both_ways_lead_to_the_same_value(document: dict[str, Any]) -> None:
    text = dump_yaml(document)
    assert with_lines(quickly(text)) == with_lines(slowly(text)) or "<<" in text


@given(st.text("ab:-[]{},&*!<>|'\"# \n\t~1.", max_size=40).map(lambda text: f"k: 1\n{text}"))
def test_what_is_built_is_what_the_long_way_finds(text: str) -> None:
    built = quickly(text)
    if built is not None:
        assert with_lines(built) == with_lines(slowly(text))


@pytest.mark.parametrize(
    "text",
    [
        *(
            "a: &x 1\nb: *x",
            "a: !!int 1",
            "<<: {a: 1}",
            "a: 1\na: 2",
            "[a]",
            "? [a]\n: 1",
            "a: b: c",
            "'x",
            "a: 1\n---\nb: 2",
        ),
        "a: " + "[" * 40 + "]" * 40,
        "a: [" + "1, " * 2000 + "]",
        "a: " + "9" * 5000,
    ],
)
def test_whatever_is_out_of_the_ordinary_goes_the_long_way(text: str) -> None:
    assert quickly(text) is None or text.startswith("a: 1\n---")


def test_limits_hold() -> None:
    with pytest.raises(InvalidError, match="nested too deeply"):
        dialect.parse("a: " + "[" * 40 + "]" * 40, "f", MAX_BYTES)
    with pytest.raises(InvalidError, match="too large"):
        dialect.parse("a: [" + "1," * 210_000 + "]", "f", MAX_BYTES)
