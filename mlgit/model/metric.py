r"""Metrics and parameters: a file's bytes as a flat mapping from dotted key to scalar, and the difference of two such.

JSON, YAML, TOML, CSV and TSV are read, by extension. Nested names are joined with `.`, list items are `[0]`:
`{"a": {"b": [1, 2]}}` gives `a.b[0]` and `a.b[1]`. A `.`, `[`, `]` or `\` inside a name is escaped with `\`, an empty
name is written `\e`, and a file that holds one bare value has the key `""`; so `split_key(join_key(p)) == p` for every
path. Empty lists and mappings hold no value and give no key.

A metrics file comes from whoever opened the pull request: size, depth, digits and number of keys are bounded here, and
nothing but `InvalidError` may leave. Values are compared unrounded, as the decimal numbers that the file spells.
"""

from __future__ import annotations

import csv
import fnmatch
import io
import json
import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, NoReturn, TypeGuard

from mlgit.errors import InvalidError
from mlgit.model.report import Mark
from mlgit.model.text import MAX_DEPTH, load_yaml

Scalar = str | int | float | bool | None
Path = tuple[str | int, ...]

EXTENSIONS: Final = (".json", ".yaml", ".yml", ".toml", ".csv", ".tsv")
MAX_BYTES: Final = 16 << 20
MAX_KEYS: Final = 200_000
MAX_DIGITS: Final = 300

_SPECIAL: Final = re.compile(r"[.\[\]\\]")
_TOKEN: Final = re.compile(r"\[([0-9]+)\]|(\.?)((?:[^.\[\]\\]|\\.)+)", re.DOTALL)
_PIECE: Final = re.compile(r"\[[^\]]*\]|(?:[^.\[\]\\]|\\.)+", re.DOTALL)
_INT: Final = re.compile(r"[-+]?[0-9]+")
_FLOAT: Final = re.compile(r"[-+]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[-+]?[0-9]+)?|inf|infinity|nan)", re.IGNORECASE)
_LIMIT: Final = 10**MAX_DIGITS


def join_key(path: Iterable[str | int]) -> str:
    """The key of a path of names and list positions, such as `("a", 0, "b")` → `a[0].b`."""
    key = ""
    for number, part in enumerate(path):
        if isinstance(part, int):
            key += f"[{part}]"
        else:
            key += ("." if number else "") + (_SPECIAL.sub(r"\\\g<0>", part) if part else "\\e")
    return key


def split_key(key: str) -> Path:
    """The path that `key` was joined from.

    Raises:
        InvalidError: no path gives this key.
    """
    path: list[str | int] = []
    at = 0
    while at < len(key):
        match = _TOKEN.match(key, at)
        if match is None:
            raise InvalidError(f"not a key: {key!r}", hint="write it like name.name[0]; escape dots in names with \\")
        name = match[3]
        path.append(int(match[1]) if name is None else "" if name == "\\e" else re.sub(r"\\(.)", r"\1", name))
        at = match.end()
    if join_key(path) != key:
        raise InvalidError(f"not a key: {key!r}", hint=f"did you mean {join_key(path)!r}?")
    return tuple(path)


def is_pattern(key: str) -> bool:
    """Whether `key` stands for several keys."""
    return "*" in key or "?" in key


def match_keys(pattern: str, keys: Iterable[str]) -> list[str]:
    """The `keys` that `pattern` stands for, in their order.

    `*` is any text inside one name or list position, `?` one character of it. Brackets are ordinary characters, they
    number list items. A key that is spelled like the pattern is one match among others: it must not hide them.
    """
    if not is_pattern(pattern):
        return [key for key in keys if key == pattern]
    globs = [piece.replace("[", "[[]") for piece in _PIECE.findall(pattern)]
    return [key for key in keys if _matches(globs, _PIECE.findall(key))]


def _matches(globs: list[str], pieces: list[str]) -> bool:
    pairs = zip(pieces, globs, strict=False)
    return len(globs) == len(pieces) and all(fnmatch.fnmatchcase(piece, glob) for piece, glob in pairs)


def parse_metrics(data: bytes, path: str) -> dict[str, Scalar]:
    """A metrics or params file as dotted key → scalar, in the file's order.

    Args:
        data: the file's bytes.
        path: its path; the extension says the format, and errors name it.

    Raises:
        InvalidError: not that format, unknown extension, duplicate keys, too large, too deep, or a number or text that
            no report could show.
    """
    return flatten(parse_value(data, path), path)


