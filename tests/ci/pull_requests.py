"""Pull requests of a gallery, each built from its description as a real Git repository, a host and a runner's clone.

A description (`gallery/<name>/scenario.yaml`) says what the base holds and what the pull request changes. Built is:

    project/    the developer's repository: `main`, and the branch `change`
    hub.git     the host, with refs/pull/1/head and the trial merge refs/pull/1/merge
    store/      an mlgit remote, for descriptions that push
    runner/     the job's clone, made with the commands of actions/checkout

The program runs in `runner/` with nothing in its environment but what a runner has. The same description gives the same
bytes: dates, names and the order of commits are fixed, and commit ids are replaced by words.

A description's keys:

    title, because       what happens, and why the verdict is what it is
    not_yet              what keeps the program from that verdict today
    before, base, main, change
                         commits: `files` (path: text, or a mapping for JSON; null removes), `run` (mlgit commands that
                         come before the commit), `message`, `tag`; `main` is what the main branch gets after the fork
    event                of GitHub: pull_request, pull_request_target, merge_group or push; without one the clone is on
                         the branch
    variables            of another service
    orphan               the branch has no history in common with main
    checkout             merge (what GitHub checks out) or head
    depth                as fetch-depth; 0 is all
    remote               gone: the host answers no more once the clone is made
    labels, fork         of the pull request
    first                mlgit commands that the job runs before
    arguments, folder    of `mlgit ci`
    expect               verdict, exit; `says`: what the Markdown or the output has; `never`: what the Markdown has not,
                         or the output where there is no report; `comment`: the golden is a comment of so many bytes
"""

from __future__ import annotations

import contextlib
import copy
import io
import itertools
import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

import mlgit as package
from mlgit.cli.main import run as run_mlgit
from mlgit.repo import Repo

HERE = Path(__file__).parent / "gallery"
EVENTS = Path(package.__file__).parent.parent / ".npm-tests/node_modules/@octokit/webhooks-examples"
INDEX = EVENTS / "api.github.com/index.json"
SLUG = "Codertocat/Hello-World"
COMMITS = ("before", "base", "main", "change")
_ENVIRONMENT = {
    "PATH": os.environ.get("PATH", ""),
    "GIT_AUTHOR_NAME": "Test",
    "GIT_AUTHOR_EMAIL": "test@example.org",
    "GIT_COMMITTER_NAME": "Test",
    "GIT_COMMITTER_EMAIL": "test@example.org",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "NO_COLOR": "1",
    "COLUMNS": "200",
    "TZ": "UTC",
}


@dataclass(frozen=True)
class Scenario:
    """One pull request of the gallery, as it is described."""

    name: str
    said: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        return HERE / self.name

    @property
    def golden(self) -> Path:
        return self.folder / "report.md"

    @property
    def annotations(self) -> Path:
        return self.folder / "annotations.txt"

    @property
    def event(self) -> str:
        return str(self.said.get("event") or "")

    @property
    def verdict(self) -> str:
        return str(self.said["expect"]["verdict"])

    @property
    def exit(self) -> int:
        return int(self.said["expect"]["exit"])


@dataclass(frozen=True)
class Outcome:
    """What `mlgit ci` gave: its texts have words for commit ids, and for the folder.

    Attributes:
        json: empty where there is no report.
        output: stdout and stderr.
    """

    code: int
    markdown: str
    json: str
    output: str
    summary: str
    outputs: str


def scenarios() -> list[Scenario]:
    """All of them, by their numbers."""
    return [
        Scenario(file.parent.name, yaml.safe_load(file.read_text(encoding="utf-8")))
        for file in sorted(HERE.glob("*/scenario.yaml"))
    ]


def template(folder: Path) -> Path:
    """A fresh mlgit repository, to be copied."""
    with _inside(folder.parent, {}):
        _git(folder.parent, "init", "-q", "-b", "main", str(folder))
        Repo.init(folder)
    return folder


def play(scenario: Scenario, place: Path, start: Path) -> Outcome:
    """Build the pull request in `place`, and judge it as its job would.

    Args:
        start: a fresh mlgit repository (`template`).
    """
    made = _Build(scenario, place)
    made.develop(start)
    made.publish()
    made.check_out()
    return made.judge()


