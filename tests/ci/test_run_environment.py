"""What a run is, told from its variables and its event: GitHub's own examples, mutated, and what nobody should send."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mlgit as package
from mlgit.ops.ci.environment import Run, find_run

A, B, C, ZERO = "a" * 40, "b" * 40, "c" * 40, "0" * 40
MODULE = Path(package.__file__).parent.parent / ".npm-tests/node_modules/@octokit/webhooks-examples"
INDEX = MODULE / "api.github.com/index.json"
needs_examples = pytest.mark.skipif(not INDEX.is_file(), reason="@octokit/webhooks-examples is not in .npm-tests")
ACTIONS = {
    "GITHUB_API_URL": "https://api.github.com",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "Codertocat/Hello-World",
    "GITHUB_RUN_ID": "1658821493",
    "GITHUB_SHA": C,
}
LINK = "https://github.com/Codertocat/Hello-World/actions/runs/1658821493"


def examples(event):
    """Every example of GitHub's for an event, to be changed at will."""
    found = {one["name"]: one["examples"] for one in json.loads(INDEX.read_text())} if INDEX.is_file() else {}
    return found.get(event, [])


def github(event, payload, **variables):
    return find_run({"GITHUB_EVENT_NAME": event, **ACTIONS, **variables}, payload)


def test_outside_ci_there_is_no_run():
    assert find_run({}, {}) == Run()
    assert find_run({"CI": "true", "GITHUB_SHA": A}, {"pull_request": {}}) == Run()
    assert not Run().may_write


# -- GitHub ----------------------------------------------------------------------------------------

PULL = {"pull_request": {"base": {"sha": A}, "head": {"sha": B}}}


@pytest.mark.parametrize(
    ("variables", "payload", "bases", "head"),
    [
        ({"GITHUB_EVENT_NAME": "pull_request", "GITHUB_BASE_REF": "main"}, PULL, ("origin/main", A), None),
        ({"GITHUB_EVENT_NAME": "pull_request_target", "GITHUB_BASE_REF": "main"}, PULL, ("origin/main", A), B),
        ({"GITHUB_EVENT_NAME": "merge_group"}, {"merge_group": {"base_sha": A, "head_sha": B}}, (A,), B),
        ({"GITHUB_EVENT_NAME": "push"}, {"before": A, "after": B}, (A,), None),
        ({"GITHUB_EVENT_NAME": "push"}, {"before": ZERO}, (), None),
        ({"GITHUB_EVENT_NAME": "workflow_dispatch"}, {}, (), None),
    ],
)
def test_sides_by_event(variables, payload, bases, head):
    run = find_run(variables, payload)
    assert (run.bases, run.head, run.event) == (bases, head, variables["GITHUB_EVENT_NAME"])


@needs_examples
@pytest.mark.parametrize("payload", examples("pull_request"), ids=lambda one: one["action"])
def test_githubs_examples_of_pull_requests(payload):
    pull = payload["pull_request"]
    run = github("pull_request", payload, GITHUB_BASE_REF="master", GITHUB_REF="refs/pull/2/merge")
    assert run == Run(
        host="github",
        event="pull_request",
        bases=("origin/master", pull["base"]["sha"]),
        head=None,
        pull=2,
        slug="Codertocat/Hello-World",
        api="https://api.github.com",
        link=LINK,
        sha=pull["head"]["sha"],
        fork=False,
        labels=frozenset(label["name"] for label in pull["labels"]),
    )
    assert run.may_write
    target = github("pull_request_target", payload)
    assert target == dataclasses.replace(run, event="pull_request_target", head=pull["head"]["sha"])


@needs_examples
@pytest.mark.parametrize("payload", examples("pull_request")[:3], ids=lambda one: one["action"])
def test_a_fork_is_another_repository_or_one_that_is_gone(payload):
    theirs = copy.deepcopy(payload)
    theirs["pull_request"]["head"]["repo"] |= {"full_name": "somebody/Hello-World", "id": 1, "fork": True}
    gone = copy.deepcopy(payload)
    gone["pull_request"]["head"]["repo"] = None
    renamed = copy.deepcopy(payload)
    renamed["pull_request"]["head"]["repo"]["id"] = 1
    for mutated in (theirs, gone, renamed):
        run = github("pull_request", mutated)
        assert run.fork
        assert not run.may_write
        assert run.sha == payload["pull_request"]["head"]["sha"]
        assert run.slug == "Codertocat/Hello-World"
        assert github("pull_request_target", mutated).may_write
    spelt = copy.deepcopy(payload)
    spelt["pull_request"]["head"]["repo"]["full_name"] = "codertocat/hello-world"
    assert not github("pull_request", spelt).fork


