"""`fsck`: is everything that is named there, and whole; with `repair`, what can be mended is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mlgit.errors import DiskError, IntegrityError, MissingError, MlgitError
from mlgit.model.oid import Oid
from mlgit.model.report import Mark, Report, Row, Table, Verdict, count, format_bytes
from mlgit.ops.upkeep.blame import commits_naming
from mlgit.repo import Repo
from mlgit.store import fsck, transfer
from mlgit.store.backend import Progress
from mlgit.store.fsck import Findings
from mlgit.store.objects import Store
from mlgit.store.reach import reach
from mlgit.work import sync

_COLUMNS = ("object", "problem", "state", "named_by", "commits")


@dataclass(slots=True)
class _State:
    """How the objects that somebody needs are.

    Attributes:
        names: object → the tracked path that needs it.
        problems: object → what is, or was, wrong with it.
        mended: those of them that are whole again.
    """

    names: dict[Oid, str]
    problems: dict[Oid, str]
    mended: set[Oid] = field(default_factory=set)


def examine(
    repo: Repo,
    *,
    full: bool,
    repair: bool = False,
    rebuild: bool = False,
    remote: str | None = None,
    shown: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Check the cache, or a remote, against its indexes and against what the working tree names.

    Args:
        full: hash every byte; otherwise existence and sizes.
        repair: set damaged objects aside, and bring them back from any remote or the working tree; for a remote, from
            the cache.
        rebuild: write the index anew from packs and files first.
        remote: check this remote instead of the cache.
        shown: the most rows to give; all by default, problems that are left first.

    Returns:
        A report of kind `fsck` with a table `problems` (object, problem, state, named_by, commits), where the state is
        `mended`, `lost` or, without `repair`, none; DAMAGED or MISSING while any is left. `named_by` is a path of the
        working tree, `commits` the newest commits that need an object which is not mended.

    Raises:
        IntegrityError: an index is damaged.
        MlgitError: the store cannot be read.
    """
    store = sync.open_remote(repo.workspace, repo.config.pick(remote)) if remote else repo.workspace.store
    store.check_format()
    notes = []
    if rebuild:
        notes += _rebuild(store)
    elif repair:
        notes += [f"set aside: {path}" for path in fsck.adopt(store)]
    found = fsck.check(store, full=full, progress=progress)
    if repair:
        notes += [f"set aside: {path}" for path in fsck.set_aside(store, found)]
    state = _repaired(repo, store, found, remote) if repair else _State(*_named(repo, store, remote))
    state.problems |= found.damaged
    rows = (*_rows(repo, state, "lost" if repair else None), *_table_rows(found.tables, repair))
    rows = tuple(sorted(rows, key=lambda row: row.mark is not Mark.FAIL))
    left = sum(row.mark is Mark.FAIL for row in rows)
    notes.append(f"{count(found.checked, 'object')}, {format_bytes(found.size)} checked, {count(left, 'problem')} left")
    if not full:
        notes.append("bytes were not compared with their ids; do that with --full")
    if shown is not None and len(rows) > shown:
        notes.append(f"and {count(len(rows) - shown, 'row')} more, which --json gives")
    table = Table("problems", "Problems", _COLUMNS, rows[:shown], empty="none")
    here = {oid for oid, problem in found.damaged.items() if problem != fsck.GONE} - state.mended
    verdict = Verdict.DAMAGED if here or (found.tables and not repair) else Verdict.MISSING if left else Verdict.PASS
    return Report("fsck", f"Store {store.backend.url}", (table,), verdict, notes=tuple(notes))


def _repaired(repo: Repo, store: Store, found: Findings, remote: str | None) -> _State:
    """Bring back what was set aside, and what is named and not there."""
    mended = fsck.second_copies(store, set(found.damaged))
    mended |= _bring(repo, found.damaged.keys() - mended, remote)
    names, absent = _named(repo, store, remote)
    state = _State(names, absent, mended)
    while came := _bring(repo, absent.keys() - state.mended, remote):
        state.mended |= came
        below, absent = _named(repo, store, remote)  # a tree that came tells what else is missing
        state.names |= below
        state.problems = {**absent, **state.problems}
    return state


