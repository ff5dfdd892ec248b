"""`fsck`: is everything that is named there, and whole; with `repair`, what can be mended is."""

from __future__ import annotations

from collections.abc import Iterator

from mlgit.errors import DiskError, MlgitError
from mlgit.model.oid import Oid
from mlgit.model.report import Mark, Report, Row, Table, Verdict, count, format_bytes
from mlgit.ops.upkeep.blame import commits_naming
from mlgit.repo import Repo
from mlgit.store import fsck, transfer
from mlgit.store.backend import Progress
from mlgit.store.objects import Store
from mlgit.store.reach import reach
from mlgit.work import sync

_COLUMNS = ("object", "problem", "state", "named_by", "commits")


def examine(
    repo: Repo,
    *,
    full: bool,
    repair: bool = False,
    rebuild: bool = False,
    remote: str | None = None,
    progress: Progress | None = None,
) -> Report:
    """Check the cache, or a remote, against its indexes and against what the working tree names.

    Args:
        full: hash every byte; otherwise existence and sizes.
        repair: set damaged objects of the cache aside and fetch them anew from any remote.
        rebuild: write the cache's index anew from its packs and files first.
        remote: check this remote instead of the cache.

    Returns:
        A report of kind `fsck` with a table `problems` (object, problem, state, named_by, commits), where the state is
        `mended`, `lost` or, without `repair`, none; DAMAGED or MISSING while any is left. `named_by` is a path of the
        working tree, `commits` the newest commits that need an object which is not mended.

    Raises:
        IntegrityError: an index is damaged.
        MlgitError: the store cannot be read.
    """
    store = sync.open_remote(repo.workspace, repo.config.pick(remote)) if remote else repo.workspace.store
    notes = []
    if rebuild and remote is None:
        notes += _rebuild(store)
    elif repair and remote is None:
        notes += [f"set aside: {path}" for path in fsck.adopt(store)]
    found = fsck.check(store, full=full, progress=progress)
    mended: set[Oid] = set()
    if repair and remote is None:
        moved = fsck.set_aside(store, found)
        notes += [f"set aside: {path}" for path in moved]
        mended = _refetch(repo, set(found.damaged))
    names, absent = _named(repo, store)
    problems = {**absent, **found.damaged}
    while repair and remote is None and (came := _refetch(repo, absent.keys() - mended)):
        mended |= came
        below, absent = _named(repo, store)  # a tree that came tells what else is missing
        names |= below
        problems = {**absent, **problems}
    repaired = repair and remote is None
    rows = (
        *_rows(repo, problems, mended, names, "lost" if repair else None),
        *(
            Row(
                (name, "its closing table is damaged", "mended" if repaired else None, "", None),
                Mark.PASS if repaired else Mark.FAIL,
            )
            for name in sorted(found.tables)
        ),
    )
    left = len(problems) - len(mended & problems.keys()) + (0 if repaired else len(found.tables))
    notes.append(f"{count(found.checked, 'object')}, {format_bytes(found.size)} checked, {count(left, 'problem')} left")
    if not full:
        notes.append("bytes were not compared with their ids; do that with --full")
    table = Table("problems", "Problems", _COLUMNS, rows, empty="none")
    here = {oid for oid, problem in found.damaged.items() if problem != fsck.GONE} - mended
    verdict = Verdict.DAMAGED if here or (found.tables and not repaired) else Verdict.MISSING if left else Verdict.PASS
    return Report("fsck", f"Store {store.backend.url}", (table,), verdict, notes=tuple(notes))


def _rows(
    repo: Repo, problems: dict[Oid, str], mended: set[Oid], names: dict[Oid, str], failed: str | None
) -> Iterator[Row]:
    commits = commits_naming(repo, problems.keys() - mended)
    for oid in sorted(problems):
        if oid in mended:
            yield Row((oid, problems[oid], "mended", names.get(oid, ""), None), Mark.PASS)
        else:
            yield Row((oid, problems[oid], failed, names.get(oid, ""), commits.get(oid)), Mark.FAIL)


def _rebuild(store: Store) -> list[str]:
    """Name anew what packs and files hold; what no file holds any more is named no longer."""
    moved = fsck.adopt(store)
    moved += fsck.set_aside(store, fsck.check(store, full=False))
    moved += fsck.adopt(store)  # what a pack holds that an index looked for in another
    return [*(f"set aside: {path}" for path in moved), "the index was rebuilt from packs and files"]


def _named(repo: Repo, store: Store) -> tuple[dict[Oid, str], dict[Oid, str]]:
    """Which tracked path names each object, and what is wrong with those that cannot be had from the store."""
    names: dict[Oid, str] = {}
    wrong: dict[Oid, str] = {}
    for one in repo.tracked().values():
        if one.content is None:
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


def _refetch(repo: Repo, wanted: set[Oid]) -> set[Oid]:
    """Bring objects back from whichever remote has them; returns those that came."""
    came: set[Oid] = set()
    for config in repo.config.remotes.values() if wanted else ():
        try:
            remote = sync.open_remote(repo.workspace, config)
            here = (wanted - came) - remote.missing(wanted - came)
            transfer.copy(here, remote, repo.workspace.store)
            came |= here
        except DiskError:  # a full disk is no proof that anything is lost
            raise
        except MlgitError:
            continue
    return came
