"""The machine that is measured on: where the work happens, and what must be known to read the numbers.

It never touches a file system it was not given: a folder of its own is made inside `--folder`, or a fresh ext4 image
is mounted at a temporary place and unmounted at the end.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.bench.process import ToolFailedError
from tests.bench.tools import Borg, Dvc, GitLfs, Mlgit, Tool

_INODE_EVERY = 8192  # bytes: a million files of one block each are put down three times


@contextmanager
def fresh_folder(parent: str) -> Iterator[Path]:
    """A new folder in `parent`, removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def fresh_ext4(size: int) -> Iterator[Path]:
    """A new ext4 of `size` bytes in a sparse image in the folder for temporary files, mounted; gone at the end.

    Its inode tables are not filled in the background, which would disturb what is measured. Needs root.
    Raises: ToolFailedError if it cannot be made or mounted.
    """
    with fresh_folder(tempfile.gettempdir()) as folder:
        image, mounted = folder / "image", folder / "mounted"
        with image.open("wb") as file:
            file.truncate(size)
        mounted.mkdir()
        _do("mkfs.ext4", "-q", "-F", "-i", str(_INODE_EVERY), str(image))
        _do("mount", "-o", "loop,noinit_itable", str(image), str(mounted))
        try:
            yield mounted
        finally:
            _do("umount", "-l", str(mounted))  # lazily: a tool that was interrupted may still be ending


def _do(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolFailedError(f"`{' '.join(words)}`: exit {done.returncode}\n{done.stdout}{done.stderr}")


def facts(where: Path, programs: Mapping[type[Tool], tuple[str, ...]], env: Mapping[str, str]) -> dict[str, object]:
    """Cores, memory, Python, kernel, the file system of `where`, and the version of every tool."""
    asked = {Mlgit: ("--version",), Dvc: ("--version",), GitLfs: ("lfs", "version"), Borg: ("--version",)}
    tools = {kind.name: _version((*programs[kind], *words), env) for kind, words in asked.items() if kind in programs}
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "python": platform.python_version(),
        "system": platform.platform(),
        "file system": file_system(where),
        "load": os.getloadavg()[0],
        "tools": tools | {"git": _version(("git", "--version"), env)},
    }


def _version(words: Iterable[str], env: Mapping[str, str]) -> str:
    done = subprocess.run([*words], env=dict(env), capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip()


def file_system(where: Path) -> str:
    """The type of the file system that holds `where`, such as `ext4`; `unknown` where the system has no list."""
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return "unknown"
    mounts = {Path(line.split()[1]): line.split()[2] for line in lines}
    above = (folder for folder in (where.resolve(), *where.resolve().parents) if folder in mounts)
    return mounts[next(above)]
