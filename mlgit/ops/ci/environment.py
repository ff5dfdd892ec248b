"""Which run of which CI service this is, told from its environment variables and the event that started it.

Pure: the caller hands in the variables and the event's JSON. What either says was written by whoever opened the pull
request, so every value is checked for its kind and length, and what does not fit is left out. What is left is only a
name to look up: never trusted to exist, never an option of a command, never more than one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import quote, urlsplit

_COMMIT: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_SHORT: Final = re.compile(r"[0-9a-f]{7,64}")  # Bitbucket says 12 digits
_EVENT: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_SLUG: Final = re.compile(r"(?=.{1,255}\Z)[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,15}")
_BRANCH: Final = re.compile(r"(?=.{1,255}\Z)(?![-/.])(?!.*(?:\.\.|@\{|//|/\.|\.lock(?:/|\Z)))[^\s~^:?*\[\\]+(?<![/.])")
_STEP: Final = re.compile(r"\{?[0-9A-Fa-f-]{1,64}\}?")
_PULL_REF: Final = re.compile(r"refs/pull/([1-9][0-9]{0,15})/(?:merge|head)")
_QUEUE_REF: Final = re.compile(r"(?:refs/heads/)?gh-readonly-queue/.+/pr-([1-9][0-9]{0,15})-[0-9a-f]{40,64}")
_LOCAL: Final = ("localhost", "127.0.0.1", "::1")
_PULLS: Final = ("pull_request", "pull_request_target", "pull_request_review", "pull_request_review_comment")
_LABELS: Final = 100  # more than a host lets anyone put on one pull request
_LENGTH: Final = 2048

Host = Literal["github", "gitlab", "bitbucket", ""]


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a CI service; empty outside CI.

    Attributes:
        host: the service; empty outside CI, or for one that is not known.
        event: what started the run: `pull_request`, `merge_group`, `push`, `schedule`, `merge_request`, …
        bases: names of the base, the best first: the first that exists counts; `origin/<branch>` or a commit id each.
            Empty: mlgit's own choice.
        head: the commit to judge; None for the one that is checked out.
        pull: number of the pull or merge request.
        slug: the repository: `owner/name`, `group/sub/name`, `workspace/repository`.
        api: address of the host's REST interface, without a slash at its end: https, or http to this machine.
        link: the run's page, for people.
        sha: the commit that statuses and check runs belong to; for a pull request its own head, not the trial merge.
        fork: the pull request comes from another repository, or one that is gone, or nobody says from where.
        labels: of the pull request when the event was sent; a run that is repeated has the old ones.
    """

    host: Host = ""
    event: str = ""
    bases: tuple[str, ...] = ()
    head: str | None = None
    pull: int | None = None
    slug: str = ""
    api: str = ""
    link: str = ""
    sha: str = ""
    fork: bool = False
    labels: frozenset[str] = field(default_factory=frozenset)

    @property
    def may_write(self) -> bool:
        """Whether the host can have given this run a token that writes: not to a fork's own code."""
        return bool(self.host) and (not self.fork or self.event in ("pull_request_target", "workflow_run"))


def find_run(variables: Mapping[str, str], payload: Mapping[str, Any]) -> Run:
    """The run that these variables describe; an empty one outside CI.

    Args:
        payload: the JSON in the file that GITHUB_EVENT_PATH names; empty if there is none. Other hosts have none.

    Source: GitHub, "Webhook events and payloads" and "Variables reference"; GitLab, "Predefined CI/CD variables
    reference"; Bitbucket Cloud, "Variables and secrets".
    """
    if variables.get("GITHUB_EVENT_NAME"):
        return _github(variables, payload)
    if variables.get("GITLAB_CI"):
        return _gitlab(variables)
    if variables.get("BITBUCKET_BUILD_NUMBER") or variables.get("BITBUCKET_COMMIT"):
        return _bitbucket(variables)
    return Run()


# -- GitHub ----------------------------------------------------------------------------------------------------------


def _github(variables: Mapping[str, str], payload: Mapping[str, Any]) -> Run:
    event = _match(_EVENT, variables.get("GITHUB_EVENT_NAME"))
    slug = _slug(variables.get("GITHUB_REPOSITORY")) or _slug(_below(payload, "repository").get("full_name"))
    number = _match(_NUMBER, variables.get("GITHUB_RUN_ID"))
    server = _address(variables.get("GITHUB_SERVER_URL"), insecure=True)
    common: dict[str, Any] = {
        "host": "github",
        "event": event,
        "slug": slug,
        "api": _address(variables.get("GITHUB_API_URL")),
        "link": f"{server}/{slug}/actions/runs/{number}" if server and slug and number else "",
    }
    here = _commit(variables.get("GITHUB_SHA"))
    if event in _PULLS:
        return Run(**common, **_pull_request(variables, payload, event, here))
    if event == "merge_group":
        return Run(**common, **_merge_group(_below(payload, "merge_group"), here))
    if event == "workflow_run":
        return Run(**common, **_workflow_run(payload, slug))
    if event == "push":
        return Run(**common, bases=_before(payload), sha=here or _commit(payload.get("after")))
    return Run(**common, bases=_default(payload, variables.get("GITHUB_REF")), sha=here)


