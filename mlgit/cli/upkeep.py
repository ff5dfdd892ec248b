"""Commands that look after the cache: `du`, `gc`, `fsck`."""

from __future__ import annotations

from typing import Annotated

import typer

from mlgit.cli import render
from mlgit.cli.options import AllBranches, AllTags, DryRun, Everything, Json, Markdown, RemoteName, Yes
from mlgit.cli.progress import bar
from mlgit.cli.session import session_of
from mlgit.errors import RefusedError, UsageError

app = typer.Typer(rich_markup_mode=None)
_SHOWN = 20


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
    grace: Annotated[float, typer.Option("--grace", help="Leave files younger than this many hours.")] = 2.0,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Delete cached data that nothing kept names."""
    from mlgit.model.report import count, format_bytes
    from mlgit.ops.upkeep.collect import Keep, collect, plan_collection

    session = session_of(context)
    repo = session.repo
    if not (workspace or branches or tags or commits):
        raise UsageError(
            "gc needs to know what to keep", hint="-w this working tree, -a all branches, -T all tags, -A all commits"
        )
    if not grace >= 0:  # NaN too: nothing is ever younger than that
        raise UsageError(f"--grace must not be negative: {grace}", hint="give hours, such as 2")
    with repo.workspace.writing("gc", alone_in_cache=True):
        sweep = plan_collection(repo, Keep(branches, tags, commits), grace=grace * 3600)
        young = f"; {count(sweep.young, 'object')} younger than {grace:g} h left alone" if sweep.young else ""
        if not sweep.dead and not sweep.delete:
            render.say(session, f"nothing to delete{young}")
            return
        what = f"{count(len(sweep.dead), 'object')}, {format_bytes(sweep.freed)}"
        if dry_run:
            shown = [f"delete {oid} ({format_bytes(size)})" for oid, size in list(sweep.dead.items())[:_SHOWN]]
            more = len(sweep.dead) - len(shown)
            render.plan(session, [*shown, *([f"and {more} more"] if more else []), f"{what} in all{young}"])
            return
        if not yes and not (session.ask and typer.confirm(f"delete {what} that nothing kept names?", err=True)):
            raise RefusedError(f"not deleted: {what}", hint="look with --dry-run, then agree with --yes")
        collect(repo, sweep)
    render.say(session, f"deleted {what}{young}")


@app.command()
def fsck(
    context: typer.Context,
    full: Annotated[bool, typer.Option("--full", help="Compare every byte with its id.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Set damaged objects aside and fetch them from a remote that has them.")
    ] = False,
    remote: RemoteName = None,
    json: Json = False,
    md: Markdown = False,
) -> None:
    """Check the cache or a remote for missing and damaged objects."""
    from mlgit.ops.upkeep.examine import examine

    session = session_of(context)
    repo = session.repo
    if repair and remote:
        raise UsageError("--repair mends the cache, not a remote", hint="push again from a clone that has the data")
    with (
        repo.workspace.writing("fsck", alone_in_cache=True) if repair else repo.workspace.using_cache("fsck"),
        bar(session, "checking") as progress,
    ):
        report = examine(repo, full=full or repair, repair=repair, remote=remote, progress=progress)
    render.report(session, report, json=json, md=md)
    if report.exit_code:
        raise typer.Exit(report.exit_code)
