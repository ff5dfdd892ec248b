"""`add`: from files to the cache, a pointer beside them, and a line in `.gitignore`; in that order."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from dataclasses import dataclass

from mlgit.errors import MissingError, UsageError
from mlgit.fs import atomic
from mlgit.model import pointer
from mlgit.model.pointer import Pointer
from mlgit.model.relpath import RelPath
from mlgit.model.tree import Content
from mlgit.store.backend import Progress
from mlgit.work import gitignore
from mlgit.work.outputs import Tracked, owner, pointer_path, read_pointers
from mlgit.work.snapshot import WorkingTree
from mlgit.work.workspace import Workspace


@dataclass(frozen=True, slots=True)
class AddPlan:
    """What `add` will track.

    Attributes:
        paths: files and folders that get or keep a pointer.
    """

    paths: tuple[RelPath, ...]

    def lines(self) -> list[str]:
        """For `--dry-run`."""
        return [f"save {path} and write {pointer_path(path)}" for path in self.paths]


@dataclass(frozen=True, slots=True)
class Added:
    """What `add` did.

    Attributes:
        contents: what each tracked path holds.
        changed: those whose pointer is new or different.
        files: files for Git: pointers and `.gitignore`.
    """

    contents: dict[RelPath, Content]
    changed: tuple[RelPath, ...]
    files: tuple[RelPath, ...]


def plan(workspace: Workspace, targets: Iterable[RelPath], tracked: dict[RelPath, Tracked]) -> AddPlan:
    """Check `targets` and find what to track; a path inside a tracked folder means that folder.

    Raises:
        UsageError: a pointer, a control folder, a stage's output, or something Git itself tracks.
        MissingError: a target does not exist.
        InvalidError: its name cannot be written into `.gitignore`.
    """
    paths: dict[RelPath, None] = {}
    for target in targets:
        if not target:
            raise UsageError("the whole repository cannot be tracked as one folder", hint="name folders in it")
        if target.endswith(pointer.SUFFIX):
            raise UsageError(
                f"{target} is a pointer", hint=f"name the data itself: `mlgit add {target[: -len(pointer.SUFFIX)]}`"
            )
        found = owner(target, tracked)
        if found is not None and found.stage is not None:
            raise UsageError(
                f"{target} is an output of the stage {found.stage}", hint="`mlgit repro` saves it; nothing to add"
            )
        inside = [path for path in tracked if path.within(target) and path != target]
        if inside:
            raise UsageError(
                f"{inside[0]}, inside {target}, is tracked already",
                hint=f"`mlgit remove {pointer_path(inside[0])}` first, or add the other files one by one",
            )
        if not os.path.lexists(workspace.root / target):
            raise MissingError(f"no such file or folder: {target}", hint="check the spelling, or quote the glob")
        gitignore.pattern(target.name)
        paths[found.path if found else target] = None
    _refuse_git_tracked(workspace, [path for path in paths if path not in tracked])
    _refuse_nested(list(paths))
    return AddPlan(tuple(paths))


def _refuse_git_tracked(workspace: Workspace, paths: list[RelPath]) -> None:
    known = workspace.git.tracked_files(paths) if paths else []
    if known:
        shown = next(path for path in paths if RelPath(known[0]).within(path))
        raise UsageError(
            f"{shown} is tracked by Git: {known[0]}",
            hint=f"let Git forget it first: git rm -r --cached '{shown}'",
        )


def _refuse_nested(paths: list[RelPath]) -> None:
    for path in paths:
        for other in paths:
            if path != other and path.within(other):
                raise UsageError(f"{path} lies inside {other}", hint="add only one of the two")


def apply(
    workspace: Workspace,
    made: AddPlan,
    *,
    follow: bool = False,
    desc: str | None = None,
    progress: Progress | None = None,
) -> Added:
    """Save and track every path of the plan; nothing is tracked unless all were saved.

    Raises:
        UnsafeError, InvalidError, DiskError: as `Workspace.save`.
    """
    before = read_pointers(WorkingTree(workspace.root, workspace.git))
    contents = workspace.save(made.paths, follow=follow, progress=progress)
    files: list[RelPath] = []
    changed = []
    for path, content in contents.items():
        workspace.relink(path, content)
        new = _updated(before.get(path), path, content, desc)
        if new != before.get(path):
            atomic.write_text(workspace.root / pointer_path(path), pointer.encode(new))
            changed.append(path)
        files.append(pointer_path(path))
    ignored = workspace.ignore_in_git(contents)
    return Added(contents, tuple(changed), (*files, *ignored))


def _updated(old: Pointer | None, path: RelPath, content: Content, desc: str | None) -> Pointer:
    if old is None:
        old = Pointer(path.name, content.oid, content.type, content.size)
    return dataclasses.replace(
        old,
        oid=content.oid,
        type=content.type,
        size=content.size,
        files=content.files,
        desc=old.desc if desc is None else desc,
    )
