"""`gc`: what may go from the cache, given what the user wants to keep; when unsure, nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from mlgit.errors import InvalidError, MlgitError, RefusedError, UnsafeError
from mlgit.model.oid import Oid
from mlgit.repo import Repo
from mlgit.store import gc
from mlgit.store.gc import GRACE_SECONDS, Sweep
from mlgit.store.reach import reach
from mlgit.work import sharing
from mlgit.work.snapshot import Commit, Snapshot


@dataclass(frozen=True, slots=True)
class Keep:
    """What to keep besides the working tree.

    Attributes:
        branches: tips of all branches.
        tags: tagged commits.
        commits: every commit that any reference reaches.
    """

    branches: bool = False
    tags: bool = False
    commits: bool = False


def plan_collection(repo: Repo, keep: Keep, *, grace: float = GRACE_SECONDS) -> Sweep:
    """What a collection would delete.

    Raises:
        RefusedError: history is cut off (a shallow clone), or a kept commit's pointers or trees cannot be read, so
            that what is reachable is not known; or another repository that uses this cache cannot be read.
    """
    alive = _reachable(repo, keep)
    for other in _sharers(repo):
        alive |= _reachable(other, Keep(commits=True))
    return gc.plan(repo.workspace.store, alive, grace=grace)


def _sharers(repo: Repo) -> Iterator[Repo]:
    """The other repositories that use this cache; one that is not there could need anything."""
    for root, file in sharing.users(repo.workspace.cache).items():
        if root == repo.root:
            continue
        try:
            yield Repo(root)
        except MlgitError as error:
            raise RefusedError(
                f"this cache is also used by the repository {root}, which cannot be read: {error.message}",
                hint=f"bring it back, or if it is gone for good: rm '{file}'",
            ) from error


def _reachable(repo: Repo, keep: Keep) -> set[Oid]:
    if (keep.commits or keep.branches or keep.tags) and repo.git.is_shallow():
        raise RefusedError(
            f"{repo.root} is a shallow clone: what its missing history names is not known",
            hint="run `git fetch --unshallow` there first",
        )
    alive: set[Oid] = set()
    for snapshot in _snapshots(repo, keep):
        try:
            contents = list(repo.contents([snapshot]))
        except (InvalidError, UnsafeError) as error:
            raise RefusedError(
                f"what {snapshot.name} names is not known: {error.message}", hint="mend that file, or drop the commit"
            ) from error
        found = reach(contents, repo.workspace.store, strict=False)
        if found.absent:
            raise RefusedError(
                f"what {snapshot.name} names is not known: {len(found.absent)} folders' trees are not in the cache",
                hint="get them with `mlgit fetch`, with the same -a, -T or -A, or keep less",
            )
        alive.update(found.oids)
    return alive


def _snapshots(repo: Repo, keep: Keep) -> Iterator[Snapshot]:
    yield repo.snapshot()
    commits = repo.git.commits(branches=keep.branches, tags=keep.tags, every=keep.commits)
    for commit in commits:
        yield Commit(repo.git, commit)


def collect(repo: Repo, sweep: Sweep) -> None:
    """Delete what `sweep` lists, and temporary files that crashed commands left behind.

    Raises:
        LockedError: another process is writing to the cache.
        MlgitError: the cache is damaged or the disk failed; what is kept is still there.
    """
    gc.apply(repo.workspace.store, sweep)
    limit = time.time() - GRACE_SECONDS
    for folder in (repo.workspace.scratch, repo.workspace.store.scratch):
        for path in folder.glob("*"):
            if path.is_file() and path.stat().st_mtime < limit:
                path.unlink(missing_ok=True)
