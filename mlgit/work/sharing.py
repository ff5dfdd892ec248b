"""Which repositories use a cache that is not one repository's own, so that `gc` keeps what any of them needs.

Each leaves its root's path in the cache, under a name made from it, before it first writes there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from mlgit.fs import atomic
from mlgit.store.hashing import hash_bytes

FOLDER: Final = "repositories"


def register(cache: Path, root: Path) -> None:
    """Note that the repository at `root` uses the cache at `cache`.

    Raises:
        DiskError: it cannot be written.
    """
    file = cache / FOLDER / hash_bytes("blake3", str(root).encode(errors="surrogateescape")).hex[:32]
    if not file.exists():
        with atomic.disk_errors(file):
            file.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(file, str(root).encode(errors="surrogateescape"))


def users(cache: Path) -> dict[Path, Path]:
    """Every repository that uses the cache: its root → the file that says so."""
    with atomic.disk_errors(cache):
        files = sorted((cache / FOLDER).glob("*"))
        return {Path(file.read_bytes().decode(errors="surrogateescape")): file for file in files}
