"""What is sent to GitLab: one note that is kept, and a commit status; against a server that keeps GitLab's rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from loopback import Asked, Clock, Fault, Reply, Server, page, serving

from mlgit.errors import AuthError, RemoteError
from mlgit.model.report import Mark, Report, Row, Table, Verdict
from mlgit.ops.ci.hosts import publish
from mlgit.ops.ci.hosts.gitlab import GitLab

TOKEN = "glpat-0123456789abcdefghij"
SLUG = "group/sub/flowers"
SHA = "c" * 40
MARK = "<!-- mlgit: report -->"
US, STRANGER = 11, 12
STATES = ("pending", "running", "success", "failed", "canceled", "skipped")


@dataclass
class GitLabState:
    """A project as GitLab keeps it; its rules are those of its REST API's pages on notes and commits."""

    notes: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    server: Server | None = None

    def note(self, body: str, author: int, system: bool = False) -> dict[str, Any]:
        made = {"id": 100 + len(self.notes), "body": body, "author": {"id": author}, "system": system}
        self.notes.append(made)
        return made

    def answer(self, asked: Asked) -> Reply:
        assert asked.headers.get("private-token") == TOKEN, "no token"
        assert "authorization" not in asked.headers
        for pattern, answer in ROUTES.items():
            if found := re.fullmatch(pattern, f"{asked.method} {asked.path}"):
                return answer(self, asked, *found.groups())
        raise AssertionError(f"GitLab has no {asked.method} {asked.path}")


def _user(state: GitLabState, asked: Asked) -> Reply:
    return Reply(200, {"id": US, "username": "project_1_bot"})


def _notes(state: GitLabState, asked: Asked) -> Reply:
    assert set(asked.query) <= {"sort", "order_by", "per_page", "page", "activity_filter"}
    assert asked.query.get("sort", "desc") in ("asc", "desc") and int(asked.query["per_page"]) <= 100
    assert state.server
    chosen, headers = page(state.notes, asked, state.server.address)
    return Reply(200, chosen, headers)


def _note(state: GitLabState, asked: Asked) -> Reply:
    assert set(asked.value) == {"body"} and len(asked.value["body"]) <= 1_000_000
    assert not re.search(r"^/\w", asked.value["body"], re.MULTILINE), "a quick action"
    return Reply(201, state.note(asked.value["body"], US))


def _edit(state: GitLabState, asked: Asked, number: str) -> Reply:
    found = next(one for one in state.notes if one["id"] == int(number))
    assert found["author"]["id"] == US and not found["system"], "edited the note of somebody else"
    assert set(asked.value) == {"body"}
    found["body"] = asked.value["body"]
    return Reply(200, found)


def _status(state: GitLabState, asked: Asked, sha: str) -> Reply:
    value = asked.value
    assert set(value) <= {"state", "ref", "name", "context", "target_url", "description", "coverage", "pipeline_id"}
    assert value["state"] in STATES and len(value.get("description", "")) <= 255
    if state.statuses and state.statuses[-1]["state"] == value["state"]:
        return Reply(400, {"message": f"Cannot transition status via :enqueue from :{value['state']}"})
    state.statuses.append({**value, "sha": sha})
    return Reply(201, state.statuses[-1])


def _request(state: GitLabState, asked: Asked) -> Reply:
    return Reply(200, {"iid": 7, "labels": state.labels})


def _requests(state: GitLabState, asked: Asked, sha: str) -> Reply:
    return Reply(200, state.requests)


PROJECT = "/projects/group%2Fsub%2Fflowers"
ROUTES = {
    "GET /user": _user,
    f"GET {PROJECT}/merge_requests/7/notes": _notes,
    f"POST {PROJECT}/merge_requests/7/notes": _note,
    rf"PUT {PROJECT}/merge_requests/7/notes/(\d+)": _edit,
    f"POST {PROJECT}/statuses/([0-9a-f]{{40}})": _status,
    f"GET {PROJECT}/merge_requests/7": _request,
    f"GET {PROJECT}/repository/commits/([0-9a-f]{{40}})/merge_requests": _requests,
}


