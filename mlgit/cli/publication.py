"""Telling a CI service and its code host what the report says: files, summary, outputs, annotations, comment, check.

Text of a report never becomes a command of the service: while anything is printed, GitHub's runner takes no commands
(`guarded`); annotations, whose texts are escaped, come after that.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mlgit.cli import render
from mlgit.errors import AuthError, NotEvaluableError, RemoteError, UsageError

if TYPE_CHECKING:
    from mlgit.cli.pullreport import Comparison
    from mlgit.cli.session import Session
    from mlgit.model.report import Report
    from mlgit.ops.ci.environment import Run
    from mlgit.ops.ci.hosts import Host, Published

_SUMMARY_LIMIT: Final = 1 << 20  # GitHub refuses a job summary of more than 1 MiB as a whole
_TOKENS: Final = {
    "github": ("MLGIT_TOKEN", "GITHUB_TOKEN"),
    "gitlab": ("MLGIT_TOKEN", "GITLAB_TOKEN"),
    "bitbucket": ("MLGIT_TOKEN", "BITBUCKET_TOKEN"),
}
"""Host → the variables that may hold a token, the first that is set counts."""


@dataclass(frozen=True, slots=True)
class Files:
    """Where to write the report besides, each None for nowhere."""

    json: str | None = None
    markdown: str | None = None
    html: str | None = None
    summary: str | None = None


@contextlib.contextmanager
def guarded(session: Session, *, plain: bool) -> Iterator[None]:
    """Print the body's output in one stream, in which GitHub's runner looks for no commands; nothing elsewhere.

    Args:
        plain: stdout holds JSON for a program, whose lines are no commands.
    """
    if session.environment.get("GITHUB_ACTIONS") != "true" or plain:
        yield
        return
    token, errors = secrets.token_hex(16), sys.stderr
    render.out(f"::stop-commands::{token}")
    sys.stderr = sys.stdout
    try:
        yield
    finally:
        sys.stderr = errors
        render.out(f"::{token}::")
        with render.reading():
            sys.stdout.flush()


def write(session: Session, found: Comparison, files: Files, run: Run) -> None:
    """Write the files that were asked for, and those that the service reads.

    Raises:
        InvalidError: one of them is a pipe or a folder.
        DiskError: one of them cannot be written.
    """
    from mlgit.fs import atomic
    from mlgit.model.markdown import to_markdown
    from mlgit.model.report import to_json

    if files.json is not None:
        _write(session.cwd / files.json, to_json(found.report) + "\n")
    text = to_markdown(found.report)
    if files.markdown is not None:
        _write(session.cwd / files.markdown, text)
    if files.html is not None:
        from mlgit.ops.compare.reportpage import report_page

        _write(session.cwd / files.html, report_page(found.report, found.figures, link=run.link or None))
    summary = files.summary or session.environment.get("GITHUB_STEP_SUMMARY")
    if summary:
        from mlgit.ops.ci.comment import cut

        atomic.append_text(session.cwd / summary, cut(text, _SUMMARY_LIMIT - 1, run.link))
    outputs = session.environment.get("GITHUB_OUTPUT")
    if outputs:
        named = {"report": files.json, "markdown": files.markdown, "html": files.html}
        lines = [f"verdict={found.report.verdict.value}", f"exit-code={found.exit_code}"]
        paths = {name: f"{session.cwd / file}" for name, file in named.items() if file}
        lines += [f"{name}={path}" for name, path in paths.items() if path.isprintable()]  # none may begin another line
        atomic.append_text(session.cwd / outputs, "\n".join(lines) + "\n")


def _write(path: Path, text: str) -> None:
    from mlgit.fs import atomic

    with atomic.disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():  # such as a pipe, of which a file of its name would take the place
            raise atomic.no_file(path)
    atomic.write_text(path, text)


def annotate(session: Session, report: Report, *, plain: bool) -> None:
    """Print what makes GitHub show failing rows beside the files they name."""
    if session.environment.get("GITHUB_ACTIONS") == "true":
        from mlgit.ops.ci.comment import workflow_commands

        with render.reading():
            (sys.stderr if plain else sys.stdout).write(workflow_commands(report))


def ready_host(session: Session, run: Run, *, comment: bool) -> Host | None:
    """The host to post to, asked for before the work begins; None, with a word about it, for a fork's own run.

    Raises:
        UsageError: this is no run of a known host, or there is no token.
    """
    if comment and run.host and run.pull is None:
        render.say(session, "not commented: this run belongs to no pull request")
    if run.host and not run.may_write:
        why = "its own job may not; a workflow_run job posts it: `mlgit ci comment`"
        render.say(session, f"not posted: this is a fork's pull request, {why}")
        return None
    return host_of(session, run)


def publish(
    session: Session, run: Run, host: Host, report: Report, *, comment: bool, check: bool, key: str | None
) -> None:
    """Post the report; that a host refuses does not change the verdict, so it is a warning."""
    from mlgit.ops.ci import hosts

    try:
        done = hosts.publish(
            host,
            report,
            number=run.pull if comment else None,
            sha=run.sha if check else None,
            key=key or _own_key(session.repo.git.prefix),
            link=run.link,
        )
    except (AuthError, RemoteError) as error:
        render.say(session, f"warning: not everything was posted: {error.message}")
        render.say(session, f"hint: {error.hint}")
    else:
        told(session, done)


def _own_key(prefix: str) -> str:
    """What the report of the mlgit root at `prefix` is called where nobody says: each root has a comment of its own."""
    from mlgit.ops.ci.comment import KEY

    return re.sub(r"[^A-Za-z0-9/]+", "-", prefix)[:100].strip("-/") or KEY


def told(session: Session, done: Published) -> None:
    """Say what became of the comment and the check."""
    for name, one in (("comment", done.comment), ("check", done.check)):
        if one is not None:
            render.say(session, f"{name} {one.what}{f': {one.url}' if one.url else ''}")


def host_of(session: Session, run: Run) -> Host:
    """The code host of a run, with the token from the environment.

    Raises:
        UsageError: no host is known, or no token is set.
    """
    if not run.host or not run.api or not run.slug:
        raise UsageError("this is no run of GitHub, GitLab or Bitbucket", hint="post from CI, or leave out what posts")
    names = _TOKENS[run.host]
    token = next((session.environment[name] for name in names if session.environment.get(name)), None)
    if token is None:
        hint = f"give the job the variable {names[-1]}; which permissions it needs: docs/ci-hosts.md"
        raise UsageError(f"no token to post with: neither {' nor '.join(names)} is set", hint=hint)
    if run.host == "github":
        from mlgit.ops.ci.hosts.github import GitHub

        return GitHub(run.api, token, run.slug)
    if run.host == "gitlab":
        from mlgit.ops.ci.hosts.gitlab import GitLab

        return GitLab(run.api, token, run.slug)
    from mlgit.ops.ci.hosts.bitbucket import Bitbucket

    return Bitbucket(run.api, token, run.slug)


def labels(session: Session, run: Run) -> Collection[str]:
    """Labels of the run's pull request, as its host knows them; none where it cannot be asked."""
    if run.pull is None:
        return ()
    try:
        return host_of(session, run).labels(run.pull)
    except (AuthError, RemoteError, UsageError, NotEvaluableError) as error:
        render.say(session, f"labels of pull request {run.pull} not known: {error.message}")
        return ()
