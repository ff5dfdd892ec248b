import json
import math

import pytest

from mlgit.errors import InvalidError, MlgitError, UnsafeError
from mlgit.model import gatefile
from mlgit.model.report import Mark, to_json
from mlgit.ops.compare.values import metrics_diff, metrics_show, params_diff

STAGES = """
stages:
  train:
    cmd: python train.py
    params: [train.lr, {extra.toml: [seed]}]
    metrics:
    - metrics/train.json: {cache: false}
metrics: [metrics/eval.csv]
"""


def rows(report):
    (table,) = report.tables
    return {row.cells[:2]: (row.mark, *row.cells[2:]) for row in table.rows}


def test_metrics_of_two_commits_and_the_working_tree(project):
    train, eval_ = "metrics/train.json", "metrics/eval.csv"
    base = project.commit({"mlgit.yaml": STAGES, train: {"auc": 0.9, "n": 3, "old": 1}, eval_: "auc,f1\n0.5,0.25\n"})
    project.commit({train: {"auc": 0.88, "n": 3, "deep": {"x": [1, 2]}}})
    report = metrics_diff(project.repo, project.side(base), project.side("main"))
    assert rows(report) == {
        (train, "auc"): (Mark.CHANGED, 0.9, 0.88, -0.02, -0.022222222222222223),
        (train, "n"): (Mark.SAME, 3, 3, 0, 0.0),
        (train, "deep.x[0]"): (Mark.ADDED, None, 1, None, None),
        (train, "deep.x[1]"): (Mark.ADDED, None, 2, None, None),
        (train, "old"): (Mark.REMOVED, 1, None, None, None),
        (eval_, "auc"): (Mark.SAME, 0.5, 0.5, 0.0, 0.0),
        (eval_, "f1"): (Mark.SAME, 0.25, 0.25, 0.0, 0.0),
    }
    assert (report.base, report.head) == (base[:7], f"main ({project('rev-parse', 'main')[:7]})")
    assert report.exit_code == 0
    project.write({train: {"auc": 1}})
    report = metrics_diff(project.repo, project.side(base), project.side(), targets=["metrics/train.json"])
    assert set(rows(report)) == {(train, "auc"), (train, "n"), (train, "old")}
    assert report.head == "working tree"


def test_a_file_that_vanished_or_appeared_is_never_silent(project):
    old = "metrics: [a.json, empty.json, gone.json]\n"
    base = project.commit({"mlgit.yaml": old, "a.json": {"x": 1}, "empty.json": {}})
    head = project.commit({"mlgit.yaml": "metrics: [b.yaml]\n", "a.json": None, "empty.json": None, "b.yaml": "y: 2"})
    (table,) = metrics_diff(project.repo, project.side(base), project.side(head)).tables
    assert [(row.cells[:4], row.mark, row.note) for row in table.rows] == [
        (("b.yaml", "y", None, 2), Mark.ADDED, "no such file at the base"),
        (("a.json", "x", 1, None), Mark.REMOVED, "no such file at the head"),
        (("empty.json", "", None, None), Mark.REMOVED, "no such file at the head"),
        (("gone.json", "", None, None), Mark.WARN, "declared, but on neither side"),
    ]


def test_marks_know_the_direction_only_from_a_rule(project):
    names = ("up", "down", "other", "nan")
    base = project.commit({"mlgit.yaml": "metrics: [m.json]", "m.json": dict.fromkeys(names, 1.0)})
    project.write({"m.json": {**dict.fromkeys(names, 2.0), "nan": math.nan}})
    rules = gatefile.decode(
        [
            {"metric": "m.json:up", "direction": "higher", "min": 0},
            {"metric": "d*", "direction": "lower", "max": 9},
            {"metric": "other", "min": 0},
            {"metric": "nan", "direction": "higher", "min": 0},
        ],
        "mlgit.yaml",
    ).rules
    found = rows(metrics_diff(project.repo, project.side(base), project.side(), rules=rules))
    assert [found["m.json", name][0] for name in names] == [Mark.BETTER, Mark.WORSE, Mark.CHANGED, Mark.WORSE]
    assert json.loads(to_json(metrics_diff(project.repo, project.side(base), project.side())))["metrics"][3] == {
        "file": "m.json",
        "metric": "nan",
        "base": 1.0,
        "head": "nan",
        "delta": None,
        "relative": None,
        "mark": "changed",
    }


def test_slices_have_a_table_of_their_own_worst_first(project):
    def values(small, large, huge):
        return {"auc": 0.9, "by_size": {"small": {"f1": small, "n": 5}, "large": {"f1": large}, "huge": {"f1": huge}}}

    base = project.commit({"mlgit.yaml": "metrics: [m.json]", "m.json": values(0.5, 0.5, 0.5)})
    project.write({"m.json": values(0.25, 0.0, 0.75)})
    rule = {"metric": "m.json:by_size.*.f1", "direction": "higher", "min": 0}
    rules = gatefile.decode([rule], "mlgit.yaml").rules
    metrics, slices = metrics_diff(project.repo, project.side(base), project.side(), rules=rules).tables
    assert [row.cells[1] for row in metrics.rows] == ["auc"]
    assert slices.columns == ("file", "slice", "metric", "n", "base", "head", "delta", "relative")
    assert [(row.cells[1:], row.mark) for row in slices.rows] == [
        (("size = large", "f1", None, 0.5, 0.0, -0.5, -1.0), Mark.WORSE),
        (("size = small", "f1", 5, 0.5, 0.25, -0.25, -0.5), Mark.WORSE),
        (("size = huge", "f1", None, 0.5, 0.75, 0.25, 0.5), Mark.BETTER),
    ]
    project.write({"m.json": {"by_size": {"new": {"f1": 1, "support": 3}}}})
    metrics, slices = metrics_diff(project.repo, project.side(base), project.side()).tables
    assert [row.mark for row in slices.rows] == [*[Mark.REMOVED] * 4, *[Mark.ADDED] * 2]
    assert slices.rows[-2].cells[3] == 3


