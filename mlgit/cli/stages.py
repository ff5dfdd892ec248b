"""Commands that write and read stage files: `stage`, `dag`, `freeze`, `unfreeze`."""

from __future__ import annotations

from typing import Annotated

import typer

from mlgit.cli import render, words
from mlgit.cli.options import DryRun, Json, Markdown
from mlgit.cli.session import Session, session_of
from mlgit.cli.stage_files import offer
from mlgit.errors import UsageError

app = typer.Typer(rich_markup_mode=None)
stage = typer.Typer(rich_markup_mode=None, help="Add and list stages.", no_args_is_help=True)
app.add_typer(stage, name="stage")

Paths = list[str] | None
Stages = Annotated[list[str], typer.Argument(help="Names or addresses of stages.", autocompletion=words.stages)]


@stage.command(context_settings={"allow_interspersed_args": False})
def add(
    context: typer.Context,
    command: Annotated[list[str], typer.Argument(help="The command: one quoted text, or words.")],
    name: Annotated[str, typer.Option("--name", "-n", help="Name of the stage.")],
    deps: Annotated[Paths, typer.Option("--deps", "-d", help="A file or folder it reads.")] = None,
    params: Annotated[
        Paths, typer.Option("--params", "-p", help="[FILE:]KEY it reads; params.yaml if no file.")
    ] = None,
    outs: Annotated[Paths, typer.Option("--outs", "-o", help="A file or folder it writes.")] = None,
    outs_no_cache: Annotated[Paths, typer.Option("--outs-no-cache", "-O", help="An output kept in Git.")] = None,
    metrics: Annotated[Paths, typer.Option("--metrics", "-m", help="A metrics file, cached.")] = None,
    metrics_no_cache: Annotated[Paths, typer.Option("--metrics-no-cache", "-M", help="A metrics file in Git.")] = None,
    plots: Annotated[Paths, typer.Option("--plots", help="A plots file, cached.")] = None,
    plots_no_cache: Annotated[Paths, typer.Option("--plots-no-cache", help="A plots file in Git.")] = None,
    wdir: Annotated[str | None, typer.Option("--wdir", "-w", help="Folder the command runs in.")] = None,
    desc: Annotated[str | None, typer.Option("--desc", help="A description.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Append a stage to mlgit.yaml, which keeps its comments."""
    import shlex

    from mlgit.model import stage as stages
    from mlgit.model import stagefile
    from mlgit.model.text import dump_yaml

    session = session_of(context)
    folder = session.here.child(wdir) if wdir else None
    value = {
        "cmd": command[0] if len(command) == 1 else shlex.join(command),
        "wdir": wdir,
        "deps": deps,
        "params": [_param(text) for text in params] if params else None,
        "outs": [*(outs or []), *_in_git(outs_no_cache)],
        "metrics": [*(metrics or []), *_in_git(metrics_no_cache)],
        "plots": [*(plots or []), *_in_git(plots_no_cache)],
        "desc": desc,
    }
    text = dump_yaml({"stages": {name: {key: item for key, item in value.items() if item}}})
    made = stagefile.decode(text, session.here.child(stages.NAME)).stages[name]
    if dry_run:
        render.plan(session, [f"append to {session.shown(made.file)}:", *text.splitlines()])
        return
    written = session.repo.pipeline.add(made)
    render.say(session, f"added stage {made.address}" + (f", which runs in {folder}" if folder else ""))
    offer(session, [written])


def _param(text: str) -> object:
    file, colon, keys = text.partition(":")
    return {file: keys.split(",")} if colon else text


def _in_git(paths: Paths) -> list[object]:
    return [{path: {"cache": False}} for path in paths or []]


@stage.command("list")
def list_stages(context: typer.Context, json: Json = False, md: Markdown = False) -> None:
    """List all stages in the order they run."""
    from mlgit.model.report import Report, Row, Table

    session = session_of(context)
    graph = session.repo.pipeline.graph
    rows = tuple(
        Row((name, ", ".join(out.path for out in graph.stages[name].outs) or None, graph.stages[name].desc))
        for name in graph.order
    )
    table = Table("stages", "Stages", ("stage", "outs", "desc"), rows)
    notes = () if rows else ("no stages; add one with `mlgit stage add`",)
    render.report(session, Report("stages", "Stages", (table,), notes=notes), json=json, md=md)


@app.command()
def dag(
    context: typer.Context,
    targets: Annotated[
        list[str] | None,
        typer.Argument(help="These stages and what they need; all if none.", autocompletion=words.stages),
    ] = None,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print a Mermaid flow chart.")] = False,
    dot: Annotated[bool, typer.Option("--dot", help="Print Graphviz DOT.")] = False,
    md: Markdown = False,
) -> None:
    """Show how stages depend on each other."""
    from mlgit.pipeline import dag as drawing

    session = session_of(context)
    if mermaid + dot + md > 1:
        raise UsageError("--mermaid, --dot and --md exclude each other", hint="choose one")
    pipeline = session.repo.pipeline
    named = pipeline.find(targets or [], session.here)
    chosen = pipeline.graph.reach(named, up=True) if named else set(pipeline.graph.order)
    if not chosen:
        render.say(session, "no stages; add one with `mlgit stage add`")
        return
    draw = drawing.mermaid if mermaid else drawing.dot if dot else drawing.markdown if md else drawing.tree
    render.out(draw(pipeline.graph, chosen))


@app.command()
def freeze(context: typer.Context, targets: Stages, dry_run: DryRun = False) -> None:
    """Keep stages from being reproduced."""
    _set_frozen(session_of(context), targets, frozen=True, dry_run=dry_run)


@app.command()
def unfreeze(context: typer.Context, targets: Stages, dry_run: DryRun = False) -> None:
    """Let stages be reproduced again."""
    _set_frozen(session_of(context), targets, frozen=False, dry_run=dry_run)


def _set_frozen(session: Session, targets: list[str], *, frozen: bool, dry_run: bool) -> None:
    pipeline = session.repo.pipeline
    found = pipeline.find(targets, session.here)
    if dry_run:
        render.plan(session, (f"{'freeze' if frozen else 'unfreeze'} {address}" for address in found))
        return
    written = [pipeline.freeze(address, frozen) for address in found]
    render.say(session, f"{'froze' if frozen else 'unfroze'} {', '.join(found)}")
    offer(session, written)
