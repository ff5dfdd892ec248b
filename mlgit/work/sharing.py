"""Which repositories use a cache that is not one repository's own, so that `gc` keeps what any of them needs.

Each leaves its root's path in the cache, under a name made from it, before it first writes there. Working trees of one
Git repository (`git worktree`) are repositories of their own here: each has its own pointers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from mlgit.fs import atomic
from mlgit.store.hashing import hash_bytes
from mlgit.work.control import CONTROL

FOLDER: Final = "repositories"


def prepare(cache: Path, scratch: Path) -> None:
    """Make the folders of a cache that a group shares, those of files that are on their way or damaged among them.

    Raises:
        DiskError: one is closed to the group, and another user's.
    """
    for folder in (cache, scratch.parent, scratch, cache / FOLDER, cache / "damaged"):
        atomic.make_folders(folder, shared=True)


def register(cache: Path, root: Path, *, shared: bool = False) -> None:
    """Note that the repository at `root` uses the cache at `cache`.

    Args:
        shared: the group of the cache's folder may write to it.

    Raises:
        DiskError: it cannot be written.
    """
    file = cache / FOLDER / hash_bytes("blake3", str(root).encode(errors="surrogateescape")).hex[:32]
    if not file.exists():
        atomic.make_folders(file.parent, shared=shared)
        atomic.write_bytes(file, str(root).encode(errors="surrogateescape"), atomic.SHARED_FILE if shared else None)


def users(cache: Path) -> dict[Path, Path | None]:
    """Every repository that uses the cache: its root → the file that says so; None for the one it lies in."""
    with atomic.disk_errors(cache):
        files = sorted((cache / FOLDER).glob("*"))
        owner = cache.resolve().parent
        own: dict[Path, Path | None] = {owner.parent: None} if owner.name == CONTROL else {}
        return {**own, **{Path(file.read_bytes().decode(errors="surrogateescape")): file for file in files}}
