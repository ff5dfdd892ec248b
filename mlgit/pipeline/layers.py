"""Where to put the boxes of a graph: in layers, what comes first on top, with few crossings. Pure.

The classic three steps (Sugiyama, Tagawa, Toda 1981): a layer for each box, an order in each layer that follows the
neighbours' mean place, and places as near to the neighbours as the distance between boxes allows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_SWEEPS: Final = 6
_LINE: Final = 0.1
"""Room for an arrow that passes through a layer; a box takes 1."""
_MAX_BENDS: Final = 20_000
"""With more, arrows go straight: no eye follows them anyhow."""

_Spot = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Layout:
    """Places of boxes and bends of arrows: across in box widths, from 0; down in layers, from 0."""

    boxes: dict[str, tuple[float, int]]
    arrows: dict[tuple[str, str], tuple[tuple[float, int], ...]]
    width: float
    layers: int


def lay_out(names: Sequence[str], edges: Sequence[tuple[str, str]]) -> Layout:
    """Place `names`, which come in an order in which each follows all that have an arrow to it."""
    ranks = _ranks(names, edges)
    chains = _chains(edges, ranks)
    rows: list[list[_Spot]] = [[] for _ in range(max(ranks.values(), default=-1) + 1)]
    for name in names:
        rows[ranks[name]].append(_box(name))
    for chain in chains.values():
        for spot in chain[1:-1]:
            rows[spot[2]].append(spot)
    ups, downs = _neighbours(chains.values())
    for sweep in range(_SWEEPS):
        _sort(rows, downs if sweep % 2 else ups, backwards=bool(sweep % 2))
    places = _place(rows, {**{spot: [] for row in rows for spot in row}, **_joined(ups, downs)})
    left = min(places.values(), default=0.0)
    return Layout(
        {name: (places[_box(name)] - left, ranks[name]) for name in names},
        {
            edge: tuple((places[spot] - left, ranks[edge[0]] + at) for at, spot in enumerate(chain))
            for edge, chain in chains.items()
        },
        max(places.values(), default=0.0) - left + 1,
        len(rows),
    )


def _box(name: str) -> _Spot:
    return (name, "", -1)


def _ranks(names: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Each box below all that lead to it; one that nothing leads to stands right above what it leads to."""
    above: dict[str, list[str]] = {name: [] for name in names}
    below: dict[str, list[str]] = {name: [] for name in names}
    for first, second in edges:
        above[second].append(first)
        below[first].append(second)
    ranks: dict[str, int] = {}
    for name in names:
        ranks[name] = max((ranks[near] + 1 for near in above[name]), default=0)
    for name in names:
        if not above[name] and below[name]:
            ranks[name] = min(ranks[near] for near in below[name]) - 1
    return ranks


def _chains(edges: Sequence[tuple[str, str]], ranks: Mapping[str, int]) -> dict[tuple[str, str], list[_Spot]]:
    """For each arrow its boxes, and a spot in every layer between them."""
    bends = sum(ranks[second] - ranks[first] - 1 for first, second in edges)
    if bends > _MAX_BENDS:
        return {(first, second): [_box(first), _box(second)] for first, second in edges}
    return {
        (first, second): [
            _box(first),
            *((first, second, rank) for rank in range(ranks[first] + 1, ranks[second])),
            _box(second),
        ]
        for first, second in edges
    }


def _neighbours(chains: Iterable[list[_Spot]]) -> tuple[dict[_Spot, list[_Spot]], dict[_Spot, list[_Spot]]]:
    ups: dict[_Spot, list[_Spot]] = {}
    downs: dict[_Spot, list[_Spot]] = {}
    for chain in chains:
        for first, second in itertools.pairwise(chain):
            ups.setdefault(second, []).append(first)
            downs.setdefault(first, []).append(second)
    return ups, downs


def _joined(ups: dict[_Spot, list[_Spot]], downs: dict[_Spot, list[_Spot]]) -> dict[_Spot, list[_Spot]]:
    return {spot: [*ups.get(spot, ()), *downs.get(spot, ())] for spot in ups.keys() | downs.keys()}


def _sort(rows: list[list[_Spot]], near: Mapping[_Spot, list[_Spot]], *, backwards: bool) -> None:
    """Order each row by the mean place of its neighbours in the row before; those without any stay where they are."""
    at = {spot: number for row in rows for number, spot in enumerate(row)}
    for row in reversed(rows) if backwards else rows:
        mean = {spot: _mean([at[one] for one in near.get(spot, ())], at[spot]) for spot in row}
        row.sort(key=mean.__getitem__)
        at.update((spot, number) for number, spot in enumerate(row))


def _mean(places: Sequence[float], default: float) -> float:
    return sum(places) / len(places) if places else default


def _place(rows: list[list[_Spot]], near: Mapping[_Spot, list[_Spot]]) -> dict[_Spot, float]:
    places: dict[_Spot, float] = {}
    for row in rows:
        offsets = _offsets(row)
        middle = offsets[-1] / 2
        places.update((spot, offset - middle) for spot, offset in zip(row, offsets, strict=True))
    for sweep in range(_SWEEPS):
        for row in reversed(rows) if sweep % 2 else rows:
            wanted = [_mean([places[one] for one in near[spot]], places[spot]) for spot in row]
            places.update(zip(row, _spread(wanted, _offsets(row)), strict=True))
    return places


def _offsets(row: Sequence[_Spot]) -> list[float]:
    """The nearest that the spots of a row may stand, the first at 0."""
    offsets = [0.0]
    for first, second in itertools.pairwise(row):
        offsets.append(offsets[-1] + sum(0.5 if spot[2] < 0 else _LINE / 2 for spot in (first, second)))
    return offsets


def _spread(wanted: Sequence[float], offsets: Sequence[float]) -> list[float]:
    """The places nearest to the `wanted` ones (least squares) that keep order and distance: pool adjacent violators."""
    pools: list[tuple[float, int]] = []
    for want, offset in zip(wanted, offsets, strict=True):
        mean, size = want - offset, 1
        while pools and pools[-1][0] > mean:
            other, count = pools.pop()
            mean, size = (mean * size + other * count) / (size + count), size + count
        pools.append((mean, size))
    bases = [mean for mean, size in pools for _ in range(size)]
    return [base + offset for base, offset in zip(bases, offsets, strict=True)]
