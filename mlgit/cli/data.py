"""Commands on tracked data in the working tree."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from mlgit.cli import render, words
from mlgit.cli.options import DryRun, Force, Json, Markdown, Rev, Targets
from mlgit.cli.progress import bar
from mlgit.cli.session import Session, session_of
from mlgit.cli.stage_files import offer
from mlgit.errors import MissingError, UsageError

if TYPE_CHECKING:
    from mlgit.model.relpath import RelPath
    from mlgit.model.report import Report

app = typer.Typer(rich_markup_mode=None)


@app.command()
def add(
    context: typer.Context,
    targets: Annotated[list[str], typer.Argument(help="Files, folders or globs.")],
    desc: Annotated[str | None, typer.Option("--desc", help="A description, kept in the pointer.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Save what symbolic links lead to.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Track files and folders: save them and write their pointers."""
    from mlgit.model.report import count, format_bytes
    from mlgit.work import add as adding

    session = session_of(context)
    repo, started = session.repo, time.monotonic()
    made = adding.plan(repo.workspace, session.paths(targets), repo.tracked())
    if dry_run:
        render.plan(session, made.lines())
        return
    with repo.workspace.writing("add"), bar(session, "adding") as progress:
        done = adding.apply(repo.workspace, made, follow=follow, desc=desc, progress=progress)
    files = sum(content.files if content.files is not None else 1 for content in done.contents.values())
    size = sum(content.size for content in done.contents.values())
    took = time.monotonic() - started
    if not done.changed:
        render.say(session, f"nothing changed ({count(files, 'file')}, {took:.1f} s)")
        return
    render.say(session, f"added {count(files, 'file')}, {format_bytes(size)}, in {took:.1f} s")
    offer(session, done.files)


@app.command()
def status(
    context: typer.Context,
    targets: Annotated[
        list[str] | None,
        typer.Argument(help="Tracked paths, globs, stages or stage files; all if none.", autocompletion=words.targets),
    ] = None,
    environment: Annotated[
        bool,
        typer.Option("--environment", help="Say which stages last ran with another Python, packages or platform."),
    ] = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 1 if anything changed.")] = False,
    json: Json = False,
    md: Markdown = False,
) -> None:
    """Show tracked data that changed and stages to reproduce."""
    from mlgit.ops.inspect.status import status as inspect_status

    session = session_of(context)
    paths, stages = _paths_and_stages(session, targets or [])
    search = session.environment.get("PATH", "") if environment else None
    report = inspect_status(session.repo, paths, stages, search=search)
    render.report(session, report, json=json, md=md, every=session.verbose)
    if report.changed and not (json or md):
        _say_next(session, report)
    if exit_code and report.changed:
        raise typer.Exit(1)


def _say_next(session: Session, report: Report) -> None:
    """Which commands keep, undo or follow what `status` found."""
    from mlgit.model.report import Mark

    data, stages = ({row.mark for row in table.rows} for table in report.tables)
    steps = ["see what changed: `mlgit diff`; keep it: `mlgit add`; undo it: `mlgit checkout`"] * (Mark.CHANGED in data)
    steps += ["put it back: `mlgit checkout`"] * (Mark.REMOVED in data and Mark.CHANGED not in data)
    steps += ["get what is missing: `mlgit pull`"] * (Mark.WARN in data)
    steps += ["run what changed: `mlgit repro`"] * (Mark.CHANGED in stages)
    for step in steps:
        render.say(session, step)


def _paths_and_stages(session: Session, targets: list[str]) -> tuple[list[RelPath], list[str]]:
    """Tell stage names from paths."""
    paths: list[RelPath] = []
    stages: list[str] = []
    for target in targets:
        try:
            stages += session.repo.pipeline.find([target], session.here)
        except UsageError:
            paths += session.paths([target])
    return paths, stages


@app.command()
def diff(
    context: typer.Context,
    base: Annotated[str, typer.Argument(help="The older side.")] = "HEAD",
    head: Annotated[str | None, typer.Argument(help="The newer side; by default the working tree.")] = None,
    targets: Annotated[list[str] | None, typer.Option("--path", help="Only at or below this path.")] = None,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 1 if anything differs.")] = False,
    json: Json = False,
    md: Markdown = False,
) -> None:
    """List tracked files that differ between revisions."""
    from mlgit.ops.inspect.difference import data_diff

    session = session_of(context)
    repo = session.repo
    report = data_diff(repo, repo.snapshot(base), repo.snapshot(head), session.paths(targets or []))
    render.report(session, report, json=json, md=md)
    if exit_code and report.changed:
        raise typer.Exit(1)


@app.command()
def checkout(
    context: typer.Context, targets: Targets = None, force: Force = False, rev: Rev = None, dry_run: DryRun = False
) -> None:
    """Put tracked data into the working tree as pointers and locks say."""
    session = session_of(context)
    place(session, session.paths(targets or []), force=force, rev=rev, dry_run=dry_run)


