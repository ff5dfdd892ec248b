"""`ci`: one command for a pull request in any CI. It compares, judges, tells everybody who should know, and exits.

Which sides those are is told in `sides.py`, the judgement itself in `pullreport.py`, and who is told how in
`publication.py`; the event's file is read here only.
"""

from __future__ import annotations

import json as jsons
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlgit.cli import render
from mlgit.cli.options import AcceptGateChange, BaseTip, DryRun, Json, Markdown
from mlgit.cli.session import Session, session_of
from mlgit.errors import MlgitError, UsageError

if TYPE_CHECKING:
    from mlgit.cli.pullreport import Comparison
    from mlgit.cli.sides import Asked
    from mlgit.ops.ci.environment import Run

app = typer.Typer(rich_markup_mode=None)
ci = typer.Typer(rich_markup_mode=None)
app.add_typer(ci, name="ci")

_MAX_EVENT = 64 << 20  # hosts send at most 25 MiB
_Key = Annotated[
    str | None, typer.Option("--key", metavar="NAME", help="Tells several reports on one pull request apart.")
]


@ci.callback(invoke_without_command=True)
def report_command(
    context: typer.Context,
    base: Annotated[
        str | None, typer.Option("--base", metavar="REV", help="Compare with the merge base of REV and the head.")
    ] = None,
    base_tip: BaseTip = False,
    head: Annotated[str | None, typer.Option("--head", metavar="REV", help="Judge this commit, not HEAD.")] = None,
    worktree: Annotated[
        bool, typer.Option("--worktree", help="Judge the working tree, as after `mlgit repro` in CI.")
    ] = False,
    repro: Annotated[
        bool, typer.Option("--repro", help="First run what is stale, then judge the working tree. Runs the code.")
    ] = False,
    accept: AcceptGateChange = False,
    allow_stale: Annotated[
        bool, typer.Option("--allow-stale", help="Only warn of stages whose lock is not current.")
    ] = False,
    output: Annotated[str | None, typer.Option("--output", metavar="FILE", help="Write the JSON here.")] = None,
    markdown: Annotated[str | None, typer.Option("--markdown", metavar="FILE", help="Write Markdown here.")] = None,
    html: Annotated[str | None, typer.Option("--html", metavar="FILE", help="Write a page with plots here.")] = None,
    summary: Annotated[
        str | None, typer.Option("--summary", metavar="FILE", help="Append Markdown; by default GITHUB_STEP_SUMMARY.")
    ] = None,
    comment: Annotated[bool, typer.Option("--comment", help="Keep a comment on the pull request current.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Show the verdict beside the commit.")] = False,
    key: _Key = None,
    json: Json = False,
    md: Markdown = False,
) -> None:
    """Compare a pull request with its base, and judge it; exit 1 if it may not merge.

    Base and head come from the CI service's event. In a shallow clone, what is missing is fetched.
    """
    if context.invoked_subcommand is not None:
        return
    session = session_of(context)
    if (worktree or repro) and head:
        raise UsageError("--head names a commit, --worktree and --repro judge the working tree", hint="leave one out")
    from mlgit.cli.publication import Files, annotate, guarded, publish, ready_host, write
    from mlgit.cli.sides import Asked

    run = _find_run(session)
    with guarded(session, plain=json):
        host = ready_host(session, run, comment=comment) if comment or check else None
        asked = Asked(base, head, base_tip, repro, worktree or repro, accept, allow_stale)
        found = _answer(session, run, asked)
        if found.error is None:
            render.report(session, found.report, json=json, md=md, every=False)
        write(session, found, Files(output, markdown, html, summary), run)
        if host is not None:
            publish(session, run, host, found.report, comment=comment, check=check, key=key)
        if found.exit_code:
            from mlgit.cli.notify import notify_failure

            notify_failure(session, "gate", found.report, link=run.link)
    annotate(session, found.report, plain=json)
    if found.error is not None:
        raise found.error
    if found.exit_code:
        raise typer.Exit(found.exit_code)


@ci.command("comment")
def comment_command(
    context: typer.Context,
    report: Annotated[str, typer.Argument(metavar="REPORT", help="The JSON that `mlgit ci --output` wrote.")],
    key: _Key = None,
) -> None:
    """Post a report that another job made, as for a fork's pull request, whose own job may not.

    It runs on GitHub's `workflow_run`, needs no checkout and treats the report as hostile.
    """
    from mlgit.cli.publication import host_of, told
    from mlgit.ops.ci.comment import KEY
    from mlgit.ops.ci.relay import relay

    session = session_of(context)
    run = _find_run(session)
    data = _read(session, report)
    host = host_of(session, run)
    done = relay(data, report, _payload(session), host, key=key or KEY, link=run.link)
    told(session, done)


