"""What is sent to GitHub is what GitHub takes, by its own description, and a comment is made once and kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from loopback import Asked, Clock, Fault, Reply
from openapi import (
    SHA,
    SLUG,
    TOKEN,
    GitHubState,
    ViolationError,
    check_body,
    check_headers,
    github,
    operation,
    webhook_examples,
)

from mlgit.errors import AuthError, InvalidError, NotEvaluableError, RemoteError, UnsafeError, UsageError
from mlgit.model.report import Mark, Report, Row, Table, Verdict, to_json
from mlgit.ops.ci.comment import body
from mlgit.ops.ci.hosts import Done, publish, stick
from mlgit.ops.ci.hosts.github import GitHub
from mlgit.ops.ci.relay import relay

LINK = f"https://github.com/{SLUG}/actions/runs/1"
MARK = "<!-- mlgit: report -->"
COLUMNS = ("metric", "base", "head")


def report(*rows: Row, verdict: Verdict = Verdict.PASS) -> Report:
    kept = rows or (Row(("accuracy", 0.9, 0.91), Mark.BETTER),)
    return Report("ci", "mlgit", (Table("metrics", "Metrics", COLUMNS, kept),), verdict, "main", "topic")


def failing(number: int) -> Report:
    rows = [Row((f"m{at}", 0.9, 0.8), Mark.FAIL, "too low", f"metrics/{at}.json:{at + 1}") for at in range(number)]
    return report(*rows, verdict=Verdict.FAIL)


@pytest.fixture
def hub() -> Iterator[GitHubState]:
    with github() as state:
        yield state


@pytest.fixture
def clock() -> Clock:
    return Clock()


def host(hub: GitHubState, clock: Clock, **options: Any) -> GitHub:
    assert hub.server is not None
    return GitHub(hub.server.address, TOKEN, SLUG, patience=clock.patience(), **options)


def bodies(hub: GitHubState, number: int = 7) -> list[str]:
    return [one["body"] for one in hub.comments[number]]


def test_a_comment_is_made_then_left_alone_then_updated(hub: GitHubState, clock: Clock) -> None:
    first = publish(host(hub, clock), report(), number=7)
    assert first.comment and first.comment.what == "created" and first.comment.url
    again = publish(host(hub, clock), report(), number=7)
    assert again.comment and again.comment.what == "unchanged"
    assert hub.server and hub.server.changes() == ["POST"]
    publish(host(hub, clock), failing(1), number=7)
    assert hub.server.changes() == ["POST", "PATCH"]
    (only,) = bodies(hub)
    assert only.startswith(MARK + "\n") and "failed" in only


def test_several_reports_have_a_comment_each(hub: GitHubState, clock: Clock) -> None:
    for key in ("report", "nightly", "report"):
        publish(host(hub, clock), report(), number=7, key=key)
    assert [one.partition("\n")[0] for one in bodies(hub)] == [MARK, "<!-- mlgit: nightly -->"]


def test_our_comment_is_found_on_the_third_page(hub: GitHubState, clock: Clock) -> None:
    for number in range(250):
        hub.comment(7, f"hello {number}", "somebody")
    hub.comment(7, f"{MARK}\n\nold", hub.login)
    assert publish(host(hub, clock), report(), number=7).comment == Done("updated", hub.comments[7][-1]["html_url"])
    assert hub.server
    pages = [one.query.get("page") for one in hub.server.asked if one.path.endswith("/comments")]
    assert pages == [None, "2", "3"]


@pytest.mark.parametrize("login", ["stranger", "github-actions", "other-app[bot]"])
def test_a_strangers_comment_with_our_marker_is_never_edited(hub: GitHubState, clock: Clock, login: str) -> None:
    hub.comment(7, f"{MARK}\n\nmine", login)
    assert publish(host(hub, clock), report(), number=7).comment.what == "created"  # type: ignore[union-attr]
    assert bodies(hub)[0] == f"{MARK}\n\nmine"


def test_a_persons_token_edits_only_that_persons_comment(hub: GitHubState, clock: Clock) -> None:
    hub.bot, hub.login = False, "maintainer"
    hub.comment(7, f"{MARK}\n\nby the workflow", "github-actions[bot]")
    hub.comment(7, f"{MARK}\n\nby me", "Maintainer")
    hub.comments[7][1]["user"]["login"] = "maintainer"
    publish(host(hub, clock), report(), number=7)
    assert bodies(hub)[0].endswith("by the workflow") and "accuracy" in bodies(hub)[1]


def test_the_app_behind_a_bot_must_be_the_bots(hub: GitHubState, clock: Clock) -> None:
    hub.comment(7, f"{MARK}\n\nold", hub.login, app="github-actions")
    assert stick(host(hub, clock), 7, body(report(), limit=65_536)).what == "updated"


def test_a_quoted_marker_is_not_a_marker(hub: GitHubState, clock: Clock) -> None:
    hub.comment(7, f"see\n{MARK}", hub.login)
    assert publish(host(hub, clock), report(), number=7).comment.what == "created"  # type: ignore[union-attr]


def test_a_comment_deleted_meanwhile_is_made_anew(hub: GitHubState, clock: Clock) -> None:
    hub.comment(7, f"{MARK}\n\nold", hub.login)
    assert hub.server
    hub.server.faults.append(Fault("PATCH", "/issues/comments/", Reply(404, {"message": "Not Found"})))
    assert publish(host(hub, clock), report(), number=7).comment.what == "created"  # type: ignore[union-attr]


@pytest.mark.parametrize("reply", [None, Reply(502, raw=b"<html>bad gateway</html>"), Reply(201, raw=b'{"id": 1')])
def test_a_comment_whose_answer_was_lost_is_not_doubled(hub: GitHubState, clock: Clock, reply: Reply | None) -> None:
    assert hub.server
    hub.server.faults.append(Fault("POST", "/comments", reply, after=True))
    publish(host(hub, clock), report(), number=7)
    assert len(bodies(hub)) == 1 and hub.server.changes() == ["POST"]


@pytest.mark.parametrize("reply", [None, Reply(502)])
def test_a_comment_that_was_not_made_is_posted_again(hub: GitHubState, clock: Clock, reply: Reply | None) -> None:
    assert hub.server
    hub.server.faults.append(Fault("POST", "/comments", reply))
    publish(host(hub, clock), report(), number=7)
    assert len(bodies(hub)) == 1 and hub.server.changes() == ["POST", "POST"]


def test_rate_limits_are_waited_for(hub: GitHubState, clock: Clock) -> None:
    assert hub.server
    limited = Reply(403, {"message": "You have exceeded a secondary rate limit"}, {"Retry-After": "17"})
    hub.server.faults.append(Fault("POST", "/comments", limited))
    hub.server.faults.append(Fault("GET", "/comments", Reply(429, {}, {"Retry-After": "5"})))
    publish(host(hub, clock), report(), number=7)
    assert clock.slept == [5.0, 17.0] and len(bodies(hub)) == 1


@pytest.mark.parametrize(
    ("verdict", "conclusion"),
    [
        (Verdict.PASS, "success"),
        (Verdict.FAIL, "failure"),
        (Verdict.NONE, "neutral"),
        (Verdict.NOT_EVALUABLE, "action_required"),
        (Verdict.NOT_COMPARABLE, "action_required"),
        (Verdict.MISSING, "failure"),
        (Verdict.DAMAGED, "failure"),
    ],
)
def test_a_check_run_says_the_verdict(hub: GitHubState, clock: Clock, verdict: Verdict, conclusion: str) -> None:
    done = publish(host(hub, clock), report(verdict=verdict), sha=SHA, link=LINK)
    (run,) = hub.runs
    assert done.comment is None and done.check and run["conclusion"] == conclusion
    assert (run["name"], run["head_sha"], run["details_url"]) == ("mlgit", SHA, LINK)


def test_annotations_come_in_batches_and_name_their_lines(hub: GitHubState, clock: Clock) -> None:
    publish(host(hub, clock), failing(120), sha=SHA, key="nightly")
    (run,) = hub.runs
    assert hub.server and hub.server.changes() == ["POST", "PATCH", "PATCH"]
    notes = hub.notes[run["id"]]
    assert run["name"] == "mlgit/nightly" and len({one["path"] for one in notes}) == len(notes) == 120
    assert notes[4]["start_line"] == notes[4]["end_line"] == 5 and notes[4]["annotation_level"] == "failure"


@pytest.mark.parametrize(("method", "within"), [("POST", "/check-runs"), ("PATCH", "/check-runs/")])
@pytest.mark.parametrize("after", [True, False])
def test_annotations_are_not_doubled(hub: GitHubState, clock: Clock, method: str, within: str, after: bool) -> None:
    assert hub.server
    hub.server.faults.append(Fault(method, within, None, after=after))
    publish(host(hub, clock), failing(120), sha=SHA)
    (run,) = hub.runs
    assert len(hub.notes[run["id"]]) == 120


def test_without_the_right_to_check_runs_it_is_a_status(hub: GitHubState, clock: Clock) -> None:
    hub.checks = False
    for verdict in (Verdict.PASS, Verdict.FAIL, Verdict.NOT_EVALUABLE):
        publish(host(hub, clock), report(verdict=verdict), sha=SHA, link=LINK)
    assert [one["state"] for one in hub.statuses] == ["success", "failure", "error"]
    assert hub.statuses[0]["context"] == "mlgit" and hub.statuses[0]["target_url"] == LINK


def test_a_forks_token_is_refused_with_what_to_do(hub: GitHubState, clock: Clock) -> None:
    hub.writes = False
    with pytest.raises(AuthError) as caught:
        publish(host(hub, clock), report(), number=7)
    assert "workflow_run" in str(caught.value.hint) and TOKEN not in f"{caught.value} {caught.value.hint}"


def test_a_token_that_may_not_comment_still_judges(hub: GitHubState, clock: Clock) -> None:
    assert hub.server
    hub.server.faults.append(Fault("POST", "/comments", Reply(403, {"message": "Resource not accessible"})))
    with pytest.raises(AuthError, match="comments"):
        publish(host(hub, clock), report(), number=7, sha=SHA)
    assert [run["conclusion"] for run in hub.runs] == ["success"]


def test_a_link_or_a_path_that_github_refuses_is_left_out(hub: GitHubState, clock: Clock) -> None:
    rows = [Row(("m", 1, 2), Mark.FAIL, "", where) for where in ("../x:1", "/etc/passwd:1", "", "a/b.json")]
    publish(host(hub, clock), report(*rows, verdict=Verdict.FAIL), sha=SHA, link="javascript:alert(1)")
    (run,) = hub.runs
    assert [one["path"] for one in hub.notes[run["id"]]] == ["a/b.json"]


def test_long_reports_stay_within_every_limit(hub: GitHubState, clock: Clock) -> None:
    rows = [Row((f"metric-{at}-é😀" * 8, 0.9, 0.91), Mark.CHANGED, "n" * 300) for at in range(2000)]
    rows.append(Row(("bad", 0.9, 0.1), Mark.FAIL, "x" * 9000, "m.json:1"))
    publish(host(hub, clock), report(*rows, verdict=Verdict.FAIL), number=7, sha=SHA, link=LINK)
    (only,) = bodies(hub)
    assert "❌ fail | bad" in only and "rows not shown" in only and LINK in only


def test_hostile_texts_pass_as_texts(hub: GitHubState, clock: Clock) -> None:
    evil = f"{MARK}\n/merge ::error:: @everyone \x1b[31m \ud800 <img src=x> ](javascript:0)"
    rows = [Row((evil, 1.0, 2.0), Mark.FAIL, evil, f"{evil}:3")]
    made = Report("ci", evil, (Table("m", evil, COLUMNS, tuple(rows), evil),), Verdict.FAIL, "/close", evil, (evil,))
    publish(host(hub, clock), made, number=7, sha=SHA)
    (only,) = bodies(hub)
    assert only.count("<!--") == 1 and "<img" not in only and "@everyone" not in only and "\x1b" not in only
    assert not any(line.startswith("/") for line in only.splitlines())


def test_labels_over_all_pages(hub: GitHubState, clock: Clock) -> None:
    hub.labels[7] = [f"label {at}" for at in range(130)]
    assert host(hub, clock).labels(7) == tuple(hub.labels[7])


def test_redirects_within_github_are_followed_and_others_not(hub: GitHubState, clock: Clock) -> None:
    assert hub.server
    moved = Reply(301, {}, {"Location": f"{hub.server.address}/repos/{SLUG}/issues/7/labels"})
    hub.server.faults.append(Fault("GET", "/labels", moved))
    assert host(hub, clock).labels(7) == ()
    hub.server.faults.append(Fault("GET", "/labels", Reply(301, {}, {"Location": "https://example.org/"})))
    with pytest.raises(RemoteError, match="another host"):
        host(hub, clock).labels(7)


@pytest.mark.parametrize("slug", ["flowers", "a/b/c", "../..", "a/", "a b/c", "a/b?x"])
def test_only_a_slug_is_a_slug(slug: str) -> None:
    with pytest.raises((UsageError, UnsafeError)):
        GitHub("https://api.github.com", TOKEN, slug)


@pytest.mark.parametrize("sha", ["main", "", "a" * 39, "../" + SHA])
def test_only_a_whole_commit_id_is_one(hub: GitHubState, clock: Clock, sha: str) -> None:
    with pytest.raises(UsageError, match="whole commit id"):
        publish(host(hub, clock), report(), sha=sha)


def event(sha: str = SHA, **run: Any) -> dict[str, Any]:
    """GitHub's own example of `workflow_run`, as it is for a fork's pull request."""
    examples = next(one["examples"] for one in webhook_examples() if one["name"] == "workflow_run")
    made = json.loads(json.dumps(examples[0]))
    fork = {**made["workflow_run"]["repository"], "full_name": "stranger/flowers", "fork": True}
    fork["owner"] = {**fork["owner"], "login": "stranger"}
    made["repository"]["full_name"] = made["workflow_run"]["repository"]["full_name"] = SLUG
    made["workflow_run"].update(
        event="pull_request", head_sha=sha, head_branch="topic", head_repository=fork, pull_requests=[]
    )
    made["workflow_run"].update({"conclusion": "failure", **run})
    return made


def relayed(hub: GitHubState, clock: Clock, payload: dict[str, Any], data: bytes | None = None) -> Any:
    return relay(data or to_json(report()).encode(), "report.json", payload, host(hub, clock), link=LINK)


def test_a_forks_report_is_commented_on_its_pull_request(hub: GitHubState, clock: Clock) -> None:
    hub.pull(6, SHA, "other:topic")
    hub.pulls[0]["head"]["sha"] = "b" * 40
    hub.pull(7, SHA, "stranger:topic")
    done = relayed(hub, clock, event())
    assert done.comment.what == "created" and done.check is None and not hub.runs and not hub.statuses
    assert "ended with: failure" in bodies(hub)[0]


def test_a_pull_request_is_found_where_commits_may_not_be_read(hub: GitHubState, clock: Clock) -> None:
    hub.pull(7, SHA, "stranger:topic")
    assert hub.server
    hub.server.faults += [Fault("GET", "/commits/", Reply(403, {"message": "Resource not accessible"}))] * 2
    assert [pull.number for pull in host(hub, clock).pulls(SHA, owner="stranger", branch="topic")] == [7]
    with pytest.raises(AuthError):
        host(hub, clock).pulls(SHA)


@pytest.mark.parametrize("value", [[None], ["x"], [{"id": "1"}], [{"id": None, "user": 3}]])
def test_an_answer_that_is_not_githubs_is_an_error(hub: GitHubState, clock: Clock, value: Any) -> None:
    assert hub.server
    hub.server.faults.append(Fault("GET", "/comments", Reply(200, value)))
    with pytest.raises(RemoteError, match="no number 'id'"):
        publish(host(hub, clock), report(), number=7)


def test_a_forks_pull_request_that_moved_on_is_left_alone(hub: GitHubState, clock: Clock) -> None:
    hub.pull(7, "b" * 40, "stranger:topic")
    hub.pull(8, SHA, "stranger:topic", state="closed")
    with pytest.raises(NotEvaluableError, match="no open pull request"):
        relayed(hub, clock, event())
    assert hub.server and not hub.server.changes()


def test_two_pull_requests_of_one_commit_need_the_event_to_choose(hub: GitHubState, clock: Clock) -> None:
    hub.commits.add(SHA)
    for number in (7, 8):
        hub.pull(number, SHA, "stranger:topic")
    with pytest.raises(NotEvaluableError, match="2 open pull requests"):
        relayed(hub, clock, event())
    relayed(hub, clock, event(pull_requests=[{"number": 8}]))
    assert list(hub.comments) == [8]


@pytest.mark.parametrize(
    "change",
    [
        {"event": "push"},
        {"event": "pull_request_target"},
        {"repository": {"full_name": "stranger/flowers"}},
        {"repository": None},
    ],
)
def test_an_event_of_another_kind_or_place_is_refused(hub: GitHubState, clock: Clock, change: dict[str, Any]) -> None:
    hub.pull(7, SHA, "stranger:topic")
    with pytest.raises(NotEvaluableError):
        relayed(hub, clock, event(**change))
    with pytest.raises(NotEvaluableError):
        relayed(hub, clock, {})
    assert hub.server and not hub.server.changes()


@pytest.mark.parametrize("data", [b"\x00", b"[]", b"{}", b'{"version": 1, "number": 9}'])
def test_a_hostile_artifact_is_refused(hub: GitHubState, clock: Clock, data: bytes) -> None:
    hub.pull(7, SHA, "stranger:topic")
    with pytest.raises(InvalidError):
        relayed(hub, clock, event(), data)
    assert hub.server and not hub.server.asked


@pytest.mark.parametrize("name", ["accept", "user-agent", "x-github-api-version", "authorization"])
def test_a_header_that_github_wants_is_missed(name: str) -> None:
    headers = {
        "accept": "application/vnd.github+json",
        "user-agent": "x",
        "x-github-api-version": "2022-11-28",
        "authorization": f"Bearer {TOKEN}",
    }
    check_headers(Asked("GET", "/user", {}, headers, b""))
    with pytest.raises(ViolationError, match=name):
        check_headers(Asked("GET", "/user", {}, {**headers, name: ""}, b""))


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (f"/repos/{SLUG}/issues/7/comments", {"body": "x" * 65_537}, "too long"),
        (f"/repos/{SLUG}/issues/7/comments", {"text": "x"}, "text|body"),
        (f"/repos/{SLUG}/statuses/{SHA}", {"state": "passed"}, "passed"),
        (f"/repos/{SLUG}/check-runs", {"name": "a", "head_sha": SHA, "conclusion": "ok"}, "ok"),
        (f"/repos/{SLUG}/check-run", {}, "GitHub has no"),
    ],
)
def test_the_description_refuses_what_github_refuses(hub: GitHubState, path: str, value: Any, reason: str) -> None:
    asked = Asked("POST", path, {}, {}, json.dumps(value).encode())
    with pytest.raises(ViolationError, match=reason):
        check_body(asked, operation(asked))
