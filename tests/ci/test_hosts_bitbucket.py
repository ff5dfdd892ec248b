"""What is sent to Bitbucket: a report with annotations and one comment; the server here keeps Bitbucket's rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from loopback import Asked, Clock, Fault, Reply, Server, serving

from mlgit.errors import AuthError, UsageError
from mlgit.model.report import Mark, Report, Row, Table, Verdict
from mlgit.ops.ci.hosts import publish
from mlgit.ops.ci.hosts.bitbucket import Bitbucket

TOKEN = "ATCTT3xFfGN0123456789abcdef"
SLUG = "team/flowers"
SHA = "e" * 40
MARK = "[//]: # (mlgit: report)"
US, STRANGER = "{11111111-0000}", "{22222222-0000}"
REPORT_KEYS = {
    "title",
    "details",
    "report_type",
    "reporter",
    "link",
    "remote_link_enabled",
    "logo_url",
    "result",
    "data",
}
NOTE_KEYS = {"external_id", "annotation_type", "path", "line", "summary", "details", "result", "severity", "link"}


@dataclass
class BitbucketState:
    """A repository as Bitbucket keeps it; its rules are those of its REST API's pages on reports and pull requests.

    Attributes:
        known: whether the token may ask who it is.
    """

    known: bool = True
    comments: list[dict[str, Any]] = field(default_factory=list)
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    requests: list[dict[str, Any]] = field(default_factory=list)
    server: Server | None = None

    def comment(self, raw: str, author: str, **more: Any) -> dict[str, Any]:
        number = 100 + len(self.comments)
        links = {"html": {"href": f"https://bitbucket.org/{SLUG}/pull-requests/7#comment-{number}"}}
        made = {
            "id": number,
            "content": {"raw": raw},
            "user": {"uuid": author},
            "links": links,
            "deleted": False,
            **more,
        }
        self.comments.append(made)
        return made

    def answer(self, asked: Asked) -> Reply:
        assert asked.headers.get("authorization") == f"Bearer {TOKEN}", "no token"
        for pattern, answer in ROUTES.items():
            if found := re.fullmatch(pattern, f"{asked.method} {asked.path}"):
                return answer(self, asked, *found.groups())
        raise AssertionError(f"Bitbucket has no {asked.method} {asked.path}")


def _user(state: BitbucketState, asked: Asked) -> Reply:
    refused = Reply(403, {"type": "error", "error": {"message": "Your credentials lack one or more required scopes."}})
    return Reply(200, {"uuid": US}) if state.known else refused


def _comments(state: BitbucketState, asked: Asked) -> Reply:
    size, number = int(asked.query["pagelen"]), int(asked.query.get("page", "1"))
    assert size <= 100
    more = {"next": f"https://api.bitbucket.org/2.0{asked.path}?pagelen={size}&page={number + 1}"}
    chosen = state.comments[(number - 1) * size : number * size]
    return Reply(200, {"values": chosen, **(more if number * size < len(state.comments) else {})})


def _comment(state: BitbucketState, asked: Asked) -> Reply:
    assert set(asked.value) == {"content"} and len(asked.value["content"]["raw"]) <= 32_768
    return Reply(201, state.comment(asked.value["content"]["raw"], US))


def _edit(state: BitbucketState, asked: Asked, number: str) -> Reply:
    found = next(one for one in state.comments if one["id"] == int(number))
    if found["user"]["uuid"] != US:
        assert not state.known, "tried the comment of somebody else"
        return Reply(403, {"type": "error", "error": {"message": "You are not the author"}})
    found["content"]["raw"] = asked.value["content"]["raw"]
    return Reply(200, found)


def _report(state: BitbucketState, asked: Asked, name: str) -> Reply:
    if asked.method == "DELETE":
        state.notes.pop(name, None)
        return Reply(204 if state.reports.pop(name, None) else 404, None)
    value = asked.value
    assert set(value) <= REPORT_KEYS and {"title", "details", "report_type"} <= set(value)
    assert value["report_type"] in ("SECURITY", "COVERAGE", "TEST", "BUG")
    assert value["result"] in ("PASSED", "FAILED", "PENDING") and len(value["details"]) <= 2000
    state.reports[name] = value
    return Reply(200, value)


def _annotations(state: BitbucketState, asked: Asked, name: str) -> Reply:
    assert name in state.reports and 1 <= len(asked.value) <= 100
    kept = state.notes.setdefault(name, {})
    for one in asked.value:
        assert set(one) <= NOTE_KEYS and {"annotation_type", "summary"} <= set(one)
        assert one["annotation_type"] in ("VULNERABILITY", "CODE_SMELL", "BUG")
        assert one["severity"] in ("CRITICAL", "HIGH", "MEDIUM", "LOW")
        assert len(one["summary"]) <= 450 and len(one.get("details", "")) <= 2000 and one.get("line", 1) >= 1
        kept[one["external_id"]] = one
    assert len(kept) <= 1000
    return Reply(200, asked.value)


def _requests(state: BitbucketState, asked: Asked, sha: str) -> Reply:
    return Reply(200, {"values": state.requests})


REPO = f"/repositories/{SLUG}"
ROUTES = {
    "GET /user": _user,
    f"GET {REPO}/pullrequests/7/comments": _comments,
    f"POST {REPO}/pullrequests/7/comments": _comment,
    rf"PUT {REPO}/pullrequests/7/comments/(\d+)": _edit,
    f"PUT {REPO}/commit/{SHA}/reports/([\\w-]+)": _report,
    f"DELETE {REPO}/commit/{SHA}/reports/([\\w-]+)": _report,
    f"POST {REPO}/commit/{SHA}/reports/([\\w-]+)/annotations": _annotations,
    f"GET {REPO}/commit/([0-9a-f]{{40}})/pullrequests": _requests,
}


@pytest.fixture
def bucket() -> Iterator[BitbucketState]:
    state = BitbucketState()
    with serving(state.answer) as server:
        state.server = server
        yield state


@pytest.fixture
def clock() -> Clock:
    return Clock()


def host(bucket: BitbucketState, clock: Clock) -> Bitbucket:
    assert bucket.server
    return Bitbucket(bucket.server.address, TOKEN, SLUG, patience=clock.patience())


def report(number: int = 0, verdict: Verdict = Verdict.PASS) -> Report:
    failing = [
        Row((f"m{at} " + "x" * 500, 0.9, 0.8), Mark.FAIL, "n" * 3000, f"m.json:{at + 1}") for at in range(number)
    ]
    rows = (*failing, Row(("accuracy", 0.9, 0.9), Mark.SAME), Row(("recall", 0.9, 0.95), Mark.BETTER))
    return Report("ci", "mlgit", (Table("m", "Metrics", ("metric", "base", "head"), rows),), verdict, "main", "topic")


def what(bucket: BitbucketState, clock: Clock, made: Report) -> str:
    done = publish(host(bucket, clock), made, number=7)
    assert done.comment
    return done.comment.what


def test_a_comment_is_made_left_alone_and_updated(bucket: BitbucketState, clock: Clock) -> None:
    done = [what(bucket, clock, made) for made in (report(), report(), report(1, Verdict.FAIL))]
    assert done == ["created", "unchanged", "updated"] and len(bucket.comments) == 1
    raw = bucket.comments[0]["content"]["raw"]
    assert raw.startswith(MARK) and "<" not in raw and "recall" in raw and "accuracy" not in raw


def test_our_comment_is_found_on_the_third_page(bucket: BitbucketState, clock: Clock) -> None:
    bucket.comment(f"{MARK}\n\nmine", STRANGER)
    bucket.comment(f"{MARK}\n\ngone", US, deleted=True)
    bucket.comment(f"{MARK}\n\non a line", US, inline={"path": "a.py", "to": 1})
    for number in range(220):
        bucket.comment(f"hello {number}", STRANGER)
    bucket.comment(f"{MARK}\n\nold", US)
    assert what(bucket, clock, report()) == "updated"
    assert bucket.comments[0]["content"]["raw"].endswith("mine") and "recall" in bucket.comments[-1]["content"]["raw"]


@pytest.mark.parametrize("ours", [True, False])
def test_a_token_that_may_not_ask_who_it_is_leaves_the_choice_to_bitbucket(
    bucket: BitbucketState, clock: Clock, ours: bool
) -> None:
    bucket.known = False
    bucket.comment(f"{MARK}\n\nmine", STRANGER)
    if ours:
        bucket.comment(f"{MARK}\n\nold", US)
    assert what(bucket, clock, report()) == ("updated" if ours else "created")
    assert bucket.comments[0]["content"]["raw"].endswith("mine") and len(bucket.comments) == 2


@pytest.mark.parametrize("after", [True, False])
def test_a_comment_whose_answer_was_lost_is_not_doubled(bucket: BitbucketState, clock: Clock, after: bool) -> None:
    assert bucket.server
    bucket.server.faults.append(Fault("POST", "/comments", None, after=after))
    what(bucket, clock, report())
    assert len(bucket.comments) == 1


def test_a_report_replaces_the_one_before_with_its_annotations(bucket: BitbucketState, clock: Clock) -> None:
    publish(host(bucket, clock), report(250, Verdict.FAIL), sha=SHA, link="https://bitbucket.org/x")
    assert bucket.reports["mlgit"]["result"] == "FAILED" and len(bucket.notes["mlgit"]) == 250
    assert {one["line"] for one in bucket.notes["mlgit"].values()} == set(range(1, 251))
    publish(host(bucket, clock), report(3, Verdict.FAIL), sha=SHA)
    assert len(bucket.notes["mlgit"]) == 3


def test_annotations_sent_twice_are_still_one(bucket: BitbucketState, clock: Clock) -> None:
    assert bucket.server
    bucket.server.faults.append(Fault("POST", "/annotations", Reply(502), after=True))
    publish(host(bucket, clock), report(120, Verdict.FAIL), sha=SHA, key="nightly")
    assert len(bucket.notes["mlgit-nightly"]) == 120


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_report_passes_only_if_the_verdict_does(bucket: BitbucketState, clock: Clock, verdict: Verdict) -> None:
    publish(host(bucket, clock), report(verdict=verdict), sha=SHA)
    assert bucket.reports["mlgit"]["result"] == ("PASSED" if verdict.value in ("pass", "none") else "FAILED")


def test_pull_requests_of_a_commit(bucket: BitbucketState, clock: Clock) -> None:
    for number, (state, short) in enumerate(
        [("MERGED", SHA[:12]), ("OPEN", "d" * 12), ("OPEN", SHA[:12]), ("OPEN", "")]
    ):
        bucket.requests.append({"id": number, "state": state, "source": {"commit": {"hash": short}}})
    assert [pull.number for pull in host(bucket, clock).pulls(SHA)] == [2]
    assert host(bucket, clock).labels(7) == ()


def test_a_refused_token_is_told_and_not_shown(bucket: BitbucketState, clock: Clock) -> None:
    assert bucket.server
    refused = Reply(401, {"type": "error", "error": {"message": f"Token is invalid: {TOKEN}"}})
    bucket.server.faults.append(Fault("GET", "/comments", refused))
    with pytest.raises(AuthError) as caught:
        what(bucket, clock, report())
    assert TOKEN not in str(caught.value) and "invalid" in str(caught.value)


@pytest.mark.parametrize("slug", ["flowers", "a/b/c", ""])
def test_only_a_slug_is_a_slug(slug: str) -> None:
    with pytest.raises(UsageError):
        Bitbucket("https://api.bitbucket.org/2.0", TOKEN, slug)