@ci.command("init")
def init_command(
    context: typer.Context,
    github: Annotated[bool, typer.Option("--github", help="Workflows for GitHub Actions.")] = False,
    gitlab: Annotated[bool, typer.Option("--gitlab", help="Jobs for GitLab CI.")] = False,
    bitbucket: Annotated[bool, typer.Option("--bitbucket", help="Steps for Bitbucket Pipelines.")] = False,
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite files that say something else.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Write ready workflows: the report on pull requests, its comment, a nightly run."""
    from mlgit import __version__
    from mlgit.ops.ci import workflows

    given: dict[workflows.Host, bool] = {"github": github, "gitlab": gitlab, "bitbucket": bitbucket}
    chosen = [host for host, wanted in given.items() if wanted]
    if len(chosen) != 1:
        raise UsageError("name one host", hint="mlgit ci init --github, --gitlab or --bitbucket")
    session = session_of(context)
    git = session.repo.git
    plan = workflows.plan(git.top, chosen[0], _requirement(session, __version__), git.prefix.rstrip("/") or ".")
    if dry_run:
        render.plan(session, (f"{file.path}: {file.state}" for file in plan.files))
    else:
        written = workflows.apply(git.top, plan, force=force)
        for line in [f"wrote {path}" for path in written] or ["every file is there already, as it should be"]:
            render.say(session, line)
    for note in plan.notes:
        render.say(session, note)


def _requirement(session: Session, version: str) -> str:
    """What the jobs install: this version, with the extras that remotes and data need."""
    from mlgit.remote.address import SCHEMES

    repo = session.repo
    schemes = {remote.url.partition("://")[0] for remote in repo.config.remotes.values()}
    needed = {SCHEMES[scheme].install for scheme in schemes if scheme in SCHEMES}
    if any(path.endswith(".parquet") for path in (*repo.tracked(), *repo.snapshot().paths("*.parquet"))):
        needed.add("mlgit[parquet]")
    files = repo.project().files.values()
    if any(file.plots or any(out.kind == "plot" for one in file.stages.values() for out in one.outs) for file in files):
        needed.add("mlgit[plots]")
    extras = ",".join(sorted(one[6:-1] for one in needed if one.startswith("mlgit[")))
    return f"mlgit[{extras}]=={version}" if extras else f"mlgit=={version}"


def _find_run(session: Session) -> Run:
    from mlgit.ops.ci.environment import find_run

    return find_run(session.environment, _payload(session))


def _payload(session: Session) -> Mapping[str, Any]:
    """The event that started the run; empty where there is none, or it cannot be read."""
    from mlgit.fs import atomic

    try:
        path = session.cwd / session.environment["GITHUB_EVENT_PATH"]
        found = jsons.loads(atomic.read_start(path, _MAX_EVENT))
    except (KeyError, MlgitError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _read(session: Session, name: str) -> bytes:
    from mlgit.fs import atomic
    from mlgit.model.reportfile import MAX_BYTES

    return atomic.read_start(session.cwd / name, MAX_BYTES + 1)


def _reproduce(session: Session) -> None:
    """Run what is stale; afterwards the repository is looked at anew."""
    from mlgit.cli.reproduce import reproduce
    from mlgit.pipeline.plan import Options

    reproduce(session, Options(pull=bool(session.repo.config.remotes)), json=False)
    session.__dict__.pop("repo", None)


def _answer(session: Session, run: Run, asked: Asked) -> Comparison:
    """The report; that there can be none is a report too, so that no older one stays where people look."""
    from mlgit.cli.pullreport import broken, compare, named_by_pull
    from mlgit.cli.sides import bring_references, find_base, find_head

    try:
        if asked.repro:
            _reproduce(session)
        head = find_head(session, run, asked)
        base = find_base(session, run, head, asked)
        bring_references(session, base.side, head)
        accept = asked.accept or _accepted(session, run)
        found = compare(session.repo, base, head, accept=accept, allow_stale=asked.allow_stale)
        trial = run.pull is not None and head.rev not in (None, run.sha)
        return named_by_pull(found, run.sha) if trial else found
    except UsageError:
        raise
    except MlgitError as error:
        return broken(session.repo, error, asked.base, asked.head)


def _accepted(session: Session, run: Run) -> bool:
    """Whether a maintainer has put the label on the pull request; in a merge queue the host has to be asked."""
    from mlgit.cli.publication import labels
    from mlgit.ops.gates.rules import ACCEPT

    return ACCEPT in run.labels or (run.event == "merge_group" and ACCEPT in labels(session, run))
