"""Keys of metrics that are about a part of the examples, such as `by_size.medium.recall`.

A name `by_<column>` in a key says that the next name is a value of that column; what else the key holds is the metric.
The number of examples stands beside the metric, under one of the names in `COUNTS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mlgit.model.metric import Path, Scalar, join_key, split_key

COUNTS: Final = ("n", "support", "count")
_BY: Final = "by_"
_UNNAMED: Final = "value"


@dataclass(frozen=True, slots=True)
class SliceKey:
    """A key taken apart.

    Attributes:
        name: the slice for people: `size = medium`, and `size = medium, sex = f` for a slice of a slice.
        metric: the key without the slice, such as `recall`.
        counts: the keys under which the number of examples may stand.
    """

    name: str
    metric: str
    counts: tuple[str, ...]

    def count(self, values: Mapping[str, Scalar]) -> int | None:
        """The number of examples that a file's values tell of the slice."""
        found = (values.get(key) for key in self.counts)
        return next((one for one in found if isinstance(one, int) and not isinstance(one, bool)), None)


def parse_slice(key: str) -> SliceKey | None:
    """The parts of a key that is about a slice; None for any other key."""
    if _BY not in key:
        return None
    path = split_key(key)
    columns, metric, last, at = [], [], 0, 0
    while at < len(path):
        part = path[at]
        if isinstance(part, str) and part.startswith(_BY) and part != _BY and at + 1 < len(path):
            columns.append(f"{part[len(_BY) :]} = {path[at + 1]}")
            at += 2
            last = at
        else:
            metric.append(part)
            at += 1
    if not columns:
        return None
    return SliceKey(", ".join(columns), join_key(metric) or _UNNAMED, _counts(path, last))


def _counts(path: Path, last: int) -> tuple[str, ...]:
    """Beside the metric: `by_size.medium.n`, or `n.by_size.medium` where the metric's name comes before the slice."""
    if last < len(path):
        return tuple(join_key((*path[:last], name)) for name in COUNTS)
    first = next(at for at, part in enumerate(path) if isinstance(part, str) and part.startswith(_BY))
    return tuple(join_key((*path[: max(first - 1, 0)], name, *path[first:])) for name in COUNTS)