def flatten(value: Any, path: str) -> dict[str, Scalar]:
    """Nested values, read from the file `path`, as dotted key → scalar.

    Raises:
        InvalidError: too many, too deep, or a number or text that no report could show.
    """
    flat: dict[str, Scalar] = {}
    for where, scalar in _leaves(value, (), path):
        if len(flat) >= MAX_KEYS:
            raise InvalidError(f"{path}: more than {MAX_KEYS} values", hint="write fewer metrics, or make it a plot")
        flat[join_key(where)] = scalar
    return flat


def parse_value(data: bytes, path: str) -> Any:
    """A metrics, params or plot file as nested values; CSV rows become a mapping by row, see `parse_metrics`.

    Raises:
        InvalidError: as `parse_metrics`.
    """
    extension = _extension(path)
    if extension in (".csv", ".tsv"):
        return _table_value(parse_rows(data, path), path)
    return _read(data, path, extension)


def parse_records(data: bytes, path: str, *, header: bool = True) -> list[dict[str, Scalar]]:
    """A plot's data file as a list of flat records; in JSON or YAML the first list of mappings found holds them.

    Args:
        header: whether a table's first line names its columns; otherwise they are called `0`, `1`, ….

    Raises:
        InvalidError: as `parse_metrics`, or there is no list of mappings in it.
    """
    extension = _extension(path)
    if extension in (".csv", ".tsv"):
        return parse_rows(data, path, header=header)
    value = _read(data, path, extension)
    rows = _find_records(value, 0)
    if rows is None and value != []:
        raise InvalidError(f"{path}: no list of records to plot", hint="write a list of mappings, or a CSV file")
    return [{_column(key): cell for key, cell in _leaves(row, (), path)} for row in rows or []]


def parse_rows(data: bytes, path: str, *, header: bool = True) -> list[dict[str, Scalar]]:
    """A CSV or TSV file's rows below its header, as column → value; numbers, `true`, `false` and empty cells are typed.

    Raises:
        InvalidError: not UTF-8, no header, a column twice, or a row of another length.
    """
    reader = csv.reader(
        io.StringIO(_text(data, path), newline=""), delimiter="\t" if path.endswith(".tsv") else ",", strict=True
    )
    try:
        lines = filter(None, reader)
        first = next(lines, [])
        columns = first if header else [str(number) for number in range(len(first))]
        if len(set(columns)) != len(columns):
            _refuse(path, f"a column's name occurs twice in {', '.join(columns)!r}", "rename one of the columns")
        rows = [] if header or not first else [dict(zip(columns, map(_cell, first), strict=True))]
        for cells in lines:
            if len(cells) != len(columns):
                line = f"{path}:{reader.line_num}"
                _refuse(line, f"{len(cells)} cells under {len(columns)} columns", "mend that line")
            rows.append(dict(zip(columns, map(_cell, cells), strict=True)))
    except (csv.Error, ValueError) as error:
        raise InvalidError(f"{path}:{reader.line_num}: {error}", hint="mend the CSV there") from error
    return rows


def _refuse(where: str, problem: str, hint: str) -> NoReturn:
    raise InvalidError(f"{where}: {problem}", hint=hint)


def _extension(path: str) -> str:
    found = next((e for e in EXTENSIONS if path.lower().endswith(e)), None)
    return found or _refuse(path, "not a format that metrics and params are read from", f"use {', '.join(EXTENSIONS)}")


def _text(data: bytes, path: str) -> str:
    if len(data) > MAX_BYTES:
        _refuse(path, f"{len(data)} bytes", f"{MAX_BYTES} bytes is the limit; track large tables as data")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _refuse(path, f"not UTF-8 at byte {error.start}", "save the file as UTF-8")


def _read(data: bytes, path: str, extension: str) -> Any:
    text = _text(data, path)
    if extension in (".yaml", ".yml"):
        return load_yaml(text.encode(), path)
    try:
        if extension == ".json":
            return json.loads(text, object_pairs_hook=_unique, parse_int=_whole)
        return _load_toml(text)
    except RecursionError:
        _refuse(path, "nested too deeply", f"{MAX_DEPTH} levels is the limit")
    except ValueError as error:
        _refuse(path, str(error), "mend the file, or have its stage write it again")


def _load_toml(text: str) -> Any:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    return _without_dates(tomllib.loads(text))


