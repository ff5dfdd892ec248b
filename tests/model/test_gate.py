import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.errors import InvalidError, UnsafeError
from mlgit.model import gatefile
from mlgit.model.gate import MISSING, Answer, Gates, elsewhere, judge
from mlgit.model.text import load_yaml


def rules(text):
    return gatefile.decode(load_yaml(text, "mlgit.yaml")["gates"], "mlgit.yaml").rules


def rule(**keys):
    (found,) = gatefile.decode([{"metric": "m.json:auc", **keys}], "mlgit.yaml").rules
    return found


def test_a_rule_is_read():
    (found,) = rules(
        "gates:\n- metric: metrics/eval.json:test.auc\n  direction: higher\n  min: 0.9\n  max_drop_rel: 0.02\n"
    )
    assert (found.file, found.key, found.name) == ("metrics/eval.json", "test.auc", "metrics/eval.json:test.auc")
    assert (found.min, found.max_drop_rel, found.max) == (0.9, 0.02, None)
    assert (found.required, found.level, found.on_missing_base) == (True, "error", "neutral")
    assert found.where == "mlgit.yaml:2"
    assert found.text == "min 0.9, max_drop_rel 0.02 (higher is better)"


def test_a_key_may_stand_alone_and_hold_a_colon():
    assert (rule(metric="auc", min=1).file, rule(metric="auc", min=1).key) == (None, "auc")
    assert (rule(metric="loss:val", max=1).file, rule(metric="loss:val", max=1).key) == (None, "loss:val")
    assert (rule(metric="m.json:a:b", max=1).file, rule(metric="m.json:a:b", max=1).key) == ("m.json", "a:b")


def test_no_gates_are_no_rules():
    assert gatefile.decode(None, "mlgit.yaml") == Gates()
    assert gatefile.decode([], "mlgit.yaml") == Gates()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gates: 3", "gates: expected a list"),
        ("gates:\n- min: 3", "mlgit.yaml:2: gates[0].metric: missing"),
        ("gates:\n- metric: auc\n  mim: 3", "mlgit.yaml:3: gates[0].mim: unknown key"),
        ("gates:\n- metric: auc\n  min: high", "mlgit.yaml:3: gates[0].min: expected a number"),
        ("gates:\n- metric: auc\n  min: .nan", "mlgit.yaml:3: gates[0].min: not a finite number"),
        ("gates:\n- metric: auc\n  max: .inf", "mlgit.yaml:3: gates[0].max: not a finite number"),
        (f"gates:\n- metric: auc\n  max: {'9' * 400}", "mlgit.yaml:3: gates[0].max: too large"),
        ("gates:\n- metric: auc\n  min: true", "mlgit.yaml:3: gates[0].min: expected a number"),
        ("gates:\n- metric: auc\n  required: false", "mlgit.yaml:2: gates[0].metric: this rule can never fail"),
        ("gates:\n- metric: auc\n  max_drop_abs: 0.1", "mlgit.yaml:3: gates[0].max_drop_abs: needs to know"),
        ("gates:\n- metric: auc\n  direction: up\n  min: 1", "gates[0].direction: unknown value 'up'"),
        ("gates:\n- metric: auc\n  direction: lower\n  max_drop_rel: -1", "gates[0].max_drop_rel: must not be neg"),
        ("gates:\n- metric: auc\n  min: 2\n  max: 1", "gates[0].min: 2.0 is above max 1.0"),
        ("gates:\n- metric: auc\n  min: 2\n  on_missing_base: fail", "gates[0].on_missing_base: no limit"),
        ("gates:\n- metric: ''\n  min: 1", "gates[0].metric: empty"),
        ("gates:\n- metric: m*.json:auc\n  min: 1", "gates[0].metric: a pattern in the file"),
        ("gates:\n- metric: a\n  name: x\n  min: 1\n- metric: b\n  name: x\n  min: 1", "mlgit.yaml:6: gates[1].name"),
        ("gates:\n- auc", "gates[0]: expected a mapping"),
        ("gates:\n- name: x\n  any:\n  - {metric: a, min: 1}", "gates[0].any: only one rule"),
        ("gates:\n- name: x\n  any: []", "gates[0].any: no rules"),
    ],
)
def test_a_bad_rule_is_refused_where_it_stands(text, message):
    with pytest.raises(InvalidError) as caught:
        rules(text)
    assert message in caught.value.message


def test_a_file_outside_the_repository_is_refused():
    with pytest.raises(UnsafeError):
        rule(metric="../m.json:auc", min=1)


HIGHER, LOWER = {"direction": "higher"}, {"direction": "lower"}


