"""Telling Git about files that mlgit wrote: staging them, or printing the command that does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mlgit.cli import render

if TYPE_CHECKING:
    from mlgit.cli.session import Session


def offer(session: Session, paths: Iterable[str]) -> None:
    """Stage `paths` if `core.autostage` is set; else print the `git add` to copy."""
    listed = list(dict.fromkeys(paths))
    here = [path for path in listed if (session.repo.root / path).exists()]
    gone = [path for path in listed if path not in here]
    if gone:  # Git refuses to hear of a file that is gone and that it never knew
        gone = session.repo.git.tracked_files(gone)
    listed = [path for path in listed if path in here or path in gone]
    if not listed:
        return
    if session.repo.config.autostage:
        session.repo.git.add(here)
        if gone:
            session.repo.git.remove_cached(gone)
        render.say(session, f"staged for the next commit: {', '.join(session.shown(path) for path in listed)}")
        return
    import shlex

    names = [session.shown(path) for path in listed]
    end = "-- " if any(name.startswith("-") for name in names) else ""
    render.say(session, f"git add {end}" + " ".join(map(shlex.quote, names)))
