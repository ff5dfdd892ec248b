"""The plain reader gives what PyYAML gives, or nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlgit.errors import InvalidError
from mlgit.model.block import MAX_BYTES, Block
from mlgit.model.dialect import emit, parse
from mlgit.model.plain import emit_plain, parse_plain
from mlgit.model.text import dump_yaml

POINTER = "out: raw\noid: blake3:9f86d081884c7d659a2feaa0c55ad015\ntype: tree\nsize: 41943040\nfiles: 10000\n"
STAGES = """\
# what runs

stages:
  train:
    cmd: python train.py > log
    deps:
      - data/raw.csv
      - train.py
    # seconds
    timeout: 90
    params:
    - lr
    - 3
    outs:
      - model
"""
LOCK = (
    "mlgit: 1\nstages:\n  train:\n    cmd: python train.py\n    deps:\n      x.csv: file blake3:7c1f 743\n    outs:\n"
)


def shape(value: Any) -> Any:
    """A value with its types, and its lines if it is a mapping."""
    if isinstance(value, Block):
        return value.line, value.lines, [(key, shape(one)) for key, one in value.items()]
    return type(value), value


def agrees(text: str) -> bool:
    """Whether the plain reader took it; then it must give the same."""
    for data in (text, text.encode(errors="surrogatepass")):
        found = parse_plain(data, MAX_BYTES)
        if found is not None:
            assert shape(found) == shape(parse(text, "x", MAX_BYTES))
    return found is not None


@pytest.mark.parametrize(
    "text", [POINTER, LOCK, "a:\n", "core:\n  autostage: true\ncache:\n  dir: cache\n", POINTER[:-1], STAGES]
)
def test_what_mlgit_writes_is_plain(text: str) -> None:
    assert agrees(text)


@pytest.mark.parametrize(
    "text",
    [
        *("a: 1.5\n", "a: 0x1f\n", "a: 1e3\n", "a: - b\n", "- a\n", "a: 'b'\n", "a: b # c\n", "a: b:\n"),
        *("a: b\n  c\n", "a: b\n  c: d\n", " a: b\n", "a:\n   b: 1\n  c: 2\n", "a: 1\na: 2\n", "a: [b]\n", "a: *b\n"),
        *("a: b \n", "a:  b\n", "a: b\r\n", "a: é\n", "a\n", "", "\n", "# c\n", "---\na: b\n", "a: \x00\n"),
        *("<<: a\n", "a: !!str b\n", "a: 12345678901234567890\n", f"a: {'b' * 2000}\n", "a: b: c\n", "a: |\n  b\n"),
    ],
)
def test_the_rest_is_left_to_pyyaml(text: str) -> None:
    assert parse_plain(text, MAX_BYTES) is None


WORDS = st.sampled_from(
    [
        *(
            "a",
            "b",
            "ab",
            "yes",
            "null",
            "True",
            "~",
            "1",
            "007",
            "1_0",
            "0o7",
            "1:2",
            "12:30",
            "-1",
            ".5",
            "x:y",
            "a b",
        ),
        *(
            "a > b",
            "a | b",
            "a, b",
            'a "b"',
            "a 'b'",
            "a]",
            "a: ]",
            "%a",
            "a%b",
            "a & b",
            "a *b",
            "a! b",
            "a #b",
            "a# b",
        ),
        *("a {b}", "a `b`", "a \\ b", "a ? b", "a; b: c", "a:b", "a://b", "a ~ b", "a@b: c", "a -- b"),
        *("1 2", "2026-01-01", "1e3", ".inf", "a - b", "a -", "c:", ":", "=", "a@b", "@a", "a+b", "", "+1", "_", "0"),
        *("é", "a#b"),
    ]
)
LINES = st.builds(
    lambda n, k, sep, v: " " * n + k + sep + v,
    st.integers(0, 4),
    st.one_of(WORDS, st.sampled_from(["-", "- a", "-  a", "#", "# a", ""])),
    st.sampled_from([": ", ":", "", " "]),
    WORDS,
)


@given(st.lists(LINES, max_size=6).map("\n".join))
@example("a:\nb:\n  c:\n")
@example("a:\n  b:\n c: 1\n")
def test_it_agrees_with_pyyaml(text: str) -> None:
    try:
        parse(text, "x", MAX_BYTES)
    except InvalidError:
        assert parse_plain(text, MAX_BYTES) is None
    else:
        agrees(text)


@given(st.text(alphabet="ab1:_ -.\n#'\t", max_size=24))
def test_it_agrees_on_any_text(text: str) -> None:
    test_it_agrees_with_pyyaml.hypothesis.inner_test(text)  # type: ignore[attr-defined]


NAMES = st.from_regex(r"[A-Za-z_][a-z0-9_./-]{0,6}", fullmatch=True)
VALUES = st.recursive(
    st.one_of(NAMES, st.integers(0, 10**17), st.booleans(), st.none()),
    lambda inner: st.one_of(
        st.dictionaries(NAMES, inner, min_size=1, max_size=4), st.lists(inner, min_size=1, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=4))
def test_what_was_dumped_is_read_back(value: dict[str, Any]) -> None:
    agrees(dump_yaml(value))


WRITTEN = st.recursive(
    st.one_of(WORDS, NAMES, st.text(alphabet="aB1:_ -.#'\"{}[]>|,", max_size=12), st.integers(), st.booleans()),
    lambda inner: st.dictionaries(st.one_of(NAMES, WORDS, st.text(max_size=3)), inner, min_size=1, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(NAMES, WRITTEN, min_size=1, max_size=4))
@example({"a": {"b": "x" * 2000, "c" * 200: "d"}})
def test_what_it_writes_is_what_pyyaml_writes(value: dict[str, Any]) -> None:
    text = emit_plain(value)
    assert text is None or text == emit(value)


def test_a_lock_entry_is_written_plainly() -> None:
    entry = {"cmd": "python train.py > log", "outs": {"m.bin": "file blake3:7c1f 743"}}
    assert emit_plain({"stages": {"train": entry}}) == emit({"stages": {"train": entry}})
    shared = {"a": 1}
    assert emit_plain({"b": shared, "c": shared}) == emit({"b": shared, "c": shared})


def test_too_deep_is_left_to_pyyaml() -> None:
    text = "".join(" " * depth + "a:\n" for depth in range(40))
    assert parse_plain(text, MAX_BYTES) is None


def test_too_large_is_left_to_pyyaml() -> None:
    assert parse_plain("a: b\n", 4) is None
    assert parse_plain("".join(f"a{number}: b\n" for number in range(70_000)), MAX_BYTES) is None
