"""Commands that write and read stage files: `stage`, `dag`, `freeze`, `unfreeze`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from mlgit.cli import render, words
from mlgit.cli.options import DryRun, Json, Markdown
from mlgit.cli.session import Session, session_of
from mlgit.cli.stage_files import offer
from mlgit.errors import MlgitError, UsageError

if TYPE_CHECKING:
    from mlgit.pipeline.dag import Fact, State

app = typer.Typer(rich_markup_mode=None)
stage = typer.Typer(rich_markup_mode=None, help="Add, list and show stages.", no_args_is_help=True)
app.add_typer(stage, name="stage")

Paths = list[str] | None
_TERMINAL: Final[dict[State, str]] = {"up to date": "32", "changed": "33", "frozen": "34", "never run": "2"}
Stages = Annotated[list[str], typer.Argument(help="Names or addresses of stages.", autocompletion=words.stages)]


@stage.command(context_settings={"allow_interspersed_args": False})
def add(
    context: typer.Context,
    command: Annotated[list[str], typer.Argument(help="The command: one quoted text, or words.")],
    name: Annotated[str, typer.Option("--name", "-n", metavar="NAME", help="Name of the stage.")],
    deps: Annotated[Paths, typer.Option("--deps", "-d", metavar="PATH", help="A file or folder it reads.")] = None,
    params: Annotated[
        Paths,
        typer.Option("--params", "-p", metavar="[FILE:]KEY", help="A parameter it reads, of params.yaml if no FILE."),
    ] = None,
    outs: Annotated[Paths, typer.Option("--outs", "-o", metavar="PATH", help="A file or folder it writes.")] = None,
    outs_no_cache: Annotated[
        Paths, typer.Option("--outs-no-cache", "-O", metavar="PATH", help="An output kept in Git.")
    ] = None,
    metrics: Annotated[Paths, typer.Option("--metrics", "-m", metavar="PATH", help="A metrics file, cached.")] = None,
    metrics_no_cache: Annotated[
        Paths, typer.Option("--metrics-no-cache", "-M", metavar="PATH", help="A metrics file in Git.")
    ] = None,
    plots: Annotated[Paths, typer.Option("--plots", metavar="PATH", help="A plots file, cached.")] = None,
    plots_no_cache: Annotated[
        Paths, typer.Option("--plots-no-cache", metavar="PATH", help="A plots file in Git.")
    ] = None,
    wdir: Annotated[str | None, typer.Option("--wdir", "-w", metavar="DIR", help="Folder the command runs in.")] = None,
    desc: Annotated[str | None, typer.Option("--desc", metavar="TEXT", help="A description.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Append a stage to mlgit.yaml, which keeps its comments."""
    import shlex

    from mlgit.model import stage as stages
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
    entry = {key: item for key, item in value.items() if item}
    made = session.repo.pipeline.compose(name, entry, session.here.child(stages.NAME))
    if dry_run:
        text = dump_yaml({"stages": {name: entry}})
        render.plan(session, [f"append to {session.shown(made.file)}:", *text.splitlines()])
        return
    written = session.repo.pipeline.add(made, entry if "${" in str(entry) else None)
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


@stage.command()
def show(
    context: typer.Context,
    target: Annotated[str, typer.Argument(metavar="NAME", help="Name or address.", autocompletion=words.stages)],
    json: Json = False,
) -> None:
    """Show one stage in full, its templates filled in."""
    from mlgit.ops.inspect import stage as showing

    session = session_of(context)
    pipeline = session.repo.pipeline
    found = [pipeline.project.stages[address] for address in pipeline.find([target], session.here)]
    if len(found) > 1:
        listed = ", ".join(one.address for one in found)
        raise UsageError(f"{target!r} names {len(found)} stages", hint=f"name one of them: {listed}")
    render.out(showing.to_json(found[0]) if json else render.printable(showing.to_text(found[0])))


@app.command()
def dag(
    context: typer.Context,
    targets: Annotated[
        list[str] | None,
        typer.Argument(help="These stages and what they need; all if none.", autocompletion=words.stages),
    ] = None,
    outs: Annotated[bool, typer.Option("--outs", help="Outputs and tracked data instead of stages.")] = False,
    status: Annotated[
        bool | None,
        typer.Option(
            "--status/--no-status",
            help="Say which stages are up to date; a tree does on a terminal, --md, --html and --json do by default.",
        ),
    ] = None,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print a Mermaid flow chart.")] = False,
    dot: Annotated[bool, typer.Option("--dot", help="Print Graphviz DOT.")] = False,
    html: Annotated[bool, typer.Option("--html", help="Print one HTML page.")] = False,
    out: Annotated[str, typer.Option("--out", "-o", metavar="FILE", help="Write it to this file.")] = "",
    json: Json = False,
    md: Markdown = False,
) -> None:
    """Show how stages depend on each other."""
    session = session_of(context)
    forms = {"mermaid": mermaid, "dot": dot, "html": html, "json": json, "md": md}
    wanted = [form for form, chosen in forms.items() if chosen]
    if len(wanted) > 1:
        raise UsageError(f"{' and '.join(f'--{form}' for form in wanted)} exclude each other", hint="choose one")
    pipeline = session.repo.pipeline
    named = pipeline.find(targets or [], session.here)
    chosen = pipeline.graph.reach(named, up=True) if named else set(pipeline.graph.order)
    form = wanted[0] if wanted else "tree"
    if not chosen and form in ("tree", "mermaid", "dot", "md"):
        render.say(session, "no stages; add one with `mlgit stage add`")
        return
    _deliver(session, _drawn(session, form, chosen, _facts(session, form, chosen, status), outs), out)


def _facts(session: Session, form: str, chosen: set[str], status: bool | None) -> dict[str, Fact]:
    """What the drawing is to tell of stages; unless `status` insists, it does without what cannot be found out."""
    from mlgit.ops.inspect import facts

    telling = sys.stdout.isatty() if form == "tree" else form in ("md", "html", "json")
    if not (telling if status is None else status):
        return {}
    try:
        return (facts.states_and_runs if form in ("html", "json") else facts.states)(session.repo, chosen)
    except MlgitError as error:
        if status:
            raise
        render.say(session, f"without states: {error.message}")
        return {}


def _drawn(session: Session, form: str, chosen: set[str], facts: dict[str, Fact], outs: bool) -> str:
    from mlgit.pipeline import dag as drawing

    project, graph = session.repo.pipeline.project, session.repo.pipeline.graph
    made = drawing.of_outs(graph, chosen, project.tracked, facts) if outs else drawing.of_stages(graph, chosen, facts)
    if form == "html":
        from mlgit.pipeline.dagpage import page

        return page(made, project.stages, session.repo.root.name)
    if form == "json":
        return drawing.to_json(made, project.stages)
    if form == "tree":
        return drawing.tree(made, _painted if session.color else None)
    if form == "mermaid":
        return drawing.mermaid(made, rich=bool(facts))
    return drawing.dot(made) if form == "dot" else drawing.markdown(made)


def _painted(text: str, state: State) -> str:
    return f"\x1b[{_TERMINAL[state]}m{text}\x1b[0m"


def _deliver(session: Session, text: str, target: str) -> None:
    """Print `text`, or write it to the file that the user named."""
    if not target:
        render.out(text)
        return
    from mlgit.fs import atomic

    path = session.cwd / target
    atomic.write_bytes(path, (text if text.endswith("\n") else f"{text}\n").encode(errors="backslashreplace"))
    render.say(session, f"wrote {path}")


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
