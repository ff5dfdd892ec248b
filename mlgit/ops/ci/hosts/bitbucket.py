"""Bitbucket Cloud: a Code Insights report with annotations, a pull request's comment, and pull requests.

Bitbucket shows no HTML, so that a comment's marker is a link that nothing refers to, and unchanged rows are left out.
Its pull requests have no labels. A report says PASSED or FAILED; "could not be evaluated" is FAILED, as its exit code
fails a step, and its details say so.

A repository access token may not ask who it is. Then every comment with our marker is tried: Bitbucket lets only a
comment's author change it.

Source: Bitbucket Cloud REST API 2.0: Reports, Pull requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, Final

from mlgit.errors import AuthError, UsageError
from mlgit.model.report import Report
from mlgit.ops.ci.comment import Finding, findings
from mlgit.ops.ci.hosts import Comment, Done, Pull, described, titled
from mlgit.ops.ci.hosts.answers import below, commit, mapping, text, web, whole
from mlgit.remote.http import Client, StatusError, only, path
from mlgit.remote.retry import Patience

ADDRESS: Final = "https://api.bitbucket.org/2.0"
LIMIT: Final = 32_768
BATCH: Final = 100
MOST: Final = 1000
"""Annotations of one report."""
_HINT: Final = "give a repository access token with the scopes `repository:write` and `pullrequest:write`"


class Bitbucket:
    """One repository on Bitbucket Cloud.

    Args:
        address: of the API, with its version.
        token: an access token of a repository, a project, a workspace or a person.
        slug: `workspace/repository`.
        patience: how long to try.

    Raises:
        UsageError: `slug` is no such name.
        UnsafeError, AuthError: as `Client`.
    """

    limit = LIMIT
    html = False

    def __init__(self, address: str, token: str, slug: str, *, patience: Patience | None = None) -> None:
        if slug.count("/") != 1:
            raise UsageError(f"{slug!r} is not workspace/repository", hint="give it as BITBUCKET_REPO_FULL_NAME")
        self.slug = slug
        self._repo = "/repositories" + path(*slug.split("/"))
        self._client = Client(address, {}, {"Authorization": f"Bearer {token}"}, hint=_HINT, patience=patience)

    @cached_property
    def _user(self) -> str:
        """Who the token is; empty if it may not ask."""
        try:
            return text(self._client.get("/user").value, "uuid")
        except AuthError:
            return ""
        except StatusError as error:
            if only(error, 404):
                return ""
            raise

    def comments(self, number: int) -> Iterator[Comment]:
        """See `Host`; deleted ones and those on a line of code are left out."""
        found = self._client.pages(self._notes(number), [("pagelen", "100")])
        return (
            self._comment(one) for one in found if not mapping(one).get("deleted") and not mapping(one).get("inline")
        )

    def create(self, number: int, words: str, happened: Callable[[], Any]) -> Comment:
        """See `Host`."""
        made = self._client.send("POST", self._notes(number), {"content": {"raw": words}}, happened=happened)
        return self._comment(made.value)

    def update(self, number: int, comment: Comment, words: str) -> Comment:
        """See `Host`."""
        where = self._notes(number) + path(comment.id)
        return self._comment(self._client.send("PUT", where, {"content": {"raw": words}}).value)

    def _notes(self, number: int) -> str:
        return self._repo + path("pullrequests", number, "comments")

    def _comment(self, value: Any) -> Comment:
        own = text(below(value, "user"), "uuid") == self._user if self._user else None
        url = text(below(value, "links", "html"), "href")
        return Comment(whole(value, "id"), text(below(value, "content"), "raw"), url, own, mapping(value))

    def check(self, sha: str, report: Report, *, key: str, link: str) -> Done:
        """A Code Insights report with its annotations, in place of the one that was there."""
        name = titled(key)
        where = self._repo + path("commit", commit(sha), "reports", "".join(c if c.isalnum() else "-" for c in name))
        found = [one for one in findings(report) if one.file][:MOST]
        value = {
            "title": name,
            "details": described(report, 2000),
            "report_type": "TEST",
            "reporter": "mlgit",
            "result": "FAILED" if report.exit_code else "PASSED",
            **web("link", link),
        }
        self._forget(where)
        self._client.send("PUT", where, value)
        for at in range(0, len(found), BATCH):
            batch = [_annotation(number, one) for number, one in enumerate(found[at : at + BATCH], at)]
            self._client.send("POST", f"{where}/annotations", batch)
        return Done("created")

    def _forget(self, where: str) -> None:
        """Annotations stay when a report is replaced, so the old one goes first."""
        try:
            self._client.send("DELETE", where)
        except StatusError as error:
            if not only(error, 404):
                raise

    def labels(self, number: int) -> tuple[str, ...]:
        """None: Bitbucket has no labels."""
        return ()

    def pulls(self, sha: str, *, owner: str = "", branch: str = "") -> tuple[Pull, ...]:
        """See `Host`; Bitbucket shortens commit ids."""
        found = self._client.pages(self._repo + path("commit", commit(sha), "pullrequests"), [("pagelen", "50")])
        return tuple(
            Pull(whole(one, "id"), sha, self.slug)
            for one in found
            if text(one, "state") == "OPEN" and _begins(sha, text(below(one, "source", "commit"), "hash"))
        )


def _begins(sha: str, short: str) -> bool:
    return len(short) >= 12 and sha.startswith(short)


def _annotation(number: int, one: Finding) -> dict[str, Any]:
    """Sent twice it is still one, by its id."""
    return {
        "external_id": f"mlgit-{number}",
        "annotation_type": "CODE_SMELL",
        "path": one.file,
        **({"line": one.line} if one.line else {}),
        "summary": one.title[:450],
        "details": one.message[:2000],
        "severity": "HIGH" if one.level == "error" else "LOW",
    }
