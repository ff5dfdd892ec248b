"""`gate`: the verdict on metrics, for people and for CI."""

from __future__ import annotations

from typing import Annotated

import typer

from mlgit.cli import render
from mlgit.cli.options import Json, Markdown
from mlgit.cli.session import session_of

app = typer.Typer(rich_markup_mode=None)


@app.command()
def gate(
    context: typer.Context,
    base: Annotated[
        str | None, typer.Option("--base", help="Compare with this commit; by default the merge base.")
    ] = None,
    head: Annotated[str | None, typer.Option("--head", help="Judge this commit; by default the working tree.")] = None,
    json: Json = False,
    md: Markdown = False,
) -> None:
    """Judge metrics by the gates in mlgit.yaml; exit 1 if one fails."""
    from mlgit.ops.gates.evaluate import default_base, evaluate, load_rules

    session = session_of(context)
    repo = session.repo
    judged = repo.snapshot(head)
    older = repo.snapshot(base) if base else default_base(repo, judged)
    report = evaluate(repo, older, judged, load_rules(repo, judged))
    render.report(session, report, json=json, md=md)
    if report.exit_code:
        raise typer.Exit(report.exit_code)
