"""Puts together what running stages takes: executor, capacity, logs, environment, remotes; then lets them run.

Only one process runs stages in a working tree at a time.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from mlgit.errors import UsageError
from mlgit.fs.confine import Folder
from mlgit.fs.lock import locked
from mlgit.model.tree import Content
from mlgit.pipeline import scratch, surroundings, trace
from mlgit.pipeline.absent import Absent
from mlgit.pipeline.attempt import Setting
from mlgit.pipeline.events import OnEvent, Outcome
from mlgit.pipeline.executors.local import LocalExecutor
from mlgit.pipeline.graph import Graph
from mlgit.pipeline.load import Project
from mlgit.pipeline.locks import Locks
from mlgit.pipeline.logs import Logs
from mlgit.pipeline.machine import capacity
from mlgit.pipeline.observe import Observer
from mlgit.pipeline.plan import Options
from mlgit.pipeline.rerun import Rerun, Rerunning
from mlgit.pipeline.run import Reproduction
from mlgit.pipeline.runshare import RemoteRuns
from mlgit.pipeline.schedule import Capacity
from mlgit.pipeline.task import Executor
from mlgit.pipeline.touched import Known
from mlgit.work import sync
from mlgit.work.outputs import Tracked, pointer_path, read_pointers
from mlgit.work.snapshot import Snapshot
from mlgit.work.workspace import Workspace


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
        if options.trace and not trace.available():
            raise UsageError("--trace needs strace, which is not here or may not trace", hint="apt install strace")
        locks = Locks(self.workspace.root, self.project)
        remotes = sync.Remotes(self.workspace)
        absent = self._absent(locks, options.remote, remotes) if options.pull else None
        setting = replace(self._setting(), hermetic=options.hermetic, trace=options.trace, absent=absent)
        if options.executor == "ray":
            setting = replace(setting, bring=self._bring(options.remote, remotes))
        with self._alone("repro"), self._executor(options) as executor:
            locks.prune()
            run = Reproduction(
                self.workspace,
                self.graph,
                Observer(self.workspace, self.snapshot, self.graph, absent),
                locks,
                options,
                setting=setting,
                executor=executor,
                capacity=self._capacity(options),
                remote_runs=RemoteRuns(self.workspace, options.remote, remotes) if options.pull else None,
                on_event=self.on_event,
            )
            return run.run()

    def rerun(self, addresses: Iterable[str], jobs: int) -> Iterator[Rerun]:
        """As `Pipeline.rerun`."""
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
        search = self.environment.get("PATH", "")
        return Setting(
            environment=self.environment,
            logs=Logs(self.workspace.root),
            known=Known(self.workspace, (*self.graph.makers, *self.project.tracked)),
            surroundings=functools.cache(lambda: surroundings.current(search, self.workspace.scratch)),
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

    def _absent(self, locks: Locks, remote: str | None, remotes: sync.Remotes) -> Absent:
        pointers = {
            path: Tracked(path, one.content, pointer_path(path), remote=one.remote)
            for path, one in read_pointers(self.snapshot).items()
        }
        return Absent(self.workspace, self.graph, pointers, locks.current.get, remote, remotes)

    def _bring(self, remote: str | None, remotes: sync.Remotes) -> Callable[[Iterable[Content]], None]:
        """Gets outputs from the remote that a cluster has put them into."""
        return lambda contents: sync.bring(self.workspace, contents, remotes.open(remote))

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
