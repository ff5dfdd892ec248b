"""What stands at the outputs of a stage: kept before it is replaced, cleared before a run, saved or put in place after.

An output that somebody changed by hand is saved into the cache before anything overwrites it, so nothing is lost.
"""

from __future__ import annotations

import bisect
import contextlib
import functools
import os
from collections.abc import Iterable, Iterator, Mapping

from mlgit.errors import InvalidError, StageError, UnsafeError
from mlgit.fs.confine import Folder
from mlgit.model.relpath import RelPath
from mlgit.model.stage import Stage
from mlgit.model.tree import Content
from mlgit.pipeline.scratch import OWN
from mlgit.work.checkout import CheckoutPlan
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

    def clear(self, stage: Stage) -> None:
        """Remove what the stage will write anew, and make the folders it will write into."""
        for out in stage.outs:
            if os.path.lexists(self._workspace.root / out.path):
                self._preserve(out.path, self._workspace.plan_checkout(out.path, None))
            if not out.persist:
                self._workspace.remove(out.path)
            if not (self._workspace.root / out.path.parent).is_dir():
                Folder.beneath(self._workspace.root, out.path.parent.parts, create=True).close()

    def place(self, stage: Stage, outs: Mapping[RelPath, Content]) -> None:
        """Put outputs that are in the cache where the stage would have written them."""
        for path, content in outs.items():
            plan = self._workspace.plan_checkout(path, content)
            self._preserve(path, plan)
            self._workspace.apply(plan, path, links=None if path in _linkable(stage) else OWN)
        self._ignore(stage)

    def are_away(self, stage: Stage) -> bool:
        """Whether an output of the stage is not on disk."""
        return any(not os.path.lexists(self._workspace.root / out.path) for out in stage.outs)

    def collect(self, stage: Stage) -> dict[RelPath, Content]:
        """Save what the stage wrote in the working tree.

        Raises:
            StageError: an output is not there.
        """
        there = [out.path for out in stage.outs if os.path.lexists(self._workspace.root / out.path)]
        check_complete(stage, there)
        with refusing(stage, f"; then remove what it wrote: rm -r {' '.join(path.quoted for path in there)}"):
            outs = self._workspace.save(there) if there else {}
        for path in _linkable(stage):
            self._workspace.relink(path, outs[path])
        self._ignore(stage)
        return outs

    def _preserve(self, path: RelPath, plan: CheckoutPlan) -> None:
        """Save the output at `path` if `plan` would destroy some of it, and ignored files that would go with it."""
        if plan.lost:
            self._workspace.save(dict.fromkeys((path, *plan.lost)))

    def _ignore(self, stage: Stage) -> None:
        changed = self._workspace.ignore_in_git([out.path for out in stage.outs if out.cache])
        self.ignored.update(dict.fromkeys(changed))


@contextlib.contextmanager
def refusing(stage: Stage, more: str = "") -> Iterator[None]:
    """Name the stage whose output cannot be saved: a link out of it, a pipe, a name that some systems cannot have."""
    try:
        yield
    except (UnsafeError, InvalidError) as error:
        raise type(error)(
            f"stage {stage.address!r} wrote what cannot be saved: {error.message}",
            hint=f"make the command write plain files and folders{more}",
        ) from error


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
