"""Putting values into a shell command so that each stays what it is: data, never a part of the program.

A value is quoted once, for the place where it stands: bare, inside of '…' or inside of "…". A value of plain characters
is the same in every place. Where the shell would read on inside of a quoted value, or where this module does not follow
the shell's grammar (backquotes, `$(…)` in double quotes, here-documents, arithmetic, comments), any other value is
refused rather than guessed.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Final

from mlgit.errors import InvalidError
from mlgit.model.template import Expression, Scope, join, parse, to_text, to_words

_PLAIN: Final = re.compile(r"[A-Za-z0-9@%+=:,./_-]*")
_BARE, _SINGLE, _DOUBLE, _PARENS = "", "'", '"', "("
_BACKQUOTE, _BRACE, _COMMENT, _LOST = "`", "{", "#", "?"
_WORD_STARTS: Final = " \t\n;&|()<>"


def fill_command(text: str, scope: Scope) -> str:
    """`text`, a command for the shell, with its expressions filled in and quoted; `|raw` ones as they are.

    Raises:
        InvalidError: as `template.parse` and `Scope.find`, or a value cannot be quoted there; it lacks the place.
    """
    template = parse(text)
    written = _Written()
    for part in template:
        if isinstance(part, str):
            written.literal(part)
            continue
        value = scope.find(part)
        words = to_words(value, part)
        if part.raw:
            written.literal(" ".join(words))
        elif len(template) == 1 and isinstance(value, str) and not _PLAIN.fullmatch(value):
            raise InvalidError(
                f"{part.text}: the whole command is a value, {value!r:.60}, which would be quoted as one word",
                hint=f"to run it as a command write {_as_raw(part)}",
            )
        else:
            written.value(words, part)
    return written.text


def fill_words(words: Sequence[str], scope: Scope) -> list[str]:
    """A command as a list, filled in: no shell reads it, so nothing is quoted; a whole `${list}` gives its items.

    Raises:
        InvalidError: as `fill_command`.
    """
    filled: list[str] = []
    for word in words:
        template = parse(word)
        if len(template) == 1 and isinstance(template[0], Expression):
            filled += to_words(scope.find(template[0]), template[0])
        else:
            parts = (part if isinstance(part, str) else to_text(scope.find(part), part) for part in template)
            filled.append(join(parts))
    return filled


class _Written:
    """A command as far as it is written, and what the shell would make of the next character."""

    __slots__ = ("_before", "_escaped", "_open", "_parts")

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._open = [_BARE]
        self._before = "\n"
        self._escaped = False

    @property
    def text(self) -> str:
        return join(self._parts)

    def literal(self, text: str) -> None:
        """Program text."""
        self._parts.append(text)
        for char in text:
            self._follow(char)

    def value(self, words: Sequence[str], expression: Expression) -> None:
        """Data."""
        plain = all(_PLAIN.fullmatch(word) for word in words)
        place = self._place()
        if place == _BARE:
            self._parts.append(" ".join(shlex.quote(word) for word in words))
        elif plain and len(words) == 1:
            self._parts.append(words[0])
        elif place in (_SINGLE, _DOUBLE) and len(words) == 1:
            quote = _in_single if place == _SINGLE else _in_double
            self._parts.append(quote(words[0]))
        else:
            raise InvalidError(
                f"{expression.text}: {' '.join(words)!r:.60} cannot be quoted safely where it stands",
                hint=f"put it outside of quotes, $(…) and comments; {_as_raw(expression)} takes it as it is",
            )
        self._before = "x"

    def _place(self) -> str:
        """The kind of quotes that data would stand in; `_LOST` if that is not sure."""
        place = self._open[-1]
        if self._escaped or (self._before == "$" and place != _SINGLE):
            return _LOST
        if place == _PARENS:
            return _LOST if _DOUBLE in self._open else _BARE
        return place

    def _follow(self, char: str) -> None:
        place = self._open[-1]
        if self._escaped:
            self._escaped, char = False, "x"
        elif place == _SINGLE:
            self._close_at(char, "'")
        elif place == _COMMENT:
            self._close_at(char, "\n")
        elif char == "\\":
            self._escaped = True
        elif place == _DOUBLE:
            self._follow_in_double(char)
        elif place in (_BARE, _PARENS):
            self._follow_bare(char)
        elif place == _BACKQUOTE:
            self._close_at(char, "`")
        elif place == _BRACE:
            self._open[-1:] = [_LOST] if char in "'\"`" else [] if char == "}" else [_BRACE]
        self._before = char

    def _close_at(self, char: str, end: str) -> None:
        if char == end:
            self._open.pop()

    def _follow_in_double(self, char: str) -> None:
        if char == '"':
            self._open.pop()
        elif char == "`" or (char in "({" and self._before == "$"):
            self._open.append(char)

    def _follow_bare(self, char: str) -> None:
        before = self._before
        if (char == "'" and before == "$") or (char == before and char in "(<"):
            self._open.append(_LOST)  # $'…', arithmetic, a here-document
        elif char in "'\"`(" or (char == "{" and before == "$"):
            self._open.append(char)
        elif char == "#" and before in _WORD_STARTS:
            self._open.append(_COMMENT)
        elif char == ")" and self._open[-1] == _PARENS:
            self._open.pop()


def _in_single(word: str) -> str:
    return word.replace("'", "'\\''")


def _in_double(word: str) -> str:
    return re.sub(r'[\\$"`]', r"\\\g<0>", word)


def _as_raw(expression: Expression) -> str:
    return expression.text[:-1].rstrip() + "|raw}"
