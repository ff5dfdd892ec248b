"""One run of the command line: where the user stands, what the terminal can do, and the repository around it."""

from __future__ import annotations

import functools
import os
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
    """

    cwd: Path
    environment: Mapping[str, str]
    quiet: bool = False
    verbose: bool = False
    color: bool = False
    progress: bool = False
    ask: bool = False
    staged: list[str] = field(default_factory=list)

    @functools.cached_property
    def repo(self) -> Repo:
        """The repository; found when first needed."""
        from mlgit.repo import Repo

        return Repo.find(self.cwd)

    def paths(self, texts: Iterable[str]) -> list[RelPath]:
        """What the user typed as paths from the root, globs expanded."""
        return self.repo.paths(texts, self.cwd)

    def path(self, text: str) -> RelPath:
        """One path."""
        return self.repo.path(text, self.cwd)

    @property
    def here(self) -> RelPath:
        """The folder the user stands in, from the root."""
        return self.repo.path(".", self.cwd)

    def shown(self, path: str) -> str:
        """A root-relative path as seen from where the user stands."""
        return os.path.relpath(self.repo.root / path, self.cwd.resolve())


def new_session(cwd: Path, *, quiet: bool, verbose: bool) -> Session:
    """Look at the process once."""
    environment = dict(os.environ)
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
    found = context.find_root().obj
    assert isinstance(found, Session)
    return found
