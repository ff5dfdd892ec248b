"""`.gitattributes` at the root: which files Git merges and shows with the help of mlgit.

The lines are committed, so they hold in every clone. What they name is a command only where this machine's own Git
configuration says so (see `ops/ci/drivers.py`); elsewhere Git takes the files as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from mlgit.errors import UnsafeError
from mlgit.fs import atomic
from mlgit.model.relpath import RelPath

NAME: Final = ".gitattributes"
DRIVERS: Final = {
    "mlgit.lock": ("merge=mlgit-lock", "diff=mlgit-lock"),
    "*.mlgit": ("merge=mlgit-pointer", "diff=mlgit-pointer"),
}
"""Pattern → the drivers for the files that it matches."""


def declare(root: Path, metrics: Iterable[RelPath] = ()) -> list[RelPath]:
    """Append the lines that are missing; what is there stays. Returns the file if it changed.

    Args:
        metrics: files to be shown as metrics.

    Raises:
        UnsafeError: the file is a symbolic link, which Git would not follow either.
        DiskError: it cannot be read or written.
    """
    wanted = missing(root, metrics)
    if not wanted:
        return []
    file = root / NAME
    data = _read(file)
    data += b"\n" if data and not data.endswith(b"\n") else b""
    atomic.write_bytes(file, data + "".join(f"{line}\n" for line in wanted).encode())
    return [RelPath(NAME)]


def missing(root: Path, metrics: Iterable[RelPath] = ()) -> list[str]:
    """The lines that the file lacks; where it says already how to merge or show a pattern is the user's own affair."""
    lines = [line.split() for line in _read(root / NAME).decode(errors="replace").splitlines()]
    said = {(words[0], name) for words in lines if words for word in words[1:] for name in _attribute(word)}
    found = []
    for pattern, drivers in DRIVERS.items():
        lacking = [word for word in drivers if (pattern, *_attribute(word)) not in said]
        found += [f"{pattern} {' '.join(lacking)}"] if lacking else []
    return found + [f"{_pattern(path)} diff=mlgit-metrics" for path in metrics]


def _pattern(path: RelPath) -> str:
    """The pattern that matches one path and no other: no sign of it is special, blanks are quoted; gitattributes(5)."""
    text = "/" + re.sub(r"[\\*?\[]", r"\\\g<0>", path)
    if not re.search(r'[\s"\x00-\x1f\x7f]', text):
        return text
    signs = {'"': '\\"', "\\": "\\\\"}
    return '"' + "".join(signs.get(one) or (one if ord(one) >= 32 else f"\\{ord(one):03o}") for one in text) + '"'


def _attribute(word: str) -> tuple[str, ...]:
    """The attribute that a word such as `merge=x`, `-merge` or `binary` sets."""
    name = word.lstrip("-!").partition("=")[0]
    return ("diff", "merge", "text") if name == "binary" else (name,)


def _read(file: Path) -> bytes:
    if file.is_symlink():
        raise UnsafeError(f"{file} is a symbolic link", hint="replace it with a file of its own")
    with atomic.disk_errors(file):
        return file.read_bytes() if file.exists() else b""
