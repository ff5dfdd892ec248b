"""How two files differ, as a value, and the tally from which every format's comparison makes it.

A pair of values is told once and in the order in which they stand in the file. Nothing here reads a file.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mlgit.model.stage import Tolerance
from mlgit.ops.verify.bound import Bound, is_number, same

_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class Difference:
    """One place at which two files differ.

    Attributes:
        where: a key, row and column, index or byte offset, as people name it.
        recorded: what the recorded file has there, shortened; empty for nothing.
        new: what the new one has.
        numeric: both are numbers.
    """

    where: str
    recorded: str
    new: str
    numeric: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """How two files differ.

    Attributes:
        first: the first difference that the tolerance does not let pass; if it lets all pass, the first one.
        differing: how many values differ, or how many parts of the structure; 0 where they were not counted.
        within: the tolerance lets all of it pass.
        numeric: nothing but numbers differs.
        absolute: the largest |new - recorded|, infinite where a number became NaN or infinite or the reverse; None
            if no numbers differ.
        relative: the largest |new - recorded| / |recorded|, likewise.
        known: False if it cannot be told whether they differ by more than the tolerance.
        note: a sentence for the reader.
    """

    first: Difference | None = None
    differing: int = 0
    within: bool = False
    numeric: bool = False
    absolute: float | None = None
    relative: float | None = None
    known: bool = True
    note: str = ""


class Tally:
    """Counts what differs and keeps the first and the largest of it.

    Args:
        tolerance: what may pass; None lets nothing pass.

    Raises:
        InvalidError: the tolerance is negative, infinite or NaN.
    """

    def __init__(self, tolerance: Tolerance | None) -> None:
        self.bound = Bound(tolerance)
        self._first: Difference | None = None
        self._first_outside: Difference | None = None
        self._differing = 0
        self._numeric = True
        self._absolute: float | None = None
        self._relative: float | None = None

    def pair(self, where: Callable[[], str], recorded: object, new: object) -> None:
        """Compare two values; `where` is asked only if they differ."""
        if same(recorded, new):
            return
        if is_number(recorded) and is_number(new):
            absolute, relative, inside = self.bound.judge(recorded, new)
            self.numbers(1, absolute, relative)
            if self._first is None or (not inside and self._first_outside is None):
                self.difference(Difference(where(), shown(recorded), shown(new), numeric=True), inside=inside)
        else:
            self.other(where(), recorded, new)

    def other(self, where: str, recorded: object, new: object, count: int = 1) -> None:
        """Something that is no number differs, or is on one side only: `count` times, this being the first."""
        self._differing += count
        self._numeric = False
        self.difference(Difference(where, shown(recorded), shown(new)), inside=False)

    def structure(self, where: str, recorded: str, new: str) -> None:
        """A shape, a type, a set of columns or a number of rows differs; both sides in words, empty for nothing."""
        self._differing += 1
        self._numeric = False
        self.difference(Difference(where, clipped(recorded), clipped(new)), inside=False)

    def numbers(self, count: int, absolute: float, relative: float) -> None:
        """`count` numbers differ, by at most `absolute` and `relative`."""
        self._differing += count
        self._absolute = absolute if self._absolute is None else max(self._absolute, absolute)
        self._relative = relative if self._relative is None else max(self._relative, relative)

    def difference(self, found: Difference, *, inside: bool) -> None:
        """The next difference in the file's order, and whether the tolerance lets it pass."""
        self._first = self._first or found
        if not inside:
            self._first_outside = self._first_outside or found

    def finding(self) -> Finding:
        """What was told so far, of two files whose bytes differ."""
        return Finding(
            self._first_outside or self._first,
            self._differing,
            within=self.bound.given and self._first_outside is None,
            numeric=self._numeric and self._differing > 0,
            absolute=self._absolute,
            relative=self._relative,
        )


def shown(value: object) -> str:
    """A value as short text: as JSON writes it where JSON can; numbers in full."""
    if isinstance(value, (str, bool, type(None), dict, list)):
        return clipped(json.dumps(value, ensure_ascii=False))
    return clipped(str(value))


def clipped(text: str) -> str:
    """`text`, cut to what fits into a table, in characters that any terminal can be sent."""
    text = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    return text.encode("utf-8", "backslashreplace").decode()
