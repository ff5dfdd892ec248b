"""The program itself as Git sees it: where it is installed, and what surroundings it is called in."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def program() -> str:
    """Where the `mlgit` that runs now is installed, since Git may call it with another PATH."""
    for place in (Path(sys.argv[0]), Path(sys.executable).with_name("mlgit")):
        if place.stem == "mlgit" and place.is_file() and os.access(place, os.X_OK):
            return str(place.absolute())
    return "mlgit"


def leave_git_surroundings(cwd: Path) -> None:
    """Forget where Git stood when it called mlgit, so that asking it from another folder gives the right answers.

    The index stays the one that Git is about to commit, which `git commit -a` and `git commit PATH` put elsewhere.
    """
    index = os.environ.get("GIT_INDEX_FILE")
    if index:
        os.environ["GIT_INDEX_FILE"] = str(cwd / index)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_PREFIX"):
        os.environ.pop(name, None)
