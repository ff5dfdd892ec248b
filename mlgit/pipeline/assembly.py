"""Puts together what running stages takes: executor, capacity, logs, environment, remotes; then lets them run.

Only one process runs stages in a working tree at a time.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlgit.errors import UsageError
from mlgit.fs.confine import Folder
from mlgit.fs.lock import locked
from mlgit.pipeline import scratch
from mlgit.pipeline.attempt import Setting
from mlgit.pipeline.events import OnEvent, Outcome
from mlgit.pipeline.executors.local import LocalExecutor
from mlgit.pipeline.graph import Graph
from mlgit.pipeline.known import Known
from mlgit.pipeline.load import Project
from mlgit.pipeline.locks import Locks
from mlgit.pipeline.logs import Logs
from mlgit.pipeline.machine import capacity
from mlgit.pipeline.observe import Observer
from mlgit.pipeline.plan import Options
from mlgit.pipeline.run import Reproduction
from mlgit.pipeline.schedule import Capacity
from mlgit.pipeline.task import Executor
from mlgit.work.snapshot import Snapshot
from mlgit.work.workspace import Workspace

if TYPE_CHECKING:
    from mlgit.model.runrecord import Environment
    from mlgit.pipeline.rerun import Rerun
    from mlgit.pipeline.runshare import RemoteRuns


@dataclass(frozen=True)
class Assembly:
    """One pipeline of a working tree, ready to run.

    Attributes:
        environment: the variables of mlgit's own process.
        on_event: told what happens as it happens, on the thread of the caller.
    """

    workspace: Workspace
    snapshot: Snapshot
    project: Project
    graph: Graph
    environment: Mapping[str, str]
    on_event: OnEvent

    def reproduce(self, options: Options) -> Outcome:
        """As `Pipeline.reproduce`."""
        if options.trace:
            _need_strace()
        locks, remote_runs = Locks(self.workspace.root, self.project), None
        setting = replace(self._setting(), hermetic=options.hermetic, trace=options.trace)
        if options.pull or options.executor == "ray":
            setting, remote_runs = self._with_remotes(setting, options, locks)
        with self._alone("repro"), self._executor(options) as executor:
            locks.prune()
            run = Reproduction(
                self.workspace,
                self.graph,
                Observer(self.workspace, self.snapshot, self.graph, setting.absent),
                locks,
                options,
                setting=setting,
                executor=executor,
                capacity=self._capacity(options),
                remote_runs=remote_runs,
                on_event=self.on_event,
            )
            return run.run()

    def rerun(self, addresses: Iterable[str], jobs: int) -> Iterator[Rerun]:
        """As `Pipeline.rerun`."""
        from mlgit.pipeline.rerun import Rerunning

        stages = [self.graph.stages[address] for address in self.graph.sort(addresses)]
        with self._alone("verify"), LocalExecutor() as executor:
            run = Rerunning(
                self.workspace,
                Observer(self.workspace, self.snapshot, self.graph),
                setting=replace(self._setting(), hermetic=True),
                executor=executor,
                capacity=capacity(jobs, self.environment),
                on_event=self.on_event,
            )
            yield from run.run((stage, self.project.locked.get(stage.address)) for stage in stages)

    def _setting(self) -> Setting:
        def today() -> Environment:
            from mlgit.pipeline import surroundings

            return surroundings.current(self.environment.get("PATH", ""), self.workspace.scratch)

        return Setting(
            environment=self.environment,
            logs=Logs(self.workspace.root),
            known=Known(self.workspace, (*self.graph.makers, *self.project.tracked)),
            surroundings=functools.cache(today),
        )

    def _executor(self, options: Options) -> Executor:
        if options.executor == "local":
            return LocalExecutor()
        from mlgit.pipeline.executors.ray import RayExecutor

        return RayExecutor(self.workspace, self.workspace.config.pick(options.remote), options.address)

    def _capacity(self, options: Options) -> Capacity:
        if options.executor == "local":
            return capacity(options.jobs, self.environment)
        return Capacity(options.jobs, 0.0, 0, [])  # a cluster shares out its own resources

    def _with_remotes(self, setting: Setting, options: Options, locks: Locks) -> tuple[Setting, RemoteRuns | None]:
        """The setting of a run that takes data from a remote, and the runs that the remote knows."""
        from mlgit.pipeline.absent import Absent
        from mlgit.pipeline.runshare import RemoteRuns
        from mlgit.work import sync
        from mlgit.work.outputs import Tracked, pointer_path, read_pointers

        remote, remotes = options.remote, sync.Remotes(self.workspace)
        if options.executor == "ray":
            setting = replace(
                setting, bring=lambda contents: sync.bring(self.workspace, contents, remotes.open(remote))
            )
        if not options.pull:
            return setting, None
        pointers = {
            path: Tracked(path, one.content, pointer_path(path), remote=one.remote)
            for path, one in read_pointers(self.snapshot).items()
        }
        absent = Absent(self.workspace, self.graph, pointers, locks.current.get, remote, remotes)
        return replace(setting, absent=absent), RemoteRuns(self.workspace, remote, remotes)

    @contextlib.contextmanager
    def _alone(self, purpose: str) -> Iterator[None]:
        """Keep others from running stages here; scratch folders that a killed run left behind go.

        Raises:
            LockedError: another process runs stages here.
        """
        folder = self.workspace.scratch
        with locked(folder / "repro.lock", purpose, wait=0.0):
            with Folder.beneath(folder) as opened:
                for left in [entry.name for entry in opened.scan() if entry.name.startswith(scratch.PREFIX)]:
                    opened.sweep(left)
            yield


def _need_strace() -> None:
    from mlgit.pipeline import trace

    if not trace.available():
        raise UsageError("--trace needs strace, which is not here or may not trace", hint="apt install strace")
