"""Plots of one or many sides: which there are, their data as Vega-Lite specifications, and pictures side by side.

A plot is drawn from whatever each side's stage files declare; the newest side's definition goes before an older one.
Nothing is rendered here, see `page.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from mlgit.model.metric import EXTENSIONS, Scalar, parse_records
from mlgit.model.relpath import RelPath
from mlgit.model.report import Cell, Mark, Report, Row, Table, count, format_bytes
from mlgit.model.sparkline import span, sparkline
from mlgit.model.stage import Out, Plot
from mlgit.ops.compare.files import IMAGES, expand, naming, stage_files, unique
from mlgit.ops.compare.vega import anchors_for, field_name, fill, load_template

if TYPE_CHECKING:
    from mlgit.repo import Repo
    from mlgit.work.snapshot import Snapshot

Record = dict[str, Scalar]
_AS_LINES: Final = (None, "linear", "simple", "smooth", "roc", "pr")
_AS_COUNTS: Final = ("confusion", "confusion_normalized")
_MAX_LINES: Final = 3
_MAX_NAME: Final = 20


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file as one side has it."""

    rev: str
    file: RelPath
    data: bytes


@dataclass(frozen=True, slots=True)
class Figure:
    """One plot, ready to render.

    Attributes:
        id: the plot's name in the stage file, or its file.
        spec: a Vega-Lite specification with its data; None for a plot of pictures.
        absent: sides that have nothing to draw.
        records: the data in `spec`, the same list; each has `rev`, and `series` where a side has several lines.
        fields: the keys of x and y in a record.
        title: what to call it for people.
    """

    id: str
    spec: dict[str, Any] | None
    pictures: tuple[Picture, ...] = ()
    absent: tuple[str, ...] = ()
    records: Sequence[Record] = ()
    fields: tuple[str, str] = ("x", "y")
    title: str = ""


@dataclass(frozen=True, slots=True)
class Drawing:
    """What there is to see, as a report, and the figures to render."""

    report: Report
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class _Line:
    """One line, cloud or matrix: a column of a file over another."""

    file: RelPath
    y: str
    x: str | None
    x_file: RelPath


@dataclass(frozen=True, slots=True)
class _Point:
    """One row of a line's file, and the two values that it is drawn by."""

    line: _Line
    rev: str
    row: Record
    x: Scalar
    y: Scalar


@dataclass(frozen=True, slots=True)
class _Side:
    """What one side has of one plot: points to draw, pictures, and the bytes they came from."""

    name: str
    points: tuple[_Point, ...]
    pictures: tuple[Picture, ...]
    content: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class _Definition:
    plot: Plot
    header: bool = True


def plots_show(repo: Repo, snapshots: Sequence[Snapshot], *, targets: Collection[str] = ()) -> Drawing:
    """Every plot of the given sides in one figure each; columns plot, then one a side under its name.

    Args:
        snapshots: oldest first; colours follow this order.
        targets: only plots with these names or files.

    Raises:
        InvalidError: a stage file, a data file or a template is malformed.
    """
    sides = list({snapshot.name: snapshot for snapshot in snapshots}.values())
    found = list(_collect(repo, sides, targets))
    rows = tuple(Row((definition.plot.id, *_cells(definition.plot, drawn))) for definition, drawn, _ in found)
    table = Table("plots", "Plots", ("plot", *(side.name for side in sides)), rows, "no plots")
    head = sides[-1].name if len(sides) == 1 else None
    return Drawing(Report("plots-show", "Plots", (table,), head=head), tuple(figure for _, _, figure in found))


def plots_diff(repo: Repo, base: Snapshot, head: Snapshot, *, targets: Collection[str] = ()) -> Drawing:
    """Every plot of two sides in one figure each; columns plot, base, head.

    Raises:
        InvalidError: a stage file, a data file or a template is malformed.
    """
    sides = list({snapshot.name: snapshot for snapshot in (base, head)}.values())
    found = list(_collect(repo, sides, targets))
    rows = []
    for definition, drawn, _ in found:
        cells = _cells(definition.plot, drawn)
        rows.append(Row((definition.plot.id, cells[0], cells[-1]), *_difference(drawn[0], drawn[-1])))
    table = Table("plots", "Plots", ("plot", "base", "head"), tuple(rows), "no plots")
    report = Report("plots-diff", "Plots", (table,), base=base.name, head=head.name)
    return Drawing(report, tuple(figure for _, _, figure in found))


