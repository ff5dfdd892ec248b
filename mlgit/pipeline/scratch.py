"""A folder that holds only what a stage declares, for one run of its command.

Hermetic stages and `verify` run in one, and so does a stage on another machine. It is filled from a store and its
outputs are saved into that store; the user's files are never touched from here.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from mlgit.errors import MissingError
from mlgit.fs.atomic import disk_errors
from mlgit.fs.confine import Folder
from mlgit.fs.link import LinkKind
from mlgit.model.relpath import RelPath
from mlgit.model.tree import Content
from mlgit.work.workspace import Workspace

PREFIX: Final = "scratch-"
OWN: Final[tuple[LinkKind, ...]] = ("reflink", "copy")
"""How files get there: a command may write into its copies, so they are never links to the cache's own files."""


def fill(tree: Workspace, inputs: Mapping[RelPath, Content], outs: Iterable[RelPath], wdir: RelPath) -> None:
    """Put `inputs` into the empty working tree, and make the folders that the command runs in and writes to.

    Raises:
        MissingError, IntegrityError: an object is not in the store, or damaged.
        DiskError: the disk refused.
    """
    for path, content in inputs.items():
        tree.apply(tree.plan_checkout(path, content), path, links=OWN)
    for folder in (wdir, *(out.parent for out in outs)):
        Folder.beneath(tree.root, folder.parts, create=True).close()


def copy_modes(tree: Path, home: Path, inputs: Iterable[RelPath]) -> None:
    """Make those of `inputs` executable that are single files and are so at `home`: only folders keep that."""
    for path in inputs:
        with contextlib.suppress(MissingError), disk_errors(path):
            mode = os.lstat(home / path).st_mode
            if stat.S_ISREG(mode) and mode & stat.S_IXUSR:
                os.chmod(tree / path, stat.S_IMODE(mode) | stat.S_IRUSR | stat.S_IWUSR)


def collect(tree: Workspace, outs: Iterable[RelPath]) -> dict[RelPath, Content]:
    """Save those of `outs` that are there into the store."""
    there = [out for out in outs if os.path.lexists(tree.root / out)]
    return tree.save(there) if there else {}


def strays(tree: Workspace, inputs: Mapping[RelPath, Content], outs: Iterable[RelPath]) -> Iterator[RelPath]:
    """Files that the command wrote although they are no outputs, and inputs that it changed; ignored names left out."""
    made = set(outs)  # one that is kept for the next run is an input too
    declared = {*inputs, *made}
    for path, content in inputs.items():
        present = tree.identify(path)
        if path not in made and (present is None or present.oid != content.oid):
            yield path
    pending = [RelPath("")]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(tree.root / folder) as entries:
                found = {f"{one.name}/" if one.is_dir(follow_symlinks=False) else one.name for one in entries}
        except OSError:  # the command shut it, or something it left running took it away
            yield folder
            continue
        for name in sorted(found - tree.ignore.among(folder, found)):
            path = folder.child(name.rstrip("/"))
            if path in declared:
                continue
            if name.endswith("/"):
                pending.append(path)
            else:
                yield path
