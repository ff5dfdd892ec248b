"""Which stages a change made anew, and from what else: lock entries of two sides beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from mlgit.model.lock import StageLock
from mlgit.model.metric import flatten
from mlgit.model.report import Mark, Report, Row, Table

if TYPE_CHECKING:
    from mlgit.repo import Repo
    from mlgit.work.snapshot import Snapshot

COLUMNS: Final = ("stage", "changed_inputs", "changed_outs")
_NAMES: Final = 5


def stages_changes(repo: Repo, base: Snapshot, head: Snapshot) -> Report:
    """Stages whose lock entry differs: a report of kind `stages` with the table `stages`, columns `COLUMNS`.

    Raises:
        InvalidError, UnsafeError: a stage file or lock of either side is malformed.
    """
    old, new = repo.project(base).locked, repo.project(head).locked
    addresses = [*new, *(one for one in old if one not in new)]
    rows = tuple(row for one in addresses for row in _row(one, old.get(one), new.get(one)))
    table = Table("stages", "Stages", COLUMNS, rows, "no stage ran anew")
    return Report("stages", "Stages", (table,), base=base.name, head=head.name)


def _row(address: str, old: StageLock | None, new: StageLock | None) -> Iterator[Row]:
    if old == new:
        return
    if old is None or new is None:
        mark = Mark.ADDED if old is None else Mark.REMOVED
        yield Row((address, None, _listed(sorted((old or new or StageLock("")).outs))), mark)
    else:
        yield Row((address, _listed(list(_inputs(old, new))), _listed(_unlike(old.outs, new.outs))), Mark.CHANGED)


def _inputs(old: StageLock, new: StageLock) -> Iterator[str]:
    if (old.cmd, old.wdir) != (new.cmd, new.wdir):
        yield "command"
    yield from _unlike(old.deps, new.deps)
    yield from (f"{file}:{key}" for file, keys in _params(old, new).items() for key in keys)
    yield from (f"${name}" for name in _unlike(old.env, new.env))


def _params(old: StageLock, new: StageLock) -> dict[str, list[str]]:
    files = sorted({*old.params, *new.params})
    sides = ({file: dict(leaves(side.params.get(file, {}), file)) for file in files} for side in (old, new))
    before, after = sides
    return {file: _unlike(before[file], after[file]) for file in files}


def leaves(params: Mapping[str, Any], file: str) -> Iterator[tuple[str, Any]]:
    """Recorded parameters of `file` down to single values, so that what changed is named exactly."""
    for key, value in params.items():
        for below, leaf in flatten(value, file).items() if value else {"": value}.items():
            yield key + ("." if below and not below.startswith("[") else "") + below, leaf


def _unlike(old: Mapping[Any, Any], new: Mapping[Any, Any]) -> list[str]:
    return [str(key) for key in sorted({*old, *new}) if (key in old) != (key in new) or old.get(key) != new.get(key)]


def _listed(names: list[str]) -> str | None:
    rest = [f"{len(names) - _NAMES} more"] if len(names) > _NAMES else []
    return ", ".join([*names[:_NAMES], *rest]) or None
