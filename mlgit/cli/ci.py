"""`ci`: the report on a pull request, for whatever CI runs it.

Variables, the event's file, the job summary and the step outputs of a CI service are read and written here only.
"""

from __future__ import annotations

import json as jsons
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlgit.cli import render
from mlgit.cli.options import Json, Markdown
from mlgit.cli.session import Session, session_of
from mlgit.errors import NotEvaluableError, UsageError

if TYPE_CHECKING:
    from mlgit.model.gate import Rule
    from mlgit.model.report import Report
    from mlgit.ops.ci.environment import Sides
    from mlgit.repo import Repo
    from mlgit.work.snapshot import Snapshot

app = typer.Typer(rich_markup_mode=None)
ci = typer.Typer(rich_markup_mode=None, help="Report on a pull request in CI.", no_args_is_help=True)
app.add_typer(ci, name="ci")

_TITLE = "mlgit"
_SUMMARY_LIMIT = 1 << 20  # GitHub refuses a job summary of more than 1 MiB as a whole


@ci.command("report")
def report_command(
    context: typer.Context,
    base: Annotated[
        str | None, typer.Option("--base", help="Compare with this commit; by default as the CI event says.")
    ] = None,
    head: Annotated[str | None, typer.Option("--head", help="Judge this commit; by default HEAD.")] = None,
    worktree: Annotated[
        bool, typer.Option("--worktree", help="Judge the working tree, as after `mlgit repro` in CI.")
    ] = False,
    accept: Annotated[
        bool, typer.Option("--accept-gate-change", help="Judge by the head's gates alone, even where it loosens them.")
    ] = False,
    summary: Annotated[
        str | None, typer.Option("--summary", metavar="FILE", help="Append Markdown; by default GITHUB_STEP_SUMMARY.")
    ] = None,
    output: Annotated[str | None, typer.Option("--output", metavar="FILE", help="Also write the JSON here.")] = None,
    json: Json = False,
    md: Markdown = False,
) -> None:
    """Compare base and head, judge the gates, and write the job summary; exit 1 if a gate fails."""
    session = session_of(context)
    if worktree and head:
        raise UsageError("--head and --worktree exclude each other", hint="leave one out")
    report = _answer(session, base, head, worktree=worktree, accept=accept)
    _publish(session, report, summary, output)
    render.report(session, report, json=json, md=md, every=False)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def _answer(session: Session, base: str | None, head: str | None, *, worktree: bool, accept: bool) -> Report:
    """The report; that there can be none is a report too, so that the job summary says so."""
    from mlgit.model.report import Report, Verdict

    try:
        return _report(session, base, head, worktree=worktree, accept=accept)
    except NotEvaluableError as error:
        notes = (error.message, *([f"hint: {error.hint}"] if error.hint else []))
        return Report("ci", _TITLE, (), Verdict.NOT_EVALUABLE, base, head, notes)


def _report(session: Session, base: str | None, head: str | None, *, worktree: bool, accept: bool) -> Report:
    from mlgit.ops.ci.environment import find_sides

    repo = session.repo
    sides = find_sides(session.environment, _payload(session))
    judged = repo.snapshot(None if worktree else head or sides.head or "HEAD")
    older = _base(repo, judged, sides, base)
    return _combine(repo, older, judged, accept=accept)


