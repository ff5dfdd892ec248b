"""GitHub: an issue comment, a check run (a commit status where the token may not), labels and pull requests.

A check run's conclusion is `success`, `failure`, `neutral` where nothing was judged, and `action_required` where the
answer is "could not be evaluated": required checks count `neutral` as passed, and no answer must not let a change in.

It never acts on a pull request of another repository than `slug`.

Source: GitHub REST API, version 2022-11-28.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, Final

from mlgit.errors import UsageError
from mlgit.model.markdown import to_markdown
from mlgit.model.report import Report, Verdict
from mlgit.ops.ci.comment import Finding, cut, findings
from mlgit.ops.ci.hosts import Comment, Done, Pull, described, titled
from mlgit.ops.ci.hosts.answers import below, commit, listed, mapping, text, web, whole
from mlgit.remote.http import Client, ForbiddenError, StatusError, only, path
from mlgit.remote.retry import Patience

ADDRESS: Final = "https://api.github.com"
ACTIONS: Final = "github-actions[bot]"
"""Who writes with the token of a workflow. Brackets cannot stand in a person's name."""
LIMIT: Final = 65_536
SUMMARY: Final = 65_535
BATCH: Final = 50
MOST: Final = 500
"""Annotations of one check run."""
_HINT: Final = (
    "the job needs `permissions: pull-requests: write, checks: write`; a fork's pull request has a token that only "
    "reads: comment from a workflow_run job with `mlgit ci comment`"
)
_CONCLUSIONS: Final = {0: "success", 19: "action_required"}
_STATES: Final = {0: "success", 1: "failure"}
"""By the exit code that a report's verdict has."""
_PAGE: Final = (("per_page", "100"),)
_SLUG: Final = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


