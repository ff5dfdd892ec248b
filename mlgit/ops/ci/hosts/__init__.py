"""Publishing a report where people read it: one comment that is kept up to date, and a verdict beside the commit.

What differs between code hosts stands in a module each; what a comment is, and how it is found again, stands here.
Hosts take plain values (address, token, name of the repository): nothing here reads the environment, and no address
ever comes from a repository's files. A comment of somebody else is never edited, whatever it says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from mlgit.model.report import Report, count
from mlgit.ops.ci.comment import KEY, body, findings, marker
from mlgit.remote.http import ForbiddenError, StatusError, only


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment on a pull request.

    Attributes:
        own: whether the token's user wrote it; None where the host does not tell who that is.
        raw: what the host said of it.
    """

    id: int
    body: str
    url: str
    own: bool | None
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pull:
    """An open pull request (or merge request), as the host knows it now.

    Attributes:
        head: commit id of its newest commit.
        target: the repository it wants to merge into.
    """

    number: int
    head: str
    target: str


@dataclass(frozen=True, slots=True)
class Done:
    """What publishing did; `url` is empty where the host told none."""

    what: Literal["created", "updated", "unchanged"]
    url: str = ""


@dataclass(frozen=True, slots=True)
class Published:
    """What became of the comment and of the verdict; None for what was not asked for."""

    comment: Done | None = None
    check: Done | None = None


class Host(Protocol):
    """What a code host can do with a report. Every method raises AuthError and RemoteError.

    Attributes:
        slug: the repository, as the host names it.
        limit: bytes that a comment may have.
        html: whether it hides HTML comments and folds `<details>`.
    """

    slug: str
    limit: int
    html: bool

    def comments(self, number: int) -> Iterator[Comment]:
        """All comments on a pull request, the oldest first, over all pages."""
        ...

    def create(self, number: int, words: str, happened: Callable[[], Any]) -> Comment:
        """A new comment; `happened` tells after a broken connection what was made (`Client.send`)."""
        ...

    def update(self, number: int, comment: Comment, words: str) -> Comment:
        """Other words in a comment."""
        ...

    def check(self, sha: str, report: Report, *, key: str, link: str) -> Done:
        """The verdict beside a commit, with what fails beside the lines that rows name."""
        ...

    def labels(self, number: int) -> tuple[str, ...]:
        """Labels of a pull request."""
        ...

    def pulls(self, sha: str, *, owner: str = "", branch: str = "") -> tuple[Pull, ...]:
        """Open pull requests whose newest commit is `sha`.

        Args:
            owner, branch: where the commit is, for hosts that do not find a fork's commit by its id.
        """
        ...


def publish(
    host: Host, report: Report, *, number: int | None = None, sha: str | None = None, key: str = KEY, link: str = ""
) -> Published:
    """Show `report` on the pull request `number`, and its verdict beside the commit `sha`; either may be None.

    Args:
        key: tells several reports on one pull request apart.
        link: address of the run, or of the whole report.

    Raises:
        AuthError: the token may not.
        RemoteError: the host did not answer, or refused for another reason.
        UsageError: `key` cannot name a comment.
    """
    text = body(report, limit=host.limit, link=link, key=key, html=host.html)

    def judge() -> Done | None:
        return None if sha is None else host.check(sha, report, key=key, link=link)

    try:
        comment = None if number is None else stick(host, number, text, key=key)
    except ForbiddenError:
        judge()  # a token may be allowed the one and not the other
        raise
    return Published(comment, judge())


def stick(host: Host, number: int, text: str, *, key: str = KEY) -> Done:
    """One comment about `key` on the pull request, which says `text`: untouched, updated, or new.

    Where the host does not tell who we are, the host decides: it refuses to change another's comment.
    """
    start = marker(key, html=host.html)
    for comment in _ours(host.comments(number), start):
        if _same(comment.body, text):
            return Done("unchanged", comment.url)
        try:
            return Done("updated", host.update(number, comment, text).url)
        except ForbiddenError:
            if comment.own:
                raise
        except StatusError as error:  # somebody deleted it meanwhile
            if not only(error, 404, 410):
                raise

    def happened() -> Mapping[str, Any] | None:
        found = (one.raw for one in _ours(host.comments(number), start) if _same(one.body, text))
        return next(found, None)

    return Done("created", host.create(number, text, happened).url)


def described(report: Report, limit: int) -> str:
    """The verdict and what fails in a few words, for places that hold a line."""
    found = findings(report)
    failing = sum(one.level == "error" for one in found)
    parts = [report.verdict.words or "nothing to judge"]
    parts += [f"{count(failing, 'row')} failing"] * bool(failing)
    parts += [f"{count(len(found) - failing, 'warning')}"] * (len(found) > failing)
    return ", ".join(parts)[:limit]


def titled(key: str) -> str:
    """What a verdict is called beside a commit: `mlgit`, or `mlgit/<key>` where there are several."""
    return "mlgit" if key == KEY else f"mlgit/{key}"


def _ours(comments: Iterable[Comment], start: str) -> list[Comment]:
    return [one for one in comments if one.own is not False and one.body.startswith(start)]


def _same(there: str, text: str) -> bool:
    """Hosts may store other line ends, and no blanks at the end."""
    return there.replace("\r\n", "\n").strip() == text.strip()
