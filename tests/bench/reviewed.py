"""The contestants of the ci workload: what runs on every commit and pull request, and what Git alone takes for it.

A repository has two commits that differ in one metric, one parameter, one line of code and, where data are tracked, one
data file. Nothing is changed by what is measured, so one repository serves all rounds.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

from tests.bench import floors
from tests.bench.data import change_one
from tests.bench.process import Command
from tests.bench.tools import Commands, Dvc, Git, Mlgit

RESAMPLES = 10_000
_SIDES = ("HEAD~1", "HEAD")


@dataclass(frozen=True, slots=True)
class Project:
    """What is in a repository.

    Attributes:
        tracked: the data are the tool's; else they are plain files of Git.
        gates: how many, each on a metric of its own.
        examples: predictions behind the first metric, which its gate tests.
    """

    tracked: bool = False
    gates: int = 1
    examples: int = 0


class Reviewed(Git):
    """What the contestants share: the history, and the verbs that they know."""

    def write(self, project: Project) -> None:
        """Make both commits."""
        if not project.tracked or not self.floor:
            self.bring()
        for side in range(len(_SIDES)):
            if side and self.data.exists():
                change_one(self.data)
            self._write_side(project, side)
            if project.tracked:
                self.track()
            self.commit()

    def track(self) -> None:
        """Have the tool store the data; a floor has none."""

    def stage_code(self) -> None:
        """Stage a file that no tool but Git cares for."""
        self._do("git", "reset", "-q", "--hard")
        (self.home / "notes.md").write_text("a note\n")
        self._do("git", "add", "notes.md")

    def stage_pointer(self) -> None:
        """Stage another version of the data."""
        self._do("git", "reset", "-q", "--hard")
        change_one(self.data)
        self.track()
        self._do("git", "add", "-A")

    def metrics_diff(self) -> Commands:
        """Compare the metrics of the last two commits."""
        return []

    def review(self) -> Commands:
        """Judge the last commit by the one before it."""
        return []

    def review_written(self) -> Commands:
        """The same, with a page and JSON written."""
        return []

    def pre_commit(self) -> Commands:
        """What the hook does before a commit."""
        return []

    def post_checkout(self) -> Commands:
        """What the hook does after a checkout that changed nothing."""
        return []

    def show_metrics(self) -> Commands:
        """Print a metrics file as `git diff` is to show it."""
        return []

    def gate(self) -> Commands:
        """Judge the metrics by all gates."""
        return []

    def resample(self) -> Commands:
        """Judge a metric by its predictions."""
        return []

    def _write_side(self, project: Project, side: int) -> None:
        values = {f"m{number}": 0.9 + side / 1000 for number in range(project.gates)}
        if project.examples:
            values = {"accuracy": self._write_predictions(project.examples, side)}
        files = {
            "metrics.json": json.dumps(values),
            "params.yaml": f"rate: {side + 1}\n",
            "train.py": f"print({side})\n",
            **self.stage_files(project, list(values)),
        }
        for name, text in files.items():
            (self.home / name).write_text(text)

    def stage_files(self, project: Project, names: list[str]) -> dict[str, str]:
        """The tool's own file that says where metrics are, by its name."""
        return {}

    def _write_predictions(self, examples: int, side: int) -> float:
        """Rows of two classes, nine of ten right and of the newer side a few more; returns the accuracy."""
        wrong = [number % 10 == 0 and not (side and number % 1000 == 0) for number in range(examples)]
        rows = (f"{number},{number % 2},{(number + missed) % 2}\n" for number, missed in enumerate(wrong))
        (self.home / "predictions.csv").write_text("id,label,prediction\n" + "".join(rows))
        return 1 - sum(wrong) / examples


