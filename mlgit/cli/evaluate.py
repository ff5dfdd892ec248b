"""`evaluate`: metrics from a file of predictions. It needs no repository: a stage may call it."""

from __future__ import annotations

from typing import Annotated

import typer

from mlgit.cli import render
from mlgit.cli.options import Json, Markdown
from mlgit.cli.session import Session, session_of
from mlgit.errors import MissingError, UsageError

app = typer.Typer(rich_markup_mode=None)


@app.command()
def evaluate(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="Predictions, a row for each example: CSV, TSV, JSON lines or Parquet.")],
    task: Annotated[str, typer.Option("--task", help="classification, regression or ranking.")],
    label: Annotated[str, typer.Option("--label", help="Column with what is true.")] = "label",
    prediction: Annotated[str, typer.Option("--prediction", help="Column with what the model says.")] = "prediction",
    score: Annotated[
        str, typer.Option("--score", help="Column with how sure the model is of the positive class.")
    ] = "score",
    identity: Annotated[str, typer.Option("--id", help="Column that names the example.")] = "id",
    group: Annotated[
        str, typer.Option("--group", help="Column that says what is ranked against each other.")
    ] = "group",
    slices: Annotated[
        list[str] | None, typer.Option("--slice", help="Also by the values of this column; may be given often.")
    ] = None,
    out: Annotated[str, typer.Option("--out", "-o", help="Write the metrics to this JSON file.")] = "",
    json: Json = False,
    md: Markdown = False,
) -> None:
    """Compute metrics from a file of predictions, overall and by slice."""
    from mlgit.model.relpath import RelPath
    from mlgit.model.stage import Predictions
    from mlgit.ops.compare.scores import BY_TASK
    from mlgit.ops.evaluate import recompute

    known = next((one for one in BY_TASK if one == task), None)
    if known is None:
        raise UsageError(f"no such task: {task!r}", hint=f"one of: {', '.join(BY_TASK)}")
    session = session_of(context)
    columns = {"id": identity, "label": label, "prediction": prediction, "score": score, "group": group}
    said = Predictions(RelPath(file), known, **columns)
    found = recompute.evaluate(_read(session, file), said, slices or [])
    if out:
        _write(session, out, recompute.to_json(found))
    render.report(session, recompute.report(found), json=json, md=md)


def _read(session: Session, file: str) -> bytes:
    """The file on the disk; where it is not, what a pointer or lock of the repository says."""
    from mlgit.fs import atomic

    path = session.cwd / file
    if path.is_dir():
        raise UsageError(f"{file} is a folder", hint="name the file of predictions in it")
    if path.exists():
        with atomic.disk_errors(path):
            return path.read_bytes()
    hint = "name a file of predictions"
    try:
        data = session.repo.read(session.path(file))
    except UsageError as error:
        raise MissingError(f"no such file: {file}", hint=hint) from error
    if data is None:
        raise MissingError(f"no such file: {file}", hint=hint)
    return data


def _write(session: Session, out: str, text: str) -> None:
    from mlgit.fs import atomic

    path = session.cwd / out
    with atomic.disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(path, text)
    render.say(session, f"wrote {out}")
