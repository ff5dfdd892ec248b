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
NOTHING: Final = "none"
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


def differences(
    repo: Repo, base: Snapshot, head: Snapshot, acknowledged: Mapping[str, str], files: tuple[RelPath, RelPath]
) -> list[Difference]:
    """What stands in the way of comparing the metrics in a file of the base with those in a file of the head.

    A file that a stage of the base writes and none of the head, or one that never ran, is nobody's word.

    Args:
        acknowledged: what changed on purpose, each with what it is now: a parameter's value, or the first characters of
            an id.
        files: of the base and of the head; the same unless the metrics moved.

    Raises:
        InvalidError, UnsafeError: a stage file, lock or pointer is malformed.
    """
    older, newer = (_Side(repo, snapshot) for snapshot in (base, head))
    first, last = older.made(files[0]), newer.made(files[1])
    if first is None or not older.locked(first[0]).outs:
        return []
    if last is not None and newer.locked(last[0]).outs:
        return list(_of_metric(files[1], acknowledged, older, newer, first, last))
    accepted = _accepted(acknowledged.get(first[0].address), None)
    return [Difference(files[1], COMMAND, first[0].address, _command(older.locked(first[0])), None, accepted)]


class _Side:
    """One side's stages, and what their metrics were computed from."""

    def __init__(self, repo: Repo, snapshot: Snapshot) -> None:
        self._repo = repo
        self._snapshot = snapshot
        self.project: Project = repo.project(snapshot)
        self.types = declared_types(self.project)
        stages = self.project.stages.values()
        self._makers = {out.path: (stage, out) for stage in stages for out in stage.outs}

    def made(self, path: RelPath) -> tuple[Stage, Out] | None:
        """The stage that writes `path`, a folder that holds it, or a file in it; as a metric or as anything else."""
        near = (found for out, found in self._makers.items() if path.within(out) or out.within(path))
        return next(near, None)

    def locked(self, stage: Stage) -> StageLock:
        return self.project.locked.get(stage.address) or StageLock(stage.cmd)

    def paths(self, stage: Stage, out: Out) -> set[RelPath] | None:
        """What must be the same, as this side says; None if it says nothing."""
        if out.fixed is not None:
            return set(out.fixed)
        deps = set(self.locked(stage).deps)
        own = {path for path in deps if not is_model(path, type_of(path, self.types))}
        return own if own != deps else None

    def content(self, stage: Stage, path: RelPath, *, read: bool) -> str | None:
        """The id of what the metric was computed from at `path`.

        Args:
            read: a side says that its stage reads just that; where this one reads nothing like it, it was not computed
                from it, though the file may be there.
        """
        deps = self.locked(stage).deps
        if path in deps:
            return str(deps[path].oid)
        if read and not any(path.within(one) or one.within(path) for one in deps):
            return None
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


def _of_metric(
    path: RelPath,
    acknowledged: Mapping[str, str],
    base: _Side,
    head: _Side,
    made: tuple[Stage, Out],
    makes: tuple[Stage, Out],
) -> Iterator[Difference]:
    (first, out), (last, now) = made, makes
    said = [paths for paths in (base.paths(first, out), head.paths(last, now)) if paths is not None]
    if not said:
        return
    before, after = base.locked(first), head.locked(last)
    paths = set().union(*said)
    for one in sorted(paths):
        read = one in before.deps or one in after.deps
        old, new = base.content(first, one, read=read), head.content(last, one, read=read)
        if old != new:
            kind = DATA if head.is_data(one) or base.is_data(one) else FILE
            yield Difference(path, kind, one, old, new, _accepted(acknowledged.get(one), new))
    params = base.params(first, paths), head.params(last, paths)
    for key in sorted(params[0].keys() | params[1].keys()):
        values = _text(params[0], key), _text(params[1], key)
        if values[0] != values[1]:
            yield Difference(path, PARAM, key, *values, _accepted(acknowledged.get(key), values[1]))
    commands = _command(before), _command(after)
    if commands[0] != commands[1]:
        yield Difference(path, COMMAND, last.address, *commands, _accepted(acknowledged.get(last.address), commands[1]))


def _command(lock: StageLock) -> str:
    """What was run, with the folder and the variables that it was given."""
    cmd = lock.cmd if isinstance(lock.cmd, str) else shlex.join(lock.cmd)
    words = [f"{name}={shlex.quote(value)}" for name, value in sorted(lock.env.items())]
    return " ".join([*([f"cd {shlex.quote(lock.wdir)} &&"] if lock.wdir else []), *words, cmd])


def _accepted(known: str | None, head: str | None) -> bool:
    """Whether what is acknowledged is what the head has: a value, or enough of an id."""
    if known is None:
        return False
    return known == (head or NOTHING) or (len(known) >= _SHORT and (head or "").startswith(known))


def _text(values: Mapping[str, Any], key: str) -> str | None:
    value = values.get(key)
    return None if key not in values else value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def report(found: list[Difference], base: Snapshot, head: Snapshot, file: str) -> Report:
    """What differs, as a table, with the lines to paste where it changed on purpose; no verdict of its own.

    Args:
        file: the stage file whose gates ask.
    """
    rows = tuple(_row(one) for one in found)
    columns = ("metrics", "kind", "what", "base", "head")
    table = Table("comparability", "Comparability", columns, rows, "evaluated in the same way on both sides")
    notes = tuple(_notes(found, file))
    return Report("comparability", "Comparability", (table,), base=base.name, head=head.name, notes=notes)


def _row(one: Difference) -> Row:
    note = "acknowledged" if one.accepted else "not comparable"
    cells = (str(one.file), one.kind, one.what, _short(one.base), _short(one.head))
    return Row(cells, Mark.INFO if one.accepted else Mark.WARN, note)


def _notes(found: list[Difference], file: str) -> Iterator[str]:
    open_ones = {one.what: one for one in found if not one.accepted}
    if open_ones:
        listed = ", ".join(
            f"{_quoted(what)}: {_quoted(_short(one.head) or NOTHING)}" for what, one in open_ones.items()
        )
        yield (
            "NOT COMPARABLE: the metric was not computed in the same way on both sides, so drops are not judged. "
            "Compare with a base that was evaluated in the same way; or, if it changed on purpose, say so in the same "
            f"commit, in {file}: gates: {{acknowledge: {{{listed}}}, rules: […]}}"
        )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _short(text: str | None) -> str | None:
    return text[:_SHORT] if text is not None and text.startswith(("blake3:", "sha256:")) else text
