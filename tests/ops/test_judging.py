"""Gates beyond one metric: slices, groups, other bases, what the base's gates say, and what may be compared at all."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlgit.model import gatefile
from mlgit.model.report import Mark, Report, Row, Verdict, ordered
from mlgit.ops.gates.base import find_base
from mlgit.ops.gates.evaluate import evaluate
from mlgit.ops.gates.rules import Law, find_law

DECLARED = "metrics: [m.json]\n"
SLICED = {"metric": "m.json:by_size.*.recall", "direction": "higher", "max_drop_abs": 0.05}


def judge(project: Any, base: str | None, *gates: dict[str, Any], head: str | None = None) -> tuple[Report, list[Row]]:
    side = project.side(base) if base else None
    found = evaluate(project.repo, side, project.side(head), Law(gatefile.decode(list(gates), "mlgit.yaml")))
    return found, list(found.tables[0].rows)


def sizes(**recalls: Any) -> dict[str, Any]:
    return {"by_size": {name: {"n": n, "recall": recall} for name, (n, recall) in recalls.items()}}


def law(project: Any, base: str, *, accept: bool = False) -> Report:
    old, new = project.side(base), project.side()
    return evaluate(project.repo, old, new, find_law(project.repo, old, new, accept=accept))


# -- slices ---------------------------------------------------------------------------------------


@pytest.fixture
def sliced(project: Any) -> tuple[Any, str]:
    start = sizes(small=(100, 0.9), large=(100, 0.8), tiny=(4, 1.0))
    return project, project.commit({"mlgit.yaml": DECLARED, "m.json": start})


def test_each_slice_is_judged_and_too_small_ones_are_said(sliced: tuple[Any, str]) -> None:
    project, base = sliced
    project.write({"m.json": sizes(small=(100, 0.91), large=(100, 0.7), tiny=(4, 0.0))})
    report, rows = judge(project, base, {**SLICED, "min_n": 30})
    assert report.verdict is Verdict.FAIL
    assert [row.mark for row in rows] == [Mark.PASS, Mark.FAIL, Mark.INFO]
    assert rows[2].note == "not judged: 4 examples, fewer than min_n 30"
    assert judge(project, base, SLICED)[1][2].mark is Mark.FAIL


def test_a_slice_that_vanishes_fails(sliced: tuple[Any, str]) -> None:
    project, base = sliced
    project.write({"m.json": sizes(small=(100, 0.9), tiny=(4, 1.0))})
    for rule in (SLICED, {**SLICED, "slices": "worst"}):
        report, rows = judge(project, base, rule)
        assert report.verdict is Verdict.FAIL
        assert [row.cells[1] for row in rows if row.mark is Mark.FAIL] == ["m.json:by_size.large.recall"]


def test_the_worst_slices_are_compared_whichever_they_are(sliced: tuple[Any, str]) -> None:
    project, base = sliced
    worst = {**SLICED, "slices": "worst", "min_n": 30}
    project.write({"m.json": sizes(small=(100, 0.78), large=(100, 0.9), tiny=(4, 0.0))})
    report, (row,) = judge(project, base, worst)
    assert (report.verdict, row.cells[1:4]) == (Verdict.PASS, ("m.json:by_size.small.recall", 0.8, 0.78))
    assert row.note == "the worst at the base is by_size.large.recall"
    project.write({"m.json": sizes(small=(100, 0.7), large=(100, 0.9), tiny=(4, 0.0))})
    assert judge(project, base, worst)[0].verdict is Verdict.FAIL
    project.write({"m.json": sizes(small=(100, "nan"), large=(100, 0.9), tiny=(4, 0.0))})
    assert judge(project, base, worst)[0].verdict is Verdict.FAIL


# -- groups ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "values", "mark", "note"),
    [
        ("any", (1, 0), Mark.PASS, "1 of 2 hold"),
        ("any", (0, 0), Mark.FAIL, "0 of 2 hold; one is enough; mend one"),
        ("all", (1, 0), Mark.FAIL, "1 of 2 hold; all must; mend the rest"),
        ("all", (1, 1), Mark.PASS, "2 of 2 hold"),
    ],
)
def test_rules_that_count_together(project: Any, mode: str, values: tuple[int, int], mark: Mark, note: str) -> None:
    project.commit({"mlgit.yaml": DECLARED, "m.json": dict(zip("ab", values, strict=True))})
    members = [{"metric": f"m.json:{name}", "min": 0.5} for name in "ab"]
    report, rows = judge(project, None, {"name": "both", mode: members})
    assert report.verdict is (Verdict.FAIL if mark is Mark.FAIL else Verdict.PASS)
    assert (rows[0].mark, rows[0].note) == (mark, note)
    assert [row.cells[0] for row in rows] == ["both", "both › m.json:a", "both › m.json:b"]
    assert {row.mark for row in rows[1:]} == {Mark.INFO if mark is Mark.FAIL else Mark.PASS}
    unneeded = "not needed; 0.5 below min" if mark is Mark.PASS else "0.5 below min; raise it to 0.5 or more"
    assert [row.note for row in rows[1:]] == ["" if value else unneeded for value in values]
    assert [row.cells[5] for row in rows[1:]] == [0.5 if mark is Mark.FAIL and not value else None for value in values]


def test_the_rows_of_a_group_that_holds_stay_together_whatever_is_in_it(project: Any) -> None:
    project.commit({"mlgit.yaml": DECLARED, "m.json": {"a": 1, "b": 0}})
    good, bad = ({"metric": f"m.json:{name}", "min": 0.5} for name in "ab")
    drop = {"metric": "m.json:b", "direction": "higher", "max_drop_abs": 0, "on_missing_base": "fail"}
    inner = {"name": "inner", "all": [good, bad]}
    report, rows = judge(project, None, {"name": "outer", "any": [inner, drop, good]}, good)
    assert report.verdict is Verdict.PASS
    assert report.notes == ("NO BASE: there is no commit to compare with, so nothing is known about drops.",)
    assert ordered(rows) == rows
    assert [(row.cells[0], row.note) for row in rows] == [
        ("outer", "1 of 3 hold"),
        ("outer › inner", "not needed; 1 of 2 hold"),
        ("outer › inner › m.json:a", "not needed"),
        ("outer › inner › m.json:b", "not needed; 0.5 below min"),
        ("outer › m.json:b", "not needed; drop not judged: there is no base"),
        ("outer › m.json:a", ""),
        (None, ""),
    ]


def test_a_group_that_was_not_judged_says_so(project: Any) -> None:
    project.commit({"mlgit.yaml": DECLARED, "m.json": {"a": 1}})
    members = [{"metric": "m.json:a", "direction": "higher", "max_drop_abs": limit} for limit in (0, 1)]
    report, rows = judge(project, None, {"name": "both", "any": members})
    assert (report.verdict, rows[0].note) == (Verdict.PASS, "2 not judged")
    assert [row.mark for row in rows] == [Mark.WARN, Mark.INFO, Mark.INFO]


def test_a_group_of_level_warn_never_fails(project: Any) -> None:
    project.commit({"mlgit.yaml": DECLARED, "m.json": {"a": 0}})
    members = [{"metric": "m.json:a", "min": 1}, {"metric": "m.json:a", "min": 2}]
    report, rows = judge(project, None, {"name": "both", "any": members, "level": "warn"})
    assert report.verdict is Verdict.PASS
    assert [row.mark for row in rows] == [Mark.WARN, Mark.INFO, Mark.INFO]
    assert "1 warning: shown, but the verdict does not depend on it." in report.notes


def test_what_cannot_be_judged_leaves_a_group_open_unless_another_decides(project: Any) -> None:
    project.commit({"mlgit.yaml": DECLARED, "m.json": {"a": 1}})
    drop = {"metric": "m.json:a", "direction": "higher", "max_drop_abs": 0, "on_missing_base": "fail"}
    for mode, other, verdict in (
        ("any", 0.5, Verdict.PASS),
        ("any", 2, Verdict.NOT_EVALUABLE),
        ("all", 0.5, Verdict.NOT_EVALUABLE),
        ("all", 2, Verdict.FAIL),
    ):
        members = [drop, {"metric": "m.json:a", "min": other}]
        assert judge(project, None, {"name": "both", mode: members})[0].verdict is verdict


# -- tests ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("written", "mark"), [(1.0, Mark.PASS), (0.99, Mark.WARN)])
def test_predictions_that_say_something_else_than_the_metrics_file(project: Any, written: float, mark: Mark) -> None:
    metric = "{m.json: {cache: false, predictions: p.csv}}"
    stage = f"{{cmd: make, deps: [t], outs: [{{p.csv: {{cache: false}}}}], metrics: [{metric}]}}"
    rows = "".join(f"{number},1,1\n" for number in range(100))
    files = {"mlgit.yaml": f"stages: {{e: {stage}}}\n", "t": "", "p.csv": f"id,label,prediction\n{rows}"}
    base = project.commit({**files, "m.json": {"accuracy": 1.0}})
    project.write({"m.json": {"accuracy": written}})
    rule = {"metric": "m.json:accuracy", "direction": "higher", "max_drop_abs": 0.05, "test": "bootstrap"}
    report, (row,) = judge(project, base, rule)
    assert (report.verdict, row.mark) == (Verdict.PASS, mark)
    contradiction = "the predictions give 1 at the head, but the metrics file says 0.99"
    assert (contradiction in row.note) == (mark is Mark.WARN)
    _, rows = judge(project, base, {"name": "both", "all": [rule, rule]})
    assert [row.mark for row in rows] == [mark, *[Mark.PASS if mark is Mark.PASS else Mark.INFO] * 2]


def test_the_number_of_a_rank_test_has_a_name(project: Any) -> None:
    base = project.commit({"mlgit.yaml": DECLARED, "m.json": {"s": [0.8, 0.81, 0.82, 0.83, 0.84, 0.85, 0.9]}})
    project.write({"m.json": {"s": [0.6, 0.61, 0.62, 0.63, 0.64, 0.65, 0.1]}})
    rule = {"metric": "m.json:s[*]", "direction": "higher", "max_drop_abs": 0.01, "test": "rank"}
    _, (row,) = judge(project, base, rule)
    assert "(median of pairs; Wilcoxon's signed-rank test, 7 pairs of runs)" in row.note


# -- another base -----------------------------------------------------------------------------------


def test_a_rule_may_measure_from_a_release(project: Any) -> None:
    project.commit({"mlgit.yaml": DECLARED, "m.json": {"a": 0.9}})
    project("tag", "v1")
    base = project.commit({"m.json": {"a": 0.5}})
    project.write({"m.json": {"a": 0.6}})
    rule = {"metric": "m.json:a", "direction": "higher", "max_drop_abs": 0.1, "against": "v1"}
    report, (row,) = judge(project, base, rule)
    assert (report.verdict, row.cells[2:4]) == (Verdict.FAIL, (0.9, 0.6))
    assert row.note == "worse than v1 by 0.3, 0.1 allowed; raise it to 0.8 or more"
    report, (row,) = judge(project, base, {**rule, "against": "v9"})
    assert (report.verdict, row.mark) == (Verdict.PASS, Mark.WARN)
    assert row.note == "drop not judged: there is no revision 'v9'"
    assert report.notes[0] == "NOT JUDGED: there is no revision 'v9', so drops since then are not known."
    assert judge(project, base, {**rule, "against": "v9", "on_missing_base": "fail"})[0].exit_code == 19


def test_a_base_is_where_the_head_left_it_unless_its_tip_is_asked_for(project: Any) -> None:
    fork = project.commit({"mlgit.yaml": DECLARED, "m.json": {"a": 1}})
    project("checkout", "-q", "-b", "topic")
    project.commit({"m.json": {"a": 2}})
    project("checkout", "-q", "main")
    tip = project.commit({"m.json": {"a": 3}})
    project("checkout", "-q", "topic")
    assert find_base(project.repo, project.side(), "main").rev == fork
    assert find_base(project.repo, project.side("topic"), "main").rev == fork
    assert find_base(project.repo, project.side(), "main", tip=True).rev == tip


# -- the base's gates -----------------------------------------------------------------------------


def gated(*rules: str) -> str:
    return DECLARED + "gates:\n" + "".join(f"  - {rule}\n" for rule in rules)


def test_a_change_that_loosens_its_gate_fails_until_that_is_accepted(project: Any) -> None:
    base = project.commit({"mlgit.yaml": gated("{metric: 'm.json:a', min: 0.8}"), "m.json": {"a": 0.9}})
    project.write({"mlgit.yaml": gated("{metric: 'm.json:a', min: 0.5}"), "m.json": {"a": 0.6}})
    report = law(project, base)
    assert report.verdict is Verdict.FAIL
    (row,) = report.tables[0].rows
    assert (row.cells[0], row.mark, row.where) == ("m.json:a (of the base)", Mark.FAIL, "mlgit.yaml")
    assert row.note == "0.2 below min; raise it to 0.8 or more"
    how = "a maintainer accepts that with the label mlgit:accept-gate-change, or --accept-gate-change"
    assert report.notes == (f"1 gate was loosened: {how}.",)
    (row,) = report.tables[1].rows
    assert (row.cells, row.mark) == (("m.json:a", "min 0.8 → 0.5", "min 0.8", "min 0.5"), Mark.FAIL)
    assert row.where == "mlgit.yaml:3"
    accepted = law(project, base, accept=True)
    assert (accepted.verdict, len(accepted.tables[0].rows)) == (Verdict.PASS, 1)
    assert accepted.notes == ("1 gate was loosened, which is accepted; the head's gates alone judge.",)
    assert (accepted.tables[1].rows[0].mark, accepted.tables[1].rows[0].note) == (Mark.WARN, "accepted")


def test_a_gate_that_is_looser_in_one_way_and_stricter_in_another_judges_beside_the_base_s(project: Any) -> None:
    base = project.commit({"mlgit.yaml": gated("{metric: 'm.json:a', min: 0.8}"), "m.json": {"a": 0.9}})
    project.write({"mlgit.yaml": gated("{metric: 'm.json:a', min: 0.5, max: 0.85}")})
    rows = law(project, base).tables[0].rows
    assert [(row.mark, row.where) for row in rows] == [(Mark.FAIL, "mlgit.yaml:3"), (Mark.PASS, "mlgit.yaml")]


def test_a_gate_that_is_gone_has_no_line_at_the_head(project: Any) -> None:
    base = project.commit({"mlgit.yaml": gated("{metric: 'm.json:a', min: 0.8}"), "m.json": {"a": 0.9}})
    project.write({"mlgit.yaml": DECLARED})
    assert [row.where for table in law(project, base).tables for row in table.rows] == ["mlgit.yaml", "mlgit.yaml"]


def test_loosening_fails_even_where_every_value_is_good(project: Any) -> None:
    base = project.commit({"mlgit.yaml": gated("{metric: 'm.json:a', min: 0.8}"), "m.json": {"a": 0.9}})
    for text in (DECLARED, gated("{metric: 'm.json:a', min: 0.8, level: warn}")):
        project.write({"mlgit.yaml": text})
        assert law(project, base).verdict is Verdict.FAIL
        assert law(project, base, accept=True).verdict is Verdict.PASS


def test_a_tighter_or_new_gate_judges_the_change_that_brings_it(project: Any) -> None:
    base = project.commit({"mlgit.yaml": gated("{metric: 'm.json:a', min: 0.8}"), "m.json": {"a": 0.9}})
    project.write({"mlgit.yaml": gated("{metric: 'm.json:a', min: 0.85}", "{metric: 'm.json:b', min: 1}")})
    report = law(project, base)
    assert [row.mark for row in report.tables[0].rows] == [Mark.PASS, Mark.FAIL]
    assert len(report.tables) == 1


# -- comparability --------------------------------------------------------------------------------

PIPELINE = """\
stages:
  split:
    cmd: cut -c1-{width} raw.txt > test.txt
    deps: [raw.txt]
    params: [split]
    outs: [test.txt]
  train:
    cmd: cp train.py model.pkl
    deps: [train.py]
    outs: [model.pkl]
  evaluate:
    cmd: cp values.json m.json
    deps: [test.txt, model.pkl, values.json, evaluate.py]
    metrics: [{{m.json: {{cache: false{fixed}}}}}]
