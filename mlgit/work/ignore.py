"""`.mlgitignore`: which names inside tracked folders are not versioned; gitignore syntax, one file at the root."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from xxhash import xxh3_128_digest

from mlgit.errors import InvalidError, MissingError
from mlgit.fs import atomic
from mlgit.fs.confine import Folder

if TYPE_CHECKING:
    from pathspec import PathSpec

NAME: Final = ".mlgitignore"
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
            return GitIgnoreSpec.from_lines(self._text.decode().splitlines())
        except (UnicodeDecodeError, ValueError) as error:
            raise InvalidError(f"{self._path}: {error}", hint="use the syntax of .gitignore, in UTF-8") from error

    def matches(self, path: str, *, folder: bool) -> bool:
        """Whether the root-relative `path` is left out."""
        return bool(self._text) and self._spec.match_file(path + "/" if folder else path)
