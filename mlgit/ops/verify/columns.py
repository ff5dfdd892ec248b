"""Two Parquet files, a batch of rows at a time; needs pyarrow (`mlgit[parquet]`).

Rows are counted from 1. Nested cells are compared value by value, as JSON is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from mlgit.errors import InvalidError
from mlgit.ops.verify.arrays import compare_blocks
from mlgit.ops.verify.finding import Tally
from mlgit.ops.verify.nested import walk

_BATCH: Final = 1 << 15
_MOST: Final = 1 << 34
"""Values that are looked at: a small file can claim any number of rows."""


def compare(recorded: BinaryIO, new: BinaryIO, tally: Tally) -> None:
    """Tell `tally` what differs between two tables.

    Raises:
        ImportError: pyarrow is not installed.
        InvalidError, ValueError, OSError: one of them is malformed, or claims more than is looked at.
    """
    from pyarrow import parquet

    old, fresh = parquet.ParquetFile(recorded), parquet.ParquetFile(new)
    if not _same_columns(old.schema_arrow, fresh.schema_arrow, tally):
        return
    rows = old.metadata.num_rows, fresh.metadata.num_rows
    if max(rows) * max(len(old.schema_arrow), 1) > _MOST:
        raise InvalidError(f"it claims {max(rows):,} rows")
    done = 0
    for first, last in _aligned(old, fresh):
        for number, name in enumerate(first.schema.names):
            _column(first.column(number), last.column(number), name, done + 1, tally)
        done += first.num_rows
    if rows[0] != rows[1]:
        tally.structure("rows", f"{rows[0]:,}", f"{rows[1]:,}")


def _same_columns(old: Any, new: Any, tally: Tally) -> bool:
    if old.equals(new):
        return True
    gone = [name for name in old.names if name not in new.names]
    added = [name for name in new.names if name not in old.names]
    if gone or added:
        tally.structure("columns", ", ".join(gone), ", ".join(added))
    elif old.names != new.names:
        tally.structure("order of columns", ", ".join(old.names), ", ".join(new.names))
    else:
        first, last = next(pair for pair in zip(old, new, strict=True) if not pair[0].equals(pair[1]))
        types = [f"{one.type}{'' if one.nullable else ' not null'}" for one in (first, last)]
        tally.structure(f"type of column {first.name}", *types)
    return False


def _aligned(old: Any, new: Any) -> Iterator[tuple[Any, Any]]:
    """Batches of the same rows of both files, however each is cut; ends with the shorter one."""
    sides = [file.iter_batches(_BATCH, use_threads=False) for file in (old, new)]
    held: list[Any] = [None, None]
    while True:
        for at, side in enumerate(sides):
            while held[at] is None or not held[at].num_rows:
                held[at] = next(side, None)
                if held[at] is None:
                    return
        length = min(one.num_rows for one in held)
        yield held[0].slice(0, length), held[1].slice(0, length)
        held = [one.slice(length) for one in held]


def _column(old: Any, new: Any, name: str, start: int, tally: Tally) -> None:
    """One column of one batch, whose first row is the file's row `start`."""
    import pyarrow as pa
    from pyarrow import types

    if types.is_dictionary(old.type):
        old, new = old.dictionary_decode(), new.dictionary_decode()
    if isinstance(old, pa.ExtensionArray):
        old, new = old.storage, new.storage
    number = types.is_integer(old.type) or types.is_floating(old.type)
    if number and old.is_valid().equals(new.is_valid()):
        _numbers(old, new, name, start, tally)
    elif number or not old.equals(new):
        if types.is_temporal(old.type):  # Python has no nanoseconds
            old, new = old.cast(pa.string()), new.cast(pa.string())
        for row, (first, last) in enumerate(zip(old, new, strict=True), start):
            _cell(first.as_py(), last.as_py(), f"row {row}, column {name}", tally)


def _numbers(old: Any, new: Any, name: str, start: int, tally: Tally) -> None:
    """Numbers that are missing in the same rows; Arrow's own comparison would take 0.0 for -0.0."""
    import numpy as np

    rows = np.flatnonzero(old.is_valid().to_numpy(zero_copy_only=False)) if old.null_count else None
    arrays = [one.drop_null().to_numpy(zero_copy_only=False) for one in (old, new)]
    place = (lambda at: at) if rows is None else (lambda at: int(rows[at]))
    compare_blocks(arrays[0], arrays[1], lambda at: f"row {start + place(at)}, column {name}", tally)


def _cell(old: Any, new: Any, where: str, tally: Tally) -> None:
    walk(old, new, tally, lambda key: f"{where}, key {key}" if key else where)
