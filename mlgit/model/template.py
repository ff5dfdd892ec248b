r"""Texts with `${name}` in them: parsed, and filled in from a scope; `\${` is a `${` that stays.

An expression is a path of names and list positions, `a.b[0].c`, and may end in `|raw`. What it stands for is put in
once and never looked through again: a value that holds `${…}` is a text like any other. A text that is one expression
and nothing else keeps the value's type; inside of other text only a text, a number, true or false can stand.
How a value gets into a shell command is the work of `shelltext.py`.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mlgit.errors import InvalidError
from mlgit.model.block import MAX_BYTES
from mlgit.model.fields import describe

OPEN: Final = "${"
_EXPRESSION: Final = re.compile(r"(?<!\\)\$\{([^}]*)(\}?)")
_PATH: Final = re.compile(r"[^.\[\]|]+(?:\.[^.\[\]|]+|\[ *[^.\[\]|]+ *\])*")
_RAW: Final = "raw"


@dataclass(frozen=True, slots=True)
class Expression:
    """One `${…}`.

    Attributes:
        text: as written, braces included.
        path: names and list positions.
        raw: whether it is to go into a command as it is.
    """

    text: str
    path: tuple[str, ...]
    raw: bool = False


Template = tuple["str | Expression", ...]
"""Literal texts, unescaped, and expressions; neighbours are never both literal, and none is empty."""


@functools.lru_cache(maxsize=4096)
def parse(text: str) -> Template:
    """The parts of `text`.

    Raises:
        InvalidError: an expression is not closed, empty or malformed; the message lacks the place.
    """
    parts: list[str | Expression] = []
    end = 0
    for found in _EXPRESSION.finditer(text):
        parts += _literal(text[end : found.start()])
        parts.append(_expression(found[0], found[1].strip(), closed=bool(found[2])))
        end = found.end()
    return (*parts, *_literal(text[end:]))


def escape(text: str) -> str:
    r"""`text` so that `parse` gives it back as one literal."""
    return text.replace(OPEN, f"\\{OPEN}")


def unparse(template: Iterable[str | Expression]) -> str:
    """The text that `template` was parsed from, spelled in the one way."""
    return "".join(escape(part) if isinstance(part, str) else part.text for part in template)


def _literal(text: str) -> list[str]:
    return [text.replace(f"\\{OPEN}", OPEN)] if text else []


def _expression(text: str, inner: str, *, closed: bool) -> Expression:
    keep = "for a `${` that is to stay write \\${"
    if not closed:
        raise InvalidError(f"{text!r:.60}: `${{` without its `}}`", hint=f"close it; {keep}")
    path, bar, word = (part.strip() for part in inner.partition("|"))
    if bar and word != _RAW:
        raise InvalidError(f"{text:.60}: unknown filter {word!r:.60}", hint=f"`|raw` is the only one; {keep}")
    if not _PATH.fullmatch(path):
        raise InvalidError(f"{text:.60}: not a name", hint=f"write ${{name}}, ${{a.b}} or ${{list[0]}}; {keep}")
    names = tuple(name.strip() for name in re.split(r"[.\[\]]+", path) if name.strip())
    return Expression(text, names, bool(bar))


Roots = Callable[[], Mapping[str, Any]]


class Scope:
    """What the names in templates stand for.

    Args:
        roots: gives the values by name; asked when the first name is looked up.
        own: values that go before those, such as `item`.
    """

    __slots__ = ("_own", "roots")

    def __init__(self, roots: Roots, own: Mapping[str, Any] | None = None) -> None:
        self.roots = roots
        self._own = own or {}

    def within(self, own: Mapping[str, Any]) -> Scope:
        """It with `own` in front."""
        return Scope(self.roots, {**self._own, **own})

    def over(self, values: Mapping[str, Any]) -> Scope:
        """It with `values` instead of its roots."""
        return Scope(lambda: values, self._own)

    def values(self) -> dict[str, Any]:
        """Everything that has a name."""
        return {**self.roots(), **self._own}

    @property
    def reserved(self) -> frozenset[str]:
        """Names that `vars` must leave alone."""
        return frozenset(self._own)

    def find(self, expression: Expression) -> Any:
        """What `expression` stands for.

        Raises:
            InvalidError: nothing of that name; the message lacks the place.
        """
        first = expression.path[0]
        value: Any = self._own if first in self._own else self.roots()
        for depth, name in enumerate(expression.path):
            if isinstance(value, dict) and name in value:
                value = value[name]
            elif isinstance(value, list) and name.isdecimal() and len(name) < 9 and int(name) < len(value):
                value = value[int(name)]
            else:
                raise self._undefined(expression, depth, value)
        return value

    def _undefined(self, expression: Expression, depth: int, value: Any) -> InvalidError:
        name, path = expression.path[depth], ".".join(expression.path[:depth])
        if not depth:
            near = difflib.get_close_matches(name, self.values(), 1)
            hint = f"did you mean {near[0]!r}?" if near else f"define it in params.yaml or vars; {_FOR_THE_SHELL}"
            return InvalidError(f"{expression.text}: {name!r} is not defined", hint=hint)
        if isinstance(value, dict):
            near = difflib.get_close_matches(name, value, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(list(value)[:10]) or 'nothing'}"
            return InvalidError(f"{expression.text}: {path!r} has no key {name!r}", hint=hint)
        if isinstance(value, list):
            hint = f"it has {len(value)} items; the first is [0]" if value else "it is empty"
            return InvalidError(f"{expression.text}: {path!r} is a list without an item {name!r}", hint=hint)
        return InvalidError(
            f"{expression.text}: {path!r} is {describe(value)}, it has no {name!r}", hint=f"write ${{{path}}}"
        )


_FOR_THE_SHELL: Final = "for a variable of the shell write \\${NAME} or $NAME"


def fill(text: str, scope: Scope) -> Any:
    """`text` with its expressions filled in.

    Raises:
        InvalidError: as `parse` and `Scope.find`; a list or mapping stands inside of text, or `|raw` outside a command.
    """
    template = parse(text)
    for part in template:
        if isinstance(part, Expression) and part.raw:
            raise InvalidError(f"{part.text}: `|raw` is for the text of a command", hint="take `|raw` away")
    if len(template) == 1 and isinstance(template[0], Expression):
        return scope.find(template[0])
    return join(part if isinstance(part, str) else to_text(scope.find(part), part) for part in template)


def join(texts: Iterable[str]) -> str:
    """`texts` as one.

    Raises:
        InvalidError: it is larger than a stage file may be.
    """
    found, size = [], 0
    for text in texts:
        found.append(text)
        size += len(text)
        if size > MAX_BYTES:
            raise InvalidError(
                f"more than {MAX_BYTES} characters, filled in", hint="write the values to a file instead"
            )
    return "".join(found)


def to_text(value: Any, expression: Expression) -> str:
    """A scalar as it stands inside of text.

    Raises:
        InvalidError: it is no scalar.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise InvalidError(
        f"{expression.text}: {describe(value)} cannot stand inside of text",
        hint="give it a value" if value is None else "name one of its values, such as ${a.b} or ${a[0]}",
    )


def to_words(value: Any, expression: Expression) -> list[str]:
    """A value as words of a command: a list its items, a mapping options such as `--name value`.

    In a mapping true is the bare option and false is left out, a list gives all its items to one option, and a mapping
    inside names its options with dots.

    Raises:
        InvalidError: null or something nested deeper has no words.
    """
    if isinstance(value, list):
        return [to_text(item, expression) for item in value]
    if not isinstance(value, dict):
        return [to_text(value, expression)]
    words: list[str] = []
    for name, item in value.items():
        if isinstance(item, dict):
            inner = {f"{name}.{key}": one for key, one in item.items()}
            words += to_words(inner, expression)
        elif isinstance(item, bool):
            words += [f"--{name}"] * item
        elif item is None:
            raise InvalidError(
                f"{expression.text}: {name!r} is empty, so --{name} has no value",
                hint="take the key away, or give it a value",
            )
        elif not isinstance(item, list) or item:
            words += [f"--{name}", *to_words(item, expression)]
    return words