@needs_examples
@pytest.mark.parametrize("payload", examples("merge_group"))
def test_githubs_examples_of_merge_groups(payload):
    group = payload["merge_group"]
    run = github("merge_group", payload)
    assert (run.pull, run.bases, run.head, run.sha) == (
        104, (group["base_sha"], "origin/main"), group["head_sha"], group["head_sha"],
    )  # fmt: skip
    assert not run.fork
    assert run.may_write


@pytest.mark.parametrize(
    ("ref", "number"),
    [
        (f"refs/heads/gh-readonly-queue/main/pr-7-{A}", 7),
        (f"gh-readonly-queue/main/pr-7-{A}", 7),
        (f"refs/heads/gh-readonly-queue/release/pr-1-{B}/pr-12-{A}", 12),
        (f"refs/heads/gh-readonly-queue/main/pr-0-{A}", None),
        ("refs/heads/gh-readonly-queue/main/pr-7-x", None),
        ("refs/heads/main", None),
        (f"refs/heads/gh-readonly-queue/main/pr-{'9' * 50}-{A}", None),
        (None, None),
    ],
)
def test_a_merge_group_names_its_pull_request_in_its_branch(ref, number):
    assert github("merge_group", {"merge_group": {"head_ref": ref}}).pull == number


@needs_examples
@pytest.mark.parametrize("payload", examples("push"), ids=lambda one: one["ref"])
def test_githubs_examples_of_pushes(payload):
    """They are of tags, which are compared with nothing, and of a default branch that is new."""
    run = github("push", payload)
    assert (run.bases, run.head, run.pull, run.sha) == ((), None, None, C)


@needs_examples
def test_pushes_of_branches():
    payload = next(one for one in examples("push") if one["ref"] == "refs/heads/master")
    for forced in (False, True):
        assert github("push", {**payload, "before": A, "forced": forced}).bases == (A,)
        feature = {**payload, "ref": "refs/heads/feature", "before": A, "forced": forced}
        assert github("push", feature).bases == ("origin/master", A)
    assert github("push", {**payload, "ref": "refs/heads/new"}).bases == ("origin/master",)
    assert github("push", {**payload, "before": A}, GITHUB_SHA="").sha == payload["after"]


@needs_examples
@pytest.mark.parametrize("payload", examples("workflow_run"), ids=lambda one: one["action"])
def test_githubs_examples_of_workflow_runs(payload):
    about = payload["workflow_run"]
    run = github("workflow_run", payload, GITHUB_REPOSITORY="octo-org/octo-repo")
    assert (run.sha, run.head, run.bases, run.fork) == (about["head_sha"], None, (), False)
    assert run.pull == (about["pull_requests"][0]["number"] if about["pull_requests"] else None)
    for head in ({"full_name": "somebody/octo-repo"}, None):
        theirs = {**payload, "workflow_run": {**about, "head_repository": head, "pull_requests": []}}
        run = github("workflow_run", theirs, GITHUB_REPOSITORY="octo-org/octo-repo")
        assert (run.fork, run.pull, run.may_write) == (True, None, True)


@needs_examples
@pytest.mark.parametrize("payload", examples("workflow_dispatch"))
def test_githubs_examples_of_dispatches(payload):
    default = payload["repository"]["default_branch"]
    assert github("workflow_dispatch", payload, GITHUB_REF=f"refs/heads/{default}").bases == ()
    assert github("workflow_dispatch", payload, GITHUB_REF="refs/heads/feature").bases == (f"origin/{default}",)
    assert github("workflow_dispatch", payload, GITHUB_REF="refs/tags/v1").bases == ()
    assert github("schedule", {"schedule": "0 0 * * *"}, GITHUB_REF="refs/heads/main").sha == C


def test_a_number_is_told_by_the_ref_where_the_payload_has_none():
    assert github("pull_request", {}, GITHUB_REF="refs/pull/12/merge").pull == 12
    assert github("pull_request", {"number": 3}).pull == 3
    assert github("pull_request", {}).fork


# -- GitLab ----------------------------------------------------------------------------------------

GITLAB = {
    "GITLAB_CI": "true",
    "CI_API_V4_URL": "https://gitlab.example.org/api/v4",
    "CI_JOB_URL": "https://gitlab.example.org/group/sub/model/-/jobs/9",
    "CI_PROJECT_ID": "42",
    "CI_PROJECT_PATH": "group/sub/model",
    "CI_DEFAULT_BRANCH": "main",
    "CI_COMMIT_SHA": C,
    "CI_COMMIT_BEFORE_SHA": ZERO,
    "CI_PIPELINE_SOURCE": "push",
}
MERGE = {
    **GITLAB,
    "CI_PIPELINE_SOURCE": "merge_request_event",
    "CI_MERGE_REQUEST_IID": "5",
    "CI_MERGE_REQUEST_EVENT_TYPE": "detached",
    "CI_MERGE_REQUEST_PROJECT_ID": "42",
    "CI_MERGE_REQUEST_PROJECT_PATH": "group/sub/model",
    "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "42",
    "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "release/1",
    "CI_MERGE_REQUEST_DIFF_BASE_SHA": A,
    "CI_MERGE_REQUEST_LABELS": "bug, mlgit:accept-gate-change",
}


