from __future__ import annotations

import json
import re

import pytest
from sklearn import metrics

from mlgit.errors import InvalidError, UsageError
from mlgit.model.relpath import RelPath
from mlgit.model.stage import Predictions
from mlgit.ops.evaluate.recompute import evaluate, report, to_json

LABEL = [1, 0, 1, 1, 0, 0, 1, 0]
SAID = [1, 0, 0, 1, 1, 0, 1, 0]
SCORE = [0.9, 0.1, 0.4, 0.8, 0.7, 0.2, 0.6, 0.3]
TABLE = "label,prediction,score,part\n" + "".join(
    f"{y},{p},{s},{'ab'[n < 4]}\n" for n, (y, p, s) in enumerate(zip(LABEL, SAID, SCORE, strict=True))
)


def of(text: str, task: str = "classification", slices: tuple[str, ...] = (), **columns: str):
    return evaluate(text.encode(), Predictions(RelPath("p.csv"), task, **columns), slices)


def test_classes_are_scored_overall_and_by_slice_as_scikit_learn_does() -> None:
    found = of(TABLE, slices=("part",))
    values = found.values
    assert found.notes == ()
    assert list(values) == [
        *("n", "accuracy", "balanced_accuracy", "precision", "recall", "f1"),
        *("roc_auc", "average_precision", "log_loss", "brier", "by_part"),
    ]
    assert values["n"] == 8
    assert values["f1"] == pytest.approx(metrics.f1_score(LABEL, SAID))
    assert values["roc_auc"] == pytest.approx(metrics.roc_auc_score(LABEL, SCORE))
    assert list(values["by_part"]) == ["a", "b"]
    assert values["by_part"]["b"]["n"] == 4
    assert values["by_part"]["b"]["accuracy"] == pytest.approx(metrics.accuracy_score(LABEL[:4], SAID[:4]))


def test_many_classes_are_averaged_and_the_mean_is_named() -> None:
    found = of("label,prediction\ncat,cat\ndog,cat\nbird,bird\n")
    assert found.values["f1"] == pytest.approx(
        metrics.f1_score(["c", "d", "b"], ["c", "c", "b"], average="macro", zero_division=0)
    )
    assert "f1: the macro mean over classes" in found.notes
    assert "roc_auc" not in found.values


def test_numbers_and_rankings() -> None:
    values = of("label,prediction\n1,1.5\n2,2\n4,3\n", "regression").values
    assert values["mae"] == 0.5
    assert values["rmse"] == pytest.approx((1.25 / 3) ** 0.5)
    ranked = of("label,score,group\n1,0.2,a\n0,0.9,a\n2,0.5,b\n0,0.1,b\n0,1,c\n0,2,c\n", "ranking").values
    assert (ranked["n"], ranked["groups"]) == (6, 3)
    assert ranked["mrr"] == pytest.approx(0.75)  # nothing in c is relevant
    assert ranked["map"] == pytest.approx(0.75)


def test_a_slice_where_a_metric_has_no_value_leaves_it_out_and_says_so() -> None:
    found = of("label,prediction,score,part\n1,1,0.9,a\n1,1,0.8,a\n1,1,0.7,b\n0,0,0.1,b\n", slices=("part",))
    assert "roc_auc" not in found.values["by_part"]["a"]
    assert found.values["by_part"]["b"]["roc_auc"] == 1.0
    assert found.notes[0].startswith("by_part.a.roc_auc: p.csv: roc_auc is not defined: there is only one class")
    assert "nan" not in to_json(found).lower()


def test_the_report_has_a_row_for_each_value() -> None:
    table = report(of(TABLE, slices=("part",))).tables[0]
    assert table.columns == ("slice", "metric", "value")
    assert table.rows[0].cells == (None, "n", 8)
    assert ("by_part.b", "n", 4) in [row.cells for row in table.rows]


@pytest.mark.parametrize(
    ("text", "task", "columns", "message", "hint"),
    [
        ("id,lable,prediction\n1,2,3\n", "classification", {}, "no column 'label'", "did you mean 'lable'"),
        ("label,predicted\n1,2\n", "classification", {}, "no column 'prediction'", "--prediction COLUMN"),
        ("label,prediction\n", "classification", {}, "no rows", "a row for each"),
        ("label,prediction\na,b\n", "regression", {}, "the label is text, such as 'a'", "nothing can be computed"),
        ("label,prediction\n1,nan\n", "regression", {}, "the prediction in row 1 is no finite number", ""),
        ("label,prediction\n1,2\n", "classification", {"label": "y"}, "no column 'y'", "its columns: label"),
        ("label,score\n1,2\n", "ranking", {}, "no column 'group'", "--group COLUMN"),
    ],
)
def test_bad_input_is_refused(text: str, task: str, columns: dict[str, str], message: str, hint: str) -> None:
    with pytest.raises(InvalidError) as caught:
        of(text, task, **columns)
    assert message in caught.value.message
    assert hint in str(caught.value.hint)


def test_a_column_of_many_values_is_no_slice() -> None:
    text = "label,prediction,part\n" + "".join(f"1,1,{n}\n" for n in range(1001))
    with pytest.raises(UsageError, match="has 1,001 values"):
        of(text, slices=("part",))


def test_scores_that_are_no_chances_leave_out_what_needs_chances() -> None:
    found = of("label,prediction,score\n1,1,3.5\n0,0,-2\n")
    assert found.values["roc_auc"] == 1.0
    assert "brier" not in found.values
    assert any("needs scores from 0 to 1, found -2 to 3.5" in note for note in found.notes)


def test_the_command_needs_no_repository_and_writes_a_metrics_file(mlgit, tmp_path) -> None:
    (tmp_path / "p.csv").write_text(TABLE)
    done = mlgit("evaluate", "p.csv", "--task", "classification", "--slice", "part", "-o", "m/e.json", cwd=tmp_path)
    assert re.search(r"by_part\.a +accuracy +0\.75", done.out)
    assert json.loads((tmp_path / "m/e.json").read_text())["by_part"]["a"]["n"] == 4
    told = json.loads(mlgit("evaluate", "p.csv", "--task", "classification", "--json", cwd=tmp_path).out)
    assert told["kind"] == "evaluate"
    assert told["metrics"][0] == {"slice": None, "metric": "n", "value": 8, "mark": "info"}
    assert "| accuracy |" in mlgit("evaluate", "p.csv", "--task", "classification", "--md", cwd=tmp_path).out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("p.csv", "--task", "clustering"), 2, "no such task: 'clustering'"),
        (("p.csv",), 2, "task"),
        (("gone.csv", "--task", "regression"), 12, "no such file: gone.csv"),
        ((".", "--task", "regression"), 2, "is a folder"),
        (("p.txt", "--task", "regression"), 2, "not a format"),
        (("p.csv", "--task", "classification", "--slice", "prat"), 10, "no column 'prat'"),
        (("empty.csv", "--task", "classification"), 10, "no column 'label'"),
    ],
)
def test_wrong_use_of_the_command_is_explained(mlgit, tmp_path, words, code, message) -> None:
    (tmp_path / "p.csv").write_text(TABLE)
    (tmp_path / "p.txt").write_text(TABLE)
    (tmp_path / "empty.csv").write_text("")
    done = mlgit("evaluate", *words, cwd=tmp_path, code=code)
    assert message in done.err
