"""Telling Git about files that mlgit wrote: staging them, or printing the command that does."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mlgit.cli import render

if TYPE_CHECKING:
    from mlgit.cli.session import Session


def offer(session: Session, paths: Iterable[str]) -> None:
    """Stage `paths` if `core.autostage` is set; else print the `git add` to copy."""
    listed = list(dict.fromkeys(paths))
    if not listed:
        return
    if session.repo.config.autostage:
        here = [path for path in listed if (session.repo.root / path).exists()]
        session.repo.git.add(here)
        gone = [path for path in listed if path not in here]
        if gone:
            session.repo.git.remove_cached(gone)
        return
    render.say(session, "git add " + " ".join(shlex.quote(session.shown(path)) for path in listed))
