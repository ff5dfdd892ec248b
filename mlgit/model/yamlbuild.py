"""A YAML document built while the C parser reads it, in half the time that PyYAML's constructors take.

What is not a mapping without anchors, aliases, tags and merges, or is not right, is left to `dialect.py`, which does it
the long way and words the errors. A property test holds the two to the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import yaml

from mlgit.model.block import MAX_DEPTH, Block

_STARTS: Final = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_ENDS: Final = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
_MERGE: Final = "<<"


class _LongWayError(Exception):
    """Not for this module, but for `dialect.py`."""


def build(events: Iterable[Any], plain: Callable[[str], Any], max_nodes: int) -> Block | None:
    """The mapping that `events` tell of; None if it takes the long way to know.

    Args:
        plain: gives the value of a scalar without quotes.
    """
    builder = _Builder(plain)
    try:
        for count, event in enumerate(events):
            kind = type(event)
            if kind is yaml.ScalarEvent:
                builder.scalar(event)
            elif kind in _STARTS:
                builder.start(event)
            elif kind in _ENDS:
                builder.end()
            elif kind is yaml.AliasEvent or count > max_nodes:
                return None
    except (yaml.YAMLError, ValueError, _LongWayError):
        return None
    top = builder.top
    return top[0] if len(top) == 1 and isinstance(top[0], Block) else None


class _Builder:
    """The collections that are open, the innermost of them, and the key in it that waits for its value."""

    __slots__ = ("_above", "_inner", "_key", "_known", "_plain", "top")

    def __init__(self, plain: Callable[[str], Any]) -> None:
        self._plain = plain
        self._known: dict[str, Any] = {}
        self.top: list[Any] = []
        self._inner: Any = self.top
        self._key: tuple[str, int] | None = None
        self._above: list[tuple[Any, tuple[str, int] | None]] = []

    def scalar(self, event: Any) -> None:
        """A key or a value."""
        if event.tag is not None or event.anchor is not None:
            raise _LongWayError
        text = event.value
        if self._key is None and type(self._inner) is Block:
            if text in self._inner or text == _MERGE:
                raise _LongWayError
            self._key = (text, event.start_mark.line + 1)
        elif not event.implicit[0]:
            self._put(text)
        else:
            if text not in self._known:
                self._known[text] = self._plain(text)
            self._put(self._known[text])

    def start(self, event: Any) -> None:
        """A mapping or a list begins."""
        keyless = self._key is None and type(self._inner) is Block
        if keyless or event.tag is not None or event.anchor is not None or len(self._above) >= MAX_DEPTH:
            raise _LongWayError
        self._above.append((self._inner, self._key))
        self._key = None
        line = event.start_mark.line + 1
        self._inner = []
        if isinstance(event, yaml.MappingStartEvent):
            self._inner = Block()
            self._inner.line, self._inner.lines = line, {}

    def end(self) -> None:
        """The innermost collection is complete."""
        value = self._inner
        self._inner, self._key = self._above.pop()
        self._put(value)

    def _put(self, value: Any) -> None:
        if self._key is None:
            self._inner.append(value)
            return
        key, line = self._key
        self._inner[key] = value
        self._inner.lines[key] = line
        self._key = None
