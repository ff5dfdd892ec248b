"""Keeping tracked data out of Git: one exact line per output in the `.gitignore` beside it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from mlgit.errors import InvalidError, UnsafeError, UsageError
from mlgit.fs import atomic
from mlgit.git import Git
from mlgit.model.relpath import RelPath

NAME = ".gitignore"
_Edit = Callable[[list[str], list[str]], list[str]]


def pattern(name: str) -> str:
    """The line that ignores exactly `name` in its own folder.

    Raises:
        InvalidError: the name holds a line end, which a line cannot.
    """
    if "\n" in name or "\r" in name:
        raise InvalidError(f"a name with a line end cannot be tracked: {name!r}", hint="rename it")
    return "/" + re.sub(r"([\\*?\[\]!# ])", r"\\\1", name)


def ignore(root: Path, paths: Iterable[RelPath]) -> list[RelPath]:
    """Add what is missing; returns the `.gitignore` files that changed.

    Raises:
        UnsafeError: a `.gitignore` is a symbolic link.
    """
    return _edit(root, paths, lambda lines, wanted: lines + [line for line in wanted if line not in lines])


def unignore(root: Path, paths: Iterable[RelPath]) -> list[RelPath]:
    """Take the lines out again; an empty `.gitignore` is deleted."""
    return _edit(root, paths, lambda lines, unwanted: [line for line in lines if line not in unwanted])


def refuse_hidden(git: Git, root: Path, files: Iterable[RelPath]) -> None:
    """Stop before something is written that Git would never list: what it names would be tracked by nobody.

    Raises:
        UsageError: Git ignores one of `files`, or it lies in another Git repository, such as a submodule.
    """
    wanted = list(files)
    for file in wanted:
        folder = file.parent
        while folder:
            if os.path.lexists(root / folder / ".git"):
                raise UsageError(
                    f"{file} would lie in another Git repository: {folder}", hint=f"run mlgit in {folder} instead"
                )
            folder = folder.parent
    for hidden in sorted(git.ignored(wanted)):
        raise UsageError(
            f"Git ignores {hidden}, so it could never be committed",
            hint=f"see by which rule: git check-ignore -v '{hidden}'; let that rule name single files, or drop it",
        )


def _edit(root: Path, paths: Iterable[RelPath], edit: _Edit) -> list[RelPath]:
    folders: dict[RelPath, list[str]] = {}
    for path in paths:
        folders.setdefault(path.parent, []).append(pattern(path.name))
    changed = []
    for folder, patterns in folders.items():
        file = root / folder / NAME
        if file.is_symlink():
            raise UnsafeError(f"{file} is a symbolic link", hint="replace it with a file of its own")
        with atomic.disk_errors(file):
            text = file.read_bytes().decode(errors="surrogateescape") if file.exists() else ""
        before = text.removesuffix("\n").split("\n") if text else []
        lines = edit(before, patterns)
        if lines == before:
            continue
        if lines:
            atomic.write_bytes(file, ("\n".join(lines) + "\n").encode(errors="surrogateescape"))
        else:
            with atomic.disk_errors(file):
                file.unlink()
        changed.append(folder.child(NAME))
    return changed