def place(
    session: Session,
    paths: list[RelPath],
    *,
    force: bool,
    rev: str | None = None,
    dry_run: bool = False,
    complete: bool = False,
) -> None:
    """Check out `paths`, or everything that was ever made; nothing is written before every plan is known to be safe.

    Args:
        complete: leave out what the cache has not got completely.
    """
    from mlgit.model.report import count
    from mlgit.work import sync
    from mlgit.work.checkout import refuse_loss

    repo, started = session.repo, time.monotonic()
    found = repo.targets(paths, repo.snapshot(rev) if rev else None)
    targets = [one for one in found if one.tracked.content]
    for one in found if paths else ():
        if one.tracked.content is None:
            render.say(
                session, f"{session.shown(one.tracked.path)} was never made; run `mlgit repro {one.tracked.stage}`"
            )
    for one in sync.missing(repo.workspace, [one for one in targets if complete or not (one.tracked.push or paths)]):
        targets.remove(one)
        if not one.tracked.push:
            stage = f"; run `mlgit repro {one.tracked.stage}`" if one.tracked.stage else ""
            render.say(session, f"{session.shown(one.tracked.path)} stays where it was made (push: false){stage}")
    with repo.workspace.writing("checkout"), bar(session, "checking out") as progress:
        plans = [
            (one, repo.workspace.plan_checkout(one.tracked.path, one.tracked.content, one.below)) for one in targets
        ]
        if dry_run:
            render.plan(session, (line for _, plan in plans for line in plan.lines()))
            return
        for _, plan in plans if not force else ():
            refuse_loss(plan)
        for one, plan in plans:
            repo.workspace.apply(plan, one.tracked.path, progress)
    changed = sum(bool(plan.folders) for _, plan in plans)
    took = time.monotonic() - started
    render.say(session, f"checked out {count(changed, 'changed path')} of {len(plans)}, in {took:.1f} s")


@app.command()
def move(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="A tracked file or folder.")],
    target: Annotated[str, typer.Argument(help="Its new name, or a folder to move it into.")],
    dry_run: DryRun = False,
) -> None:
    """Rename tracked data together with its pointer."""
    from mlgit.work import relocate

    session = session_of(context)
    repo = session.repo
    old, new = relocate.pointed(session.path(source), repo.tracked()).path, session.path(target)
    if target.endswith("/"):
        new = new.child(old.name)
    if dry_run:
        there = relocate.destination(repo.workspace, old, new, repo.tracked())
        render.plan(session, [f"move {session.shown(old)} and its pointer to {session.shown(there)}"])
        return
    with repo.workspace.writing("move"):
        files = relocate.move(repo.workspace, old, new, repo.tracked())
    render.say(session, f"moved {source} to {target}")
    offer(session, files)


@app.command()
def remove(
    context: typer.Context,
    targets: Annotated[list[str], typer.Argument(help="Tracked paths, or their pointers.")],
    data: Annotated[bool, typer.Option("--data", help="Delete the files from the working tree too.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Stop tracking data."""
    from mlgit.work import relocate

    session = session_of(context)
    repo = session.repo
    paths = session.paths(targets)
    if dry_run:
        found = [relocate.removable(repo.workspace, path, repo.tracked(), data=data).path for path in paths]
        ending = " and delete it" if data else ""
        render.plan(session, (f"stop tracking {session.shown(path)}{ending}" for path in found))
        return
    files = []
    with repo.workspace.writing("remove"):
        for path in paths:
            files += relocate.remove(repo.workspace, path, repo.tracked(), data=data)
    kept = "its bytes stay in the cache until `mlgit gc`" if data else "the files stay where they are"
    render.say(session, f"no longer tracked: {', '.join(targets)}; {kept}")
    offer(session, files)


@app.command()
def unprotect(context: typer.Context, targets: Targets = None, dry_run: DryRun = False) -> None:
    """Make linked files writable copies of their own."""
    from mlgit.model.report import count

    session = session_of(context)
    repo = session.repo
    chosen = [one.below or one.tracked.path for one in repo.targets(session.paths(targets or []))]
    if dry_run:
        render.plan(session, (f"make the files of {session.shown(path)} writable" for path in chosen))
        return
    done = 0
    with repo.workspace.writing("unprotect"):
        for path in chosen:
            content = repo.workspace.identify(path)
            if content is not None:
                repo.workspace.unprotect(path, content)
                done += 1
    render.say(
        session, f"the files of {count(done, 'tracked path')} are yours to edit; `mlgit add` saves what you change"
    )


@app.command()
def ls(
    context: typer.Context,
    targets: Targets = None,
    rev: Rev = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-R", help="List every file.")] = False,
    json: Json = False,
    md: Markdown = False,
) -> None:
    """List tracked data, at any revision."""
    from mlgit.ops.inspect.listing import list_paths

    session = session_of(context)
    report = list_paths(session.repo, session.repo.snapshot(rev), session.paths(targets or []), recursive=recursive)
    render.report(session, report, json=json, md=md)


@app.command()
def cat(
    context: typer.Context,
    target: Annotated[str, typer.Argument(help="A tracked file, or any file that Git knows.")],
    rev: Rev = None,
) -> None:
    """Print a tracked file, at any revision."""
    session = session_of(context)
    path = session.path(target)
    snapshot = session.repo.snapshot(rev)
    data = session.repo.read(path, snapshot)
    if data is None:
        place = snapshot.name if snapshot.rev else "the working tree"
        raise MissingError(
            f"{target} is not a file in {place}", hint="see what is: `mlgit ls -R`; a folder has no text"
        )
    render.raw(data)
