"""Predictions, one row an example: read from a file of one side, and two sides put together example by example.

The files come from whoever opened the pull request: bytes and rows are bounded, and whatever is wrong with one is told
as an error that names file and row. A column is an array of float64 where every cell is a number, else of texts, so
that `1`, `1.0` and `"1"` are the same class wherever they come from; an empty cell is NaN or "".
"""

from __future__ import annotations

import csv
import difflib
import io
import itertools
import json
import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, NoReturn

from mlgit.errors import InvalidError, UsageError
from mlgit.model.report import count
from mlgit.model.stage import Predictions

Array = Any
"""A NumPy array; it is imported only where it is used."""
EXTENSIONS: Final = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
MAX_BYTES: Final = 1 << 29
MAX_ROWS: Final = 5_000_000
_BATCH: Final = 1 << 12
_ROLES: Final = ("id", "label", "prediction", "score", "group")
_EXACT: Final = 2**53
"""Whole numbers beyond it are not all floats: two ids could become one."""


@dataclass(frozen=True, slots=True)
class Examples:
    """The rows of a predictions file.

    Attributes:
        name: the file, for messages.
        count: number of rows.
        roles: the columns that are there, by what they mean: `id`, `label`, `prediction`, `score`, `group`.
        slices: further columns that were asked for, by name.
    """

    name: str
    count: int
    roles: dict[str, Array]
    slices: dict[str, Array]

    def rows(self, chosen: Array) -> Examples:
        """Those rows that an index or a mask chooses."""
        roles = {role: column[chosen] for role, column in self.roles.items()}
        slices = {name: column[chosen] for name, column in self.slices.items()}
        size = int(chosen.sum()) if chosen.dtype.kind == "b" else len(chosen)
        return replace(self, count=size, roles=roles, slices=slices)


def read(data: bytes, said: Predictions, slices: Collection[str] = (), name: str = "") -> Examples:
    """A predictions file's rows.

    Args:
        data: its bytes.
        said: its path, whose extension tells the format, and what its columns are called.
        slices: columns to read besides.
        name: what to call the file in errors; by default its path.

    Raises:
        InvalidError: malformed, too large, without rows, or a column is missing that `slices` names.
        UsageError: a format that cannot be read, or a Parquet file and pyarrow is not installed.
    """
    name = name or said.path
    wanted = {role: getattr(said, role) for role in _ROLES}
    table, known = _table(data, said.path.lower(), name, {*wanted.values(), *slices})
    for column in slices:
        if column not in table:
            missing(name, column, known)
    if "label" in wanted and wanted["label"] not in table:
        missing(name, wanted["label"], known)
    size = len(next(iter(table.values())))
    if not size:
        raise InvalidError(f"{name}: no rows", hint="it must have a row for each example")
    roles = {role: table[column] for role, column in wanted.items() if column in table}
    return Examples(name, size, roles, {column: table[column] for column in slices})


def missing(name: str, column: str, known: Collection[str]) -> NoReturn:
    """Refuse a file that lacks a column, naming the one that was likely meant."""
    near = difflib.get_close_matches(column, known, 1)
    there = ", ".join(list(known)[:20])
    hint = f"did you mean {near[0]!r}?" if near else f"its columns: {there}" if there else "it has no columns"
    raise InvalidError(f"{name}: no column {column!r}", hint=hint)


def pair(base: Examples, head: Examples) -> tuple[Examples, Examples] | str:
    """The same examples in the same order on both sides, or why they cannot be put together.

    By `id` where both have it, whatever the order; row by row where the base has none. Either way labels, groups and
    slices must agree: otherwise it is not the model alone that changed. A head that leaves the ids out could have its
    rows in any order, and what is paired wrongly always looks like chance.
    """
    import numpy as np

    if "id" in base.roles and "id" in head.roles:
        ids = _alike(base.roles["id"], head.roles["id"])
        orders = []
        for side, names in zip((base, head), ids, strict=True):
            order = np.argsort(names, kind="stable")
            twice = np.flatnonzero(names[order][1:] == names[order][:-1])
            if len(twice):
                return f"{side.name}: the id {as_text(names[order])[twice[0]]!r} occurs twice"
            orders.append(order)
        if base.count != head.count or not (ids[0][orders[0]] == ids[1][orders[1]]).all():
            return _different_ids(*(set(as_text(names)) for names in ids))
        base, head = base.rows(orders[0]), head.rows(orders[1])
    elif "id" in base.roles:
        return "only the base has a column for the id"
    elif base.count != head.count:
        return f"{count(base.count, 'example')} at the base, {head.count:,} at the head"
    different = _difference(base, head)
    return different or (base, head)


