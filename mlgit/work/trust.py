"""Which remotes the user has agreed to, on this machine.

A commit can name a remote. Before data or credentials of this machine go there for the first time, somebody has to
agree; naming the remote by one's own hand is agreeing. The list is never part of a commit.
"""

from __future__ import annotations

from pathlib import Path

from mlgit.fs import atomic


class Trust:
    """The list in `file`, one address a line."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def has(self, url: str) -> bool:
        """Whether the user has agreed to `url`."""
        return url in self._lines()

    def add(self, url: str) -> None:
        """Remember that the user agreed.

        Raises:
            DiskError: it cannot be written.
        """
        lines = self._lines()
        if url not in lines:
            atomic.write_text(self._file, "".join(f"{line}\n" for line in (*lines, url)))

    def _lines(self) -> list[str]:
        try:
            return self._file.read_text(encoding="utf-8").splitlines()
        except OSError:
            return []