def test_params_of_stages_and_the_default_file(project):
    params = "train:\n  lr: 0.1\n  epochs: 3\n"
    base = project.commit({"mlgit.yaml": STAGES, "params.yaml": params, "extra.toml": "seed = 1\n"})
    project.write({"params.yaml": params.replace("0.1", "0.2"), "extra.toml": "seed = 1\nnew = 2\n"})
    report = params_diff(project.repo, project.side(base), project.side())
    assert rows(report) == {
        ("params.yaml", "train.lr"): (Mark.CHANGED, 0.1, 0.2),
        ("params.yaml", "train.epochs"): (Mark.SAME, 3, 3),
        ("extra.toml", "seed"): (Mark.SAME, 1, 1),
        ("extra.toml", "new"): (Mark.ADDED, None, 2),
    }


def test_params_without_a_stage_file_and_stage_files_in_folders(project):
    base = project.commit({"params.yaml": "a: 1"})
    project.write({"sub/mlgit.yaml": "metrics: [../shared.json, m.json]", "sub/params.yaml": "b: 2", "sub/m.json": "1"})
    project.write({"shared.json": {"s": 1}})
    sides = project.side(base), project.side()
    assert set(rows(params_diff(project.repo, *sides))) == {("params.yaml", "a"), ("sub/params.yaml", "b")}
    assert set(rows(metrics_diff(project.repo, *sides))) == {("shared.json", "s"), ("sub/m.json", "")}


def test_a_folder_of_metrics(project):
    head = project.commit(
        {"mlgit.yaml": "metrics: [metrics]", "metrics/a.json": {"x": 1}, "metrics/s/b.json": {"y": 2}}
    )
    report = metrics_show(project.repo, [project.side(head)])
    assert rows(report) == {("metrics/a.json", "x"): (Mark.INFO, 1), ("metrics/s/b.json", "y"): (Mark.INFO, 2)}


def test_show_puts_sides_beside_each_other(project):
    first = project.commit({"mlgit.yaml": "metrics: [m.json, none.json]", "m.json": {"x": 1, "old": 0}})
    second = project.commit({"m.json": {"x": 2}})
    one = metrics_show(project.repo, [project.side(second)])
    assert one.tables[0].columns == ("file", "metric", "value")
    assert one.head == second[:7]
    both = metrics_show(project.repo, [project.side(first), project.side(second), project.side(second)])
    assert both.tables[0].columns == ("file", "metric", first[:7], second[:7])
    assert rows(both) == {
        ("m.json", "x"): (Mark.INFO, 1, 2),
        ("m.json", "old"): (Mark.INFO, 0, None),
        ("none.json", ""): (Mark.WARN, None, None),
    }


def test_nothing_declared_is_said(project):
    head = project.side(project.commit({"a": "b"}))
    for report in (
        metrics_diff(project.repo, head, head),
        params_diff(project.repo, head, head),
        metrics_show(project.repo, [head]),
    ):
        assert report.tables[0].rows == ()
        assert report.tables[0].empty


@pytest.mark.parametrize(
    ("files", "kind", "words"),
    [
        ({"mlgit.yaml": "metrics: [m.json]", "m.json": "{"}, InvalidError, ["m.json", "(in working tree)"]),
        ({"mlgit.yaml": "metrcs: []"}, InvalidError, ["mlgit.yaml:1", "metrcs", "(in working tree)"]),
        ({"mlgit.yaml": "metrics: [m.txt]", "m.txt": "1"}, InvalidError, ["m.txt", "not a format"]),
        ({"mlgit.yaml": "metrics: [../m.json]"}, UnsafeError, ["../m.json"]),
    ],
)
def test_what_is_malformed_is_named_with_its_side(project, files, kind, words):
    project.write(files)
    with pytest.raises(kind) as caught:
        metrics_show(project.repo, [project.side()])
    assert all(word in caught.value.message for word in words)
    assert caught.value.hint


def test_a_target_outside_is_refused(project):
    head = project.side(project.commit({"a": "b"}))
    with pytest.raises(MlgitError):
        metrics_show(project.repo, [head], targets=["/etc/passwd"])


def test_parameters_in_a_python_file_are_compared(project):
    stages = "stages:\n  train: {cmd: x, params: [{conf.py: [Train.epochs]}]}\n"
    base = project.commit({"mlgit.yaml": stages, "conf.py": "class Train:\n    epochs = 3\n    sizes = (1, 2)\n"})
    project.write({"conf.py": "class Train:\n    epochs = 4\n    sizes = (1, 2)\n"})
    (table,) = params_diff(project.repo, project.side(base), project.side()).tables
    changed = [row.cells for row in table.rows if row.mark is not Mark.SAME]
    assert changed == [("conf.py", "Train.epochs", 3, 4)]
