"""Two NumPy files, block by block: `.npy`, and the arrays of an `.npz` one after the other.

Headers are read by NumPy's own parser, which takes literals only. What holds pickled objects is refused, never loaded.
Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Final, Literal

from mlgit.errors import InvalidError
from mlgit.ops.verify.finding import Difference, Tally, shown

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_BLOCK: Final = 1 << 20
_LARGEST: Final = 1 << 24
Where = Callable[[int], str]


@dataclass(frozen=True, slots=True)
class _Header:
    """What stands before an array's bytes."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: Any

    @property
    def count(self) -> int:
        return math.prod(self.shape)


def compare(recorded: BinaryIO, new: BinaryIO, tally: Tally) -> None:
    """Tell `tally` what differs between two `.npy` files.

    Raises:
        InvalidError, ValueError: one of them is malformed, or holds pickled objects.
    """
    _stream(recorded, new, "", tally)


def compare_archives(recorded: BinaryIO, new: BinaryIO, tally: Tally) -> None:
    """Tell `tally` what differs between two `.npz` files, in the order of the recorded one's arrays.

    Raises:
        InvalidError, ValueError, zipfile.BadZipFile: one of them is malformed, or holds pickled objects.
    """
    with zipfile.ZipFile(recorded) as old, zipfile.ZipFile(new) as fresh:
        names, others = _members(old), _members(fresh)
        for name in [*names, *(name for name in others if name not in names)]:
            if name not in others or name not in names:
                tally.structure(f"array {name}", *(name if name in side else "" for side in (names, others)))
                continue
            with old.open(names[name]) as first, fresh.open(others[name]) as last:
                _stream(first, last, name, tally)


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    found = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    if len(found) != len(archive.infolist()) or not all(name.endswith(".npy") for name in archive.namelist()):
        raise InvalidError("an archive with a name twice, or with what is no array")
    return found


def _stream(recorded: IO[bytes], new: IO[bytes], name: str, tally: Tally) -> None:
    """Compare two arrays that are read from here on; `name` is what the archive calls them."""
    import numpy as np

    head, other = _header(recorded), _header(new)
    title = f"{name}: " if name else ""
    for what, old, fresh in (
        ("type", head.dtype, other.dtype),
        ("shape", head.shape, other.shape),
        ("order", *("column by column" if one.fortran else "row by row" for one in (head, other))),
    ):
        if old != fresh:
            tally.structure(f"{title}{what}", str(old), str(fresh))
            return
    if not head.dtype.itemsize:
        return
    step, done = max(_BLOCK // head.dtype.itemsize, 1), 0
    order: Literal["C", "F"] = "F" if head.fortran else "C"
    while done < head.count:
        length = min(step, head.count - done)
        old, fresh = (_exactly(file, length * head.dtype.itemsize) for file in (recorded, new))
        if old != fresh:
            start = done

            def where(at: int, start: int = start) -> str:
                index = np.unravel_index(start + at, head.shape, order) if head.shape else ()
                return f"{name}[{', '.join(str(int(one)) for one in index)}]"

            compare_blocks(np.frombuffer(old, head.dtype), np.frombuffer(fresh, head.dtype), where, tally)
        done += length
    if recorded.read(1) or new.read(1):
        raise InvalidError("bytes after the array")


def _header(file: IO[bytes]) -> _Header:
    from numpy.lib import format as npy

    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise InvalidError(f"version {version[0]}.{version[1]} of the format is not read")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise InvalidError("it holds pickled objects, which are never loaded")
    if dtype.itemsize > _LARGEST:
        raise InvalidError(f"elements of {dtype.itemsize:,} bytes")
    if any(length < 0 for length in shape):
        raise InvalidError("a negative shape")
    return _Header(tuple(map(int, shape)), bool(fortran), dtype)


def _exactly(file: IO[bytes], size: int) -> bytes:
    found = file.read(size)
    if len(found) != size:
        raise InvalidError("fewer bytes than the shape asks for")
    return found


def compare_blocks(recorded: Array, new: Array, where: Where, tally: Tally) -> None:
    """Tell `tally` what differs between two flat arrays of one type; `where` words an index."""
    kind = recorded.dtype.kind
    if recorded.dtype.names:
        for field in recorded.dtype.names:
            compare_blocks(recorded[field], new[field], lambda at, field=field: f"{where(at)}.{field}", tally)  # type: ignore[misc]
        return
    if recorded.ndim > 1 or kind == "V":  # a field that is an array itself, or bytes of no type
        _as_bytes(recorded, new, where, tally)
        return
    native = recorded.dtype.newbyteorder("=")
    old, fresh = recorded.astype(native), new.astype(native)
    if kind == "c":
        real = old.real.dtype
        compare_blocks(old.view(real), fresh.view(real), lambda at: f"{where(at // 2)}.{'ri'[at % 2]}", tally)
    elif kind in "fiu":
        _numbers(old, fresh, where, tally)
    else:
        at = _differing(*(one.view("i8") if kind in "mM" else one for one in (old, fresh)))
        _others(old, fresh, at, where, tally)


def _numbers(old: Array, new: Array, where: Where, tally: Tally) -> None:
    import numpy as np

    differs = old != new
    if old.dtype.kind == "f":
        differs = (differs & ~(np.isnan(old) & np.isnan(new))) | ((old == 0) & (np.signbit(old) != np.signbit(new)))
    at = np.flatnonzero(differs)
    if not at.size:
        return
    first, last = old[at], new[at]
    absolute, relative, inside = tally.bound.judge_arrays(first, last)
    tally.numbers(int(at.size), float(absolute.max()), float(relative.max()))
    outside = np.flatnonzero(~inside)
    for place in {0, *(outside[:1].tolist())}:
        found = Difference(where(int(at[place])), shown(first[place]), shown(last[place]), numeric=True)
        tally.difference(found, inside=bool(inside[place]))


def _others(old: Array, new: Array, at: Array, where: Where, tally: Tally) -> None:
    """What is no number: true and false, text, dates."""
    if at.size:
        first = int(at[0])
        tally.other(where(first), old[first].item(), new[first].item(), int(at.size))


def _as_bytes(old: Array, new: Array, where: Where, tally: Tally) -> None:
    import numpy as np

    sides = [np.frombuffer(one.tobytes(), np.uint8).reshape(len(one), -1) for one in (old, new)]
    at = _differing(*sides)
    if at.size:
        first = int(at[0])
        recorded, fresh = (side[first].tobytes().hex() for side in sides)
        tally.other(where(first), recorded, fresh, int(at.size))


def _differing(old: Array, new: Array) -> Array:
    import numpy as np

    rows: Array = np.unique(np.nonzero(old != new)[0])
    return rows
