"""Gate rules: what a metric must satisfy for a change to merge, and the pure judgement of one value.

Rules stand under `gates:` in mlgit.yaml. Judging is defined for every value that a file can hold:

- a head that is missing fails (unless `required: false`); one that is NaN, infinite or no number always fails;
- a drop is a change in the worse direction, `base - head` where higher is better, `head - base` where lower is;
- `max_drop_rel` allows `max_drop_rel * |base|`, so a negative base works like a positive one and a base of 0 allows
  no drop at all;
- a base that is missing, NaN, infinite or no number cannot carry a drop: those limits are said to be not judged, the
  absolute ones are judged all the same.

Numbers are compared as the decimals that the files spell, unrounded: 0.90 → 0.88 is within `max_drop_abs: 0.02`.
A rule that can never fail is refused when it is read. Nothing here reads files; see `ops/gates`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import Final, Literal

from mlgit.errors import InvalidError
from mlgit.model.fields import Fields, describe
from mlgit.model.metric import EXTENSIONS, Scalar, exact, is_finite, is_pattern, to_float
from mlgit.model.relpath import RelPath
from mlgit.model.report import Mark, format_cell
from mlgit.model.stagekeys import GATE
from mlgit.model.stagepath import resolve_path
from mlgit.model.text import Block

Direction = Literal["higher", "lower", "none"]
Level = Literal["error", "warn", "info"]

_LIMITS: Final = ("min", "max", "max_drop_abs", "max_drop_rel")
_FAILED: Final = {"error": Mark.FAIL, "warn": Mark.WARN, "info": Mark.INFO}


class Missing(Enum):
    """The absence of a value; `None` is a value, a file may say `null`."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING
Value = Scalar | Missing


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of `gates:`.

    Attributes:
        metric: as written, `file:dotted.key` or a key that is unique over all metrics files.
        file: the part before the colon; None if the key stands alone.
        key: the dotted key, or a pattern over keys with `*` and `?`.
        name: what people call the rule; the metric if nothing was given.
        direction: which way is better.
        min: the least allowed value, in the metric's unit; likewise `max` the greatest.
        max_drop_abs: how much worse than the base it may be, in the metric's unit.
        max_drop_rel: how much worse, as a fraction of |base|.
        required: whether a missing metric fails.
        level: `error` decides the verdict, `warn` and `info` only show.
        on_missing_base: whether a limit on drops that has no base to be judged against makes the answer 19.
        where: file and line, for messages.
    """

    metric: str
    file: RelPath | None
    key: str
    name: str
    direction: Direction = "none"
    min: float | None = None
    max: float | None = None
    max_drop_abs: float | None = None
    max_drop_rel: float | None = None
    required: bool = True
    level: Level = "error"
    on_missing_base: Literal["neutral", "fail"] = "neutral"
    where: str = ""

    @property
    def needs_base(self) -> bool:
        """Whether it limits drops."""
        return self.max_drop_abs is not None or self.max_drop_rel is not None

    @property
    def text(self) -> str:
        """The limits in the words of the file, such as `min 0.9, max_drop_rel 0.02 (higher is better)`."""
        limits = ((key, getattr(self, key)) for key in _LIMITS)
        said = ", ".join(f"{key} {format_cell(value)}" for key, value in limits if value is not None)
        better = f" ({self.direction} is better)" if self.needs_base else ""
        return (said or "required") + better


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a rule says about one metric.

    Attributes:
        mark: PASS; FAIL, WARN or INFO by the rule's level when it failed; when it was not judged in full INFO, or WARN
            with `on_missing_base: fail`.
        failed: whether a limit is broken, whatever the level.
        rule: the limits, in words.
        base: the value at the base; None when it has none.
        head: the value at the head; None when it has none.
        shortfall: how far the head must move to satisfy every limit, in the metric's unit; None when it did not fail
            or no number can say it.
        note: what is wrong, or what could not be judged.
        judged: False when a limit on drops had no base to be judged against.
    """

    mark: Mark
    failed: bool
    rule: str
    base: Scalar
    head: Scalar
    shortfall: float | None = None
    note: str = ""
    judged: bool = True


