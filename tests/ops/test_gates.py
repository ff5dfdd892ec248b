import pytest

from mlgit.errors import InvalidError, NotEvaluableError
from mlgit.model import gatefile
from mlgit.model.gate import Gates
from mlgit.model.report import Mark, Verdict
from mlgit.model.text import load_yaml
from mlgit.ops.gates.base import default_base
from mlgit.ops.gates.evaluate import evaluate
from mlgit.ops.gates.rules import Law, load_gates

MIN = {"metric": "m.json:auc", "name": "floor", "min": 0.8}
DROP = {"metric": "m.json:auc", "name": "drop", "direction": "higher", "max_drop_abs": 0.01}
DECLARED = {"mlgit.yaml": "metrics: [m.json]\n"}


def judge(project, base, *rules):
    snapshot = project.side(base) if base else None
    report = evaluate(project.repo, snapshot, project.side(), Law(gatefile.decode(list(rules), "mlgit.yaml")))
    return report, report.tables[0].rows


def test_a_pass(project):
    base = project.commit({**DECLARED, "m.json": {"auc": 0.9}})
    project.write({"m.json": {"auc": 0.89}})
    report, found = judge(project, base, MIN, DROP)
    assert (report.verdict, report.exit_code, report.notes) == (Verdict.PASS, 0, ())
    assert [row.mark for row in found] == [Mark.PASS, Mark.PASS]


def test_a_failure_names_metric_base_head_rule_and_shortfall(project):
    base = project.commit({**DECLARED, "m.json": {"auc": 0.9}})
    project.write({"m.json": {"auc": 0.87}})
    report, found = judge(project, base, MIN, DROP)
    assert (report.verdict, report.exit_code) == (Verdict.FAIL, 1)
    assert report.tables[0].columns == ("gate", "metric", "base", "head", "rule", "shortfall")
    assert found[1].cells == ("drop", "m.json:auc", 0.9, 0.87, "max_drop_abs 0.01 (higher is better)", 0.02)
    assert found[1].mark is Mark.FAIL
    assert found[1].note == "worse by 0.03, 0.01 allowed; raise it to 0.89 or more"


@pytest.mark.parametrize(
    ("rule", "head", "note"),
    [
        ("metric: m.json:auc, min: 0.8", 0.7, "0.1 below min; raise it to 0.8 or more"),
        ("metric: m.json:auc, max: 0.8", 0.95, "0.15 above max; lower it to 0.8 or less"),
        (
            "metric: m.json:auc, direction: lower, max_drop_rel: 0.1",
            1.0,
            "worse by 0.1, 0.09 allowed; lower it to 0.99 or less",
        ),
        ("metric: m.json:auc, min: 0.8", "NaN", "nan at the head is not a finite number; write a finite number"),
        ("metric: m.json:auc, min: 0.8", None, "null at the head is not a finite number; write a finite number"),
        (
            "metric: m.json:aoc, min: 0.8",
            0.9,
            "missing at the head: m.json has no 'aoc'; did you mean 'auc'?; write it",
        ),
        (
            "metric: aoc, min: 0.8",
            0.9,
            "missing at the head: no file under `metrics` has 'aoc'; did you mean 'auc'?; write it",
        ),
        (
            "metric: n.json:auc, min: 0.8",
            0.9,
            "missing at the head: n.json does not exist at the head, and is not declared under `metrics`; "
            "did you mean 'm.json'?; write it",
        ),
    ],
)
def test_a_failing_row_says_how_to_proceed(project, rule, head, note):
    base = project.commit({**DECLARED, "m.json": {"auc": 0.9}})
    project.write({"m.json": {"auc": float("nan") if head == "NaN" else head}})
    gates = gatefile.decode(load_yaml(f"gates:\n- {{{rule}}}\n", "mlgit.yaml")["gates"], "mlgit.yaml")
    (row,) = evaluate(project.repo, project.side(base), project.side(), Law(gates)).tables[0].rows
    assert (row.mark, row.note) == (Mark.FAIL, f"{note}, or have the gate changed at mlgit.yaml:2")


