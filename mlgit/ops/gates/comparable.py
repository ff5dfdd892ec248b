"""Whether a metric of two sides may be compared: computed from the same evaluation data, in the same way.

A metric is evidence about a model only if everything but the model is the same. For the stage that writes a metrics
file, that is all it reads except models: data, code, its parameters and its command; and the parameters of the stages
that its data come from, such as those of a split. Which files they are is said by `fixed:` on the metric; without it
all dependencies but models count, and only where the stage reads a model: one that trains and evaluates at once reads
nothing that could be told from training data. What is compared is what the lock says the metric was computed from.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mlgit.model.lock import StageLock
from mlgit.model.modelkind import is_model
from mlgit.model.relpath import RelPath
from mlgit.model.report import Mark, Report, Row, Table
from mlgit.model.stage import Out, Stage
from mlgit.ops.compare.difference import declared_types, type_of
from mlgit.ops.compare.stages import leaves
from mlgit.ops.compare.tables import is_image, is_table
from mlgit.store.hashing import hash_bytes
from mlgit.work.difference import entry_of
from mlgit.work.outputs import owner

if TYPE_CHECKING:
    from mlgit.pipeline.load import Project
    from mlgit.repo import Repo
    from mlgit.work.snapshot import Snapshot

DATA: Final = "evaluation data"
FILE: Final = "file it is computed with"
PARAM: Final = "parameter"
COMMAND: Final = "command"
_NOTHING: Final = "none"
_SHORT: Final = 19  # `blake3:` and twelve digits


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that the two sides of a metric do not have in common.

    Attributes:
        file: the metrics file.
        kind: one of the four above.
        what: the path, or `file:key` of a parameter.
        base: what the base has, in words; None for nothing.
        head: likewise.
        accepted: the head acknowledges it.
    """

    file: RelPath
    kind: str
    what: str
    base: str | None
    head: str | None
    accepted: bool = False


def differences(repo: Repo, base: Snapshot, head: Snapshot, acknowledged: Mapping[str, str]) -> list[Difference]:
    """What stands in the way of comparing the metrics files that stages of both sides write.

    Args:
        acknowledged: what changed on purpose, each with what it is now: a parameter's value, or the first characters of
            an id.

    Raises:
        InvalidError, UnsafeError: a stage file, lock or pointer is malformed.
    """
    sides = [_Side(repo, snapshot) for snapshot in (base, head)]
    found = []
    for path in sides[0].metrics:
        if path in sides[1].metrics:
            found += list(_of_metric(path, acknowledged, *sides))
    return found


class _Side:
    """One side's stages, and what their metrics were computed from."""

    def __init__(self, repo: Repo, snapshot: Snapshot) -> None:
        self._repo = repo
        self._snapshot = snapshot
        self.project: Project = repo.project(snapshot)
        self.types = declared_types(self.project)
        stages = self.project.stages.values()
        self.metrics = {out.path: (stage, out) for stage in stages for out in stage.outs if out.kind == "metric"}
        self._makers = {out.path: stage for stage in stages for out in stage.outs}

    def locked(self, stage: Stage) -> StageLock:
        return self.project.locked.get(stage.address) or StageLock(stage.cmd)

    def paths(self, stage: Stage, out: Out) -> set[RelPath] | None:
        """What must be the same, as this side says; None if it says nothing."""
        if out.fixed is not None:
            return set(out.fixed)
        deps = set(self.locked(stage).deps)
        own = {path for path in deps if not is_model(path, type_of(path, self.types))}
        return own if own != deps else None

    def content(self, stage: Stage, path: RelPath) -> str | None:
        """The id of what the metric was computed from at `path`."""
        recorded = self.locked(stage).deps.get(path)
        if recorded is not None:
            return str(recorded.oid)
        tracked = self._repo.tracked(self._snapshot)
        holder = owner(path, tracked)
        if holder is None:
            data = self._snapshot.read(path)
            return None if data is None else str(hash_bytes(self._repo.config.hash, data))
        if holder.content is None:
            return None
        entry = entry_of(holder.content, holder.path.name)
        return str(self._repo.workspace.find_entry(holder.path, entry, path).oid)

    def is_data(self, path: RelPath) -> bool:
        tracked = self._repo.tracked(self._snapshot)
        return path in self._makers or is_table(path) or is_image(path) or owner(path, tracked) is not None

    def params(self, stage: Stage, paths: set[RelPath]) -> dict[str, Any]:
        """Parameters of the stage, and of those that its fixed data come from, by `file:key`."""
        from mlgit.pipeline.graph import build

        graph = build(self.project.stages, self.project.tracked)
        makers = {maker for path in paths for maker in graph.makers_of(path)}
        chosen = {stage.address, *graph.reach(makers, up=True)}
        entries = [self.project.locked[address] for address in sorted(chosen) if address in self.project.locked]
        files = [each for entry in entries for each in entry.params.items()]
        return {f"{file}:{key}": value for file, values in files for key, value in leaves(values, file)}


