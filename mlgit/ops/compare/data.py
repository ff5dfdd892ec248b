"""What a change does to data: sizes, files, rows, columns and pictures of every output that differs.

Rows and columns are told only of files that changed and are on this machine; nothing is downloaded for a report.
Models have a report of their own, see `models.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mlgit.model.report import Cell, Mark, Report, Row, Table, count
from mlgit.ops.compare.contents import Version, opened, unread, version_in_git
from mlgit.ops.compare.difference import Differences, find_differences
from mlgit.ops.compare.outputs import MARKS, OutputChange
from mlgit.ops.compare.tables import Columns, Facts, cost, is_image, is_table, read_facts

if TYPE_CHECKING:
    from mlgit.repo import Repo
    from mlgit.work.difference import Change
    from mlgit.work.gitdiff import GitChange
    from mlgit.work.snapshot import Snapshot

COLUMNS: Final = ("path", "old_size", "new_size", "added", "removed", "changed", "old_rows", "new_rows")
MAX_FILES: Final = 50
"""Files that a report looks into."""
MAX_TOTAL: Final = 512 << 20
"""Bytes of tables that a report reads."""
MAX_LISTED: Final = 10
"""Tables of one folder that get a row of their own."""
_NAMES: Final = 5
_NAME: Final = 40

_Pair = tuple[Version | None, Version | None]


def data_changes(repo: Repo, base: Snapshot, head: Snapshot, found: Differences | None = None) -> Report:
    """Data that differs between the commit `base` and `head`: a report of kind `data` with the table `data`.

    A row is a tracked output, or a table that Git itself holds; the tables of a folder follow it. Sizes are in bytes;
    added, removed and changed count the files of a folder; rows are without the header.

    Args:
        found: what `find_differences` gave for the same sides, if it is known already.

    Raises:
        InvalidError, UnsafeError: a pointer, stage file or lock of either side is malformed.
    """
    found = found or find_differences(repo, base, head)
    look = _Look(repo, base, head)
    rows = [row for one in found.outputs if not found.is_model(one.path) for row in _output(one, found, look)]
    rows += [_in_git(one, look) for one in found.git("data")]
    table = Table("data", "Data", COLUMNS, tuple(rows), "no data changed")
    return Report("data", "Data", (table,), base=base.name, head=head.name, notes=look.notes)


@dataclass(slots=True)
class _Look:
    """Reads facts within the bounds of one report, and counts the files that it could not look into."""

    repo: Repo
    base: Snapshot
    head: Snapshot
    files: int = 0
    size: int = 0
    absent: int = 0
    beyond: int = 0

    def versions(self, change: Change) -> _Pair:
        """Both sides of a file in a tracked output."""
        source = change.source or change.path
        return (
            Version(self.base, source, change.old.size, change.old) if change.old else None,
            Version(self.head, change.path, change.new.size, change.new) if change.new else None,
        )

    def facts(self, pair: _Pair) -> tuple[Facts, Facts]:
        """What is known of both sides; nothing of one that is absent, or beyond the bounds."""
        sides = [one for one in pair if one is not None]
        size = sum(cost(one.path, one.size) for one in sides)
        if self.files >= MAX_FILES or self.size + size > MAX_TOTAL:
            self.beyond += 1
            return Facts(), Facts()
        self.files += 1
        self.size += size
        read = {one: self._read(one) for one in sides}
        self.absent += None in read.values()
        first, last = (read[one] if one is not None else None for one in pair)
        return first or Facts(), last or Facts()

    def _read(self, one: Version) -> Facts | None:
        with opened(self.repo, one) as file:
            if file is None:
                return Facts() if one.entry is None else None  # in Git, it is a link
            return read_facts(file, one.path, one.size)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of the files that were not looked into."""
        return unread("rows and columns", absent=self.absent, beyond=self.beyond)


def _output(one: OutputChange, found: Differences, look: _Look) -> Iterator[Row]:
    """The row of an output, and for a folder those of its tables."""
    if one.problem:
        sizes = (one.old.size if one.old else None, one.new.size if one.new else None)
        yield Row((one.path, *sizes, *[None] * 5), _mark(one), one.problem, one.file)
        return
    changes = [change for change in one.files if not found.is_model(change.path)]
    if any(side is not None and side.type == "tree" for side in (one.old, one.new)):
        if changes:
            yield _folder(one, changes, look)
        tables = [change for change in changes if is_table(change.path) and change.kind != "renamed"]
        for change in tables[:MAX_LISTED]:
            yield _file(change.path, look.versions(change), MARKS[change.kind], one.file, look)
    else:
        for change in changes:
            note = "declared, but its stage has not run" if one.unmade else ""
            yield _file(change.path, look.versions(change), MARKS[change.kind], one.file, look, note)


