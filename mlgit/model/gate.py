"""Gates: what metrics must satisfy for a change to merge, and the pure judgement of one value.

`gatefile.py` reads them.

Judging is defined for every value that a file can hold:

- a head that is missing fails (unless `required: false`); one that is NaN, infinite or no number always fails;
- a drop is a change in the worse direction, `base - head` where higher is better, `head - base` where lower is;
- `max_drop_rel` allows `max_drop_rel * |base|`, so a negative base works like a positive one and a base of 0 allows
  no drop at all;
- a base that is missing, NaN, infinite or no number cannot carry a drop: those limits are said to be not judged, the
  absolute ones are judged all the same.

Numbers are compared as the decimals that the files spell, unrounded: 0.90 → 0.88 is within `max_drop_abs: 0.02`.
Nothing here reads files; see `ops/gates`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from fractions import Fraction
from typing import Final, Literal

from mlgit.model.metric import Scalar, exact, is_finite, to_float
from mlgit.model.relpath import RelPath
from mlgit.model.report import Mark, format_cell

Direction = Literal["higher", "lower", "none"]
Level = Literal["error", "warn", "info"]
Policy = Literal["pass", "warn", "fail"]
Test = Literal["bootstrap", "mcnemar", "rank"]

LIMITS: Final = ("min", "max", "max_drop_abs", "max_drop_rel")
FAILED: Final = {"error": Mark.FAIL, "warn": Mark.WARN, "info": Mark.INFO}


class Missing(Enum):
    """The absence of a value; `None` is a value, a file may say `null`."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING
Value = Scalar | Missing


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of `gates:` about one metric, or about all that a pattern matches.

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
        slices: whether a pattern's metrics are judged one by one, or the worst of each side against each other.
        min_n: a metric of fewer examples, by the `n` beside it, is not judged.
        against: the revision that drops are measured from, instead of the base of the comparison.
        test: the test that a drop must pass to count: on predictions (bootstrap, mcnemar) or on repeated seeds (rank).
        confidence: of the test's interval, between 0 and 1.
        on_inconclusive: what a drop is that the test cannot tell from chance.
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
    slices: Literal["each", "worst"] = "each"
    min_n: int = 0
    against: str | None = None
    test: Test | None = None
    confidence: float = 0.95
    on_inconclusive: Policy = "warn"
    where: str = field(default="", compare=False)

    @property
    def needs_base(self) -> bool:
        """Whether it limits drops."""
        return self.max_drop_abs is not None or self.max_drop_rel is not None

    @property
    def text(self) -> str:
        """The limits in the words of the file, such as `min 0.9, max_drop_rel 0.02 (higher is better)`."""
        words = [f"{key} {format_cell(value)}" for key in LIMITS if (value := getattr(self, key)) is not None]
        words += [f"min_n {self.min_n}"] if self.min_n else []
        words += ["the worst"] if self.slices == "worst" else []
        words += [f"against {self.against}"] if self.against else []
        words += [f"{self.test} at {self.confidence:.4g}"] if self.test else []
        better = f" ({self.direction} is better)" if self.needs_base else ""
        return (", ".join(words) or "required") + better


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that count together: `all` of them must hold, or `any` one.

    Attributes:
        name: what people call the group.
        level: of the whole; its members have none of their own.
    """

    name: str
    mode: Literal["all", "any"]
    members: tuple[Rule | Group, ...]
    level: Level = "error"
    where: str = field(default="", compare=False)

    @property
    def text(self) -> str:
        """`any of 2`."""
        return f"{self.mode} of {len(self.members)}"


Gate = Rule | Group


@dataclass(frozen=True, slots=True)
class Gates:
    """All gates of one side.

    Attributes:
        acknowledged: what of the evaluation may have changed, each with what it is now; see `ops/gates/comparable.py`.
    """

    rules: tuple[Gate, ...] = ()
    acknowledged: dict[str, str] = field(default_factory=dict)


def elsewhere(gate: Gate, name: str) -> Gate:
    """A gate of another commit under a name that says so; of its place only the file, the line may be gone."""
    file = place_without_line(gate.where)
    if isinstance(gate, Rule):
        return replace(gate, name=name, where=file)
    return replace(gate, name=name, where=file, members=tuple(elsewhere(one, one.name) for one in gate.members))


def place_without_line(where: str) -> str:
    """The file of `file:line`."""
    file, colon, line = where.rpartition(":")
    return file if colon and line.isdigit() else where


def leaves(gates: Iterable[Gate]) -> Iterator[Rule]:
    """Every rule, those in groups too."""
    for gate in gates:
        if isinstance(gate, Group):
            yield from leaves(gate.members)
        else:
            yield gate


class Answer(Enum):
    """What a gate says: yes, no, or that it could not be judged."""

    PASS = "pass"
    FAIL = "fail"
    OPEN = "open"


def combine(mode: Literal["all", "any"], answers: Iterable[Answer]) -> Answer:
    """The answer of a group; what could not be judged decides nothing that the others have decided."""
    found = set(answers)
    first, last = (Answer.FAIL, Answer.PASS) if mode == "all" else (Answer.PASS, Answer.FAIL)
    return first if first in found else Answer.OPEN if Answer.OPEN in found else last


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a rule says about one metric.

    Attributes:
        answer: FAIL if a limit is broken, whatever the level; OPEN if one on drops had no base to be judged against.
        base: the value at the base; None when it has none.
        head: the value at the head; None when it has none.
        shortfall: how far the head must move to satisfy every limit, in the metric's unit; None when it did not fail
            or no number can say it.
        note: what is wrong, or what could not be judged.
        judged: False when a limit on drops had no base to be judged against, whatever the other limits say.
        by_drop: it failed, and by a limit on drops alone: a test may still say that chance explains it.
        doubtful: it passed, but a limit on drops is broken that a test cannot tell from chance, or the predictions say
            something else than the metrics file.
        missing: the head has no such metric.
    """

    answer: Answer
    base: Scalar = None
    head: Scalar = None
    shortfall: float | None = None
    note: str = ""
    judged: bool = True
    by_drop: bool = False
    doubtful: bool = False
    missing: bool = False


