"""Judging a head against a base: which rules hold, which values they are about, and the verdict over all.

The verdict is FAIL if any rule of level `error` is broken; otherwise NOT_EVALUABLE if such a rule with
`on_missing_base: fail` found no base value; otherwise PASS. What could not be judged is always said, never skipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from mlgit.errors import InvalidError, NotEvaluableError, UsageError
from mlgit.model.gate import MISSING, Judgement, Rule, Value, decode_rules, judge
from mlgit.model.metric import Scalar, is_pattern, match_keys
from mlgit.model.relpath import RelPath
from mlgit.model.report import Mark, Report, Row, Table, Verdict, count
from mlgit.ops.compare.files import declared, naming, read_values, stage_files, unique

if TYPE_CHECKING:
    from mlgit.repo import Repo
    from mlgit.work.snapshot import Snapshot

Values = dict[str, Scalar]
Place = tuple[RelPath, str]
COLUMNS: Final = ("gate", "metric", "base", "head", "rule", "shortfall")
_HINT: Final = "add to mlgit.yaml:  gates:  then  - {metric: 'metrics.json:accuracy', direction: higher, min: 0.9}"


def load_rules(repo: Repo, snapshot: Snapshot) -> tuple[Rule, ...]:
    """Every rule in the stage files of one side.

    Raises:
        InvalidError: a rule or a stage file is malformed; the message names file, line and side.
    """
    files = stage_files(repo, snapshot)
    return naming(snapshot, lambda: tuple(rule for file in files for rule in decode_rules(file.gates, file.path)))


def default_base(repo: Repo, head: Snapshot) -> Snapshot | None:
    """What a head is compared with unless told: its merge base with the default branch.

    On the default branch itself that is the last commit for the working tree, and the parent for a commit. None where
    there is no such commit: no commits yet, no known default branch, or a clone too shallow to reach it.
    """
    git = repo.git
    at = head.rev or git.head()
    if at is None:
        return None
    parent = at if head.rev is None else _resolve(repo, f"{at}~1")
    if at == git.head() and git.branch() in ("main", "master"):
        return repo.snapshot(parent) if parent else None
    tip = next((sha for sha in (_resolve(repo, name) for name in git.default_branches()) if sha), None)
    common = git.merge_base(at, tip) if tip else None
    base = parent if common == at else common
    return repo.snapshot(base) if base else None


def _resolve(repo: Repo, rev: str) -> str | None:
    try:
        return repo.git.resolve(rev)
    except UsageError:
        return None


def evaluate(repo: Repo, base: Snapshot | None, head: Snapshot, rules: Sequence[Rule]) -> Report:
    """Judge `head` by `rules`; one row for each rule and metric, columns as in `COLUMNS`.

    Args:
        base: what drops are measured from; None if there is nothing to compare with, which is said in the notes.
        head: the commit or working tree that is judged.

    Raises:
        NotEvaluableError: there are no rules.
        InvalidError: a metrics file is malformed, or a rule's key stands in several files.
    """
    if not rules:
        raise NotEvaluableError(f"{head.name}: no gates are configured", hint=_HINT)
    sides = (_Side(repo, base), _Side(repo, head))
    judged = [(rule, *found) for rule in rules for found in _judge(rule, *sides)]
    rows = tuple(_row(rule, metric, found) for rule, metric, found in judged)
    table = Table("gates", "Gates", COLUMNS, rows)
    verdict = _verdict([(rule, found) for rule, _, found in judged])
    notes = tuple(_notes(base, [(rule, found) for rule, _, found in judged]))
    return Report("gate", "Gate", (table,), verdict, base.name if base else None, head.name, notes)


class _Side:
    """The metrics of one side, each file read once; a side that does not exist has none."""

    def __init__(self, repo: Repo, snapshot: Snapshot | None) -> None:
        self._repo = repo
        self._snapshot = snapshot
        self._read: dict[RelPath, Values] = {}
        self.files = declared(repo, snapshot).metrics if snapshot else ()

    def values(self, path: RelPath) -> Values:
        if path not in self._read:
            found = read_values(self._repo, path, self._snapshot) if self._snapshot else None
            self._read[path] = found or {}
        return self._read[path]

    def value(self, place: Place | None) -> Value:
        return MISSING if place is None else self.values(place[0]).get(place[1], MISSING)

    def holding(self, key: str) -> list[RelPath]:
        return [file for file in self.files if key in self.values(file)]


def _judge(rule: Rule, base: _Side, head: _Side) -> Iterator[tuple[str, Judgement]]:
    """What the rule says of each metric it stands for; of the rule's own text if there is none."""
    if rule.file is None and not is_pattern(rule.key):
        pairs = _bare(rule, base, head)
    else:
        files = [rule.file] if rule.file is not None else unique([*head.files, *base.files])
        pairs = [
            ((file, key), (file, key))
            for file in files
            for key in match_keys(rule.key, {**head.values(file), **base.values(file)})
        ]
    for old, new in pairs:
        file, key = new or old or (None, "")
        metric = f"{file}:{key}" if file is not None and key else file or rule.metric
        yield metric, judge(rule, base.value(old), head.value(new))
    if not pairs:
        yield rule.metric, judge(rule, MISSING, MISSING)


def _bare(rule: Rule, base: _Side, head: _Side) -> list[tuple[Place | None, Place | None]]:
    """Where a key without a file stands on each side: it is the same metric when it moved from file to file."""
    now, before = head.holding(rule.key), base.holding(rule.key)
    if len(now) > 1:
        raise InvalidError(
            f"{rule.where}: metric {rule.key!r} stands in several files: {', '.join(now)}",
            hint=f"name the one you mean: metric: '{now[0]}:{rule.key}'",
        )
    same = [file for file in before if file in now] or (before if len(before) == 1 else [])
    return [((same[0], rule.key) if same else None, (now[0], rule.key) if now else None)]


def _row(rule: Rule, metric: str, found: Judgement) -> Row:
    cells = (rule.name, metric, found.base, found.head, found.rule, found.shortfall)
    return Row(cells, found.mark, found.note)


def _verdict(judged: list[tuple[Rule, Judgement]]) -> Verdict:
    deciding = [(rule, found) for rule, found in judged if rule.level == "error"]
    if any(found.failed for _, found in deciding):
        return Verdict.FAIL
    if any(not found.judged and rule.on_missing_base == "fail" for rule, found in deciding):
        return Verdict.NOT_EVALUABLE
    return Verdict.PASS


def _notes(base: Snapshot | None, judged: list[tuple[Rule, Judgement]]) -> Iterator[str]:
    open_rows = sum(not found.judged for _, found in judged)
    if base is None:
        yield "NO BASE: there is no commit to compare with, so nothing is known about drops."
    if open_rows:
        yield f"{count(open_rows, 'limit')} on drops NOT JUDGED for want of a base value; absolute limits were judged."
    if any(not found.judged and rule.on_missing_base == "fail" for rule, found in judged):
        yield "At least one of them has on_missing_base: fail, so without a base there is no pass."
    warned = sum(found.failed and found.mark is Mark.WARN for _, found in judged)
    if warned:
        yield f"{count(warned, 'warning')}: shown, but the verdict does not depend on them."
