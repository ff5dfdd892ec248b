"""The contestants of the pipeline workload: tools that run stages, and the shell alone as their floor.

The stages form a tree and each writes one small file: what is measured is what a tool adds to `sh -c true`. Stage files
read the same for every tool.
"""

from __future__ import annotations

from tests.bench.process import Command
from tests.bench.tools import Commands, Dvc, Mlgit, Tool

NAPS = 20
NAP = 0.2


class Shell(Tool):
    """A floor: what the shell alone takes for the same commands."""

    name = "floor"
    floor = True
    count = 0

    def repro(self) -> Commands:
        """`sh -c true`, once a stage."""
        return [Command(("sh", "-c", "true"), self.home)] * self.count

    def write(self, count: int) -> None:
        """Remember how many."""
        self.count = count

    def write_naps(self) -> None:
        """There is nothing to write."""

    def nap(self) -> Commands:
        """The same sleeps, half of them beside the other half."""
        half = f"for n in $(seq {NAPS // 2}); do sleep {NAP}; done"
        return [Command(("sh", "-c", f"({half}) & ({half}); wait"), self.home)]


class Stages(Mlgit):
    """mlgit, with stages."""

    stage_file, lock_file = "mlgit.yaml", "mlgit.lock"

    def repro(self) -> Commands:
        """Bring all stages up to date, one at a time."""
        return self._words("repro")

    def nap(self) -> Commands:
        """Two at a time."""
        return self._words("repro", "-j", "2")

    def write(self, count: int) -> None:
        """`count` stages, each after the one that stands above it in a binary tree; committed."""
        above = [f"    deps:\n    - o{(number - 1) // 2}.txt\n" if number else "" for number in range(count)]
        entries = (
            f"  s{n}:\n    cmd: echo {n} > o{n}.txt\n{deps}    outs:\n    - o{n}.txt\n" for n, deps in enumerate(above)
        )
        self._commit_stages("".join(entries))

    def write_naps(self) -> None:
        """Stages that wait and need nothing of each other; committed."""
        lines = (
            f"  n{n}:\n    cmd: sleep {NAP}; echo {n} > n{n}.txt\n    outs:\n    - n{n}.txt\n" for n in range(NAPS)
        )
        self._commit_stages("".join(lines))

    def _commit_stages(self, text: str) -> None:
        (self.home / self.stage_file).write_text(f"stages:\n{text}")
        self.commit()

    def lose(self) -> None:
        """Put aside what the stages wrote and what is recorded of it: only the run cache remembers."""
        self._asides += 1
        aside = self.home.with_name(f"{self.home.name}-lost{self._asides}")
        aside.mkdir()
        for path in [*self.home.glob("o*.txt"), self.home / self.lock_file]:
            path.rename(aside / path.name)


class DvcStages(Stages, Dvc):
    """DVC, whose stage files read the same; it runs one stage at a time."""

    name = "dvc"
    stage_file, lock_file = "dvc.yaml", "dvc.lock"

    def nap(self) -> Commands:
        """It knows no jobs."""
        return self._words("repro")