def _without_dates(value: Any) -> Any:
    """TOML's dates and times as ISO 8601 text, which is what YAML gives for them."""
    if isinstance(value, dict):
        return {key: _without_dates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_dates(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"duplicate key {twice!r}")
    return value


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS + 1:
        raise ValueError(f"a whole number of {len(digits)} digits; {MAX_DIGITS} is the limit")
    return int(digits)


def _cell(text: str) -> Scalar:
    bare = text.strip()
    if bare.lower() in ("true", "false"):
        return bare.lower() == "true"
    if _INT.fullmatch(bare):
        return _whole(bare)
    if _FLOAT.fullmatch(bare):
        return float(bare)
    return text or None


def _table_value(rows: list[dict[str, Scalar]], path: str) -> dict[str, Any]:
    """One row: its columns. Several: the first column names the row."""
    if len(rows) <= 1:
        return dict(rows[0]) if rows else {}
    table: dict[str, Any] = {}
    for row in rows:
        (first, name), *rest = row.items()
        label = "" if name is None else str(name)
        if label in table:
            _refuse(path, f"two rows are called {label!r} in the column {first!r}", "make the first column unique")
        table[label] = dict(rest)
    return table


def _leaves(value: Any, path: Path, file: str) -> Iterator[tuple[Path, Scalar]]:
    if len(path) > MAX_DEPTH:
        _refuse(file, "nested too deeply", f"{MAX_DEPTH} levels is the limit")
    if isinstance(value, dict):
        for name, below in value.items():
            _check_text(name, file)
            yield from _leaves(below, (*path, name), file)
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from _leaves(below, (*path, number), file)
    else:
        yield path, _scalar(value, path, file)


def _scalar(value: Any, path: Path, file: str) -> Scalar:
    if isinstance(value, str):
        _check_text(value, file)
    elif isinstance(value, int) and abs(value) >= _LIMIT:
        _refuse(f"{file}: {join_key(path)}", f"a whole number of over {MAX_DIGITS} digits", "write it as text")
    scalar: Scalar = value
    return scalar


def _check_text(text: str, file: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            _refuse(file, f"text with half a character: {text[:40]!r}", "write whole Unicode characters")


def _column(path: Path) -> str:
    """A plot's field: a name as it is in the file, joined only where records are nested."""
    return str(path[0]) if len(path) == 1 else join_key(path)


def _find_records(value: Any, depth: int) -> list[dict[str, Any]] | None:
    if isinstance(value, list):
        return value if value and all(isinstance(row, dict) for row in value) else None
    if isinstance(value, dict) and depth < MAX_DEPTH:
        found = (_find_records(below, depth + 1) for below in value.values())
        return next((rows for rows in found if rows is not None), None)
    return None


@dataclass(frozen=True, slots=True)
class Change:
    """One key on two sides.

    Attributes:
        mark: ADDED, REMOVED, CHANGED or SAME.
        old: the value at the base; None when added (or when it is null).
        new: the value at the head; None when removed (or when it is null).
        delta: `new - old` in the metric's own unit, None unless both are finite numbers.
        relative: `delta / |old|`, infinite when only `old` is 0; None where `delta` is.
    """

    key: str
    mark: Mark
    old: Scalar
    new: Scalar
    delta: int | float | None = None
    relative: float | None = None


def diff_values(old: Mapping[str, Scalar] | None, new: Mapping[str, Scalar] | None) -> list[Change]:
    """Every key of either side, in the new side's order, removed ones last; None is a side without the file."""
    before, after = old or {}, new or {}
    changes = [
        compare(key, before[key], value) if key in before else Change(key, Mark.ADDED, None, value)
        for key, value in after.items()
    ]
    return changes + [Change(key, Mark.REMOVED, value, None) for key, value in before.items() if key not in after]


def compare(key: str, old: Scalar, new: Scalar) -> Change:
    """One key that both sides have. NaN equals NaN, 1 equals 1.0, and `true` does not equal 1."""
    if is_finite(old) and is_finite(new):
        difference = exact(new) - exact(old)
        whole = isinstance(old, int) and isinstance(new, int)
        delta = int(difference) if whole else to_float(difference)
        mark = Mark.CHANGED if difference else Mark.SAME
        return Change(key, mark, old, new, delta, _relative(difference, exact(old)))
    same = (type(old) is type(new) and old == new) or (_is_nan(old) and _is_nan(new))
    return Change(key, Mark.SAME if same else Mark.CHANGED, old, new)


def is_finite(value: object) -> TypeGuard[int | float]:
    """Whether it is a number that can be reckoned with: no bool, no NaN, no infinity."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def exact(value: Scalar) -> Fraction:
    """The decimal number that a finite value spells: 0.9 - 0.88 is 0.02 and not 0.020000000000000018."""
    return Fraction(repr(value))


def to_float(number: Fraction) -> float:
    """The nearest float, infinite beyond the largest."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _relative(difference: Fraction, old: Fraction) -> float:
    if not old:
        return math.inf if difference > 0 else -math.inf if difference else 0.0
    return to_float(difference / abs(old))


def _is_nan(value: Scalar) -> bool:
    return isinstance(value, float) and math.isnan(value)
