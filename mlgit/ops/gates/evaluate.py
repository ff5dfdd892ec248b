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
from mlgit.model.gate import FAILED, Answer, Gate, Group, Judgement, Level, Rule, combine, place_without_line
from mlgit.model.loosening import covers
from mlgit.model.metric import exact, to_float
from mlgit.model.report import Mark, Report, Row, Table, Verdict, count, format_cell
from mlgit.ops.gates import comparable
from mlgit.ops.gates.judging import Found, Judge
from mlgit.ops.gates.rules import ACCEPT, Law

if TYPE_CHECKING:
    from mlgit.repo import Repo
    from mlgit.work.snapshot import Snapshot

COLUMNS: Final = ("gate", "metric", "base", "head", "rule", "shortfall")
_HINT: Final = "add to mlgit.yaml:  gates:  then  - {metric: 'metrics.json:accuracy', direction: higher, min: 0.9}"
_HOW: Final = f"a maintainer accepts that with the label {ACCEPT}, or --accept-gate-change"


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
    judged = [_judged(judge, gate) for gate in _worth_judging(law)]
    parts = [_gates_table(judged)]
    if law.changes:
        parts.append(_changes_table(law))
    notes = [*_law_notes(law), *_notes(base, judged, judge)]
    hindered = judge.differences()
    if hindered:
        files = (place_without_line(found.rule.where) for one in judged for found in one.every if found.incomparable)
        found = comparable.report(hindered, base or head, head, next(files, "mlgit.yaml"))
        parts += found.tables
        notes += found.notes
    verdict = _verdict(judged, law)
    return Report("gate", "Gate", tuple(parts), verdict, base.name if base else None, head.name, tuple(notes))


def _worth_judging(law: Law) -> list[Gate]:
    """All gates but those that the base's, which they loosen and which judge all the same, cover in every way."""
    kept = [] if law.accepted else [(one.gate, one.now) for one in law.changes if one.now is not None]
    covered = {now for gate, now in kept if covers(gate, now)}
    return [gate for gate in law.gates.rules if gate not in covered]


@dataclass(frozen=True, slots=True)
class _Judged:
    """A gate with its answer, what its own rule found, and the gates in it."""

    gate: Gate
    answer: Answer
    found: tuple[Found, ...] = ()
    members: tuple[_Judged, ...] = ()

    @property
    def every(self) -> Iterator[Found]:
        """What each rule found, those of groups too, but for those that a group which holds does not need."""
        yield from self.found
        for member in self.members:
            if self.answer is not Answer.PASS or member.answer is Answer.PASS:
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
    return Table("gates", "Gates", COLUMNS, tuple(row for one in judged for row in _rows(one)))


def _rows(one: _Judged) -> Iterator[Row]:
    """The rows of a gate. Only that of a group counts, its members just say why; the marks keep them behind it."""
    level = one.gate.level
    if isinstance(one.gate, Rule):
        yield from (_row(found, _mark(found, level), one.gate.name) for found in one.found)
        return
    doubtful = any(found.judgement.doubtful for found in one.every)
    good = Mark.WARN if doubtful else Mark.PASS
    mark = FAILED[level] if one.answer is Answer.FAIL else _open(level) if one.answer is Answer.OPEN else good
    yield _group_row(one, mark, one.gate.name)
    yield from _member_rows(one, Mark.PASS if mark is Mark.PASS else Mark.INFO, one.gate.name, needed=True)


def _member_rows(group: _Judged, mark: Mark, name: str, *, needed: bool) -> Iterator[Row]:
    for one in group.members:
        called = f"{name} › {one.gate.name}"
        due = needed and (group.answer is not Answer.PASS or one.answer is Answer.PASS)
        if isinstance(one.gate, Group):
            yield _group_row(one, mark, called, needed=due)
            yield from _member_rows(one, mark, called, needed=due)
        else:
            yield from (_row(found, mark, called, needed=due, member=True) for found in one.found)


def _group_row(one: _Judged, mark: Mark, name: str, *, needed: bool = True) -> Row:
    assert isinstance(one.gate, Group), "a rule has no members"
    answers = [member.answer for member in one.members]
    unjudged = f"{answers.count(Answer.OPEN)} not judged"
    holding = f"{answers.count(Answer.PASS)} of {len(answers)} hold"
    notes = [] if needed else ["not needed"]
    notes.append(unjudged if one.answer is Answer.OPEN else holding)
    if one.answer is Answer.FAIL and needed:
        enough, way = ("one is enough", "mend one") if one.gate.mode == "any" else ("all must", "mend the rest")
        notes += [enough, ", ".join((way, *_place(one.gate)))]
    return Row((name, None, None, None, one.gate.text, None), mark, "; ".join(notes), one.gate.where)


