"""Two files of nested values: JSON, YAML and TOML as a whole, JSON lines one by one.

Keys are dotted as everywhere (`model/metric.py`). The order of names in an object is no part of its value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final

from mlgit.errors import InvalidError
from mlgit.model.metric import MAX_BYTES, Path, join_key, parse_value
from mlgit.ops.verify.finding import Tally, shown

_Pair = tuple[Path, Any, Any]
_ABSENT: Final = object()


def compare(recorded: BinaryIO, new: BinaryIO, path: str, tally: Tally) -> None:
    """Tell `tally` what differs between two whole documents.

    Raises:
        InvalidError: one of them is malformed, too large or too deep.
    """
    walk(_document(recorded, path), _document(new, path), tally, lambda key: f"key {key}" if key else "value")


def compare_lines(recorded: BinaryIO, new: BinaryIO, path: str, tally: Tally) -> None:
    """Tell `tally` what differs between two files with one JSON value a line.

    Raises:
        InvalidError: a line is malformed or too long.
    """
    number, old, fresh = 0, _lines(recorded, path), _lines(new, path)
    while True:
        number += 1
        first, last = next(old, None), next(fresh, None)
        if first is None or last is None:
            break
        if first != last:
            start = f"line {number}"
            walk(_value(first, path), _value(last, path), tally, lambda key, start=start: f"{start}, key {key}")  # type: ignore[misc]
    if first is not None or last is not None:
        counts = [number - 1 + (one is not None) + sum(1 for _ in rest) for one, rest in ((first, old), (last, fresh))]
        tally.structure("lines", f"{counts[0]:,}", f"{counts[1]:,}")


def walk(recorded: Any, new: Any, tally: Tally, where: Callable[[str], str]) -> None:
    """Tell `tally` what differs between two nested values, in the recorded one's order; `where` words a key."""
    pending: list[_Pair] = [((), recorded, new)]
    while pending:
        path, old, fresh = pending.pop()
        if isinstance(old, dict) and isinstance(fresh, dict):
            pending += reversed(_in_mappings(path, old, fresh))
        elif isinstance(old, list) and isinstance(fresh, list):
            if len(old) != len(fresh):
                tally.structure(where(join_key(path)), f"{len(old):,} items", f"{len(fresh):,} items")
            pending += [((*path, at), *pair) for at, pair in enumerate(zip(old, fresh, strict=False))][::-1]
        elif old is _ABSENT or fresh is _ABSENT:
            tally.structure(where(join_key(path)), *("" if one is _ABSENT else shown(one) for one in (old, fresh)))
        else:
            tally.pair(lambda path=path: where(join_key(path)), old, fresh)  # type: ignore[misc]


def _in_mappings(path: Path, old: dict[str, Any], new: dict[str, Any]) -> list[_Pair]:
    pairs = [((*path, name), value, new.get(name, _ABSENT)) for name, value in old.items()]
    return pairs + [((*path, name), _ABSENT, value) for name, value in new.items() if name not in old]


def _document(file: BinaryIO, path: str) -> Any:
    return parse_value(file.read(MAX_BYTES + 1), path)


def _lines(file: BinaryIO, path: str) -> Iterator[bytes]:
    """Lines that are not blank."""
    for line in iter(lambda: file.readline(MAX_BYTES + 1), b""):
        if len(line) > MAX_BYTES:
            raise InvalidError(f"{path}: a line of over {MAX_BYTES} bytes")
        if not line.isspace():
            yield line


def _value(line: bytes, path: str) -> Any:
    return parse_value(line, f"{path}.json")
