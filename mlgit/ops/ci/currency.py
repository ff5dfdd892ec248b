"""Whether lock files are current for what Git holds: a commit, or what is staged for the next one.

A stage is called stale only for a reason that a reader of the commit could check. Content that Git keeps in another
form than the disk has it (line ends, filters, folders with files that Git leaves out) is believed when the disk holds
what the lock says and Git sees no difference between disk and index; what cannot be known is believed too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import Final

from mlgit.errors import InvalidError, UnsafeError
from mlgit.model import lock, pointer, stage
from mlgit.model.glob import matches, may_hold
from mlgit.model.lock import StageLock
from mlgit.model.oid import Oid
from mlgit.model.relpath import RelPath
from mlgit.model.report import Mark, Report, Row, Table, Verdict
from mlgit.model.stage import Stage
from mlgit.model.tree import Content
from mlgit.ops.ci.held import Held, Unknown
from mlgit.pipeline.load import Project
from mlgit.pipeline.params import ParamFiles
from mlgit.pipeline.status import Change, Seen, StageStatus, input_changes, output_changes
from mlgit.repo import Repo
from mlgit.work.snapshot import Snapshot

_KEEP: Final = "let a stage write it, or delete it"
_UNSEEN: Final = Content(Oid("blake3:" + "0" * 64), "file", 0)
"""Stands for a dependency that is new to the lock and whose content nobody has looked at."""


class Currency:
    """The stages of one snapshot beside their lock entries.

    Args:
        commit: the commit that `snapshot` shows; None if it shows the index.

    Raises:
        InvalidError, UnsafeError: a stage file or lock is malformed.
    """

    def __init__(self, repo: Repo, snapshot: Snapshot, commit: str | None) -> None:
        self._repo = repo
        self._commit = commit
        self._snapshot = snapshot
        self._params = ParamFiles(snapshot.read)
        self.project: Project = repo.project(snapshot)
        self._held = Held(repo, snapshot, commit, self.project)

    def concerned(self, paths: Collection[RelPath]) -> Iterator[Stage]:
        """The stages that a change of `paths` may have made stale: of their files, locks, inputs, outputs in Git."""
        folders = {path.parent for path in paths if path.name in (stage.NAME, lock.NAME)}
        touched = {RelPath(path.removesuffix(pointer.SUFFIX)) for path in paths}
        for one in self.project.stages.values():
            globs = [path for path in touched if any(may_hold(path, glob) for glob in one.globs)]
            reads = (*one.inputs, *globs, *(out.path for out in one.outs if not out.cache))
            near = (path.within(read) or read.within(path) for read in reads for path in touched)
            templates = self.project.variables.get(one.file, frozenset())
            if one.file.parent in folders or not templates.isdisjoint(paths) or any(near):
                yield one

    def status(self, stage: Stage) -> StageStatus:
        """Why the lock entry of `stage` is not that of what the snapshot holds; no changes if it is.

        Raises:
            InvalidError: a parameter is missing, or its file malformed.
        """
        locked = self.project.locked.get(stage.address)
        recorded = locked or StageLock(stage.cmd)
        made = {ref.file for ref in stage.params if self._held.owner(ref.file) is not None}
        refs = [ref for ref in stage.params if ref.file not in made]
        params = self._params.values(refs, f"stage {stage.address!r}")
        params |= {file: recorded.params.get(file, {}) for file in made}
        matching = (path for glob in stage.globs for path in self._matching(glob, recorded))
        deps = {path: self._present(path, recorded.deps.get(path)) for path in (*stage.deps, *matching)}
        committed = {out.path: recorded.outs.get(out.path) for out in stage.outs if not out.cache}
        outs = {path: self._present(path, content) for path, content in committed.items()}
        always = stage.always_changed and locked is None  # it need not have run before
        changes = (
            *(() if always else _told(input_changes(replace(stage, always_changed=False), locked, Seen(deps, params)))),
            *output_changes(locked, Seen(outs=outs)),
        )
        return StageStatus(stage.address, stage, () if stage.frozen else changes)

    def _matching(self, glob: str, recorded: StageLock) -> Iterator[RelPath]:
        """Files that a dependency given as a pattern stands for, as far as Git, stages and the lock tell."""
        made = (out.path for one in self.project.stages.values() for out in one.outs)
        names = {*self._snapshot.paths(), *made, *self.project.tracked, *recorded.deps}
        yield from sorted(path for path in names if matches(path, glob) and not path.endswith(pointer.SUFFIX))

    def _present(self, path: RelPath, recorded: Content | None) -> Content | None:
        """What `path` holds, or what the lock says where that is as good as known."""
        found = self._held.content(path)
        if isinstance(found, Unknown):
            return recorded or _UNSEEN
        if found is None:
            return recorded if self._repo.git.ignored([path]) else None
        same = recorded is not None and (found.oid == recorded.oid or self._same_on_disk(path, recorded))
        return recorded if same else found

    def _same_on_disk(self, path: RelPath, recorded: Content) -> bool:
        if self._commit is not None or self._held.owner(path) is not None or self._repo.git.differs_from_index(path):
            return False
        try:
            present = self._repo.workspace.identify(path)
        except (InvalidError, UnsafeError):
            return False
        return present is not None and present.oid == recorded.oid


def _told(changes: Iterable[Change]) -> Iterator[Change]:
    """Those that make a lock entry wrong: that a stage runs every time does not."""
    return (one for one in changes if one.kind != "always")


def why(status: StageStatus) -> str:
    """The reasons for which a stage is stale, as a sentence's part."""
    return "; ".join(change.words for change in status.changes)


