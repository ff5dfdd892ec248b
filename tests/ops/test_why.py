"""`why` says what `repro` then does, and names what bears on it."""

from __future__ import annotations

import json
import os
import shutil
from typing import Any

import pytest

from mlgit.model.report import to_json
from mlgit.ops.inspect import why
from mlgit.pipeline.plan import Options

STAGES = """
stages:
  clean:
    cmd: cat raw.csv > clean.csv
    deps: [raw.csv]
    outs: [clean.csv]
  train:
    cmd: cat clean.csv train.py params.yaml > model.bin
    deps: [clean.csv, train.py]
    params: [model]
    outs: [model.bin]
  test:
    cmd: cat model.bin > metrics.json
    deps: [model.bin]
    metrics: [metrics.json: {cache: false}]
"""
FILES = {"mlgit.yaml": STAGES, "raw.csv": "a\n1\n", "train.py": "1\n", "params.yaml": "model: {lr: 0.1, depth: 3}\n"}
EVERY = ("clean", "train", "test")


def repro(project: Any, **options: Any) -> dict[str, str]:
    """Reproduce; what was done with each stage."""
    done = project.repo.pipeline.reproduce(Options(**options), dict(os.environ), lambda event: None)
    return {
        **dict.fromkeys(done.ran, "run"),
        **dict.fromkeys(done.restored, "restore"),
        **dict.fromkeys(done.skipped, "skip"),
    }


def ask(project: Any, *addresses: str) -> dict[str, why.Answer]:
    return {one.step.address: one for one in why.explain(project.repo, addresses or EVERY)}


def text(project: Any, address: str) -> str:
    return why.to_text(why.explain(project.repo, (address,)))


@pytest.fixture
def ran(project: Any) -> Any:
    """A pipeline that has run, with its data tracked and all committed."""
    project.write(FILES)
    (project.root / ".gitignore").write_text("/raw.csv\n")
    project.write({"raw.csv.mlgit": _pointer(project)})
    repro(project)
    project.commit({}, "first")
    return project


def _pointer(project: Any) -> str:
    from mlgit.model.pointer import Pointer, encode
    from mlgit.model.relpath import RelPath

    content = project.repo.workspace.save([RelPath("raw.csv")])[RelPath("raw.csv")]
    return encode(Pointer("raw.csv", content.oid, content.type, content.size, content.files))


def edit_data(project: Any) -> None:
    project.write({"raw.csv": "a\n2\n"})


def edit_comment(project: Any) -> None:
    project.write({"train.py": "2\n"})


def lose_output(project: Any) -> None:
    (project.root / "model.bin").unlink()


def go_back(project: Any) -> None:
    project.write({"train.py": "2\n"})
    repro(project)
    project.write({"train.py": "1\n"})


def freeze(project: Any) -> None:
    project.write(
        {"mlgit.yaml": STAGES.replace("deps: [clean.csv, train.py]", "deps: [clean.csv, train.py]\n    frozen: true")}
    )
    project.write({"raw.csv": "a\n3\n"})


def forget(project: Any) -> None:
    (project.root / "mlgit.lock").unlink()
    shutil.rmtree(project.root / ".mlgit/cache/runs")


@pytest.mark.parametrize(
    "change", [edit_data, edit_comment, lose_output, go_back, freeze, forget, lambda project: None]
)
@pytest.mark.parametrize("target", EVERY)
def test_why_and_repro_agree(change: Any, target: str, ran: Any) -> None:
    change(ran)
    answers = ask(ran, target)
    if not answers[target].first:
        assert answers[target].step.changes == ran.repo.pipeline.status((target,))[0].changes
    done = repro(ran, targets=(target,))
    answer = answers[target]
    if answer.step.certain:
        assert done[target] == answer.step.action.replace("frozen", "skip")
    else:
        assert answer.step.action == "run" and done[target] in ("run", "restore", "skip")
        assert any(one.action in ("run", "restore") for one in answer.first)
    for step in answer.first:
        if step.certain:
            assert done[step.address] == step.action
    stages = {one.address: one for one in ran.repo.pipeline.status()}
    assert stages[target].stage.frozen or not stages[target].changes


