"""Pull requests for tests of CI: a clone as actions/checkout makes it, the event, and a runner that has mlgit."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actions_runner import ROOT, Evaluator, Run, Runner
from openapi import SLUG, TOKEN

NUMBER = 7
STAGES = """\
stages:
  train:
    cmd: "true"
    params: [rate]
    metrics:
      - metrics.json: {cache: false}
gates:
  - {metric: 'metrics.json:accuracy', direction: higher, max_drop_abs: 0.01}
"""


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def mlgit(folder: Path, *words: str) -> None:
    subprocess.run([sys.executable, "-m", "mlgit", *words], cwd=folder, check=True, capture_output=True)


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", "change")


def mlgit_in(runner: Runner) -> None:
    """Let a runner find the mlgit that is tested, also in the environment that a step believes to make."""
    lines = (f"#!{sys.executable}", "import sys", f"sys.path.insert(0, {str(ROOT)!r})")
    runner.program("mlgit", "\n".join((*lines, "from mlgit.__main__ import main", "main()", "")))
    runner.program("python", "#!/bin/sh\n")
    links = f"ln -s '{runner.bin}/mlgit' '{runner.bin}/python' \"$3/bin\""
    runner.program("python3", f'#!/bin/sh\nmkdir -p "$3/bin"; {links}\n')


@dataclass
class Pull:
    """A pull request at GitHub: the clone of its trial merge, one commit deep, and the event."""

    runner: Runner
    event: dict[str, Any]
    github: dict[str, Any]

    def run(self, **inputs: str) -> Run:
        """The action, on this pull request."""
        given = {"version": "installed"} | {name.replace("_", "-"): value for name, value in inputs.items()}
        return self.runner.action(ROOT / "action.yml", given, self.event, **self.github)


def make_pull(
    evaluator: Evaluator, origin: Path, folder: Path, files: dict[str, str], base: dict[str, str] | None = None
) -> Pull:
    """A pull request that changes `files`, in a repository that starts with `base` besides what a gate needs."""
    start = {"mlgit.yaml": STAGES, "params.yaml": "rate: 1\n", "metrics.json": '{"accuracy": 0.90}'}
    write(origin, start | (base or {}))
    git(origin, "checkout", "-q", "-b", "topic")
    write(origin, files)
    head = git(origin, "rev-parse", "HEAD")
    git(origin, "checkout", "-q", "main")
    write(origin, {"later.txt": "main moved on\n"})
    sha = git(origin, "rev-parse", "HEAD")
    git(origin, "checkout", "-q", "--detach")
    git(origin, "merge", "-q", "--no-ff", "-m", "trial", "topic")
    git(origin, "update-ref", f"refs/pull/{NUMBER}/merge", "HEAD")
    git(origin, "checkout", "-q", "main")
    clone = folder / "clone"
    clone.mkdir()
    git(clone, "init", "-q")
    git(clone, "remote", "add", "origin", origin.as_uri())
    spec = f"+refs/pull/{NUMBER}/merge:refs/remotes/pull/{NUMBER}/merge"
    git(clone, "fetch", "-q", "--no-tags", "--depth=1", "origin", spec)
    git(clone, "checkout", "-q", "--detach", f"refs/remotes/pull/{NUMBER}/merge")
    runner = Runner(evaluator, folder / "runner", clone)
    mlgit_in(runner)
    return Pull(runner, event(sha, head), github_context(git(clone, "rev-parse", "HEAD")))


def event(base: str, head: str, *, fork: bool = False) -> dict[str, Any]:
    own = {"full_name": SLUG, "id": 1, "fork": False}
    other = {"full_name": "you/flowers", "id": 2, "fork": True} if fork else own
    sides = {
        "base": {"ref": "main", "sha": base, "repo": own},
        "head": {"ref": "topic", "sha": head, "repo": other},
    }
    return {"action": "synchronize", "number": NUMBER, "pull_request": {"number": NUMBER, **sides}, "repository": own}


def github_context(sha: str) -> dict[str, Any]:
    return {
        "event_name": "pull_request",
        "base_ref": "main",
        "head_ref": "topic",
        "ref": f"refs/pull/{NUMBER}/merge",
        "sha": sha,
        "repository": SLUG,
        "run_id": "77",
        "server_url": "https://github.invalid",
        "api_url": "http://127.0.0.1:9",  # the port that discards
        "token": TOKEN,
    }
