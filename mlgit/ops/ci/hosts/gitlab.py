"""GitLab: a note on a merge request, a commit status, labels and merge requests.

A status is `success` or `failed`; "could not be evaluated" is `failed`, as its exit code fails a job.

A job's own token (CI_JOB_TOKEN) may not write notes; a project access token with the scope `api` may.

Source: GitLab REST API v4: Notes, Commits, Merge requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, Final

from mlgit.model.report import Report
from mlgit.ops.ci.hosts import Comment, Done, Pull, described, titled
from mlgit.ops.ci.hosts.answers import below, commit, listed, mapping, text, web, whole
from mlgit.remote.http import Client, StatusError, only, path
from mlgit.remote.retry import Patience

ADDRESS: Final = "https://gitlab.com/api/v4"
LIMIT: Final = 1_000_000
_HINT: Final = "give a project access token with the scope `api` and the role Developer as a masked variable"
_PAGE: Final = (("per_page", "100"),)


class GitLab:
    """One project on GitLab.

    Args:
        address: of the API, with its version: CI_API_V4_URL.
        token: of a project, a group or a person.
        slug: the project's number, or its whole path.
        patience: how long to try.

    Raises:
        UnsafeError, AuthError: as `Client`.
    """

    limit = LIMIT
    html = True

    def __init__(self, address: str, token: str, slug: str, *, patience: Patience | None = None) -> None:
        self.slug = slug
        self._project = path("projects", slug)
        self._client = Client(address, {}, {"PRIVATE-TOKEN": token}, hint=_HINT, patience=patience)

    @cached_property
    def _user(self) -> int:
        return whole(self._client.get("/user").value, "id")

    def comments(self, number: int) -> Iterator[Comment]:
        """See `Host`; what GitLab itself notes is left out."""
        query = [("sort", "asc"), ("order_by", "created_at"), *_PAGE]
        found = self._client.pages(self._notes(number), query)
        return (self._comment(one) for one in found if not mapping(one).get("system"))

    def create(self, number: int, words: str, happened: Callable[[], Any]) -> Comment:
        """See `Host`."""
        made = self._client.send("POST", self._notes(number), {"body": words}, happened=happened)
        return self._comment(made.value)

    def update(self, number: int, comment: Comment, words: str) -> Comment:
        """See `Host`."""
        where = self._notes(number) + path(comment.id)
        return self._comment(self._client.send("PUT", where, {"body": words}).value)

    def _notes(self, number: int) -> str:
        return self._project + path("merge_requests", number, "notes")

    def _comment(self, value: Any) -> Comment:
        own = below(value, "author").get("id") == self._user
        return Comment(whole(value, "id"), text(value, "body"), "", own, mapping(value))

    def check(self, sha: str, report: Report, *, key: str, link: str) -> Done:
        """A commit status; GitLab refuses one that says what the last one of its name says."""
        state = "failed" if report.exit_code else "success"
        value = {"state": state, "name": titled(key), "description": described(report, 255), **web("target_url", link)}
        try:
            made = self._client.send("POST", self._project + path("statuses", commit(sha)), value)
        except StatusError as error:
            if only(error, 400) and "Cannot transition status" in error.message:
                return Done("unchanged")
            raise
        return Done("created", text(made.value, "target_url"))

    def labels(self, number: int) -> tuple[str, ...]:
        """See `Host`."""
        value = self._client.get(self._project + path("merge_requests", number)).value
        return tuple(label for label in listed(value, "labels") if isinstance(label, str))

    def pulls(self, sha: str, *, owner: str = "", branch: str = "") -> tuple[Pull, ...]:
        """See `Host`; GitLab finds a fork's commit too once there is a merge request."""
        where = self._project + path("repository", "commits", commit(sha), "merge_requests")
        found = self._client.pages(where, _PAGE)
        return tuple(
            Pull(whole(one, "iid"), sha, self.slug)
            for one in found
            if text(one, "state") == "opened" and text(one, "sha") == sha
        )
