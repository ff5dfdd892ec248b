"""`gate`: the verdict on metrics, for people and for CI."""

from __future__ import annotations

from typing import Annotated

import typer

from mlgit.cli import render
from mlgit.cli.options import AcceptGateChange, BaseTip, Json, Markdown
from mlgit.cli.session import session_of

app = typer.Typer(rich_markup_mode=None)


@app.command()
def gate(
    context: typer.Context,
    base: Annotated[
        str | None, typer.Option("--base", metavar="REV", help="Compare with the merge base of REV and the head.")
    ] = None,
    base_tip: BaseTip = False,
    head: Annotated[
        str | None, typer.Option("--head", metavar="REV", help="Judge this commit; by default the working tree.")
    ] = None,
    accept: AcceptGateChange = False,
    json: Json = False,
    md: Markdown = False,
) -> None:
    """Judge metrics by the gates in mlgit.yaml; exit 1 if one fails."""
    from mlgit.ops.gates.base import find_base
    from mlgit.ops.gates.evaluate import evaluate
    from mlgit.ops.gates.rules import find_law

    session = session_of(context)
    repo = session.repo
    judged = repo.snapshot(head)
    older = find_base(repo, judged, base, tip=base_tip)
    report = evaluate(repo, older, judged, find_law(repo, older, judged, accept=accept))
    render.report(session, report, json=json, md=md)
    if report.exit_code:
        raise typer.Exit(report.exit_code)
