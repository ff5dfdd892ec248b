"""`add`: from files to the cache, a pointer beside them, and a line in `.gitignore`; in that order."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mlgit.errors import MissingError, UsageError
from mlgit.fs import atomic
from mlgit.model import pointer
from mlgit.model.pointer import Pointer
from mlgit.model.relpath import RelPath
from mlgit.model.tree import Content
from mlgit.store.backend import Progress
from mlgit.work import gitignore
from mlgit.work.graft import graft, refuse_partial
from mlgit.work.outputs import Tracked, owner, pointer_path, read_pointers
from mlgit.work.snapshot import WorkingTree
from mlgit.work.workspace import Workspace


@dataclass(frozen=True, slots=True)
class AddPlan:
    """What `add` will track.

    Attributes:
        paths: files and folders that get or keep a pointer.
        parts: paths inside tracked folders, with the folder; the rest of the folder stays as its pointer says.
    """

    paths: tuple[RelPath, ...]
    parts: Mapping[RelPath, RelPath]

    def lines(self) -> list[str]:
        """For `--dry-run`."""
        saved = {**dict(zip(self.paths, self.paths, strict=True)), **self.parts}
        return [f"save {path} and write {pointer_path(folder)}" for path, folder in saved.items()]


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
    """Check `targets` and find what to track; a path inside a tracked folder means that part of it alone.

    Raises:
        UsageError: a pointer, a control folder, a stage's output, something Git itself tracks, or a
            place where Git ignores pointers.
        MissingError: a target does not exist.
        InvalidError: its name cannot be written into `.gitignore`.
    """
    paths: dict[RelPath, None] = {}
    parts: dict[RelPath, RelPath] = {}
    for target in targets:
        if not target:
            raise UsageError("the whole repository cannot be tracked as one folder", hint="name folders in it")
        if target.endswith(pointer.SUFFIX):
            raise UsageError(
                f"{target} is a pointer",
                hint=f"name the data itself: `mlgit add {RelPath(target[: -len(pointer.SUFFIX)]).quoted}`",
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
                hint=f"`mlgit remove {pointer_path(inside[0]).quoted}` first, or add the other files one by one",
            )
        if not os.path.lexists(workspace.root / target):
            raise MissingError(f"no such file or folder: {target}", hint="check the spelling, or quote the glob")
        gitignore.pattern(target.name)
        RelPath.parse(target.name, f"{target}, whose name some systems read as a path")
        if found is None or found.path == target:
            paths[target] = None
        elif os.path.islink(workspace.root / target):  # can only be saved as an entry of its folder
            paths[found.path] = None
        else:
            parts[target] = found.path
    new = [path for path in paths if path not in tracked]
    gitignore.refuse_hidden(workspace.git, workspace.root, map(pointer_path, new))
    _refuse_git_tracked(workspace, new)
    _refuse_nested([*paths, *parts])
    return AddPlan(tuple(paths), parts)


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
        RefusedError: files of a tracked folder that were never pulled here would be forgotten.
        MissingError: a tree on the way to a part is not in the cache.
        UnsafeError, InvalidError, DiskError: as `Workspace.save`.
    """
    before = read_pointers(WorkingTree(workspace.root, workspace.git))
    contents = workspace.save(made.paths, follow=follow, progress=progress)
    for path, content in contents.items():
        refuse_partial(workspace, path, before[path].content if path in before else None, content)
    for part, path in made.parts.items():
        contents[path] = graft(workspace, path, contents.get(path, before[path].content), part, progress)
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
