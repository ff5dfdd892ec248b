"""The comment on a fork's pull request: a report that an unprivileged job made, posted by one that may write.

The privileged job runs on `workflow_run`, checks nothing out and runs nothing of the fork. What the artifact says is a
stranger's word: it is decoded with bounds, escaped and shown as what it is. Which pull request it belongs to comes from
the event and from the host alone, never from the artifact, and its verdict never becomes a check or a status: a forged
"passed" must not satisfy a required check.

Source: GitHub, "Events that trigger workflows" (`workflow_run`), and "Security hardening for GitHub Actions".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from mlgit.errors import NotEvaluableError
from mlgit.model import reportfile
from mlgit.ops.ci.comment import KEY
from mlgit.ops.ci.hosts import Host, Published, Pull, publish
from mlgit.ops.ci.hosts.answers import below, listed, mapping, text

_SECURE = "give it the event of a `workflow_run` that follows a `pull_request` workflow of this repository"


def relay(
    data: bytes, where: str, payload: Mapping[str, Any], host: Host, *, key: str = KEY, link: str = ""
) -> Published:
    """Post the report in `data` on the pull request that the run of `payload` belongs to.

    Args:
        data: the artifact.
        where: its path, for errors.
        payload: the event `workflow_run` that started this job.

    Raises:
        InvalidError: the artifact is not a report.
        NotEvaluableError: the event is of another kind or repository, no open pull request has the run's commit as its
            head, or more than one has.
        AuthError, RemoteError: as `publish`.
    """
    run = below(payload, "workflow_run")
    _demand_ours(payload, run, host)
    report = reportfile.decode(data, where)
    pull = _pull(run, host)
    ended = text(run, "conclusion") or "unknown"
    note = (
        f"Made by the pull request's own workflow, which ended with: {ended}. Trust it as far as you trust the author."
    )
    return publish(
        host, dataclasses.replace(report, notes=(note, *report.notes)), number=pull.number, key=key, link=link
    )


def _demand_ours(payload: Mapping[str, Any], run: Mapping[str, Any], host: Host) -> None:
    event = text(run, "event")
    if event != "pull_request":
        raise NotEvaluableError(f"the run was started by {event or 'nothing'!r}, not by a pull request", hint=_SECURE)
    for owner in (payload, run):
        name = text(below(owner, "repository"), "full_name")
        if name.lower() != host.slug.lower():
            raise NotEvaluableError(f"the run belongs to {name!r}, not to {host.slug!r}", hint=_SECURE)


def _pull(run: Mapping[str, Any], host: Host) -> Pull:
    """The one open pull request whose head is the run's commit; where several are, the one the event names."""
    sha, fork = text(run, "head_sha"), below(run, "head_repository", "owner")
    found = host.pulls(sha, owner=text(fork, "login"), branch=text(run, "head_branch"))
    named = [mapping(one).get("number") for one in listed(run, "pull_requests")]
    chosen = [pull for pull in found if len(found) == 1 or pull.number in named]
    if len(chosen) == 1:
        return chosen[0]
    if found:
        raise NotEvaluableError(
            f"{len(found)} open pull requests have {sha[:12]} as their head", hint="close all but one"
        )
    hint = "it has moved on or was closed: nothing to do; its next run comments"
    raise NotEvaluableError(f"no open pull request has {sha[:12]} as its head", hint=hint)
