"""Values of parameters, read from the YAML, JSON, TOML and Python files that stages name; each file is parsed once.

A dotted key walks mappings and, by number, lists. Values come out as plain JSON-like data; dates become ISO text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from mlgit.errors import InvalidError
from mlgit.model.paramfile import parse
from mlgit.model.relpath import RelPath
from mlgit.model.stage import ParamRef

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


def _walk(data: Any, key: str) -> Any:
    """The value under a dotted key; a key that is written with its dots in the file wins. Items: `a[0]` or `a.0`."""
    if isinstance(data, dict) and key in data:
        return data[key]
    from mlgit.model.metric import split_key

    try:
        path = split_key(key)
    except InvalidError:
        return _ABSENT
    for part in path:
        if isinstance(data, dict) and str(part) in data:
            data = data[str(part)]
        elif isinstance(data, list) and str(part).isdecimal() and int(part) < len(data):
            data = data[int(part)]
        else:
            return _ABSENT
    return data
