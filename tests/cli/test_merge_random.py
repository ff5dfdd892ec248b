"""Random edits of stages on two branches: the merged lock, reproduced, is that of a repository without a past."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the stages are shell commands")

NAMES = ("a", "b", "c", "d", "e")
Stages = dict[str, tuple[str, int]]
edit = st.one_of(
    st.tuples(st.sampled_from(NAMES), st.tuples(st.sampled_from("xyz"), st.integers(0, 2))),
    st.tuples(st.sampled_from(NAMES[1:]), st.none()),
    st.tuples(st.sampled_from("xyz"), st.integers(0, 2)),
)
edits = st.lists(edit, min_size=1, max_size=3)


class Branches:
    """A repository below a folder with a space, its stages each in a file of its own, so that only locks meet."""

    def __init__(self, top: Path) -> None:
        self.top, self.root = top, top / "a project"
        self.root.mkdir(parents=True)
        self.run("git", "init", "-q", "-b", "main", cwd=top)
        self.mlgit("init")

    def run(self, *words: str, cwd: Path | None = None) -> str:
        done = subprocess.run(words, cwd=cwd or self.root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
        return done.stdout

    def mlgit(self, *words: str, cwd: Path | None = None) -> str:
        return self.run(sys.executable, "-m", "mlgit", *words, cwd=cwd)

    def write(self, changes: list[tuple[str, object]]) -> None:
        """Change sources, given by a number, and stages, given by what they read and a word, or by nothing at all."""
        for name, value in changes:
            if isinstance(value, int):
                (self.root / name).write_text(f"{value}\n")
            elif value is None:
                (self.root / f"{name}.part").unlink(missing_ok=True)
            else:
                source, word = value  # type: ignore[misc]
                text = f"  {name}:\n    cmd: cat {source} > {name}.out; echo {word} >> {name}.out\n"
                text += f"    deps: [{source}]\n    outs: [{name}.out]\n"
                (self.root / f"{name}.part").write_text(text)

    def settle(self) -> None:
        """Make the stage file of its parts, and reproduce."""
        parts = [part.read_text() for part in sorted(self.root.glob("*.part"))]
        (self.root / "mlgit.yaml").write_text("".join(["stages:\n", *parts]))
        self.mlgit("repro")

    def commit(self, changes: list[tuple[str, object]]) -> None:
        self.write(changes)
        self.settle()
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "--allow-empty", "-m", "change")

    def merge(self, how: str) -> None:
        """Merge; where the texts of people conflict, ours is taken, and the lock must be merged all the same."""
        subprocess.run(["git", *how.split(), "feature"], cwd=self.root, capture_output=True, check=False)
        unmerged = self.run("git", "diff", "--name-only", "--diff-filter=U").split("\n")
        assert not any("mlgit.lock" in name for name in unmerged)
        for part in self.root.glob("?*"):
            if part.suffix in (".part", "") and part.is_file() and "<<<<" in part.read_text():
                part.write_text(self.run("git", "show", f":2:./{part.name}"))


@settings(max_examples=int(os.environ.get("MLGIT_EXAMPLES", "4")))
@given(edits, edits, st.sampled_from(["merge -q -m m", "cherry-pick"]))
def test_a_merged_lock_leads_to_what_a_fresh_run_leads_to(
    ours: list[tuple[str, object]], theirs: list[tuple[str, object]], how: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = Branches(Path(folder) / "git")
        made.commit([("x", 0), ("y", 0), ("z", 0), ("a", ("x", 0)), ("b", ("y", 0)), ("c", ("z", 0))])
        made.run("git", "checkout", "-q", "-b", "feature")
        made.commit(theirs)
        made.run("git", "checkout", "-q", "main")
        made.mlgit("checkout")
        made.commit(ours)
        made.merge(how)
        assert "<<<<" not in (made.root / "mlgit.lock").read_text()
        made.settle()
        fresh = Branches(Path(folder) / "fresh")
        for path in (*made.root.glob("*.part"), *(made.root / name for name in "xyz")):
            shutil.copy(path, fresh.root)
        fresh.settle()
        assert (made.root / "mlgit.lock").read_bytes() == (fresh.root / "mlgit.lock").read_bytes()
