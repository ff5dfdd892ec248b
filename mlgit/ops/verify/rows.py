"""Two CSV or TSV files, row by row: both are read together, and only two rows at a time are held.

The first row names the columns, unless one of its cells is a number: then columns are numbered. Rows are counted from 1
below the names. Cells are numbers where both spell one.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO, Final

from mlgit.errors import InvalidError
from mlgit.ops.verify.finding import Tally

_LONGEST: Final = 1 << 24
_DIGITS: Final = 300


def compare(recorded: BinaryIO, new: BinaryIO, path: str, tally: Tally) -> None:
    """Tell `tally` what differs between two tables.

    Raises:
        InvalidError: a line is longer than any that is read.
        ValueError, csv.Error: one of them is no table, or not UTF-8.
    """
    old, fresh = _rows(recorded, path), _rows(new, path)
    names, others = next(old, []), next(fresh, [])
    headed = not any(number(cell) is not None for cell in (*names, *others))
    if headed and names != others:
        _columns(names, others, tally)
        return
    columns = names if headed else [f"#{at}" for at in range(1, len(names) + 1)]
    if not headed:
        _cells(names, others, columns, 1, tally)
    at = 0 if headed else 1
    while True:
        first, last = next(old, None), next(fresh, None)
        if first is None or last is None:
            break
        at += 1
        if first != last:
            _cells(first, last, columns, at, tally)
    if first is not None or last is not None:
        counts = [at + (one is not None) + sum(1 for _ in rest) for one, rest in ((first, old), (last, fresh))]
        tally.structure("rows", f"{counts[0]:,}", f"{counts[1]:,}")


def number(text: str) -> int | float | None:
    """The number that a cell spells; None if it spells none, or one of too many digits."""
    bare = text.strip()
    if not bare or len(bare) > _DIGITS or not bare.isascii() or "_" in bare:
        return None
    try:
        return int(bare) if bare.lstrip("+-").isdigit() else float(bare)
    except ValueError:
        return None


def _rows(file: BinaryIO, path: str) -> Iterator[list[str]]:
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    delimiter = "\t" if path.lower().endswith(".tsv") else ","
    return filter(None, csv.reader(_lines(text, path), delimiter=delimiter, strict=True))


def _lines(text: io.TextIOWrapper, path: str) -> Iterator[str]:
    for line in iter(lambda: text.readline(_LONGEST), ""):
        if len(line) == _LONGEST:
            raise InvalidError(f"{path}: a line of over {_LONGEST} characters")
        yield line


def _columns(names: list[str], others: list[str], tally: Tally) -> None:
    gone = [name for name in names if name not in others]
    added = [name for name in others if name not in names]
    if gone or added:
        tally.structure("columns", ", ".join(gone), ", ".join(added))
    else:
        tally.structure("order of columns", ", ".join(names), ", ".join(others))


def _cells(old: list[str], new: list[str], columns: list[str], row: int, tally: Tally) -> None:
    if len(old) != len(new):
        tally.structure(f"row {row}", f"{len(old)} cells", f"{len(new)} cells")
        return
    for at, (first, last) in enumerate(zip(old, new, strict=True)):
        if first == last:
            continue
        numbers = number(first), number(last)
        pair = (first, last) if None in numbers else numbers
        name = columns[at] if at < len(columns) else f"#{at + 1}"
        tally.pair(lambda name=name: f"row {row}, column {name}", *pair)  # type: ignore[misc]