def _of_metric(path: RelPath, acknowledged: Mapping[str, str], base: _Side, head: _Side) -> Iterator[Difference]:
    (first, out), (last, now) = base.metrics[path], head.metrics[path]
    said = [paths for paths in (base.paths(first, out), head.paths(last, now)) if paths is not None]
    if not said or not base.locked(first).outs or not head.locked(last).outs:
        return
    paths = set().union(*said)
    for one in sorted(paths):
        old, new = base.content(first, one), head.content(last, one)
        if old != new:
            kind = DATA if head.is_data(one) or base.is_data(one) else FILE
            yield Difference(path, kind, one, old, new, _accepted(acknowledged.get(one), new))
    before, after = base.params(first, paths), head.params(last, paths)
    for key in sorted(before.keys() | after.keys()):
        values = _text(before, key), _text(after, key)
        if values[0] != values[1]:
            yield Difference(path, PARAM, key, *values, _accepted(acknowledged.get(key), values[1]))
    commands = [
        cmd if isinstance(cmd, str) else shlex.join(cmd) for cmd in (base.locked(first).cmd, head.locked(last).cmd)
    ]
    if commands[0] != commands[1]:
        accepted = _accepted(acknowledged.get(last.address), commands[1])
        yield Difference(path, COMMAND, last.address, commands[0], commands[1], accepted)


def _accepted(known: str | None, head: str | None) -> bool:
    """Whether what is acknowledged is what the head has: a value, or enough of an id."""
    if known is None:
        return False
    return known == (head or _NOTHING) or (len(known) >= _SHORT and (head or "").startswith(known))


def _text(values: Mapping[str, Any], key: str) -> str | None:
    value = values.get(key)
    return None if key not in values else value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def report(found: list[Difference], base: Snapshot, head: Snapshot) -> Report:
    """What differs, as a table, with the lines to paste where it changed on purpose; no verdict of its own."""
    rows = tuple(_row(one) for one in found)
    columns = ("metrics", "kind", "what", "base", "head")
    table = Table("comparability", "Comparability", columns, rows, "evaluated in the same way on both sides")
    notes = tuple(_notes(found))
    return Report("comparability", "Comparability", (table,), base=base.name, head=head.name, notes=notes)


def _row(one: Difference) -> Row:
    note = "acknowledged" if one.accepted else "not comparable"
    cells = (str(one.file), one.kind, one.what, _short(one.base), _short(one.head))
    return Row(cells, Mark.INFO if one.accepted else Mark.WARN, note)


def _notes(found: list[Difference]) -> Iterator[str]:
    open_ones = {one.what: one for one in found if not one.accepted}
    if open_ones:
        listed = ", ".join(
            f"{_quoted(what)}: {_quoted(_short(one.head) or _NOTHING)}" for what, one in open_ones.items()
        )
        yield (
            "NOT COMPARABLE: the metric was not computed in the same way on both sides, so drops are not judged. "
            "Compare with a base that was evaluated in the same way; or, if it changed on purpose, say so in the same "
            f"commit, in mlgit.yaml: gates: {{acknowledge: {{{listed}}}, rules: […]}}"
        )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _short(text: str | None) -> str | None:
    return text[:_SHORT] if text is not None and text.startswith(("blake3:", "sha256:")) else text
