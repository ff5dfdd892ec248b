"""The way into this layer: the stages of a working tree, what state they are in, and bringing them up to date.

Stage and lock files are read when first asked for, once. Only `reproduce` runs anything from the repository.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from mlgit.errors import InvalidError
from mlgit.fs import atomic
from mlgit.model.lock import StageLock
from mlgit.model.relpath import RelPath
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
    from mlgit.pipeline.events import OnEvent, Outcome
    from mlgit.pipeline.plan import Options, Step


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

        def remembered(stage: Stage, seen: Seen) -> StageLock | None:
            return runcache.lookup(self._workspace.store.backend, stage, seen, self._workspace.has)

        return foresee(
            self.graph,
            self.project.locked,
            self._observer(),
            options,
            has=self._workspace.has,
            remembered=remembered,
        )

    def reproduce(
        self, options: Options, environment: Mapping[str, str], on_event: OnEvent, *, capture: bool = False
    ) -> Outcome:
        """Bring stages up to date: run what changed, restore what ran before, skip the rest.

        Args:
            environment: all variables that the commands get.
            on_event: told what happens as it happens; the last event is the `Outcome`.
            capture: send what commands write to `on_event`; otherwise it goes to mlgit's stderr.

        Raises:
            StageError: a command failed, was killed, or did not write what it declares; it is not recorded.
            LockedError: another process reproduces stages here.
            MlgitError: a dependency or a parameter is missing, or the cache or the disk failed.
        """
        from mlgit.fs.lock import locked
        from mlgit.pipeline.run import Reproduction

        root = self._workspace.root
        with locked(root / ".mlgit/tmp/repro.lock", "repro", wait=0.0):
            run = Reproduction(
                self._workspace,
                self.project,
                self.graph,
                self._observer(),
                environment=environment,
                on_event=on_event,
                capture=capture,
            )
            return run.run(options)

    def add(self, stage: Stage) -> RelPath:
        """Write `stage` into its stage file, after the others there; gives the file.

        Raises:
            UsageError: there is a stage of that name.
            InvalidError: the file cannot be edited, or the stage does not fit to the others.
        """
        from mlgit.model import stagetext

        graphs.build({**self.project.stages, stage.address: stage}, self.project.tracked)
        self._edit(stage.file, stagetext.append(self._text(stage.file), stage))
        return stage.file

    def freeze(self, address: str, frozen: bool) -> RelPath:
        """Freeze or thaw the stage at `address` in its stage file; gives the file."""
        from mlgit.model import stagetext

        stage = self.project.stages[address]
        self._edit(stage.file, stagetext.set_frozen(self._text(stage.file), stage.file, stage.name, frozen))
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
