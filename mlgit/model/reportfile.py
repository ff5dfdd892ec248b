"""A report read back from its JSON, as the artifact that one CI job leaves for another.

The file may come from a job that ran a stranger's code, so it is hostile until proven well formed: its size, depth,
numbers, how many rows, columns and notes there are, and the length of every text are bounded, unknown marks and
verdicts are refused, and what comes out is an ordinary `Report`, whose renderers escape every text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from mlgit.errors import InvalidError
from mlgit.model.fields import Fields, describe
from mlgit.model.report import VERSION, Cell, Mark, Report, Row, Table, Verdict

MAX_BYTES: Final = 16 << 20
MAX_TABLES: Final = 50
MAX_COLUMNS: Final = 200
MAX_ROWS: Final = 20_000
MAX_NOTES: Final = 1000
MAX_TEXT: Final = 10_000
_MOST: Final = 10**305  # a float holds it, so that it can be shown
_OWN: Final = ("version", "kind", "title", "verdict", "base", "head", "notes", "tables")
_MARKS: Final = {mark.value: mark for mark in Mark}
_VERDICTS: Final = {verdict.value: verdict for verdict in Verdict}


def decode(data: bytes, where: str) -> Report:
    """The report that `to_json` wrote; numbers that JSON cannot hold stay the texts that stand for them.

    Args:
        where: the file's path, for errors.

    Raises:
        InvalidError: not JSON, not a report, of another version, or beyond the bounds above.
    """
    if len(data) > MAX_BYTES:
        raise InvalidError(f"{where}: {len(data)} bytes; a report has at most {MAX_BYTES}", hint="write it anew")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidError(
            f"{where}: not JSON: {error}", hint="give it a file that `mlgit ci --output` wrote"
        ) from None
    names = _names(value)
    fields = Fields(value, where, (*_OWN, *names))
    if fields.whole("version") != VERSION:
        fields.fail("version", f"{describe(fields.block['version'])} is not known to this mlgit", "upgrade mlgit")
    if len(fields.items("notes")) > MAX_NOTES:
        fields.fail("notes", f"{len(value['notes'])} notes; a report has at most {MAX_NOTES}")
    return Report(
        kind=_text(fields, "kind"),
        title=_text(fields, "title"),
        tables=tuple(_tables(fields)),
        verdict=_VERDICTS[fields.choice("verdict", _VERDICTS)],
        base=_text(fields, "base", None),
        head=_text(fields, "head", None),
        notes=tuple(_bounded(fields, "notes", note) for note in fields.items("notes")),
    )


def _names(value: object) -> list[str]:
    """What the tables are called, as far as that can be told before anything is checked."""
    tables = value.get("tables") if isinstance(value, dict) else None
    listed = tables[:MAX_TABLES] if isinstance(tables, list) else []
    return [one["name"] for one in listed if isinstance(one, dict) and isinstance(one.get("name"), str)]


def _tables(fields: Fields) -> Iterator[Table]:
    described = fields.items("tables")
    if len(described) > MAX_TABLES:
        fields.fail("tables", f"{len(described)} tables; a report has at most {MAX_TABLES}")
    room = MAX_ROWS
    for one in described:
        inner = Fields(one, fields.at("tables"), ("name", "title", "columns", "empty"))
        name = _text(inner, "name")
        if len(inner.items("columns")) > MAX_COLUMNS:
            inner.fail("columns", f"{len(one['columns'])} columns; a table has at most {MAX_COLUMNS}")
        columns = tuple(_bounded(inner, "columns", column) for column in inner.items("columns"))
        if name in _OWN or len(set(columns)) != len(columns) or {"mark", "note", "where"} & set(columns):
            inner.fail("columns", "a name that occurs twice or has another meaning")
        rows = fields.items(name)
        room -= len(rows)
        if room < 0:
            fields.fail(name, f"more than {MAX_ROWS} rows")
        decoded = tuple(_row(row, columns, fields.at(name)) for row in rows)
        yield Table(name, _text(inner, "title"), columns, decoded, _text(inner, "empty"))


def _row(value: object, columns: tuple[str, ...], where: str) -> Row:
    fields = Fields(value, where, (*columns, "mark", "note", "where"))
    cells = tuple(_cell(fields, column) for column in columns)
    mark = _MARKS[fields.choice("mark", _MARKS)]
    return Row(cells, mark, _text(fields, "note", ""), _text(fields, "where", ""))


def _cell(fields: Fields, column: str) -> Cell:
    if column not in fields.block:
        fields.fail(column, "missing")
    value = fields.block[column]
    if isinstance(value, str):
        return _bounded(fields, column, value)
    if value is not None and not isinstance(value, (bool, int, float)):
        fields.fail(column, f"expected one value, found {describe(value)}")
    if isinstance(value, int) and abs(value) > _MOST:
        fields.fail(column, "too large a number")
    cell: Cell = value
    return cell


def _text(fields: Fields, key: str, default: Any = ...) -> Any:
    value = fields.text(key, default)
    return value if value is default else _bounded(fields, key, value)


def _bounded(fields: Fields, key: str, value: object) -> str:
    if not isinstance(value, str):
        fields.fail(key, f"expected text, found {describe(value)}")
    if len(value) > MAX_TEXT:
        fields.fail(key, f"a text of {len(value)} characters; {MAX_TEXT} is the limit")
    return value