def _alike(one: Array, other: Array) -> tuple[Array, Array]:
    """Two columns that can be compared: numbers if both are, else texts."""
    return (one, other) if one.dtype.kind == other.dtype.kind == "f" else (as_text(one), as_text(other))


def as_text(column: Array) -> Array:
    """A column as texts: numbers without a fraction as whole ones, so that 1 and 1.0 are one class."""
    import numpy as np

    if column.dtype.kind != "f":
        return column
    values, codes = np.unique(column, return_inverse=True)
    texts = np.array([_number_text(float(value)) for value in values], dtype=object)
    return texts[codes]


def _number_text(value: float) -> str:
    return str(int(value)) if math.isfinite(value) and value == int(value) else "" if math.isnan(value) else repr(value)


def _different_ids(base: set[str], head: set[str]) -> str:
    gone, added = base - head, head - base
    example = min(gone or added)
    side = "base" if gone else "head"
    return (
        f"the examples differ: {count(len(gone), 'id')} only at the base, {len(added):,} only at the head, "
        f"such as {example!r} at the {side}"
    )


def _difference(base: Examples, head: Examples) -> str:
    """What is not the same for the same examples, although no model decides it; empty if nothing."""
    pairs = [(role, base.roles.get(role), head.roles.get(role)) for role in ("label", "group")]
    pairs += [(f"column {name!r}", column, head.slices[name]) for name, column in base.slices.items()]
    for name, old, new in pairs:
        if (old is None) != (new is None):
            return f"only the {'head' if old is None else 'base'} has a column for the {name}"
        if old is None or new is None:
            continue
        first, last = _alike(old, new)
        different = (first != last) & ((first == first) | (last == last))  # noqa: PLR0124  NaN is like NaN
        if different.any():
            return f"the {name} differs in {count(int(different.sum()), 'example')} of {base.count:,}"
    return ""


