"""Parameters and metrics of two sides, or of many, as a report.

What appeared or vanished is a row of its own, a whole file too: silence never means "no longer measured".
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from mlgit.model.metric import Change, Scalar, diff_values, is_finite, match_keys
from mlgit.model.relpath import RelPath
from mlgit.model.report import Cell, Mark, Report, Row, Table, ordered
from mlgit.model.slicekey import COUNTS, parse_slice
from mlgit.ops.compare.files import chosen, declared_metrics, declared_params, parse_params, read_values, unique

if TYPE_CHECKING:
    from mlgit.model.gate import Direction, Rule
    from mlgit.repo import Repo
    from mlgit.work.snapshot import Snapshot

_SIDES: Final = ("base", "head")
_NUMBERS: Final = (*_SIDES, "delta", "relative")


def params_diff(repo: Repo, base: Snapshot, head: Snapshot, *, targets: Collection[str] = ()) -> Report:
    """Parameters that differ between two sides; columns file, param, base, head.

    The files are those that stages read, those listed under `params:`, and `params.yaml` beside a stage file.

    Args:
        targets: only these files or folders.

    Raises:
        InvalidError: a stage file or a params file is malformed.
    """
    paths = chosen([*declared_params(repo, head), *declared_params(repo, base)], targets)
    rows = [
        Row((path, change.key, change.old, change.new), change.mark, note)
        for path in paths
        for change, note in _changes(*(read_values(repo, path, side, parse_params) for side in (base, head)))
    ]
    table = Table("params", "Parameters", ("file", "param", *_SIDES), tuple(rows), "no parameters")
    return Report("params-diff", "Parameters", (table,), base=base.name, head=head.name)


def metrics_diff(
    repo: Repo,
    base: Snapshot,
    head: Snapshot,
    *,
    rules: Sequence[Rule] = (),
    incomparable: Collection[str] = (),
    targets: Collection[str] = (),
) -> Report:
    """Metrics of two sides; columns file, metric, base, head, delta (in the metric's unit), relative (a fraction).

    Metrics of slices, such as `by_size.medium.recall`, stand in a second table `slices`, if there are any: file, slice,
    metric, n (examples at the head), then as above. Worse ones come first, and among those the largest change.

    Args:
        rules: gates, which say for some metrics whether higher or lower is better; the others are only `changed`.
        incomparable: metrics files that the two sides computed in different ways: nothing in them is better or worse.
        targets: only these files or folders.

    Raises:
        InvalidError: a stage file or a metrics file is malformed.
    """
    paths = chosen([*declared_metrics(repo, head), *declared_metrics(repo, base)], targets)
    rows, slices = [], []
    for path in paths:
        old, new = read_values(repo, path, base), read_values(repo, path, head)
        found = list(_changes(old, new))
        better = {} if path in incomparable else _directions(path, [change.key for change, _ in found], rules)
        for change, note in found:
            mark = _mark(change, better.get(change.key, "none"))
            cells = (change.old, change.new, change.delta, change.relative)
            part = parse_slice(change.key)
            if part is not None and part.metric in COUNTS and mark is Mark.SAME:
                continue  # it stands beside each metric of the slice
            if part is None:
                rows.append(Row((path, change.key, *cells), mark, note))
            else:
                slices.append(Row((path, part.name, part.metric, part.count(new or old or {}), *cells), mark, note))
    tables = []
    if rows or not slices:
        tables.append(Table("metrics", "Metrics", ("file", "metric", *_NUMBERS), tuple(rows), "no metrics"))
    if slices:
        columns = ("file", "slice", "metric", "n", *_NUMBERS)
        tables.append(Table("slices", "Slices", columns, tuple(_worst_first(slices)), "no slices"))
    return Report("metrics-diff", "Metrics", tuple(tables), base=base.name, head=head.name)


def metrics_show(repo: Repo, snapshots: Sequence[Snapshot], *, targets: Collection[str] = ()) -> Report:
    """Metrics of one or many sides; columns file, metric, then `value`, or one column a side under its name.

    Raises:
        InvalidError: a stage file or a metrics file is malformed.
    """
    sides = list({snapshot.name: snapshot for snapshot in snapshots}.values())
    rows: list[Row] = []
    for path in chosen([path for side in sides for path in declared_metrics(repo, side)], targets):
        values = [read_values(repo, path, side) for side in sides]
        keys = unique(key for found in values if found for key in found)
        if not keys:
            rows.append(_absent(path, len(sides)))
        rows += [Row((path, key, *((found or {}).get(key) for found in values))) for key in keys]
    columns = ("file", "metric", *(("value",) if len(sides) == 1 else (side.name for side in sides)))
    table = Table("metrics", "Metrics", columns, tuple(rows), "no metrics")
    return Report("metrics-show", "Metrics", (table,), head=sides[0].name if len(sides) == 1 else None)


def _changes(old: Mapping[str, Scalar] | None, new: Mapping[str, Scalar] | None) -> Iterator[tuple[Change, str]]:
    """Every value of one file, and what a reader must know of it; at least one for every file."""
    if old is None and new is None:
        yield Change("", Mark.WARN, None, None), "declared, but on neither side"
        return
    note = "no such file at the base" if old is None else "no such file at the head" if new is None else ""
    changes = diff_values(old, new)
    if note and not changes:
        yield Change("", Mark.ADDED if old is None else Mark.REMOVED, None, None), note
    for change in changes:
        yield change, note


def _worst_first(rows: list[Row]) -> list[Row]:
    """By mark, as people read them, and within a mark the largest relative change first."""
    return ordered(sorted(rows, key=lambda row: -abs(row.cells[-1]) if isinstance(row.cells[-1], float) else 1.0))


def _absent(path: RelPath, sides: int) -> Row:
    nothing: tuple[Cell, ...] = (None,) * sides
    return Row((path, "", *nothing), Mark.WARN, "declared, but it is missing or holds no value")


def _directions(path: RelPath, keys: list[str], rules: Sequence[Rule]) -> dict[str, Direction]:
    """Which way is better, by key, as far as a rule says so; the first rule that knows wins."""
    better: dict[str, Direction] = {}
    for rule in rules:
        if rule.direction != "none" and rule.file in (None, path):
            for key in match_keys(rule.key, keys):
                better.setdefault(key, rule.direction)
    return better


def _mark(change: Change, direction: Direction) -> Mark:
    """Which way it went, where a rule knows; what is no finite number any more is worse than any."""
    if change.mark is not Mark.CHANGED or direction == "none":
        return change.mark
    if not change.delta:
        return Mark.WORSE if is_finite(change.old) else change.mark
    return Mark.BETTER if (change.delta > 0) == (direction == "higher") else Mark.WORSE