def _mark(one: OutputChange) -> Mark:
    return Mark.ADDED if one.old is None else Mark.REMOVED if one.new is None else Mark.CHANGED


def _in_git(one: GitChange, look: _Look) -> Row:
    """The row of a table that Git itself holds."""
    old = version_in_git(look.base, one.source or one.path) if one.kind != "added" else None
    new = version_in_git(look.head, one.path) if one.kind != "deleted" else None
    note = f"renamed from {one.source}" if one.source else ""
    return _file(one.path, (old, new), MARKS[one.kind], one.path, look, note)


def _file(path: str, pair: _Pair, mark: Mark, where: str, look: _Look, note: str = "") -> Row:
    facts = look.facts(pair) if is_table(path) or is_image(path) else (Facts(), Facts())
    sizes: list[Cell] = [one.size if one is not None else None for one in pair]
    rows = [one.rows for one in facts]
    return Row((path, *sizes, None, None, None, *rows), mark, "; ".join([note] * bool(note) + _words(*facts)), where)


def _folder(one: OutputChange, changes: Sequence[Change], look: _Look) -> Row:
    sizes = (one.old.size if one.old else None, one.new.size if one.new else None)
    kinds = Counter(change.kind for change in changes)
    numbers = (kinds["added"], kinds["deleted"], kinds["modified"])
    words = [_by_kind(changes)] if len(changes) > 1 else []
    if kinds["renamed"]:
        words.append(f"{count(kinds['renamed'], 'file')} renamed")
    words += _pictures([change for change in changes if change.kind == "modified" and is_image(change.path)], look)
    tables = sum(is_table(change.path) and change.kind != "renamed" for change in changes)
    if tables > MAX_LISTED:
        words.append(f"{count(tables - MAX_LISTED, 'more table')} not listed")
    return Row((one.path, *sizes, *numbers, None, None), _mark(one), "; ".join(words), one.file)


def _by_kind(changes: Sequence[Change]) -> str:
    """How many files of each extension differ, the most frequent first."""
    ends = Counter(change.path.name.lower().rpartition(".")[1:] for change in changes)
    known = {f".{end}": number for (dot, end), number in ends.items() if dot and len(end) <= 8}
    listed = sorted(known.items(), key=lambda item: (-item[1], item[0]))[:_NAMES]
    rest = len(changes) - sum(number for _, number in listed)
    words = [f"{number:,} {end}" for end, number in listed] + [f"{rest:,} others"] * bool(rest)
    return f"files by kind: {', '.join(words)}"


def _pictures(changes: Sequence[Change], look: _Look) -> list[str]:
    """How many changed pictures have other dimensions, and one of them."""
    resized = []
    for change in changes:
        old, new = (one.pixels for one in look.facts(look.versions(change)))
        if old and new and old != new:
            resized.append(f"{change.path.name} {_pixels(old)} → {_pixels(new)}")
    if not changes:
        return []
    words = f"{count(len(changes), 'picture')} changed"
    return [f"{words}, {len(resized):,} in size, such as {resized[0]}" if resized else words]


def _words(old: Facts, new: Facts) -> list[str]:
    """What the numbers of a row do not tell."""
    found = []
    if old.pixels and new.pixels and old.pixels != new.pixels:
        found.append(f"{_pixels(old.pixels)} → {_pixels(new.pixels)}")
    elif new.pixels or old.pixels:
        found.append(_pixels(new.pixels or old.pixels or (0, 0)))
    if old.columns is not None and new.columns is not None:
        found += _schema(old.columns, new.columns)
    elif new.columns is not None:
        found.append(count(len(new.columns), "column"))
    if old.problem and old.problem == new.problem:
        return [*found, new.problem]
    return found + [f"{side}: {one.problem}" for side, one in (("base", old), ("head", new)) if one.problem]


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"


def _schema(old: Columns, new: Columns) -> list[str]:
    """Columns that appeared, vanished, changed their type or their place."""
    before, after = dict(old), dict(new)
    added = [_short(name) for name in after if name not in before]
    removed = [_short(name) for name in before if name not in after]
    retyped = [
        f"{_short(name)} {_short(before[name])} → {_short(kind)}"
        for name, kind in after.items()
        if before.get(name, kind) != kind
    ]
    found = [
        f"{title} {_listed(names)}"
        for title, names in (("columns added:", added), ("columns removed:", removed), ("types changed:", retyped))
        if names
    ]
    moved = not added and not removed and [name for name, _ in old] != [name for name, _ in new]
    return found + ["columns in another order"] * moved


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _NAMES
    return ", ".join(names[:_NAMES]) + (f" and {rest:,} more" if rest > 0 else "")


def _short(name: str) -> str:
    return name if len(name) <= _NAME else name[: _NAME - 1] + "…"
