"""Running a tool and measuring it: seconds, processor seconds and peak memory of its process.

Exists because the numbers of one child must not mix with those of another: `os.wait4` gives them child by child. A
child's peak memory begins at that of the process that started it, so this one must stay small: it never holds data.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_GITCONFIG = """\
[user]
    name = Bench
    email = bench@example.org
[gc]
    auto = 0
[maintenance]
    auto = false
[init]
    defaultBranch = main
"""


class ToolFailedError(Exception):
    """A measured or a preparing command failed; the message names it and shows its output."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command line and the folder it runs in."""

    words: tuple[str, ...]
    folder: Path


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement: wall seconds, user and system seconds, and the peak resident memory in bytes."""

    seconds: float
    cpu: float
    memory: int


def environment(home: Path) -> dict[str, str]:
    """The environment of every tool: its user's files in `home`, none of this machine's, bytecode kept."""
    home.mkdir(parents=True, exist_ok=True)
    (home / ".gitconfig").write_text(_GITCONFIG)
    left_out = ("GIT_", "DVC_", "BORG_", "MLGIT_", "XDG_", "PYTHONDONTWRITEBYTECODE")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
    return kept | {
        "HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(home / "dvc"),
        "BORG_BASE_DIR": str(home),
        "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
    }


def run(commands: Sequence[Command], env: Mapping[str, str]) -> Sample:
    """Run `commands` in turn and measure them as one.

    Returns: seconds added up, and the largest peak memory.
    Raises: ToolFailedError if one of them does not exit with 0.
    """
    seconds = cpu = 0.0
    memory = 0
    for command in commands:
        with tempfile.TemporaryFile() as output:
            started = time.perf_counter()
            child = subprocess.Popen(
                command.words, cwd=command.folder, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
            _, status, usage = os.wait4(child.pid, 0)
            seconds += time.perf_counter() - started
            child.returncode = os.waitstatus_to_exitcode(status)
            if child.returncode:
                output.seek(0)
                said = output.read().decode(errors="replace")[-4000:]
                raise ToolFailedError(
                    f"`{' '.join(command.words)}` in {command.folder}: exit {child.returncode}\n{said}"
                )
        cpu += usage.ru_utime + usage.ru_stime
        memory = max(memory, usage.ru_maxrss * (1 if os.uname().sysname == "Darwin" else 1024))
    return Sample(seconds, cpu, memory)


def settle(folder: Path, env: Mapping[str, str]) -> None:
    """Write out what earlier work left unwritten on the file system of `folder`.

    Without it, a tool that calls fsync would pay for the files of the one before it.
    """
    if os.uname().sysname == "Linux":
        run([Command(("sync", "-f", str(folder)), folder)], env)