class GitHub:
    """One repository on GitHub, or on a GitHub Enterprise Server.

    Args:
        address: of the API.
        token: of a workflow, an app's installation or a person.
        slug: `owner/repository`.
        author: who comments with a token that cannot ask who it is: a workflow's or an app's.
        patience: how long to try.

    Raises:
        UsageError: `slug` is no such name.
        UnsafeError, AuthError: as `Client`.
    """

    limit = LIMIT
    html = True

    def __init__(
        self, address: str, token: str, slug: str, *, author: str = ACTIONS, patience: Patience | None = None
    ) -> None:
        if not _SLUG.fullmatch(slug):
            raise UsageError(f"{slug!r} is not owner/repository", hint="give it as GitHub shows it")
        self.slug = slug
        self._repo = "/repos" + path(*slug.split("/"))
        self._author = author
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        self._client = Client(address, headers, {"Authorization": f"Bearer {token}"}, hint=_HINT, patience=patience)

    @cached_property
    def _login(self) -> str:
        """Who comments with this token; a workflow's token may not ask."""
        try:
            value = self._client.get("/user").value
        except ForbiddenError:
            return self._author
        except StatusError as error:
            if only(error, 404):
                return self._author
            raise
        return text(value, "login")

    def comments(self, number: int) -> Iterator[Comment]:
        """See `Host`."""
        found = self._client.pages(f"{self._repo}{path('issues', number, 'comments')}", _PAGE)
        return (self._comment(one) for one in found)

    def create(self, number: int, words: str, happened: Callable[[], Any]) -> Comment:
        """See `Host`."""
        where = f"{self._repo}{path('issues', number, 'comments')}"
        return self._comment(self._client.send("POST", where, {"body": words}, happened=happened).value)

    def update(self, number: int, comment: Comment, words: str) -> Comment:
        """See `Host`."""
        where = f"{self._repo}{path('issues', 'comments', comment.id)}"
        return self._comment(self._client.send("PATCH", where, {"body": words}).value)

    def _comment(self, value: Any) -> Comment:
        user, app = below(value, "user"), below(value, "performed_via_github_app")
        login = text(user, "login")
        own = login.lower() == self._login.lower()
        if own and app and login.endswith("[bot]"):
            own = f"{text(app, 'slug')}[bot]".lower() == login.lower()
        return Comment(whole(value, "id"), text(value, "body"), text(value, "html_url"), own, mapping(value))

    def check(self, sha: str, report: Report, *, key: str, link: str) -> Done:
        """A check run, or a commit status where the token may not make one (it is not a workflow's or an app's)."""
        commit(sha)
        try:
            return self._check_run(sha, report, titled(key), link)
        except ForbiddenError:
            return self._status(sha, report, titled(key), link)

    def _check_run(self, sha: str, report: Report, name: str, link: str) -> Done:
        notes = [_annotation(one) for one in findings(report)[:MOST] if _is_path(one.file)]
        batches = [notes[at : at + BATCH] for at in range(0, len(notes), BATCH)] or [[]]
        output = {"title": described(report, 200), "summary": cut(to_markdown(report), SUMMARY, link)}
        value: dict[str, Any] = {
            "name": name,
            "head_sha": sha,
            "status": "completed",
            "conclusion": _conclusion(report),
            "output": {**output, **({"annotations": batches[0]} if batches[0] else {})},
            **web("details_url", link),
        }
        value["external_id"] = hashlib.sha256(repr((value, notes)).encode("utf-8", "surrogatepass")).hexdigest()[:40]
        where = f"{self._repo}/check-runs"
        made = self._client.send("POST", where, value, happened=lambda: self._made(sha, name, value["external_id"]))
        run = whole(made.value, "id")
        for number, batch in enumerate(batches[1:], 2):
            self._annotate(run, {**output, "annotations": batch}, sum(map(len, batches[:number])))
        return Done("created", text(made.value, "html_url"))

    def _made(self, sha: str, name: str, external: str) -> Any:
        """The check run that a request whose answer was lost has made."""
        query = [("check_name", name), ("filter", "latest"), ("per_page", "100")]
        value = self._client.get(f"{self._repo}{path('commits', sha, 'check-runs')}", query).value
        runs = listed(value, "check_runs")
        return next((run for run in runs if text(run, "external_id") == external), None)

    def _annotate(self, run: int, output: Mapping[str, Any], total: int) -> None:
        """Further annotations of a check run, which then has `total`."""
        where = f"{self._repo}{path('check-runs', run)}"

        def happened() -> Any:
            value = self._client.get(where).value
            return value if below(value, "output").get("annotations_count") == total else None

        self._client.send("PATCH", where, {"output": output}, happened=happened)

    def _status(self, sha: str, report: Report, name: str, link: str) -> Done:
        """The last status of a context counts, so that it may be posted twice."""
        state = _STATES.get(report.exit_code, "error")
        value = {"state": state, "context": name, "description": described(report, 140)}
        value.update(web("target_url", link))
        made = self._client.send("POST", f"{self._repo}{path('statuses', sha)}", value)
        return Done("created", text(made.value, "url"))

    def labels(self, number: int) -> tuple[str, ...]:
        """See `Host`."""
        found = self._client.pages(f"{self._repo}{path('issues', number, 'labels')}", _PAGE)
        return tuple(text(one, "name") for one in found)

    def pulls(self, sha: str, *, owner: str = "", branch: str = "") -> tuple[Pull, ...]:
        """See `Host`; a fork's commit is found by its branch alone."""
        try:
            found = list(self._client.pages(f"{self._repo}{path('commits', commit(sha), 'pulls')}", _PAGE))
        except (StatusError, ForbiddenError) as error:  # no such commit is here, or commits may not be read
            if not only(error, 404, 409, 422) and not (isinstance(error, ForbiddenError) and branch):
                raise
            found = []
        if owner and branch:
            query = [("state", "open"), ("head", f"{owner}:{branch}"), *_PAGE]
            found += self._client.pages(f"{self._repo}/pulls", query)
        pulls = {pull.number: pull for one in found if (pull := self._pull(one))}
        return tuple(pull for _, pull in sorted(pulls.items()) if pull.head == sha)

    def _pull(self, value: Any) -> Pull | None:
        target = text(below(value, "base", "repo"), "full_name")
        if text(value, "state") != "open" or target.lower() != self.slug.lower():
            return None
        return Pull(whole(value, "number"), text(below(value, "head"), "sha"), target)


def _conclusion(report: Report) -> str:
    return "neutral" if report.verdict is Verdict.NONE else _CONCLUSIONS.get(report.exit_code, "failure")


def _annotation(one: Finding) -> dict[str, Any]:
    return {
        "path": one.file,
        "start_line": one.line or 1,
        "end_line": one.line or 1,
        "annotation_level": "failure" if one.level == "error" else "warning",
        "title": one.title[:255],
        "message": one.message,
    }


def _is_path(file: str) -> bool:
    """Whether GitHub takes `file` for a path in the repository; it refuses a whole check run for one that is not."""
    return bool(file) and not file.startswith("/") and ".." not in file.split("/") and len(file) < 1000
