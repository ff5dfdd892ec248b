"""GitHub on this machine: it keeps state, and holds requests and its own answers against GitHub's OpenAPI description.

The description is that of the npm package `@octokit/openapi`. It leaves out some limits that GitHub documents
elsewhere; they stand in `limits`. What a request may not say here, GitHub would refuse or ignore.
"""

from __future__ import annotations

import copy
import functools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from loopback import Asked, Reply, Server, page, serving

MODULES = Path(__file__).parents[2] / ".npm-tests" / "node_modules"
DESCRIPTION = MODULES / "@octokit/openapi/generated/api.github.com.json"
EXAMPLES = MODULES / "@octokit/webhooks-examples/api.github.com/index.json"
TOKEN = "ghs_0123456789abcdefABCDEF0123456789abcd"
SLUG = "octo-org/flowers"
SHA = "a" * 40
BODY = 65_536


class ViolationError(AssertionError):
    """A request or an answer that GitHub's description does not allow."""


@functools.lru_cache(maxsize=1)
def description() -> dict[str, Any]:
    if not DESCRIPTION.exists():
        pytest.skip("needs npm packages in .npm-tests (sh tests/run.sh installs them)")
    return json.loads(DESCRIPTION.read_bytes())


@functools.lru_cache(maxsize=1)
def webhook_examples() -> list[dict[str, Any]]:
    if not EXAMPLES.exists():
        pytest.skip("needs npm packages in .npm-tests (sh tests/run.sh installs them)")
    return json.loads(EXAMPLES.read_bytes())


def pointed(reference: str) -> Any:
    found: Any = description()
    for part in reference.removeprefix("#/").split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found


def resolved(value: Any) -> Any:
    while isinstance(value, dict) and "$ref" in value:
        value = pointed(value["$ref"])
    return value


def example(name: str) -> Any:
    """A fresh copy of an example of the description."""
    return copy.deepcopy(description()["components"]["examples"][name]["value"])


def to_schema(value: Any, *, strict: bool) -> Any:
    """An OpenAPI 3.0 schema as JSON Schema: `nullable` spelt out; `strict` refuses keys that are not described."""
    if isinstance(value, list):
        return [to_schema(one, strict=strict) for one in value]
    if not isinstance(value, dict):
        return value
    inner = {"anyOf", "oneOf", "allOf"}
    kept = {key: inside for key, inside in value.items() if key not in ("nullable", "example")}
    out = {key: to_schema(inside, strict=strict and key not in inner) for key, inside in kept.items()}
    if strict and isinstance(value.get("properties"), dict) and value.get("type") == "object":
        out.setdefault("additionalProperties", False)
    return {"anyOf": [out, {"type": "null"}]} if value.get("nullable") is True else out


@functools.cache
def validator(text: str, strict: bool) -> jsonschema.Draft202012Validator:
    """Checks against a schema, with only those components beside it that it can reach."""
    schema = to_schema(json.loads(text), strict=strict)
    components: dict[str, dict[str, Any]] = {}
    waiting = re.findall(r'"#/components/([\w-]+)/([^"]+)"', text)
    while waiting:
        kind, name = waiting.pop()
        if name in components.setdefault(kind, {}):
            continue
        found = description()["components"][kind][name]
        components[kind][name] = to_schema(found, strict=strict)
        waiting += re.findall(r'"#/components/([\w-]+)/([^"]+)"', json.dumps(found))
    return jsonschema.Draft202012Validator({"allOf": [schema], "components": components})


def check(value: Any, schema: Any, what: str, *, strict: bool = False) -> None:
    error = jsonschema.exceptions.best_match(validator(json.dumps(schema), strict).iter_errors(value))
    if error is not None:
        raise ViolationError(f"{what}: {error.json_path}: {error.message[:500]}")


@functools.lru_cache(maxsize=1)
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    paths = sorted(description()["paths"], key=lambda path: path.count("{"))
    return [(re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)), path) for path in paths]


@dataclass(frozen=True)
class Operation:
    template: str
    described: dict[str, Any]
    names: dict[str, str]


def operation(asked: Asked) -> Operation:
    """The operation that a request is, or a ViolationError."""
    for pattern, template in _patterns():
        if (found := pattern.fullmatch(asked.path)) and asked.method.lower() in description()["paths"][template]:
            return Operation(template, description()["paths"][template][asked.method.lower()], found.groupdict())
    raise ViolationError(f"GitHub has no {asked.method} {asked.path}")


def check_request(asked: Asked, found: Operation) -> None:
    """Path, query, headers and body against the description, and what GitHub documents elsewhere."""
    parameters = {(one["in"], one["name"]): one for one in map(resolved, found.described.get("parameters", []))}
    for (place, name), one in parameters.items():
        text = (asked.query if place == "query" else found.names).get(name) if place in ("query", "path") else None
        if text is None and one.get("required") and place in ("query", "path"):
            raise ViolationError(f"{place} lacks {name}")
        if text is not None:
            kind = resolved(one["schema"]).get("type")
            value = int(text) if kind == "integer" and text.lstrip("-").isdigit() else text
            check(value, one["schema"], f"{place} {name}")
    for name in asked.query:
        if ("query", name) not in parameters:
            raise ViolationError(f"no query {name!r}")
    check_headers(asked)
    check_body(asked, found)


