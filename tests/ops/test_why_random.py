"""`why` and `repro --dry-run` say what `repro` then does, on random pipelines after random edits."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mlgit.model.text import dump_yaml
from mlgit.ops.inspect import why
from mlgit.pipeline.plan import Options, Step
from mlgit.repo import Repo

SIZE = 5
SOURCES = ("a.txt", "b.txt", "in/c.txt")
Edit = tuple[str, int, int]

kinds = st.sampled_from(
    ["source", "param", "lose", "overwrite", "text", "freeze", "thaw", "add match", "drop match", "forget", "target"]
)
edits = st.lists(st.tuples(kinds, st.integers(0, SIZE - 1), st.integers(0, 3)), max_size=4)
needs = st.lists(st.sets(st.integers(0, SIZE - 1), max_size=2), min_size=SIZE, max_size=SIZE)
flags = st.lists(
    st.sampled_from(["plain", "always_changed", "glob", "folder", "no cache", "glob of outs", "dull"]),
    min_size=SIZE,
    max_size=SIZE,
)


def stage_of(number: int, needed: set[int], flag: str, text: int, frozen: bool) -> dict[str, Any]:
    """Stage `number` joins what it reads; it reads sources and outputs of stages before it."""
    deps = [f"s{n}.out" for n in sorted(needed) if n < number] or [SOURCES[number % len(SOURCES)]]
    out = f"s{number}.out"
    entry: dict[str, Any] = {"deps": deps, "params": [f"p{number % 2}"], "outs": [out]}
    reads = " ".join(f"$(find {dep} -type f | sort)" for dep in deps)
    if flag == "folder":
        entry["cmd"] = f"mkdir -p {out} && cat {reads} | head -c 4 > {out}/x && echo {text} > {out}/y"
    elif flag == "dull":  # whatever it reads, it writes the same
        entry["cmd"] = f"true {text}; echo dull > {out}"
    else:
        entry["cmd"] = f"(cat {reads} params.yaml | head -c 40; echo {text}) > {out}"
    if flag == "always_changed":
        entry["always_changed"] = True
    elif flag == "glob":
        entry["deps"] = [*deps, "in/*"]
    elif flag == "glob of outs" and number:
        entry["deps"] = [f"s[0-{number - 1}].*"]
    elif flag == "no cache":
        entry["outs"] = [{out: {"cache": False}}]
    return {**entry, "frozen": frozen}


class Life:
    """A repository with one random pipeline."""

    def __init__(self, root: Path, needs: list[set[int]], flags: list[str]) -> None:
        self.root, self.needs, self.flags = root, needs, flags
        self.texts, self.frozen = [0] * SIZE, [False] * SIZE
        self.params = {"p0": 0, "p1": 0}
        subprocess.run(["git", "init", "-q", str(root)], check=True)
        Repo.init(root)
        (root / "in").mkdir()
        for name in SOURCES:
            (root / name).write_text("0\n")
        self.write()

    def write(self) -> None:
        stages = {f"s{n}": stage_of(n, self.needs[n], self.flag(n), self.texts[n], self.frozen[n]) for n in range(SIZE)}
        (self.root / "mlgit.yaml").write_text(dump_yaml({"stages": stages}))
        (self.root / "params.yaml").write_text(dump_yaml(self.params))

    def flag(self, number: int) -> str:
        """A pattern stands for files: it needs one among the outputs before it."""
        flag = self.flags[number]
        return "plain" if flag == "glob of outs" and set(self.flags[:number]) <= {"folder"} else flag

    def edit(self, kind: str, number: int, value: int) -> None:
        out = self.root / f"s{number}.out"
        if kind == "source":
            (self.root / SOURCES[number % len(SOURCES)]).write_text(f"{value}\n")
        elif kind == "param":
            self.params[f"p{number % 2}"] = value
        elif kind == "lose":
            self._lose(out)
        elif kind == "overwrite":
            self._lose(out)
            out.write_text(f"by hand {value}\n")
        elif kind == "text":
            self.texts[number] = value
        elif kind in ("freeze", "thaw"):
            self.frozen[number] = kind == "freeze"
        elif kind == "add match":
            (self.root / f"in/more{value}").write_text("more\n")
        elif kind == "drop match":
            (self.root / f"in/more{value}").unlink(missing_ok=True)
        elif kind == "forget":
            (self.root / "mlgit.lock").unlink(missing_ok=True)
        self.write()

    def _lose(self, out: Path) -> None:
        if out.is_dir():
            for path in out.iterdir():
                path.unlink()
            out.rmdir()
        out.unlink(missing_ok=True)

    def repro(self, options: Options) -> dict[str, str]:
        done = Repo(self.root).pipeline.reproduce(options, dict(os.environ), lambda event: None)
        return {
            **dict.fromkeys(done.ran, "run"),
            **dict.fromkeys(done.restored, "restore"),
            **dict.fromkeys(done.skipped, "skip"),
        }


@settings(max_examples=int(os.environ.get("MLGIT_EXAMPLES", "12")))
@given(needs, flags, st.lists(st.tuples(edits, st.booleans(), st.integers(0, SIZE - 1)), min_size=1, max_size=3))
def test_why_and_dry_run_foretell_repro(
    needs: list[set[int]], flags: list[str], rounds: list[tuple[list[Edit], bool, int]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        life = Life(Path(folder), needs, flags)
        life.repro(Options())
        for changes, whole, target in rounds:
            for change in changes:
                life.edit(*change)
            options = Options() if whole else Options(targets=(f"s{target}",))
            upstream = Repo(life.root).pipeline.graph.upstream
            foretold = {step.address: step for step in Repo(life.root).pipeline.plan(options)}
            answers = why.explain(Repo(life.root), [f"s{n}" for n in range(SIZE)] if whole else [f"s{target}"])
            done = life.repro(options)
            assert foretold.keys() == done.keys()
            for address, step in foretold.items():
                assert done[address] in allowed(step, upstream), (address, step, done)
            for answer in answers:
                assert done[answer.step.address] in allowed(answer.step, upstream), (answer, done)
                if not answer.step.certain:
                    assert answer.first, answer
            left = {step.address: step.action for step in Repo(life.root).pipeline.plan(options)}
            for address, action in left.items():
                stage = Repo(life.root).pipeline.graph.stages[address]
                assert action in ("skip", "frozen") or stage.always_changed or behind_always(life, address), left


def allowed(step: Step, upstream: Mapping[str, Collection[str]]) -> set[str]:
    """What may become of a stage that `step` foretold; behind another, the run cache may turn out to know it."""
    if step.action != "run":
        return {step.action.replace("frozen", "skip")}
    if not step.certain:
        return {"run", "restore", "skip"}
    return {"run", "restore"} if upstream[step.address] else {"run"}


def behind_always(life: Life, address: str) -> bool:
    """Whether a stage that runs every time comes before the stage `address`."""
    graph = Repo(life.root).pipeline.graph
    waiting, seen = [address], set()
    while waiting:
        near = waiting.pop()
        if graph.stages[near].always_changed and near != address:
            return True
        waiting += [one for one in graph.upstream[near] if one not in seen]
        seen |= set(waiting)
    return False