@pytest.mark.parametrize(
    ("keys", "base", "head", "failed", "shortfall"),
    [
        ({"min": 0.9}, MISSING, 0.9, False, None),
        ({"min": 0.9}, MISSING, 0.88, True, 0.02),
        ({"max": 10}, MISSING, 10, False, None),
        ({"max": 10}, MISSING, 12, True, 2.0),
        ({"max_drop_abs": 0.02, **HIGHER}, 0.90, 0.88, False, None),
        ({"max_drop_abs": 0.02, **HIGHER}, 0.90, 0.87, True, 0.01),
        ({"max_drop_abs": 0.02, **HIGHER}, 0.90, 0.99, False, None),
        ({"max_drop_abs": 0.02, **LOWER}, 0.90, 0.92, False, None),
        ({"max_drop_abs": 0.02, **LOWER}, 0.90, 0.93, True, 0.01),
        ({"max_drop_abs": 0, **HIGHER}, 0.9, 0.9, False, None),
        ({"max_drop_abs": 0, **HIGHER}, 0.9, 0.8999999999999999, True, 1e-16),
        ({"max_drop_rel": 0.1, **HIGHER}, 100, 90, False, None),
        ({"max_drop_rel": 0.1, **HIGHER}, 100, 89, True, 1.0),
        ({"max_drop_rel": 0.1, **HIGHER}, -100, -110, False, None),
        ({"max_drop_rel": 0.1, **HIGHER}, -100, -111, True, 1.0),
        ({"max_drop_rel": 0.1, **LOWER}, -100, -89, True, 1.0),
        ({"max_drop_rel": 0.1, **HIGHER}, 0, 0, False, None),
        ({"max_drop_rel": 0.1, **HIGHER}, 0, 5, False, None),
        ({"max_drop_rel": 0.1, **HIGHER}, 0, -0.001, True, 0.001),
        ({"max_drop_rel": 0.1, **LOWER}, 0.0, 0.5, True, 0.5),
        ({"min": 0.9, "max_drop_abs": 0.01, **HIGHER}, 0.95, 0.8, True, 0.14),
        ({"min": 0}, MISSING, math.nan, True, None),
        ({"min": 0}, MISSING, math.inf, True, None),
        ({"min": 0}, MISSING, "0.9", True, None),
        ({"min": 0}, MISSING, True, True, None),
        ({"min": 0}, MISSING, None, True, None),
        ({}, MISSING, 1, False, None),
        ({}, 1, MISSING, True, None),
    ],
)
def test_judging(keys, base, head, failed, shortfall):
    found = judge(rule(**keys), base, head)
    assert (found.answer, found.shortfall) == (Answer.FAIL if failed else Answer.PASS, shortfall)
    assert found.judged
    assert bool(found.note) == failed or base == 0


@pytest.mark.parametrize("base", [MISSING, math.nan, math.inf, -math.inf, "0.9", None, True])
def test_without_a_base_drops_are_not_judged_and_the_rest_is(base):
    keys = {"min": 0.5, "max_drop_rel": 0.1, **HIGHER}
    passed = judge(rule(**keys), base, 0.6)
    assert (passed.answer, passed.judged) == (Answer.OPEN, False)
    assert "drop not judged" in passed.note
    failed = judge(rule(**keys), base, 0.4)
    assert (failed.answer, failed.judged, failed.shortfall) == (Answer.FAIL, False, 0.1)
    assert failed.note == f"0.1 below min; {passed.note}"


def test_a_missing_metric_need_not_fail():
    assert judge(rule(min=1, level="warn"), MISSING, MISSING).answer is Answer.FAIL
    absent = judge(rule(min=1, required=False), 3, MISSING)
    assert (absent.answer, absent.base, absent.head) == (Answer.PASS, 3, None)


def test_each_broken_limit_is_said():
    found = judge(rule(min=0.9, max_drop_abs=0.01, max_drop_rel=0.1, **HIGHER), 0.95, 0.8)
    assert found.note == ("0.1 below min; worse by 0.15, 0.01 allowed; worse by 0.15, 0.095 allowed")
    since = judge(rule(max_drop_abs=0.01, against="v{1}", **HIGHER), 0.95, 0.8)
    assert since.note == "worse than v{1} by 0.15, 0.01 allowed"


def test_what_is_acknowledged_may_be_a_number_or_a_flag():
    text = "gates: {acknowledge: {params.yaml:seed: 2, params.yaml:rate: 0.1, params.yaml:shuffle: true, e: none}}\n"
    found = gatefile.decode(load_yaml(text, "mlgit.yaml")["gates"], "mlgit.yaml").acknowledged
    assert found == {"params.yaml:seed": "2", "params.yaml:rate": "0.1", "params.yaml:shuffle": "true", "e": "none"}
    with pytest.raises(InvalidError, match="expected text"):
        gatefile.decode({"acknowledge": {"a": [1]}}, "mlgit.yaml")


@pytest.mark.parametrize("text", ["{accuracy: {min: 0.9}}", "{metric: accuracy, min: 0.9}"])
def test_gates_that_are_no_list_are_told_how_to_be_one(text):
    with pytest.raises(InvalidError, match="expected a list, found a mapping") as caught:
        rules(f"gates: {text}\n")
    assert caught.value.hint == "start each rule with `- `, or put the list under `rules:`"


def test_a_typing_error_beside_the_rules_is_named():
    with pytest.raises(InvalidError, match="unknown key") as caught:
        rules("gates: {rule: [{metric: a, min: 1}]}\n")
    assert caught.value.hint == "did you mean 'rules'?"


def test_a_gate_of_another_commit_has_no_line_here():
    (group,) = rules("gates:\n- name: g\n  any:\n  - {metric: a, min: 1}\n  - {metric: b, min: 1}\n")
    found = elsewhere(group, "g (of the base)")
    assert (found.name, found.where, found.level) == ("g (of the base)", "mlgit.yaml", "error")
    assert [(one.name, one.where) for one in found.members] == [("a", "mlgit.yaml"), ("b", "mlgit.yaml")]


numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**20), 10**20)


@given(numbers, numbers, st.sampled_from(["higher", "lower"]), st.floats(0, 1e6), st.floats(0, 10))
def test_a_gain_never_fails_and_no_number_breaks_the_judge(base, head, direction, absolute, relative):
    found = judge(rule(direction=direction, max_drop_abs=absolute, max_drop_rel=relative), base, head)
    gained = head >= base if direction == "higher" else head <= base
    assert not (gained and found.answer is Answer.FAIL)
    assert (found.answer is Answer.FAIL) == (found.shortfall is not None)
