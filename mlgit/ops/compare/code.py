"""The files of Git that a change touches, besides data, models, parameters, metrics and plots, and who reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from mlgit.model import glob
from mlgit.model.report import Report, Row, Table, count
from mlgit.ops.compare.difference import Differences, above, find_differences
from mlgit.ops.compare.outputs import MARKS

if TYPE_CHECKING:
    from mlgit.model.stage import Stage
    from mlgit.repo import Repo
    from mlgit.work.gitdiff import GitChange
    from mlgit.work.snapshot import Snapshot

MAX_ROWS: Final = 100
_NAMES: Final = 5


def code_changes(repo: Repo, base: Snapshot, head: Snapshot, found: Differences | None = None) -> Report:
    """Code that differs between the commit `base` and `head`: a report of kind `code` with the table `code`.

    Columns: path, lines added and deleted (none for a binary file), and the stages of either side that read the file.
    Files that a stage reads come first; at most `MAX_ROWS` are listed, and a note counts the rest.

    Args:
        found: what `find_differences` gave for the same sides, if it is known already.

    Raises:
        InvalidError, UnsafeError: a pointer, stage file or lock of either side is malformed.
    """
    found = found or find_differences(repo, base, head)
    readers = _Readers(found)
    listed = [(one, readers.of(one)) for one in found.git("code")]
    listed.sort(key=lambda item: not item[1])
    rows = tuple(_row(one, names) for one, names in listed[:MAX_ROWS])
    rest = len(listed) - len(rows)
    notes = (f"{count(rest, 'more file')} of code changed, not listed",) if rest else ()
    table = Table("code", "Code", ("path", "added", "deleted", "stages"), rows, "no code changed")
    return Report("code", "Code", (table,), base=base.name, head=head.name, notes=notes)


class _Readers:
    """Which stages read a file: those that depend on it, or on a folder or pattern that it falls under."""

    def __init__(self, found: Differences) -> None:
        self._paths: dict[str, list[str]] = {}
        self._globs: list[tuple[str, str]] = []
        stages = {**found.base.stages, **found.head.stages}
        self._order = list({**found.head.stages, **found.base.stages})
        for address, stage in stages.items():
            self._add(address, stage)

    def _add(self, address: str, stage: Stage) -> None:
        for path in stage.deps:
            self._paths.setdefault(path, []).append(address)
        self._globs += [(pattern, address) for pattern in stage.globs]

    def of(self, one: GitChange) -> list[str]:
        """Addresses of the stages that read the file, in the order of the stage files."""
        found = {name for path in (one.path, one.source) if path is not None for name in self._reading(path)}
        return [name for name in self._order if name in found]

    def _reading(self, path: str) -> Iterator[str]:
        for place in above(path):
            yield from self._paths.get(place, ())
        yield from (address for pattern, address in self._globs if glob.matches(path, pattern))


def _row(one: GitChange, stages: list[str]) -> Row:
    words = [f"renamed from {readable(one.source)}"] if one.source is not None else []
    words += ["binary, or too long to count"] if one.added is None and one.kind != "deleted" else []
    names = ", ".join(stages[:_NAMES]) + (f" and {len(stages) - _NAMES} more" if len(stages) > _NAMES else "")
    return Row((readable(one.path), one.added, one.deleted, names or None), MARKS[one.kind], "; ".join(words))


def readable(name: str) -> str:
    r"""A name as Git has it; bytes that are not UTF-8 become `\xe9`."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")
