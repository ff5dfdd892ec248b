"""Paths and patterns as they stand in a stage file, seen from a folder, made root-relative."""

from __future__ import annotations

import posixpath
import re
from typing import Final

from mlgit.errors import InvalidError, UnsafeError
from mlgit.model.fields import describe
from mlgit.model.relpath import RelPath, check_names

_GLOB: Final = re.compile(r"[*?\[]")
_EASY: Final = re.compile(r"[A-Za-z0-9_+=@-]+(?:\.[A-Za-z0-9_+=@-]+)*(?:/[A-Za-z0-9_+=@-]+(?:\.[A-Za-z0-9_+=@-]+)*)*")
"""Most paths: nothing in them needs a closer look."""
_EASY_LENGTH: Final = 200
_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_SETS: Final = re.compile(r"\[!?\]?[^\]]*\]")


def resolve_path(text: object, folder: str, where: str) -> RelPath:
    """`text`, a path seen from `folder`, as a path from the repository's root; `..` is fine while it stays inside.

    Raises:
        UnsafeError: it is absolute, leaves the repository or reaches a control folder.
        InvalidError: it is no path.
    """
    if not isinstance(text, str) or not text:
        mend = "quote the number" if isinstance(text, (int, float)) else "write a path"
        raise InvalidError(f"{where}: expected a path, found {describe(text)}", hint=mend)
    if len(text) < _EASY_LENGTH and _EASY.fullmatch(text):
        return RelPath(f"{folder}/{text}" if folder else text)
    if _ADDRESS.match(text):
        raise InvalidError(
            f"{where}: an address, not a path: {text!r:.60}",
            hint="stages read and write files of the project: let the command fetch it, or a stage of its own",
        )
    if text.startswith(("/", "\\")) or ":" in text[:3]:
        _refuse_absolute(text, where)
    joined = posixpath.normpath(posixpath.join(folder, text))
    if joined == ".." or joined.startswith("../"):
        raise UnsafeError(f"{where}: path leaves the repository: {text!r}", hint="keep it below the repository's root")
    try:
        return RelPath.parse(joined, where)
    except UnsafeError as error:
        raise UnsafeError(error.message, hint="name a file or folder of the project itself") from error


def is_glob(text: str) -> bool:
    """Whether `text` is a pattern: `*`, `?` or `[` stands in it."""
    return _GLOB.search(text) is not None


def resolve_glob(text: str, folder: RelPath, where: str) -> str:
    """`text`, a pattern seen from `folder`, as one from the repository's root.

    `*` and `?` match inside of one component, `[…]` one character of a set, and `**` as a whole component any number of
    folders. A name that holds such a character is written with brackets: `[*]`.

    Raises:
        UnsafeError: it is absolute, leaves the repository or names a control folder.
        InvalidError: it cannot match anything.
    """
    if text.startswith(("/", "\\")):
        _refuse_absolute(text, where)
    parts = [_GLOB.sub(r"[\g<0>]", part) for part in folder.parts]
    seen_glob = False
    for part in text.split("/"):
        seen_glob = seen_glob or is_glob(part)
        if part == "..":
            if seen_glob:
                raise InvalidError(f"{where}: `..` behind a pattern: {text!r}", hint="write `..` first, or not at all")
            if not parts:
                raise UnsafeError(f"{where}: path leaves the repository: {text!r}", hint="keep it below its root")
            parts.pop()
        elif part not in ("", "."):
            parts.append(_checked(part, text, where))
    return "/".join(parts)


def _refuse_absolute(text: str, where: str) -> None:
    try:
        RelPath.parse(text, where)
    except UnsafeError as error:
        hint = "name a path inside the repository, seen from the stage file; bring data into it with `mlgit add`"
        raise UnsafeError(error.message, hint=hint) from error


def _checked(part: str, text: str, where: str) -> str:
    if not is_glob(part) or "\0" in part:
        check_names([part], where)
    elif "**" in part and part != "**":
        raise InvalidError(f"{where}: `**` beside other characters: {text!r}", hint="put it between slashes: a/**/b")
    elif "[" in _SETS.sub("", part):
        raise InvalidError(f"{where}: `[` without its `]`: {text!r}", hint="for a `[` in a name write `[[]`")
    return part
