"""A GitHub runner for tests: parses and evaluates with GitHub's own packages, and runs scripts as the runner does.

`run_composite.mjs` answers what a step says after evaluation. Here is the rest of a runner's work: the shell
(`bash --noprofile --norc -eo pipefail {0}`), the command files (GITHUB_OUTPUT, GITHUB_ENV, GITHUB_PATH,
GITHUB_STEP_SUMMARY), and the workflow commands that it finds in a log. Steps with `uses` are recorded; the test
tells what they give.

Sources: GitHub, "Workflow commands for GitHub Actions", "Metadata syntax for GitHub Actions"; for what those leave open
the source of actions/runner: ActionCommandManager, FileCommandManager, ScriptHandler.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[2]
MODULES: Final = ROOT / ".npm-tests/node_modules"
SUMMARY_LIMIT: Final = 1 << 20
_COMMANDS: Final = {
    *("add-mask", "add-matcher", "add-path", "debug", "echo", "endgroup", "error", "group", "internal-set-repo-path"),
    *("notice", "remove-matcher", "save-state", "set-env", "set-output", "stop-commands", "warning"),
}
_MISSING: Final = "the npm packages of tests/ci/package.json are not installed: sh tests/run.sh does it"
Uses = Callable[[dict[str, str]], Mapping[str, str]]
"""A step's `with` → its outputs. It raises `StepFailedError` to fail."""


class StepFailedError(Exception):
    """What a simulated action raises to fail."""


def needs_packages() -> None:
    """Skip where Node or its packages are absent; in CI that is a failure."""
    if shutil.which("node") is None or not (MODULES / "@actions/workflow-parser").is_dir():
        if os.environ.get("CI"):
            pytest.fail(_MISSING)
        pytest.skip(_MISSING)


@dataclass(frozen=True)
class Command:
    """A workflow command that the runner would obey."""

    name: str
    properties: dict[str, str]
    message: str


@dataclass
class Step:
    """One step as it went: `conclusion` is success, failure or skipped."""

    said: dict[str, Any]
    conclusion: str
    log: str = ""
    code: int = 0
    outputs: dict[str, str] = field(default_factory=dict)
    commands: list[Command] = field(default_factory=list)
    summary: str = ""


@dataclass
class Run:
    """A composite action or a job as it went."""

    steps: list[Step]
    outputs: dict[str, str] = field(default_factory=dict)

    @property
    def log(self) -> str:
        return "".join(step.log for step in self.steps)

    @property
    def code(self) -> int:
        return next((step.code for step in self.steps if step.conclusion == "failure"), 0)

    @property
    def summary(self) -> str:
        return "".join(step.summary for step in self.steps)

    def annotations(self, *names: str) -> list[Command]:
        """What the runner would show: `error`, `warning` and `notice`, or only those named."""
        wanted = names or ("error", "warning", "notice")
        return [command for step in self.steps for command in step.commands if command.name in wanted]