class _Build:
    def __init__(self, scenario: Scenario, place: Path) -> None:
        self._said = scenario.said
        self._event = scenario.event
        self.place = place
        self.project, self.hub, self.runner = place / "project", place / "hub.git", place / "runner"
        self._clock = itertools.count(1_700_000_000, 60)
        self.ids: dict[str, str] = {}

    # -- the developer -------------------------------------------------------------------------------------------

    def develop(self, start: Path) -> None:
        shutil.copytree(start, self.project)
        for name in COMMITS:
            if name == "change":
                start = ["--orphan", "change"] if self._said.get("orphan") else ["-b", "change", self.ids["base"]]
                self._git("checkout", "-q", *start)
            if name in self._said:
                self._commit(name, self._said[name])

    def _commit(self, name: str, said: Mapping[str, Any]) -> None:
        for path, content in (said.get("files") or {}).items():
            _put(self.project / path, content)
        for line in said.get("run") or ():
            code, output = _run(self.project, shlex.split(line), {})
            assert code == 0, f"{name}: mlgit {line}: exit {code}\n{output}"
        self._git("add", "-A")
        self._git("commit", "-q", "--allow-empty", "-m", said.get("message", name))
        self.ids[name] = self._git("rev-parse", "HEAD").strip()
        if "tag" in said:
            self._git("tag", said["tag"])

    # -- the host ------------------------------------------------------------------------------------------------

    def publish(self) -> None:
        head = "change"
        if self._event not in ("", "push") and not self._said.get("orphan"):
            self._git("checkout", "-q", "-b", "trial", "main")
            self._git("merge", "-q", "--no-ff", "-m", "Merge change into main", "change")
            self.ids["merge"] = self._git("rev-parse", "HEAD").strip()
            head = "trial"
        elif self._event == "push":
            self._git("branch", "-q", "-f", "main", "change")
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", self.hub], check=True, env=_ENVIRONMENT)
        _git(self.hub, "config", "uploadpack.allowAnySHA1InWant", "true")
        refs = [f"{head}:refs/pull/1/merge", "change:refs/pull/1/head", "main:refs/heads/main"]
        if not self._said.get("fork"):
            refs.append("change:refs/heads/change")
        if self._event == "merge_group":
            refs.append(f"trial:refs/heads/{self._queue}")
        self._git("push", "-q", "--tags", str(self.hub), *refs)

    @property
    def _tip(self) -> str:
        return self.ids.get("main", self.ids["base"])

    @property
    def _queue(self) -> str:
        return f"gh-readonly-queue/main/pr-1-{self._tip}"

    # -- the job -------------------------------------------------------------------------------------------------

    def check_out(self) -> None:
        url, depth = self.hub.as_uri(), self._said.get("depth", 0)
        _git(self.place, "init", "-q", "-b", "main", "runner")
        _git(self.runner, "remote", "add", "origin", url)
        ref, spec = self._checked_out()
        limits = [f"--depth={depth}"] if depth else ["--tags"]
        every = ["+refs/heads/*:refs/remotes/origin/*", *([] if ":refs/remotes/origin/" in spec else [spec])]
        specs = [spec] if depth else every
        _git(self.runner, "fetch", "-q", "--no-auto-gc", *limits, "origin", *specs)
        if not self._event and not depth:
            _git(self.runner, "remote", "set-head", "origin", "main")
        _git(self.runner, "checkout", "-q", "--force", *ref)
        if self._said.get("remote") == "gone":
            _git(self.runner, "remote", "set-url", "origin", (self.place / "gone.git").as_uri())

    def _checked_out(self) -> tuple[list[str], str]:
        """Words of `git checkout`, and what is fetched for it."""
        if self._event == "push":
            return ["-B", "main", "refs/remotes/origin/main"], f"+{self.ids['change']}:refs/remotes/origin/main"
        if self._event == "merge_group":
            local = f"refs/remotes/origin/{self._queue}"
            return ["-B", self._queue, local], f"+{self.ids['merge']}:{local}"
        if self._event == "pull_request_target":
            return ["-B", "main", "refs/remotes/origin/main"], f"+{self._tip}:refs/remotes/origin/main"
        if self._event and self._said.get("checkout", "merge") == "merge":
            return ["refs/remotes/pull/1/merge"], f"+{self.ids['merge']}:refs/remotes/pull/1/merge"
        if self._event:
            return [self.ids["change"]], self.ids["change"]
        return ["-b", "change", "refs/remotes/pull/1/head"], "+refs/pull/1/head:refs/remotes/pull/1/head"

    def judge(self) -> Outcome:
        out = {name: self.place / name for name in ("report.json", "report.md", "summary.md", "outputs")}
        words = [f"--output={out['report.json']}", f"--markdown={out['report.md']}"]
        given = [str(word).format(**self.ids) for word in self._said.get("arguments", ())]
        variables = self._variables()
        variables |= {"GITHUB_STEP_SUMMARY": str(out["summary.md"]), "GITHUB_OUTPUT": str(out["outputs"])}
        folder = self.runner / self._said.get("folder", ".")
        for line in self._said.get("first", ()):
            code, output = _run(folder, shlex.split(line.format(**self.ids)), {})
            assert code == 0, f"mlgit {line}: exit {code}\n{output}"
        code, output = _run(folder, ["ci", *words, *given], variables)
        texts = {name: _text(file) for name, file in out.items()}
        shown = (self._mask(text) for text in (texts["report.md"], texts["report.json"], output))
        return Outcome(code, *shown, texts["summary.md"], texts["outputs"])

    def _variables(self) -> dict[str, str]:
        if not self._event:
            return {name: value.format(**self.ids) for name, value in self._said.get("variables", {}).items()}
        file, target = self.place / "event.json", self._event == "pull_request_target"
        file.write_text(json.dumps(self._payload()), encoding="utf-8")
        common = {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": self._event,
            "GITHUB_EVENT_PATH": str(file),
            "GITHUB_API_URL": "https://api.github.com",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_REPOSITORY": SLUG,
            "GITHUB_RUN_ID": "1658821493",
            "GITHUB_SHA": self._tip if target else self.ids.get("merge", self.ids["change"]),
        }
        if self._event.startswith("pull_request"):
            ref = "refs/heads/main" if target else "refs/pull/1/merge"
            return {**common, "GITHUB_BASE_REF": "main", "GITHUB_REF": ref}
        return {**common, "GITHUB_REF": f"refs/heads/{self._queue if self._event == 'merge_group' else 'main'}"}

    def _payload(self) -> dict[str, Any]:
        """GitHub's own example of the event, with this repository's commits."""
        payload = copy.deepcopy(_examples()[self._event.removesuffix("_target")])
        base, change = self._tip, self.ids["change"]
        if self._event.startswith("pull_request"):
            pull = payload["pull_request"]
            pull["number"] = payload["number"] = 1
            pull["base"] |= {"ref": "main", "sha": base}
            pull["head"] |= {"ref": "change", "sha": change}
            pull["labels"] = [{"id": 1, "name": name} for name in self._said.get("labels", ())]
            if self._said.get("fork"):
                pull["head"]["repo"] |= {"full_name": "somebody/Hello-World", "id": 1, "fork": True}
        elif self._event == "merge_group":
            group = {"base_sha": base, "head_sha": self.ids["merge"], "head_ref": f"refs/heads/{self._queue}"}
            payload["merge_group"] |= {**group, "base_ref": "refs/heads/main"}
        else:
            payload |= {"ref": "refs/heads/main", "before": self.ids["base"], "after": change}
            payload["repository"] |= {"default_branch": "main"}
        return payload

    def _mask(self, text: str) -> str:
        """`text` with words for this run's commits and folder: a whole id, or the first twelve or seven digits."""
        for word, sha in self.ids.items():
            for digits in (40, 12, 7):
                text = text.replace(sha[:digits], f"‹{word}›")
        return text.replace(str(self.place), "‹here›")

    def _git(self, *words: str) -> str:
        stamp = f"{next(self._clock)} +0000"
        return _git(self.project, *words, GIT_AUTHOR_DATE=stamp, GIT_COMMITTER_DATE=stamp)