def _pull_request(variables: Mapping[str, str], payload: Mapping[str, Any], event: str, here: str) -> dict[str, Any]:
    """What is checked out is the trial merge unless the workflow says otherwise; for `…_target`, it is the base."""
    pull = _below(payload, "pull_request")
    base, head = _below(pull, "base"), _below(pull, "head")
    branch = _branch(variables.get("GITHUB_BASE_REF")) or _branch(base.get("ref"))
    sha = _commit(head.get("sha"))
    ref = _PULL_REF.fullmatch(_text(variables.get("GITHUB_REF")))
    return {
        "bases": _names(_tracking(branch), _commit(base.get("sha"))),
        "head": (sha or None) if event == "pull_request_target" else None,
        "pull": _number(pull.get("number")) or _number(payload.get("number")) or (_number(ref[1]) if ref else None),
        "sha": sha or here,
        "fork": not _same(head.get("repo"), base.get("repo")),
        "labels": _labels(one.get("name") for one in _listed(pull.get("labels"))),
    }


def _merge_group(group: Mapping[str, Any], here: str) -> dict[str, Any]:
    """The base is the entry before it in the queue. The event says nothing of labels."""
    head = _commit(group.get("head_sha"))
    ref = _QUEUE_REF.fullmatch(_text(group.get("head_ref")))
    return {
        "bases": _names(_commit(group.get("base_sha")), _tracking(_branch(group.get("base_ref")))),
        "head": head or None,
        "pull": _number(ref[1]) if ref else None,
        "sha": head or here,
    }


def _workflow_run(payload: Mapping[str, Any], slug: str) -> dict[str, Any]:
    """About another run, whose code is never checked out. For a fork's, GitHub does not say the number."""
    run = _below(payload, "workflow_run")
    pulls = _listed(run.get("pull_requests"))
    head = _below(run, "head_repository")
    return {
        "pull": _number(pulls[0].get("number")) if pulls else None,
        "sha": _commit(run.get("head_sha")),
        "fork": not slug or _slug(head.get("full_name")).casefold() != slug.casefold(),
    }


def _before(payload: Mapping[str, Any]) -> tuple[str, ...]:
    """The default branch, or where that stood before the push; a tag is seen from nowhere.

    What a branch was before would let two pushes do what one may not.
    """
    if _text(payload.get("ref")).startswith("refs/tags/"):
        return ()
    return _names(*_default(payload, payload.get("ref")), _commit(payload.get("before")))


def _default(payload: Mapping[str, Any], ref: object) -> tuple[str, ...]:
    """The default branch, unless `ref` is that branch, or is none."""
    branch = _branch(_below(payload, "repository").get("default_branch"))
    name = _text(ref)
    return _names(_tracking(branch)) if name.startswith("refs/heads/") and name != f"refs/heads/{branch}" else ()


def _same(head: object, base: object) -> bool:
    """Whether both are the same repository; the one of a head is null once its fork is deleted."""
    if not isinstance(head, Mapping) or not isinstance(base, Mapping):
        return False
    names = (_slug(head.get("full_name")), _slug(base.get("full_name")))
    return bool(names[0]) and names[0].casefold() == names[1].casefold() and head.get("id") == base.get("id")


# -- GitLab ----------------------------------------------------------------------------------------------------------


def _gitlab(variables: Mapping[str, str]) -> Run:
    common: dict[str, Any] = {
        "host": "gitlab",
        "api": _address(variables.get("CI_API_V4_URL")),
        "link": _address(variables.get("CI_JOB_URL"), insecure=True)
        or _address(variables.get("CI_PIPELINE_URL"), insecure=True),
    }
    here = _commit(variables.get("CI_COMMIT_SHA"))
    slug = _slug(variables.get("CI_PROJECT_PATH"))
    number = _number(variables.get("CI_MERGE_REQUEST_IID"))
    if number is not None:
        return Run(**common, pull=number, **_merge_request(variables, slug, here))
    event = _match(_EVENT, variables.get("CI_PIPELINE_SOURCE"))
    branch, default = _branch(variables.get("CI_COMMIT_BRANCH")), _branch(variables.get("CI_DEFAULT_BRANCH"))
    bases: tuple[str, ...] = ()
    if branch:  # neither a tag nor a merge request
        other = _tracking(default) if default != branch else ""
        bases = _names(other, _commit(variables.get("CI_COMMIT_BEFORE_SHA")))
    return Run(**common, event=event, bases=bases, slug=slug, sha=here)


