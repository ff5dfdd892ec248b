"""`.mlgitignore`: which names inside tracked folders are not versioned; gitignore syntax, one file at the root."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from xxhash import xxh3_128_digest

from mlgit.errors import InvalidError, MissingError
from mlgit.fs import atomic
from mlgit.fs.confine import Folder

if TYPE_CHECKING:
    from pathspec import PathSpec

NAME: Final = ".mlgitignore"
_SPECIAL: Final = re.compile(r"[*?\\/]")
DEFAULT: Final = """\
# Names that mlgit leaves out of tracked folders; the syntax of .gitignore.
.DS_Store
.ipynb_checkpoints/
__pycache__/
"""


class Ignore:
    """The rules of one repository; compiled only when a name that nobody has seen turns up.

    Raises:
        UnsafeError: the file is a symbolic link.
        DiskError: it cannot be read; ignoring nothing then would save what must not be saved.
    """

    def __init__(self, root: Path) -> None:
        self._path = root / NAME
        try:
            with Folder.beneath(root) as folder, atomic.disk_errors(self._path):
                self._text = folder.read(NAME) or b""
        except MissingError:
            self._text = b""
        self.rules = xxh3_128_digest(self._text)

    @functools.cached_property
    def _spec(self) -> PathSpec[Any]:
        from pathspec import GitIgnoreSpec

        try:
            return GitIgnoreSpec.from_lines(self._lines)
        except ValueError as error:
            raise self._unreadable(error) from error

    @functools.cached_property
    def _lines(self) -> list[str]:
        try:
            return self._text.decode().splitlines()
        except UnicodeDecodeError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: ValueError) -> InvalidError:
        return InvalidError(f"{self._path}: {error}", hint="use the syntax of .gitignore, in UTF-8")

    def matches(self, path: str, *, folder: bool) -> bool:
        """Whether the root-relative `path` is left out."""
        parent, _, name = path.rpartition("/")
        return bool(self.among(parent, [f"{name}/" if folder else name]))

    @functools.cached_property
    def _needles(self) -> set[str]:
        """A text for every rule that any path it matches must contain, so that most names need no matching."""
        rules = [line.partition("[")[0].lstrip("!").strip() for line in self._lines if line.strip() and line[0] != "#"]
        return {max(_SPECIAL.split(rule), key=len) for rule in rules}

    def among(self, folder: str, names: Collection[str]) -> frozenset[str]:
        """Those of `names` in the root-relative `folder` that are left out; a sub-folder's has a slash at its end."""
        start = f"{folder}/" if folder else ""
        together = start + "\n".join(names)
        needles = [needle for needle in self._needles if needle in together]
        return frozenset(
            name
            for name in (names if needles else ())
            if any(needle in start + name for needle in needles) and self._spec.match_file(start + name)
        )
