"""`repro`: running the pipeline, with one line a stage."""

from __future__ import annotations

import json as json_codec
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlgit.cli import render, words
from mlgit.cli.options import DryRun
from mlgit.cli.session import Session, session_of
from mlgit.cli.stage_files import offer

if TYPE_CHECKING:
    from mlgit.pipeline.events import Event, Outcome

app = typer.Typer(rich_markup_mode=None)


@app.command()
def repro(
    context: typer.Context,
    targets: Annotated[
        list[str] | None,
        typer.Argument(help="Stages, stage files or outputs; all if left out.", autocompletion=words.stages),
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Run stages even if nothing changed.")] = False,
    single: Annotated[bool, typer.Option("--single", "-s", help="The targets alone, nothing upstream.")] = False,
    downstream: Annotated[bool, typer.Option("--downstream", help="The targets and what depends on them.")] = False,
    keep_going: Annotated[bool, typer.Option("--keep-going", "-k", help="Go on with what a failure leaves.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object when done.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Bring stages up to date: run what changed, skip the rest."""
    from mlgit.pipeline.plan import Options

    session = session_of(context)
    pipeline = session.repo.pipeline
    options = Options(
        targets=pipeline.find(targets or [], session.here),
        force=force,
        single=single,
        downstream=downstream,
        keep_going=keep_going,
    )
    if not pipeline.project.stages:
        render.say(session, "there are no stages; write them into mlgit.yaml or use `mlgit stage add`")
    if dry_run:
        words = {"run": "run", "restore": "restore", "skip": "skip", "frozen": "leave frozen"}
        steps = pipeline.plan(options)
        render.plan(
            session,
            (f"{words[one.action]} {one.address}: {one.reason}{'' if one.certain else ' (perhaps)'}" for one in steps),
        )
        return
    watcher = _Watcher(session, keep_going=keep_going)
    try:
        pipeline.reproduce(options, session.environment, watcher)
    finally:
        watcher.conclude(json)


class _Watcher:
    """Prints one line an event and remembers the outcome.

    Args:
        keep_going: failures are told as they happen; otherwise the first one ends the command, as its error.
    """

    def __init__(self, session: Session, *, keep_going: bool) -> None:
        self._session = session
        self._keep_going = keep_going
        self.outcome: Outcome | None = None

    def __call__(self, event: Event) -> None:
        from mlgit.pipeline import events

        line = ""
        if isinstance(event, events.StageStarted):
            command = event.command.strip().replace("\n", "\n    ")
            line = f"{event.address}: running ({event.reason})\n  $ {command}"
        elif isinstance(event, events.StageSkipped):
            line = f"{event.address}: skipped, {event.reason}"
        elif isinstance(event, events.StageRestored):
            line = f"{event.address}: restored, {event.reason}"
        elif isinstance(event, events.StageFinished):
            line = f"{event.address}: done in {event.seconds:.1f} s"
        elif isinstance(event, events.StageFailed) and self._keep_going:
            line = event.message
        elif isinstance(event, events.Outcome):
            self.outcome = event
        if line:
            render.say(self._session, line)

    def conclude(self, as_json: bool) -> None:
        """Say what was done in all, and which files Git should hear of."""
        done = self.outcome
        if done is None:
            return
        if as_json:
            render.out(json_codec.dumps(_as_value(done), indent=2, ensure_ascii=False))
        parts = [
            f"{len(names)} {word}"
            for names, word in (
                (done.ran, "ran"),
                (done.restored, "restored"),
                (done.skipped, "skipped"),
                (done.failed, "failed"),
                (done.blocked, "blocked"),
            )
            if names
        ]
        if parts:
            render.say(self._session, f"{', '.join(parts)} in {done.seconds:.1f} s")
        offer(self._session, done.written)


def _as_value(done: Outcome) -> dict[str, Any]:
    return {
        "version": 1,
        "kind": "repro",
        "ran": list(done.ran),
        "restored": list(done.restored),
        "skipped": list(done.skipped),
        "failed": dict(done.failed),
        "blocked": list(done.blocked),
        "written": [str(path) for path in done.written],
        "seconds": round(done.seconds, 3),
    }
