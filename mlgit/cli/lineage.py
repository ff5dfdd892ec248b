"""Commands that explain: `why` a stage runs or not, and the `lineage` of a file, an object or a stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlgit.cli import render, words
from mlgit.cli.options import Json, Markdown, Rev
from mlgit.cli.session import Session, session_of
from mlgit.errors import MlgitError

if TYPE_CHECKING:
    from mlgit.model.relpath import RelPath

app = typer.Typer(rich_markup_mode=None)


@app.command()
def why(
    context: typer.Context,
    targets: Annotated[list[str], typer.Argument(help="Stages, stage files or outputs.", autocompletion=words.stages)],
    json: Json = False,
    md: Markdown = False,
) -> None:
    """Say why a stage will run, is skipped, would be restored or is frozen."""
    from mlgit.ops.inspect import why as explaining

    session = session_of(context)
    answers = explaining.explain(session.repo, session.repo.pipeline.find(targets, session.here))
    if json or md:
        render.report(session, explaining.to_report(answers), json=json, md=md)
    else:
        render.out(render.printable(explaining.to_text(answers)))


@app.command()
def lineage(
    context: typer.Context,
    target: Annotated[
        str,
        typer.Argument(
            help="A path, a stage, an artifact's name, or an object id of 8 digits or more.",
            autocompletion=words.targets,
        ),
    ],
    rev: Rev = None,
    json: Json = False,
    md: Markdown = False,
) -> None:
    """Tell where a file comes from, by code, parameters and data, and what used it."""
    from mlgit.ops.lineage import show
    from mlgit.ops.lineage.place import Place
    from mlgit.ops.lineage.subject import resolve
    from mlgit.ops.lineage.walk import trace

    session = session_of(context)
    place = Place(session.repo, session.repo.snapshot(rev))
    result = trace(*resolve(place, target, _path(session, target), session.here))
    if json:
        render.report(session, show.to_report(result), json=True)
    else:
        render.out(show.to_markdown(result) if md else render.printable(show.to_text(result)))


def _path(session: Session, text: str) -> RelPath | None:
    """`text` as a path from the root; None if it cannot be one."""
    try:
        return session.path(text)
    except MlgitError:
        return None
