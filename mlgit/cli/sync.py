"""Commands that move objects between the cache and remotes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from mlgit.cli import render
from mlgit.cli.data import place
from mlgit.cli.options import AllBranches, AllTags, DryRun, Everything, Force, RemoteName, Rev, Targets, Yes
from mlgit.cli.progress import bar
from mlgit.cli.session import Session, session_of
from mlgit.errors import MissingError, RefusedError

if TYPE_CHECKING:
    from mlgit.model.relpath import RelPath
    from mlgit.pipeline.runshare import Declared, Shared, Sharing
    from mlgit.work.outputs import Target

app = typer.Typer(rich_markup_mode=None)


RunCache = Annotated[
    bool, typer.Option("--run-cache", help="Also all other records of stage runs, and what those runs produced.")
]


@app.command()
def push(
    context: typer.Context,
    targets: Targets = None,
    remote: RemoteName = None,
    rev: Rev = None,
    branches: AllBranches = False,
    tags: AllTags = False,
    commits: Everything = False,
    run_cache: RunCache = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Upload tracked data to a remote."""
    session = session_of(context)
    wanted = _Wanted(session, targets or [], rev, branches=branches, tags=tags, commits=commits)
    sharing = wanted.sharing(remote, run_cache)
    chosen = [one for one in wanted.targets if one.tracked.push]
    if (targets or not chosen) and len(chosen) < len(wanted.targets):
        paths = ", ".join(session.shown(_path(one)) for one in wanted.targets if not one.tracked.push)
        render.say(session, f"not pushed, as it is set not to be (push: false): {paths}")
        if not (chosen or run_cache):
            return
    if dry_run:
        render.plan(session, _foresee_push(session, chosen, remote, run_cache))
        return
    _push(session, sharing, chosen, yes=yes)


def push_all(session: Session, rev: str | None) -> None:
    """`push` without options, or with `--rev` alone, for the hook before a push."""
    wanted = _Wanted(session, [], rev)
    _push(session, wanted.sharing(None, False), [one for one in wanted.targets if one.tracked.push], yes=False)


def _push(session: Session, sharing: Sharing, chosen: list[Target], *, yes: bool) -> None:
    started = time.monotonic()
    for name in sharing.destinations(chosen):
        confirm(session, name, yes)
    with session.repo.workspace.using_cache("push"), bar(session, "pushing") as progress:
        done = sharing.push(chosen, progress)
    _summary(session, "pushed", "to", done, started)


def _foresee_push(session: Session, chosen: list[Target], remote: str | None, run_cache: bool) -> Iterator[str]:
    from mlgit.work import sync

    groups = sync.group(session.repo.workspace, chosen, remote)
    names = {_path(one): name for name, together in groups.items() for one in together}
    yield from (f"push to {name} what it lacks of {session.shown(path)}" for path, name in names.items())
    if run_cache:
        name = session.repo.config.pick(remote).name
        yield f"push to {name} the run records that it lacks, and what those runs produced"


def confirm(session: Session, name: str, yes: bool) -> None:
    """Ask once before data goes to a place that a commit named rather than this user."""
    from mlgit.model.secret import redact

    remote = session.repo.config.pick(name)
    place = remote.place
    if remote.own or session.repo.workspace.trust.has(place):
        return
    if not yes:
        question = f"push to {name} at {redact(place)}, which the repository's configuration names?"
        if not session.ask or not typer.confirm(question, err=True):
            raise RefusedError(
                f"not pushed: remote {name} is at {redact(place)}, named by a commit and never used from here",
                hint="if that is the right place: `mlgit push --yes`",
            )
    session.repo.workspace.trust.add(place)


@app.command()
def fetch(
    context: typer.Context,
    targets: Targets = None,
    remote: RemoteName = None,
    rev: Rev = None,
    branches: AllBranches = False,
    tags: AllTags = False,
    commits: Everything = False,
    run_cache: RunCache = False,
    dry_run: DryRun = False,
) -> None:
    """Download tracked data into the cache only."""
    session = session_of(context)
    wanted = _Wanted(session, targets or [], rev, branches=branches, tags=tags, commits=commits)
    if dry_run:
        render.plan(session, _foresee(session, wanted, remote, run_cache))
        return
    _fetch(session, wanted, remote, run_cache)


@app.command()
def pull(
    context: typer.Context,
    targets: Targets = None,
    remote: RemoteName = None,
    rev: Rev = None,
    branches: AllBranches = False,
    tags: AllTags = False,
    commits: Everything = False,
    run_cache: RunCache = False,
    force: Force = False,
    dry_run: DryRun = False,
) -> None:
    """Download tracked data and put it into the working tree."""
    session = session_of(context)
    wanted = _Wanted(session, targets or [], rev, branches=branches, tags=tags, commits=commits)
    if dry_run:
        lines = [*_foresee(session, wanted, remote, run_cache)]
        if lines:
            render.plan(session, [*lines, "then put what came into the working tree"])
            return
    else:
        try:
            _fetch(session, wanted, remote, run_cache)
        except MissingError:
            place(session, wanted.paths, force=force, rev=rev, complete=True)
            raise
    place(session, wanted.paths, force=force, rev=rev, dry_run=dry_run)


