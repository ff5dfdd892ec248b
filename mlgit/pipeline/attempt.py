"""One run of one stage's command: where it runs, what it gets, and what comes of it.

In the working tree, the outputs are cleared before the command starts and saved when it has ended. A hermetic stage
runs in a scratch folder and a stage on another machine in one there: the working tree is then only touched when the
command has ended well.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Final

from mlgit.errors import InvalidError, MissingError, StageError
from mlgit.model.relpath import RelPath
from mlgit.model.runrecord import Environment
from mlgit.model.stage import Stage
from mlgit.model.tree import Content
from mlgit.pipeline import environment, scratch
from mlgit.pipeline.known import Known
from mlgit.pipeline.logs import Logs
from mlgit.pipeline.observe import Observer
from mlgit.pipeline.outputs import Outputs, check_complete, refusing
from mlgit.pipeline.status import Seen
from mlgit.pipeline.task import Result, Task
from mlgit.work.workspace import Workspace

if TYPE_CHECKING:
    from mlgit.pipeline.absent import Absent
    from mlgit.pipeline.undeclared import Finding

_NOT_FOUND: Final = 127


@dataclass(frozen=True)
class Setting:
    """What the commands of one run have in common.

    Attributes:
        environment: the variables of mlgit's own process.
        known: which files matter if they are touched without being declared.
        surroundings: gives what commands run with today, apart from what stages declare.
        hermetic: every stage runs as if it said `hermetic: true`.
        trace: tell which files commands touch without declaring them.
        absent: gets inputs that are not on disk; None if they must be there.
        bring: gets outputs that a command elsewhere has put into the remote.
    """

    environment: Mapping[str, str]
    logs: Logs
    known: Known
    surroundings: Callable[[], Environment]
    hermetic: bool = False
    trace: bool = False
    absent: Absent | None = None
    bring: Callable[[Iterable[Content]], None] | None = None


class Attempt:
    """The run of one stage; used with `with` once it has ended.

    Attributes:
        deps: what it depends on, all of it there.
        number: counts from 1, one more for every retry.
        devices: the GPUs it has been given.
        started: when, as run records have it.
        warnings: what a person should hear of, once it has ended.

    Raises:
        MissingError: a dependency is not there.
    """

    def __init__(
        self,
        workspace: Workspace,
        setting: Setting,
        outputs: Outputs,
        observer: Observer,
        stage: Stage,
        seen: Seen,
        *,
        apart: bool,
    ) -> None:
        self._workspace = workspace
        self._setting = setting
        self._outputs = outputs
        self._observer = observer
        self._apart = apart
        self._hermetic = stage.hermetic or setting.hermetic
        self._tree: Workspace | None = None
        self._trace: Path | None = None
        self._leftovers = contextlib.ExitStack()
        self._inputs: dict[RelPath, Content] = {}
        self.stage = stage
        self.seen = seen
        self.deps = _complete(stage, seen)
        self.number = 1
        self.devices: list[str] = []
        self.warnings: list[str] = []
        self._moved: dict[RelPath, None] = {}

    @property
    def _isolated(self) -> bool:
        """Whether the command gets copies of its inputs, which nobody else changes."""
        return self._apart or self._hermetic

    def moved(self) -> list[RelPath]:
        """The inputs that were no longer what was seen when they were copied, or are not now that it has ended."""
        return [*self._moved] if self._isolated else self._observer.moved(self.stage, self.seen)

    def prepare(self, devices: list[str]) -> Task:
        """Make everything ready for the command to start.

        Raises:
            InvalidError: there is no such folder to run in, or an output is tracked by Git.
            MlgitError: the cache or the disk failed.
        """
        self.devices, self.started = devices, _now()
        root = self._place()
        self._trace = self._traced()
        self._log: IO[bytes] = self._leftovers.enter_context(self._setting.logs.open(self.stage.address))
        return Task(
            address=self.stage.address,
            cmd=self.stage.cmd,
            root=root,
            wdir=self.stage.wdir,
            environment=environment.variables(self.stage, {} if self._apart else self._setting.environment, devices),
            resources=self.stage.resources,
            timeout=self.stage.timeout,
            inputs=self._inputs,
            outs=tuple(out.path for out in self.stage.outs),
            trace=self._trace,
        )

    def note(self, data: bytes) -> None:
        """Put what the command writes into its log; called from any thread.

        If the disk refuses, the command goes on without a log: unread, it would wait for ever.
        """
        with contextlib.suppress(ValueError):  # closed: the attempt is over
            try:
                self._log.write(data)
            except OSError as error:
                self._log.close()
                self.warnings.append(f"its log is not complete: {error.strerror}")

    def _place(self) -> Path:
        """The working tree that the command is to see."""
        stage, workspace = self.stage, self._workspace
        self._outputs.refuse_committed(stage)
        if not self._isolated:
            if not (workspace.root / stage.wdir).is_dir():
                raise InvalidError(
                    f"{stage.file}:{stage.line}: stages.{stage.name}.wdir: no such folder: {stage.wdir}",
                    hint=f"make it: mkdir -p {stage.wdir}",
                )
            if self._setting.absent is not None:
                self._setting.absent.bring(self.deps)
            with workspace.writing("repro"):
                self._outputs.clear(stage)
            return workspace.root
        self._inputs = self._saved_inputs()
        self._moved |= dict.fromkeys(self._observer.moved(stage, self.seen))
        if self._apart:
            return workspace.root
        self._tree = self._leftovers.enter_context(workspace.elsewhere(scratch.PREFIX))
        with workspace.using_cache("repro"):
            scratch.fill(self._tree, self._inputs, (out.path for out in stage.outs), stage.wdir)
        scratch.copy_modes(self._tree.root, workspace.root, self._inputs)
        return self._tree.root

    def _traced(self) -> Path | None:
        """Where strace is to write, if the command is to be watched."""
        if self._tree is None and not self._setting.trace:
            return None
        from mlgit.pipeline import trace

        if self._tree is not None:
            return self._tree.control / "trace" if trace.available() else None
        folder = tempfile.TemporaryDirectory(prefix=scratch.PREFIX, dir=self._workspace.scratch)
        return Path(self._leftovers.enter_context(folder)) / "trace"

    def _saved_inputs(self) -> dict[RelPath, Content]:
        """All that the stage may read, in the cache."""
        kept = [out.path for out in self.stage.outs if out.persist and self.seen.outs[out.path] is not None]
        paths = dict.fromkeys((*self.deps, *self.seen.params, *kept))
        absent = [path for path in paths if not os.path.lexists(self._workspace.root / path)]
        wanted = {path: content for path, content in {**self.seen.outs, **self.deps}.items() if content is not None}
        for path in absent:
            content = wanted.get(path)
            if content is None or self._setting.absent is None or not self._setting.absent.obtain(content):
                raise _gone(self.stage, path)
        with self._workspace.writing("repro"):
            saved = self._workspace.save([path for path in paths if path not in absent])
        return saved | {path: wanted[path] for path in absent}

    def will_retry(self, result: Result) -> bool:
        """Whether the stage is to be tried again after a command that ended like this."""
        if result.error is not None and not isinstance(result.error, StageError):
            return False  # not the command failed but what was to run it
        return self.number <= self.stage.retries and self.problem(result) is not None

    def problem(self, result: Result) -> StageError | None:
        """What is wrong with how the command ended; None if nothing is."""
        if result.error is not None and not isinstance(result.error, StageError):
            raise result.error
        if result.error is not None:
            return result.error
        if result.timed_out:
            how = f"was ended after {self.stage.timeout:g} s, its timeout"
        elif result.status < 0:
            how = f"was killed by signal {-result.status}"
        else:
            how = f"failed with exit status {result.status}"
        if result.status == _NOT_FOUND and isinstance(self.stage.cmd, tuple) and " " in self.stage.cmd[0]:
            return StageError(
                f"stage {self.stage.address!r} {how}: no program is called {self.stage.cmd[0]!r:.60}",
                hint="a list is one program and its arguments; several commands are one text: `cmd: |` and a line each",
            )
        if result.status == 0 and not result.timed_out:
            return None
        return StageError(
            f"stage {self.stage.address!r} {how}: {self.stage.command}",
            hint=f"mend the command or its inputs, then run `mlgit repro {self.stage.address}` again; "
            f"all that it wrote is in {self._setting.logs.path(self.stage.address)}",
        )

    def _judge_touched(self, result: Result) -> None:
        """Warn of what the command touched without declaring it; in a scratch folder, refuse.

        Raises:
            StageError: a hermetic command read what it does not declare.
        """
        if self._tree is None and self._trace is None:
            return
        from mlgit.pipeline import touched

        stage, root, known = self.stage, self._workspace.root, self._setting.known
        if self._tree is not None:
            problem = self.problem(result)
            log = self._trace if self._trace is not None and self._trace.exists() else None
            if log is None and self._trace is not None and problem is None:
                raise self._blind()
            failed = result.status != 0 and not result.timed_out
            tail = self._setting.logs.tail(stage.address) if failed else b""
            missed = touched.missed(stage, root, self._tree.root, known, log, tail)
            if missed:
                raise self._missed(missed, problem)
        elif self._trace is not None:
            self.warnings += touched.told(stage, root, known, self._trace)

    def _blind(self) -> StageError:
        return StageError(
            f"stage {self.stage.address!r} removed the trace of the files it touched",
            hint="its command must leave alone what lies outside of the folder it runs in",
        )

    def _missed(self, missed: list[Finding], problem: StageError | None) -> StageError:
        first, *more = missed
        others = f" (and {len(more)} more: {', '.join(one.path for one in more[:5])})" if more else ""
        start = f"{problem.message}; it" if problem is not None else f"stage {self.stage.address!r}"
        return StageError(f"{start} {first.words}{others}", hint=first.hint)

    def bring(self, result: Result) -> None:
        """Get into the cache what a command elsewhere has put into the remote.

        Raises:
            MlgitError: the remote failed.
        """
        if self._setting.bring is not None and result.outs:
            with self._workspace.using_cache("repro"):
                self._setting.bring(result.outs.values())

    def outcome(self, result: Result) -> dict[RelPath, Content]:
        """What the command made, saved in the cache and in its place in the working tree.

        Raises:
            StageError: the command failed, or left out an output.
            MlgitError: the cache, the remote or the disk failed.
        """
        if self._tree is None and not self._apart:
            self._judge_touched(result)
            self._raise(result)
            return self._outputs.collect(self.stage)
        outs = self.made(result)
        self._outputs.place(self.stage, outs)
        return outs

    def made(self, result: Result) -> dict[RelPath, Content]:
        """What the command made where it ran apart from the working tree, saved in the cache.

        Raises:
            StageError: the command failed, or left out an output.
            MlgitError: the cache, the remote or the disk failed.
        """
        self._judge_touched(result)
        self._raise(result)
        paths = [out.path for out in self.stage.outs]
        with refusing(self.stage):
            outs = scratch.collect(self._tree, paths) if self._tree is not None else dict(result.outs or {})
        check_complete(self.stage, outs)
        if self._tree is not None:
            strays = sorted(scratch.strays(self._tree, self._inputs, paths))
            self.warnings += [f"it wrote {path}, which is no output of it: not kept" for path in strays]
        return outs

    def _raise(self, result: Result) -> None:
        problem = self.problem(result)
        if problem is not None:
            raise problem

    def close(self) -> None:
        """Let go of the log and of the scratch folder."""
        self._leftovers.close()
        self._tree = None

    def __enter__(self) -> Attempt:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _complete(stage: Stage, seen: Seen) -> dict[RelPath, Content]:
    """The dependencies, all of which must be there for a run."""
    for path, content in seen.deps.items():
        if content is None:
            raise _gone(stage, path)
    return {path: content for path, content in seen.deps.items() if content is not None}


def _gone(stage: Stage, path: RelPath) -> MissingError:
    return MissingError(
        f"stage {stage.address!r} needs {path}, which is not there",
        hint=f"get it with `mlgit pull {path.quoted}`, or make it; then run `mlgit repro` again",
    )


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