class Evaluator:
    """GitHub's parser and evaluator, in one Node process for as long as the test runs."""

    def __init__(self) -> None:
        needs_packages()
        script = Path(__file__).with_name("run_composite.mjs")
        self._node = subprocess.Popen(
            ["node", "--no-warnings", str(script), str(MODULES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def __enter__(self) -> Evaluator:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._node.stdin is not None and self._node.stdout is not None
        self._node.stdin.close()
        self._node.wait()
        self._node.stdout.close()

    def ask(self, what: str, **more: Any) -> dict[str, Any]:
        assert self._node.stdin is not None and self._node.stdout is not None
        self._node.stdin.write(json.dumps({"do": what, **more}) + "\n")
        self._node.stdin.flush()
        answer: dict[str, Any] = json.loads(self._node.stdout.readline())
        assert "broke" not in answer, answer["broke"]
        return answer

    def open(self, file: Path, kind: str) -> dict[str, Any]:
        """Parse a file; the answer holds what the parser calls errors."""
        return self.ask("open", kind=kind, file=file.name, text=file.read_text(encoding="utf-8"))


class Runner:
    """One machine of GitHub's: a workspace, a folder for temporary files and what a job's scripts find in PATH."""

    def __init__(self, evaluator: Evaluator, folder: Path, workspace: Path) -> None:
        self.evaluator = evaluator
        self.folder = folder
        self.workspace = workspace
        self.temp = folder / "temp"
        self.bin = folder / "bin"
        for made in (folder, self.temp, self.bin):
            made.mkdir()
        self.payload = folder / "event.json"
        self.uses: dict[str, Uses] = {}
        self.used: list[dict[str, Any]] = []

    def program(self, name: str, text: str) -> None:
        """Put a program into PATH, before everything else."""
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def action(self, file: Path, inputs: Mapping[str, str], event: Mapping[str, Any], **github: Any) -> Run:
        """Run a composite action. `github` is its context; the variables GITHUB_… are made from it."""
        opened = self.evaluator.open(file, "action")
        assert not opened["errors"], opened["errors"]
        contexts = self._contexts(event, {"action_path": str(file.parent), **github})
        unknown = set(inputs) - set(opened["inputs"])
        assert not unknown, f"the runner warns of unknown inputs: {unknown}"
        contexts["inputs"] = self.evaluator.ask("defaults", contexts=contexts) | dict(inputs)
        steps = self._steps(None, opened["steps"], contexts)
        return Run(steps, self.evaluator.ask("outputs", contexts=contexts))

    def workflow(self, file: Path, job: str, event: Mapping[str, Any], **github: Any) -> Run | None:
        """Run a job of a workflow; None if its condition says no."""
        opened = self.evaluator.open(file, "workflow")
        assert not opened["errors"], opened["errors"]
        contexts = self._contexts(event, github)
        judged = self.evaluator.ask("job", job=job, contexts=contexts)
        if not judged["runs"]:
            return None
        contexts["env"] = judged["env"]
        return Run(self._steps(job, opened["steps"][opened["jobs"].index(job)], contexts))

    def _contexts(self, event: Mapping[str, Any], github: Mapping[str, Any]) -> dict[str, Any]:
        self.payload.write_text(json.dumps(event))
        known = {"event": dict(event), "workspace": str(self.workspace), "event_path": str(self.payload), **github}
        runner = {"os": "Linux", "arch": "X64", "temp": str(self.temp), "name": "test"}
        return {"github": known, "runner": runner, "steps": {}, "env": {}, "job": {"status": "success"}}

    def _steps(self, job: str | None, count: int, contexts: dict[str, Any]) -> list[Step]:
        contexts["status"] = "success"
        done = []
        for index in range(count):
            said = self.evaluator.ask("step", job=job, index=index, contexts=contexts)
            step = self._step(said, index, contexts) if said["runs"] else Step(said, "skipped")
            failed = step.conclusion == "failure"
            if failed and said.get("continue-on-error"):
                step.conclusion = "success"
            if step.conclusion == "failure":
                contexts["status"] = contexts["job"]["status"] = "failure"
            if said["id"]:
                outcome = "failure" if failed else step.conclusion
                told = {"outputs": step.outputs, "outcome": outcome, "conclusion": step.conclusion}
                contexts["steps"][said["id"]] = told
            done.append(step)
        return done

    def _step(self, said: dict[str, Any], index: int, contexts: dict[str, Any]) -> Step:
        if said.get("uses"):
            return self._use(said)
        assert said["shell"] == "bash", f"{said['name']}: every script names its shell"
        files = {name: self.folder / f"{index}-{name}" for name in ("OUTPUT", "ENV", "PATH", "STEP_SUMMARY")}
        for file in files.values():
            file.write_text("")
        script = self.temp / f"{index}.sh"
        script.write_text(said["run"])
        process = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
            cwd=self.workspace / (said.get("working-directory") or "."),
            env=self._environment(contexts, files) | said["env"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        contexts["env"] |= parse_command_file(files["ENV"].read_text(encoding="utf-8"))
        step = Step(said, "failure" if process.returncode else "success", process.stdout, process.returncode)
        step.outputs = parse_command_file(files["OUTPUT"].read_text(encoding="utf-8"))
        step.commands = find_commands(process.stdout)
        step.summary = files["STEP_SUMMARY"].read_text(encoding="utf-8")
        assert len(step.summary.encode()) <= SUMMARY_LIMIT, "the runner refuses a longer summary as a whole"
        assert not files["PATH"].read_text(), "no step of ours changes PATH"
        return step

    def _use(self, said: dict[str, Any]) -> Step:
        self.used.append(said)
        simulated = self.uses.get(said["uses"].partition("@")[0], lambda _: {})
        try:
            return Step(said, "success", outputs=dict(simulated(said["with"])))
        except StepFailedError:
            return Step(said, "failure", code=1)

    def _environment(self, contexts: dict[str, Any], files: dict[str, Path]) -> dict[str, str]:
        keep = ("HOME", "LANG", "LD_LIBRARY_PATH", "COVERAGE_PROCESS_START", "TMPDIR")
        inherited = {name: value for name, value in os.environ.items() if name in keep or name.startswith("GIT_")}
        known = {
            name: value for name, value in contexts["github"].items() if isinstance(value, str) and name != "token"
        }
        return {
            **inherited,
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "RUNNER_TEMP": str(self.temp),
            "RUNNER_OS": "Linux",
            "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}",
            **{f"GITHUB_{name.upper()}": value for name, value in known.items()},
            **{f"GITHUB_{name}": str(file) for name, file in files.items()},
            **contexts["env"],
        }


# -- what a runner reads ---------------------------------------------------------------------------


def parse_command_file(text: str) -> dict[str, str]:
    """Names and values of GITHUB_OUTPUT or GITHUB_ENV: `name=value` lines, and values between delimiters.

    Raises:
        ValueError: the runner would fail the step.
    """
    lines = iter(text.splitlines())
    found: dict[str, str] = {}
    for line in lines:
        if not line:
            continue
        name, sign, rest = _split(line)
        if not name:
            raise ValueError(f"Invalid format {line!r}")
        found[name] = rest if sign == "=" else _until(lines, rest)
    return found


def _split(line: str) -> tuple[str, str, str]:
    equals, heredoc = line.find("="), line.find("<<")
    if equals >= 0 and (heredoc < 0 or equals < heredoc):
        return line[:equals], "=", line[equals + 1 :]
    if heredoc >= 0 and line[heredoc + 2 :]:
        return line[:heredoc], "<<", line[heredoc + 2 :]
    return "", "", ""


def _until(lines: Any, delimiter: str) -> str:
    held = []
    for line in lines:
        if line == delimiter:
            return "\n".join(held)
        held.append(line)
    raise ValueError(f"Matching delimiter not found {delimiter!r}")


def find_commands(log: str) -> list[Command]:
    """The workflow commands of a log that a runner would obey: none between stop-commands and its token."""
    obeyed = []
    token: str | None = None
    for line in re.split(r"\r\n|\n|\r", log):
        command = _modern(line, token) or _legacy(line, token)
        if command is None:
            continue
        if token is not None:
            if command.name == token:
                token = None
            continue
        obeyed.append(command)
        if command.name == "stop-commands":
            assert command.message and command.message.lower() not in {*_COMMANDS, "pause-logging"}
            token = command.message
    return obeyed


def _known(name: str, token: str | None) -> bool:
    return name.lower() in _COMMANDS or name == token


def _modern(line: str, token: str | None) -> Command | None:
    """`::name key=value,key=value::message`, after any blanks."""
    line = line.lstrip()
    end = line.find("::", 2)
    if not line.startswith("::") or end < 0:
        return None
    name, _, rest = line[2:end].partition(" ")
    if not _known(name, token):
        return None
    pairs = (pair.partition("=") for pair in rest.strip().split(",") if "=" in pair)
    escapes = {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ","}
    properties = {key.strip(): _unescape(value, escapes) for key, _, value in pairs}
    return Command(name.lower() if name != token else name, properties, _unescape(line[end + 2 :], escapes, 2))


def _legacy(line: str, token: str | None) -> Command | None:
    """`##[name key=value;key=value]message`, anywhere in the line."""
    found = re.search(r"##\[([^\] ]*)(?: ([^\]]*))?\](.*)", line)
    if found is None or not _known(found[1], token):
        return None
    return Command(found[1].lower(), {}, found[3])


def _unescape(text: str, escapes: Mapping[str, str], count: int | None = None) -> str:
    for code, character in list(escapes.items())[:count]:
        text = text.replace(code, character)
    return text.replace("%25", "%")
