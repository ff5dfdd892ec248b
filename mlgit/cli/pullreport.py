"""The report on a pull request, put together: what it does to all that mlgit knows of, and whether it may merge."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mlgit.errors import (
    AuthError,
    InvalidError,
    MissingError,
    MlgitError,
    NotEvaluableError,
    RemoteError,
    UnsafeError,
    UsageError,
)
from mlgit.model.report import Mark, Report, Row, Table, Verdict
from mlgit.model.secret import redact

if TYPE_CHECKING:
    from mlgit.cli.sides import Base
    from mlgit.model.gate import Rule
    from mlgit.ops.compare.plots import Figure
    from mlgit.ops.gates.rules import Law
    from mlgit.repo import Repo
    from mlgit.work.snapshot import Snapshot

TITLE: Final = "mlgit"
_PLACE: Final = re.compile(r"([^\s:]+:[1-9][0-9]*): ")


@dataclass(frozen=True, slots=True)
class Comparison:
    """The report, and the plots that go with it on a page.

    Attributes:
        error: why there is no answer, unless that is an answer itself.
    """

    report: Report
    figures: tuple[Figure, ...] = ()
    error: MlgitError | None = None

    @property
    def exit_code(self) -> int:
        """That of the error, or of the report."""
        return self.report.exit_code if self.error is None else self.error.code


def compare(repo: Repo, base: Base, head: Snapshot, *, accept: bool, allow_stale: bool) -> Comparison:
    """Judge `head`, and compare it with `base` as far as there is one.

    Args:
        accept: a maintainer agrees that the head loosens gates, moves remotes, and mends a base that cannot be read.
        allow_stale: stages whose lock is not current only warn.

    Raises:
        NotEvaluableError: the gates of the base stand in another mlgit root.
        MlgitError: a file of either side is malformed, or a metrics file is nowhere to be had.
    """
    from mlgit.model.gate import leaves
    from mlgit.ops.ci.currency import stale_stages
    from mlgit.ops.ci.outgoing import unpublished
    from mlgit.ops.ci.report import merge
    from mlgit.ops.ci.roots import check_kept
    from mlgit.ops.compare.values import metrics_show
    from mlgit.ops.gates.comparable import NOTHING
    from mlgit.ops.gates.rules import find_law

    notes = _unreadable(repo, base) if accept else ()
    start, tip = (None, None) if notes else (base.side, base.tip)
    if start is not None and start.rev is not None and not accept:
        check_kept(repo.git, start.rev, head.rev or repo.git.resolve("HEAD"))
    asking = repo if accept or start is None else repo.with_remotes_of(start)
    law = find_law(repo, start, head, accept=accept, tip=tip)
    dropped = [what for what, now in law.gates.acknowledged.items() if now == NOTHING]
    stale = stale_stages(asking, start, head, allowed=allow_stale, dropped=dropped)
    parts = [_gate(asking, start, head, law), stale]
    if asking is not repo:
        parts.append(_moved_remotes(asking, repo, head))
    if head.rev is not None:
        parts.append(unpublished(asking, start, head))
    figures: tuple[Figure, ...] = ()
    if start is None:
        parts.append(metrics_show(asking, [head]))
    else:
        found, figures = _differences(asking, start, head, list(leaves(law.gates.rules)), _incomparable(parts[0]))
        parts += found
    whole = merge([_telling(part) for part in parts], kind="ci", title=_title(repo))
    failing_first = sorted(whole.tables, key=lambda table: all(row.mark is not Mark.FAIL for row in table.rows))
    whole = dataclasses.replace(whole, tables=tuple(failing_first), notes=(*notes, *whole.notes))
    return Comparison(_placed(repo, whole), figures)


def named_by_pull(found: Comparison, commit: str) -> Comparison:
    """The comparison with its head called by the pull request's own commit, not by the host's trial merge of it.

    Args:
        commit: empty if it is not known.
    """
    head = f"{commit[:7]}, merged" if commit else found.report.head
    return dataclasses.replace(found, report=dataclasses.replace(found.report, head=head))


def _unreadable(repo: Repo, base: Base) -> tuple[str, ...]:
    """Why nothing can be compared with the base; empty if it can be read."""
    from mlgit.ops.gates.rules import load_gates

    try:
        for side in (base.side, base.tip):
            if side is not None:
                load_gates(repo, side)
    except (InvalidError, UnsafeError) as error:
        return (f"THE BASE CANNOT BE READ, so nothing is compared with it: {error.message}",)
    return ()


def _moved_remotes(asking: Repo, repo: Repo, head: Snapshot) -> Report:
    """Remotes that this change adds or moves: they are not asked, since whoever writes the change would choose them."""
    old, new = asking.config.remotes, repo.config.remotes
    changed = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    urls = [[redact(side[name].url) if name in side else None for side in (old, new)] for name in changed]
    rows = tuple(Row((name, *pair), Mark.WARN) for name, pair in zip(changed, urls, strict=True))
    notes = ("REMOTES MOVED: they were asked where the base has them; a maintainer accepts it as a looser gate.",)
    table = Table("remotes", "Remotes that this change moves", ("remote", "base", "head"), rows)
    return Report("remotes", "Remotes", (table,), head=head.name, notes=notes if rows else ())


def broken(repo: Repo, error: MlgitError, base: str | None, head: str | None) -> Comparison:
    """That there is no answer, as a report; it names the file and line if the error does."""
    place = _PLACE.match(error.message)
    said = error.message + (f"; hint: {error.hint}" if error.hint else "")
    row = Row((place[1] if place else None,), Mark.FAIL, said, place[1] if place else "")
    table = Table("error", "Error", ("place",), (row,))
    verdict = Verdict.NOT_EVALUABLE if isinstance(error, NotEvaluableError) else Verdict.ERROR
    report = _placed(repo, Report("ci", _title(repo), (table,), verdict, base, head))
    return Comparison(report, error=None if verdict is Verdict.NOT_EVALUABLE else error)


def _title(repo: Repo) -> str:
    """One Git repository may hold several mlgit roots, each with a report of its own."""
    return f"{TITLE}: {repo.git.prefix.rstrip('/')}" if repo.git.prefix else TITLE


def _placed(repo: Repo, report: Report) -> Report:
    """Files that rows name as seen from Git's top folder, where code hosts look for them."""
    prefix = repo.git.prefix

    def moved(row: Row) -> Row:
        return dataclasses.replace(row, where=f"{prefix}{row.where}") if row.where else row

    tables = (dataclasses.replace(table, rows=tuple(map(moved, table.rows))) for table in report.tables)
    return dataclasses.replace(report, tables=tuple(tables)) if prefix else report


