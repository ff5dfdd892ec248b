"""Judging a head against a base: which gates hold, which values they are about, and the verdict over all.

The verdict is FAIL if a gate of level `error` fails; otherwise NOT_COMPARABLE if one could not be judged because its
metric was computed in another way on the two sides; otherwise NOT_EVALUABLE if one with `on_missing_base: fail` found
no base value; otherwise PASS. What could not be judged is always said, never skipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mlgit.errors import NotEvaluableError
from mlgit.model.gate import FAILED, Answer, Gate, Group, Judgement, Rule, combine
from mlgit.model.report import Mark, Report, Row, Table, Verdict, count, format_cell
from mlgit.ops.gates import comparable
from mlgit.ops.gates.judging import Found, Judge
from mlgit.ops.gates.rules import ACCEPT, Law

if TYPE_CHECKING:
    from mlgit.repo import Repo
    from mlgit.work.snapshot import Snapshot

COLUMNS: Final = ("gate", "metric", "base", "head", "rule", "shortfall")
_HINT: Final = "add to mlgit.yaml:  gates:  then  - {metric: 'metrics.json:accuracy', direction: higher, min: 0.9}"
_HOW: Final = f"a maintainer accepts it with the label {ACCEPT}, or --accept-gate-change"


def evaluate(repo: Repo, base: Snapshot | None, head: Snapshot, law: Law) -> Report:
    """Judge `head`: a row for each gate and metric with the columns `COLUMNS`, what is loosened and not comparable.

    Args:
        base: what drops are measured from; None if there is nothing to compare with, which is said in the notes.
        head: the commit or working tree that is judged.

    Raises:
        NotEvaluableError: there are no gates.
        InvalidError: a metrics file is malformed, or a rule's key stands in several files.
    """
    if not law.gates.rules and not law.changes:
        raise NotEvaluableError(f"{head.name}: no gates are configured", hint=_HINT)
    judge = Judge(repo, base, head, law.gates.acknowledged)
    judged = [_judged(judge, gate) for gate in law.gates.rules]
    parts = [_gates_table(judged)]
    if law.changes:
        parts.append(_changes_table(law))
    hindered = judge.differences()
    notes = list(_notes(base, judged, judge))
    if hindered:
        found = comparable.report(hindered, base or head, head)
        parts += found.tables
        notes += found.notes
    verdict = _verdict(judged, law)
    return Report("gate", "Gate", tuple(parts), verdict, base.name if base else None, head.name, tuple(notes))


@dataclass(frozen=True, slots=True)
class _Judged:
    """A gate with its answer, and what each of its rules found, those of groups below it too."""

    gate: Gate
    answer: Answer
    found: tuple[Found, ...] = ()
    members: tuple[_Judged, ...] = ()

    @property
    def every(self) -> Iterator[Found]:
        yield from self.found
        for member in self.members:
            yield from member.every


def _judged(judge: Judge, gate: Gate) -> _Judged:
    if isinstance(gate, Group):
        members = tuple(_judged(judge, member) for member in gate.members)
        return _Judged(gate, combine(gate.mode, (member.answer for member in members)), (), members)
    found = tuple(judge.find(gate))
    return _Judged(gate, combine("all", (one.judgement.answer for one in found)), found)


def _verdict(judged: Sequence[_Judged], law: Law) -> Verdict:
    deciding = [one for one in judged if one.gate.level == "error"]
    if any(one.answer is Answer.FAIL for one in deciding) or (law.changes and not law.accepted):
        return Verdict.FAIL
    open_ones = [found for one in deciding if one.answer is Answer.OPEN for found in one.every if _is_open(found)]
    if any(found.incomparable for found in open_ones):
        return Verdict.NOT_COMPARABLE
    if any(found.rule.on_missing_base == "fail" for found in open_ones):
        return Verdict.NOT_EVALUABLE
    return Verdict.PASS


def _is_open(found: Found) -> bool:
    return found.judgement.answer is Answer.OPEN


def _gates_table(judged: Sequence[_Judged]) -> Table:
    rows = tuple(row for one in judged for row in _rows(one, one.gate.level, one.answer))
    return Table("gates", "Gates", COLUMNS, rows)


def _rows(one: _Judged, level: str, top: Answer, prefix: str = "") -> Iterator[Row]:
    """The rows of a gate; the members of a group follow it, and fail only where the group does."""
    if isinstance(one.gate, Group):
        mark = FAILED[level] if one.answer is Answer.FAIL else Mark.PASS if one.answer is Answer.PASS else Mark.INFO
        mark = mark if one.answer is top or not prefix else Mark.INFO
        holding = sum(member.answer is Answer.PASS for member in one.members)
        note = f"{holding} of {len(one.members)} hold"
        yield Row((prefix + one.gate.name, None, None, None, one.gate.text, None), mark, note, one.gate.where)
        for member in one.members:
            yield from _rows(member, level, top, f"{prefix}{one.gate.name} › ")
        return
    for found in one.found:
        yield _row(found, level, decides=not prefix or top is Answer.FAIL, name=prefix + one.gate.name)


def _row(found: Found, level: str, *, decides: bool, name: str) -> Row:
    rule, judgement = found.rule, found.judgement
    mark = _mark(found, level) if decides or judgement.answer is Answer.PASS else Mark.INFO
    notes = [judgement.note, found.note]
    if mark is Mark.FAIL and judgement.shortfall is not None:
        notes.append(_how(rule, judgement))
    called = None if name == found.metric else name  # most rules have no name, and need none
    cells = (called, found.metric, judgement.base, judgement.head, rule.text, judgement.shortfall)
    return Row(cells, mark, "; ".join(filter(None, notes)), rule.where)


def _how(rule: Rule, judgement: Judgement) -> str:
    way = "lower" if judgement.head is not None and _too_high(rule, judgement) else "raise"
    return f"{way} it by {format_cell(judgement.shortfall)} or more, or have the gate changed at {rule.where}"


def _too_high(rule: Rule, judgement: Judgement) -> bool:
    above = rule.max is not None and isinstance(judgement.head, (int, float)) and judgement.head > rule.max
    return above or (judgement.by_drop and rule.direction == "lower")


def _mark(found: Found, level: str) -> Mark:
    if found.judgement.answer is Answer.FAIL:
        return FAILED[level]
    if found.judgement.answer is Answer.OPEN:
        return Mark.WARN if found.incomparable or found.rule.on_missing_base == "fail" else Mark.INFO
    if found.judgement.doubtful:
        return Mark.WARN
    return Mark.INFO if found.passed_over or found.judgement.head is None else Mark.PASS


def _changes_table(law: Law) -> Table:
    mark, note = (Mark.INFO, "accepted") if law.accepted else (Mark.FAIL, _HOW)
    rows = []
    for one in law.changes:
        now = one.now or one.gate
        cells = (one.gate.name, one.words, one.gate.text, one.now.text if one.now else None)
        rows.append(Row(cells, mark, note, now.where))
    return Table("gate_changes", "Gates that this change loosens", ("gate", "change", "before", "after"), tuple(rows))


def _notes(base: Snapshot | None, judged: Sequence[_Judged], judge: Judge) -> Iterator[str]:
    found = [(one.gate, each) for one in judged for each in one.every]
    open_ones = [each for _, each in found if not each.judgement.judged and not each.incomparable]
    if base is None:
        yield "NO BASE: there is no commit to compare with, so nothing is known about drops."
    if open_ones:
        limits = count(len(open_ones), "limit")
        yield f"{limits} on drops NOT JUDGED for want of a base value; absolute limits were judged."
    if any(each.rule.on_missing_base == "fail" for each in open_ones):
        yield "At least one of them has on_missing_base: fail, so without a base there is no pass."
    warned = sum(gate.level == "warn" and each.judgement.answer is Answer.FAIL for gate, each in found)
    if warned:
        yield f"{count(warned, 'warning')}: shown, but the verdict does not depend on them."
