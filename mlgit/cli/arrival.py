"""What Git's hooks after a checkout and after a merge do: bring tracked data in line, and say what could not be.

Git has done its work when they run, so whatever goes wrong here is said and never makes Git look failed.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from mlgit.cli import render
from mlgit.cli.progress import bar
from mlgit.cli.session import Session
from mlgit.errors import MlgitError, UsageError
from mlgit.git import Git
from mlgit.model.relpath import RelPath
from mlgit.model.report import count
from mlgit.ops.ci import arrival
from mlgit.ops.ci.roots import committed_roots, innermost

if TYPE_CHECKING:
    from mlgit.ops.ci.arrival import Aligned

_SHOWN: Final = 10


def after_checkout(session: Session, git: Git, arguments: Sequence[str]) -> None:
    """What Git says is the commit before, the commit after, and 1 if it was a branch; without it all is looked at.

    Raises:
        UsageError: they are others.
    """
    old, new, flag = _words(arguments, session.environment)
    if flag == "1":
        _guarded(session, git, old if old.strip("0") else None, new)


def _words(arguments: Sequence[str], variables: Mapping[str, str]) -> Sequence[str]:
    if not arguments and "PRE_COMMIT_CHECKOUT_TYPE" in variables:  # the pre-commit program has read the words
        names = ("PRE_COMMIT_FROM_REF", "PRE_COMMIT_TO_REF", "PRE_COMMIT_CHECKOUT_TYPE")
        return [variables.get(name, "") for name in names]
    if arguments and len(arguments) != 3:
        raise UsageError("post-checkout takes three words", hint="mlgit hooks run post-checkout OLD NEW FLAG")
    return arguments or ("", "HEAD", "1")


def after_merge(session: Session, git: Git, arguments: Sequence[str]) -> None:
    """What Git says is 1 if the merge is only in the index (`--squash`), and 0 if HEAD has moved."""
    squash = (arguments or [session.environment.get("PRE_COMMIT_IS_SQUASH_MERGE", "0")])[0] == "1"
    if squash:
        _guarded(session, git, "HEAD", None)
    else:
        _guarded(session, git, arrival.before_merge(git), "HEAD")


def _guarded(session: Session, git: Git, old: str | None, new: str | None) -> None:
    try:
        _bring(session, git, old, new)
    except MlgitError as error:
        render.fail(error, session)
    except OSError as error:
        from mlgit.fs.atomic import explain

        render.fail(explain(error, error.filename or "the working tree"), session)


def _bring(session: Session, git: Git, old: str | None, new: str | None) -> None:
    files = arrival.changed_files(git, old, new)
    if not files:
        return
    groups: dict[str, list[RelPath]] = {}
    prefixes = committed_roots(git)
    for name in files:
        prefix = innermost(name, prefixes)
        if prefix is not None:
            groups.setdefault(prefix, []).append(RelPath(name.removeprefix(prefix)))
    if groups and arrival.is_rebasing(git):
        render.say(session, "mlgit: tracked data stays as it is during a rebase; when it is done: mlgit checkout")
        return
    for prefix, paths in groups.items():
        _align(session, Git(git.top, prefix), old, paths)


def _align(session: Session, git: Git, old: str | None, paths: Sequence[RelPath]) -> None:
    from mlgit.repo import Repo

    started, repo = time.monotonic(), Repo(git.root)
    news = arrival.arrival(repo, old, paths)
    if not (news.named or news.gone):
        return
    with repo.workspace.writing("checkout"), bar(session, "checking out") as progress:
        done = arrival.align(repo, news, progress)
    took = time.monotonic() - started
    if done.changed:
        render.say(session, f"mlgit: checked out {count(done.changed, 'changed path')}, in {took:.1f} s")
    _explain(session, git.prefix, done)


def _explain(session: Session, prefix: str, done: Aligned) -> None:
    """What could not be brought in line, and the command for it; paths are seen from the top of Git."""
    program = f"mlgit -C {shlex.quote(prefix.rstrip('/'))}" if prefix else "mlgit"
    if done.kept:
        names = " ".join(path.quoted for path in done.kept[:_SHOWN])
        render.say(session, f"mlgit: kept, with changes that are in no store: {_listed(prefix, done.kept)}")
        render.say(session, f"hint: save them with `{program} add`, or give them up: `{program} checkout -f {names}`")
    if done.left:
        render.say(
            session, f"mlgit: tracked here no more, and left because it had changed: {_listed(prefix, done.left)}"
        )
    if done.absent:
        lacking = _listed(prefix, done.absent)
        render.say(session, f"mlgit: the cache lacks what is to stand at {lacking}; get it: `{program} pull`")
    for error in done.failed:
        render.fail(error, session)


def _listed(prefix: str, paths: Sequence[RelPath]) -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(f"{prefix}{path}" for path in paths[:_SHOWN]) + more