def _gate(repo: Repo, base: Snapshot | None, head: Snapshot, law: Law) -> Report:
    from mlgit.ops.gates.evaluate import evaluate

    if law.gates.rules or law.changes:
        return evaluate(repo, base, head, law)
    nothing = "No gates are configured, so nothing is judged. Rules stand under `gates:` in mlgit.yaml."
    return Report("gate", "Gate", (), base=base.name if base else None, head=head.name, notes=(nothing,))


def _differences(
    repo: Repo, base: Snapshot, head: Snapshot, rules: Sequence[Rule], incomparable: Collection[str]
) -> tuple[list[Report], tuple[Figure, ...]]:
    from mlgit.ops.compare.code import code_changes
    from mlgit.ops.compare.data import data_changes
    from mlgit.ops.compare.difference import find_differences
    from mlgit.ops.compare.models import models_changes
    from mlgit.ops.compare.plots import plots_diff
    from mlgit.ops.compare.stages import stages_changes
    from mlgit.ops.compare.values import metrics_diff, params_diff

    _bring_lists(repo, base, head)
    found = find_differences(repo, base, head)
    drawing = plots_diff(repo, base, head)
    parts = [
        metrics_diff(repo, base, head, rules=rules, incomparable=incomparable),
        params_diff(repo, base, head),
        data_changes(repo, base, head, found),
        models_changes(repo, base, head, found),
        stages_changes(repo, base, head),
        code_changes(repo, base, head, found),
        drawing.report,
    ]
    return parts, drawing.figures


def _bring_lists(repo: Repo, base: Snapshot, head: Snapshot) -> None:
    """Fetch what says which files changed folders hold; where that cannot be had, the report says so."""
    from mlgit.work.sync import Remotes, bring_lists

    sides, remotes = (repo.tracked(base), repo.tracked(head)), Remotes(repo.workspace)
    changed = [path for path in sides[0].keys() & sides[1].keys() if sides[0][path].content != sides[1][path].content]
    for one in (side[path] for path in sorted(changed) for side in sides):
        if one.content is not None and one.content.type == "tree" and not repo.workspace.has(one.content):
            with contextlib.suppress(UsageError, MissingError, RemoteError, AuthError):
                bring_lists(repo.workspace, [one.content], remotes.open(one.remote))


def _incomparable(gate: Report) -> set[str]:
    """The metrics files that the gate's report calls not comparable."""
    tables = [table for table in gate.tables if table.name == "comparability"]
    return {str(row.cells[0]) for table in tables for row in table.rows if row.mark is not Mark.INFO}


def _telling(part: Report) -> Report:
    """Without tables that have nothing to say: a report on one change should fit on a screen."""
    tables = tuple(table for table in part.tables if table.rows or table.name == "metrics")
    return dataclasses.replace(part, tables=tables)