def test_a_merge_request():
    run = find_run(MERGE, {})
    assert run == Run(
        host="gitlab",
        event="merge_request",
        bases=("origin/release/1", A),
        pull=5,
        slug="group/sub/model",
        api="https://gitlab.example.org/api/v4",
        link="https://gitlab.example.org/group/sub/model/-/jobs/9",
        sha=C,
        labels=frozenset({"bug", "mlgit:accept-gate-change"}),
    )


@pytest.mark.parametrize(("kind", "event"), [("merged_result", "merge_request"), ("merge_train", "merge_train")])
def test_a_merged_result_is_compared_with_the_commit_it_was_merged_into(kind, event):
    merged = {
        "CI_MERGE_REQUEST_EVENT_TYPE": kind,
        "CI_MERGE_REQUEST_TARGET_BRANCH_SHA": B,
        "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": "d" * 40,
    }
    run = find_run({**MERGE, **merged}, {})
    assert (run.event, run.bases, run.sha, run.head) == (event, (B, "origin/release/1", A), "d" * 40, None)


def test_a_merge_request_of_a_fork():
    theirs = {**MERGE, "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "77"}
    assert find_run(theirs, {}).fork
    assert not find_run(theirs, {}).may_write
    inside = find_run({**theirs, "CI_PROJECT_ID": "77", "CI_PROJECT_PATH": "somebody/model"}, {})
    assert (inside.slug, inside.bases) == ("group/sub/model", (A, "origin/release/1"))
    unknown = {name: text for name, text in MERGE.items() if not name.endswith("PROJECT_ID")}
    assert find_run(unknown, {}).fork


@pytest.mark.parametrize(
    ("variables", "bases"),
    [
        ({"CI_COMMIT_BRANCH": "main", "CI_COMMIT_BEFORE_SHA": A}, (A,)),
        ({"CI_COMMIT_BRANCH": "main"}, ()),
        ({"CI_COMMIT_BRANCH": "new"}, ("origin/main",)),
        ({"CI_COMMIT_BRANCH": "old", "CI_COMMIT_BEFORE_SHA": A}, ("origin/main", A)),
        ({"CI_COMMIT_TAG": "v1", "CI_COMMIT_BEFORE_SHA": A}, ()),
    ],
)
def test_a_branch_pipeline(variables, bases):
    run = find_run({**GITLAB, **variables}, {})
    assert (run.bases, run.event, run.pull, run.fork, run.sha) == (bases, "push", None, False, C)


# -- Bitbucket -------------------------------------------------------------------------------------

BITBUCKET = {
    "BITBUCKET_BUILD_NUMBER": "31",
    "BITBUCKET_COMMIT": C,
    "BITBUCKET_WORKSPACE": "team",
    "BITBUCKET_REPO_SLUG": "model",
    "BITBUCKET_STEP_UUID": "{1a2b3c4d-0000-0000-0000-000000000000}",
}
STEP = "https://bitbucket.org/team/model/pipelines/results/31/steps/%7B1a2b3c4d-0000-0000-0000-000000000000%7D"


def test_bitbucket():
    push = Run("bitbucket", "push", (), None, None, "team/model", "https://api.bitbucket.org/2.0", STEP, C)
    assert find_run(BITBUCKET, {}) == push
    pull = {"BITBUCKET_PR_ID": "8", "BITBUCKET_PR_DESTINATION_BRANCH": "main"}
    found = find_run({**BITBUCKET, **pull, "BITBUCKET_PR_DESTINATION_COMMIT": "0123456789ab"}, {})
    asked = dataclasses.replace(push, event="pull_request", pull=8, bases=("origin/main", "0123456789ab"))
    assert found == asked


# -- values nobody vouches for ---------------------------------------------------------------------

ODD = [
    None,
    1,
    -1,
    True,
    1.5,
    float("nan"),
    10**5000,
    [],
    [None],
    "x",
    "",
    {},
    {"base": "x", "head": None},
    {"base": {"sha": "--help", "ref": "--upload-pack=x\n", "repo": []}, "head": {"sha": A + "\n", "repo": "x"}},
    {"labels": [{"name": None}, {"name": "a\nb"}, 3], "number": "1\n", "head_ref": ["x"]},
    {"pull_requests": [None, {"number": {}}], "head_sha": B.upper(), "head_repository": []},
    "--upload-pack=touch hit",
    "a\nb",
    "\u202e" + A,
    "x" * 1_000_000,
]
EVENTS = ["pull_request", "pull_request_target", "merge_group", "push", "workflow_run", "workflow_dispatch", "schedule"]
NAMES = sorted({*ACTIONS, *MERGE, *BITBUCKET, "GITHUB_BASE_REF", "GITHUB_REF", "CI_COMMIT_BRANCH", "BITBUCKET_PR_ID",
                "BITBUCKET_PR_DESTINATION_BRANCH", "BITBUCKET_PR_DESTINATION_COMMIT", "GITHUB_EVENT_NAME",
                "CI_MERGE_REQUEST_TARGET_BRANCH_SHA", "CI_PIPELINE_URL"})  # fmt: skip


def assert_harmless(run):
    for text in (*run.bases, run.head or "", run.slug, run.api, run.link, run.sha, run.event, *run.labels):
        assert text.isprintable()
        assert len(text) < 5000
    for text in (*run.bases, run.head or "", run.slug, run.sha, run.event):
        assert not text.startswith("-")
        assert not {" ", ":", "^", "~", "*", "\\"} & set(text)
    assert run.api == "" or run.api.startswith(("https://", "http://localhost", "http://127.0.0.1", "http://[::1]"))
    assert run.pull is None or 0 < run.pull < 10**16


@pytest.mark.parametrize("value", ODD, ids=range(len(ODD)))
@pytest.mark.parametrize("event", EVENTS)
def test_an_odd_payload_names_nothing(event, value):
    names = ("pull_request", "merge_group", "workflow_run", "before", "after", "ref", "number", "repository")
    run = find_run({"GITHUB_EVENT_NAME": event}, dict.fromkeys(names, value))
    assert (run.bases, run.head, run.sha) == ((), None, "")
    assert_harmless(run)


@pytest.mark.parametrize("name", NAMES)
def test_an_odd_variable_is_harmless(name):
    for value, variables in itertools.product(
        (one for one in ODD if isinstance(one, str)),
        ({"GITHUB_EVENT_NAME": "pull_request", **ACTIONS}, MERGE, {**BITBUCKET, "BITBUCKET_PR_ID": "1"}),
    ):
        assert_harmless(find_run({**variables, name: value}, {}))


@given(st.dictionaries(st.sampled_from(NAMES), st.text()), st.sampled_from(EVENTS), st.booleans())
def test_any_text_is_harmless(variables, event, actions):
    start = {"GITHUB_EVENT_NAME": event} if actions else {"GITLAB_CI": "true", "CI_MERGE_REQUEST_IID": "1"}
    assert_harmless(find_run({**variables, **start}, {}))


@given(st.recursive(st.none() | st.integers() | st.text(), lambda one: st.lists(one) | st.dictionaries(st.text(), one)))
def test_any_json_is_harmless(value):
    for event in EVENTS:
        assert_harmless(github(event, {"pull_request": value, "merge_group": value, "workflow_run": value}))


@pytest.mark.parametrize(
    ("text", "api"),
    [
        ("https://api.github.com", "https://api.github.com"),
        ("https://github.example.org:8443/api/v3/", "https://github.example.org:8443/api/v3"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://localhost:8080/", "http://localhost:8080"),
        ("http://api.github.com", ""),
        ("http://127.0.0.1.example.org", ""),
        ("http://localhost@example.org", ""),
        ("https://token@example.org", ""),
        ("https://example.org/?x=1", ""),
        ("https://example.org/#x", ""),
        ("https://", ""),
        ("https://[::1", ""),
        ("https://example.org:99999", ""),
        ("https://exa\u00e4mple.org", ""),
        ("file:///etc/passwd", ""),
        ("ftp://example.org", ""),
        ("https://example.org/\r\nX: y", ""),
        ("", ""),
    ],
)
def test_tokens_go_to_https_or_to_this_machine_only(text, api):
    assert find_run({"GITHUB_EVENT_NAME": "push", "GITHUB_API_URL": text}, {}).api == api


@pytest.mark.parametrize(
    ("branch", "bases"),
    [
        ("main", ("origin/main",)),
        ("refs/heads/main", ("origin/main",)),
        ("a/b.c-d_é", ("origin/a/b.c-d_é",)),
        *((bad, ()) for bad in ("-x", "/x", "x/", "x.", "a..b", "a b", "a:b", "x.lock", "x.lock/y", "a@{b", "a//b")),
        *((bad, ()) for bad in (".x", "a/.b", "a~b", "a^b", "a?b", "a*b", "a[b", "a\\b", "a\tb", "x" * 300, "")),
    ],
)
def test_a_branch_is_one_that_git_would_take(branch, bases):
    assert github("pull_request", {}, GITHUB_BASE_REF=branch).bases == bases
