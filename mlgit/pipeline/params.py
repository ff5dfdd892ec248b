"""Values of parameters, read from the YAML, JSON and TOML files that stages name; each file is parsed once.

A dotted key walks mappings and, by number, lists. Values come out as plain JSON-like data; dates become ISO text.
"""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final

from mlgit.errors import InvalidError
from mlgit.model.lock import plain
from mlgit.model.relpath import RelPath
from mlgit.model.stage import ParamRef
from mlgit.model.text import load_yaml

_ABSENT: Final = object()


class ParamFiles:
    """The parameter files of one snapshot.

    Args:
        read: gives a file's bytes, None where there is none.
    """

    __slots__ = ("_parsed", "_read")

    def __init__(self, read: Callable[[RelPath], bytes | None]) -> None:
        self._read = read
        self._parsed: dict[RelPath, Any] = {}

    def values(self, refs: Iterable[ParamRef], where: str) -> dict[RelPath, dict[str, Any]]:
        """File → key → value for `refs`; `where` names who asks, for errors.

        Raises:
            InvalidError: a file is missing or malformed, or a key is not in it.
        """
        return {ref.file: self._pick(ref, where) for ref in refs}

    def forget(self, paths: Iterable[RelPath]) -> None:
        """Read files that are among `paths`, or below them, anew: a stage has just written them."""
        written = list(paths)
        for file in [file for file in self._parsed if any(file.within(path) for path in written)]:
            del self._parsed[file]

    def _pick(self, ref: ParamRef, where: str) -> dict[str, Any]:
        data = self._load(ref.file, where)
        if not ref.keys:
            return dict(data)
        picked = {}
        for key in ref.keys:
            value = _walk(data, key)
            if value is _ABSENT:
                raise InvalidError(
                    f"{ref.file}: no parameter {key!r}, which {where} reads",
                    hint=f"add it to {ref.file}, or take it out of the stage's params",
                )
            picked[key] = value
        return picked

    def _load(self, file: RelPath, where: str) -> dict[str, Any]:
        if file not in self._parsed:
            data = self._read(file)
            if data is None:
                raise InvalidError(
                    f"{file}: no such parameter file, which {where} reads",
                    hint="make the file, or take it out of the stage's params",
                )
            self._parsed[file] = parse(data, file)
        value = self._parsed[file]
        if not isinstance(value, dict):
            raise InvalidError(f"{file}: a parameter file must hold a mapping", hint="write `key: value` lines")
        return value


def parse(data: bytes, file: RelPath) -> Any:
    """The plain value of a parameter file, by the ending of its name.

    Raises:
        InvalidError: malformed, or of a kind that is not read.
    """
    suffix = file.name.rpartition(".")[2].lower()
    if suffix in ("yaml", "yml"):
        return plain(load_yaml(data, file), file) or {}
    try:
        if suffix == "json":
            value = json.loads(data)
            json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate has no place in a lock
            return plain(value, file)
        if suffix == "toml":
            return _without_dates(plain(_load_toml(data), file))
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"{file}: {error}", hint="mend the file there") from error
    raise InvalidError(f"{file}: not a parameter file this version reads", hint="use .yaml, .yml, .json or .toml")


def _load_toml(data: bytes) -> Any:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(data.decode())


def _without_dates(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_dates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_dates(item) for item in value]
    return value.isoformat() if isinstance(value, (datetime.date, datetime.time)) else value


def _walk(data: Any, key: str) -> Any:
    """The value under a dotted key; a key that is written with its dots in the file wins."""
    if isinstance(data, dict) and key in data:
        return data[key]
    for part in key.split("."):
        if isinstance(data, dict) and part in data:
            data = data[part]
        elif isinstance(data, list) and part.isdecimal() and int(part) < len(data):
            data = data[int(part)]
        else:
            return _ABSENT
    return data