class GitAlone(Reviewed):
    """A floor: what Git takes to read or to compare the same; for resamples, what NumPy takes to draw them."""

    name = "floor"
    floor = True
    examples = 0

    def _begin(self) -> None:
        """Git needs no more."""

    def write(self, project: Project) -> None:
        """As every other; and remember how many predictions there are."""
        super().write(project)
        self.examples = project.examples

    def metrics_diff(self) -> Commands:
        """Read the file of both commits in one process."""
        names = "".join(rf"{side}:metrics.json\n" for side in _SIDES)
        return [Command(("sh", "-c", f"printf '{names}' | git cat-file --batch"), self.home)]

    def review(self) -> Commands:
        """List what differs."""
        return self._words("diff", "--raw", "--numstat", *_SIDES)

    review_written = review

    def pre_commit(self) -> Commands:
        """List what is staged."""
        return self._words("diff", "--cached", "--raw")

    def post_checkout(self) -> Commands:
        """List what differs between a commit and itself."""
        return self._words("diff-tree", "-r", "HEAD", "HEAD")

    def show_metrics(self) -> Commands:
        """Print it as it is."""
        return [Command(("cat", "metrics.json"), self.home)]

    gate = metrics_diff

    def resample(self) -> Commands:
        """Draw as many counts of the four kinds of pairs: right or wrong on either side."""
        words = (sys.executable, str(floors.__file__), "draw", str(self.examples), str(RESAMPLES))
        return [Command(words, self.home)]


class Judged(Mlgit, Reviewed):
    """mlgit, with gates."""

    def stage_files(self, project: Project, names: list[str]) -> dict[str, str]:
        """A gate for each metric; with predictions, one stage that writes them."""
        gates = "".join(f"- metric: metrics.json:{name}\n  direction: higher\n  max_drop_abs: 0.01\n" for name in names)
        if not project.examples:
            return {"mlgit.yaml": f"metrics:\n- metrics.json\ngates:\n{gates}"}
        metrics = "    - metrics.json:\n        cache: false\n        predictions: predictions.csv\n"
        stage = f"  evaluate:\n    cmd: python train.py\n    deps:\n    - train.py\n    metrics:\n{metrics}"
        return {"mlgit.yaml": f"stages:\n{stage}gates:\n{gates}  test: bootstrap\n"}

    def track(self) -> None:
        """`mlgit add` and `mlgit push`."""
        self._tool("add", "data")
        self._tool("push")

    def metrics_diff(self) -> Commands:
        """The working tree is as the last commit."""
        return self._words("metrics", "diff", "HEAD~1")

    def review(self) -> Commands:
        """`mlgit ci`."""
        return self._words("ci")

    def review_written(self) -> Commands:
        """The files go beside the repository."""
        html, output = (str(self.home.with_name(f"{self.home.name}-report.{kind}")) for kind in ("html", "json"))
        return self._words("ci", "--html", html, "--output", output)

    def pre_commit(self) -> Commands:
        """The hook itself, without Git around it."""
        return self._words("hooks", "run", "pre-commit")

    def post_checkout(self) -> Commands:
        """With the words that Git gives it."""
        return self._words("hooks", "run", "post-checkout", "HEAD", "HEAD", "1")

    def show_metrics(self) -> Commands:
        """What Git calls for each side of a diff."""
        return self._words("diff-driver", "metrics", "metrics.json")

    def gate(self) -> Commands:
        """`mlgit gate`."""
        return self._words("gate", "--base", "HEAD~1")

    resample = gate


class DvcJudged(Dvc, Reviewed):
    """DVC, which compares metrics and has hooks, but no gates."""

    def stage_files(self, project: Project, names: list[str]) -> dict[str, str]:
        """Where metrics are."""
        return {"dvc.yaml": "metrics:\n- metrics.json\n"}

    def track(self) -> None:
        """`dvc add`."""
        self._tool("add", "-q", "data")

    def metrics_diff(self) -> Commands:
        """It takes the same words."""
        return self._words("metrics", "diff", "HEAD~1")

    def pre_commit(self) -> Commands:
        """What its hook calls."""
        return self._words("git-hook", "pre-commit")

    def post_checkout(self) -> Commands:
        """What its hook calls."""
        return self._words("git-hook", "post-checkout", "HEAD", "HEAD", "1")
