"""The folder `.mlgit`: what of it may come with a commit, and what must be this machine's own.

The cache, the locks, the local configuration and the list of trusted remotes are written and believed without further
checks. A commit that brings one of them, or a symbolic link in its place, could lead writes out of the repository, set
options that run programs, or answer questions in the user's name.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from mlgit.errors import UnsafeError
from mlgit.git import Git

CONTROL: Final = ".mlgit"
_SHARED: Final = ("config.yaml", ".gitignore")
_BELIEVED: Final = ("config.local.yaml", "trusted")


def check_own(root: Path, git: Git) -> None:
    """Refuse a repository whose commits bring what only this machine may write.

    Git is asked only where something is there that could do harm.

    Raises:
        UnsafeError: naming the path.
    """
    control = root / CONTROL
    with os.scandir(control) as entries:
        suspect = control.is_symlink() or any(one.is_symlink() or one.name in _BELIEVED for one in entries)
    if not suspect:
        return
    for line in git.run("ls-files", "-s", "-z", "--", f":(icase){CONTROL}").split("\0")[:-1]:
        head, _, path = line.partition("\t")
        if head.startswith("120000") or path.lower() not in [f"{CONTROL}/{name}" for name in _SHARED]:
            raise UnsafeError(
                f"{path} comes with a commit, but must be this machine's own",
                hint=f"if you trust the repository: git rm -r --cached '{path}', and delete it",
            )
