"""`why`: why a stage will run, is skipped, would be restored or stays as it is, and all that bears on it.

What it says comes from the same plan that `repro` follows, so the two cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mlgit.model.lock import canonical, same
from mlgit.model.oid import Oid
from mlgit.model.relpath import RelPath
from mlgit.model.report import Mark, Report, Row, Table
from mlgit.model.runrecord import RunRecord
from mlgit.model.stage import Stage
from mlgit.pipeline.lastrun import last_run
from mlgit.pipeline.plan import Options, Step
from mlgit.pipeline.status import Change
from mlgit.repo import Repo

_SUBJECTS: Final = {"dep": "dependency", "param": "parameter", "out": "output", "env": "variable", "wdir": "folder"}
_MARKS: Final = {"run": Mark.CHANGED, "restore": Mark.INFO, "skip": Mark.SAME, "frozen": Mark.INFO}
_STATES: Final = {"new": Mark.ADDED, "removed": Mark.REMOVED, "missing": Mark.WARN, "modified": Mark.CHANGED}


@dataclass(frozen=True, slots=True)
class Reason:
    """One change that bears on a stage.

    Attributes:
        maker: the stage that makes the path, or the pointer that names it; None if neither.
        maker_acts: what `repro` will do with that stage, in words; empty if it has nothing to do.
    """

    change: Change
    maker: str | None = None
    maker_acts: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """All there is to say of one stage.

    Attributes:
        step: what `repro` will do with it.
        first: the steps upstream that come before it, those that have nothing to do left out.
        downstream: the stages that need it, in the order they run.
        locked: it has a lock entry.
        from_cache: it would be restored from the run cache and not from the lock.
        record: the run that gave the lock entry.
    """

    stage: Stage
    step: Step
    reasons: tuple[Reason, ...]
    first: tuple[Step, ...]
    downstream: tuple[str, ...]
    locked: bool
    from_cache: bool
    record: RunRecord | None


def explain(repo: Repo, addresses: Sequence[str]) -> tuple[Answer, ...]:
    """An answer for each of `addresses`.

    Raises:
        InvalidError: a stage file, a lock or a parameter file is malformed.
    """
    pipeline = repo.pipeline
    steps = {step.address: step for step in pipeline.plan(Options(targets=tuple(addresses)))}
    return tuple(_answer(repo, address, steps) for address in addresses)


def _answer(repo: Repo, address: str, steps: Mapping[str, Step]) -> Answer:
    project, graph = repo.pipeline.project, repo.pipeline.graph
    stage, step, entry = project.stages[address], steps[address], project.locked.get(address)
    busy = [one for one in graph.sort(graph.reach([address], up=True) - {address}) if one in steps]
    return Answer(
        stage=stage,
        step=step,
        reasons=tuple(_reason(repo, change, steps, address) for change in step.changes),
        first=tuple(steps[one] for one in busy if steps[one].action in ("run", "restore")),
        downstream=graph.sort(graph.reach([address], up=False) - {address}),
        locked=entry is not None,
        from_cache=step.action == "restore" and step.entry != entry,
        record=last_run(repo.workspace.store.backend, stage, entry) if entry is not None else None,
    )


def _reason(repo: Repo, change: Change, steps: Mapping[str, Step], address: str) -> Reason:
    if change.kind not in ("dep", "param"):
        return Reason(change)
    path = RelPath(change.subject if change.kind == "dep" else change.subject.partition(":")[0])
    makers = [one for one in sorted(repo.pipeline.graph.makers_of(path)) if one != address]
    if makers:
        acts = [f"{one} {_acts(steps[one])}" for one in makers if one in steps and steps[one].action != "skip"]
        return Reason(change, ", ".join(makers), ", ".join(acts))
    tracked = repo.pipeline.project.tracked
    while path:
        if path in tracked:
            return Reason(change, tracked[path])
        path = path.parent
    return Reason(change)


def _acts(step: Step) -> str:
    words = {"run": "will run" if step.certain else "may run", "restore": "will be restored", "frozen": "is frozen"}
    return words.get(step.action, "is up to date")


def headline(answer: Answer) -> str:
    """What becomes of the stage and why, in one sentence."""
    step, address = answer.step, answer.step.address
    if step.action == "skip":
        return f"{address} is skipped: {step.reason}"
    if step.action == "frozen":
        return f"{address} will not run: {step.reason}; `mlgit unfreeze {address}` lets it"
    if step.action == "restore":
        source = "run cache" if answer.from_cache else "lock and the cache"
        return f"{address} will not run, its outputs come from the {source}: {step.reason}"
    return f"{address} {_acts(step)}: {step.reason}"


def to_text(answers: Iterable[Answer]) -> str:
    """The answers for people, a paragraph each."""
    return "\n".join("".join(f"{line}\n" for line in _lines(answer)) for answer in answers)


def _lines(answer: Answer) -> Iterator[str]:
    alone = len(answer.reasons) == 1
    many = answer.step.action == "run" and len(answer.reasons) > 1
    yield f"{answer.step.address} {_acts(answer.step)}, for {len(answer.reasons)} reasons" if many else headline(answer)
    for reason in answer.reasons:
        if not alone:
            yield f"  {reason.change.words}"
        yield from (f"  {'' if alone else '  '}{line}" for line in _details(reason))
    for step in answer.first:
        yield f"  first, {step.address} {_acts(step)}: {step.reason}"
    if answer.downstream:
        yield f"  downstream: {', '.join(answer.downstream)}"
    if answer.locked:
        yield f"  {_run_line(answer)}"


def _details(reason: Reason) -> Iterator[str]:
    """What the words of a change leave out."""
    change = reason.change
    if change.kind == "command":
        yield f"was: {_one_line(change.old)}"
        yield f"is:  {_one_line(change.new)}"
    elif change.kind == "param" and isinstance(change.old, dict) and isinstance(change.new, dict):
        yield from _leaves(change.subject.rpartition(":")[2], change.old, change.new)
    elif change.kind in ("dep", "out") and (change.old or change.new):
        yield f"{_short(change.old)} → {_short(change.new)}"
    if reason.maker and change.kind in ("dep", "param"):
        is_pointer = reason.maker.endswith(".mlgit")
        acts = f"; {reason.maker_acts}" if reason.maker_acts else ""
        yield f"tracked by {reason.maker}" if is_pointer else f"made by {reason.maker}{acts}"


def _leaves(key: str, old: Any, new: Any) -> Iterator[str]:
    """Where two values of a parameter differ, down to what is no mapping."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            yield from _leaves(f"{key}.{name}", old.get(name), new.get(name))
    elif not same(old, new):
        yield f"{key}: {canonical(old)} → {canonical(new)}"


