"""`vars`: which values the names in a stage file's templates stand for, and where each comes from.

Values come from parameter files and from mappings in the stage file. Mappings of one name are merged; two different
values for one name are refused, so that the order of the sources never matters.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Mapping
from typing import Any

from mlgit.errors import InvalidError
from mlgit.model import paramfile
from mlgit.model.fields import Fields, describe
from mlgit.model.lock import plain, same
from mlgit.model.relpath import RelPath
from mlgit.model.stage import DEFAULT_PARAMS
from mlgit.model.stagepath import resolve_path
from mlgit.model.template import OPEN, Scope, parse

Read = Callable[[RelPath], bytes | None]
"""Gives a file of the same snapshot, None where there is none."""


class Variables:
    """Values by name.

    Args:
        read: gives the files that are named.
    """

    __slots__ = ("_origins", "_read", "values")

    def __init__(self, read: Read, values: Mapping[str, Any] | None = None, origin: str = "") -> None:
        self._read = read
        self.values: dict[str, Any] = dict(values or {})
        self._origins = dict.fromkeys(self.values, origin)

    def load_default(self, folder: RelPath) -> None:
        """Take in the `params.yaml` of `folder`, if there is one."""
        file = folder.child(DEFAULT_PARAMS)
        data = self._read(file)
        if data is not None:
            self._merge(_parsed(data, file), file, file)

    def load(self, fields: Fields, folder: RelPath, reserved: frozenset[str] = frozenset()) -> None:
        """Take in everything under `vars`.

        Args:
            folder: where names of files are seen from.
            reserved: names that must not be defined.

        Raises:
            InvalidError: malformed, a file or key is missing, or a name has two values.
            UnsafeError: a file lies outside the repository.
        """
        where = fields.at("vars")
        for item in fields.items("vars", []):
            values, source = self._source(item, folder, fields)
            for name in reserved & values.keys():
                raise InvalidError(f"{where}: {name!r} stands for the item here", hint="choose another name")
            self._merge(values, source, where)

    def _source(self, item: object, folder: RelPath, fields: Fields) -> tuple[dict[str, Any], str]:
        where = fields.at("vars")
        if isinstance(item, dict):
            line = getattr(item, "line", None)
            return _written(item, where), f"line {line}" if line else "vars"
        if not isinstance(item, str) or OPEN in item:
            problem = "cannot hold ${…}" if isinstance(item, str) else f"found {describe(item)}"
            raise InvalidError(
                f"{where}: {problem}", hint="write `- file.yaml`, `- file.yaml:key,key` or `- name: value`"
            )
        name, colon, keys = item.partition(":")
        file = resolve_path(name, folder, where)
        values = self._file(file, where)
        if not colon:
            return values, file
        chosen = [key.strip() for key in keys.split(",") if key.strip()]
        for key in chosen:
            if key not in values:
                near = difflib.get_close_matches(key, values, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(values) or 'nothing'}"
                raise InvalidError(f"{where}: {file} has no key {key!r}", hint=hint)
        return {key: values[key] for key in chosen}, file

    def _file(self, file: RelPath, where: str) -> dict[str, Any]:
        data = self._read(file)
        if data is None:
            raise InvalidError(f"{where}: no such file: {file}", hint="make it, or take it out of vars")
        return _parsed(data, file)

    def _merge(self, values: dict[str, Any], source: str, where: str) -> None:
        self.values = self._merged(self.values, values, (source, where), "")

    def _merged(self, into: dict[str, Any], new: dict[str, Any], source: tuple[str, str], above: str) -> dict[str, Any]:
        result = dict(into)
        for key, value in new.items():
            path = f"{above}.{key}" if above else key
            if key not in into:
                result[key] = value
                self._origins[path] = source[0]
            elif isinstance(into[key], dict) and isinstance(value, dict):
                result[key] = self._merged(into[key], value, source, path)
            elif not same(into[key], value):
                raise InvalidError(
                    f"{source[1]}: {path!r} is {describe(value)} in {source[0]} and {describe(into[key])} "
                    f"in {self._origin(path)}",
                    hint="one name has one value: rename or remove one of the two",
                )
        return result

    def _origin(self, path: str) -> str:
        while path not in self._origins and "." in path:
            path = path.rpartition(".")[0]
        return self._origins.get(path, "another file")


def scope_of(fields: Fields, folder: RelPath, read: Read) -> Scope:
    """The scope of a whole stage file in `folder`; without `vars`, files are read when a name is first looked up.

    Raises:
        InvalidError, UnsafeError: as `Variables.load`.
    """
    loaded: list[Variables] = []

    def roots() -> Mapping[str, Any]:
        if not loaded:
            variables = Variables(read)
            variables.load_default(folder)
            variables.load(fields, folder)
            loaded.append(variables)
        return loaded[0].values

    if fields.block.get("vars") is not None:
        roots()
    return Scope(roots)


def scope_within(scope: Scope, fields: Fields, folder: RelPath, read: Read) -> Scope:
    """`scope` with a stage's own `vars`; names of files are seen from `folder`.

    Raises:
        InvalidError, UnsafeError: as `Variables.load`.
    """
    variables = Variables(read, scope.roots(), "the file's own vars")
    variables.load(fields, folder, scope.reserved)
    return scope.over(variables.values)


@functools.lru_cache(maxsize=16)
def _parsed(data: bytes, file: RelPath) -> dict[str, Any]:
    """A parameter file's values, parsed once for all stages that name it; nobody changes them."""
    values = paramfile.parse(data, file)
    if not isinstance(values, dict):
        raise InvalidError(f"{file}: expected a mapping, found {describe(values)}", hint="write `key: value` lines")
    return values


def _written(item: dict[str, Any], where: str) -> dict[str, Any]:
    """A mapping as it stands in `vars`: plain, and free of expressions."""
    values: dict[str, Any] = plain(item, where)
    waiting: list[Any] = [values]
    while waiting:
        value = waiting.pop()
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(part, (dict, list)):
                waiting.append(part)
            elif isinstance(part, str) and OPEN in part:
                value[key] = _literal(part, where)
    return values


def _literal(text: str, where: str) -> str:
    template = parse(text)
    if len(template) == 1 and isinstance(template[0], str):
        return template[0]
    raise InvalidError(
        f"{where}: a variable cannot be made of others: {text!r:.60}", hint="write the value out; for `${` write \\${"
    )
