"""What stands at the outputs of a stage: kept before it is replaced, cleared before a run, saved or put in place after.

An output that somebody changed by hand is saved into the cache before anything overwrites it, so nothing is lost.
"""

from __future__ import annotations

import bisect
import functools
import os
from collections.abc import Iterable, Mapping

from mlgit.errors import InvalidError, StageError
from mlgit.fs.confine import Folder
from mlgit.model.relpath import RelPath
from mlgit.model.stage import Stage
from mlgit.model.tree import Content
from mlgit.pipeline.scratch import OWN
from mlgit.pipeline.status import Seen
from mlgit.work.workspace import Workspace


class Outputs:
    """The outputs of all stages of one run.

    Attributes:
        ignored: the `.gitignore` files that were changed.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.ignored: dict[RelPath, None] = {}

    def refuse_committed(self, stage: Stage) -> None:
        """A cached output that Git has too would be kept twice, and be deleted from under Git before each run.

        Raises:
            InvalidError: there is one.
        """
        for out in stage.outs:
            if out.cache and _holds(self._in_git, out.path):
                raise InvalidError(
                    f"{stage.file}:{stage.line}: stages.{stage.name}: the output {str(out.path)!r} is tracked by Git",
                    hint=f"take it out of Git: git rm -r --cached {out.path}; or set `cache: false` on it",
                )

    @functools.cached_property
    def _in_git(self) -> list[str]:
        return sorted(self._workspace.git.tracked_files())

    def clear(self, stage: Stage, seen: Seen) -> None:
        """Remove what the stage will write anew, and make the folders it will write into."""
        self._preserve(seen, {})
        for out in stage.outs:
            if not out.persist:
                self._workspace.remove(out.path)
            if not (self._workspace.root / out.path.parent).is_dir():
                Folder.beneath(self._workspace.root, out.path.parent.parts, create=True).close()

    def place(self, stage: Stage, outs: Mapping[RelPath, Content], seen: Seen) -> None:
        """Put outputs that are in the cache where the stage would have written them."""
        self._preserve(seen, outs)
        for path, content in outs.items():
            links = None if path in _linkable(stage) else OWN
            self._workspace.apply(self._workspace.plan_checkout(path, content), path, links=links)
        self._ignore(stage)

    def collect(self, stage: Stage) -> dict[RelPath, Content]:
        """Save what the stage wrote in the working tree.

        Raises:
            StageError: an output is not there.
        """
        there = [out.path for out in stage.outs if os.path.lexists(self._workspace.root / out.path)]
        check_complete(stage, there)
        outs = self._workspace.save(there) if there else {}
        for path in _linkable(stage):
            self._workspace.relink(path, outs[path])
        self._ignore(stage)
        return outs

    def _preserve(self, seen: Seen, wanted: Mapping[RelPath, Content]) -> None:
        """Save outputs that somebody changed by hand before they are replaced."""
        lost = [
            path
            for path, content in seen.outs.items()
            if content is not None
            and content != wanted.get(path)
            and os.path.lexists(self._workspace.root / path)
            and not self._workspace.has(content)
        ]
        if lost:
            self._workspace.save(lost)

    def _ignore(self, stage: Stage) -> None:
        changed = self._workspace.ignore_in_git([out.path for out in stage.outs if out.cache])
        self.ignored.update(dict.fromkeys(changed))


def check_complete(stage: Stage, written: Iterable[RelPath]) -> None:
    """Refuse a run that left out an output.

    Raises:
        StageError: naming it.
    """
    there = set(written)
    for out in stage.outs:
        if out.path not in there:
            raise StageError(
                f"stage {stage.address!r} did not write the output it declares: {out.path}",
                hint=f"make the command write it, or take it out of {stage.file}",
            )


def _linkable(stage: Stage) -> list[RelPath]:
    """Outputs that may become read-only links into the cache: neither Git's nor the next run's to write into."""
    return [out.path for out in stage.outs if out.cache and not out.persist]


def _holds(files: list[str], path: RelPath) -> bool:
    """Whether the sorted `files` have `path`, or a file below it."""
    starts = (bisect.bisect_left(files, path), bisect.bisect_left(files, f"{path}/"))
    return any(at < len(files) and RelPath(files[at]).within(path) for at in starts)
