"""One run of the command line: where the user stands, what the terminal can do, and the repository around it."""

from __future__ import annotations

import functools
import os
import posixpath
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from mlgit.model.relpath import RelPath
    from mlgit.repo import Repo


@dataclass
class Session:
    """What every command needs to know of its surroundings.

    Attributes:
        cwd: the folder the user stands in, or named with `-C`.
        environment: the process's variables.
        ask: whether somebody is there to answer a question.
        typed: what the user typed for which path, for errors that name it.
    """

    cwd: Path
    environment: Mapping[str, str]
    quiet: bool = False
    verbose: bool = False
    color: bool = False
    progress: bool = False
    ask: bool = False
    typed: dict[str, str] = field(default_factory=dict)

    @functools.cached_property
    def repo(self) -> Repo:
        """The repository; found when first needed."""
        from mlgit.repo import Repo

        return Repo.find(self.cwd)

    def paths(self, texts: Iterable[str]) -> list[RelPath]:
        """What the user typed as paths from the root, globs expanded."""
        found = []
        for text in texts:
            paths = self.repo.paths([text], self.cwd)
            self.typed.update((path, self.shown(path)) for path in paths)
            found += paths
        return list(dict.fromkeys(found))

    def path(self, text: str) -> RelPath:
        """One path."""
        found = self.repo.path(text, self.cwd)
        self.typed[found] = self.shown(found)
        return found

    @functools.cached_property
    def here(self) -> RelPath:
        """The folder the user stands in, from the root."""
        return self.repo.path(".", self.cwd)

    def shown(self, path: str) -> str:
        """A root-relative path as seen from where the user stands."""
        return posixpath.relpath(path or ".", self.here) if self.here else str(path) or "."

    def as_typed(self, text: str) -> str:
        """A message with the paths that the user named as seen from where the user stands."""
        for path, shown in sorted(self.typed.items(), key=lambda item: len(item[0]), reverse=True):
            if path and path != shown:
                text = re.sub(rf"(?<![\w./-]){re.escape(path)}(?![\w-])", shown.replace("\\", r"\\"), text)
        return text


def new_session(cwd: Path, *, quiet: bool, verbose: bool) -> Session:
    """Look at the process once; the token that only mlgit needs is taken out of what its programs are given."""
    environment = dict(os.environ)
    os.environ.pop("MLGIT_TOKEN", None)
    tty = sys.stderr.isatty()
    plain = bool(environment.get("NO_COLOR")) or environment.get("TERM") == "dumb"
    return Session(
        cwd=cwd,
        environment=environment,
        quiet=quiet,
        verbose=verbose,
        color=sys.stdout.isatty() and not plain,
        progress=tty and not quiet,
        ask=sys.stdin.isatty() and tty,
    )


def session_of(context: typer.Context) -> Session:
    """The session that the top-level callback made."""
    found = context.find_root().obj[0]
    assert isinstance(found, Session)
    return found
