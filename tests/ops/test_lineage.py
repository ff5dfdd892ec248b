"""Lineage on real Git histories: back to code, parameters and data, forward to uses and metrics."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from typing import Any

import pytest

from mlgit.errors import MissingError, UsageError
from mlgit.model.pointer import Pointer, encode
from mlgit.model.relpath import RelPath
from mlgit.model.report import to_json
from mlgit.ops.lineage import show
from mlgit.ops.lineage.place import Place
from mlgit.ops.lineage.subject import resolve
from mlgit.ops.lineage.value import Lineage
from mlgit.ops.lineage.walk import trace
from mlgit.pipeline import runcache
from mlgit.pipeline.plan import Options
from mlgit.repo import Repo

STAGES = """
stages:
  clean:
    cmd: mkdir -p data && cat raw/a.csv > data/clean.csv
    deps: [raw]
    outs: [data]
  train:
    cmd: cat data/clean.csv train.py params.yaml > model.bin
    desc: the best there is
    deps: [data/clean.csv, train.py]
    params: [lr]
    outs: [model.bin]
  test:
    cmd: wc -c < model.bin > size && echo "{\\"size\\":$(cat size)}" > metrics.json
    deps: [model.bin]
    outs: [size]
    metrics: [metrics.json: {cache: false}]
artifacts:
  best: {path: model.bin, type: model}
"""
SERVE = """
stages:
  pack:
    cmd: cp ../model.bin packed.bin
    deps: [../model.bin]
    outs: [packed.bin]
