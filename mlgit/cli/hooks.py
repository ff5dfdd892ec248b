"""`hooks`: install Git hooks, and run what they do before a commit or push and after a checkout or merge.

A hook stands in everybody's way, so it says nothing when all is well and imports nothing that it does not need: the
names of staged files decide what is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Annotated

import typer

from mlgit.cli import render
from mlgit.cli.options import DryRun, Json
from mlgit.cli.program import leave_git_surroundings, program
from mlgit.cli.session import Session, session_of
from mlgit.errors import UsageError
from mlgit.git import Git
from mlgit.model.blob import Blob
from mlgit.model.relpath import RelPath
from mlgit.model.report import Report, Verdict
from mlgit.ops.ci import checks
from mlgit.ops.ci.roots import placed, roots

app = typer.Typer(rich_markup_mode=None)
hooks = typer.Typer(rich_markup_mode=None, help="Install Git hooks and run their checks.", no_args_is_help=True)
app.add_typer(hooks, name="hooks")

_CHECKS = {"pointers": checks.pointers, "gates": checks.gates, "lock": checks.lock}
STAGED = ("large-files", *_CHECKS)
AFTER = ("post-checkout", "post-merge")
RUNNABLE = ("pre-commit", "pre-push", *AFTER, *STAGED)


@hooks.command()
def install(
    context: typer.Context,
    uninstall: Annotated[bool, typer.Option("--uninstall", help="Take them out again.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Put mlgit's hooks beside the ones that are there, and let Git merge and show locks and pointers by it."""
    from mlgit.cli import drivers
    from mlgit.ops.ci import install as installing

    session = session_of(context)
    git, path = _git(session), program()
    lines = drivers.report(session, git, uninstall=uninstall, dry_run=dry_run)  # also where there is no place for hooks
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


@hooks.command("run")
def run_checks(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"One of: {', '.join(RUNNABLE)}.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="What Git gives to the hook, such as the remote's name and URL.")
    ] = None,
    limit: Annotated[
        str, typer.Option("--limit", metavar="SIZE", help="Largest file for Git, such as 500K, 5M or 1G.")
    ] = "5M",
    json: Json = False,
) -> None:
    """Do what a hook does, or one of its checks; exit 1 if anything must be mended first."""
    if name not in RUNNABLE:
        raise UsageError(f"no such hook or check: {name!r}", hint=f"one of: {', '.join(RUNNABLE)}")
    session = session_of(context)
    leave_git_surroundings(session.cwd)
    git = _git(session)
    session.here = RelPath("")  # paths are seen from their own root, and that may not be where Git runs hooks
    if name in AFTER:
        _after(session, git, name, arguments or [])
        return
    if name == "pre-push":
        passed = _before_push(session, git, (arguments or [""])[0], json=json)
    else:
        passed = _show(session, _staged(git, STAGED if name == "pre-commit" else (name,), _bytes(limit)), json=json)
    if not passed:
        raise typer.Exit(1)


def _after(session: Session, git: Git, name: str, arguments: list[str]) -> None:
    from mlgit.cli import arrival

    (arrival.after_checkout if name == "post-checkout" else arrival.after_merge)(session, git, arguments)


def _before_push(session: Session, git: Git, remote: str, *, json: bool) -> bool:
    from mlgit.cli import outgoing

    if json:
        return _show(session, outgoing.reports(session, git, remote), json=True)
    return outgoing.before_push(session, git, remote)


def _show(session: Session, found: Iterator[Report], *, json: bool) -> bool:
    """Print each report that has something to say as soon as it is there; tells whether none failed."""
    if json:
        from mlgit.ops.ci.report import merge

        whole = merge(list(found), kind="hooks", title="Checks")
        render.report(session, whole, json=True)
        return whole.verdict is not Verdict.FAIL
    passed = True
    for report in found:
        if report.tables[0].rows:
            render.report(session, report)
        passed &= report.verdict is not Verdict.FAIL
    return passed


def _git(session: Session) -> Git:
    """Git seen from the top of its working tree: one hook serves every mlgit root below it."""
    found = Git.find(session.cwd.resolve())
    if found is None:
        raise UsageError(f"{session.cwd} is not in a Git repository", hint="run `git init` first")
    return Git(found.top, "")


def _staged(git: Git, names: Collection[str], limit: int) -> Iterator[Report]:
    """What the checks called `names` say of every mlgit root with staged files, as far as they have anything to say."""
    staged = git.staged()
    for prefix, has_stages in roots(git).items() if staged else ():
        below = [replace(one, path=one.path[len(prefix) :]) for one in staged if one.path.startswith(prefix)]
        if below:
            for report in _checks(Git(git.top, prefix), below, names, limit, has_stages=has_stages):
                yield placed(report, prefix)


def _checks(
    git: Git, staged: Sequence[Blob], names: Collection[str], limit: int, *, has_stages: bool
) -> Iterator[Report]:
    if "large-files" in names:
        yield checks.large_files(git, staged, limit)
    chosen = [name for name in _CHECKS if name in names and checks.concerns(name, staged, has_stages=has_stages)]
    if not chosen:
        return
    from mlgit.repo import Repo

    repo = Repo(git.root)
    for name in chosen:
        report = _CHECKS[name](repo, staged)
        yield report
        if report.verdict is Verdict.FAIL and name == "gates":
            return  # a lock cannot be judged by a stage file that does not decode


def _bytes(text: str) -> int:
    """A size with a binary unit, such as 5M."""
    match = re.fullmatch(r"(\d+)([KMG]?)", text.upper())
    if match is None:
        raise UsageError(f"not a size: {text!r}", hint="write a whole number with K, M or G, such as 5M")
    return int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[match[2]]
