"""One snapshot with all that lineage reads of it, each file once."""

from __future__ import annotations

from functools import cached_property

from mlgit.model.pointer import Pointer
from mlgit.model.relpath import RelPath
from mlgit.pipeline.load import Project
from mlgit.repo import Repo
from mlgit.work.outputs import Tracked, pointer_path, read_pointers
from mlgit.work.snapshot import Snapshot


class Place:
    """A commit or the working tree of `repo`."""

    def __init__(self, repo: Repo, snapshot: Snapshot) -> None:
        self.repo = repo
        self.snapshot = snapshot

    @cached_property
    def project(self) -> Project:
        """The stages and what their locks say."""
        return self.repo.project(self.snapshot)

    @cached_property
    def pointers(self) -> dict[RelPath, Pointer]:
        """The pointers by what they track."""
        return read_pointers(self.snapshot)

    @cached_property
    def tracked(self) -> dict[RelPath, Tracked]:
        """All that pointers track and all outputs of stages, those in Git too."""
        found = {path: Tracked(path, one.content, pointer_path(path)) for path, one in self.pointers.items()}
        for address, stage in self.project.stages.items():
            entry = self.project.locked.get(address)
            for out in stage.outs:
                content = entry.outs.get(out.path) if entry else None
                found[out.path] = Tracked(out.path, content, stage.file, address)
        return found