def _payload(session: Session) -> Mapping[str, Any]:
    """The event that started the run; empty where there is none, or it cannot be read."""
    try:
        found = jsons.loads((session.cwd / session.environment["GITHUB_EVENT_PATH"]).read_bytes())
    except (KeyError, OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _base(repo: Repo, head: Snapshot, sides: Sides, asked: str | None) -> Snapshot | None:
    """The base to compare with: what was asked for, else the merge base with what the event names, else mlgit's choice.

    Raises:
        UsageError: what was asked for does not exist.
        NotEvaluableError: the event names a base, and this clone does not reach it.
    """
    from mlgit.ops.gates.evaluate import default_base

    if asked is not None:
        return repo.snapshot(asked)
    if not sides.bases:
        return default_base(repo, head)
    at = head.rev or repo.git.resolve("HEAD")
    for name in sides.bases:
        try:
            common = repo.git.merge_base(at, repo.git.resolve(name))
        except UsageError:
            continue
        if common is not None:
            return repo.snapshot(common)
    raise NotEvaluableError(
        f"the base of this {sides.event} run is not in the clone: {' or '.join(sides.bases)}",
        hint="fetch the history: `fetch-depth: 0` for actions/checkout, or `git fetch --unshallow`",
    )


def _combine(repo: Repo, base: Snapshot | None, head: Snapshot, *, accept: bool) -> Report:
    from mlgit.ops.ci.currency import stages_report
    from mlgit.ops.ci.report import merge, summarise
    from mlgit.ops.compare.values import metrics_diff, metrics_show, params_diff
    from mlgit.ops.inspect.difference import data_diff

    rules, notes = _rules(repo, base, head, accept=accept)
    parts = [_gate(repo, base, head, rules, notes)]
    if base is None:
        parts.append(metrics_show(repo, [head]))
    else:
        parts.append(metrics_diff(repo, base, head, rules=rules))
        parts.append(params_diff(repo, base, head))
        parts.append(summarise(data_diff(repo, base, head)))
    parts.append(stages_report(repo, head))
    return merge(parts, kind="ci", title=_TITLE)


def _rules(
    repo: Repo, base: Snapshot | None, head: Snapshot, *, accept: bool
) -> tuple[tuple[Rule, ...], tuple[str, ...]]:
    """The gates of the head, and those of the base that it no longer has: a change cannot loosen what judges it."""
    from mlgit.ops.ci.report import withdrawn
    from mlgit.ops.gates.evaluate import load_rules

    rules = load_rules(repo, head)
    gone = withdrawn(load_rules(repo, base), rules) if base is not None else ()
    if not gone:
        return rules, ()
    names = ", ".join(rule.name for rule in gone)
    if accept:
        return rules, (f"Gates of the base that this change takes out or edits, NOT judged: {names}.",)
    note = "This change takes out or edits gates of the base, which are judged all the same"
    return (*rules, *gone), (f"{note}: {names}. A maintainer accepts it with --accept-gate-change.",)


def _gate(repo: Repo, base: Snapshot | None, head: Snapshot, rules: tuple[Rule, ...], notes: tuple[str, ...]) -> Report:
    import dataclasses

    from mlgit.model.report import Report
    from mlgit.ops.gates.evaluate import evaluate

    if rules:
        found = evaluate(repo, base, head, rules)
        return dataclasses.replace(found, notes=(*notes, *found.notes))
    nothing = "No gates are configured, so nothing is judged. Rules stand under `gates:` in mlgit.yaml."
    return Report("gate", "Gate", (), base=base.name if base else None, head=head.name, notes=(*notes, nothing))


def _publish(session: Session, report: Report, summary: str | None, output: str | None) -> None:
    """Write what a CI service reads: the job summary, the step's outputs, and the JSON file asked for."""
    from mlgit.fs import atomic
    from mlgit.model.markdown import to_markdown
    from mlgit.model.report import to_json

    if output is not None:
        atomic.write_text(session.cwd / output, to_json(report) + "\n")
    summary = summary or session.environment.get("GITHUB_STEP_SUMMARY")
    if summary:
        text = to_markdown(report)
        if len(text.encode()) >= _SUMMARY_LIMIT:
            verdict = text.splitlines()[0]
            text = f"{verdict}\n\nThe report is too long for a job summary; `mlgit ci report` prints it.\n"
        _append(session.cwd / summary, text)
    outputs = session.environment.get("GITHUB_OUTPUT")
    if outputs:
        _append(session.cwd / outputs, f"verdict={report.verdict.value}\nexit-code={report.exit_code}\n")


def _append(path: Path, text: str) -> None:
    from mlgit.fs import atomic

    with atomic.disk_errors(path), path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(text)