def pull_all(session: Session, remote: str | None) -> None:
    """`pull` without options, for `clone`."""
    _fetch(session, _Wanted(session, [], None), remote)
    place(session, [], force=False)


def _foresee(session: Session, wanted: _Wanted, remote: str | None, run_cache: bool) -> Iterator[str]:
    """What a fetch would ask which remote for."""
    from mlgit.work import sync

    workspace = session.repo.workspace
    lacking, _ = sync.lacking(workspace, wanted.targets)
    for name, together in (sync.group(workspace, lacking, remote) if lacking else {}).items():
        yield from (f"fetch {session.shown(_path(one))} from {name}" for one in together)
    if run_cache:
        name = session.repo.config.pick(remote).name
        yield f"fetch the run records that the cache lacks from {name}, and what those runs produced"


def _fetch(session: Session, wanted: _Wanted, remote: str | None, run_cache: bool = False) -> None:
    from mlgit.work import sync

    repo, started = session.repo, time.monotonic()
    if remote is not None:
        repo.config.pick(remote)  # a wrong name is wrong also where nothing is to be fetched
    if not run_cache and not any(one.tracked.content for one in wanted.targets):
        render.say(session, "nothing is tracked here; nothing to fetch")
        return
    lacking, local = sync.lacking(repo.workspace, wanted.targets)
    if lacking or run_cache:
        total = sum(one.tracked.content.size for one in lacking if one.tracked.content and one.below is None) or None
        with repo.workspace.using_cache("fetch"), bar(session, "fetching", total) as progress:
            done = wanted.sharing(remote, run_cache).fetch(wanted.targets, lacking, progress)
        _summary(session, "fetched", "from", done, started)
    elif not local:
        render.say(session, "the cache has everything already")
    if local and wanted.paths:
        raise _never_pushed(session, local)
    if local and not lacking:
        render.say(session, f"the cache has everything but what is never pushed: {_listed(session, local)}")


def _never_pushed(session: Session, local: list[Target]) -> MissingError:
    stages = sorted({one.tracked.stage for one in local if one.tracked.stage})
    return MissingError(
        f"never pushed (push: false), so no remote has it: {_listed(session, local)}",
        hint=f"make it: `mlgit repro {' '.join(stages)}`",
    )


def _listed(session: Session, targets: list[Target]) -> str:
    return ", ".join(dict.fromkeys(session.shown(_path(one)) for one in targets))


def _path(target: Target) -> RelPath:
    return target.below or target.tracked.path


class _Wanted:
    """What the user asks to move: of the working tree or `rev`, and of the commits asked for besides."""

    def __init__(
        self,
        session: Session,
        targets: list[str],
        rev: str | None,
        *,
        branches: bool = False,
        tags: bool = False,
        commits: bool = False,
    ) -> None:
        self._repo = repo = session.repo
        self.paths = session.paths(targets)
        self._snapshots = [repo.snapshot(rev)]
        chosen = repo.targets(self.paths, self._snapshots[0] if rev else None)
        if branches or tags or commits:
            for commit in repo.git.commits(branches=branches, tags=tags, every=commits):
                chosen += repo.targets_at(commit, self.paths)
                self._snapshots.append(repo.snapshot(commit))
        self.targets = list(dict.fromkeys(chosen))

    def sharing(self, remote: str | None, run_cache: bool) -> Sharing:
        """Moves them, with run records."""
        from mlgit.pipeline.runshare import Sharing

        return Sharing(self._repo.workspace, self._declared, remote, every=run_cache)

    def _declared(self) -> Declared:
        from mlgit.pipeline.runshare import declared

        stages = {one.tracked.stage for one in self.targets if one.tracked.stage} if self.paths else None
        return declared(map(self._repo.project, self._snapshots), stages)


def _summary(session: Session, verb: str, preposition: str, done: Shared, started: float) -> None:
    from mlgit.model.report import count, format_bytes

    took, moved = time.monotonic() - started, done.moved
    where = ", ".join(f"{name} ({url})" for name, url in moved.remotes.items())
    if not (moved.objects or done.records):
        known = f" have the same {count(moved.known, 'object')}" if moved.remotes else " have the same run records"
        render.say(session, f"nothing to do: {where or 'the remote'} and the cache{known}")
        return
    parts = [f"{count(moved.objects, 'object')}, {format_bytes(moved.size)}"] if moved.objects else []
    parts += [count(done.records, "run record")] if done.records else []
    destination = f" {preposition} {where}" if where else ""
    render.say(session, f"{verb} {', '.join(parts)}{destination} in {took:.1f} s")
