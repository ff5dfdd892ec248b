"""What counts as a looser gate: nothing that still fails all that the base's gate fails, and everything else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.errors import InvalidError
from mlgit.model import gatefile
from mlgit.model.gate import MISSING, Answer, Gate, Group, Rule, combine, judge
from mlgit.model.loosening import loosened

START: dict[str, Any] = {
    "metric": "m.json:auc",
    "direction": "higher",
    "min": 0.8,
    "max": 1,
    "max_drop_abs": 0.01,
    "on_missing_base": "fail",
    "test": "bootstrap",
    "confidence": 0.9,
    "on_inconclusive": "warn",
}


def read(*gates: dict[str, Any]) -> tuple[Gate, ...]:
    return gatefile.decode(list(gates), "mlgit.yaml").rules


def words(base: dict[str, Any], *head: dict[str, Any]) -> list[str]:
    return [one.words for one in loosened(read(base), read(*head))]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"min": 0.7}, "min 0.8 → 0.7"),
        ({"min": None}, "min 0.8 → –"),
        ({"max": 2}, "max 1 → 2"),
        ({"max_drop_abs": 0.02}, "max_drop_abs 0.01 → 0.02"),
        ({"max_drop_abs": None, "max_drop_rel": 0.5}, "max_drop_abs 0.01 → –"),
        ({"required": False}, "required true → false"),
        ({"level": "warn"}, "level error → warn"),
        ({"on_missing_base": "neutral"}, "on_missing_base fail → neutral"),
        ({"direction": "lower"}, "direction higher → lower"),
        ({"min_n": 10}, "min_n 0 → 10"),
        ({"against": "v0"}, "against – → v0"),
        ({"test": "mcnemar"}, "test bootstrap → mcnemar"),
        ({"confidence": 0.99}, "confidence 0.9 → 0.99"),
        ({"on_inconclusive": "pass"}, "on_inconclusive warn → pass"),
        ({"metric": "m.json:f1", "name": "m.json:auc"}, "metric m.json:auc → m.json:f1"),
    ],
)
def test_each_way_to_loosen_a_rule_is_named(change: dict[str, Any], said: str) -> None:
    assert words(START, {**START, **change}) == [said]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"min": 0.9},
        {"max": 0.95},
        {"max_drop_abs": 0.001, "max_drop_rel": 0.1},
        {"confidence": 0.8},
        {"on_inconclusive": "fail"},
        {"test": None, "confidence": None, "on_inconclusive": None},
        {"name": "quality"},
    ],
)
def test_what_is_as_strict_is_no_loosening(change: dict[str, Any]) -> None:
    head = {key: value for key, value in {**START, **change}.items() if value is not None}
    assert words(START, {"metric": "other", "min": 3}, head) == []


def test_a_gate_may_move_and_be_taken_out() -> None:
    first, second = {"metric": "m.json:a", "min": 0.5}, {"metric": "m.json:b", "max": 1.0}
    assert loosened(read(first, second), read(second, first)) == []
    assert [(one.gate.name, one.now, one.words) for one in loosened(read(first, second), ())] == [
        ("m.json:a", None, "taken out"),
        ("m.json:b", None, "taken out"),
    ]
    assert loosened((), read(first)) == []


def group(mode: str, *members: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {"name": "both", mode: list(members), **keys}


A, B, C = ({"metric": f"m.json:{name}", "min": 0.5} for name in "abc")


@pytest.mark.parametrize(
    ("base", "head", "said"),
    [
        (group("all", A, B), group("all", A, B, C), []),
        (group("any", A, B, C), group("any", A, B), []),
        (group("all", A, B), group("all", A, {**B, "min": 0.6}), []),
        (group("all", A, B), group("any", A, B), ["group all → any"]),
        (group("all", A, B), group("all", A, C), ["m.json:b: min 0.5 is not held up"]),
        (group("any", A, B), group("any", A, B, C), ["m.json:c: min 0.5 is enough now"]),
        (group("any", A, B), group("any", A, B, level="info"), ["level error → info"]),
        (group("any", A, B), {**A, "name": "both"}, ["a rule instead of a group"]),
        (A, group("all", A, B), []),
        (A, group("all", B, {**group("all", A, C), "name": "inner"}), []),
        (A, group("all", A, B, level="warn"), ["level error → warn"]),
        ({**A, "level": "warn"}, group("all", A, B), []),
        (A, group("any", A, B), ["taken out"]),
    ],
)
def test_groups(base: dict[str, Any], head: dict[str, Any], said: list[str]) -> None:
    assert words(base, head) == said


def test_a_group_may_be_split_into_its_rules() -> None:
    base = group("all", A, B, level="warn")
    warned = [{**one, "level": "warn"} for one in (A, B)]
    assert words(base, *warned, C) == []
    assert words(base, A, {"name": "rest", "all": [B, C]}) == []
    assert words(base, warned[0], {**B, "level": "info"}) == ["taken out"]
    assert words(group("any", A, B), A) == ["taken out"]


def test_thousands_of_gates_are_compared_by_what_they_are_about() -> None:
    before, after = (read(*({"metric": f"m.json:{at}", "min": low} for at in range(3000))) for low in (0.5, 0.4))
    assert len(loosened(before, after)) == 3000
    assert loosened(after, before) == []


numbers = st.integers(-4, 4).map(lambda number: number / 2)
rules = st.fixed_dictionaries(
    {"metric": st.just("m.json:a"), "direction": st.sampled_from(["higher", "lower"])},
    optional={
        "min": numbers,
        "max": numbers,
        "max_drop_abs": numbers.filter(lambda number: number >= 0),
        "max_drop_rel": numbers.filter(lambda number: number >= 0),
        "required": st.booleans(),
    },
)
values = numbers | st.sampled_from([MISSING, float("nan"), None, "0.5"])
modes = st.sampled_from(["all", "any"])
inner = rules | st.builds(group, modes, rules, rules)
gates = inner | st.builds(lambda mode, *members: {**group(mode, *members), "name": "outer"}, modes, inner, rules)


def answer(gate: Gate, base: Any, head: Any) -> Answer:
    if isinstance(gate, Group):
        return combine(gate.mode, (answer(member, base, head) for member in gate.members))
    return judge(gate, base, head).answer


@given(gates, st.lists(gates, min_size=1, max_size=3), values, values)
def test_whatever_is_held_up_fails_all_that_the_base_fails(before: Any, after: Any, base: Any, head: Any) -> None:
    try:
        old, new = read(before), read(*({**one, "name": str(at)} for at, one in enumerate(after)))
    except InvalidError:
        return
    if not loosened(old, new) and answer(old[0], base, head) is Answer.FAIL:
        assert Answer.FAIL in [answer(one, base, head) for one in new]


@given(rules)
def test_nothing_is_looser_than_itself(rule: Any) -> None:
    try:
        (one,) = read(rule)
    except InvalidError:
        return
    assert isinstance(one, Rule)
    assert loosened([one], [one]) == []