def test_a_stage_that_never_ran(project: Any) -> None:
    project.write(FILES)
    said = text(project, "train")
    assert said.splitlines()[0] == "train will run: has no entry in the lock"
    assert "first, clean will run: has no entry in the lock" in said
    assert "downstream: test" in said
    assert "last ran" not in said


def test_nothing_to_do_and_when_it_last_ran(ran: Any) -> None:
    said = text(ran, "train")
    assert said.startswith("train is skipped: nothing changed\n")
    assert "last ran 20" in said and "Python" in said and "UTC" in said


def test_changed_deps_are_named_with_ids_and_makers(ran: Any) -> None:
    edit_data(ran)
    answer = ask(ran)["clean"]
    (reason,) = answer.reasons
    assert (reason.change.subject, reason.maker) == ("raw.csv", "raw.csv.mlgit")
    assert reason.change.old != reason.change.new
    assert "tracked by raw.csv.mlgit" in text(ran, "clean")
    assert ask(ran)["train"].step.certain is False
    assert "train may run: it needs what clean will produce" in text(ran, "train")


def test_what_another_stage_made_anew(ran: Any) -> None:
    repro(ran)
    ran.write({"mlgit.yaml": STAGES.replace("cat raw.csv >", "cat raw.csv  >")})
    repro(ran, targets=("clean",))
    ran.write({"raw.csv": "a\n5\n"})
    repro(ran, targets=("clean",))
    answer = ask(ran)["train"]
    assert [(one.change.subject, one.maker, one.maker_acts) for one in answer.reasons] == [("clean.csv", "clean", "")]
    assert "made by clean" in text(ran, "train")


def test_parameters_command_and_many_reasons(ran: Any) -> None:
    ran.write({"params.yaml": "model: {lr: 0.5, depth: 3}\n"})
    said = text(ran, "train")
    assert "  model.lr: 0.1 → 0.5\n" in said and "model.depth" not in said
    ran.write({"mlgit.yaml": STAGES.replace("cat clean.csv train.py", "cat train.py clean.csv"), "train.py": "7\n"})
    said = text(ran, "train")
    assert said.startswith("train will run, for 3 reasons\n")
    assert "was: cat clean.csv train.py params.yaml > model.bin" in said
    assert "is:  cat train.py clean.csv params.yaml > model.bin" in said


def test_restored_from_the_lock_or_from_the_run_cache(ran: Any) -> None:
    lose_output(ran)
    assert "come from the lock and the cache: output model.bin is missing" in text(ran, "train")
    go_back(ran)
    assert "come from the run cache" in text(ran, "train")
    assert [row["from"] for row in json.loads(to_json(why.to_report(tuple(ask(ran, "train").values()))))["stages"]] == [
        "run cache"
    ]


def test_a_frozen_stage_says_how_to_thaw_it(ran: Any) -> None:
    freeze(ran)
    assert "`mlgit unfreeze train` lets it" in text(ran, "train")


def test_without_its_run_record_it_says_so(ran: Any) -> None:
    shutil.rmtree(ran.root / ".mlgit/cache/runs")
    assert "the run record is missing" in text(ran, "train")


def test_the_report_holds_it_all(ran: Any) -> None:
    edit_data(ran)
    edit_comment(ran)
    value = json.loads(to_json(why.to_report(tuple(ask(ran).values()))))
    assert [(row["stage"], row["action"], row["certain"]) for row in value["stages"]] == [
        ("clean", "run", True),
        ("train", "run", True),
        ("test", "run", False),
    ]
    assert {(row["stage"], row["name"], row["maker"]) for row in value["changes"]} == {
        ("clean", "raw.csv", "raw.csv.mlgit"),
        ("train", "train.py", None),
    }
    assert {(row["stage"], row["needed_by"]) for row in value["downstream"]} >= {("clean", "test"), ("train", "test")}
    assert {row["stage"] for row in value["runs"]} == set(EVERY)
    assert len(value["notes"]) == 3
