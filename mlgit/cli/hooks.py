"""`hooks`: install Git hooks, and run their checks on what is staged or about to be pushed.

A hook stands in everybody's way, so it says nothing when all is well and imports nothing that it does not need: the
names of staged files decide what is looked at.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import sys
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from mlgit.cli import render
from mlgit.cli.options import DryRun, Json
from mlgit.cli.program import leave_git_surroundings, program
from mlgit.cli.session import Session, session_of
from mlgit.errors import UsageError
from mlgit.git import Git
from mlgit.model.relpath import RelPath
from mlgit.model.report import Report, Verdict
from mlgit.ops.ci import checks
from mlgit.ops.ci.checks import STAGE_FILE

if TYPE_CHECKING:
    from mlgit.repo import Repo

app = typer.Typer(rich_markup_mode=None)
hooks = typer.Typer(rich_markup_mode=None, help="Install Git hooks and run their checks.", no_args_is_help=True)
app.add_typer(hooks, name="hooks")

_CHECKS = {"pointers": checks.pointers, "gates": checks.gates, "lock": checks.lock}
STAGED = ("large-files", *_CHECKS)
RUNNABLE = ("pre-commit", "pre-push", *STAGED)


@hooks.command()
def install(
    context: typer.Context,
    uninstall: Annotated[bool, typer.Option("--uninstall", help="Take them out again.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Put mlgit's hooks beside the ones that are there, and let Git merge locks and pointers by it."""
    from mlgit.ops.ci import install as installing

    session = session_of(context)
    git, path = _git(session), program()
    lines = _drivers(session, git, uninstall=uninstall, dry_run=dry_run)  # also where there is no place for hooks
    steps = installing.plan(git, path, uninstall=uninstall)
    lines += [f"{step.file.name}: {step.action}" for step in steps]
    if dry_run:
        render.plan(session, lines)
        return
    installing.apply(steps, path)
    for line in lines:
        render.say(session, line)
    if any(step.action == "keep and write" for step in steps):
        render.say(session, "hooks that were there are kept as `<name>.local` and run first")


def _drivers(session: Session, git: Git, *, uninstall: bool, dry_run: bool) -> list[str]:
    """Install the merge drivers, or take them out; what that does, in words."""
    from mlgit.ops.ci import install as installing
    from mlgit.work import attributes

    steps = installing.plan_drivers(git, program(), uninstall=uninstall)
    lines = [f"merge driver {name}: {action}" for name, action in steps.items()]
    if not dry_run:
        installing.apply_drivers(git, steps, program())
    for prefix in () if uninstall else _roots(git):
        wanted = attributes.missing(git.top / prefix)
        if wanted and not dry_run:
            attributes.declare(git.top / prefix)
        if wanted:
            file = shlex.quote(os.path.relpath(git.top / prefix / attributes.NAME, session.cwd.resolve()))
            lines.append(f"{prefix}{attributes.NAME}: {' and '.join(wanted)}; then: git add {file}")
    return lines


@hooks.command("run")
def run_checks(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"One of: {', '.join(RUNNABLE)}.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="What Git gives to a hook; for pre-push the remote's name and URL.")
    ] = None,
    limit: Annotated[
        str, typer.Option("--limit", metavar="SIZE", help="Largest file for Git, such as 500K, 5M or 1G.")
    ] = "5M",
    json: Json = False,
) -> None:
    """Run a hook's checks, or one of them; exit 1 if anything must be mended first."""
    if name not in RUNNABLE:
        raise UsageError(f"no such hook or check: {name!r}", hint=f"one of: {', '.join(RUNNABLE)}")
    session = session_of(context)
    leave_git_surroundings(session.cwd)
    git = _git(session)
    if name == "pre-push":
        found = _outgoing(session, git, (arguments or [""])[0])
    else:
        found = _staged(git, STAGED if name == "pre-commit" else (name,), _bytes(limit))
    if _show(session, found, json=json):
        raise typer.Exit(1)