def _table(data: bytes, path: str, name: str, wanted: Collection[str]) -> tuple[dict[str, Array], list[str]]:
    """The columns that are `wanted` and there; and the names of all."""
    if len(data) > MAX_BYTES:
        raise InvalidError(f"{name}: {len(data)} bytes", hint=f"{MAX_BYTES} bytes is the limit; keep fewer columns")
    if path.endswith(".parquet"):
        return _parquet(data, name, wanted)
    if not path.endswith(EXTENSIONS):
        raise UsageError(f"{name}: not a format that predictions are read from", hint=f"use {', '.join(EXTENSIONS)}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidError(f"{name}: not UTF-8 at byte {error.start}", hint="save the file as UTF-8") from error
    if path.endswith((".csv", ".tsv")):
        return _delimited(text, "\t" if path.endswith(".tsv") else ",", name, wanted)
    return _json_lines(text, name, wanted)


def _delimited(text: str, delimiter: str, name: str, wanted: Collection[str]) -> tuple[dict[str, Array], list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        lines = filter(None, reader)
        known = next(lines, [])
        if len(set(known)) != len(known):
            raise InvalidError(f"{name}: a column's name occurs twice in {known!r}", hint="rename one of the columns")
        places = [at for at, column in enumerate(known) if column in wanted]
        cells: list[list[str]] = [[] for _ in places]
        for number, line in enumerate(lines):
            if len(line) != len(known) or number >= MAX_ROWS:
                _bad_line(f"{name}:{reader.line_num}", len(line), len(known))
            for at, column in zip(places, cells, strict=True):
                column.append(line[at])
    except csv.Error as error:
        raise InvalidError(f"{name}:{reader.line_num}: {error}", hint="mend the CSV there") from error
    return {known[at]: _column(column) for at, column in zip(places, cells, strict=True)}, known


def _bad_line(where: str, cells: int, columns: int) -> NoReturn:
    if cells == columns:
        raise InvalidError(f"{where}: more than {MAX_ROWS:,} rows", hint="keep the predictions of a sample")
    raise InvalidError(f"{where}: {cells} cells under {columns} columns", hint="mend that line")


def _json_lines(text: str, name: str, wanted: Collection[str]) -> tuple[dict[str, Array], list[str]]:
    known: dict[str, None] = {}
    cells: dict[str, list[Any]] = {}
    rows = 0
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        record = _record(line, f"{name}:{number}")
        known.update(dict.fromkeys(record))
        for column in record.keys() & wanted:
            value = record[column]
            if isinstance(value, (dict, list)):
                raise InvalidError(f"{name}:{number}: {column!r} is no single value", hint="write a number or a text")
            kept = cells.setdefault(column, [])
            kept += [None] * (rows - len(kept))
            kept.append(value)
        rows += 1
        if rows > MAX_ROWS:
            raise InvalidError(f"{name}:{number}: more than {MAX_ROWS:,} rows", hint="keep the predictions of a sample")
    return {key: _column(values + [None] * (rows - len(values))) for key, values in cells.items()}, list(known)


def _record(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"{where}: not JSON: {error}", hint="write one JSON object a line") from error
    if not isinstance(record, dict):
        raise InvalidError(f"{where}: not an object", hint='write one object a line, such as {"id": 1, "label": 0}')
    return record


def _parquet(data: bytes, name: str, wanted: Collection[str]) -> tuple[dict[str, Array], list[str]]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError(
            f"{name}: Parquet needs pyarrow, which is not installed", hint="pip install 'mlgit[parquet]'"
        ) from error
    try:
        file = parquet.ParquetFile(pa.BufferReader(data))
        known = file.schema_arrow.names
        if file.metadata.num_rows > MAX_ROWS:
            raise InvalidError(f"{name}: more than {MAX_ROWS:,} rows", hint="keep the predictions of a sample")
        chosen = [column for column in known if column in wanted]
        cells: dict[str, list[Any]] = {column: [] for column in chosen}
        for column, values in _batches(file, chosen, name) if chosen else ():
            cells[column] += values
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InvalidError(
            f"{name}: not a readable Parquet file: {error}", hint="have its stage write it again"
        ) from error
    return {column: _column(values) for column, values in cells.items()}, known


def _batches(file: Any, chosen: list[str], name: str) -> Iterator[tuple[str, list[Any]]]:
    """The cells of each column, batch after batch; a small file may claim to unpack to any size."""
    size = 0
    for batch in file.iter_batches(batch_size=_BATCH, columns=chosen):
        size += batch.nbytes
        if size > MAX_BYTES:
            raise InvalidError(f"{name}: more than {MAX_BYTES} bytes unpacked", hint="keep fewer columns or rows")
        for column, values in zip(batch.schema.names, batch.columns, strict=True):
            yield column, values.to_pylist()


def _column(values: list[Any]) -> Array:
    """Cells as numbers if they all are; whole numbers too long for a float stay texts."""
    import numpy as np

    numbers = _numbers(values)
    if numbers is not None:
        return numbers
    return np.fromiter(map(_text, values), dtype=object, count=len(values))


def _numbers(values: list[Any]) -> Array | None:
    import numpy as np

    given = (value for value in itertools.islice(values, len(values)) if value is not None and value != "")
    if not all(_may_be_number(value) for value in given):
        return None
    try:
        numbers = np.array([math.nan if value is None or value == "" else float(value) for value in values])
    except (ValueError, OverflowError, TypeError):
        return None
    with np.errstate(invalid="ignore"):
        too_long = (np.abs(numbers) >= _EXACT) & np.isfinite(numbers)
    if too_long.any() and any(_is_whole(values[at]) for at in np.flatnonzero(too_long)):
        return None
    return numbers


def _may_be_number(value: Any) -> bool:
    return not isinstance(value, bool) and (not isinstance(value, str) or "_" not in value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) or (isinstance(value, str) and value.strip().lstrip("+-").isdigit())


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or (isinstance(value, str) and value in ("True", "False", "TRUE", "FALSE")):
        return str(value).lower()
    if isinstance(value, float):
        return _number_text(value)
    return str(value)


def first_bad(column: Iterable[bool]) -> int:
    """The number of the first row, from 1, for which `column` is not true."""
    return next(number for number, good in enumerate(column, 1) if not good)
