"""Reading typed fields out of a parsed mapping, with errors that name file, line and key.

Decoders in this package say which keys they know; anything else is refused, so that a typing error in a file is never
silently ignored.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Final, NoReturn

from mlgit.errors import InvalidError
from mlgit.model.text import Block

_LONGEST: Final = 200
"""Characters of a word in an error; a longer one is no typing error either, and comparing it could take hours."""
_NAMES = {
    dict: "a mapping",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
}
_MENDS = {
    dict: "write `key: value` lines",
    list: "start each item with `- `, or write [a, b]",
    str: "write text; a number, true or false in quotes",
    bool: "write true or false, without quotes",
    int: "write a whole number, without quotes",
    float: "write a number, without quotes",
}


class Fields:
    """One mapping under decoding.

    Args:
        value: what the parser gave for it.
        where: the file, and the path of keys that led here, such as `mlgit.yaml: stages.train`.
        known: every key that may occur.

    Raises:
        InvalidError: `value` is no mapping, or has a key that is not known.
    """

    __slots__ = ("block", "where")

    def __init__(self, value: object, where: str, known: Iterable[str]) -> None:
        self.where = where
        if not isinstance(value, dict):
            raise InvalidError(f"{where}: expected a mapping, found {describe(value)}", hint="write `key: value` lines")
        self.block: dict[str, Any] = value
        allowed = known if isinstance(known, (Mapping, tuple)) else list(known)
        for key in value:
            if key not in allowed:
                hint = _near(key, allowed) or f"known keys: {_cut(', '.join(sorted(allowed)), 2000)}"
                self.fail(key, "unknown key", hint)

    def fail(self, key: str, problem: str, hint: str | None = None) -> NoReturn:
        """Raise `InvalidError` about `key`, with its line where it is known."""
        raise InvalidError(f"{self.at(key)}: {problem}", hint=hint)

    def at(self, key: str) -> str:
        """`file:line: path.key`, for an error or for the fields of a nested mapping."""
        line = self.block.lines.get(key) if isinstance(self.block, Block) else None
        file, colon, path = self.where.partition(": ")
        if line is not None:
            file = f"{_without_line(file)}:{line}"
        return f"{file}: {path + '.' if colon else ''}{_cut(key)}"

    def _typed(self, key: str, kind: type, default: Any) -> Any:
        value = self.block.get(key)
        if value is None:
            if default is ...:
                self.fail(key, "missing" if key not in self.block else "empty", f"give it {_NAMES[kind]}")
            return default
        good = isinstance(value, kind) and not (kind in (int, float) and isinstance(value, bool))
        if not good and kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value) if abs(value) < 10**308 else self.fail(key, "too large a number")
        if not good:
            self.fail(key, f"expected {_NAMES[kind]}, found {describe(value)}", _MENDS[kind])
        return value

    def text(self, key: str, default: Any = ...) -> Any:
        """A string; without `default` the key is required."""
        return self._typed(key, str, default)

    def flag(self, key: str, default: Any = ...) -> Any:
        """A boolean."""
        return self._typed(key, bool, default)

    def whole(self, key: str, default: Any = ...) -> Any:
        """A non-negative whole number."""
        value = self._typed(key, int, default)
        if isinstance(value, int) and value < 0:
            self.fail(key, f"must not be negative: {value}", "write 0 or more")
        return value

    def number(self, key: str, default: Any = ...) -> Any:
        """A float or whole number, as a float."""
        return self._typed(key, float, default)

    def items(self, key: str, default: Any = ...) -> Any:
        """A list."""
        return self._typed(key, list, default)

    def mapping(self, key: str, default: Any = ...) -> Any:
        """A mapping."""
        return self._typed(key, dict, default)

    def choice(self, key: str, options: Iterable[str], default: Any = ...) -> Any:
        """One of `options`."""
        value = self.text(key, default)
        allowed = list(options)
        if value is not None and value != default and value not in allowed:
            hint = _near(value, allowed) or f"one of: {_cut(', '.join(allowed), 2000)}"
            self.fail(key, f"unknown value {_cut(value)!r}", hint)
        return value


def _near(word: Any, allowed: Iterable[str]) -> str:
    """A hint that names the known word nearest to `word`; empty if none is near."""
    if not isinstance(word, str) or len(word) > _LONGEST:
        return ""
    found = difflib.get_close_matches(word, [one for one in allowed if len(one) <= _LONGEST], 1)
    return f"did you mean {found[0]!r}?" if found else ""


def _cut(text: Any, limit: int = _LONGEST) -> Any:
    return f"{text[:limit]}…" if isinstance(text, str) and len(text) > limit else text


def describe(value: object) -> str:
    """The kind of a parsed value, in words for an error."""
    if value is None:
        return "nothing"
    if isinstance(value, (dict, list, bool)):
        return _NAMES[dict if isinstance(value, dict) else type(value)]
    return f"{value!r:.60}"


def _without_line(file: str) -> str:
    head, colon, tail = file.rpartition(":")
    return head if colon and tail.isdigit() else file
