"""Commands that move objects between the cache and remotes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from mlgit.cli import render
from mlgit.cli.data import place
from mlgit.cli.options import AllBranches, AllTags, DryRun, Everything, Force, RemoteName, Rev, Targets, Yes
from mlgit.cli.progress import bar
from mlgit.cli.session import Session, session_of
from mlgit.errors import MissingError, RefusedError

if TYPE_CHECKING:
    from mlgit.work.outputs import Target
    from mlgit.work.sync import Synced

app = typer.Typer(rich_markup_mode=None)


@app.command()
def push(
    context: typer.Context,
    targets: Targets = None,
    remote: RemoteName = None,
    rev: Rev = None,
    branches: AllBranches = False,
    tags: AllTags = False,
    commits: Everything = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Upload tracked data to a remote."""
    from mlgit.work import sync

    session = session_of(context)
    repo, started = session.repo, time.monotonic()
    chosen = _targets(session, targets, rev, branches=branches, tags=tags, commits=commits)
    groups = sync.group(repo.workspace, chosen, remote)
    if dry_run:
        names = {one.below or one.tracked.path: name for name, members in groups.items() for one in members}
        render.plan(session, (f"push to {name} what it lacks of {session.shown(path)}" for path, name in names.items()))
        return
    for name in groups:
        _confirm(session, name, yes)
    with repo.workspace.using_cache("push"), bar(session, "pushing") as progress:
        done = sync.push(repo.workspace, chosen, remote, progress)
    _summary(session, "pushed", "to", done, started)


def _confirm(session: Session, name: str, yes: bool) -> None:
    """Ask once before data goes to a place that a commit named rather than this user."""
    from mlgit.model.secret import redact

    remote = session.repo.config.pick(name)
    url = remote.url
    if remote.own or session.repo.workspace.trust.has(url):
        return
    if not yes:
        question = f"push to {name} at {redact(url)}, which the repository's configuration names?"
        if not session.ask or not typer.confirm(question, err=True):
            raise RefusedError(
                f"not pushed: remote {name} is at {redact(url)}, named by a commit and never used from here",
                hint="if that is the right place: `mlgit push --yes`",
            )
    session.repo.workspace.trust.add(url)


@app.command()
def fetch(
    context: typer.Context,
    targets: Targets = None,
    remote: RemoteName = None,
    rev: Rev = None,
    branches: AllBranches = False,
    tags: AllTags = False,
    commits: Everything = False,
    dry_run: DryRun = False,
) -> None:
    """Download tracked data into the cache only."""
    session = session_of(context)
    chosen = _targets(session, targets, rev, branches=branches, tags=tags, commits=commits)
    if dry_run:
        render.plan(session, _foresee(session, chosen, remote))
        return
    _fetch(session, chosen, remote)


@app.command()
def pull(
    context: typer.Context,
    targets: Targets = None,
    remote: RemoteName = None,
    rev: Rev = None,
    branches: AllBranches = False,
    tags: AllTags = False,
    commits: Everything = False,
    force: Force = False,
    dry_run: DryRun = False,
) -> None:
    """Download tracked data and put it into the working tree."""
    session = session_of(context)
    chosen = _targets(session, targets, rev, branches=branches, tags=tags, commits=commits)
    if dry_run:
        lines = [*_foresee(session, chosen, remote)]
        if lines:
            render.plan(session, [*lines, "then put what came into the working tree"])
            return
    else:
        try:
            _fetch(session, chosen, remote)
        except MissingError:
            place(session, session.paths(targets or []), force=force, rev=rev, complete=True)
            raise
    place(session, session.paths(targets or []), force=force, rev=rev, dry_run=dry_run)


def pull_all(session: Session, remote: str | None) -> None:
    """`pull` without options, for `clone`."""
    _fetch(session, session.repo.targets([]), remote)
    place(session, [], force=False)


def _foresee(session: Session, chosen: list[Target], remote: str | None) -> Iterator[str]:
    """What a fetch would ask which remote for."""
    from mlgit.work import sync

    wanted = [one for one in sync.missing(session.repo.workspace, chosen) if one.tracked.push]
    for name, members in (sync.group(session.repo.workspace, wanted, remote) if wanted else {}).items():
        yield from (f"fetch {session.shown(one.below or one.tracked.path)} from {name}" for one in members)


def _fetch(session: Session, chosen: list[Target], remote: str | None) -> None:
    from mlgit.work import sync

    repo, started = session.repo, time.monotonic()
    if remote is not None:
        repo.config.pick(remote)  # a wrong name is wrong also where nothing is to be fetched
    if not any(one.tracked.content for one in chosen):
        render.say(session, "nothing is tracked here; nothing to fetch")
        return
    wanted = [one for one in sync.missing(repo.workspace, chosen) if one.tracked.push]
    if not wanted:
        render.say(session, "the cache has everything already")
        return
    total = sum(one.tracked.content.size for one in wanted if one.tracked.content and one.below is None) or None
    with repo.workspace.using_cache("fetch"), bar(session, "fetching", total) as progress:
        done = sync.fetch(repo.workspace, wanted, remote, progress)
    _summary(session, "fetched", "from", done, started)


def _targets(
    session: Session, targets: list[str] | None, rev: str | None, *, branches: bool, tags: bool, commits: bool
) -> list[Target]:
    """What to move: of the working tree or `rev`, and of the commits asked for besides."""
    repo = session.repo
    paths = session.paths(targets or [])
    chosen = repo.targets(paths, repo.snapshot(rev) if rev else None)
    if branches or tags or commits:
        for commit in repo.git.commits(branches=branches, tags=tags, every=commits):
            chosen += repo.targets_at(commit, paths)
    return list(dict.fromkeys(chosen))


def _summary(session: Session, verb: str, preposition: str, done: Synced, started: float) -> None:
    from mlgit.model.report import count, format_bytes

    took = time.monotonic() - started
    where = ", ".join(f"{name} ({url})" for name, url in done.remotes.items())
    if not done.objects:
        render.say(session, f"nothing to do: {where} and the cache have the same {count(done.known, 'object')}")
        return
    moved = f"{count(done.objects, 'object')}, {format_bytes(done.size)}"
    render.say(session, f"{verb} {moved} {preposition} {where} in {took:.1f} s")