def judge(rule: Rule, base: Value, head: Value, *, no_base: str = "") -> Judgement:
    """What `rule` says of one metric; `MISSING` is a side without it.

    Args:
        no_base: why there is no base, when there is none; else it is that the base has no value.
    """
    shown, called = (_shown(base), _shown(head)), rule.against or "the base"
    if isinstance(head, Missing):
        note = "missing at the head" if rule.required else "missing at the head, and not required"
        return Judgement(Answer.FAIL if rule.required else Answer.PASS, *shown, None, note, missing=True)
    if not is_finite(head):
        return Judgement(Answer.FAIL, *shown, None, f"{_quoted(head)} at the head is not a finite number")
    reference = exact(base) if rule.needs_base and is_finite(base) else None
    absolute, drops = list(_out_of_bounds(rule, exact(head))), list(_drops(rule, reference, exact(head)))
    broken = absolute + drops
    notes = [said for said, _ in broken]
    judged = reference is not None or not rule.needs_base
    if not judged:
        missing = no_base or f"{called} has no value"
        why = missing if isinstance(base, Missing) else f"{_quoted(base)} at {called} is no finite number"
        notes.append(f"drop not judged: {why}")
    elif rule.max_drop_rel is not None and base == 0:
        notes.append(f"{called} is 0: max_drop_rel allows no drop at all")
    answer = Answer.FAIL if broken else Answer.PASS if judged else Answer.OPEN
    shortfall = to_float(max(short for _, short in broken)) if broken else None
    by_drop = bool(drops) and not absolute
    return Judgement(answer, *shown, shortfall, "; ".join(notes), judged=judged, by_drop=by_drop)


def worse(rule: Rule, first: Scalar, second: Scalar) -> bool:
    """Whether `first` is worse than `second` in the rule's direction; what is no finite number is worse than any."""
    if not is_finite(first) or not is_finite(second):
        return not is_finite(first) and is_finite(second)
    return exact(first) > exact(second) if rule.direction == "lower" else exact(first) < exact(second)


def _out_of_bounds(rule: Rule, head: Fraction) -> Iterator[tuple[str, Fraction]]:
    """Each absolute limit that `head` breaks, in words, and by how much."""
    if rule.min is not None and head < exact(rule.min):
        yield _said("{} below min", exact(rule.min) - head), exact(rule.min) - head
    if rule.max is not None and head > exact(rule.max):
        yield _said("{} above max", head - exact(rule.max)), head - exact(rule.max)


def _drops(rule: Rule, base: Fraction | None, head: Fraction) -> Iterator[tuple[str, Fraction]]:
    """Each limit on drops that `head` breaks, likewise."""
    if base is None:
        return
    drop = base - head if rule.direction == "higher" else head - base
    worse = f"worse than {rule.against}" if rule.against else "worse"
    for limit, unit in ((rule.max_drop_abs, Fraction(1)), (rule.max_drop_rel, abs(base))):
        if limit is not None and drop > exact(limit) * unit:
            allowed = exact(limit) * unit
            yield f"{worse} by {_said('{}, {} allowed', drop, allowed)}", drop - allowed


def _said(words: str, *numbers: Fraction) -> str:
    return words.format(*(format_cell(to_float(number)) for number in numbers))


def _shown(value: Value) -> Scalar:
    return None if isinstance(value, Missing) else value


def _quoted(value: Scalar) -> str:
    return "null" if value is None else repr(value) if isinstance(value, str) else format_cell(value)
