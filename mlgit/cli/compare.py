"""Commands that compare revisions: `params`, `metrics`, `plots`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlgit.cli import render
from mlgit.cli.options import Json, Markdown
from mlgit.cli.session import Session, session_of
from mlgit.errors import UsageError

if TYPE_CHECKING:
    from mlgit.ops.compare.plots import Drawing
    from mlgit.work.snapshot import Snapshot

app = typer.Typer(rich_markup_mode=None)
params = typer.Typer(rich_markup_mode=None, help="Compare parameters.", no_args_is_help=True)
metrics = typer.Typer(rich_markup_mode=None, help="Show and compare metrics.", no_args_is_help=True)
plots = typer.Typer(rich_markup_mode=None, help="Show and compare plots.", no_args_is_help=True)
app.add_typer(params, name="params")
app.add_typer(metrics, name="metrics")
app.add_typer(plots, name="plots")

Base = Annotated[str, typer.Argument(help="The older side.")]
Head = Annotated[str | None, typer.Argument(help="The newer side; by default the working tree.")]
Files = Annotated[list[str] | None, typer.Option("--targets", help="Only this file or folder; may be given often.")]
Every = Annotated[bool, typer.Option("--all", help="Show unchanged rows too.")]
Revs = Annotated[list[str] | None, typer.Argument(help="Revisions; by default the working tree.")]
Output = Annotated[str, typer.Option("--out", "-o", help="File or folder to write.")]
Kind = Annotated[str, typer.Option("--format", help="html (one page), png or svg (a file for each plot).")]


@params.command("diff")
def params_diff(
    context: typer.Context,
    base: Base = "HEAD",
    head: Head = None,
    files: Files = None,
    every: Every = False,
    json: Json = False,
    md: Markdown = False,
) -> None:
    """Compare parameters between two revisions."""
    from mlgit.ops.compare.values import params_diff as compare

    session = session_of(context)
    report = compare(session.repo, *_sides(session, base, head), targets=session.paths(files or []))
    render.report(session, report, json=json, md=md, every=every)


@metrics.command("diff")
def metrics_diff(
    context: typer.Context,
    base: Base = "HEAD",
    head: Head = None,
    files: Files = None,
    every: Every = False,
    json: Json = False,
    md: Markdown = False,
) -> None:
    """Compare metrics between two revisions."""
    from mlgit.model.gate import leaves
    from mlgit.ops.compare.values import metrics_diff as compare
    from mlgit.ops.gates.rules import load_gates

    session = session_of(context)
    older, newer = _sides(session, base, head)
    rules = list(leaves(load_gates(session.repo, newer).rules))
    report = compare(session.repo, older, newer, rules=rules, targets=session.paths(files or []))
    render.report(session, report, json=json, md=md, every=every)


@metrics.command("show")
def metrics_show(
    context: typer.Context, revs: Revs = None, files: Files = None, json: Json = False, md: Markdown = False
) -> None:
    """Show metrics, one column for each revision."""
    from mlgit.ops.compare.values import metrics_show as show

    session = session_of(context)
    sides = [session.repo.snapshot(rev) for rev in revs] if revs else [session.repo.snapshot()]
    render.report(session, show(session.repo, sides, targets=session.paths(files or [])), json=json, md=md)


@plots.command("diff")
def plots_diff(
    context: typer.Context,
    base: Base = "HEAD",
    head: Head = None,
    files: Files = None,
    out: Output = "",
    kind: Kind = "html",
    json: Json = False,
    md: Markdown = False,
) -> None:
    """Draw the plots of two revisions together."""
    from mlgit.ops.compare.plots import plots_diff as compare

    session = session_of(context)
    older, newer = _sides(session, base, head)
    drawing = compare(session.repo, older, newer, targets=session.paths(files or []))
    _write(session, drawing, out, kind, json=json, md=md)


@plots.command("show")
def plots_show(
    context: typer.Context,
    revs: Revs = None,
    files: Files = None,
    out: Output = "",
    kind: Kind = "html",
    json: Json = False,
    md: Markdown = False,
) -> None:
    """Draw plots, all revisions together."""
    from mlgit.ops.compare.plots import plots_show as show

    session = session_of(context)
    sides = [session.repo.snapshot(rev) for rev in revs] if revs else [session.repo.snapshot()]
    _write(session, show(session.repo, sides, targets=session.paths(files or [])), out, kind, json=json, md=md)


def _sides(session: Session, base: str, head: str | None) -> tuple[Snapshot, Snapshot]:
    return session.repo.snapshot(base), session.repo.snapshot(head)


def _write(session: Session, drawing: Drawing, out: str, kind: str, *, json: bool, md: bool) -> None:
    """Print the report, or write the page or the pictures."""
    if json or md:
        render.report(session, drawing.report, json=json, md=md)
        return
    from mlgit.ops.compare.page import export, render_html

    if kind not in ("html", "png", "svg"):
        raise UsageError(f"no such format: {kind!r}", hint="html, png or svg")
    render.report(session, drawing.report)
    if not drawing.figures:
        return
    target = session.cwd / (out or ("plots.html" if kind == "html" else "plots"))
    if kind == "html":
        _save(target, render_html(drawing).encode())
    else:
        for name, data in export(drawing, "png" if kind == "png" else "svg").items():
            _save(target / name, data)
    render.say(session, f"wrote {target}")


def _save(path: Path, data: bytes) -> None:
    from mlgit.fs import atomic

    with atomic.disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(path, data)