def _table_rows(tables: set[str], repair: bool) -> Iterator[Row]:
    """A row for every pack whose own table is damaged; repairing writes such a pack anew."""
    for name in sorted(tables):
        cells = (name, "its closing table is damaged", "mended" if repair else None, None, None)
        yield Row(cells, Mark.PASS if repair else Mark.FAIL)


def _rows(repo: Repo, state: _State, failed: str | None) -> Iterator[Row]:
    commits = commits_naming(repo, state.problems.keys() - state.mended)
    for oid, problem in sorted(state.problems.items()):
        if oid in state.mended:
            yield Row((oid, problem, "mended", state.names.get(oid), None), Mark.PASS)
        else:
            yield Row((oid, problem, failed, state.names.get(oid), commits.get(oid)), Mark.FAIL)


def _rebuild(store: Store) -> list[str]:
    """Name anew what packs and files hold; what no file holds any more is named no longer."""
    moved = fsck.adopt(store)
    moved += fsck.set_aside(store, fsck.check(store, full=False))
    moved += fsck.adopt(store)  # what a pack holds that an index looked for in another
    return [*(f"set aside: {path}" for path in moved), "the index was rebuilt from packs and files"]


def _named(repo: Repo, store: Store, remote: str | None) -> tuple[dict[Oid, str], dict[Oid, str]]:
    """Which tracked path names each object, and what is wrong with those that cannot be had from the store.

    Of a remote, nothing is asked that is never pushed there.
    """
    names: dict[Oid, str] = {}
    wrong: dict[Oid, str] = {}
    for one in repo.tracked().values():
        if one.content is None or (remote and (not one.push or one.remote not in (None, remote))):
            continue
        try:
            found = reach([one.content], store, strict=False)
        except MlgitError as error:
            names[one.content.oid] = one.path
            wrong[one.content.oid] = f"what is below it cannot be read: {error.message}"
            continue
        names |= dict.fromkeys(found.oids, one.path)
        wrong |= dict.fromkeys(store.missing(found.oids) | found.absent, "not in the store")
    return names, wrong


def _bring(repo: Repo, wanted: set[Oid], remote: str | None) -> set[Oid]:
    """Put objects back into the cache, from a remote or the working tree, or into `remote` from the cache."""
    cache = repo.workspace.store
    if remote is not None and wanted:
        target = sync.open_remote(repo.workspace, repo.config.pick(remote))
        return _salvage(wanted - cache.missing(wanted), cache, target)
    came = _refetch(repo, wanted)
    if wanted - came:
        _save_again(repo, wanted - came)
        came = wanted - cache.missing(wanted)
    return came


def _save_again(repo: Repo, wanted: set[Oid]) -> None:
    """Save what the working tree still holds of `wanted`; whatever was edited meanwhile stays unsaved."""
    for path, one in repo.tracked().items():
        try:
            if one.content is not None and repo.workspace.identify(path) == one.content:
                repo.workspace.save([path])
        except DiskError:
            raise
        except MlgitError:  # something there cannot be read or saved
            continue


def _refetch(repo: Repo, wanted: set[Oid]) -> set[Oid]:
    """Bring objects back from whichever remote has them; returns those that came."""
    came: set[Oid] = set()
    for config in repo.config.remotes.values() if wanted else ():
        try:
            remote = sync.open_remote(repo.workspace, config)
            here = (wanted - came) - remote.missing(wanted - came)
        except DiskError:  # a full disk is no proof that anything is lost
            raise
        except MlgitError:
            continue
        came |= _salvage(here, remote, repo.workspace.store)
    return came


def _salvage(wanted: set[Oid], source: Store, target: Store) -> set[Oid]:
    """Copy what is whole at `source`; a batch in which something is not is halved until only that is left out."""
    came: set[Oid] = set()
    batches = [sorted(wanted)]
    while batches:
        batch = batches.pop()
        try:
            transfer.copy(set(batch), source, target)
        except (IntegrityError, MissingError):
            half = len(batch) // 2
            batches += [part for part in (batch[:half], batch[half:]) if half]
        except DiskError:
            raise
        except MlgitError:  # a remote does not answer any more
            break
        else:
            came |= set(batch)
    return came
