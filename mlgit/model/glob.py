"""Patterns over root-relative paths, compared component by component.

`*` and `?` match inside of one component, `[…]` one character, and `**` as a whole component any number of folders.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from fnmatch import translate
from typing import Final

_SIGN: Final = re.compile(r"[*?\[]")


def literal_start(pattern: str) -> str:
    """What every path that `pattern` matches begins with."""
    found = _SIGN.search(pattern)
    return pattern[: found.start()] if found else pattern


def matches(path: str, pattern: str) -> bool:
    """Whether `path` matches `pattern`."""
    return _walk(path.split("/"), tuple(pattern.split("/")), inside=False)


def may_hold(path: str, pattern: str) -> bool:
    """Whether `path`, a file or a folder, matches `pattern` or could have something in it that does."""
    return _walk(path.split("/"), tuple(pattern.split("/")), inside=True)


def _walk(parts: Sequence[str], pattern: tuple[str, ...], *, inside: bool) -> bool:
    """Go along the path with the set of places in the pattern where it may stand, so that nothing is tried twice."""
    places = _skip({0}, pattern)
    for part in parts:
        ahead = set()
        for place in places:
            if place < len(pattern):
                if pattern[place] == "**":
                    ahead.add(place)
                elif _component(pattern[place]).match(part):
                    ahead.add(place + 1)
        places = _skip(ahead, pattern)
        if not places:
            return False
    return inside or len(pattern) in places


def _skip(places: set[int], pattern: tuple[str, ...]) -> set[int]:
    """`places` and those behind each `**`, which may stand for nothing."""
    reached = set(places)
    for place in sorted(places):
        while place < len(pattern) and pattern[place] == "**":
            place += 1
            reached.add(place)
    return reached


@functools.lru_cache(maxsize=1024)
def _component(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))
