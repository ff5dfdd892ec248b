"""Facts of one data file, told from its bytes: rows, columns and their types, or the width and height of a picture.

The bytes come from whoever opened the pull request. What is read is bounded, nothing in it is run, and a file that is
not what its name says gives a `problem` in words, never an exception.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

MAX_BYTES: Final = 256 << 20
"""Larger text files are not read."""
MAX_LINE: Final = 16 << 20
MAX_COLUMNS: Final = 100_000
_PIECE: Final = 1 << 20
_JPEG: Final = 4 << 20
"""Bytes in which a JPEG has to say its size; what stands before that is read piece by piece."""
SAMPLED_ROWS: Final = 1000
SAMPLED_CELLS: Final = 50_000
"""Types of columns are told from the first rows: at most so many, with at most so many cells."""

IMAGES: Final = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff")
_TEXTS: Final = {".csv": "CSV", ".tsv": "TSV", ".jsonl": "JSON lines", ".ndjson": "JSON lines"}
_PARQUET: Final = (".parquet", ".pq")
_PICTURE_STARTS: Final = (b"\x89PNG", b"\xff\xd8", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*")

Columns = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one file.

    Attributes:
        rows: without the header.
        columns: name and type, in the file's order and words; CSV and TSV have no types, there it is how cells look.
        pixels: width and height.
        problem: why nothing is known.
    """

    rows: int | None = None
    columns: Columns | None = None
    pixels: tuple[int, int] | None = None
    problem: str = ""


def is_table(path: str) -> bool:
    """Whether rows and columns can be told of a file with this name."""
    return path.lower().endswith((*_TEXTS, *_PARQUET))


def is_image(path: str) -> bool:
    """Whether width and height can be told of a file with this name."""
    return path.lower().endswith(IMAGES)


def cost(path: str, size: int) -> int:
    """Bytes that `read_facts` reads of a file, about: all of a text, next to nothing of the others."""
    return size if path.lower().endswith(tuple(_TEXTS)) and size <= MAX_BYTES else 0


def read_facts(file: BinaryIO, path: str, size: int) -> Facts:
    """The facts of the open `file`, which is called `path` and has `size` bytes."""
    name = path.lower()
    if name.endswith(IMAGES):
        return _guarded("a picture", lambda: _picture(file))
    if name.endswith(_PARQUET):
        return _guarded("Parquet", lambda: _parquet(file))
    kind = next((kind for end, kind in _TEXTS.items() if name.endswith(end)), None)
    if kind is None:
        return Facts()
    if size > MAX_BYTES:
        return Facts(problem=f"larger than {MAX_BYTES >> 20} MiB, so its rows are not counted")
    if kind == "JSON lines":
        return _guarded(kind, lambda: _json_lines(file))
    return _guarded(kind, lambda: _separated(file, "\t" if kind == "TSV" else ","))


def _guarded(kind: str, read: Callable[[], Facts]) -> Facts:
    """What `read` finds; bytes that it chokes on are the file's fault, whichever way the parser says so."""
    try:
        return read()
    except UnicodeDecodeError:
        reason = "not UTF-8"
    except RecursionError:
        reason = "nested too deeply"
    except Exception as error:  # parsers of others, fed with anything
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
    return Facts(problem=f"not readable as {kind}: {_sayable(reason)[:120]}")


def _sayable(text: str) -> str:
    """`text` without the lone surrogates that JSON can spell and no output can hold."""
    return text.encode(errors="backslashreplace").decode()


# -- text --------------------------------------------------------------------------------------------------------------


