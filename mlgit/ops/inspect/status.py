"""`status`: tracked data that differs from its pointer, and stages that are not up to date."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from mlgit.model.oid import Oid
from mlgit.model.relpath import RelPath
from mlgit.model.report import Mark, Report, Row, Table, count
from mlgit.model.tree import Content, Tree
from mlgit.repo import Repo
from mlgit.work.difference import compare
from mlgit.work.outputs import Tracked

if TYPE_CHECKING:
    from mlgit.pipeline.status import StageStatus


def status(
    repo: Repo, paths: Iterable[RelPath] = (), stages: Iterable[str] = (), *, search: str | None = None
) -> Report:
    """Compare the working tree with pointers and locks.

    Args:
        paths: only these tracked paths; all if empty.
        stages: only these stage addresses; all if empty.
        search: the PATH that commands would get: say which stages last ran with another Python, other packages or on
            another platform than they would now. None to leave that out.

    Returns:
        A report of kind `status`: tables `data` (path, state, size) and `stages` (stage, state, why).

    Raises:
        InvalidError, UnsafeError: a pointer, stage file or lock is malformed.
    """
    wanted, chosen = list(paths), tuple(stages)
    pointed = [one.tracked for one in repo.targets(wanted) if one.tracked.stage is None] if not chosen or wanted else []
    data = tuple(_data_row(repo, one) for one in dict.fromkeys(pointed))
    seen = repo.pipeline.status(chosen) if repo.has_stages and (chosen or not wanted) else ()
    rows = tuple(map(_stage_row, seen))
    notes: tuple[str, ...] = ()
    if search is not None:
        rows, notes = _with_surroundings(repo, seen, rows, search)
    tables = (
        Table("data", "Data", ("path", "state", "size"), data, empty="nothing tracked by a pointer"),
        Table("stages", "Stages", ("stage", "state", "why"), rows, empty="no stages"),
    )
    if not (data or seen or wanted or chosen):
        note = "nothing is tracked yet; start with `mlgit add DATA` or `mlgit stage add`"
        return Report("status", "Status", tables, notes=(note,))
    return Report("status", "Status", tables, notes=(_summary(data, seen), *notes))


def _data_row(repo: Repo, one: Tracked) -> Row:
    wanted = one.content
    present = repo.workspace.identify(one.path)
    if present is None:
        size = wanted.size if wanted else None
        if wanted and repo.workspace.has(wanted):
            return Row((one.path, "deleted", size), Mark.REMOVED)
        return Row((one.path, "missing", size), Mark.WARN, "not in the cache")
    if wanted and present.oid == wanted.oid:
        return Row((one.path, "unchanged", present.size), Mark.SAME)
    if wanted and present.files is not None and _is_partial(repo, one.path, wanted, present):
        note = f"{present.files} of {wanted.files} files are here; get the rest with `mlgit pull {one.path.quoted}`"
        return Row((one.path, "partial", present.size), Mark.INFO, note)
    return Row((one.path, "modified", present.size), Mark.CHANGED)


def _is_partial(repo: Repo, path: RelPath, wanted: Content, present: Content) -> bool:
    """Whether all that differs is files, or whole sub-folders, that were never pulled."""
    workspace = repo.workspace

    def load(oid: Oid, at: RelPath) -> Tree:
        return Tree(()) if workspace.store.missing([oid]) else workspace.stored_tree(oid, at)

    if wanted.type != "tree" or present.type != "tree":
        return False
    changes = compare(path, wanted, present, load, workspace.present_tree)
    gone = [one.old.oid for one in changes if one.old is not None and one.new is None]
    return len(gone) == len(changes) and workspace.store.missing(gone) == set(gone)


def _stage_row(one: StageStatus) -> Row:
    if not one.changes:
        return Row((one.address, "up to date", None), Mark.SAME)
    why = "; ".join(change.words for change in one.changes)
    if one.stage.frozen:
        return Row((one.address, "frozen", why), Mark.INFO)
    return Row((one.address, "changed", why), Mark.CHANGED)


def _with_surroundings(
    repo: Repo, seen: tuple[StageStatus, ...], rows: tuple[Row, ...], search: str
) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """The rows of stages with notes on what they last ran with, and what is to be said of all of them."""
    from mlgit.pipeline.lastrun import last_run
    from mlgit.pipeline.surroundings import current, differences

    locked, backend = repo.pipeline.project.locked, repo.workspace.store.backend
    now = current(search, repo.workspace.scratch)
    noted, differ, unknown = [], 0, 0
    for one, row in zip(seen, rows, strict=True):
        entry = locked.get(one.address)
        record = last_run(backend, one.stage, entry) if entry is not None else None
        words = differences(record.environment, now) if record is not None else ()
        unknown += entry is not None and (record is None or not record.environment.fingerprint)
        differ += bool(words)
        noted.append(replace(row, note=f"since it last ran: {'; '.join(words)}") if words else row)
    notes = [f"{count(differ, 'stage')} last ran in other surroundings; `mlgit verify` tells if it matters"] * bool(
        differ
    )
    notes += [f"what {count(unknown, 'stage')} last ran with is not known here"] * bool(unknown)
    return tuple(noted), tuple(notes)


def _summary(data: tuple[Row, ...], stages: tuple[StageStatus, ...]) -> str:
    changed = sum(row.mark is not Mark.SAME for row in data)
    stale = sum(bool(one.changes) and not one.stage.frozen for one in stages)
    if not changed and not stale:
        return "everything is up to date"
    parts = [f"{count(changed, 'tracked path')} changed"] if changed else []
    parts += [f"{count(stale, 'stage')} to reproduce"] if stale else []
    return "; ".join(parts)