def _one_line(command: Any) -> str:
    return " ".join((command if isinstance(command, str) else " ".join(command or ())).split())


def _short(oid: Any) -> str:
    return f"{Oid(oid).algorithm}:{Oid(oid).short}" if isinstance(oid, str) else "nothing"


def _run_line(answer: Answer) -> str:
    if answer.record is None:
        return "when and with what it last ran is not known here: the run record is missing"
    return f"last ran {describe_run(answer.record)}"


def describe_run(record: RunRecord) -> str:
    """When, for how long and with what, in one line."""
    environment = record.environment
    parts = [
        f"{record.started[:19].replace('T', ' ')} UTC",
        f"{record.seconds:.1f} s",
        f"Python {environment.python or 'none'}",
        environment.platform,
        f"commit {record.commit[:7]}" if record.commit else "outside any commit",
    ]
    return ", ".join(parts)


def to_report(answers: Sequence[Answer]) -> Report:
    """The answers as a report of kind `why`.

    Tables: `stages` (stage, action, certain, from, why), `changes` (stage, what, name, old, new, maker), `first`
    (stage, comes_first, action, why), `downstream` (stage, needed_by), `runs` (stage, started, seconds, python,
    platform, commit).
    """
    tables = (
        Table("stages", "Stages", ("stage", "action", "certain", "from", "why"), tuple(map(_stage_row, answers))),
        Table("changes", "Changes", ("stage", "what", "name", "old", "new", "maker"), _flat(_change_rows, answers)),
        Table(
            "first",
            "What comes first",
            ("stage", "comes_first", "action", "why"),
            _flat(_first_rows, answers),
            "nothing comes first",
        ),
        Table("downstream", "Downstream", ("stage", "needed_by"), _flat(_downstream_rows, answers), "nothing needs it"),
        Table(
            "runs",
            "Last runs",
            ("stage", "started", "seconds", "python", "platform", "commit"),
            _flat(_run_rows, answers),
            "no run record here",
        ),
    )
    return Report("why", "Why", tables, notes=tuple(map(headline, answers)))


def _flat(rows: Any, answers: Iterable[Answer]) -> tuple[Row, ...]:
    return tuple(row for answer in answers for row in rows(answer))


def _stage_row(answer: Answer) -> Row:
    step = answer.step
    source = None if step.action != "restore" else "run cache" if answer.from_cache else "lock"
    return Row((step.address, step.action, step.certain, source, step.reason), _MARKS[step.action])


def _change_rows(answer: Answer) -> Iterator[Row]:
    for reason in answer.reasons:
        change = reason.change
        old, new = _cell(change, change.old), _cell(change, change.new)
        what = _SUBJECTS.get(change.kind, change.kind)
        cells = (answer.step.address, what, change.subject or None, old, new, reason.maker)
        yield Row(cells, _STATES[change.state], reason.maker_acts)


def _cell(change: Change, value: Any) -> str | int | float | bool | None:
    """A side of a change; a parameter that is a list or a mapping is written as JSON."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    return _one_line(value) if change.kind == "command" else canonical(value)


def _first_rows(answer: Answer) -> Iterator[Row]:
    for step in answer.first:
        yield Row((answer.step.address, step.address, step.action, step.reason), _MARKS[step.action])


def _downstream_rows(answer: Answer) -> Iterator[Row]:
    for address in answer.downstream:
        yield Row((answer.step.address, address))


def _run_rows(answer: Answer) -> Iterator[Row]:
    record = answer.record
    if record is not None:
        environment = record.environment
        cells = (record.started, record.seconds, environment.python, environment.platform, record.commit)
        yield Row((answer.step.address, *cells))