def _separated(file: BinaryIO, delimiter: str) -> Facts:
    quoted = _check_lines(file)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    lines = _Lines(text)
    reader = csv.reader(lines if quoted else text, delimiter=delimiter, strict=True)
    filled = filter(None, lines.records(reader) if quoted else reader)
    try:
        header = next(filled, [])
        _check_columns(len(header))
        sample, widths = [], Counter[int]()
        for row in itertools.islice(filled, min(SAMPLED_ROWS, SAMPLED_CELLS // max(len(header), 1))):
            widths[len(row)] += 1
            sample += [row] * (len(row) == len(header))
        widths.update(map(len, filled))
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error
    finally:
        text.detach()
    ragged = {width: number for width, number in widths.items() if width != len(header)}
    if ragged:
        width, number = ragged.popitem()
        raise ValueError(f"rows of {width} cells under {len(header)} columns ({number:,} of them)")
    kinds = [{*map(_look, cells)} for cells in zip(*sample, strict=True)] or [set() for _ in header]
    return Facts(sum(widths.values()), tuple((name, _common(kind)) for name, kind in zip(header, kinds, strict=True)))


def _json_lines(file: BinaryIO) -> Facts:
    _check_lines(file)
    seen: dict[str, set[str]] = {}
    rows, cells = 0, 0
    for number, line in enumerate(file, 1):
        rows += bool(line.strip())
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
        items = value.items() if isinstance(value, dict) else [("(value)", value)]
        _check_columns(len(items))
        cells += len(items)
        for key, cell in items:
            seen.setdefault(key, set()).add(_JSON_TYPES[type(cell)])
        if rows == SAMPLED_ROWS or cells > SAMPLED_CELLS:
            break
    rows += sum(map(bool, map(bytes.strip, file)))
    return Facts(rows, tuple((_sayable(name), _union(kinds)) for name, kinds in seen.items()))


_JSON_TYPES: Final = {
    type(None): "",
    bool: "bool",
    int: "int",
    float: "float",
    str: "text",
    list: "list",
    dict: "object",
}


class _Lines:
    """Lines for a parser of records in quotes, of which one may span any number of them; a record has its bound too."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._size = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self._size += len(line)
        if self._size > MAX_LINE:
            raise ValueError(f"a record of more than {MAX_LINE >> 20} MiB")
        return line

    def records(self, reader: Iterable[list[str]]) -> Iterator[list[str]]:
        """What `reader` makes of these lines."""
        for row in reader:
            self._size = 0
            yield row


def _check_columns(number: int) -> None:
    if number > MAX_COLUMNS:
        raise ValueError(f"{number:,} columns")


def _check_lines(file: BinaryIO) -> bool:
    """Whether anything in a file is in quotes; one with a line so long that memory could run out is refused.

    That is far faster than counting while lines are read.
    """
    length, quoted = 0, False
    while piece := file.read(_PIECE):
        quoted = quoted or b'"' in piece
        last = piece.rfind(b"\n")
        length = length + len(piece) if last < 0 else len(piece) - last - 1
        if length > MAX_LINE:
            raise ValueError(f"a line of more than {MAX_LINE >> 20} MiB")
    file.seek(0)
    return quoted


def _look(cell: str) -> str:
    """What a cell looks like; empty for an empty one."""
    bare = cell.strip()
    if bare.lower() in ("true", "false"):
        return "bool"
    for kind, read in (("int", int), ("float", float)):
        try:
            read(bare)
        except ValueError:
            continue
        return kind
    return "text" if bare else ""


def _common(kinds: set[str]) -> str:
    """One type for all cells of a column of text."""
    found = kinds - {""}
    if len(found) > 1:
        return "float" if found == {"float", "int"} else "text"
    return found.pop() if found else "empty"


def _union(kinds: set[str]) -> str:
    """All types that the values of a key have."""
    found = kinds - ({""} if len(kinds) > 1 else set())
    return " | ".join(sorted(found - {"int"} if "float" in found else found)) or "null"


# -- binary ------------------------------------------------------------------------------------------------------------


def _parquet(file: BinaryIO) -> Facts:
    try:
        from pyarrow import parquet
    except ImportError:
        return Facts(problem="rows and columns of Parquet need pyarrow: `pip install 'mlgit[parquet]'`")
    found = parquet.ParquetFile(file)
    return Facts(found.metadata.num_rows, tuple((field.name, str(field.type)) for field in found.schema_arrow))


def _picture(file: BinaryIO) -> Facts:
    """Only what begins as a bitmap does is handed on: the library would parse a text as XML."""
    start = file.read(4)
    if not start.startswith(_PICTURE_STARTS):
        raise ValueError("it does not begin as one")
    import imagesize

    file.seek(0)
    width, height = imagesize.get(io.BytesIO(file.read(_JPEG)) if start.startswith(b"\xff\xd8") else file)
    if width < 0 or height < 0:
        raise ValueError("it does not say its width and height")
    return Facts(pixels=(int(width), int(height)))