def _git(folder: Path, *words: str, **more: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, env={**_ENVIRONMENT, **more}, capture_output=True, text=True)
    assert done.returncode == 0, f"git {' '.join(words)}\n{done.stderr}"
    return done.stdout


def _run(folder: Path, words: list[str], variables: Mapping[str, str]) -> tuple[int, str]:
    """Run the program in this process; exit code, and all that it printed."""
    printed = io.StringIO()
    with _inside(folder, variables), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = run_mlgit(words)
    return code, printed.getvalue()


@contextlib.contextmanager
def _inside(folder: Path, variables: Mapping[str, str]) -> Iterator[None]:
    """This process in another folder, with nothing in its environment but what a runner has."""
    here = Path.cwd()
    os.chdir(folder)
    try:
        with mock.patch.dict(os.environ, {**_ENVIRONMENT, **variables}, clear=True):
            yield
    finally:
        os.chdir(here)


def _examples() -> dict[str, Any]:
    return {one["name"]: one["examples"][0] for one in json.loads(INDEX.read_text(encoding="utf-8"))}


def _put(path: Path, content: object) -> None:
    if content is None:
        path.unlink()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(_expanded(content), indent=1) + "\n"
    path.write_text(_table(content) if isinstance(content, dict) and "rows" in content else text, encoding="utf-8")


def _expanded(content: Any) -> Any:
    """`{many: [number, first, last]}` stands for that many metrics, from the first value to the last."""
    if isinstance(content, dict) and list(content) == ["many"]:
        number, first, last = content["many"]
        step = (last - first) / (number - 1)
        return {f"class_{at:03}": {"recall": round(first + at * step, 6)} for at in range(number)}
    return content


def _table(content: Mapping[str, Any]) -> str:
    """`{rows: 200, wrong: [3, 20]}`: predictions of so many examples, wrong for those that leave 3 divided by 20."""
    left, by = content["wrong"]
    lines = [f"{at},{at % 2},{at % 2 ^ (at % by == left)}" for at in range(content["rows"])]
    return "\n".join(["id,label,prediction", *lines]) + "\n"


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.exists() else ""
