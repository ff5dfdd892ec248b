"""Looking at what stages read and wrote.

A path that no stage makes is identified once. One that a stage makes is known for good once that stage is done with;
until then, and inside or around an output, it is looked at each time.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mlgit.errors import InvalidError, MlgitError, UnsafeError
from mlgit.model import pointer
from mlgit.model.glob import matches
from mlgit.model.lock import StageLock
from mlgit.model.relpath import RelPath
from mlgit.model.stage import ParamRef, Stage
from mlgit.model.tree import Content
from mlgit.pipeline.graph import Graph
from mlgit.pipeline.params import ParamFiles
from mlgit.pipeline.status import Seen
from mlgit.store.hashing import hash_bytes
from mlgit.store.objects import LARGE
from mlgit.work.snapshot import Snapshot
from mlgit.work.workspace import Workspace

if TYPE_CHECKING:
    from mlgit.pipeline.absent import Absent


class Observer:
    """What lies in the working tree, as far as stages are concerned.

    Args:
        absent: says what tracked paths hold that are not on disk, so that they need not be there; by default they are
            missing.
    """

    __slots__ = ("_absent", "_graph", "_known", "_param_files", "_params", "_read", "_workspace")

    def __init__(self, workspace: Workspace, snapshot: Snapshot, graph: Graph, absent: Absent | None = None) -> None:
        self._workspace = workspace
        self._absent = absent
        self._graph = graph
        self._read = snapshot.read
        self._params = ParamFiles(snapshot.read)
        self._param_files: dict[RelPath, Content | None] = {}  # what they held when they were read
        self._known: dict[RelPath, Content | None] = {}

    def _matching(self, pattern: str) -> list[RelPath]:
        """The files that a dependency given as a pattern stands for, sorted; itself, which is not there, if none."""
        root = self._workspace.root
        found = glob.iglob(pattern, root_dir=root, recursive=True)
        here = [RelPath.parse(path) for path in found if not path.endswith(pointer.SUFFIX)]
        away = self._absent.matching(pattern) if self._absent is not None else ()
        return sorted({*(path for path in here if not (root / path).is_dir()), *away}) or [RelPath(pattern)]

    def look(self, stage: Stage, locked: StageLock | None, unknown: Collection[str] = ()) -> Seen:
        """The stage's inputs and outputs as they are.

        A parameter file that another stage has yet to make counts as a dependency that is missing.

        Args:
            unknown: inputs, also patterns, that another stage will write, in a dry run; for them the lock is believed.

        Raises:
            InvalidError: a parameter is missing.
        """
        recorded = locked or StageLock(stage.cmd)
        deps = {path: recorded.deps.get(path) if path in unknown else self.content(path) for path in stage.deps}
        for pattern in stage.globs:
            if pattern in unknown:
                deps |= {path: content for path, content in recorded.deps.items() if matches(path, pattern)}
            else:
                deps |= {path: self.content(path) for path in self._matching(pattern)}
        later = {ref.file for ref in stage.params if ref.file in unknown or self._is_unmade(ref.file)}
        deps |= {file: None for file in later if file not in unknown}
        refs = [ref for ref in stage.params if ref.file not in later]
        for ref in refs:
            if ref.file not in self._param_files:
                self._param_files[ref.file] = self._workspace.identify(ref.file)
        params = self._params.values(refs, f"stage {stage.address!r}")
        params |= {file: recorded.params.get(file, {}) for file in later}
        return Seen(deps, params, {out.path: self._made(stage, out.path) for out in stage.outs})

    def _made(self, stage: Stage, path: RelPath) -> Content | None:
        """What an output holds; what can be none, such as a pipe, is for the user to take away: nothing is lost so."""
        try:
            return self.content(path)
        except (UnsafeError, InvalidError) as error:
            home = os.path.realpath(self._workspace.root)
            if os.path.realpath(os.path.join(home, path.parent)) != os.path.join(home, path.parent).rstrip("/"):
                raise  # a link on the way: what lies behind it is not ours
            hint = f"stage {stage.address} makes {path} anew: rm -r {path.quoted}; then run `mlgit repro` again"
            raise type(error)(error.message, hint=hint) from error

    def _is_unmade(self, file: RelPath) -> bool:
        return bool(self._graph.makers_of(file)) and self.content(file) is None

    def content(self, path: RelPath) -> Content | None:
        """What `path` holds."""
        if path in self._known:
            return self._known[path]
        content = self._present(path)
        if content is None and self._absent is not None:
            return self._absent.content(path)
        if not self._graph.makers_of(path):
            self._known[path] = content
        return content

    def _present(self, path: RelPath) -> Content | None:
        """What stands at `path` now."""
        content = self._workspace.identify(path)
        if content is not None and content.type == "file" and content.size < LARGE and not self._graph.makers_of(path):
            return self._as_git_stores_it(path, content)
        return content

    def moved(self, stage: Stage, seen: Seen) -> list[RelPath]:
        """The inputs that no longer are what was `seen`: what a command makes of them meanwhile proves nothing."""
        deps = [path for path, content in seen.deps.items() if self._has_moved(path, content)]
        deps += [path for one in stage.globs for path in self._matching(one) if path not in seen.deps]
        changed = {file for file in seen.params if self._workspace.identify(file) != self._param_files.get(file)}
        refs = [ref for ref in stage.params if ref.file in changed]
        fresh = ParamFiles(self._read)
        return sorted({*deps, *(ref.file for ref in refs if not _reads(fresh, ref, seen.params[ref.file]))})

    def _has_moved(self, path: RelPath, content: Content | None) -> bool:
        present = self._present(path)
        return present != content and (present is not None or self._absent is None)

    def _as_git_stores_it(self, path: RelPath, content: Content) -> Content:
        """The content of a text file that Git checked out with CRLF, hashed with the LF that Git stores."""
        data = self._read(path) or b""
        if b"\r\n" not in data or not self._workspace.git.line_ends(path).startswith("i/lf "):
            return content
        stored = data.replace(b"\r\n", b"\n")
        return Content(hash_bytes(content.oid.algorithm, stored), "file", len(stored))

    def learn(self, outs: Mapping[RelPath, Content]) -> None:
        """Take note of what stands at the outputs of a stage that is done with."""
        self._known.update(outs)

    def forget(self, outs: Iterable[RelPath]) -> None:
        """Look at outputs anew, and at parameters in them: a stage has written them."""
        paths = list(outs)
        for path in paths:
            self._known.pop(path, None)
        for file in [file for file in self._param_files if any(file.within(path) for path in paths)]:
            del self._param_files[file]
        self._params.forget(paths)


def _reads(files: ParamFiles, ref: ParamRef, values: Mapping[str, Any]) -> bool:
    """Whether `ref` still has the `values`."""
    try:
        return dict(files.values([ref], "a stage")[ref.file]) == dict(values)
    except MlgitError:
        return False