def check_headers(asked: Asked) -> None:
    wanted = {
        "accept": r"application/vnd\.github\+json",
        "user-agent": r".+",
        "x-github-api-version": r"\d{4}-\d\d-\d\d",
        "authorization": re.escape(f"Bearer {TOKEN}"),
    }
    for name, pattern in wanted.items():
        if not re.fullmatch(pattern, asked.headers.get(name, "")):
            raise ViolationError(f"header {name}: {asked.headers.get(name)!r}")
    if asked.data and not asked.headers.get("content-type", "").startswith("application/json"):
        raise ViolationError("the body is not declared as JSON")


def check_body(asked: Asked, found: Operation) -> None:
    described = resolved(found.described.get("requestBody"))
    if described is None:
        if asked.data:
            raise ViolationError("a body where none belongs")
        return
    if described.get("required") and not asked.data:
        raise ViolationError("no body")
    value = asked.value
    check(value, described["content"]["application/json"]["schema"], "body", strict=True)
    limits(value)


def limits(value: dict[str, Any]) -> None:
    """What the description lacks: length of a comment, and of what a check run and a status say."""
    if len(value.get("body", "").encode("utf-16-le")) // 2 > BODY:
        raise ViolationError(f"Body is too long (maximum is {BODY} characters)")
    output = value.get("output", {})
    for name, most in (("summary", 65_535), ("text", 65_535), ("title", 255)):
        if len(output.get(name, "").encode()) > most:
            raise ViolationError(f"output.{name} has more than {most} characters")
    for one in output.get("annotations", []):
        if len(one["message"].encode()) > 64 << 10 or len(one.get("title", "")) > 255:
            raise ViolationError("an annotation is too long")
        if one["path"].startswith("/") or one["start_line"] < 1 or one["end_line"] < one["start_line"]:
            raise ViolationError("an annotation is nowhere in the repository")
    if value.get("status") == "completed" and "conclusion" not in value:
        raise ViolationError("completed without a conclusion")
    for name in ("details_url", "target_url"):
        if name in value and not str(value[name]).startswith(("http://", "https://")):
            raise ViolationError(f"{name} must use http(s)")
    if "state" in value and len(value.get("description") or "") > 140:
        raise ViolationError("description is too long (maximum is 140 characters)")


def check_reply(reply: Reply, found: Operation) -> None:
    responses = found.described["responses"]
    if str(reply.status) not in responses:
        raise ViolationError(f"the description knows no answer {reply.status} to {found.template}")
    content = resolved(responses[str(reply.status)]).get("content", {}).get("application/json")
    if content:
        check(reply.value, content["schema"], f"the answer {reply.status} of {found.template}")


@dataclass
class GitHubState:
    """A repository as GitHub keeps it.

    Attributes:
        bot: the token is a workflow's: it may not ask who it is.
        login: who comments with the token.
        checks: whether it may make check runs.
        writes: whether it may write at all, which a fork's may not.
        commits: commit ids that `commits/<id>/pulls` knows of.
    """

    bot: bool = True
    login: str = "github-actions[bot]"
    checks: bool = True
    writes: bool = True
    comments: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    notes: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    labels: dict[int, list[str]] = field(default_factory=dict)
    pulls: list[dict[str, Any]] = field(default_factory=list)
    commits: set[str] = field(default_factory=set)
    server: Server | None = None
    _last: int = 1000

    def next(self) -> int:
        self._last += 1
        return self._last

    def answer(self, asked: Asked) -> Reply:
        found = operation(asked)
        check_request(asked, found)
        route = f"{asked.method} {found.template.removeprefix('/repos/{owner}/{repo}')}"
        if "owner" in found.names and f"{found.names['owner']}/{found.names['repo']}" != SLUG:
            return Reply(404, {"message": "Not Found"})
        if asked.method != "GET" and not self.writes:
            return Reply(403, {"message": "Resource not accessible by integration"})
        reply = ROUTES[route](self, asked, found.names)
        if reply.status < 400:
            check_reply(reply, found)
        return reply

    def comment(self, number: int, body: str, login: str, app: str | None = None) -> dict[str, Any]:
        """Let somebody comment."""
        made = example("issue-comment")
        made.update(id=self.next(), body=body, body_text=None, body_html=None)
        made["user"].update(login=login, type="Bot" if login.endswith("[bot]") else "User")
        made.update({key: value for key, value in made.items() if value is not None})
        for key in ("body_text", "body_html"):
            del made[key]
        if app is not None:
            made["performed_via_github_app"] = {**example("integration"), "slug": app}
        self.comments.setdefault(number, []).append(made)
        return made

    def pull(self, number: int, sha: str, label: str, state: str = "open") -> dict[str, Any]:
        """Let there be a pull request of `label`, `owner:branch`."""
        made = example("pull-request-simple-items")[0]
        made.update(number=number, state=state, requested_teams=[])  # the teams of the example lack keys
        made["head"].update(sha=sha, label=label, ref=label.partition(":")[2])
        made["base"]["repo"].update(full_name=SLUG)
        self.pulls.append(made)
        return made