def _merge_request(variables: Mapping[str, str], slug: str, here: str) -> dict[str, Any]:
    """A merged result or a merge train has the target's commit; otherwise the branch is right.

    CI_MERGE_REQUEST_DIFF_BASE_SHA stays the old one when the target branch is changed. Where the pipeline runs in the
    fork, `origin` is the fork, and its branch of that name may be old.
    """
    branch = _tracking(_branch(variables.get("CI_MERGE_REQUEST_TARGET_BRANCH_NAME")))
    target = _commit(variables.get("CI_MERGE_REQUEST_TARGET_BRANCH_SHA"))
    point = _commit(variables.get("CI_MERGE_REQUEST_DIFF_BASE_SHA"))
    project = variables.get("CI_MERGE_REQUEST_PROJECT_ID")
    outside = variables.get("CI_PROJECT_ID", project) != project
    train = variables.get("CI_MERGE_REQUEST_EVENT_TYPE") == "merge_train"
    return {
        "event": "merge_train" if train else "merge_request",
        "bases": _names(target, point, branch) if outside else _names(target, branch, point),
        "slug": _slug(variables.get("CI_MERGE_REQUEST_PROJECT_PATH")) or slug,
        "sha": _commit(variables.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA")) or here,
        "fork": not project or variables.get("CI_MERGE_REQUEST_SOURCE_PROJECT_ID") != project,
        "labels": _labels(variables.get("CI_MERGE_REQUEST_LABELS", "").split(",")),
    }


# -- Bitbucket -------------------------------------------------------------------------------------------------------


def _bitbucket(variables: Mapping[str, str]) -> Run:
    """Bitbucket runs no pipeline for a fork's pull request, and says nothing of labels: it has none."""
    number = _number(variables.get("BITBUCKET_PR_ID"))
    slug = _slug(f"{variables.get('BITBUCKET_WORKSPACE')}/{variables.get('BITBUCKET_REPO_SLUG')}")
    build = _match(_NUMBER, variables.get("BITBUCKET_BUILD_NUMBER"))
    step = _match(_STEP, variables.get("BITBUCKET_STEP_UUID"))
    link = f"https://bitbucket.org/{slug}/pipelines/results/{build}" if slug and build else ""
    branch = _branch(variables.get("BITBUCKET_PR_DESTINATION_BRANCH"))
    commit = _match(_SHORT, variables.get("BITBUCKET_PR_DESTINATION_COMMIT"))
    return Run(
        host="bitbucket",
        event="pull_request" if number else "push",
        bases=_names(_tracking(branch), commit) if number else (),
        pull=number,
        slug=slug,
        api="https://api.bitbucket.org/2.0",
        link=f"{link}/steps/{quote(step, safe='')}" if link and step else link,
        sha=_commit(variables.get("BITBUCKET_COMMIT")),
    )


# -- values nobody vouches for ---------------------------------------------------------------------------------------


def _below(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = value.get(key)
    return found if isinstance(found, Mapping) else {}


def _listed(value: object) -> list[Mapping[str, Any]]:
    found = value[:_LABELS] if isinstance(value, list) else []
    return [one for one in found if isinstance(one, Mapping)]


def _text(value: object) -> str:
    """One line of text; empty for anything else."""
    return value if isinstance(value, str) and len(value) <= _LENGTH and value.isprintable() else ""


def _match(pattern: re.Pattern[str], value: object) -> str:
    found = _text(value)
    return found if pattern.fullmatch(found) else ""


def _commit(value: object) -> str:
    """A commit id; empty if there is none, or only the zeros that stand for none."""
    found = _match(_COMMIT, value)
    return found if found.strip("0") else ""


def _branch(value: object) -> str:
    """A branch by its short name; empty for what Git would not take as one."""
    return _match(_BRANCH, _text(value).removeprefix("refs/heads/"))


def _tracking(branch: str) -> str:
    return f"origin/{branch}" if branch else ""


def _slug(value: object) -> str:
    found = _match(_SLUG, value)
    return "" if {".", ".."} & set(found.split("/")) else found


def _number(value: object) -> int | None:
    if type(value) is int:
        return value if 0 < value < 10**16 else None
    digits = _match(_NUMBER, value)
    return int(digits) if digits else None


def _labels(names: Iterable[object]) -> frozenset[str]:
    return frozenset(name for name in (_text(one).strip() for one in names) if name)


def _names(*names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name))


def _address(value: object, *, insecure: bool = False) -> str:
    """An https address, or an http one of this machine, without credentials, query and closing slash.

    Args:
        insecure: any http address will do: a person opens it, and no token goes there.
    """
    text = _text(value)
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return ""
    plain = text.isascii() and not re.search(r"[\s<>\"'`|\\^{}?#@]", text)
    allowed = parts.scheme == "https" or (parts.scheme == "http" and (insecure or host in _LOCAL))
    return text.rstrip("/") if host and plain and allowed else ""
