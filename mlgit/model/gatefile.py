"""Reading `gates:` of a stage file: a list of rules and groups of rules, or a mapping with the list under `rules`.

A rule that can never fail, or that no value can pass, is refused when it is read.
"""

from __future__ import annotations

import json
import math
from typing import Final, Literal

from mlgit.errors import InvalidError
from mlgit.model.fields import Fields, describe
from mlgit.model.gate import LIMITS, Gate, Gates, Group, Rule
from mlgit.model.metric import EXTENSIONS, is_pattern
from mlgit.model.relpath import RelPath
from mlgit.model.stagekeys import GATE, GATE_GROUP, GATES
from mlgit.model.stagepath import resolve_path
from mlgit.model.text import Block

_LIST: Final = "start each rule with `- `, or put the list under `rules:`"


def decode(value: object, where: str) -> Gates:
    """Read what stands under `gates:`.

    Args:
        where: the stage file, for errors; its folder is where files are seen from.

    Raises:
        InvalidError: neither list nor mapping, an unknown or missing key, a limit that is no finite number, a rule that
            cannot fail, a limit on drops without a direction, or a name given twice.
        UnsafeError: a metric's file lies outside the repository.
    """
    if value is None:
        return Gates()
    acknowledged: dict[str, str] = {}
    if isinstance(value, dict) and not _is_rule_by_name(value):
        fields = Fields(value, f"{where}: gates", GATES)
        acknowledged = _decode_acknowledged(fields)
        value = fields.items("rules", [])
    if not isinstance(value, list):
        raise InvalidError(f"{where}: gates: expected a list, found {describe(value)}", hint=_LIST)
    return Gates(_decode_list(value, where, "gates", grouped=False), acknowledged)


def _is_rule_by_name(value: dict[object, object]) -> bool:
    """Whether a mapping is rules by their names, or one rule, where a list should be."""
    return bool(value) and not value.keys() & GATES.keys() and not any(isinstance(one, list) for one in value.values())


def _decode_acknowledged(fields: Fields) -> dict[str, str]:
    """Values may be written as they stand in a parameter file: numbers, true and false count by their text."""
    given = fields.mapping("acknowledge", {})
    inner = Fields(given, fields.at("acknowledge"), given) if given else fields
    plain = {what: json.dumps(now) for what, now in given.items() if isinstance(now, (bool, int, float))}
    return {what: plain[what] if what in plain else inner.text(what) for what in given}


def _decode_list(items: list[object], where: str, key: str, *, grouped: bool) -> tuple[Gate, ...]:
    gates: list[Gate] = []
    for number, item in enumerate(items):
        line = f":{item.line}" if isinstance(item, Block) else ""
        at = f"{where}{line}: {key}[{number}]"
        group = isinstance(item, dict) and ("all" in item or "any" in item)
        fields = Fields(item, at, GATE_GROUP if group else GATE)
        if grouped and "level" in fields.block:
            fields.fail("level", "stands in a group", "give the level to the group")
        gate = _decode_group(fields, where) if group else _decode_rule(fields, where.rpartition("/")[0])
        if fields.block.get("name") and any(gate.name == other.name for other in gates):
            fields.fail("name", f"{gate.name!r} names another rule already", "give each rule its own name")
        gates.append(gate)
    return tuple(gates)


def _decode_group(fields: Fields, where: str) -> Group:
    mode: Literal["all", "any"] = "all" if "all" in fields.block else "any"
    if "any" in fields.block and mode == "all":
        fields.fail("any", "stands beside all", "put one of them into a list item of the other")
    items = fields.items(mode)
    if len(items) < 2:
        fields.fail(mode, "only one rule" if items else "no rules", "list the two or more rules that count together")
    return Group(
        name=fields.text("name"),
        mode=mode,
        members=_decode_list(items, where, fields.where.partition(": ")[2] + f".{mode}", grouped=True),
        level=fields.choice("level", ("error", "warn", "info"), "error"),
        where=_place(fields, mode),
    )


