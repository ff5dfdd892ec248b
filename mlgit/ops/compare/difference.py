"""What differs between two sides: tracked outputs, file by file, and files of Git, each called data, model or code.

The reports on data, models and code are three views of this one value, so that a change stands in exactly one of them.
Equal folders are never opened, nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from mlgit.errors import InvalidError, UnsafeError
from mlgit.model import lock, pointer
from mlgit.model.modelkind import is_model
from mlgit.model.relpath import RelPath
from mlgit.model.stage import DEFAULT_PARAMS, StageFile
from mlgit.ops.compare.outputs import OutputChange, output_changes
from mlgit.ops.compare.tables import is_table
from mlgit.work.gitdiff import GitChange, git_changes

if TYPE_CHECKING:
    from mlgit.pipeline.load import Project
    from mlgit.repo import Repo
    from mlgit.work.snapshot import Snapshot

Role = Literal["data", "model", "code"]
_SILENT: Final = (pointer.SUFFIX, ".md", ".rst")
_OWN: Final = (lock.NAME, ".gitignore")


@dataclass(frozen=True, slots=True)
class Differences:
    """All that differs between two sides, but for parameters, metrics and plots.

    Attributes:
        roles: files of Git by path, as far as one of the three reports is about them.
        types: what is declared of paths: `type` of an output or artifact.
        base: the stages of the older side.
        head: those of the newer side.
    """

    outputs: tuple[OutputChange, ...]
    files: tuple[GitChange, ...]
    roles: dict[str, Role]
    types: dict[RelPath, str]
    base: Project
    head: Project

    def is_model(self, path: RelPath) -> bool:
        """Whether `path` is a model, or a part of one."""
        return is_model(path, type_of(path, self.types))

    def git(self, role: Role) -> list[GitChange]:
        """The files of Git that have this role."""
        return [one for one in self.files if self.roles.get(one.path) == role]


def find_differences(repo: Repo, base: Snapshot, head: Snapshot) -> Differences:
    """Everything that differs from the commit `base` to `head`.

    Raises:
        InvalidError, UnsafeError: a pointer, stage file or lock of either side is malformed.
    """
    assert base.rev is not None, "the older side is a commit"
    projects = [repo.project(side) for side in (base, head)]
    files = tuple(git_changes(repo.git, base.rev, head.rev))
    types = declared_types(projects[0]) | declared_types(projects[1])
    values = {path for project in projects for file in project.files.values() for path in _values(file)}
    inputs = {path for project in projects for stage in project.stages.values() for path in stage.deps}
    roles = {one.path: role for one in files if (role := _role(one.path, values, inputs, types))}
    outputs = tuple(one for one in output_changes(repo, base, head) if one.path not in values)
    return Differences(outputs, files, roles, types, *projects)


def declared_types(project: Project) -> dict[RelPath, str]:
    """What stage files say that paths are, such as `model` or `dataset`: outputs' types, then artifacts'."""
    found = {out.path: out.type for stage in project.stages.values() for out in stage.outs}
    found |= {one.path: one.type for file in project.files.values() for one in file.artifacts if one.type is not None}
    return {path: kind for path, kind in found.items() if kind is not None}


def type_of(path: RelPath, types: dict[RelPath, str]) -> str | None:
    """The type that is declared of `path`, or of the nearest folder it lies in."""
    while path:
        if path in types:
            return types[path]
        path = path.parent
    return None


def _values(file: StageFile) -> Iterator[RelPath]:
    """Parameters, metrics and plots that a stage file names; they have reports of their own."""
    yield file.path.parent.child(DEFAULT_PARAMS)
    yield from (*file.params, *file.metrics)
    for plot in file.plots:
        yield from plot.y
    for stage in file.stages.values():
        yield from (ref.file for ref in stage.params)
        yield from (out.path for out in stage.outs if out.kind != "out")


def _role(path: str, values: set[RelPath], inputs: set[RelPath], types: dict[RelPath, str]) -> Role | None:
    """Which report a file of Git belongs to; None for one that has nothing to say there."""
    name = path.rpartition("/")[2]
    places = above(path)
    if name in _OWN or places & values:
        return None
    try:
        valid = RelPath.parse(path)
    except (InvalidError, UnsafeError):  # a name that mlgit would not track is Git's all the same
        return "code"
    if is_model(valid, type_of(valid, types)):
        return "model"
    if is_table(path):
        return "data"
    return None if path.lower().endswith(_SILENT) and not places & inputs else "code"


def above(path: str) -> set[str]:
    """`path` and the folders that it lies in."""
    parts = path.split("/")
    return {"/".join(parts[:end]) for end in range(1, len(parts) + 1)}
