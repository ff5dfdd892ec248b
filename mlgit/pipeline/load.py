"""All stages of a repository and what their lock files say, read from one snapshot: each file once.

Nothing here looks at data; a stage file is read, never run.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field

from mlgit.errors import InvalidError, UsageError
from mlgit.model import lock, pointer, stage, stagefile
from mlgit.model.expand import GROUP_SIGN
from mlgit.model.lock import StageLock
from mlgit.model.relpath import RelPath
from mlgit.model.stage import Stage, StageFile
from mlgit.model.stagepath import resolve_path
from mlgit.work.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Project:
    """The pipelines of one snapshot.

    Attributes:
        files: by path, sorted.
        stages: by address, in the order of the files and of the stages in them.
        locked: by address, only for stages that ran.
        tracked: paths that pointer files own, with the pointer's path.
        variables: stage file → the files that its templates take values from.
    """

    files: dict[RelPath, StageFile] = field(default_factory=dict)
    stages: dict[str, Stage] = field(default_factory=dict)
    locked: dict[str, StageLock] = field(default_factory=dict)
    tracked: dict[RelPath, RelPath] = field(default_factory=dict)
    variables: dict[RelPath, frozenset[RelPath]] = field(default_factory=dict)


def load(snapshot: Snapshot) -> Project:
    """Read every stage file and lock file of `snapshot`.

    Raises:
        InvalidError: one of them is malformed.
        UnsafeError: one of them names a path outside the repository.
    """
    project = Project()
    for path in sorted(snapshot.control_files):
        if path.name == stage.NAME:
            _load_file(snapshot, path, project)
        elif path.endswith(pointer.SUFFIX):
            project.tracked[RelPath(path[: -len(pointer.SUFFIX)])] = path
    _refuse_made_variables(project)
    return project


def lock_path(file: RelPath) -> RelPath:
    """Where the lock of the stage file at `file` stands."""
    return file.parent.child(lock.NAME)


def address(file: RelPath, name: str) -> str:
    """The address of the stage `name` of `file`."""
    return name if "/" not in file else f"{file}:{name}"


def find(project: Project, target: str, folder: RelPath) -> tuple[str, ...]:
    """The addresses that `target`, typed by somebody who stands in `folder`, means.

    It is a stage's name or address, a group's (all its stages), a stage file (likewise) or the path of an output.

    Raises:
        UsageError: it means none.
    """
    file, _, name = target.rpartition(":")
    seen = resolve_path(file or target, folder, "target")
    here = folder.child(stage.NAME)
    candidates = [address(seen, name), target] if file else [address(here, target), target]
    for candidate in candidates:
        if candidate in project.stages:
            return (candidate,)
    for candidate in candidates:
        group = tuple(each for each in project.stages if each.startswith(candidate + GROUP_SIGN))
        if group:
            return group
    if not file and seen in project.files:
        return tuple(address(seen, name) for name in project.files[seen].stages)
    makers = [each for each, one in project.stages.items() if any(out.path == seen for out in one.outs)]
    if makers:
        return (makers[0],)
    near: Sequence[str] = difflib.get_close_matches(target, project.stages, 1)
    hint = f"did you mean {near[0]!r}?" if near else "`mlgit stage list` shows the stages"
    raise UsageError(f"no stage, stage file or output {target!r}", hint=hint)


def _load_file(snapshot: Snapshot, path: RelPath, project: Project) -> None:
    data = snapshot.read(path)
    if data is None:
        return
    asked: set[RelPath] = set()

    def read(file: RelPath) -> bytes | None:
        asked.add(file)
        _refuse_tracked_variables(snapshot, path, file)
        return snapshot.read(file)

    file = stagefile.decode(data, path, read)
    project.variables[path] = frozenset(asked)
    project.files[path] = file
    project.stages.update((one.address, one) for one in file.stages.values())
    locked = snapshot.read(lock_path(path))
    if locked is not None:
        entries = lock.decode(locked, lock_path(path)).stages
        project.locked.update((address(path, name), entry) for name, entry in entries.items())


def _refuse_tracked_variables(snapshot: Snapshot, stage_file: RelPath, file: RelPath) -> None:
    """Without its variables a stage file says nothing, so those must be there before any data is."""
    parts = file.parts
    for end in range(1, len(parts) + 1):
        tracked = RelPath("/".join(parts[:end]) + pointer.SUFFIX)
        if tracked in snapshot.control_files:
            raise InvalidError(
                f"{stage_file}: its templates read {file}, which is tracked as data ({tracked}): in a fresh clone "
                "it would not be there, and without it nothing can be pulled",
                hint=f"keep it in Git itself: delete {tracked} and its line in .gitignore, then `git add` the file",
            )


def _refuse_made_variables(project: Project) -> None:
    """As above, for what a stage writes into the cache."""
    cached = {out.path: one.address for one in project.stages.values() for out in one.outs if out.cache}
    for stage_file, asked in project.variables.items():
        for file, path in ((file, path) for file in sorted(asked) for path in cached if file.within(path)):
            raise InvalidError(
                f"{stage_file}: its templates read {file}, which the stage {cached[path]!r} writes into the cache: in "
                "a fresh clone it would not be there, and without it nothing can be pulled",
                hint=f"let the command read {file}, named under `params` or `deps`; or give that output `cache: false`",
            )
