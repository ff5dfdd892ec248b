"""The main story as transcripts: what each command prints, word for word, with ids, times and folders made equal.

`UPDATE_GOLDEN=1 pytest tests/cli/test_story.py` writes the transcripts anew; read the difference before committing it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

GOLDEN = Path(__file__).parent / "golden"
Cli = Callable[..., Any]


class Story:
    """Runs lines, keeps what they print, and holds it to the file of the same name."""

    def __init__(self, cli: Cli, root: Path) -> None:
        self._cli = cli
        self._root = root
        self.cwd = root
        self._lines: list[str] = []

    def __call__(self, line: str) -> str:
        words = shlex.split(line)
        self._lines.append(f"$ {line}")
        if words[0] != "mlgit":
            subprocess.run(line, shell=True, cwd=self.cwd, check=True, capture_output=True)
            return ""
        said = self._cli(*words[1:], cwd=self.cwd, code=None)
        self._lines += said.out.splitlines()
        self._lines += [f"# {one}" for one in said.err.splitlines()]
        self._lines += [f"[exit {said.code}]"] if said.code else []
        self._lines.append("")
        return str(said.out)

    def check(self, name: str) -> None:
        found = normal("\n".join(self._lines).rstrip() + "\n", self._root)
        file = GOLDEN / f"{name}.txt"
        if os.environ.get("UPDATE_GOLDEN"):
            file.parent.mkdir(exist_ok=True)
            file.write_text(found, encoding="utf-8")
        assert found == file.read_text(encoding="utf-8")


def normal(text: str, root: Path) -> str:
    """Ids, commits, times, folders and the size of the store are not part of the story."""
    text = text.replace(str(root.parent), "/home")
    text = re.sub(r"blake3:[0-9a-f]{64}", "blake3:…", text)
    text = re.sub(r"[0-9a-f]{64}", "…", text)
    text = re.sub(r"\b[0-9a-f]{7}\b", "COMMIT", text)
    text = re.sub(r"\b\d+\.\d s\b", "N s", text)
    return re.sub(r"[0-9.]+ (B|KiB) in the cache", "N B in the cache", text)


@pytest.fixture
def story(cli: Cli, git_folder: Path) -> Story:
    return Story(cli, git_folder)


def data(story: Story) -> None:
    """A tracked file and a tracked folder, committed."""
    root = story.cwd
    (root / "data/raw").mkdir(parents=True)
    for name in ("a.csv", "b.csv"):
        (root / "data/raw" / name).write_text(f"{name}\n1\n")
    (root / "table.csv").write_text("x,y\n1,2\n")
    story("mlgit init")
    story("mlgit add data/raw table.csv")
    story("git add -A")
    story("git commit -q -m data")


def test_data(story: Story) -> None:
    root = story.cwd
    data(story)
    story("mlgit status")
    story("mlgit ls")
    story("mlgit ls -R data")
    story("mlgit cat data/raw/a.csv")
    (root / "data/raw/a.csv").write_text("changed\n")
    (root / "data/raw/c.csv").write_text("new\n")
    (root / "table.csv").unlink()
    for line in ("status", "diff", "diff --md", "add data/raw --dry-run", "checkout", "checkout --dry-run"):
        story(f"mlgit {line}")
    story("mlgit status --exit-code")
    story("mlgit add data/raw")
    story("mlgit checkout table.csv")
    story("mlgit diff HEAD")
    story("git commit -q -a -m more")
    story("mlgit diff HEAD~1 HEAD --exit-code")
    story("mlgit checkout data/raw/a.csv --rev HEAD~1")
    story("mlgit cat data/raw/a.csv --rev HEAD")
    story("mlgit checkout data/raw -f")
    for line in ("move table.csv tables/ --dry-run", "move table.csv t.csv", "remove t.csv --dry-run", "remove t.csv"):
        story(f"mlgit {line}")
    for line in ("unprotect data/raw", "du", "gc -w --dry-run --grace 0", "gc -w", "gc -a", "fsck", "fsck --full"):
        story(f"mlgit {line}")
    story.check("data")


def test_remotes(story: Story, git_folder: Path) -> None:
    data(story)
    for line in (
        "remote list",
        "push",
        "remote add -d store ../store",
        "remote add other ../other",
        "remote list",
        "remote modify other url ../elsewhere",
        "remote default",
        "remote default other --local",
        "remote default store --local",
        "remote remove other",
        "config core.autostage true --local",
        "config --list",
        "config core.autostage",
        "config core.autostage --unset --local",
        "push --dry-run",
        "push",
        "push",
    ):
        story(f"mlgit {line}")
    story("git commit -q -a -m remote")
    story.cwd = git_folder.parent
    story("mlgit clone project copy")
    story("mlgit clone project copy")
    story.cwd = git_folder.parent / "copy"
    story("mlgit status")
    shutil.rmtree(story.cwd / ".mlgit/cache")
    (story.cwd / "table.csv").unlink()
    for line in ("status", "pull --dry-run", "fetch data/raw", "pull", "pull", "pull -r nope", "fsck -r store --full"):
        story(f"mlgit {line}")
    story.check("remotes")


PARAMS = "lr: 1\ndepth: 3\n"
TRAIN = """\
import json, re
lr = float(re.search(r"lr: (\\S+)", open("params.yaml").read())[1])
open("model.txt", "w").write(str(lr))
json.dump({"acc": 0.8 + lr / 10, "loss": 1 / lr}, open("metrics.json", "w"))
open("curve.csv", "w").write("step,loss\\n0,1\\n1,%s\\n" % (1 / lr))
"""
GATES = """\
gates:
  - {metric: "metrics.json:acc", direction: higher, min: 0.85, max_drop_abs: 0.01}
