"""What a change does to models: size, format and number of parameters of every model that differs.

Nothing is loaded or run, and nothing is downloaded: parameters are told where a header in the cache tells them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from mlgit.errors import MlgitError
from mlgit.model.report import Mark, Report, Row, Table
from mlgit.ops.compare.contents import Version, opened, unread, version_in_git
from mlgit.ops.compare.difference import Differences, find_differences
from mlgit.ops.compare.headers import PICKLED, Header, has_header, is_pickle, name_of, read_header
from mlgit.ops.compare.outputs import MARKS, OutputChange
from mlgit.work.difference import entry_of

if TYPE_CHECKING:
    from mlgit.model.tree import Content
    from mlgit.repo import Repo
    from mlgit.work.gitdiff import GitChange
    from mlgit.work.snapshot import Snapshot

COLUMNS: Final = ("path", "format", "old_size", "new_size", "old_parameters", "new_parameters")
MAX_FILES: Final = 50
"""Headers that a report reads."""


def models_changes(repo: Repo, base: Snapshot, head: Snapshot, found: Differences | None = None) -> Report:
    """Models that differ between the commit `base` and `head`: a report of kind `models` with the table `models`.

    A row is a model's file or folder, tracked or held by Git itself. Sizes are in bytes; parameters are counted over
    all files of a folder that tell theirs.

    Args:
        found: what `find_differences` gave for the same sides, if it is known already.

    Raises:
        InvalidError, UnsafeError: a pointer, stage file or lock of either side is malformed.
    """
    found = found or find_differences(repo, base, head)
    look = _Look(repo)
    rows = [row for one in found.outputs for row in _output(one, found, base, head, look)]
    rows += [_in_git(one, base, head, look) for one in found.git("model")]
    table = Table("models", "Models", COLUMNS, tuple(rows), "no models changed")
    return Report("models", "Models", (table,), base=base.name, head=head.name, notes=look.notes)


@dataclass(slots=True)
class _Side:
    """What is known of a model on one side."""

    size: int
    formats: list[str] = field(default_factory=list)
    parameters: int | None = None
    notes: list[str] = field(default_factory=list)

    def add(self, header: Header) -> None:
        """Count in one file."""
        if header.format:
            self.formats.append(header.format)
        if header.parameters is not None:
            self.parameters = (self.parameters or 0) + header.parameters
        if header.problem:
            self.notes.append(header.problem)


@dataclass(slots=True)
class _Look:
    """Reads headers within the bounds of one report, and counts those that it could not read."""

    repo: Repo
    files: int = 0
    absent: int = 0
    beyond: int = 0

    def side(self, versions: list[Version], size: int) -> _Side:
        """A model that consists of the files `versions`."""
        found = _Side(size)
        for one in versions:
            found.add(self._header(one))
        return found

    def _header(self, one: Version) -> Header:
        if not has_header(one.path):
            return Header(name_of(one.path), problem=PICKLED if is_pickle(one.path) else "")
        if self.files >= MAX_FILES:
            self.beyond += 1
            return Header("")
        self.files += 1
        with opened(self.repo, one) as file:
            self.absent += file is None
            return read_header(file, one.path) if file is not None else Header(name_of(one.path))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of the files that were not looked into."""
        return unread("parameters", absent=self.absent, beyond=self.beyond)


def _output(one: OutputChange, found: Differences, base: Snapshot, head: Snapshot, look: _Look) -> Iterator[Row]:
    if found.is_model(one.path):
        sides = _whole(one.old, one, base, look), _whole(one.new, one, head, look)
        mark = Mark.ADDED if one.old is None else Mark.REMOVED if one.new is None else Mark.CHANGED
        note = one.problem or ("declared, but its stage has not run" if one.unmade else "")
        yield _row(one.path, *sides, mark, one.file, note)
        return
    for change in one.files:
        if found.is_model(change.path):
            old, new, source = change.old, change.new, change.source
            first = look.side([Version(base, source or change.path, old.size, old)], old.size) if old else None
            last = look.side([Version(head, change.path, new.size, new)], new.size) if new else None
            note = f"renamed from {source}" if source else ""
            yield _row(change.path, first, last, MARKS[change.kind], one.file, note)


def _whole(content: Content | None, one: OutputChange, snapshot: Snapshot, look: _Look) -> _Side | None:
    if content is None:
        return None
    try:
        return look.side(list(_files(look.repo, snapshot, one, content)), content.size)
    except MlgitError:  # its list of files is not in the cache
        return _Side(content.size)


def _files(repo: Repo, snapshot: Snapshot, one: OutputChange, content: Content) -> Iterator[Version]:
    """The files of a model that have a known format."""
    load = repo.workspace.present_tree if snapshot.rev is None else repo.workspace.stored_tree
    pending = [(one.path, entry_of(content, one.path.name))]
    while pending:
        at, entry = pending.pop()
        if entry.kind == "tree":
            pending += [(at.child(below.name), below) for below in reversed(load(entry.oid, at).entries)]
        elif content.type == "file" or has_header(at) or is_pickle(at) or name_of(at) not in ("", "JSON"):
            yield Version(snapshot, at, entry.size, entry)


def _in_git(one: GitChange, base: Snapshot, head: Snapshot, look: _Look) -> Row:
    old = version_in_git(base, one.source or one.path) if one.kind != "added" else None
    new = version_in_git(head, one.path) if one.kind != "deleted" else None
    first, last = (look.side([side], side.size) if side is not None else None for side in (old, new))
    return _row(one.path, first, last, MARKS[one.kind], one.path, f"renamed from {one.source}" if one.source else "")


def _row(path: str, old: _Side | None, new: _Side | None, mark: Mark, where: str, note: str) -> Row:
    sides = (old, new)
    names = [", ".join(dict.fromkeys(one.formats)) if one is not None else "" for one in sides]
    kind = " → ".join(dict.fromkeys(filter(None, names))) or None
    sizes = tuple(one.size if one is not None else None for one in sides)
    parameters = tuple(one.parameters if one is not None else None for one in sides)
    words = dict.fromkeys([note, *(word for one in sides if one is not None for word in one.notes)])
    return Row((path, kind, *sizes, *parameters), mark, "; ".join(filter(None, words)), where)
