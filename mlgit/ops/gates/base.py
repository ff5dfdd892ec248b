"""What a head is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlgit.errors import NotEvaluableError, UsageError

if TYPE_CHECKING:
    from mlgit.repo import Repo
    from mlgit.work.snapshot import Snapshot


def default_base(repo: Repo, head: Snapshot) -> Snapshot | None:
    """What a head is compared with unless told: its merge base with the default branch.

    On the default branch itself that is the last commit for the working tree, and the parent for a commit. None where
    there is no such commit: no commits yet, no known default branch, or a clone too shallow to reach it.
    """
    git = repo.git
    at = head.rev or git.head()
    if at is None:
        return None
    parent = at if head.rev is None else _resolve(repo, f"{at}~1")
    if at == git.head() and git.branch() in ("main", "master"):
        return repo.snapshot(parent) if parent else None
    tip = next((sha for sha in (_resolve(repo, name) for name in git.default_branches()) if sha), None)
    common = git.merge_base(at, tip) if tip else None
    base = parent if common == at else common
    return repo.snapshot(base) if base else None


def find_base(repo: Repo, head: Snapshot, rev: str | None, *, tip: bool = False) -> Snapshot | None:
    """What `head` is compared with: where it left `rev`, or what `default_base` says.

    Args:
        tip: compare with `rev` itself.

    Raises:
        UsageError: there is no such revision.
        NotEvaluableError: the two have no history in common.
    """
    if rev is None:
        return default_base(repo, head)
    base = repo.snapshot(rev)
    at = head.rev or repo.git.head()
    if tip or at is None or base.rev is None:
        return base
    common = repo.git.merge_base(at, base.rev)
    if common is None:
        raise NotEvaluableError(
            f"{head.name} has no history in common with {rev}", hint="compare with the base itself: --base-tip"
        )
    return base if common == base.rev else repo.snapshot(common)


def _resolve(repo: Repo, rev: str) -> str | None:
    try:
        return repo.git.resolve(rev)
    except UsageError:
        return None