def _decode_rule(fields: Fields, folder: str) -> Rule:
    metric = fields.text("metric")
    file, key = _split_metric(metric, folder, fields)
    limits = {key: _limit(fields, key) for key in LIMITS}
    rule = Rule(
        metric=metric,
        file=file,
        key=key,
        name=fields.text("name", None) or metric,
        direction=fields.choice("direction", ("higher", "lower", "none"), "none"),
        **limits,
        required=fields.flag("required", True),
        level=fields.choice("level", ("error", "warn", "info"), "error"),
        on_missing_base=fields.choice("on_missing_base", ("neutral", "fail"), "neutral"),
        slices=fields.choice("slices", ("each", "worst"), "each"),
        min_n=fields.whole("min_n", 0),
        against=_against(fields),
        test=fields.choice("test", ("bootstrap", "mcnemar", "rank"), None),
        confidence=fields.number("confidence", 0.95),
        on_inconclusive=fields.choice("on_inconclusive", ("pass", "warn", "fail"), "warn"),
        where=_place(fields, "metric"),
    )
    _check(rule, fields)
    return rule


def _place(fields: Fields, key: str) -> str:
    return fields.at(key).partition(": ")[0]


def _split_metric(metric: str, folder: str, fields: Fields) -> tuple[RelPath | None, str]:
    file, colon, key = metric.partition(":")
    if not colon or not file.lower().endswith(EXTENSIONS):
        file, key = "", metric
    if not key and not file:
        fields.fail("metric", "empty", "write file:dotted.key")
    if is_pattern(file):
        fields.fail("metric", "a pattern in the file's name", "write one rule per file; `*` goes into the key")
    return (resolve_path(file, folder, fields.at("metric")) if file else None), key


def _limit(fields: Fields, key: str) -> float | None:
    limit: float | None = fields.number(key, None)
    if limit is not None and not math.isfinite(limit):
        fields.fail(key, "not a finite number", "remove it, or write the limit you mean")
    if limit is not None and limit < 0 and key.startswith("max_drop"):
        fields.fail(key, f"must not be negative: {limit}", "0 allows no drop; use `min` or `max` to demand a gain")
    return limit


def _against(fields: Fields) -> str | None:
    rev: str | None = fields.text("against", None)
    if rev is not None and (not rev or rev.startswith("-") or not rev.isprintable()):
        fields.fail("against", f"not a revision: {rev!r}", "name a tag, branch or commit")
    return rev


def _check(rule: Rule, fields: Fields) -> None:
    """Refuse what could never fail, never pass, or has no meaning."""
    limits = [key for key in LIMITS if getattr(rule, key) is not None]
    if not limits and not rule.required:
        fields.fail("metric", "this rule can never fail", f"give it one of {', '.join(LIMITS)}, or required: true")
    if rule.min is not None and rule.max is not None and rule.min > rule.max:
        fields.fail("min", f"{rule.min} is above max {rule.max}, no value can pass", "swap the two")
    if rule.needs_base and rule.direction == "none":
        fields.fail(limits[-1], "needs to know which way is better", "add direction: higher, or direction: lower")
    for key in ("on_missing_base", "against", "test"):
        if fields.block.get(key) not in (None, "neutral") and not rule.needs_base:
            fields.fail(key, "no limit of this rule looks at the base", "add max_drop_abs or max_drop_rel")
    if rule.slices == "worst" and (not is_pattern(rule.key) or rule.direction == "none"):
        fields.fail("slices", "needs a pattern and a direction", "write by_size.*.recall, and direction: higher")
    if rule.slices == "worst" and rule.test is not None:
        fields.fail("test", "cannot judge the worst of several", "judge each: leave `slices` out")
    for key in ("confidence", "on_inconclusive"):
        if key in fields.block and rule.test is None:
            fields.fail(key, "without a test nothing is uncertain", "add test: bootstrap, mcnemar or rank")
    if not 0.5 <= rule.confidence < 1:
        fields.fail("confidence", f"not between 0.5 and 1: {rule.confidence}", "0.95 is usual")
    if rule.test == "rank" and not is_pattern(rule.key):
        fields.fail("test", "rank needs several values a side", "write a pattern over the seeds, such as seeds[*].f1")
