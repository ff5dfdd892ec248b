"""A file of a commit or of Git's index, as a value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Blob:
    """One file as Git stores it.

    Attributes:
        path: seen from the mlgit root.
        mode: `100644`, `100755` for an executable, `120000` for a symbolic link, `160000` for a submodule.
        id: of the blob; empty for a file that the next commit deletes.
    """

    path: str
    mode: str
    id: str

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file with content."""
        return bool(self.id) and self.mode.startswith("100")
