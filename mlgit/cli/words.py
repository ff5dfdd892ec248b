"""Words that may follow, for shell completion: names of remotes and stages, and tracked paths.

Completing must never fail or print: where there is no repository, or a file in it is malformed, there are no words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mlgit.errors import MlgitError

if TYPE_CHECKING:
    from mlgit.cli.session import Session


def _session() -> Session:
    from mlgit.cli.session import new_session

    return new_session(Path.cwd(), quiet=True, verbose=False)


def remotes(incomplete: str) -> list[str]:
    """Names of remotes."""
    return _starting(incomplete, lambda session: iter(session.repo.config.remotes))


def stages(incomplete: str) -> list[str]:
    """Addresses of stages."""
    return _starting(incomplete, lambda session: iter(session.repo.pipeline.project.stages))


def targets(incomplete: str) -> list[str]:
    """Tracked paths as seen from here, and stages."""
    return _starting(incomplete, _tracked)


def _tracked(session: Session) -> Iterator[str]:
    yield from map(session.shown, session.repo.tracked())
    if session.repo.has_stages:
        yield from session.repo.pipeline.project.stages


def _starting(incomplete: str, words: Callable[[Session], Iterator[str]]) -> list[str]:
    try:
        return [word for word in words(_session()) if word.startswith(incomplete)]
    except (MlgitError, OSError):
        return []
