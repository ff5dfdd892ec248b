"""Tracked data that is not on disk: what it should hold, and getting it where a stage needs it.

This is what `repro --pull` works with: a stage that nothing changed for is skipped although neither its inputs nor its
outputs are there, and only what a stage that must run reads is downloaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping

from mlgit.errors import AuthError, MissingError, RemoteError
from mlgit.model.glob import matches, may_hold
from mlgit.model.lock import StageLock
from mlgit.model.relpath import RelPath
from mlgit.model.tree import Content
from mlgit.pipeline.graph import Graph
from mlgit.work import sync
from mlgit.work.outputs import Target, Tracked, owner
from mlgit.work.workspace import Workspace


class Absent:
    """What pointers and locks say about paths that are not there.

    Args:
        pointers: tracked paths that no stage makes.
        locked: the lock entries as they are now, by address.
        remote: where to get data from; None for the default remote.
        remotes: opens each remote once.
    """

    def __init__(
        self,
        workspace: Workspace,
        graph: Graph,
        pointers: dict[RelPath, Tracked],
        locked: Callable[[str], StageLock | None],
        remote: str | None,
        remotes: sync.Remotes,
    ) -> None:
        self._workspace = workspace
        self._graph = graph
        self._pointers = pointers
        self._locked = locked
        self._remote = remote
        self._remotes = remotes

    def content(self, path: RelPath) -> Content | None:
        """What the absent `path` should hold; None if nobody knows, or a stage has yet to make it.

        Raises:
            MlgitError: a folder that it is in has to be looked up in the remote, which failed.
        """
        target = self._target(path)
        return None if target is None else sync.resolve(self._workspace, target, self._remote, self._remotes)

    def matching(self, pattern: str) -> Iterator[RelPath]:
        """The files that match `pattern` and are not on disk."""
        for path in (*self._pointers, *self._graph.makers):
            if may_hold(path, pattern) and not os.path.lexists(self._workspace.root / path):
                target = self._target(path)
                if target is not None:
                    names = sync.files(self._workspace, target.tracked, self._remote, self._remotes)
                    yield from (name for name in names if matches(name, pattern))

    def bring(self, contents: Mapping[RelPath, Content]) -> None:
        """Get those of `contents` that are not on disk, from the cache or the remote, and put them there.

        Raises:
            MissingError: one of them is in neither.
            MlgitError: the remote or the disk failed.
        """
        gone = {path: one for path, one in contents.items() if not os.path.lexists(self._workspace.root / path)}
        targets = [target for target in map(self._target, gone) if target is not None]
        self.fetch(targets)
        for target in targets:
            tracked = target.tracked
            with self._workspace.writing("repro"):
                self._workspace.checkout(tracked.path, tracked.content, below=target.below)

    def obtain(self, content: Content) -> bool:
        """Whether `content` is in the cache now, from the remote if need be."""
        if self._workspace.has(content):
            return True
        anonymous = Tracked(RelPath("content"), content, RelPath("content"))
        try:
            self.fetch([Target(anonymous)])
        except (AuthError, MissingError, RemoteError):
            return False
        return True

    def fetch(self, targets: Iterable[Target]) -> None:
        """Bring into the cache what it lacks of `targets`."""
        lacking = sync.missing(self._workspace, targets)
        if lacking:
            with self._workspace.using_cache("repro"):
                sync.fetch(self._workspace, lacking, self._remote, remotes=self._remotes)

    def _target(self, path: RelPath) -> Target | None:
        found = owner(path, self._pointers) or self._made(path)
        if found is None or found.content is None:
            return None
        return Target(found, None if found.path == path else path)

    def _made(self, path: RelPath) -> Tracked | None:
        """The output of a stage that is `path` or holds it."""
        for address in self._graph.makers_of(path):
            stage = self._graph.stages[address]
            out = next((one for one in stage.outs if path.within(one.path)), None)
            entry = self._locked(address)
            content = entry.outs.get(out.path) if out is not None and out.cache and entry is not None else None
            if out is not None and content is not None and (out.push or self._workspace.has(content)):
                return Tracked(out.path, content, stage.file, address, remote=out.remote)
        return None
