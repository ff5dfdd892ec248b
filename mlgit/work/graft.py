"""Saving one path inside a tracked folder while everything else in the folder stays as its pointer says.

So that a clone which pulled a part of a folder can change that part, and what it never pulled is not lost from the
pointer.
"""

from __future__ import annotations

import os

from mlgit.errors import MissingError, RefusedError
from mlgit.model import tree as trees
from mlgit.model.oid import Oid
from mlgit.model.relpath import RelPath
from mlgit.model.tree import Content, Entry, Tree
from mlgit.store.backend import Progress
from mlgit.store.writer import Writer
from mlgit.work.difference import compare, entry_of
from mlgit.work.workspace import Workspace


def graft(
    workspace: Workspace, path: RelPath, content: Content, part: RelPath, progress: Progress | None = None
) -> Content:
    """Save what `part`, inside the tracked folder `path`, holds now; all else stays as in `content`.

    Returns:
        The folder's content with the part replaced.

    Raises:
        MissingError: the part does not exist, or a tree on the way to it is not in the cache.
        UnsafeError, InvalidError, DiskError: as `Workspace.save`; nothing was saved then.
    """
    saved = workspace.save([part], top=path, progress=progress)[part]
    levels: list[tuple[str, dict[str, Entry]]] = []
    entry: Entry | None = entry_of(content, path.name)
    at = path
    for name in part.relative(path).parts:
        folder = workspace.stored_tree(entry.oid, at).entries if entry is not None and entry.kind == "tree" else ()
        levels.append((name, {one.name: one for one in folder}))
        entry, at = levels[-1][1].get(name), at.child(name)
    kind: trees.Kind = entry_of(saved, part.name).kind
    if kind == "file" and os.lstat(workspace.root / part).st_mode & 0o100:
        kind = "exec"
    new = Entry(part.name, kind, saved.oid, saved.size, 1 if saved.files is None else saved.files)
    with Writer(workspace.store) as writer:
        for depth, (name, entries) in reversed(list(enumerate(levels))):
            entries[name] = new
            trees.check_collisions(list(entries), str(path))
            oid = Oid.from_digest(workspace.store.algorithm, writer.add(trees.encode(entries.values())))
            tree = Tree(tuple(entries.values()))
            new = Entry(levels[depth - 1][0] if depth else path.name, "tree", oid, tree.size, tree.files)
    return Content(new.oid, "tree", new.size, new.files)


def never_here(workspace: Workspace, path: RelPath, old: Content, new: Content) -> list[RelPath]:
    """Files of the tracked folder `path` that `old` has, `new` lacks, and whose bytes are not in the cache.

    A sub-folder whose tree was never pulled counts as one. If nothing of `old` was ever pulled, there is nothing that
    `new` could be a part of.
    """
    if workspace.store.missing([old.oid]):
        return []
    try:
        changes = compare(path, old, new, workspace.stored_tree, workspace.present_tree)
    except MissingError as error:
        return [RelPath(error.message.partition(":")[0])]
    gone = [one for one in changes if one.old is not None and one.new is None]
    lacking = workspace.store.missing(one.old.oid for one in gone if one.old is not None)
    return [one.path for one in gone if one.old is not None and one.old.oid in lacking]


def refuse_partial(workspace: Workspace, path: RelPath, old: Content | None, new: Content) -> None:
    """Stop before a pointer forgets files that were never pulled here.

    Raises:
        RefusedError: naming one of them.
    """
    if old is None or old.type != "tree" or new.type != "tree" or old.oid == new.oid:
        return
    lost = never_here(workspace, path, old, new)
    if lost:
        raise RefusedError(
            f"{path}: {len(lost)} of its files were never pulled here and would be dropped, such as {lost[0]}",
            hint=f"`mlgit pull {path.quoted}` first; or add just the paths that you changed",
        )