@pytest.mark.parametrize(
    ("head", "why"),
    [({}, "m.json has no 'auc'"), ({"other": 1}, "m.json has no 'auc'"), (None, "m.json does not exist at the head")],
)
def test_a_missing_metric_fails(project, head, why):
    base = project.commit({**DECLARED, "m.json": {"auc": 0.9}})
    project.write({"m.json": head})
    report, (row,) = judge(project, base, MIN)
    note = f"missing at the head: {why}; write it again"
    assert (report.exit_code, row.mark, row.note) == (1, Mark.FAIL, note)
    assert row.cells == ("floor", "m.json:auc", 0.9, None, "min 0.8", None)
    report, (row,) = judge(project, base, {**MIN, "required": False})
    assert (report.exit_code, row.mark) == (0, Mark.INFO)


def test_a_missing_base_is_loud_and_neutral_and_absolute_rules_are_judged(project):
    project.commit({**DECLARED, "m.json": {"auc": 0.9}})
    report, found = judge(project, None, MIN, DROP)
    assert (report.verdict, report.base) == (Verdict.PASS, None)
    assert [row.mark for row in found] == [Mark.PASS, Mark.WARN]
    assert found[1].note == "drop not judged: there is no base"
    assert report.notes[0].startswith("NO BASE")
    assert "1 limit on drops NOT JUDGED" in report.notes[1]
    report, _ = judge(project, None, {**MIN, "min": 0.95}, DROP)
    assert report.exit_code == 1


def test_a_missing_base_can_be_fatal(project):
    base = project.commit({**DECLARED, "m.json": {"other": 1}})
    project.write({"m.json": {"auc": 0.9}})
    strict = {**DROP, "on_missing_base": "fail"}
    for side in (None, base):
        report, _ = judge(project, side, MIN, strict)
        assert (report.verdict, report.exit_code) == (Verdict.NOT_EVALUABLE, 19)
        report, _ = judge(project, side, {**MIN, "min": 0.95}, strict)
        assert (report.verdict, report.exit_code) == (Verdict.FAIL, 1)
        report, found = judge(project, side, {**strict, "level": "warn"})
        assert (report.verdict, found[0].mark) == (Verdict.PASS, Mark.WARN)


def test_warnings_show_and_do_not_decide(project):
    project.commit({**DECLARED, "m.json": {"auc": 0.5}})
    report, found = judge(project, "HEAD", {**MIN, "level": "warn"}, {**MIN, "name": "i", "level": "info"})
    assert (report.verdict, [row.mark for row in found]) == (Verdict.PASS, [Mark.WARN, Mark.INFO])
    assert report.notes == ("1 warning: shown, but the verdict does not depend on it.",)


def test_slices_by_pattern_and_a_slice_that_vanished(project):
    slices = {"carrier": {"AA": {"auc": 0.9, "n": 5}, "UA": {"auc": 0.9}, "B6": {"auc": 0.9}}}
    base = project.commit({"slices.json": slices})
    project.write({"slices.json": {"carrier": {"AA": {"auc": 0.9}, "UA": {"auc": 0.7}, "XX": {"auc": 0.8}}}})
    rule = {"metric": "slices.json:carrier.*.auc", "direction": "higher", "max_drop_rel": 0.05}
    report, found = judge(project, base, rule)
    assert [(row.cells[1], row.mark) for row in found] == [
        ("slices.json:carrier.AA.auc", Mark.PASS),
        ("slices.json:carrier.UA.auc", Mark.FAIL),
        ("slices.json:carrier.XX.auc", Mark.WARN),
        ("slices.json:carrier.B6.auc", Mark.FAIL),
    ]
    assert report.exit_code == 1
    assert found[3].note == "missing at the head; write it again"
    report, (row,) = judge(project, base, {"metric": "slices.json:nothing.*", "min": 0})
    note = "missing at the head: slices.json has no 'nothing.*'; write it"
    assert (row.cells[1], row.mark, row.note) == ("slices.json:nothing.*", Mark.FAIL, note)


def test_a_bare_key_is_looked_up_in_all_metrics_files(project):
    files = {"mlgit.yaml": "metrics: [a.json, b.json]", "a.json": {"auc": 1, "n": 1}, "b.json": {"n": 1, "f1": 0.5}}
    project.commit(files)
    report, (row,) = judge(project, "HEAD", {"metric": "f1", "min": 0.4})
    assert (report.verdict, row.cells[1]) == (Verdict.PASS, "b.json:f1")
    with pytest.raises(InvalidError, match=r"'n' stands in several files: a.json, b.json"):
        judge(project, "HEAD", {"metric": "n", "min": 0})
    _, found = judge(project, "HEAD", {"metric": "n*", "min": 0})
    assert [row.cells[1] for row in found] == ["a.json:n", "b.json:n"]


