"""The verdict on determinism: one row for every output of every stage that was run again.

Same is same byte for byte; a tolerance lets numbers deviate. What could not be compared is always said, never skipped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from mlgit.errors import MissingError, MlgitError, NotEvaluableError, StageError
from mlgit.model.relpath import RelPath
from mlgit.model.report import Mark, Report, Row, Table, Verdict, count, ordered
from mlgit.model.stage import Tolerance
from mlgit.ops.verify.finding import Difference, Finding
from mlgit.ops.verify.hints import hint

if TYPE_CHECKING:
    from mlgit.model.tree import Content
    from mlgit.ops.verify.deviation import Deviation
    from mlgit.pipeline.rerun import Rerun
    from mlgit.repo import Repo

COLUMNS: Final = (
    *("stage", "path", "result", "file", "where", "recorded", "new"),
    *("differing", "abs_deviation", "rel_deviation", "tolerance"),
)
SAME: Final = "same"
WITHIN: Final = "within tolerance"
DIFFERS: Final = "differs"
UNKNOWN: Final = "not evaluable"
FAILED: Final = "failed"
_MARKS: Final = {SAME: Mark.SAME, WITHIN: Mark.PASS, DIFFERS: Mark.FAIL, UNKNOWN: Mark.WARN, FAILED: Mark.FAIL}

_NO_ANSWER: Final = (MissingError, NotEvaluableError)
"""Errors of a stage that could not be run from its recorded inputs."""


def verify(repo: Repo, reruns: Iterable[Rerun]) -> tuple[Report, MlgitError | None]:
    """Compare what stages wrote when they were run again with what their lock entries recorded.

    Returns:
        A report of kind `verify`, whose table `outputs` has the columns `COLUMNS`, failing rows first: deviations are
        absolute in the value's own unit, and relative as a fraction of the recorded value. And what to raise once it
        was shown, if a stage failed to run.

    Raises:
        IntegrityError: an object in the cache is damaged.
        InvalidError: a stage file is malformed.
    """
    order = {address: at for at, address in enumerate(repo.pipeline.graph.order)}
    done = sorted(reruns, key=lambda one: order.get(one.address, len(order)))
    found = [pair for one in done for pair in _stage_rows(repo, one)]
    rows = ordered(row for row, _ in found)
    empty = "every output is the same" if rows else "there are no stages to verify"
    table = Table("outputs", "Outputs", COLUMNS, tuple(rows), empty)
    results = Counter(str(row.cells[2]) for row in rows)
    notes = (_summary(results), *dict.fromkeys(text for _, text in found if text)) if rows else ()
    return Report("verify", "Verify", (table,), _verdict(results), notes=notes), _failure(done)


def _verdict(results: Counter[str]) -> Verdict:
    if results[DIFFERS]:
        return Verdict.FAIL
    if results[FAILED] or results[UNKNOWN] or not (results[SAME] or results[WITHIN]):
        return Verdict.NOT_EVALUABLE
    return Verdict.PASS


def _failure(done: list[Rerun]) -> MlgitError | None:
    """What to raise for stages that failed; one that cannot be judged has not."""
    errors = [one.error for one in done if one.error is not None and not isinstance(one.error, _NO_ANSWER)]
    broken = [error for error in errors if not isinstance(error, StageError)]
    if broken or len(errors) < 2:
        return next(iter(broken or errors), None)
    return StageError("\n".join(error.message for error in errors), hint=errors[0].hint)


def _summary(results: Counter[str]) -> str:
    parts = [
        f"{count(results[result], 'output')} {word}"
        for result, word in (
            (DIFFERS, "differs" if results[DIFFERS] == 1 else "differ"),
            (WITHIN, "within tolerance"),
            (SAME, "the same"),
        )
        if results[result]
    ]
    parts += [f"{count(results[FAILED], 'stage')} failed"] if results[FAILED] else []
    parts += [f"{results[UNKNOWN]} not evaluable"] if results[UNKNOWN] else []
    return ", ".join(parts)


def _stage_rows(repo: Repo, one: Rerun) -> Iterator[tuple[Row, str]]:
    """The rows of one stage, each with a hint for the reader, which may be empty."""
    if one.error is not None:
        result = UNKNOWN if isinstance(one.error, _NO_ANSWER) else FAILED
        advice = f"hint: {one.error.hint}" if result is UNKNOWN and one.error.hint else ""
        yield _row(one.address, None, result, note=one.error.message.partition("\n")[0]), advice
        return
    if one.stale or one.locked is None:
        why = "; ".join(change.words for change in one.stale) or "has no entry in the lock"
        yield _row(one.address, None, UNKNOWN, note=why), "hint: bring stages up to date with `mlgit repro` first"
        return
    if not one.locked.outs:
        yield _row(one.address, None, UNKNOWN, note="declares no outputs, so there is nothing to compare"), ""
    stage = repo.pipeline.project.stages.get(one.address)
    tolerances = {out.path: out.tolerance for out in stage.outs} if stage else {}
    for path, recorded in sorted(one.locked.outs.items()):
        new = one.outs.get(path)
        if new is not None and new.oid == recorded.oid and new.type == recorded.type:
            yield _row(one.address, path, SAME), ""
        elif new is None:
            yield _row(one.address, path, DIFFERS, note="the command did not write it"), ""
        else:
            yield _output_row(repo, one.address, path, (recorded, new), tolerances.get(path))


def _output_row(
    repo: Repo, address: str, path: RelPath, sides: tuple[Content, Content], tolerance: Tolerance | None
) -> tuple[Row, str]:
    """The row of an output whose bytes differ, and a hint."""
    from mlgit.ops.verify.deviation import deviations

    try:
        found = deviations(repo, path, *sides, tolerance)
    except MissingError:
        note = "the recorded list of files is not in the cache; get it with `mlgit pull`"
        return _row(address, path, UNKNOWN if tolerance else DIFFERS, note=note), ""
    worst = min(found, key=lambda one: (one.finding.within, one.finding.known))
    finding = worst.finding
    result = WITHIN if finding.within else DIFFERS if finding.known else UNKNOWN
    advice = hint(finding) if result is DIFFERS else ""
    row = _row(
        address,
        path,
        result,
        file=str(worst.path.relative(path)) if worst.path != path else None,
        finding=finding,
        largest=_largest(found),
        tolerance=tolerance,
        note="; ".join(filter(None, (_files(found), finding.note))),
    )
    return row, f"hint: {worst.path} {advice}" if advice else ""


def _largest(found: list[Deviation]) -> tuple[float | None, float | None]:
    """The largest deviations over all files of an output."""
    absolute = [one.finding.absolute for one in found if one.finding.absolute is not None]
    relative = [one.finding.relative for one in found if one.finding.relative is not None]
    return max(absolute, default=None), max(relative, default=None)


def _files(found: list[Deviation]) -> str:
    return f"{count(len(found), 'file')} differ" if len(found) > 1 else ""


def _row(
    address: str,
    path: RelPath | None,
    result: str,
    *,
    file: str | None = None,
    finding: Finding | None = None,
    largest: tuple[float | None, float | None] = (None, None),
    tolerance: Tolerance | None = None,
    note: str = "",
) -> Row:
    finding = finding or Finding()
    first = finding.first or Difference("", "", "")
    sides = (first.where or None, first.recorded or None, first.new or None)
    bound = " or ".join(f"{name} {value:g}" for name, value in _limits(tolerance)) or None
    cells = (address, path, result, file, *sides, finding.differing or None, *largest, bound)
    return Row(cells, _MARKS[result], note)


def _limits(tolerance: Tolerance | None) -> list[tuple[str, float]]:
    """The bounds of a tolerance; without one nothing is shown."""
    if tolerance is None:
        return []
    return [pair for pair in (("abs", tolerance.abs), ("rel", tolerance.rel)) if pair[1]] or [("abs", 0.0)]