def _row(found: Found, mark: Mark, name: str, *, needed: bool = True, member: bool = False) -> Row:
    rule, judgement = found.rule, found.judgement
    failing = needed and judgement.answer is Answer.FAIL
    notes = ["" if needed else "not needed", judgement.note, found.note]
    if failing:
        notes += [", ".join((_way(rule, judgement), *([] if member else _place(rule))))]
    called = None if name == found.metric else name  # most rules have no name, and need none
    shortfall = judgement.shortfall if failing else None
    cells = (called, found.metric, judgement.base, judgement.head, rule.text, shortfall)
    return Row(cells, mark, "; ".join(filter(None, notes)), rule.where)


def _place(gate: Gate) -> list[str]:
    """Where the gate can be changed; a gate of another commit has no line here."""
    return [f"or have the gate changed at {gate.where}"] if place_without_line(gate.where) != gate.where else []


def _way(rule: Rule, judgement: Judgement) -> str:
    """What makes a rule hold."""
    if judgement.missing:
        return "write it" if judgement.base is None else "write it again"
    if judgement.shortfall is None:
        return "write a finite number"
    assert isinstance(judgement.head, (int, float)), "only a number falls short"
    if _too_high(rule, judgement):
        return f"lower it to {_target(judgement.head, -judgement.shortfall)} or less"
    return f"raise it to {_target(judgement.head, judgement.shortfall)} or more"


def _target(head: float, change: float) -> str:
    return format_cell(to_float(exact(head) + exact(change)))


def _too_high(rule: Rule, judgement: Judgement) -> bool:
    above = rule.max is not None and isinstance(judgement.head, (int, float)) and judgement.head > rule.max
    return above or (judgement.by_drop and rule.direction == "lower")


def _mark(found: Found, level: Level) -> Mark:
    if found.judgement.answer is Answer.FAIL:
        return FAILED[level]
    if found.judgement.answer is Answer.OPEN:
        return _open(level)
    if found.judgement.doubtful:
        return Mark.WARN
    return Mark.INFO if found.passed_over or found.judgement.missing else Mark.PASS


def _open(level: Level) -> Mark:
    """What was not judged is not silent, whatever the exit code is."""
    return Mark.INFO if level == "info" else Mark.WARN


def _changes_table(law: Law) -> Table:
    mark, note = (Mark.WARN, "accepted") if law.accepted else (Mark.FAIL, "")
    rows = []
    for one in law.changes:
        cells = (one.gate.name, one.words, one.gate.text, one.now.text if one.now else None)
        rows.append(Row(cells, mark, note, one.now.where if one.now else place_without_line(one.gate.where)))
    return Table("gate_changes", "Gates that this change loosens", ("gate", "change", "before", "after"), tuple(rows))


def _law_notes(law: Law) -> Iterator[str]:
    if not law.changes:
        return
    loosened = f"{count(len(law.changes), 'gate')} {'was' if len(law.changes) == 1 else 'were'} loosened"
    if law.accepted:
        yield f"{loosened}, which is accepted; the head's gates alone judge."
    else:
        yield f"{loosened}: {_HOW}."


def _notes(base: Snapshot | None, judged: Sequence[_Judged], judge: Judge) -> Iterator[str]:
    found = [each for one in judged for each in one.every]
    open_ones = [each for each in found if not each.judgement.judged and not each.incomparable]
    if base is None:
        yield "NO BASE: there is no commit to compare with, so nothing is known about drops."
    for name in judge.unknown():
        yield f"NOT JUDGED: there is no revision {name!r}, so drops since then are not known."
    if open_ones:
        limits = count(len(open_ones), "limit")
        yield f"{limits} on drops NOT JUDGED for want of a base value; absolute limits were judged."
    if any(each.rule.on_missing_base == "fail" for each in open_ones):
        yield "At least one of them has on_missing_base: fail, so without a base there is no pass."
    warning = [one for one in judged if one.gate.level == "warn" and one.answer is Answer.FAIL]
    warned = sum(sum(each.judgement.answer is Answer.FAIL for each in one.found) or 1 for one in warning)
    if warned:
        those = "it" if warned == 1 else "them"
        yield f"{count(warned, 'warning')}: shown, but the verdict does not depend on {those}."