gates: {gates}
"""
RULE = "[{metric: 'm.json:a', direction: higher, max_drop_abs: 0.01}]"


class Evaluated:
    """A pipeline that trains and evaluates; `values.json` stands for what the evaluation finds."""

    def __init__(self, project: Any, mlgit: Any, fixed: str = "") -> None:
        self.project, self._mlgit, self._fixed = project, mlgit, fixed
        files = {"raw.txt": "123456\n", "params.yaml": "split: {seed: 1}\n", "values.json": {"a": 0.9}}
        self.change({**files, "train.py": "1\n", "evaluate.py": "1\n"})
        self.base = project.commit({})

    def change(self, files: dict[str, Any], gates: str = RULE, width: int = 3) -> None:
        self.project.write({"mlgit.yaml": PIPELINE.format(gates=gates, width=width, fixed=self._fixed), **files})
        self._mlgit("repro", cwd=self.project.root)

    def judged(self) -> tuple[Verdict, dict[str, tuple[str, Mark]]]:
        report = law(self.project, self.base)
        tables = {table.name: table for table in report.tables}
        rows = tables["comparability"].rows if "comparability" in tables else ()
        return report.verdict, {row.cells[2]: (row.cells[1], row.mark) for row in rows}


@pytest.fixture
def evaluated(project: Any, mlgit: Any) -> Evaluated:
    # the values belong to what the evaluation finds, so they are named as what may change
    return Evaluated(project, mlgit, ", fixed: [test.txt, evaluate.py]")


def test_another_model_is_comparable(evaluated: Evaluated) -> None:
    evaluated.change({"train.py": "2\n", "values.json": {"a": 0.95}})
    assert evaluated.judged() == (Verdict.PASS, {})


@pytest.mark.parametrize(
    ("files", "width", "found"),
    [
        ({"raw.txt": "abcdef\n"}, 3, {"test.txt": "evaluation data"}),
        ({"params.yaml": "split: {seed: 2}\n"}, 3, {"params.yaml:split.seed": "parameter"}),
        ({"evaluate.py": "2\n"}, 3, {"evaluate.py": "file it is computed with"}),
        ({}, 2, {"test.txt": "evaluation data"}),
    ],
)
def test_another_evaluation_is_not_comparable(
    evaluated: Evaluated, files: dict[str, Any], width: int, found: dict[str, str]
) -> None:
    evaluated.change({**files, "values.json": {"a": 0.5}}, width=width)
    verdict, rows = evaluated.judged()
    assert verdict is Verdict.NOT_COMPARABLE
    assert rows == {what: (kind, Mark.WARN) for what, kind in found.items()}


def test_what_changed_on_purpose_is_acknowledged_by_what_it_is_now(evaluated: Evaluated) -> None:
    project = evaluated.project
    evaluated.change({"raw.txt": "abcdef\n"})
    report = law(project, evaluated.base)
    note = next(note for note in report.notes if note.startswith("NOT COMPARABLE"))
    asked = json.loads(note.partition("acknowledge: ")[2].partition("}")[0] + "}")
    gates = f"{{acknowledge: {json.dumps(asked)}, rules: {RULE}}}"
    evaluated.change({}, gates=gates)
    assert evaluated.judged() == (Verdict.PASS, {"test.txt": ("evaluation data", Mark.INFO)})
    evaluated.change({"values.json": {"a": 0.5}}, gates=gates)
    assert evaluated.judged()[0] is Verdict.FAIL
    evaluated.change({"raw.txt": "ABCDEF\n"}, gates=gates)
    assert evaluated.judged()[0] is Verdict.NOT_COMPARABLE


def test_the_lines_to_paste_belong_into_the_file_whose_gates_ask(evaluated: Evaluated) -> None:
    evaluated.change({"raw.txt": "abcdef\n", "sub/mlgit.yaml": f"gates: {RULE.replace('m.json', '../m.json')}\n"}, "[]")
    notes = law(evaluated.project, evaluated.base).notes
    assert any("in the same commit, in sub/mlgit.yaml: gates: {acknowledge" in note for note in notes)


def test_absolute_limits_are_judged_all_the_same(evaluated: Evaluated) -> None:
    floor = "[{metric: 'm.json:a', direction: higher, max_drop_abs: 0.01, min: 0.8}]"
    evaluated.change({"raw.txt": "abcdef\n", "values.json": {"a": 0.5}}, gates=floor)
    assert evaluated.judged()[0] is Verdict.FAIL


def test_without_a_word_all_that_is_read_beside_a_model_must_be_the_same(project: Any, mlgit: Any) -> None:
    evaluated = Evaluated(project, mlgit)
    evaluated.change({"values.json": {"a": 0.95}})
    assert evaluated.judged() == (
        Verdict.NOT_COMPARABLE,
        {"values.json": ("file it is computed with", Mark.WARN)},
    )


def test_a_stage_that_reads_no_model_tells_nothing(project: Any, mlgit: Any) -> None:
    stage = "{cmd: cp train.py m.json, deps: [train.py], metrics: [{m.json: {cache: false}}]}"
    text = f"stages: {{train: {stage}}}\n"
    project.write({"mlgit.yaml": f"{text}gates: {RULE}\n", "train.py": '{"a": 0.9}'})
    mlgit("repro", cwd=project.root)
    base = project.commit({})
    project.write({"train.py": '{"a": 0.5}'})
    mlgit("repro", cwd=project.root)
    assert law(project, base).verdict is Verdict.FAIL
