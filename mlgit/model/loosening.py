"""What a change does to the gates that judge it: which gates of the base it takes out or loosens.

A gate of the base holds on if the head has one that is at least as strict: whatever the base's gate fails, that one
fails too. An `all` group is held up by whatever holds up each of its rules, and a rule by one in an `all` group. Where
that cannot be told, as when the direction or the test is another, it counts as loosened. So does a
lower `min_n` of the worst slice: a small one that is bad anyway would lower the base that drops are measured from.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from mlgit.model.gate import Gate, Group, Rule, leaves
from mlgit.model.relpath import RelPath
from mlgit.model.report import format_cell

_ORDERS: Final = {"level": ("info", "warn", "error"), "on_inconclusive": ("pass", "warn", "fail")}
_UPPER: Final = ("max", "max_drop_abs", "max_drop_rel")
_Subject = tuple[RelPath | None, str]


@dataclass(frozen=True, slots=True)
class Loosening:
    """A gate of the base that the head does not hold up.

    Attributes:
        gate: as the base has it.
        now: as the head has it; None if it is gone.
        words: what is looser.
    """

    gate: Gate
    now: Gate | None
    words: str


def loosened(base: Sequence[Gate], head: Sequence[Gate]) -> list[Loosening]:
    """Every gate of the base that no gate of the head holds up, in the base's order."""
    known = _Known(head)
    found = []
    for gate in base:
        if known.hold_up(gate):
            continue
        now = known.counterpart(gate)
        found.append(Loosening(gate, now, "; ".join(_looser(gate, now)) if now else "taken out"))
    return found


def covers(strict: Gate, loose: Gate) -> bool:
    """Whether `strict` fails whatever `loose` fails."""
    return not _looser(loose, strict)


class _Known:
    """The gates of the head, found by what they are about: there may be thousands on each side."""

    def __init__(self, gates: Sequence[Gate]) -> None:
        self._same = set(gates)
        self._named = {gate.name: gate for gate in reversed(gates)}
        self._about: defaultdict[_Subject, list[Gate]] = defaultdict(list)
        for gate in _alone(gates):
            for subject in _subjects(gate):
                self._about[subject].append(gate)

    def hold_up(self, gate: Gate) -> bool:
        """Whether whatever `gate` fails, one of these fails too."""
        if gate in self._same or any(covers(one, gate) for one in self._near(gate)):
            return True
        if isinstance(gate, Rule) or gate.mode == "any":
            return False
        return all(self.hold_up(replace(one, level=gate.level)) for one in gate.members)

    def counterpart(self, gate: Gate) -> Gate | None:
        """What the head has in its place."""
        rules = (one for one in self._near(gate) if isinstance(gate, Rule) and isinstance(one, Rule))
        return self._named.get(gate.name) or next(rules, None)

    def _near(self, gate: Gate) -> list[Gate]:
        """What may hold up `gate`; an `all` group is held up rule by rule."""
        if isinstance(gate, Group) and gate.mode == "all":
            return []
        found = (one for subject in _subjects(gate) for one in self._about.get(subject, ()))
        return list({id(one): one for one in found}.values())


def _alone(gates: Iterable[Gate]) -> Iterator[Gate]:
    """Gates, with `all` groups taken apart: each of their members fails by itself, with the group's level."""
    for gate in gates:
        if isinstance(gate, Group) and gate.mode == "all":
            yield from _alone(replace(one, level=gate.level) for one in gate.members)
        else:
            yield gate


def _subjects(gate: Gate) -> list[_Subject]:
    return list(dict.fromkeys(map(_subject, leaves([gate]))))


def _subject(rule: Rule) -> _Subject:
    return rule.file, rule.key


def _looser(base: Gate, head: Gate) -> list[str]:
    """In what `head` is looser than `base`; empty if it is at least as strict."""
    if isinstance(base, Rule) and isinstance(head, Rule):
        return list(_looser_rule(base, head))
    if isinstance(base, Group) and isinstance(head, Group):
        return list(_looser_group(base, head))
    return ["a group instead of a rule" if isinstance(base, Rule) else "a rule instead of a group"]


def _looser_rule(base: Rule, head: Rule) -> Iterator[str]:
    if _subject(base) != _subject(head):
        yield f"metric {base.metric} → {head.metric}"
    if base.min is not None and (head.min is None or head.min < base.min):
        yield _change("min", base.min, head.min)
    for key in _UPPER:
        before, after = getattr(base, key), getattr(head, key)
        if before is not None and (after is None or after > before):
            yield _change(key, before, after)
    if base.required and not head.required:
        yield _change("required", True, False)
    if base.needs_base and base.on_missing_base == "fail" != head.on_missing_base:
        yield _change("on_missing_base", "fail", head.on_missing_base)
    worst = base.slices == "worst"
    if head.min_n > base.min_n or (head.min_n != base.min_n and worst and base.needs_base):
        yield _change("min_n", base.min_n, head.min_n)
    for key, counts in (("direction", base.needs_base or worst), ("slices", True), ("against", base.needs_base)):
        if counts and getattr(base, key) != getattr(head, key):
            yield _change(key, getattr(base, key), getattr(head, key))
    yield from _lower_level(base, head)
    if base.needs_base and (head.test is not None or base.test == "rank"):
        yield from _looser_test(base, head)


def _looser_test(base: Rule, head: Rule) -> Iterator[str]:
    """A test lets drops pass that it cannot tell from chance, the more of them the more confidence it asks for.

    One of ranks judges a mean, to which new seeds count; without it each seed is judged, and a new one has no base.
    """
    if head.test != base.test:
        yield _change("test", base.test, head.test)
    elif head.confidence > base.confidence:
        yield _change("confidence", base.confidence, head.confidence)
    order = _ORDERS["on_inconclusive"]
    if head.test == base.test and order.index(head.on_inconclusive) < order.index(base.on_inconclusive):
        yield _change("on_inconclusive", base.on_inconclusive, head.on_inconclusive)


def _looser_group(base: Group, head: Group) -> Iterator[str]:
    if base.mode != head.mode:
        yield _change("group", base.mode, head.mode)
        return
    yield from _lower_level(base, head)
    known = _Known(head.members)
    for one in base.members if base.mode == "all" else ():
        if not known.hold_up(one):
            yield f"{one.name}: {one.text} is not held up"
    for one in head.members if base.mode == "any" else ():
        if all(_looser(other, one) for other in base.members):
            yield f"{one.name}: {one.text} is enough now"


def _lower_level(base: Gate, head: Gate) -> Iterator[str]:
    order = _ORDERS["level"]
    if order.index(head.level) < order.index(base.level):
        yield _change("level", base.level, head.level)


def _change(key: str, before: str | float | bool | None, after: str | float | bool | None) -> str:
    return f"{key} {format_cell(before)} → {format_cell(after)}"
