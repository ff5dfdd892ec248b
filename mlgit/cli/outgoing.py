"""What Git's hook before a push does: ask the remotes for the data of what goes out, and offer to push what they lack.

Somebody who sits at a terminal is asked once; everybody else is told the command, and the push does not happen.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import typer

from mlgit.cli import render
from mlgit.cli.session import Session
from mlgit.git import Git
from mlgit.model.relpath import RelPath
from mlgit.model.report import Report, Verdict
from mlgit.ops.ci import outgoing
from mlgit.ops.ci.outgoing import Outgoing, Push
from mlgit.ops.ci.roots import placed, roots

if TYPE_CHECKING:
    from mlgit.repo import Repo


def before_push(session: Session, git: Git, remote: str) -> bool:
    """Check what goes out, root by root, and let the user mend it; whether the push may go on.

    Args:
        remote: name of the Git remote, or its address.
    """
    fine = True
    for repo, commits in _going(session, git, remote):
        found = outgoing.examine(repo, commits)
        passed = _shown(session, repo, found.report)
        if not passed and found.revs and _agreed(session):
            _push(session, repo, found.revs)
            passed = _shown(session, repo, outgoing.examine(repo, commits).report)
        fine &= passed
    return fine


def reports(session: Session, git: Git, remote: str) -> Iterator[Report]:
    """What the check says of every root with something to push."""
    for repo, commits in _going(session, git, remote):
        yield placed(outgoing.examine(repo, commits).report, repo.git.prefix)


def _going(session: Session, git: Git, remote: str) -> Iterator[tuple[Repo, list[Outgoing]]]:
    remote, pushes = _pushes(session, remote)
    for prefix in roots(git):
        root = Git(git.top, prefix)
        commits = outgoing.outgoing(root, pushes, remote)
        if commits:
            from mlgit.repo import Repo

            yield Repo(root.root), commits


def _pushes(session: Session, remote: str) -> tuple[str, list[Push]]:
    """The Git remote, and what goes there: told on stdin, or by the pre-commit program; by hand it is HEAD."""
    variables = session.environment
    if "PRE_COMMIT_REMOTE_NAME" in variables:  # it has read the lines; a first push has no range
        local = variables.get("PRE_COMMIT_TO_REF") or variables.get("PRE_COMMIT_LOCAL_BRANCH") or "HEAD"
        return variables["PRE_COMMIT_REMOTE_NAME"], [Push(local, variables.get("PRE_COMMIT_FROM_REF", ""))]
    return remote, [Push("HEAD", "")] if sys.stdin.isatty() else outgoing.parse(sys.stdin)


def _shown(session: Session, repo: Repo, report: Report) -> bool:
    if report.tables[0].rows:
        render.report(session, placed(report, repo.git.prefix))
    return report.verdict is not Verdict.FAIL


def _agreed(session: Session) -> bool:
    """Ask whether to push the data now, if somebody is there to answer; Git has taken stdin for itself."""
    if session.quiet or not sys.stderr.isatty():
        return False
    try:
        sys.stdin = open("/dev/tty", encoding="utf-8")  # noqa: SIM115  it is stdin from here on
    except OSError:
        return False
    return typer.confirm("push the data now?", default=True, err=True)


def _push(session: Session, repo: Repo, revs: Sequence[str | None]) -> None:
    from mlgit.cli.sync import push_all

    there = dataclasses.replace(session, cwd=repo.root, ask=True)
    there.repo, there.here = repo, RelPath("")
    for rev in revs:
        push_all(there, rev)
