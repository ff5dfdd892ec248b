"""`move` and `remove`: a tracked path together with its pointer and its line in `.gitignore`."""

from __future__ import annotations

import dataclasses
import os

from mlgit.errors import RefusedError, UsageError
from mlgit.fs import atomic
from mlgit.fs.confine import Folder
from mlgit.model import pointer
from mlgit.model.relpath import RelPath
from mlgit.work import gitignore
from mlgit.work.outputs import Tracked, owner, pointer_path, read_pointers
from mlgit.work.snapshot import WorkingTree
from mlgit.work.workspace import Workspace


def move(workspace: Workspace, source: RelPath, target: RelPath, tracked: dict[RelPath, Tracked]) -> list[RelPath]:
    """Rename the tracked `source` to `target`, or go on where a killed move left off; returns the files for Git.

    Raises:
        UsageError: as `destination`.
    """
    target = destination(workspace, source, target, tracked)
    one = read_pointers(WorkingTree(workspace.root, workspace.git))[source]
    with (
        Folder.beneath(workspace.root, source.parent.parts) as old,
        Folder.beneath(workspace.root, target.parent.parts, create=True) as new,
        atomic.disk_errors(source),
    ):
        new_text = pointer.encode(dataclasses.replace(one, out=target.name))
        atomic.write_text(workspace.root / pointer_path(target), new_text)
        ignored = gitignore.ignore(workspace.root, [target])
        if old.stat(source.name) is not None:
            old.rename(source.name, new, target.name)
        old.remove(source.name + pointer.SUFFIX)
    ignored += gitignore.unignore(workspace.root, [source])
    workspace.index.drop(source)
    workspace.index.save()
    return [pointer_path(source), pointer_path(target), *dict.fromkeys(ignored)]


def destination(workspace: Workspace, source: RelPath, target: RelPath, tracked: dict[RelPath, Tracked]) -> RelPath:
    """Where the tracked `source` would go when moved to `target`, which may be a folder to move it into.

    Raises:
        UsageError: `source` is not tracked by a pointer, something stands there, it is inside a tracked
            folder, or Git ignores pointers there.
    """
    found = pointed(source, tracked)
    if target not in tracked and (workspace.root / target).is_dir():
        target = target.child(source.name)
    there = os.path.lexists(workspace.root / target)
    halfway = target in tracked and tracked[target].content == found.content
    if (there or target in tracked) and not (halfway and not (there and os.path.lexists(workspace.root / source))):
        raise UsageError(f"{target} is there already", hint="choose another name, or remove it first")
    if target not in tracked and owner(target, tracked) is not None:
        raise UsageError(f"{target} lies inside a tracked folder", hint="choose a place outside it")
    if target not in tracked:
        gitignore.refuse_hidden(workspace.git, workspace.root, [pointer_path(target)])
    return target


def remove(workspace: Workspace, path: RelPath, tracked: dict[RelPath, Tracked], *, data: bool) -> list[RelPath]:
    """Stop tracking `path`; returns the files for Git, gone ones included.

    Args:
        data: delete the file or folder from the working tree too; what is in the cache stays there.

    Raises:
        UsageError, RefusedError: as `removable`.
    """
    found = removable(workspace, path, tracked, data=data)
    if data:
        workspace.remove(found.path)
    workspace.remove(found.file)
    return [found.file, *gitignore.unignore(workspace.root, [found.path])]


def removable(workspace: Workspace, path: RelPath, tracked: dict[RelPath, Tracked], *, data: bool) -> Tracked:
    """The output that `remove` would stop tracking, and with `data` delete.

    Raises:
        UsageError: it is not tracked by a pointer.
        RefusedError: `data`, and some of it is in no store.
    """
    found = pointed(path, tracked)
    if data and not workspace.saved(found.path):
        raise RefusedError(
            f"{found.path} has changes that are in no store",
            hint=f"`mlgit add {found.path.quoted}` first, or delete it by hand",
        )
    return found


def pointed(path: RelPath, tracked: dict[RelPath, Tracked]) -> Tracked:
    """The output that `path`, or the pointer `path`, means.

    Raises:
        UsageError: it is not tracked by a pointer.
    """
    name = RelPath(path[: -len(pointer.SUFFIX)]) if path.endswith(pointer.SUFFIX) else path
    found = tracked.get(name)
    if found is None:
        raise UsageError(f"{path} is not tracked", hint="see what is: `mlgit ls`")
    if found.stage is not None:
        raise UsageError(f"{path} is an output of the stage {found.stage}", hint=f"edit the stage in {found.file}")
    return found
