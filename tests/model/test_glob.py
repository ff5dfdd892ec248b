from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.model.glob import literal_start, matches, may_hold

parts = st.lists(st.sampled_from(["a", "b", "ab", "a.c"]), min_size=1, max_size=4)
patterns = st.lists(st.sampled_from(["a", "b", "*", "a*", "?", "[ab]", "**"]), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("path", "pattern", "whole", "inside"),
    [
        ("data/a.csv", "data/*.csv", True, True),
        ("data", "data/*.csv", False, True),
        ("data/x/a.csv", "data/*.csv", False, False),
        ("data/x/a.csv", "data/**/*.csv", True, True),
        ("data/a.csv", "data/**/*.csv", True, True),
        ("data/x", "data/**", True, True),
        ("other", "data/**", False, False),
        ("data2", "data/*", False, False),
        (".hidden", "*", True, True),
        ("a[1]", "a[[]1]", True, True),
        ("a\nb", "a?b", True, True),
    ],
)
def test_paths_are_compared_component_by_component(path: str, pattern: str, whole: bool, inside: bool) -> None:
    assert (matches(path, pattern), may_hold(path, pattern)) == (whole, inside)


def slowly(path: list[str], pattern: list[str]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        return slowly(path, pattern[1:]) or (bool(path) and slowly(path[1:], pattern))
    return bool(path) and fnmatchcase(path[0], pattern[0]) and slowly(path[1:], pattern[1:])


@given(parts, patterns)
def test_it_is_what_the_definition_says(path: list[str], pattern: list[str]) -> None:
    assert matches("/".join(path), "/".join(pattern)) == slowly(path, pattern)


@given(parts, patterns)
def test_a_folder_of_a_match_may_hold_it_and_it_begins_as_the_pattern_does(path: list[str], pattern: list[str]) -> None:
    if matches("/".join(path), "/".join(pattern)):
        assert all(may_hold("/".join(path[:end]), "/".join(pattern)) for end in range(1, len(path) + 1))
        assert "/".join([*path, ""]).startswith(literal_start("/".join(pattern)))
