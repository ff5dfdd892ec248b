"""Commands that look after the cache: `du`, `gc`, `fsck`."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from mlgit.cli import render
from mlgit.cli.options import AllBranches, AllTags, DryRun, Everything, Json, Markdown, RemoteName, Yes
from mlgit.cli.progress import bar
from mlgit.cli.session import session_of
from mlgit.errors import RefusedError, UsageError

app = typer.Typer(rich_markup_mode=None)
_SHOWN: Final = 50


@app.command()
def du(
    context: typer.Context,
    revs: Annotated[list[str] | None, typer.Option("--rev", help="A commit to count; may be given often.")] = None,
    json: Json = False,
    md: Markdown = False,
) -> None:
    """Show how large tracked data is, and how much is shared."""
    from mlgit.ops.inspect.usage import usage

    repo = session_of(context).repo
    snapshots = [repo.snapshot(rev) for rev in revs] if revs else [repo.snapshot()]
    render.report(session_of(context), usage(repo, snapshots), json=json, md=md)


@app.command()
def gc(
    context: typer.Context,
    workspace: Annotated[bool, typer.Option("--workspace", "-w", help="Keep what the working tree tracks.")] = False,
    branches: AllBranches = False,
    tags: AllTags = False,
    commits: Everything = False,
    experiments: Annotated[
        bool, typer.Option("--experiments", "--all-experiments", "-E", help="Also what experiments track.")
    ] = False,
    registry: Annotated[bool, typer.Option("--registry", help="Also what registered models' tags track.")] = False,
    date: Annotated[
        str | None, typer.Option("--date", metavar="DATE", help="Also what commits on or after this day track.")
    ] = None,
    num: Annotated[
        int, typer.Option("--num", "-n", metavar="N", min=0, help="Also what the last N commits of HEAD track.")
    ] = 0,
    revs: Annotated[
        list[str] | None, typer.Option("--rev", help="Also what this commit tracks; may be given often.")
    ] = None,
    grace: Annotated[float, typer.Option("--grace", help="Leave files younger than this many hours.")] = 2.0,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
    md: Markdown = False,
) -> None:
    """Delete cached data that nothing kept names."""
    from mlgit.ops.upkeep import collect as collecting

    session = session_of(context)
    repo = session.repo
    since = None if date is None else collecting.parse_moment(date)
    keep = collecting.Keep(branches, tags, commits, experiments, registry, since, num, tuple(revs or ()))
    if not (workspace or keep.history):
        raise UsageError(
            "gc needs to know what to keep",
            hint="-w this working tree, -a all branches, -T all tags, -A all commits; more in `mlgit gc --help`",
        )
    if not grace >= 0:  # NaN too: nothing is ever younger than that
        raise UsageError(f"--grace must not be negative: {grace}", hint="give hours, such as 2")
    with repo.workspace.writing("gc", alone_in_cache=True):
        sweep = collecting.plan_collection(repo, keep, grace=grace * 3600)
        what = collecting.summary(sweep)
        ready = bool(sweep.dead or sweep.delete or sweep.rewrite or sweep.records) and not dry_run
        machine = json or md
        if not machine:
            render.report(session, collecting.report(sweep, keep, brief=True))
        if ready:
            if not yes and not (session.ask and typer.confirm(f"delete {what} that nothing kept names?", err=True)):
                raise RefusedError(f"not deleted: {what}", hint="look with --dry-run, then agree with --yes")
            collecting.collect(repo, sweep)
        elif not dry_run:
            collecting.clear(repo)
    if machine:
        render.report(session, collecting.report(sweep, keep, deleted=ready), json=json, md=md)
    if dry_run:
        render.say(session, "nothing was changed (--dry-run)")
    else:
        render.say(session, f"deleted {what}" if ready else "nothing to delete")


@app.command()
def fsck(
    context: typer.Context,
    full: Annotated[bool, typer.Option("--full", help="Compare every byte with its id.")] = False,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Set damaged objects aside and bring them back from elsewhere."),
    ] = False,
    rebuild_index: Annotated[
        bool, typer.Option("--rebuild-index", help="Write the index anew from packs and files first.")
    ] = False,
    remote: RemoteName = None,
    yes: Yes = False,
    json: Json = False,
    md: Markdown = False,
) -> None:
    """Check the cache or a remote for missing and damaged objects."""
    from mlgit.ops.upkeep.examine import examine

    session = session_of(context)
    repo = session.repo
    shown = None if json or md else _SHOWN
    if repair and remote and not yes:
        name = repo.config.pick(remote).name
        if not session.ask or not typer.confirm(f"take away what is damaged at {name} and send it again?", err=True):
            raise RefusedError(
                f"not repaired: {name}", hint=f"look with `mlgit fsck -r {name} --full`, then agree with --yes"
            )
    with (
        repo.workspace.writing("fsck", alone_in_cache=True)
        if repair or rebuild_index
        else repo.workspace.using_cache("fsck"),
        bar(session, "checking") as progress,
    ):
        report = examine(
            repo,
            full=full or repair,
            repair=repair,
            rebuild=rebuild_index,
            remote=remote,
            shown=shown,
            progress=progress,
        )
    render.report(session, report, json=json, md=md)
    if report.exit_code:
        raise typer.Exit(report.exit_code)