"""
FILES = {
    "mlgit.yaml": STAGES,
    "serve/mlgit.yaml": SERVE,
    "train.py": "print(1)\n",
    "params.yaml": "lr: 0.1\n",
    ".gitignore": "/raw/\n",
    "raw/a.csv": "1\n",
}


def repro(project: Any) -> None:
    project.repo.pipeline.reproduce(Options(), dict(os.environ), lambda event: None)


def point(project: Any, desc: str) -> None:
    raw = RelPath("raw")
    content = project.repo.workspace.save([raw])[raw]
    source = {"url": "https://example.org/raw"}
    pointer = Pointer("raw", content.oid, content.type, content.size, content.files, desc=desc, source=source)
    project.write({"raw.mlgit": encode(pointer)})


def ask(project: Any, target: str, rev: str | None = None, folder: str = "") -> Lineage:
    repo = project.repo
    place = Place(repo, repo.snapshot(rev))
    return trace(*resolve(place, target, RelPath(target) if ":" not in target else None, RelPath(folder)))


def value(project: Any, target: str, rev: str | None = None) -> Any:
    return json.loads(to_json(show.to_report(ask(project, target, rev))))


@pytest.fixture
def ran(project: Any) -> Any:
    """Two stage files, data behind a pointer, all run and committed."""
    project.write(FILES)
    point(project, "a sensor")
    repro(project)
    project.first = project.commit({}, "first")
    return project


def oid_of(project: Any, path: str) -> str:
    (found,) = {
        content.oid
        for entry in project.repo.pipeline.project.locked.values()
        for p, content in entry.outs.items()
        if p == path
    }
    return str(found)


def test_back_from_a_model_to_code_parameters_and_data(ran: Any) -> None:
    found = value(ran, "model.bin")
    assert (found["kind"], found["verdict"]) == ("lineage", "none")
    assert found["subject"][0]["stage"] == "train"
    assert [row["stage"] for row in found["stages"]] == ["clean", "train"]
    assert all(row["lock_commit"] == ran.first and row["started"] and row["platform"] for row in found["stages"])
    assert [(row["stage"], row["path"], row["commit"], row["exact"]) for row in found["code"]] == [
        ("train", "params.yaml", ran.first, None),
        ("train", "train.py", ran.first, True),
    ]
    assert [(row["param"], row["value"]) for row in found["params"]] == [("lr", 0.1)]
    (data,) = found["data"]
    assert (data["path"], data["desc"], data["commit"], data["same"]) == ("raw", "a sensor", ran.first, True)
    assert "example.org/raw" in data["source"]
    edges = {(row["from"], row["to"]) for row in found["edges"]}
    assert {("raw", "clean"), ("clean", "data"), ("data", "data/clean.csv"), ("data/clean.csv", "train")} <= edges


def test_forward_to_stages_of_both_files_and_to_metrics(ran: Any) -> None:
    found = value(ran, "raw")
    assert {row["stage"]: row["state"] for row in found["uses"]} == dict.fromkeys(
        ("clean", "train", "test", "serve/mlgit.yaml:pack"), "used it"
    )
    assert [(row["file"], row["metric"], row["value"]) for row in found["metrics"]] == [("metrics.json", "size", 19)]


@pytest.mark.parametrize("target", ["best", "mlgit.yaml:best", "model.bin", "train"])
def test_an_artifact_a_path_and_a_stage_lead_to_the_same(target: str, ran: Any) -> None:
    assert [one.stage.address for one in ask(ran, target).made] == ["clean", "train"]


def test_a_metrics_file_in_git_and_a_stage_of_another_file(ran: Any) -> None:
    assert [one.stage.address for one in ask(ran, "metrics.json").made] == ["clean", "train", "test"]
    assert ask(ran, "pack", folder="serve").subject.stage == "serve/mlgit.yaml:pack"
    assert ask(ran, "serve/packed.bin").made[-1].stage.name == "pack"


def test_a_file_inside_an_output_and_inside_tracked_data(ran: Any) -> None:
    inside = ask(ran, "data/clean.csv")
    assert inside.subject.stage == "clean" and inside.subject.content is not None
    assert [use.state for use in inside.uses] == ["used it"] * 3
    raw = ask(ran, "raw/a.csv")
    assert raw.subject.pointer == "raw.mlgit" and raw.subject.oid == inside.subject.oid
    assert raw.uses[0].address == "clean" and raw.uses[0].state == "used it"


def test_code_tells_who_used_it(ran: Any) -> None:
    found = ask(ran, "train.py")
    assert {use.address for use in found.uses} == {"train", "test", "serve/mlgit.yaml:pack"}
    assert found.code[0].moment is not None and found.code[0].exact


def test_a_parameter_file_is_judged_by_the_values_that_a_stage_reads(ran: Any) -> None:
    ran.write({"params.yaml": "lr: 0.1\nunread: 1\n"})
    assert {use.state for use in ask(ran, "params.yaml").uses} == {"used it"}
    ran.write({"params.yaml": "lr: 0.2\n"})
    assert {use.state for use in ask(ran, "params.yaml").uses} == {"used another version"}


def test_an_id_of_the_past_is_found_in_the_newest_commit_that_has_it(ran: Any) -> None:
    old, data = oid_of(ran, "model.bin"), ask(ran, "raw/a.csv").subject.oid
    kept = ran.commit({"README": "more\n"}, "still the same")
    ran.write({"train.py": "print(2)\n", "raw/a.csv": "2\n"})
    point(ran, "a better sensor")
    repro(ran)
    ran.commit({}, "second")
    for target in (old, old[:20], old.partition(":")[2][:8]):
        found = ask(ran, target)
        assert (found.subject.path, found.commit) == ("model.bin", kept)
        assert found.code[1].moment is not None and found.code[1].moment.commit == ran.first
    assert ask(ran, str(data)).commit == kept, "a file inside a tracked folder"
    assert ask(ran, "model.bin", ran.first).subject.oid == old
    with pytest.raises(MissingError, match="deadbeef") as caught:
        ask(ran, "deadbeef")
    assert caught.value.code == 12


def test_a_name_wins_over_what_looks_like_an_id(ran: Any) -> None:
    ran.commit({"mlgit.yaml": STAGES.replace("  test:", "  deadbeef:")})
    assert ask(ran, "deadbeef").subject.stage == "deadbeef"
    with pytest.raises(UsageError, match="no stage"):
        ask(ran, "nothing")


def test_a_renamed_stage_keeps_the_commit_of_its_entry(ran: Any) -> None:
    ran.write({"mlgit.yaml": STAGES.replace("  train:", "  fit:")})
    repro(ran)
    ran.commit({}, "renamed")
    made = ask(ran, "model.bin").made[-1]
    assert (made.stage.name, made.former) == ("fit", "train")
    assert made.since is not None and made.since.commit == ran.first
    assert made.record is not None


def test_code_that_changed_since_is_told_from_code_that_ran(ran: Any) -> None:
    ran.commit({"train.py": "print(3)\n"}, "not run yet")
    (code,) = [one for one in ask(ran, "model.bin").code if one.path == "train.py"]
    assert code.exact and code.moment is not None and code.moment.commit == ran.first
    ran.write({"train.py": "print(4)\n"})
    repro(ran)
    found = ask(ran, "model.bin")
    (code,) = [one for one in found.code if one.path == "train.py"]
    assert code.exact is False
    assert any("lock entry of train is not committed" in note for note in found.notes)
    assert "as in no commit" in show.to_text(found)


def test_a_stage_that_read_another_version_is_not_mistaken_for_a_use(ran: Any) -> None:
    ran.write({"raw/a.csv": "5\n"})
    point(ran, "new")
    ran.repo.pipeline.reproduce(Options(targets=("clean",)), dict(os.environ), lambda event: None)
    found = ask(ran, "model.bin")
    assert [one.stage.address for one in found.made] == ["train"]
    assert any("read another data/clean.csv than the one that clean made last" in note for note in found.notes)
    states = {use.address: use.state for use in ask(ran, "raw").uses}
    assert states["clean"] == "used it" and states["train"] == "used another version" == states["test"]


def test_a_working_tree_that_differs_is_said(ran: Any) -> None:
    (ran.root / "model.bin").unlink()
    ran.write({"model.bin": "by hand\n"})
    assert any("in the working tree is not this one" in note for note in ask(ran, "model.bin").notes)


def test_records_that_are_gone_or_forged_are_not_believed(ran: Any) -> None:
    entry = ran.repo.pipeline.project.locked["train"]
    record = ask(ran, "train").made[-1].record
    assert record is not None and record.stage == entry
    shutil.rmtree(ran.root / ".mlgit/cache/runs")
    forged = {**entry.outs, RelPath("x"): entry.deps[RelPath("train.py")]}
    runcache.save(ran.repo.workspace.store.backend, replace(record, stage=replace(entry, outs=forged)))
    found = ask(ran, "train")
    assert [one.record for one in found.made] == [None, None]
    assert any("no record of the run is here" in note for note in found.notes)


def test_before_the_first_run_and_the_first_commit(project: Any) -> None:
    project.write(FILES)
    found = ask(project, "model.bin")
    assert (found.made, found.subject.content) == ((), None)
    assert [use.state for use in found.uses] == ["has not run"] * 2
    assert any("stage train has no lock entry" in note for note in found.notes)


def test_a_merge_of_two_branches_attributes_each_entry_to_its_side(ran: Any) -> None:
    ran("checkout", "-q", "-b", "side")
    ran.write({"serve/mlgit.yaml": SERVE.replace("cp ../model.bin", "cp -f ../model.bin")})
    repro(ran)
    side = ran.commit({}, "side")
    ran("checkout", "-q", "main")
    ran.write({"mlgit.yaml": STAGES.replace("wc -c < model.bin", "cat model.bin | wc -c")})
    repro(ran)
    main = ran.commit({}, "main")
    ran("merge", "-q", "--no-edit", "side")
    since = {one.stage.name: one.since for t in ("serve/packed.bin", "metrics.json") for one in ask(ran, t).made}
    assert {name: moment.commit for name, moment in since.items() if moment} == {
        **{"clean": ran.first, "train": ran.first},
        **{"pack": side, "test": main},
    }


def test_a_repository_below_gits_top(tmp_path: Any) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)

    git("init", "-q", "-b", "main")
    root = tmp_path / "deep"
    root.mkdir()
    Repo.init(root)
    (root / "mlgit.yaml").write_text("stages: {a: {cmd: cp in out, deps: [in], outs: [out]}}\n")
    (root / "in").write_text("x\n")
    Repo(root).pipeline.reproduce(Options(), dict(os.environ), lambda event: None)
    git("add", "-A")
    git("commit", "-q", "-m", "deep")
    repo = Repo(root)
    found = trace(*resolve(Place(repo, repo.snapshot()), "out", RelPath("out"), RelPath("")))
    assert found.made[0].since is not None and found.code[0].exact


HOSTILE = 'a|b"<script>`%%{x}%%.csv'


def test_hostile_names_and_messages_are_escaped(project: Any) -> None:
    stages = {"stages": {"a": {"cmd": "cp in 'o'", "deps": ["in", HOSTILE], "outs": ["o"]}}}
    project.write({"mlgit.yaml": json.dumps(stages), "in": "x\n", HOSTILE: "y\n"})
    repro(project)
    project.commit({}, "[x](http://evil) <img src=x> | \x1b[31m")
    text = show.to_markdown(ask(project, HOSTILE))
    assert "a#124;" not in text and "<script>" not in text and "<img" not in text and "\x1b" not in text
    assert "a|b#quot;#lt;script#gt;#96;#37;#37;{x}#37;#37;.csv" in text
    assert "a&#124;b" in text and "](http" not in text.replace("\\](", "")


def test_text_reads_well(ran: Any) -> None:
    text = show.to_text(ask(ran, "best"))
    lines = text.splitlines()
    assert lines[0].startswith("model.bin, artifact best, blake3:") and lines[0].endswith("(working tree)")
    assert "stage train: the best there is" in lines
    assert any(line.startswith("  code    train.py, blake3:") and "first)" in line for line in lines)
    assert "  param   params.yaml:lr = 0.1" in lines
    assert any(line.startswith("  raw, blake3:") and line.endswith(": a sensor") for line in lines)
    assert "  metrics.json  size = 19" in lines


def test_the_command_line(ran: Any, mlgit: Any) -> None:
    oid = oid_of(ran, "model.bin")
    said = mlgit("lineage", "../model.bin", "--rev", "HEAD", cwd=ran.root / "serve")
    assert said.out.startswith(f"model.bin, blake3:{oid[7:17]}")
    assert json.loads(mlgit("lineage", oid[7:17], "--json", cwd=ran.root).out)["subject"][0]["oid"] == oid
    assert "```mermaid" in mlgit("lineage", "best", "--md", cwd=ran.root).out
    assert "hint:" in mlgit("lineage", "deadbeef", cwd=ran.root, code=12).err
    mlgit("lineage", "no/such/file", cwd=ran.root, code=2)
    assert mlgit("why", "pack", cwd=ran.root / "serve").out.startswith("serve/mlgit.yaml:pack is skipped")
    assert json.loads(mlgit("why", "train", "--json", cwd=ran.root).out)["kind"] == "why"
    shown = json.loads(mlgit("stage", "show", "train", "--json", cwd=ran.root).out)
    assert (shown["file"], shown["line"], shown["deps"]) == ("mlgit.yaml", 7, ["data/clean.csv", "train.py"])
    assert mlgit("stage", "show", "train", cwd=ran.root).out.startswith("# mlgit.yaml:7\ntrain:\n  cmd: cat data/")
    mlgit("dag", "--html", "-o", "graph.html", cwd=ran.root)
    assert (ran.root / "graph.html").read_text().startswith("<!doctype html>")
    assert [node["state"] for node in json.loads(mlgit("dag", "--json", cwd=ran.root).out)["nodes"]] == [
        "up to date"
    ] * 4
    mlgit("dag", "--html", "--json", cwd=ran.root, code=2)
    ran.write({"params.yaml": "other: 1\n"})
    without = mlgit("dag", "--md", cwd=ran.root)
    assert "classDef" not in without.out and "without states: params.yaml: no parameter 'lr'" in without.err
    mlgit("dag", "--status", cwd=ran.root, code=10)


def test_a_shallow_clone_says_that_its_commits_may_be_the_wrong_ones(ran: Any, tmp_path_factory: Any) -> None:
    place = tmp_path_factory.mktemp("shallow")
    subprocess.run(["git", "clone", "-q", "--depth", "1", f"file://{ran.root}", str(place / "clone")], check=True)
    repo = Repo(place / "clone")
    side = Place(repo, repo.snapshot(None))
    found = trace(*resolve(side, "train.py", RelPath("train.py"), RelPath("")))
    assert any("this clone is shallow" in note for note in found.notes)
