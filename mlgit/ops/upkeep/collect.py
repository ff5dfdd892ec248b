"""`gc`: what may go from the cache, given what the user wants to keep; when unsure, nothing.

Whatever is asked for, the working tree, Git's index and every `git stash` entry are kept: what is in them may exist
nowhere else.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Final

from mlgit.errors import InvalidError, MissingError, MlgitError, RefusedError, UnsafeError, UsageError
from mlgit.fs import atomic
from mlgit.model.oid import Oid
from mlgit.model.report import Mark, Report, Row, Table, count, format_bytes
from mlgit.model.tree import Content
from mlgit.pipeline import runcache
from mlgit.repo import Repo
from mlgit.store import gc
from mlgit.store.gc import GRACE_SECONDS, Sweep
from mlgit.store.objects import Store
from mlgit.store.reach import reach
from mlgit.work import sharing
from mlgit.work.history import Recorded, staged_units, texts_of, units_of
from mlgit.work.snapshot import Snapshot

EXPERIMENTS: Final = "refs/mlgit/exp"
REGISTERED: Final = re.compile(r"[^@]+@[^@/]+(/[0-9]+)?")
SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Keep:
    """What to keep besides the working tree, the index and stashes.

    Attributes:
        branches: tips of all branches.
        tags: tagged commits.
        commits: every commit that any reference reaches.
        experiments: experiments' commits, below `refs/mlgit/exp/`.
        registry: commits of annotated tags called `<model>@<version>` or `<model>@<alias>/<n>`.
        since: commits made at or after this moment, in seconds since the epoch.
        recent: that many last commits of HEAD.
        revs: these commits.
    """

    branches: bool = False
    tags: bool = False
    commits: bool = False
    experiments: bool = False
    registry: bool = False
    since: float | None = None
    recent: int = 0
    revs: tuple[str, ...] = ()

    @property
    def history(self) -> bool:
        """Whether commits are asked for."""
        return self != Keep()

    @property
    def rules(self) -> str:
        """In words."""
        moment = datetime.fromtimestamp(self.since or 0.0, timezone.utc).isoformat(" ")
        named = {
            "all branches": self.branches,
            "all tags": self.tags,
            "all commits": self.commits,
            "experiments": self.experiments,
            "registered models": self.registry,
            f"commits since {moment}": self.since is not None,
            f"the last {count(self.recent, 'commit')}": self.recent,
            ", ".join(self.revs): self.revs,
        }
        return ", ".join(["working tree", "index", "stashes", *(name for name, wanted in named.items() if wanted)])


def parse_moment(text: str) -> float:
    """Seconds since the epoch of an ISO 8601 date, or date and time; UTC unless it names a zone.

    Raises:
        UsageError: it is neither.
    """
    try:
        found = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text))
        return found.replace(tzinfo=found.tzinfo or timezone.utc).astimezone(timezone.utc).timestamp()
    except (ValueError, OverflowError):  # too early or too late in UTC
        raise UsageError(f"not a date: {text!r}", hint="write it as 2026-01-31, or 2026-01-31T12:00+01:00") from None


def plan_collection(repo: Repo, keep: Keep, *, grace: float = GRACE_SECONDS) -> Sweep:
    """What a collection would delete.

    Raises:
        RefusedError: history is cut off (a shallow clone), a merge is under way, or what is kept names something that
            cannot be read, so that what is reachable is not known; or another repository that uses this cache cannot
            be read.
        UsageError: a commit that is to be kept does not exist.
    """
    alive, locked = _reachable(repo, keep), _locked(repo)
    for other in _sharers(repo):
        alive |= _reachable(other, Keep()) | _history(other)
        locked |= _locked(other)
    sweep = gc.plan(repo.workspace.store, alive, grace=grace)
    sweep.records = _useless(repo.workspace.store, alive | locked, sweep, time.time() - grace)
    return sweep


def _locked(repo: Repo) -> set[Oid]:
    """What the locks of the working tree name, outputs that Git keeps among it."""
    return {content.oid for entry in repo.project().locked.values() for content in entry.outs.values()}


def _useless(store: Store, named: set[Oid], sweep: Sweep, limit: float) -> set[str]:
    """Run records, older than `limit`, of whose outputs nothing will be left and nothing is `named`.

    Records keep nothing alive: they would keep the outputs of every run there ever was.
    """
    found = set()
    for stat in runcache.every(store.backend):
        line = runcache.read(store.backend, stat) if stat.modified <= limit else None
        record = runcache.decode(line) if line is not None else None
        outs = {content.oid for content in record.stage.outs.values()} if record is not None else set()
        left = (oid in named or (oid not in sweep.dead and store.catalog.knows(oid.digest)) for oid in outs)
        if outs and not any(left):
            found.add(stat.name)
    return found


def _sharers(repo: Repo) -> Iterator[Repo]:
    """The other repositories that use this cache; one that cannot be read could need anything."""
    for root, file in sharing.users(repo.workspace.cache).items():
        if root == repo.root:
            continue
        gone = f", or if it is gone for good: rm '{file}'" if file else ""
        try:
            with atomic.disk_errors(root):
                other = Repo(root)
                other.git.head()
        except MlgitError as error:
            raise RefusedError(
                f"this cache is also used by the repository {root}, which cannot be read: {error.message}",
                hint=error.hint if "safe.directory" in (error.hint or "") else f"bring it back{gone}",
            ) from error
        yield other


def _reachable(repo: Repo, keep: Keep) -> set[Oid]:
    if keep.history:
        _refuse_shallow(repo)
    named: dict[Content, str] = {}
    pushed: set[Content] = set()
    commits = {**_commits(repo, keep), **repo.git.stashes()}
    for snapshot in _snapshots(repo, commits):
        with _known(snapshot.name):
            for one in repo.tracked(snapshot).values():
                if one.content is not None:
                    named.setdefault(one.content, snapshot.name)
                    pushed |= {one.content} if one.push else set()
    found = reach(named, repo.workspace.store, strict=False)
    if found.absent:
        # what is never pushed is missing for good wherever it was not made
        _refuse_absent(repo, {one: name for one, name in named.items() if one in pushed or one.oid not in found.absent})
    return set(found.oids) | _moved(repo, commits)


def _refuse_shallow(repo: Repo) -> None:
    if repo.git.is_shallow():
        raise RefusedError(
            f"{repo.root} is a shallow clone: what its missing history names is not known",
            hint="run `git fetch --unshallow` there first",
        )


def _history(repo: Repo) -> set[Oid]:
    """What the whole history of another repository names, as far as its trees have ever been fetched."""
    _refuse_shallow(repo)
    commits = repo.git.commits(every=True)
    return _known_below(repo, commits) | _moved(repo, commits)


def _moved(repo: Repo, commits: dict[str, str]) -> set[Oid]:
    """What those of `commits` name that have no mlgit root where it stands today, as far as it is known here."""
    if not repo.git.prefix:  # Git's own root cannot be moved
        return set()
    here = repo.git.root_trees(commits)
    elsewhere = {commit: name for commit, name in commits.items() if commit not in here}
    return _known_below(repo, elsewhere, top=True) if elsewhere else set()


def _known_below(repo: Repo, commits: dict[str, str], *, top: bool = False) -> set[Oid]:
    units = units_of(repo.git, commits, top=top)
    texts = texts_of(repo.git, units)
    named: set[Content] = set()
    for unit, having in units.items():
        # outside today's root a file that cannot be read may well be none of ours
        with contextlib.suppress(InvalidError, UnsafeError) if top else _known(commits[having[0]]):
            named.update(repo.contents([Recorded(repo.git, unit, texts, commits[having[0]], having[0])]))
    return set(reach(named, repo.workspace.store, strict=False).oids)


@contextlib.contextmanager
def _known(name: str) -> Iterator[None]:
    try:
        yield
    except (InvalidError, UnsafeError, MissingError) as error:
        raise RefusedError(
            f"what {name} names is not known: {error.message}", hint="mend that file, or drop the commit"
        ) from error


def _refuse_absent(repo: Repo, named: dict[Content, str]) -> None:
    for content, name in named.items():
        absent = reach([content], repo.workspace.store, strict=False).absent
        if absent:
            raise RefusedError(
                f"what {name} of {repo.root} names is not known: "
                f"{count(len(absent), 'tree')} of folders not in the cache, such as {min(absent)}",
                hint="get them with `mlgit fetch`, with the same -a, -T or -A, or keep less",
            )


def _snapshots(repo: Repo, commits: dict[str, str]) -> Iterator[Snapshot]:
    """The working tree, the index and `commits`, each pointer and lock once."""
    yield repo.snapshot()
    git = repo.git
    if git.has_conflicts():
        raise RefusedError(
            f"{repo.root}: a merge is under way, so what will be tracked is not known",
            hint="finish it with `git commit`, or undo it with `git merge --abort`",
        )
    staged = staged_units(git)
    texts = texts_of(git, staged)
    yield from (Recorded(git, unit, texts, "the index", None) for unit in staged)
    units = units_of(git, commits)
    texts = texts_of(git, units)
    yield from (Recorded(git, unit, texts, commits[having[0]], having[0]) for unit, having in units.items())


def _commits(repo: Repo, keep: Keep) -> dict[str, str]:
    """Commits that are asked for: id → the name that leads to it."""
    git = repo.git
    found = git.commits(branches=keep.branches, tags=keep.tags, every=keep.commits)
    if keep.experiments:
        found |= {commit: name for name, commit in git.tips(EXPERIMENTS).items()}
    if keep.registry:
        tags = git.tips("refs/tags", annotated=True)
        found |= {commit: name for name, commit in tags.items() if REGISTERED.fullmatch(name)}
    if keep.since is not None:
        found |= git.since(keep.since)
    if keep.recent:
        found |= git.recent(keep.recent)
    return found | {git.resolve(rev): rev for rev in keep.revs}


def report(sweep: Sweep, keep: Keep, *, deleted: bool = False, brief: bool = False) -> Report:
    """What a collection deletes, or has `deleted`.

    Args:
        brief: for people: few of the objects, and the totals in words only.

    Returns:
        A report of kind `gc` with the tables `objects` (object, size) and `totals` (deleted, objects, size,
        packs_rewritten, young, left, records): bytes that are given back; of the objects that nothing kept names, those
        that stay because they are young, and because the packs that hold them are mostly needed; run records that go.
    """
    listed = list(sweep.dead.items())[: SHOWN if brief else None]
    rows = tuple(Row((oid, size), Mark.REMOVED) for oid, size in listed)
    objects = Table("objects", "Nothing that is kept names", ("object", "size"), rows, empty="nothing to delete")
    cells = (deleted, len(sweep.dead), sweep.freed, len(sweep.rewrite), sweep.young, sweep.left, len(sweep.records))
    columns = ("deleted", "objects", "size", "packs_rewritten", "young", "left", "records")
    tables = (objects,) if brief else (objects, Table("totals", "In all", columns, (Row(cells),)))
    return Report(
        "gc", "Collection", tables, notes=tuple(_notes(sweep, keep, len(listed), "deleted" if deleted else "to delete"))
    )


def _notes(sweep: Sweep, keep: Keep, listed: int, state: str) -> Iterator[str]:
    if len(sweep.dead) > listed:
        yield f"and {count(len(sweep.dead) - listed, 'object')} more"
    if sweep.dead or sweep.delete or sweep.rewrite or sweep.records:
        packs = f"; {count(len(sweep.rewrite), 'pack')} written anew" if sweep.rewrite else ""
        yield f"{state}: {summary(sweep)}{packs}"
    if sweep.young:
        yield f"left alone for being young: {count(sweep.young, 'object')}"
    if sweep.left:
        size = format_bytes(sweep.left_size)
        yield f"left alone in packs that are mostly needed: {count(sweep.left, 'object')}, {size}"
    if sweep.unnamed:
        yield f"left alone, as it holds what is kept and no index names: {count(sweep.unnamed, 'file')}; " + (
            "name what is there: `mlgit fsck --rebuild-index`"
        )
    yield f"kept: {keep.rules}"


def summary(sweep: Sweep) -> str:
    """How much goes, in words."""
    records = f", {count(len(sweep.records), 'run record')}" if sweep.records else ""
    return f"{count(len(sweep.dead), 'object')}, {format_bytes(sweep.freed)}{records}"


def collect(repo: Repo, sweep: Sweep) -> None:
    """Delete what `sweep` lists, and what `clear` finds.

    Raises:
        LockedError: another process is writing to the cache.
        MlgitError: the cache is damaged or the disk failed; what is kept is still there.
    """
    gc.apply(repo.workspace.store, sweep)
    repo.workspace.store.backend.delete(sorted(sweep.records))
    clear(repo)


def clear(repo: Repo) -> None:
    """Delete temporary files that crashed commands left behind; the caller holds repository and cache for itself."""
    limit = time.time() - GRACE_SECONDS
    for folder in (repo.workspace.scratch, repo.workspace.cache / "tmp"):
        for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder before the folder
            with contextlib.suppress(OSError):  # gone, in use again, or somebody else's to remove
                if path.is_dir() and not path.is_symlink():
                    path.rmdir()
                elif path.lstat().st_mtime < limit:
                    path.unlink()
