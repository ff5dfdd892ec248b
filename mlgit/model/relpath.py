"""Paths inside a repository or a tree: relative, `/`-separated, validated once where they enter.

A `RelPath` never leaves its root, never names `.git` or `.mlgit` in any spelling that some file system folds to them,
and has no empty, `.` or `..` component. Everything that reads a path from a file goes through here.
The list of spellings follows Git's `verify_path` and its fixes for HFS+ and NTFS (CVE-2014-9390, CVE-2019-1352).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from mlgit.errors import InvalidError, UnsafeError

MAX_COMPONENT: Final = 255
MAX_DEPTH: Final = 500
_HFS_IGNORED: Final = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_CONTROL_DIRS: Final = frozenset({".git", ".mlgit"})
_SHORT_NAMES: Final = re.compile(r"(git|mlgit|gi[0-9a-f]{4}|ml[0-9a-f]{4})~[0-9]+")
_WORD: Final = re.compile(r"[\w@%+=:,./][\w@%+=:,./-]*")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_\-+=@,.\n]*")


class RelPath(str):
    """A validated relative POSIX path; a string, so it sorts, hashes and prints as one. The root itself is `""`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str, where: str = "path") -> RelPath:
        """Validate `text`, naming `where` it was read (a file, and a key if there is one) when it is refused.

        Raises:
            UnsafeError: it is absolute, climbs with `..`, or reaches a control folder.
            InvalidError: it cannot be a file's path (empty, NUL, not encodable, too long).
        """
        if text in ("", "."):
            return cls("")
        if text.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[\\/]", text):
            raise UnsafeError(
                f"{where}: absolute path refused: {text!r}",
                hint="write it relative to the repository's root",
            )
        parts = text.rstrip("/").split("/") if not text.endswith("//") else text.split("/")
        check_names(parts, where)
        return cls("/".join(parts))

    @property
    def parts(self) -> tuple[str, ...]:
        """The components; empty for the root."""
        return tuple(self.split("/")) if self else ()

    @property
    def name(self) -> str:
        """The last component."""
        return self.rpartition("/")[2]

    @property
    def parent(self) -> RelPath:
        """The folder it stands in."""
        return RelPath(self.rpartition("/")[0])

    @property
    def quoted(self) -> str:
        """It as one word of a shell command, for hints that are to be copied."""
        if _WORD.fullmatch(self):
            return str(self)
        return "'" + self.replace("'", "'\\''") + "'"

    def child(self, below: str) -> RelPath:
        """`below`, an already validated name or path, seen from this folder."""
        return RelPath(f"{self}/{below}" if self and below else self or below)

    def within(self, folder: str) -> bool:
        """Whether it is `folder` or below it."""
        return folder in ("", self) or self.startswith(folder + "/")

    def relative(self, folder: str) -> RelPath:
        """It as seen from `folder`, which must contain it."""
        return RelPath(self[len(folder) :].lstrip("/"))


def check_names(names: list[str], where: str = "name") -> None:
    """`check_name` for all of `names`, fast when they are plain: no dot at an end, and nothing out of the ordinary."""
    text = "\n".join(["", *names, ""])
    plain = _PLAIN.fullmatch(text) and not any(pair in text for pair in ("\n\n", "\n.", ".\n"))
    if plain and text.count("\n") == len(names) + 1 and max(map(len, names), default=0) <= MAX_COMPONENT:
        return
    for name in names:
        check_name(name, where)


def check_name(name: str, where: str = "name") -> None:
    """Refuse a component that cannot, or must not, be created on a supported system.

    Raises:
        UnsafeError: `..`, or any spelling of a control folder.
        InvalidError: empty, `.`, NUL, `/`, too long, or not encodable as UTF-8.
    """
    if name == "..":
        raise UnsafeError(f"{where}: path climbs out with '..'", hint="remove the '..' component")
    if name in ("", ".") or "\0" in name or "/" in name:
        raise InvalidError(f"{where}: not a file name: {name!r}", hint="remove empty and '.' components")
    try:
        size = len(name.encode())
    except UnicodeEncodeError as error:
        raise InvalidError(
            f"{where}: file name is not UTF-8: {name!r}", hint="rename the file, or list it in .mlgitignore"
        ) from error
    if size > MAX_COMPONENT:
        raise InvalidError(f"{where}: file name of {size} bytes: {name[:40]!r}…", hint="255 bytes is the limit")
    if _folds_to_control_dir(name):
        raise UnsafeError(
            f"{where}: refused, some systems read this name as a control folder: {name!r}",
            hint="list it in .mlgitignore, or move it out of the tracked folder",
        )


def _folds_to_control_dir(name: str) -> bool:
    """Whether NTFS, HFS+ or a case-folding disk takes `name` for `.git` or `.mlgit`."""
    if "\\" in name and any(part == ".." or _folds_to_control_dir(part) for part in name.split("\\")):
        return True
    folded = _HFS_IGNORED.sub("", unicodedata.normalize("NFKC", name)).casefold()
    folded = folded.partition(":")[0].rstrip(". \t\r\n")
    return folded in _CONTROL_DIRS or _SHORT_NAMES.fullmatch(folded) is not None


def check_depth(path: RelPath) -> None:
    """Refuse a folder so deep that walking it would run out of open files or stack.

    Raises:
        InvalidError: it has more than `MAX_DEPTH` components.
    """
    if path.count("/") >= MAX_DEPTH:
        raise InvalidError(f"nested too deeply: {path[:80]}…", hint=f"{MAX_DEPTH} folders is the limit")


def collisions(names: list[str]) -> list[tuple[str, str]]:
    """Pairs among `names` that one folder on a case-folding or normalising disk could not hold together."""
    if "".join(names).isascii() and len({name.lower() for name in names}) == len(names):
        return []
    seen: dict[str, str] = {}
    found = []
    for name in names:
        key = name if name.isascii() else unicodedata.normalize("NFC", name)
        other = seen.setdefault(unicodedata.normalize("NFC", key.casefold()), name)
        if other != name:
            found.append((other, name))
    return found
