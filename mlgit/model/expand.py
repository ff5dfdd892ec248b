"""From the `stages` that a person wrote to single stages: groups taken apart, templates filled in.

`foreach` and `matrix` make several stages of one entry, `train@a`, `train@b`. What comes out is a mapping for each
stage as if it had been written out, lines included, for `stageentry.py` to decode.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from mlgit.errors import InvalidError
from mlgit.model.fields import Fields, describe
from mlgit.model.relpath import RelPath
from mlgit.model.shelltext import fill_command, fill_words
from mlgit.model.stagekeys import GROUP, STAGE
from mlgit.model.stagepath import resolve_path
from mlgit.model.template import OPEN, Expression, Scope, fill, to_text
from mlgit.model.text import Block
from mlgit.model.variables import Read, scope_within

GROUP_SIGN: Final = "@"
MAX_VALUES: Final = 1_000_000
_STRETCH: Final = 64
_NAME: Final = re.compile(r"\w[\w.\-]*")
_MEMBER: Final = re.compile(r"[\w.\-+=,@]+")
_ANY: Final = Expression("", ())
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Entry:
    """One stage, its templates filled in.

    Attributes:
        fields: its mapping, with only the keys of a single stage.
        line: where it, or its group, stands.
    """

    name: str
    fields: Fields
    line: int


@dataclass(frozen=True, slots=True)
class Expander:
    """Takes the entries of one stage file apart.

    Attributes:
        folder: where the file stands.
        scope: what names stand for.
        read: gives the files that a stage's `vars` name.
        templates: whether there is anything to fill in.
        spent: how many values were made so far, of `MAX_VALUES`: a small file must not fill the memory.
    """

    folder: RelPath
    scope: Scope
    read: Read
    templates: bool
    spent: list[int] = field(default_factory=lambda: [0])

    def entries(self, stages: Fields) -> Iterator[Entry]:
        """Every stage of the mapping `stages`.

        Raises:
            InvalidError: malformed, a name is undefined, or two stages have one name.
        """
        taken: set[str] = set()
        for name in stages.block:
            if not _NAME.fullmatch(name):
                stages.fail(name, "not a stage name", "letters, digits, `_`, `-` and `.`; `@` comes from foreach")
            for entry in self._entry(name, stages):
                if entry.name in taken:
                    stages.fail(name, f"makes the stage {entry.name!r} twice", "give each item its own name")
                taken.add(entry.name)
                yield entry

    def _spend(self, values: int, fields: Fields, key: str) -> None:
        self.spent[0] += values
        if self.spent[0] > MAX_VALUES:
            fields.fail(key, f"makes the file larger than {MAX_VALUES} values", "make fewer stages of it")

    def _entry(self, name: str, stages: Fields) -> Iterator[Entry]:
        value, where = stages.block[name], stages.at(name)
        line = stages.block.lines[name] if isinstance(stages.block, Block) else 0
        if isinstance(value, dict) and ("foreach" in value or "do" in value):
            group = _group_fields(value, where)
            made = self._each(group)
            template, key = group.mapping("do"), "do"
        elif isinstance(value, dict) and "matrix" in value:
            group = Fields(value, where, (*STAGE, "matrix"))
            made = self._combinations(group)
            template, key = _without(group.block, "matrix"), "matrix"
        else:
            yield Entry(name, self._stage(Fields(value, where, STAGE), self.scope), line)
            return
        file, _, _ = where.partition(": ")
        Fields(template, group.at("do") if key == "do" else where, STAGE)
        self._spend(len(made) * _size(template), group, "foreach" if key == "do" else key)
        for member, own in made.items():
            if not _MEMBER.fullmatch(member):
                group.fail("foreach" if key == "do" else key, *_no_name(member, key))
            full = f"{name}{GROUP_SIGN}{member}"
            fields = Fields(template, f"{file}: stages.{full}", STAGE)
            yield Entry(full, self._stage(fields, self.scope.within(own)), line)

    def _each(self, group: Fields) -> dict[str, Mapping[str, Any]]:
        """Name of each member → its own values."""
        if group.block.get("foreach") is None:
            problem = "empty" if "foreach" in group.block else "missing, and there is a `do`"
            group.fail("foreach", problem, "give it a list or a mapping")
        items = self._filled(group.block["foreach"], group, "foreach", self.scope)
        if isinstance(items, dict):
            return {key: {"key": key, "item": item} for key, item in items.items()}
        if not isinstance(items, list):
            group.fail(
                "foreach", f"expected a list or a mapping, found {describe(items)}", "write [a, b] or {a: …, b: …}"
            )
        by_place = any(isinstance(item, (dict, list)) for item in items)
        names = [str(n) if by_place else _located(group, "foreach", item) for n, item in enumerate(items)]
        return _named(names, [{"item": item} for item in items], group, "foreach")

    def _combinations(self, group: Fields) -> dict[str, Mapping[str, Any]]:
        axes = self._filled(group.mapping("matrix"), group, "matrix", self.scope)
        inner = _unchecked(axes, group.at("matrix"))
        for axis, values in axes.items():
            if not isinstance(values, list):
                inner.fail(axis, f"expected a list, found {describe(values)}", "write [a, b], or ${name} of a list")
        labels = [
            [f"{axis}{n}" if isinstance(v, (dict, list)) else _located(inner, axis, v) for n, v in enumerate(values)]
            for axis, values in axes.items()
        ]
        self._spend(math.prod(len(values) for values in axes.values()), group, "matrix")
        names = ["-".join(parts) for parts in itertools.product(*labels)] if axes else []
        combined = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
        owns = [{"key": name, "item": item} for name, item in zip(names, combined, strict=False)]
        return _named(names, owns, group, "matrix")

    def _stage(self, fields: Fields, scope: Scope) -> Fields:
        """The fields of one stage, filled in and without `vars`."""
        if not self.templates:
            return fields
        block = fields.block
        if block.get("vars") is not None:
            wdir = self._filled(block.get("wdir"), fields, "wdir", scope)
            folder = resolve_path(wdir, self.folder, fields.at("wdir")) if wdir is not None else self.folder
            scope = scope_within(scope, fields, folder, self.read)
        block = _without(block, "vars")
        cmd = block.get("cmd")
        made = self.fill_block(_without(block, "cmd"), fields.where, scope)
        if "cmd" in block:
            filled = _located_call(fields, "cmd", lambda: _fill_cmd(cmd, scope))
            self._spend(_size(filled), fields, "cmd")
            _put(made, "cmd", filled, block, "cmd")
        return _unchecked(made, fields.where)

    def fill_value(self, fields: Fields, key: str) -> Any:
        """What stands under `key`, filled in."""
        return self._filled(fields.block[key], fields, key, self.scope)

    def fill_block(self, block: dict[str, Any], where: str, scope: Scope) -> Block:
        """`block` with templates in its keys and values filled in."""
        fields = _unchecked(block, where)
        result = _like(block)
        for key, value in block.items():
            name = key
            if OPEN in key:
                filled = _located_call(fields, key, lambda key=key: fill(key, scope))  # type: ignore[misc]
                name = _located_call(fields, key, lambda filled=filled: to_text(filled, _ANY))  # type: ignore[misc]
            if name in result:
                fields.fail(key, f"gives the key {name!r} twice", "give each its own name")
            _put(result, name, self._filled(value, fields, key, scope), block, key)
        return result

    def _filled(self, value: Any, fields: Fields, key: str, scope: Scope) -> Any:
        if isinstance(value, str):
            if OPEN not in value:
                return value
            filled = _located_call(fields, key, lambda: fill(value, scope))
            self._spend(_size(filled), fields, key)
            return filled
        if isinstance(value, list):
            return [self._filled(item, fields, key, scope) for item in value]
        if isinstance(value, dict):
            return self.fill_block(value, fields.at(key), scope)
        return value


def _size(value: Any) -> int:
    """How many values, and stretches of text, there are in `value`."""
    if isinstance(value, str):
        return 1 + len(value) // _STRETCH
    if isinstance(value, dict):
        return 1 + sum(_size(item) for item in value.values())
    return 1 + sum(_size(item) for item in value) if isinstance(value, list) else 1


def _fill_cmd(cmd: Any, scope: Scope) -> Any:
    if isinstance(cmd, str):
        return fill_command(cmd, scope) if OPEN in cmd else cmd
    if isinstance(cmd, list) and all(isinstance(word, str) for word in cmd):
        return fill_words(cmd, scope)
    return cmd


def _group_fields(value: dict[str, Any], where: str) -> Fields:
    fields = _unchecked(value, where)
    for key in value:
        if key in STAGE:
            fields.fail(key, "stands beside foreach and do", "move it below `do`")
        if key == "matrix":
            fields.fail(key, "a stage has foreach or matrix, not both", "make one matrix of both")
    return Fields(value, where, (key for key in GROUP if key != "matrix"))


def _named(names: list[str], owns: list[dict[str, Any]], group: Fields, key: str) -> dict[str, Mapping[str, Any]]:
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        group.fail(key, f"two items are called {twice[0]!r}", "each makes a stage of its own: give every item once")
    return dict(zip(names, owns, strict=False))


def _no_name(member: str, key: str) -> tuple[str, str]:
    mend = "`foreach: {name: value}`" if key == "do" else "`- {value: …}`, which is named by its place"
    return f"the item {member!r:.60} cannot be a part of a stage's name", f"give it a name: {mend}"


def _located(fields: Fields, key: str, item: Any) -> str:
    if item is None:
        fields.fail(key, "an item is empty", "write its value")
    return to_text(item, _ANY)


def _located_call(fields: Fields, key: str, call: Callable[[], _Value]) -> _Value:
    """What `call` gives, with the place put before what it raises."""
    try:
        return call()
    except InvalidError as error:
        raise InvalidError(f"{fields.at(key)}: {error.message}", hint=error.hint) from error


def _unchecked(block: dict[str, Any], where: str) -> Fields:
    fields = Fields({}, where, ())
    fields.block = block
    return fields


def _like(block: dict[str, Any]) -> Block:
    made = Block()
    made.line, made.lines = getattr(block, "line", 0), {}
    return made


def _without(block: dict[str, Any], key: str) -> dict[str, Any]:
    if key not in block:
        return block
    made = _like(block)
    for name, value in block.items():
        if name != key:
            _put(made, name, value, block, name)
    return made


def _put(made: Block, name: str, value: Any, block: dict[str, Any], key: str) -> None:
    """Set `name` in `made`, where `block` has `key`."""
    made[name] = value
    if isinstance(block, Block) and key in block.lines:
        made.lines[name] = block.lines[key]