def _is_spared(repo: Repo, base: Snapshot | None, head: Snapshot, status: StageStatus) -> bool:
    """Whether a stage may be stale: it is frozen, was before, and has the results that it had."""
    now, name = repo.project(head), status.address
    if base is None or not now.stages[name].frozen:
        return now.stages[name].frozen
    before = repo.project(base)
    same = now.locked.get(name) == before.locked.get(name) and not any(one.kind == "out" for one in status.changes)
    return same and name in before.stages and before.stages[name].frozen


def _left(repo: Repo, base: Snapshot | None, head: Snapshot) -> Iterator[tuple[str, RelPath]]:
    """Metrics that a stage of the base wrote and that nothing of the head writes, though they are still there."""
    if base is None:
        return
    made = {out.path for one in repo.project(head).stages.values() for out in one.outs}
    for address, one in repo.project(base).stages.items():
        for out in one.outs:
            gone = out.kind == "metric" and not any(out.path.within(path) for path in made)
            if gone and repo.read(out.path, head) is not None:
                yield address, out.path


def stale_stages(
    repo: Repo, base: Snapshot | None, head: Snapshot, *, allowed: bool = False, dropped: Collection[str] = ()
) -> Report:
    """The stages of a commit or of the working tree that are stale; kind `stale`, columns stage and why.

    It fails if one is: what such a stage wrote is not what the commit's code and data give. A frozen stage may be, but
    not if it is this change that freezes it, or that puts other results under it.

    Args:
        base: tells which stages were frozen before; None if there is nothing to compare with.
        allowed: only warn.
        dropped: stages whose metrics are written by hand from now on, as this change says.

    Raises:
        InvalidError, UnsafeError: a stage file, lock or parameter file is malformed.
    """
    if head.rev is None:
        found: Iterable[StageStatus] = repo.pipeline.status()
    else:
        currency = Currency(repo, head, head.rev)
        found = [currency.status(replace(one, frozen=False)) for one in currency.project.stages.values()]
    stale = [one for one in found if any(_told(one.changes)) and not _is_spared(repo, base, head, one)]
    mark = Mark.WARN if allowed else Mark.FAIL
    mend = "run `mlgit repro` and commit what it writes"
    rows = [Row((one.address, why(one)), mark, mend, f"{one.stage.file}:{one.stage.line}") for one in stale]
    left = [one for one in _left(repo, base, head) if one[0] not in dropped]
    rows += [Row((address, f"is gone, and {path} that it wrote is not"), mark, _KEEP) for address, path in left]
    table = Table("stale", "Stale stages", ("stage", "why"), tuple(rows), empty="no stage is stale")
    verdict = Verdict.FAIL if rows and not allowed else Verdict.NONE
    return Report("stale", "Stages", (table,), verdict, head=head.name)