@pytest.fixture
def lab() -> Iterator[GitLabState]:
    state = GitLabState()
    with serving(state.answer) as server:
        state.server = server
        yield state


@pytest.fixture
def clock() -> Clock:
    return Clock()


def host(lab: GitLabState, clock: Clock) -> GitLab:
    assert lab.server
    return GitLab(lab.server.address, TOKEN, SLUG, patience=clock.patience())


def report(verdict: Verdict = Verdict.PASS, name: str = "accuracy") -> Report:
    rows = (Row((name, 0.9, 0.8), Mark.FAIL if verdict is Verdict.FAIL else Mark.BETTER),)
    return Report("ci", "mlgit", (Table("m", "Metrics", ("metric", "base", "head"), rows),), verdict, "/close", "topic")


def what(lab: GitLabState, clock: Clock, made: Report) -> str:
    done = publish(host(lab, clock), made, number=7)
    assert done.comment
    return done.comment.what


def test_a_note_is_made_left_alone_and_updated(lab: GitLabState, clock: Clock) -> None:
    done = [what(lab, clock, made) for made in (report(), report(), report(Verdict.FAIL))]
    assert done == ["created", "unchanged", "updated"] and len(lab.notes) == 1
    assert lab.server and lab.server.changes() == ["POST", "PUT"]


def test_our_note_is_found_on_the_third_page_past_strangers_and_system(lab: GitLabState, clock: Clock) -> None:
    lab.note(f"{MARK}\n\nmine", STRANGER)
    lab.note(f"{MARK}\n\nchanged the title", US, system=True)
    for number in range(220):
        lab.note(f"hello {number}", STRANGER)
    lab.note(f"{MARK}\n\nold", US)
    assert what(lab, clock, report()) == "updated"
    assert lab.notes[0]["body"] == f"{MARK}\n\nmine" and "accuracy" in lab.notes[-1]["body"]


@pytest.mark.parametrize("after", [True, False])
def test_a_note_whose_answer_was_lost_is_not_doubled(lab: GitLabState, clock: Clock, after: bool) -> None:
    assert lab.server
    lab.server.faults.append(Fault("POST", "/notes", None, after=after))
    what(lab, clock, report())
    assert len(lab.notes) == 1


def test_a_status_says_the_verdict_once(lab: GitLabState, clock: Clock) -> None:
    verdicts = (Verdict.PASS, Verdict.PASS, Verdict.FAIL, Verdict.NOT_EVALUABLE, Verdict.NONE)
    done = [publish(host(lab, clock), report(one), sha=SHA, link="https://gitlab.com/x").check for one in verdicts]
    assert [one.what for one in done if one] == ["created", "unchanged", "created", "unchanged", "created"]
    assert [one["state"] for one in lab.statuses] == ["success", "failed", "success"]
    assert lab.statuses[0]["name"] == "mlgit" and lab.statuses[0]["sha"] == SHA


def test_another_400_is_an_error(lab: GitLabState, clock: Clock) -> None:
    assert lab.server
    lab.server.faults.append(Fault("POST", "/statuses", Reply(400, {"message": {"ref": ["is odd"]}})))
    with pytest.raises(RemoteError, match="is odd"):
        publish(host(lab, clock), report(), sha=SHA)


def test_labels(lab: GitLabState, clock: Clock) -> None:
    lab.labels = ["a", "b c"]
    assert host(lab, clock).labels(7) == ("a", "b c")


def test_merge_requests_of_a_commit(lab: GitLabState, clock: Clock) -> None:
    lab.requests = [
        {"iid": 5, "state": "merged", "sha": SHA},
        {"iid": 6, "state": "opened", "sha": "d" * 40},
        {"iid": 7, "state": "opened", "sha": SHA},
    ]
    assert [pull.number for pull in host(lab, clock).pulls(SHA)] == [7]


def test_a_refused_token_is_told_and_not_shown(lab: GitLabState, clock: Clock) -> None:
    assert lab.server
    lab.server.faults.append(Fault("GET", "/notes", Reply(401, {"message": f"401 Unauthorized {TOKEN}"})))
    with pytest.raises(AuthError) as caught:
        what(lab, clock, report())
    assert TOKEN not in str(caught.value) and "api" in str(caught.value.hint)
