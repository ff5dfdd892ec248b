"""Ignore rules: most names are passed without matching, and never one that a rule means."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec

from mlgit.errors import InvalidError
from mlgit.work.ignore import DEFAULT, NAME, Ignore

NAMES = ["a", "a.tmp", "b.tmp/", "cache/", "cache", ".DS_Store", "__pycache__/", "x y", "#a", "!a", "[a]", "a\\b", "ab"]
RULES = [
    *("*.tmp", "cache/", "/data/a", "data/**/ab", "!a.tmp", "# a", "", "  ", "[ab]", "a?", "*", "**", "\\#a", "\\!a"),
    *("x\\ y", "x y ", " a", "data", "da*/cache", "[!a]*", "a[b]", "\\[a]", "a\\\\b", "**/a", "*b", "/*"),
    *DEFAULT.splitlines(),
]


@given(st.lists(st.sampled_from(RULES), max_size=5), st.sampled_from(["", "data", "data/sub"]))
def test_what_is_left_out_is_what_the_rules_say(
    tmp_path_factory: pytest.TempPathFactory, rules: list[str], folder: str
) -> None:
    root = tmp_path_factory.mktemp("rules")
    (root / NAME).write_text("\n".join(rules))
    spec = GitIgnoreSpec.from_lines(rules)
    start = f"{folder}/" if folder else ""
    ignore = Ignore(root)
    assert ignore.among(folder, NAMES) == {name for name in NAMES if spec.match_file(start + name)}
    for name in NAMES:
        assert ignore.matches(start + name.rstrip("/"), folder=name.endswith("/")) == spec.match_file(start + name)


def test_without_rules_nothing_is_left_out(tmp_path: Path) -> None:
    assert Ignore(tmp_path).among("data", NAMES) == frozenset()


@pytest.mark.parametrize("text", [b"\xff", b"*.tmp\n!\n", b"a\n\xff\xfe\n"])
def test_rules_that_cannot_be_read_are_an_error(tmp_path: Path, text: bytes) -> None:
    (tmp_path / NAME).write_bytes(text)
    with pytest.raises(InvalidError, match=NAME):
        Ignore(tmp_path).among("data", ["plain"])