def _cells(plot: Plot, sides: Sequence[_Side]) -> list[Cell]:
    """What each side shows, in a few words; the lines of all sides are drawn on one scale."""
    points = [point for side in sides for point in side.points]
    numbers = all(point.y is None or _is_number(point.y) for point in points)
    scale = span(map(_number, points)) if numbers and plot.template in _AS_LINES else None
    names = _series([point.line for point in points])
    return [_cell(plot, side, scale, names) for side in sides]


def _cell(plot: Plot, side: _Side, scale: tuple[float, float] | None, names: dict[tuple[RelPath, str], str]) -> Cell:
    if side.pictures:
        return format_bytes(sum(len(picture.data) for picture in side.pictures))
    if not side.content:
        return None
    words = [count(len(side.points), "point")]
    if scale is not None:
        words += list(_sparklines(side, scale, names))[:_MAX_LINES]
    elif plot.template in _AS_COUNTS and side.points:
        agree = sum(point.x == point.y for point in side.points)
        words = [f"{words[0]}, {agree:,} on the diagonal ({100 * agree / len(side.points):.1f} %)"]
    return " ".join(words)


def _sparklines(side: _Side, scale: tuple[float, float], names: dict[tuple[RelPath, str], str]) -> Iterator[str]:
    """Each line of a side, with its name where there are several."""
    lines: dict[tuple[RelPath, str], list[float | None]] = {}
    for point in side.points:
        lines.setdefault((point.line.file, point.line.y), []).append(_number(point))
    for key, numbers in ((key, numbers) for key, numbers in lines.items() if len(numbers) > 1):
        yield f"{names[key][:_MAX_NAME]} {sparkline(numbers, scale)}" if names else sparkline(numbers, scale)


def _is_number(value: Scalar) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number(point: _Point) -> float | None:
    return point.y if _is_number(point.y) else None


def _difference(base: _Side, head: _Side) -> tuple[Mark, str]:
    if not base.content and not head.content:
        return Mark.WARN, "declared, but nothing to draw on either side"
    if not base.content or not head.content:
        return (Mark.ADDED, "") if head.content else (Mark.REMOVED, "nothing to draw at the head")
    return (Mark.SAME, "") if base.content == head.content else (Mark.CHANGED, "")


def _collect(
    repo: Repo, snapshots: Sequence[Snapshot], targets: Collection[str]
) -> Iterator[tuple[_Definition, list[_Side], Figure]]:
    found: dict[str, tuple[_Definition, Snapshot]] = {}
    for snapshot in reversed(snapshots):
        for definition in _definitions(repo, snapshot):
            found.setdefault(definition.plot.id, (definition, snapshot))
    for name, (definition, owner) in found.items():
        if not targets or any(target == name or target in definition.plot.y for target in targets):
            sides = [_read_side(repo, definition, snapshot) for snapshot in snapshots]
            yield definition, sides, _figure(definition.plot, owner, sides)


def _definitions(repo: Repo, snapshot: Snapshot) -> Iterator[_Definition]:
    """Every plot that one side's stage files declare; a folder gives one for each file in it."""
    for file in stage_files(repo, snapshot):
        for stage in file.stages.values():
            for out in stage.outs:
                if out.kind == "plot":
                    yield from _of_output(repo, out, snapshot)
        for plot in file.plots:
            yield from _per_file(repo, _Definition(plot), snapshot)


def _of_output(repo: Repo, out: Out, snapshot: Snapshot) -> Iterator[_Definition]:
    if not out.styles:
        yield from _per_file(repo, _Definition(Plot(out.path, {out.path: ()})), snapshot)
    for style in out.styles:
        name = out.path if len(out.styles) == 1 else f"{out.path} ({style.title or style.y or style.template})"
        columns = (style.y,) if style.y else ()
        labels = {"x_label": style.x_label, "y_label": style.y_label, "title": style.title}
        plot = Plot(name, {out.path: columns}, style.x, template=style.template, **labels)
        yield from _per_file(repo, _Definition(plot, style.header is not False), snapshot)


