"""The way into this layer: the stages of a working tree, what state they are in, and bringing them up to date.

Stage and lock files are read when first asked for, once. Only `reproduce` and `rerun` run anything from the repository.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlgit.errors import InvalidError
from mlgit.fs import atomic
from mlgit.model.relpath import RelPath
from mlgit.model.runrecord import RunRecord
from mlgit.model.stage import Stage
from mlgit.pipeline import graph as graphs
from mlgit.pipeline import load
from mlgit.pipeline.graph import Graph
from mlgit.pipeline.load import Project
from mlgit.pipeline.observe import Observer
from mlgit.pipeline.status import Seen, StageStatus, input_changes, output_changes
from mlgit.work.snapshot import Snapshot
from mlgit.work.workspace import Workspace

if TYPE_CHECKING:
    from mlgit.pipeline.assembly import Assembly
    from mlgit.pipeline.events import OnEvent, Outcome
    from mlgit.pipeline.plan import Options, Step
    from mlgit.pipeline.rerun import Rerun


class Pipeline:
    """All stages of a repository.

    Args:
        workspace: the working tree they run in.
        snapshot: the working tree's files, as Git knows them.
    """

    def __init__(self, workspace: Workspace, snapshot: Snapshot) -> None:
        self._workspace = workspace
        self._snapshot = snapshot

    @cached_property
    def project(self) -> Project:
        """The stage and lock files, read."""
        return load.load(self._snapshot)

    @cached_property
    def graph(self) -> Graph:
        """The stages in order; raises `InvalidError` for circles and overlapping outputs."""
        return graphs.build(self.project.stages, self.project.tracked)

    def find(self, targets: Iterable[str], folder: RelPath) -> tuple[str, ...]:
        """The addresses that `targets`, as typed in `folder`, mean; raises `UsageError` for one that means none."""
        found = [address for target in targets for address in load.find(self.project, target, folder)]
        return tuple(dict.fromkeys(found))

    def status(self, targets: tuple[str, ...] = ()) -> tuple[StageStatus, ...]:
        """What changed, for every stage or for the `targets`, in the order they would run."""
        observer = self._observer()
        statuses = []
        for address in self.graph.sort(targets or self.graph.order):
            stage, entry = self.graph.stages[address], self.project.locked.get(address)
            seen = observer.look(stage, entry)
            changes = (*input_changes(stage, entry, seen), *output_changes(entry, seen))
            statuses.append(StageStatus(address, stage, changes))
        return tuple(statuses)

    def plan(self, options: Options) -> tuple[Step, ...]:
        """What `reproduce` would do with `options`; nothing is changed."""
        from mlgit.pipeline import runcache
        from mlgit.pipeline.dryrun import foresee

        def remembered(stage: Stage, seen: Seen) -> RunRecord | None:
            return runcache.lookup(self._workspace.store.backend, stage, seen, self._workspace.has)

        return foresee(
            self.graph,
            self.project.locked,
            self._observer(),
            options,
            has=self._workspace.has,
            remembered=remembered,
        )

    def reproduce(self, options: Options, environment: Mapping[str, str], on_event: OnEvent) -> Outcome:
        """Bring stages up to date: run what changed, restore what ran before, skip the rest.

        Args:
            environment: the variables of mlgit's own process.
            on_event: told what happens as it happens, on this thread; the last event is the `Outcome`.

        Raises:
            StageError: a command failed, was killed, or did not write what it declares; it is not recorded.
            LockedError: another process reproduces stages here.
            MlgitError: a dependency or a parameter is missing, or the cache or the disk failed.
        """
        return self._assembly(environment, on_event).reproduce(options)

    def rerun(
        self, targets: tuple[str, ...], environment: Mapping[str, str], on_event: OnEvent, *, jobs: int = 1
    ) -> Iterator[Rerun]:
        """Run stages once more from their recorded inputs, each in a scratch folder; nothing is recorded.

        Args:
            targets: addresses; empty means every stage.

        Raises:
            LockedError: another process runs stages here.
        """
        return self._assembly(environment, on_event).rerun(targets or self.graph.order, jobs)

    def _assembly(self, environment: Mapping[str, str], on_event: OnEvent) -> Assembly:
        from mlgit.pipeline.assembly import Assembly

        return Assembly(self._workspace, self._snapshot, self.project, self.graph, environment, on_event)

    def compose(self, name: str, entry: Mapping[str, Any], file: RelPath) -> Stage:
        """The stage that `entry`, plain values as a stage file has them, would be if it stood in `file`.

        Raises:
            InvalidError, UnsafeError: as decoding a stage file.
        """
        from mlgit.model import stagetext

        return stagetext.compose(self._text(file), name, entry, file, self._snapshot.read)

    def add(self, stage: Stage, entry: Mapping[str, Any] | None = None) -> RelPath:
        """Write `stage` into its stage file, after the others there; gives the file.

        Args:
            entry: how to write it, where that has templates.

        Raises:
            UsageError: there is a stage of that name.
            InvalidError: the file cannot be edited, or the stage does not fit to the others.
        """
        from mlgit.model import stagetext

        graphs.build({**self.project.stages, stage.address: stage}, self.project.tracked)
        self._edit(stage.file, stagetext.append(self._text(stage.file), stage, self._snapshot.read, entry))
        return stage.file

    def freeze(self, address: str, frozen: bool) -> RelPath:
        """Freeze or thaw the stage at `address` in its stage file; gives the file."""
        from mlgit.model import stagetext

        stage = self.project.stages[address]
        text = self._text(stage.file)
        self._edit(stage.file, stagetext.set_frozen(text, stage.file, stage.name, frozen, self._snapshot.read))
        return stage.file

    def _text(self, file: RelPath) -> str:
        data = self._snapshot.read(file) or b""
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise InvalidError(f"{file}: not UTF-8 at byte {error.start}", hint="save the file as UTF-8") from error

    def _edit(self, file: RelPath, text: str) -> None:
        atomic.write_text(self._workspace.root / file, text)
        for name in ("project", "graph"):
            self.__dict__.pop(name, None)

    def _observer(self) -> Observer:
        return Observer(self._workspace, self._snapshot, self.graph)