"""


def pipeline(story: Story) -> None:
    (story.cwd / "params.yaml").write_text(PARAMS)
    (story.cwd / "train.py").write_text(TRAIN)
    story("mlgit stage add -n prepare -d data/raw -o clean.csv 'cat data/raw/*.csv > clean.csv'")
    outs = "-o model.txt -M metrics.json --plots-no-cache curve.csv"
    for options in (f"{outs} --dry-run", outs):
        story(f"mlgit stage add -n train -d clean.csv -d train.py -p lr {options} python train.py")


def test_pipeline(story: Story) -> None:
    root = story.cwd
    data(story)
    pipeline(story)
    for line in ("stage list", "status", "dag", "dag --dot", "dag --mermaid", "dag --md", "repro --dry-run", "repro"):
        story(f"mlgit {line}")
    story("git add -A")
    story("git commit -q -m pipeline")
    story("mlgit repro")
    (root / "params.yaml").write_text(PARAMS.replace("lr: 1", "lr: 2"))
    for line in ("status", "params diff", "repro", "metrics show", "metrics diff", "metrics diff --md", "plots diff"):
        story(f"mlgit {line}")
    with (root / "mlgit.yaml").open("a") as file:
        file.write(GATES)
    for line in ("gate", "gate --md"):
        story(f"mlgit {line}")
    (root / "params.yaml").write_text(PARAMS.replace("lr: 1", "lr: 0.1"))
    for line in ("repro train", "gate"):
        story(f"mlgit {line}")
    (root / "params.yaml").write_text(PARAMS)
    for line in ("repro", "freeze train --dry-run", "freeze train", "status", "unfreeze train", "status"):
        story(f"mlgit {line}")
    story("mlgit checkout model.txt")
    story.check("pipeline")


REPORTS = {
    "status": "status",
    "diff": "diff",
    "ls": "ls",
    "du": "du",
    "fsck": "fsck",
    "gc -w": "gc",
    "remote list": "remotes",
    "stage list": "stages",
    "params diff": "params-diff",
    "metrics show": "metrics-show",
    "metrics diff": "metrics-diff",
    "plots show": "plots-show",
    "plots diff": "plots-diff",
    "gate": "gate",
}


def test_reports_as_json_and_markdown(story: Story) -> None:
    data(story)
    pipeline(story)
    (story.cwd / "mlgit.yaml").open("a").write(GATES)
    story("mlgit repro")
    story("git add -A")
    story("git commit -q -m pipeline")
    (story.cwd / "data/raw/a.csv").write_text("changed\n")
    for command, kind in REPORTS.items():
        found = json.loads(story(f"mlgit {command} --json"))
        assert (found["version"], found["kind"]) == (1, kind)
        assert {"verdict", "base", "head", "notes"} <= found.keys()
        for rows in (value for value in found.values() if isinstance(value, list) and value is not found["notes"]):
            assert rows is found["tables"] or all("mark" in row for row in rows)
        assert story(f"mlgit {command} --md").startswith("## ")
    found = json.loads(story("mlgit repro --json"))
    assert (found["version"], found["kind"]) == (1, "repro")