def _user(state: GitHubState, asked: Asked, names: dict[str, str]) -> Reply:
    if state.bot:
        return Reply(403, {"message": "Resource not accessible by integration"})
    return Reply(200, {**example("private-user"), "login": state.login})


def _paged(state: GitHubState, asked: Asked, items: list[Any]) -> Reply:
    assert state.server is not None
    chosen, headers = page(items, asked, state.server.address)
    return Reply(200, chosen, headers)


def _comments(state: GitHubState, asked: Asked, names: dict[str, str]) -> Reply:
    return _paged(state, asked, state.comments.get(int(names["issue_number"]), []))


def _comment(state: GitHubState, asked: Asked, names: dict[str, str]) -> Reply:
    return Reply(201, state.comment(int(names["issue_number"]), asked.value["body"], state.login))


def _edit(state: GitHubState, asked: Asked, names: dict[str, str]) -> Reply:
    everything = [one for many in state.comments.values() for one in many]
    found = next((one for one in everything if one["id"] == int(names["comment_id"])), None)
    if found is None:
        return Reply(404, {"message": "Not Found"})
    if found["user"]["login"] != state.login:
        raise ViolationError(f"edited the comment of {found['user']['login']}")
    found["body"] = asked.value["body"]
    return Reply(200, found)


def _make_run(state: GitHubState, asked: Asked, names: dict[str, str]) -> Reply:
    if not state.checks:
        return Reply(403, {"message": "You must authenticate via a GitHub App."})
    made, value = example("check-run"), asked.value
    made.update(id=state.next(), **{key: value[key] for key in value if key != "output"})
    state.runs.append(made)
    _output(state, made, value["output"])
    return Reply(201, made)


def _output(state: GitHubState, run: dict[str, Any], output: dict[str, Any]) -> None:
    notes = state.notes.setdefault(run["id"], [])
    notes += output.get("annotations", [])
    kept = {key: output.get(key) for key in ("title", "summary", "text")}
    run["output"] = {**run["output"], **kept, "annotations_count": len(notes)}


def _run(state: GitHubState, asked: Asked, names: dict[str, str]) -> Reply:
    found = next(one for one in state.runs if one["id"] == int(names["check_run_id"]))
    if asked.method == "PATCH":
        _output(state, found, asked.value["output"])
    return Reply(200, found)


def _runs(state: GitHubState, asked: Asked, names: dict[str, str]) -> Reply:
    found = [one for one in state.runs if one["head_sha"] == names["ref"] and one["name"] == asked.query["check_name"]]
    return Reply(200, {"total_count": len(found), "check_runs": found})


def _status(state: GitHubState, asked: Asked, names: dict[str, str]) -> Reply:
    made = {**example("status"), "id": state.next(), **asked.value}
    state.statuses.append({**made, "sha": names["sha"]})
    return Reply(201, made)


def _labels(state: GitHubState, asked: Asked, names: dict[str, str]) -> Reply:
    found = [{**example("label-items")[0], "name": name} for name in state.labels.get(int(names["issue_number"]), [])]
    return _paged(state, asked, found)


def _pulls_of(state: GitHubState, asked: Asked, names: dict[str, str]) -> Reply:
    sha = names["commit_sha"]
    if sha not in state.commits:
        return Reply(422, {"message": f"No commit found for SHA: {sha}"})
    return _paged(state, asked, [one for one in state.pulls if one["head"]["sha"] == sha])


def _pulls(state: GitHubState, asked: Asked, names: dict[str, str]) -> Reply:
    wanted, kind = asked.query.get("head"), asked.query.get("state", "open")
    found = [one for one in state.pulls if one["state"] == kind and wanted in (None, one["head"]["label"])]
    return _paged(state, asked, found)


ROUTES = {
    "GET /user": _user,
    "GET /issues/{issue_number}/comments": _comments,
    "POST /issues/{issue_number}/comments": _comment,
    "PATCH /issues/comments/{comment_id}": _edit,
    "POST /check-runs": _make_run,
    "GET /check-runs/{check_run_id}": _run,
    "PATCH /check-runs/{check_run_id}": _run,
    "GET /commits/{ref}/check-runs": _runs,
    "POST /statuses/{sha}": _status,
    "GET /issues/{issue_number}/labels": _labels,
    "GET /commits/{commit_sha}/pulls": _pulls_of,
    "GET /pulls": _pulls,
}


@contextmanager
def github() -> Iterator[GitHubState]:
    """A running GitHub with one repository, `SLUG`."""
    description()
    state = GitHubState()
    with serving(state.answer) as server:
        state.server = server
        yield state
