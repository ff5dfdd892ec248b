"""`.gitattributes` at the root: which files Git merges with the help of mlgit.

The lines are committed, so they hold in every clone. What they name is a command only where this machine's own Git
configuration says so (see `ops/ci/install.py`); elsewhere Git merges the files as text.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from mlgit.errors import UnsafeError
from mlgit.fs import atomic
from mlgit.model.relpath import RelPath

NAME: Final = ".gitattributes"
DRIVERS: Final = {"mlgit.lock": "mlgit-lock", "*.mlgit": "mlgit-pointer"}
"""Pattern → the merge driver for the files that it matches."""


def declare(root: Path) -> list[RelPath]:
    """Append the lines that are missing; what is there stays. Returns the file if it changed.

    Raises:
        UnsafeError: the file is a symbolic link, which Git would not follow either.
        DiskError: it cannot be read or written.
    """
    wanted = missing(root)
    if not wanted:
        return []
    file = root / NAME
    data = _read(file)
    data += b"\n" if data and not data.endswith(b"\n") else b""
    atomic.write_bytes(file, data + "".join(f"{line}\n" for line in wanted).encode())
    return [RelPath(NAME)]


def missing(root: Path) -> list[str]:
    """The lines that the file lacks; a pattern for which it says already how to merge is the user's own affair."""
    lines = [line.split() for line in _read(root / NAME).decode(errors="replace").splitlines()]
    said = {words[0] for words in lines if words and any("merge" in _attribute(word) for word in words[1:])}
    return [f"{pattern} merge={driver}" for pattern, driver in DRIVERS.items() if pattern not in said]


def _attribute(word: str) -> tuple[str, ...]:
    """The attribute that a word such as `merge=x`, `-merge` or `binary` sets."""
    name = word.lstrip("-!").partition("=")[0]
    return ("diff", "merge", "text") if name == "binary" else (name,)


def _read(file: Path) -> bytes:
    if file.is_symlink():
        raise UnsafeError(f"{file} is a symbolic link", hint="replace it with a file of its own")
    with atomic.disk_errors(file):
        return file.read_bytes() if file.exists() else b""
