"""Which two sides `ci` compares: what the command line says, else the event of the CI service, else mlgit's own choice.

What a shallow clone lacks is fetched on the way.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlgit.cli import render
from mlgit.cli.session import Session
from mlgit.errors import InvalidError, NotEvaluableError, UnsafeError, UsageError

if TYPE_CHECKING:
    from mlgit.git import Git
    from mlgit.ops.ci.environment import Run
    from mlgit.repo import Repo
    from mlgit.work.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says of the comparison.

    Attributes:
        tip: compare with the base itself instead of the merge base.
        repro: run what is stale first.
        present: judge the working tree.
    """

    base: str | None
    head: str | None
    tip: bool
    repro: bool
    present: bool
    accept: bool
    allow_stale: bool


@dataclass(frozen=True, slots=True)
class Base:
    """What is compared with.

    Attributes:
        side: where the head left the base; None if there is nothing to compare with.
        tip: where the base is now; None where nobody named it.
    """

    side: Snapshot | None
    tip: Snapshot | None = None


def find_head(session: Session, run: Run, asked: Asked) -> Snapshot:
    """What is judged; a commit that the event names and the clone lacks is fetched.

    Raises:
        UsageError: what was asked for does not exist.
        NotEvaluableError: the commit cannot be fetched.
    """
    from mlgit.ops.ci import history

    repo = session.repo
    if asked.present:
        return repo.snapshot()
    if asked.head is not None or run.head is None:
        return repo.snapshot(asked.head or "HEAD")
    return repo.snapshot(history.bring(repo.git, run.head, say=lambda line: render.say(session, line)))


def find_base(session: Session, run: Run, head: Snapshot, asked: Asked) -> Base:
    """The base to compare with; a branch that only the remote has may be named without `origin/`.

    Raises:
        UsageError: what was asked for does not exist.
        NotEvaluableError: the base, or enough of the history, cannot be had.
    """
    from mlgit.ops.ci import history
    from mlgit.ops.gates.base import default_base

    repo = session.repo
    at = head.rev or repo.git.resolve("HEAD")
    names = run.bases if asked.base is None else _spellings(repo, asked.base)
    if not names:
        if repo.git.is_shallow() and _has_parent(repo.git, at):
            history.mend(repo.git, (f"{at}^",), at, say=lambda line: render.say(session, line))
        return Base(default_base(repo, head))
    try:
        common = history.mend(repo.git, names, at, say=lambda line: render.say(session, line))
    except NotEvaluableError:
        if asked.base is not None and not repo.git.is_shallow():
            repo.git.resolve(asked.base)  # a typing error is no missing history
        raise
    found = history.tip(repo.git, names)
    tip = repo.snapshot(found) if found else None
    if asked.tip:
        return Base(tip, tip)
    if common is None:
        raise NotEvaluableError(
            f"{head.name} has no history in common with {' or '.join(names)}",
            hint="name another base with --base, or compare with the base itself: --base-tip",
        )
    return Base(repo.snapshot(common), tip)


def bring_references(session: Session, base: Snapshot | None, head: Snapshot) -> None:
    """Fetch the tags and branches that gates of either side measure drops from and that the clone lacks.

    A side that is malformed names none; whoever judges it says so.
    """
    from mlgit.model.gate import leaves
    from mlgit.ops.ci import history
    from mlgit.ops.gates.rules import load_gates

    repo = session.repo
    names: dict[str, None] = {}
    for side in (base, head):
        with contextlib.suppress(InvalidError, UnsafeError):
            rules = leaves(load_gates(repo, side).rules) if side is not None else ()
            names |= {rule.against: None for rule in rules if rule.against is not None}
    for name in names:
        if not _exists(repo, name):
            history.bring_reference(repo.git, name, say=lambda line: render.say(session, line))


def _spellings(repo: Repo, rev: str) -> tuple[str, ...]:
    """A checkout in CI has `origin/main` and no `main`."""
    return (rev,) if _exists(repo, rev) or "/" in rev else (rev, f"origin/{rev}")


def _exists(repo: Repo, name: str) -> bool:
    try:
        repo.git.resolve(name)
    except UsageError:
        return False
    return True


def _has_parent(git: Git, commit: str) -> bool:
    """Whether the commit has a parent, in the clone or not."""
    return "\nparent " in git.run("cat-file", "commit", commit).partition("\n\n")[0]
