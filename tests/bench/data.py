"""The data that is measured on: trees of small random files, one large file, one changed file.

Exists because a million files must be made in seconds: one descriptor a folder, names relative to it, no path objects.
It must never delete: ext4 scans past freed inodes, and every later create in the run would pay for it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Shape:
    """`files` files of `size` bytes each, spread evenly over `folders` folders (1: all in the top folder)."""

    files: int
    folders: int
    size: int

    def __str__(self) -> str:
        where = f"{self.folders:,} folders" if self.folders > 1 else "one folder"
        return f"{self.files:,} × {readable(self.size)} in {where}"


def readable(size: float) -> str:
    """Bytes for people: `4 KiB`, `2 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:.4g} {unit}"
        size /= 1024
    raise AssertionError


def parse_bytes(text: str) -> int:
    """A number of bytes: `4096`, `64K`, `512M`, `2G`. Raises ValueError for anything else."""
    power = "KMGT".find(text[-1:].upper()) + 1 if text else 0
    return int(float(text[:-1]) * 1024**power) if power else int(text)


def make_tree(root: Path, shape: Shape) -> None:
    """Make `root` and below it what `shape` says; every file differs from every other."""
    root.mkdir(parents=True)
    if shape.folders == 1:
        _fill(root, range(shape.files), shape.size)
        return
    for number in range(shape.folders):
        below = root / f"{number:05}"
        below.mkdir()
        _fill(below, range(number, shape.files, shape.folders), shape.size)


def _fill(folder: Path, numbers: range, size: int) -> None:
    beneath = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for number in numbers:
            file = os.open(f"f{number:07}.bin", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=beneath)
            os.write(file, os.urandom(size))
            os.close(file)
    finally:
        os.close(beneath)


def make_large(path: Path, size: int) -> None:
    """Make one random file of `size` bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for start in range(0, size, _BLOCK):
            file.write(os.urandom(min(_BLOCK, size - start)))


def change_one(root: Path) -> None:
    """Give the first file below `root` other bytes of the same size; no other file is touched."""
    folder = root
    while True:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        if entries[0].is_file(follow_symlinks=False):
            Path(entries[0].path).write_bytes(os.urandom(entries[0].stat().st_size))
            return
        folder = Path(entries[0].path)


def stored_bytes(root: Path) -> int:
    """The sizes of all files below `root`, added up; 0 if it does not exist."""
    total = 0
    for folder, _, names in os.walk(root):
        total += sum(os.lstat(os.path.join(folder, name)).st_size for name in names)
    return total