def _show(session: Session, found: Iterator[Report], *, json: bool) -> bool:
    """Print each report that has something to say as soon as it is there; tells whether one failed."""
    session.here = RelPath("")  # paths are seen from their own root, and that may not be where Git runs hooks
    if json:
        from mlgit.ops.ci.report import merge

        whole = merge(list(found), kind="hooks", title="Checks")
        render.report(session, whole, json=True)
        return whole.verdict is Verdict.FAIL
    failed = False
    for report in found:
        if report.tables[0].rows:
            render.report(session, report)
        failed |= report.verdict is Verdict.FAIL
    return failed


def _git(session: Session) -> Git:
    """Git seen from the top of its working tree: one hook serves every mlgit root below it."""
    found = Git.find(session.cwd.resolve())
    if found is None:
        raise UsageError(f"{session.cwd} is not in a Git repository", hint="run `git init` first")
    return Git(found.top, "")


def _roots(git: Git) -> dict[str, bool]:
    """Where the mlgit roots of a Git repository are, as prefixes, and whether each has stages."""
    control = ".mlgit/config.yaml"
    names = git.known_files(control, STAGE_FILE)
    prefixes = [name.removesuffix(control) for name in names if f"/{name}".endswith(f"/{control}")]
    staged = [name for name in names if name.endswith(STAGE_FILE)]
    return {prefix: any(name.startswith(prefix) for name in staged) for prefix in prefixes}


def _staged(git: Git, names: Collection[str], limit: int) -> Iterator[Report]:
    """What the checks called `names` say of every mlgit root with staged files, as far as they have anything to say."""
    paths = [one.path for one in git.staged()]
    for prefix, has_stages in _roots(git).items() if paths else ():
        if any(path.startswith(prefix) for path in paths):
            for report in _checks(Git(git.top, prefix), names, limit, has_stages=has_stages):
                yield _placed(report, prefix)


def _checks(git: Git, names: Collection[str], limit: int, *, has_stages: bool) -> Iterator[Report]:
    staged = git.staged()
    if "large-files" in names:
        yield checks.large_files(git, staged, limit)
    chosen = [name for name in _CHECKS if name in names and checks.concerns(name, staged, has_stages=has_stages)]
    if not chosen:
        return
    repo = _repo(git)
    for name in chosen:
        report = _CHECKS[name](repo, staged)
        yield report
        if report.verdict is Verdict.FAIL and name == "gates":
            return  # a lock cannot be judged by a stage file that does not decode


def _outgoing(session: Session, git: Git, remote: str) -> Iterator[Report]:
    """What the check before a push says of every mlgit root with something to push."""
    from mlgit.ops.ci import outgoing

    variables = session.environment
    if "PRE_COMMIT_REMOTE_NAME" in variables:  # the pre-commit program has read the lines; a first push has no range
        local = variables.get("PRE_COMMIT_TO_REF") or variables.get("PRE_COMMIT_LOCAL_BRANCH") or "HEAD"
        pushes = [outgoing.Push(local, variables.get("PRE_COMMIT_FROM_REF", ""))]
        remote = variables["PRE_COMMIT_REMOTE_NAME"]
    elif sys.stdin.isatty():
        pushes = [outgoing.Push("HEAD", "")]
    else:
        pushes = outgoing.parse(sys.stdin)
    for prefix in _roots(git):
        root = Git(git.top, prefix)
        commits = outgoing.outgoing(root, pushes, remote)
        if commits:
            yield _placed(outgoing.pushed(_repo(root), commits), prefix)


def _repo(git: Git) -> Repo:
    from mlgit.repo import Repo

    return Repo(git.root)


def _placed(report: Report, prefix: str) -> Report:
    """Paths and commands in a report are seen from the mlgit root, so its title says where that is."""
    if not prefix:
        return report
    title = f"{report.title}, in {prefix}"
    tables = tuple(dataclasses.replace(one, name=f"{prefix}{one.name}", title=title) for one in report.tables)
    return dataclasses.replace(report, title=title, tables=tables)


def _bytes(text: str) -> int:
    """A size with a binary unit, such as 5M."""
    match = re.fullmatch(r"(\d+)([KMG]?)", text.upper())
    if match is None:
        raise UsageError(f"not a size: {text!r}", hint="write a whole number with K, M or G, such as 5M")
    return int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[match[2]]