def _per_file(repo: Repo, definition: _Definition, snapshot: Snapshot) -> Iterator[_Definition]:
    ((path, columns), *more) = definition.plot.y.items()
    files = [path] if more else [f for f in expand(repo, [path], snapshot) if f == path or _is_drawable(f)]
    for file in files:
        whole = file == path
        yield definition if whole else replace(definition, plot=replace(definition.plot, id=file, y={file: columns}))


def _is_drawable(path: RelPath) -> bool:
    return path.lower().endswith((*EXTENSIONS, *IMAGES))


def _read_side(repo: Repo, definition: _Definition, snapshot: Snapshot) -> _Side:
    plot = definition.plot
    pictures: list[Picture] = []
    tables: dict[RelPath, list[Record]] = {}
    content: list[tuple[str, bytes]] = []
    for file in unique([*plot.y, *(plot.x if isinstance(plot.x, dict) else ())]):
        data = repo.read(file, snapshot)
        if data is None:
            continue
        content.append((file, data))
        if file.lower().endswith(tuple(IMAGES)):
            pictures.append(Picture(snapshot.name, file, data))
        else:
            tables[file] = naming(snapshot, lambda: parse_records(data, file, header=definition.header))  # noqa: B023
    points = tuple(point for line in _lines(plot, tables) for point in _points(line, tables, snapshot.name))
    return _Side(snapshot.name, points, tuple(pictures), tuple(content))


def _lines(plot: Plot, tables: dict[RelPath, list[Record]]) -> list[_Line]:
    """The lines of a plot; the last column is drawn where none is named."""
    lines = []
    for file, columns in plot.y.items():
        records = tables.get(file) or [{}]
        x_file, x = next(iter(plot.x.items())) if isinstance(plot.x, dict) else (file, plot.x)
        if isinstance(plot.x, dict) and file in plot.x:
            x_file, x = file, plot.x[file]
        if x is None and "step" in records[0]:
            x = "step"
        others = [column for column in records[0] if column != x]
        lines += [_Line(file, column, x, x_file) for column in columns or others[-1:]]
    return lines


def _points(line: _Line, tables: dict[RelPath, list[Record]], rev: str) -> Iterator[_Point]:
    across = tables.get(line.x_file, [])
    for step, row in enumerate(tables.get(line.file, [])):
        x = step if line.x is None else across[step].get(line.x) if step < len(across) else None
        if line.y in row:
            yield _Point(line, rev, row, x, row[line.y])


def _figure(plot: Plot, owner: Snapshot, sides: list[_Side]) -> Figure:
    absent = tuple(side.name for side in sides if not side.points and not side.pictures)
    pictures = tuple(picture for side in sides for picture in side.pictures)
    points = [point for side in sides for point in side.points]
    if pictures or not points:
        return Figure(plot.id, None, pictures, absent, title=plot.title or plot.id)
    x = _common((point.line.x or "step" for point in points), "x")
    y = _common((point.line.y for point in points), "y")
    fields = field_name(x), field_name(y)
    series = _series([point.line for point in points])
    records = [_record(point, fields, series) for point in points]
    labels = {"title": plot.title or plot.id, "x_label": plot.x_label or x, "y_label": plot.y_label or y}
    revisions = [side.name for side in sides if side.points]
    anchors = anchors_for(records, fields, labels, revisions, unique(series.values()))
    spec = fill(load_template(plot.template, owner), anchors)
    return Figure(plot.id, spec, (), absent, records, fields, plot.title or plot.id)


def _common(names: Iterable[str], otherwise: str) -> str:
    """The one name that all lines have for an axis, or `otherwise`."""
    first, *more = unique(names)
    return otherwise if more else first


def _series(lines: list[_Line]) -> dict[tuple[RelPath, str], str]:
    """What to call each line where there are several: by what sets it apart, its column, its file or both."""
    keys = unique((line.file, line.y) for line in lines)
    if len(keys) == 1:
        return {}
    one_file, one_column = (len({key[at] for key in keys}) == 1 for at in (0, 1))
    return {(file, y): y if one_file else file if one_column else f"{file}::{y}" for file, y in keys}


def _record(point: _Point, fields: tuple[str, str], series: dict[tuple[RelPath, str], str]) -> Record:
    """A data row of the specification: the file's own columns, then what mlgit adds."""
    record = {**point.row, "rev": point.rev}
    if series:
        line = point.line
        record |= {"filename": line.file, "field": line.y, "series": series[line.file, line.y]}
    return {**record, fields[0]: point.x, fields[1]: point.y}
