"""`mlgit verify` on real stages, whose commands copy what lies outside the repository and is changed between runs.

`UPDATE_GOLDEN=1 pytest tests/ops/test_verify.py` writes the transcript anew; read the difference before committing it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from mlgit.cli.main import run

GOLDEN = Path(__file__).parent / "golden" / "verify.txt"


class World:
    """A project with stages that copy `outside/NAME` to their outputs."""

    def __init__(self, project, capsys):
        self.project = project
        self.root = project.root
        self.outside = project.root.parent / f"{project.root.name}-outside"
        self.outside.mkdir()
        self._capsys = capsys
        self._stages = []

    def stage(self, name, out, *, flags="{}", extra=""):
        self._stages.append(
            f"  {name}:\n    cmd: cp -r {self.outside}/{out} {out}\n    outs: [{out}: {flags}]\n{extra}"
        )
        self.project.commit({"mlgit.yaml": "stages:\n" + "".join(self._stages)})

    def put(self, name, content):
        path = self.outside / name
        path.parent.mkdir(exist_ok=True)
        if isinstance(content, np.ndarray):
            np.save(path, content)
        elif isinstance(content, pa.Table):
            parquet.write_table(content, path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())

    def mlgit(self, *arguments, code=0):
        self._capsys.readouterr()
        found = run(["-C", str(self.root), *arguments])
        said = self._capsys.readouterr()
        assert "bug in mlgit" not in said.err
        assert found == code, f"exit {found}\n{said.out}\n{said.err}"
        return said

    def verify(self, *arguments, code=0):
        return json.loads(self.mlgit("verify", *arguments, "--json", code=code).out)


@pytest.fixture
def world(project, capsys):
    found = World(project, capsys)
    yield found
    shutil.rmtree(found.outside)


def row(report, stage):
    return next(one for one in report["outputs"] if one["stage"] == stage)


def test_the_same_again(world):
    world.put("m.json", {"acc": 1})
    world.stage("train", "m.json")
    world.mlgit("repro")
    lock = (world.root / "mlgit.lock").read_bytes()
    report = world.verify()
    assert (report["kind"], report["verdict"], report["notes"]) == ("verify", "pass", ["1 output the same"])
    assert (world.root / "mlgit.lock").read_bytes() == lock
    assert json.loads((world.root / "m.json").read_text()) == {"acc": 1}


def test_a_time_stamp_is_named_with_file_key_and_both_values(world):
    script = "import json, time; json.dump({'made': {'at': time.time()}}, open('m.json', 'w'))"
    stage = f"stages: {{a: {{cmd: '{sys.executable} make.py', deps: [make.py], outs: [m.json]}}}}"
    world.project.commit({"make.py": script, "mlgit.yaml": stage})
    world.mlgit("repro")
    before = json.loads((world.root / "m.json").read_text())["made"]["at"]
    found = world.verify(code=1)
    (one,) = found["outputs"]
    assert (one["path"], one["where"], one["recorded"]) == ("m.json", "key made.at", str(before))
    assert float(one["new"]) > before
    assert "m.json looks like a time stamp" in found["notes"][-1]
    assert "SOURCE_DATE_EPOCH" in world.mlgit("verify", "a", "--md", code=1).out


def test_a_tolerance_shows_the_largest_deviation_beside_the_bound(world):
    world.put("w.npy", np.array([1.0, 2.0]))
    world.stage("train", "w.npy", flags="{tolerance: {abs: 0.5}}")
    world.mlgit("repro")
    world.put("w.npy", np.array([1.5, 2.25]))
    found = row(world.verify(), "train")
    assert (found["result"], found["abs_deviation"], found["tolerance"]) == ("within tolerance", 0.5, "abs 0.5")
    world.put("w.npy", np.array([1.0, 3.0]))
    found = row(world.verify(code=1), "train")
    assert (found["result"], found["where"], found["differing"]) == ("differs", "[1]", 1)


def test_only_what_was_asked_for_is_run(world):
    for name in ("a", "b"):
        world.put(f"{name}.json", 1)
        world.stage(name, f"{name}.json")
    world.mlgit("repro")
    world.put("b.json", 2)
    assert world.verify("a")["verdict"] == "pass"
    assert world.verify("b.json", "-j", "2", code=1)["verdict"] == "fail"


def test_never_run_and_stale_are_not_evaluable(world):
    world.put("a.json", 1)
    world.stage("a", "a.json")
    found = world.verify(code=19)
    assert (row(found, "a")["result"], row(found, "a")["note"]) == ("not evaluable", "has no entry in the lock")
    world.mlgit("repro")
    world.stage("b", "b.json")
    text = (world.root / "mlgit.yaml").read_text()
    (world.root / "mlgit.yaml").write_text(text.replace("cp -r", "cp  -r"))
    assert row(world.verify("a", code=19), "a")["note"] == "the command changed"


def test_a_stage_that_adds_to_what_stood_there_is_not_evaluable(world):
    world.put("a.json", 1)
    world.stage("a", "a.json", flags="{persist: true}")
    world.mlgit("repro")
    found = row(world.verify(code=19), "a")
    assert found["result"] == "not evaluable"
    assert "persist" in found["note"]


def test_a_difference_counts_more_than_what_cannot_be_evaluated(world):
    world.put("a.json", 1)
    world.stage("a", "a.json")
    world.mlgit("repro")
    world.stage("b", "b.json")
    world.put("a.json", 2)
    assert world.verify(code=1)["verdict"] == "fail"


def test_a_stage_that_fails(world):
    for name in ("a", "b"):
        world.put(f"{name}.json", 1)
        world.stage(name, f"{name}.json")
    world.mlgit("repro")
    (world.outside / "b.json").unlink()
    said = world.mlgit("verify", "--json", code=17)
    found = json.loads(said.out)
    assert (found["verdict"], row(found, "a")["result"]) == ("not-evaluable", "same")
    assert row(found, "b")["result"] == "failed"
    assert "'b'" in said.err


def test_recorded_bytes_that_are_not_in_the_cache(world):
    for name, flags in (("a", "{}"), ("b", "{tolerance: {abs: 9}}"), ("c", "{cache: false}")):
        world.put(f"{name}.json", {"x": 1})
        world.stage(name, f"{name}.json", flags=flags)
    world.mlgit("repro")
    for name in ("a", "b", "c"):
        world.put(f"{name}.json", {"x": 2})
    shutil.rmtree(world.root / ".mlgit/cache")
    for name in ("a", "b"):
        (world.root / f"{name}.json").unlink()
    found = world.verify(code=1)
    assert [row(found, name)["result"] for name in "abc"] == ["differs", "not evaluable", "differs"]
    assert "mlgit pull" in row(found, "a")["note"]
    assert row(found, "c")["where"] == "key x"
    assert world.verify("b", code=19)["verdict"] == "not-evaluable"


def test_without_pyarrow_bytes_are_compared(world, monkeypatch):
    world.put("t.parquet", pa.table({"a": [1]}))
    world.stage("a", "t.parquet")
    world.mlgit("repro")
    world.put("t.parquet", pa.table({"a": [2]}))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    found = row(world.verify(code=1), "a")
    assert found["note"] == "compared by bytes: to see values, install mlgit[parquet]"
    assert found["where"].startswith("byte ")


def test_the_transcript(world):
    cases = {
        "same": ("same.txt", b"a\n", b"a\n"),
        "stamp": ("metrics.json", {"time": 1732170000.25, "acc": 1}, {"time": 1732170003.5, "acc": 1}),
        "table": ("table.csv", b"id,price\n1,2.5\n2,3.5\n", b"id,price\n1,2.5\n2,3.75\n"),
        "weights": ("w.npy", np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 2.0], [3.0, 4.0000001]])),
        "summed": ("sum.json", {"loss": 0.1}, {"loss": 0.10000000000000002}),
        "rows": ("rows.parquet", pa.table({"id": [1, 2]}), pa.table({"id": [1, 5]})),
        "log": ("log.txt", b"one\ntwo\n", b"one\n2\n"),
        "folder": ("model/a.bin", b"\0\1\2", b"\0\1\3"),
    }
    for name, (file, old, _) in cases.items():
        world.put(file, old)
        world.stage(name, file.partition("/")[0], flags="{tolerance: {rel: 1e-6}}" if name == "weights" else "{}")
    world.mlgit("repro")
    world.stage("late", "late.txt")
    for file, _, new in cases.values():
        world.put(file, new)
    world.put("model/b.bin", b"new")
    said = world.mlgit("verify", code=1).out
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(said, encoding="utf-8")
    assert said == GOLDEN.read_text(encoding="utf-8")


def test_a_stage_that_needs_what_this_machine_has_not(world):
    world.put("a.json", {"x": 1})
    world.stage("a", "a.json")
    world.mlgit("repro")
    stages = (world.root / "mlgit.yaml").read_text()
    world.project.commit({"mlgit.yaml": f"{stages}    resources: {{gpus: 99}}\n"})
    assert "needs 99 GPUs" in world.mlgit("verify", code=17).err
