"""`ci`: one command for a pull request in any CI. It compares, judges, tells everybody who should know, and exits.

Variables, the event's file and all that a CI service reads (summary, outputs, annotations) are handled here only. The
judgement itself is `pullreport.py`; what is posted to code hosts is `ops/ci/hosts`.
"""

from __future__ import annotations

import contextlib
import json as jsons
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlgit.cli import render
from mlgit.cli.options import AcceptGateChange, BaseTip, DryRun, Json, Markdown
from mlgit.cli.session import Session, session_of
from mlgit.errors import MlgitError, NotEvaluableError, UsageError

if TYPE_CHECKING:
    from mlgit.cli.pullreport import Comparison
    from mlgit.ops.ci.environment import Run
    from mlgit.repo import Repo
    from mlgit.work.snapshot import Snapshot

app = typer.Typer(rich_markup_mode=None)
ci = typer.Typer(rich_markup_mode=None)
app.add_typer(ci, name="ci")

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
    from mlgit.cli.publication import Files, annotate, guarded, publish, write

    run = _find_run(session)
    with guarded(session, plain=json):
        asked = _Asked(base, head, base_tip, repro, worktree or repro, accept, allow_stale)
        found = _answer(session, run, asked)
        write(session, found, Files(output, markdown, html, summary), run)
        if found.error is None:
            render.report(session, found.report, json=json, md=md, every=False)
        if comment or check:
            publish(session, run, found.report, comment=comment, check=check, key=key)
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
        for path in workflows.apply(git.top, plan, force=force):
            render.say(session, f"wrote {path}")
    for note in plan.notes:
        render.say(session, note)


def _requirement(session: Session, version: str) -> str:
    """What the jobs install: this version, with the extras that the remotes need."""
    from mlgit.remote.address import SCHEMES

    schemes = {remote.url.partition("://")[0] for remote in session.repo.config.remotes.values()}
    needed = {SCHEMES[scheme].install for scheme in schemes if scheme in SCHEMES}
    extras = ",".join(sorted(one[6:-1] for one in needed if one.startswith("mlgit[")))
    return f"mlgit[{extras}]=={version}" if extras else f"mlgit=={version}"


def _find_run(session: Session) -> Run:
    from mlgit.ops.ci.environment import find_run

    return find_run(session.environment, _payload(session))


def _payload(session: Session) -> Mapping[str, Any]:
    """The event that started the run; empty where there is none, or it cannot be read."""
    try:
        found = jsons.loads((session.cwd / session.environment["GITHUB_EVENT_PATH"]).read_bytes())
    except (KeyError, OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _read(session: Session, name: str) -> bytes:
    from mlgit.fs import atomic
    from mlgit.model.reportfile import MAX_BYTES

    path = session.cwd / name
    with atomic.disk_errors(path), path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _reproduce(session: Session) -> None:
    """Run what is stale; afterwards the repository is looked at anew."""
    from mlgit.cli.reproduce import reproduce
    from mlgit.pipeline.plan import Options

    reproduce(session, Options(pull=bool(session.repo.config.remotes)), json=False)
    session.__dict__.pop("repo", None)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the command line says of the comparison.

    Attributes:
        tip: compare with the base itself instead of the merge base.
        repro: run what is stale first.
        present: judge the working tree.
    """

    base: str | None
    head: str | None
    tip: bool
    repro: bool
    present: bool
    accept: bool
    allow_stale: bool


def _answer(session: Session, run: Run, asked: _Asked) -> Comparison:
    """The report; that there can be none is a report too, so that no older one stays where people look."""
    from mlgit.cli.pullreport import broken, compare

    try:
        if asked.repro:
            _reproduce(session)
        head = _head(session, run, asked)
        base = _base(session, run, head, asked)
        accept = asked.accept or _accepted(session, run)
        return compare(session.repo, base, head, accept=accept, allow_stale=asked.allow_stale)
    except UsageError:
        raise
    except MlgitError as error:
        return broken(session.repo, error, asked.base, asked.head)


def _head(session: Session, run: Run, asked: _Asked) -> Snapshot:
    """What is judged; a commit that the event names and the clone lacks is fetched."""
    from mlgit.ops.ci import history

    repo = session.repo
    if asked.present:
        return repo.snapshot()
    if asked.head is not None or run.head is None:
        return repo.snapshot(asked.head or "HEAD")
    return repo.snapshot(history.bring(repo.git, run.head, say=lambda line: render.say(session, line)))


def _base(session: Session, run: Run, head: Snapshot, asked: _Asked) -> Snapshot | None:
    """The base to compare with: what was asked for, else what the event names, else mlgit's choice.

    Raises:
        UsageError: what was asked for does not exist.
        NotEvaluableError: the base, or enough of the history, cannot be had.
    """
    from mlgit.ops.ci import history
    from mlgit.ops.gates.evaluate import default_base

    repo = session.repo
    at = head.rev or repo.git.resolve("HEAD")
    names = run.bases if asked.base is None else (asked.base,)
    if not names:
        if repo.git.is_shallow():
            with contextlib.suppress(NotEvaluableError):  # a first commit has no parent
                history.mend(repo.git, (f"{at}^",), at, say=lambda line: render.say(session, line))
        return default_base(repo, head)
    try:
        common = history.mend(repo.git, names, at, say=lambda line: render.say(session, line))
    except NotEvaluableError:
        if asked.base is not None and not repo.git.is_shallow():
            repo.git.resolve(asked.base)  # a typing error is no missing history
        raise
    if asked.tip:
        return repo.snapshot(next(name for name in names if _exists(repo, name)))
    if common is None:
        raise NotEvaluableError(
            f"{head.name} has no history in common with {' or '.join(names)}",
            hint="name another base with --base, or compare with the base itself: --base-tip",
        )
    return repo.snapshot(common)


def _exists(repo: Repo, name: str) -> bool:
    try:
        repo.git.resolve(name)
    except UsageError:
        return False
    return True


def _accepted(session: Session, run: Run) -> bool:
    """Whether a maintainer has put the label on the pull request; in a merge queue the host has to be asked."""
    from mlgit.cli.publication import labels
    from mlgit.ops.gates.evaluate import ACCEPT

    return ACCEPT in run.labels or (run.event == "merge_group" and ACCEPT in labels(session, run))
