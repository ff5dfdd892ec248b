"""Fewer points that look the same: long lines and large clouds, thinned so that a page stays light.

Lines go by largest triangle three buckets: Sveinn Steinarsson, "Downsampling Time Series for Visual Representation",
University of Iceland, 2013. Everything else loses points at even distances.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

_T = TypeVar("_T")


def evenly(items: Sequence[_T], limit: int) -> list[_T]:
    """At most `limit` of `items` at even distances, the first and the last among them."""
    if len(items) <= limit:
        return list(items)
    if limit < 2:
        return list(items[:limit])
    return [items[round(at * (len(items) - 1) / (limit - 1))] for at in range(limit)]


def line(records: Sequence[dict[str, Any]], fields: tuple[str, str], limit: int) -> list[dict[str, Any]]:
    """At most `limit` of the points of one line, in their order, chosen so that its peaks stay.

    Args:
        fields: the keys of x and y; points that are no finite numbers make it thin evenly.
        limit: 3 or more.
    """
    if len(records) <= limit:
        return list(records)
    points = [(_number(record.get(fields[0])), _number(record.get(fields[1]))) for record in records]
    if any(math.isnan(x) or math.isnan(y) for x, y in points):
        return evenly(records, limit)
    width = (len(points) - 2) / (limit - 2)
    kept = [0]
    for bucket in range(limit - 2):
        start, end = 1 + int(bucket * width), 1 + int((bucket + 1) * width)
        after = points[end : 1 + int((bucket + 2) * width)] or points[-1:]
        mean = (sum(x for x, _ in after) / len(after), sum(y for _, y in after) / len(after))
        last = points[kept[-1]]
        kept.append(max(range(start, end), key=lambda at: _area(last, points[at], mean)))
    return [records[at] for at in (*kept, len(records) - 1)]


def _area(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    """Twice the area of a triangle."""
    return abs((a[0] - c[0]) * (b[1] - a[1]) - (a[0] - b[0]) * (c[1] - a[1]))


def _number(value: Any) -> float:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e150
    return float(value) if good else math.nan