def test_a_bare_key_is_the_same_metric_in_another_file(project):
    base = project.commit({"mlgit.yaml": "metrics: [old.json]", "old.json": {"auc": 0.9}})
    project.write({"mlgit.yaml": "metrics: [new.json]", "old.json": None, "new.json": {"auc": 0.5}})
    report, (row,) = judge(project, base, {"metric": "auc", "direction": "higher", "max_drop_abs": 0.1})
    assert (report.verdict, row.cells[1:4]) == (Verdict.FAIL, ("new.json:auc", 0.9, 0.5))
    project.write({"new.json": {}})
    report, (row,) = judge(project, base, {"metric": "auc", "min": 0})
    assert (report.verdict, row.cells[1:4]) == (Verdict.FAIL, ("old.json:auc", 0.9, None))


def test_odd_bases(project):
    base = project.commit({**DECLARED, "m.json": {"zero": 0, "neg": -2, "nan": float("nan")}})
    project.write({"m.json": {"zero": -0.1, "neg": -2.1, "nan": 1}})
    rule = {"direction": "higher", "max_drop_rel": 0.1}
    _, found = judge(project, base, *({"metric": f"m.json:{name}", **rule} for name in ("zero", "neg", "nan")))
    assert [row.mark for row in found] == [Mark.FAIL, Mark.PASS, Mark.WARN]
    assert "the base is 0" in found[0].note
    assert "nan at the base is no finite number" in found[2].note


def test_rules_come_from_stage_files_and_none_cannot_be_evaluated(project):
    project.commit({"mlgit.yaml": "gates:\n- {metric: m.json:a, min: 1}\n"})
    project.commit({"sub/mlgit.yaml": "gates:\n- metric: m.json:b\n  max: 1\n"})
    found = load_gates(project.repo, project.side("HEAD")).rules
    assert [(rule.file, rule.where) for rule in found] == [
        ("m.json", "mlgit.yaml:2"),
        ("sub/m.json", "sub/mlgit.yaml:2"),
    ]
    project.write({"mlgit.yaml": "gates:\n- {metric: m.json:a, mn: 1}\n"})
    with pytest.raises(InvalidError, match=r"mlgit.yaml:2: gates\[0\].mn: unknown key \(in working tree\)"):
        load_gates(project.repo, project.side())
    with pytest.raises(NotEvaluableError, match="no gates") as caught:
        evaluate(project.repo, None, project.side("HEAD"), Law(Gates()))
    assert caught.value.code == 19
    assert "gates:" in caught.value.hint


def base_of(project, rev=None):
    found = default_base(project.repo, project.side(rev))
    return found and found.rev


def test_the_base_is_the_merge_base_with_the_default_branch(project):
    first = project.commit({"a": "1"})
    fork = project.commit({"a": "2"})
    assert base_of(project) == fork
    assert base_of(project, "HEAD") == first
    project("switch", "-q", "-c", "feature")
    assert base_of(project) == fork
    assert base_of(project, "HEAD") == first
    tip = project.commit({"b": "1"})
    project("switch", "-q", "main")
    project.commit({"a": "3"})
    project("switch", "-q", "feature")
    assert base_of(project) == base_of(project, tip) == fork
    project("switch", "-q", "--detach")
    assert base_of(project) == fork


def test_the_remote_default_branch_goes_before_a_stale_local_one(project):
    project.commit({"a": "1"})
    project("switch", "-q", "-c", "feature")
    second = project.commit({"a": "2"})
    project("update-ref", "refs/remotes/origin/main", second)
    project.commit({"a": "3"})
    assert base_of(project) == second


def test_there_may_be_no_base(project):
    assert base_of(project) is None
    first = project.commit({"a": "1"})
    assert base_of(project, first) is None
    project("switch", "-q", "--orphan", "other")
    project.commit({"b": "1"})
    assert base_of(project) is None
    project("branch", "-q", "-D", "main")
    assert base_of(project) is None
