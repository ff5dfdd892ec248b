"""`notify`: telling people and programs of failures, and trying whether that works.

Where to comes from this machine alone: its own configuration, and the variables `MLGIT_NOTIFY_*`, which are read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Final

import typer

from mlgit.cli import render
from mlgit.cli.options import DryRun
from mlgit.cli.session import Session, session_of
from mlgit.errors import MlgitError, UsageError

if TYPE_CHECKING:
    from mlgit.model.notify import Target
    from mlgit.model.report import Report
    from mlgit.ops.notify.event import Event

app = typer.Typer(rich_markup_mode=None)
notify = typer.Typer(rich_markup_mode=None, help="Tell people and programs of failures.", no_args_is_help=True)
app.add_typer(notify, name="notify")

_VARIABLES: Final = "MLGIT_NOTIFY"


@notify.command("test")
def test_command(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(help="gate, pipeline or drift.")] = "gate",
    dry_run: DryRun = False,
) -> None:
    """Tell every target of a failure that is none; exit 15 if one cannot be reached."""
    from mlgit.model.notify import KINDS
    from mlgit.ops.notify.send import body

    session = session_of(context)
    if kind not in KINDS:
        raise UsageError(f"no such kind of event: {kind!r}", hint=f"one of: {', '.join(KINDS)}")
    wanted = [target for target in targets(session) if kind in target.on]
    if not wanted:
        raise UsageError(
            f"nobody is told of {kind} failures",
            hint="write `notify` into .mlgit/config.local.yaml: docs/notifications.md",
        )
    event = _event(session, kind, f"This is a test: no {kind} failed.", None)
    if dry_run:
        for target in wanted:
            render.out(f"{target.place}:\n{render.printable(body(target, event).decode())}")
        render.say(session, "nothing was sent (--dry-run)")
        return
    _try(session, wanted, event)


def _try(session: Session, wanted: list[Target], event: Event) -> None:
    """Tell one target after the other, and say how each went.

    Raises:
        MlgitError: the first failure, after all were tried.
    """
    from mlgit.ops.notify.send import send

    failures = []
    for target in wanted:
        try:
            send(target, event, environment=session.environment, folder=session.repo.root)
            render.say(session, f"told {target.place}")
        except MlgitError as error:
            failures.append(error)
    for failure in failures[1:]:
        render.fail(failure, session)
    if failures:
        raise failures[0]


def notify_failure(session: Session, kind: str, what: Report | str, *, link: str | None = None) -> None:
    """Tell whoever wants to hear of `kind` what happened; what goes wrong is a warning, never an error.

    Args:
        kind: `gate`, `pipeline` or `drift`.
        what: the report, or a message where there is none.
        link: the run's page; where left out, that of the CI run this is.
    """
    try:
        wanted = [target for target in targets(session) if kind in target.on]
        if not wanted:
            return
        from mlgit.ops.notify.send import notify as tell

        event = _event(session, kind, what, link)
        failures: list[MlgitError] = tell(wanted, event, environment=session.environment, folder=session.repo.root)
    except MlgitError as error:
        failures = [error]
    except Exception as error:  # whatever it is: the command has its answer, and that must be its exit code
        failures = [MlgitError(f"bug in mlgit: {type(error).__name__}")]
    for failure in failures:
        render.say(session, f"warning: nobody was told: {failure.message}")


def for_commands(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables without those that name a target, and mlgit's own token, which stages have no use for."""
    own = (f"{_VARIABLES}_", "MLGIT_TOKEN")
    return {name: value for name, value in environment.items() if not name.startswith(own)}


def targets(session: Session) -> tuple[Target, ...]:
    """Whom to tell: the configuration's targets, and the one that the variables name.

    Raises:
        InvalidError: the variables are malformed.
    """
    from mlgit.model.notify import decode_target

    keys = ("url", "format", "to", "from")
    values = {key: session.environment.get(f"{_VARIABLES}_{key.upper()}") for key in keys}
    entry = {key: value for key, value in values.items() if value}
    own = session.repo.config.notify
    return (*own, decode_target(entry, f"variables {_VARIABLES}_*")) if "url" in entry else own


def _event(session: Session, kind: str, what: Report | str, link: str | None) -> Event:
    from datetime import datetime, timezone

    from mlgit.model.report import Report, Verdict
    from mlgit.ops.ci.environment import find_run
    from mlgit.ops.notify.event import Event

    if isinstance(what, str):
        what = Report(kind, kind.capitalize(), (), Verdict.FAIL, notes=(what,))
    run = find_run(session.environment, {})
    time = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return Event(kind, what, run.slug or session.repo.root.name, time, link or run.link or None)
