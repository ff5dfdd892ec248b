"""`verify`: running stages again to prove that they give the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlgit.cli import render, words
from mlgit.cli.options import Json, Markdown
from mlgit.cli.session import Session, session_of

if TYPE_CHECKING:
    from mlgit.pipeline.events import Event

app = typer.Typer(rich_markup_mode=None)


@app.command()
def verify(
    context: typer.Context,
    targets: Annotated[
        list[str] | None,
        typer.Argument(help="Stages, stage files or outputs; all if left out.", autocompletion=words.stages),
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", metavar="N", min=0, help="Stages at a time, 0 for all that fit.")
    ] = 1,
    json: Json = False,
    md: Markdown = False,
) -> None:
    """Run stages again in a clean folder and compare what they write; exit 1 if it differs."""
    from mlgit.cli.reproduce import at_a_time
    from mlgit.ops.verify import report as proof

    session = session_of(context)
    repo = session.repo
    pipeline = repo.pipeline
    addresses = pipeline.find(targets or [], session.here)
    reruns = pipeline.rerun(
        addresses, session.environment, lambda event: _tell(session, event), jobs=at_a_time(jobs, "local")
    )
    report, failure = proof.verify(repo, reruns)
    render.report(session, report, json=json, md=md)
    if failure is not None:
        raise failure
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def _tell(session: Session, event: Event) -> None:
    """One line when a stage begins and one when it ends; what commands write is in their logs."""
    from mlgit.pipeline import events

    if isinstance(event, events.StageStarted):
        render.say(session, f"{event.address}: running again")
    elif isinstance(event, events.StageFinished):
        render.say(session, f"{event.address}: done in {event.seconds:.1f} s")
    elif isinstance(event, events.StageWarned):
        render.say(session, f"{event.address}: {event.message}")