def decode_rules(value: object, where: str) -> tuple[Rule, ...]:
    """Read the list under `gates:`; `where` is the stage file, for errors, and its folder is where files are seen from.

    Raises:
        InvalidError: not a list, an unknown or missing key, a limit that is no finite number, a rule that cannot fail,
            a limit on drops without a direction, or a name given twice.
        UnsafeError: a metric's file lies outside the repository.
    """
    if value is None:
        return ()
    if not isinstance(value, list):
        raise InvalidError(
            f"{where}: gates: expected a list, found {describe(value)}", hint="start each rule with `- `"
        )
    rules: list[Rule] = []
    for number, item in enumerate(value):
        line = f":{item.line}" if isinstance(item, Block) else ""
        fields = Fields(item, f"{where}{line}: gates[{number}]", GATE)
        rule = _decode_rule(fields, where.rpartition("/")[0])
        if fields.block.get("name") and any(rule.name == other.name for other in rules):
            fields.fail("name", f"{rule.name!r} names another rule already", "give each rule its own name")
        rules.append(rule)
    return tuple(rules)


def _decode_rule(fields: Fields, folder: str) -> Rule:
    metric = fields.text("metric")
    file, key = _split_metric(metric, folder, fields)
    limits = {key: _limit(fields, key) for key in _LIMITS}
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
        where=fields.at("metric").partition(": ")[0],
    )
    _check(rule, fields)
    return rule


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


def _check(rule: Rule, fields: Fields) -> None:
    """Refuse what could never fail, never pass, or has no meaning."""
    limits = [key for key in _LIMITS if getattr(rule, key) is not None]
    if not limits and not rule.required:
        fields.fail("metric", "this rule can never fail", f"give it one of {', '.join(_LIMITS)}, or required: true")
    if rule.min is not None and rule.max is not None and rule.min > rule.max:
        fields.fail("min", f"{rule.min} is above max {rule.max}, no value can pass", "swap the two")
    if rule.needs_base and rule.direction == "none":
        fields.fail(limits[-1], "needs to know which way is better", "add direction: higher, or direction: lower")
    if rule.on_missing_base == "fail" and not rule.needs_base:
        fields.fail("on_missing_base", "no limit of this rule looks at the base", "add max_drop_abs or max_drop_rel")


def judge(rule: Rule, base: Value, head: Value) -> Judgement:
    """What `rule` says of one metric; `MISSING` is a side without it."""
    shown = _shown(base), _shown(head)
    if isinstance(head, Missing):
        failed = rule.required
        note = "missing at the head" if failed else "missing at the head, and not required"
        return Judgement(_FAILED[rule.level] if failed else Mark.INFO, failed, rule.text, *shown, None, note)
    if not is_finite(head):
        note = f"{_quoted(head)} at the head is not a finite number"
        return Judgement(_FAILED[rule.level], True, rule.text, *shown, None, note)
    reference = exact(base) if rule.needs_base and is_finite(base) else None
    judged = reference is not None or not rule.needs_base
    broken = list(_broken(rule, reference, exact(head)))
    notes = [said for said, _ in broken]
    if not judged:
        notes.append(f"drop not judged: {_why_no_base(base)}")
    elif rule.max_drop_rel is not None and base == 0:
        notes.append("the base is 0: max_drop_rel allows no drop at all")
    unjudged = Mark.WARN if rule.on_missing_base == "fail" else Mark.INFO
    mark = _FAILED[rule.level] if broken else Mark.PASS if judged else unjudged
    shortfall = to_float(max(short for _, short in broken)) if broken else None
    return Judgement(mark, bool(broken), rule.text, *shown, shortfall, "; ".join(notes), judged)


def _broken(rule: Rule, base: Fraction | None, head: Fraction) -> Iterator[tuple[str, Fraction]]:
    """Each limit that `head` breaks, in words, and by how much."""
    if rule.min is not None and head < exact(rule.min):
        yield _said("{} below min", exact(rule.min) - head), exact(rule.min) - head
    if rule.max is not None and head > exact(rule.max):
        yield _said("{} above max", head - exact(rule.max)), head - exact(rule.max)
    if base is None:
        return
    drop = base - head if rule.direction == "higher" else head - base
    for limit, unit in ((rule.max_drop_abs, Fraction(1)), (rule.max_drop_rel, abs(base))):
        if limit is not None and drop > exact(limit) * unit:
            allowed = exact(limit) * unit
            yield _said("{} worse than the base, {} allowed", drop, allowed), drop - allowed


def _said(words: str, *numbers: Fraction) -> str:
    return words.format(*(format_cell(to_float(number)) for number in numbers))


def _why_no_base(base: Value) -> str:
    return "the base has no value" if isinstance(base, Missing) else f"{_quoted(base)} at the base is no finite number"


def _shown(value: Value) -> Scalar:
    return None if isinstance(value, Missing) else value


def _quoted(value: Scalar) -> str:
    return "null" if value is None else repr(value) if isinstance(value, str) else format_cell(value)
