"""What commands run with today, apart from what stages declare: Python, its packages, and the platform.

The Python is the one that a command would find on its PATH, never mlgit's own. It is asked once, in a process of its
own, where it keeps packages; the answer is kept in a file and used as long as the program and these folders stand as
they did. Packages are read from the names of their metadata folders, each time: nothing is imported.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from blake3 import blake3

import mlgit
from mlgit.errors import MlgitError
from mlgit.fs import atomic
from mlgit.model.lock import canonical
from mlgit.model.runrecord import MAX_PACKAGES, PACKAGE, Environment

_CACHE: Final = "surroundings.json"
_VERSION: Final = 1
"""Of what the file holds and `_QUESTION` asks; another one is asked anew."""

_SECONDS: Final = 60.0
_SHOWN: Final = 8
"""How many packages `differences` names."""

_QUESTION: Final = """\
import sys
sys.path[:] = [path for path in sys.path if path]
import json, platform
kind = platform.python_implementation()
version = platform.python_version()
print("\\n" + json.dumps([
    version if kind == "CPython" else kind + " " + version,
    platform.system() + "-" + platform.machine(),
    sys.path,
]))
"""
"""The current folder is taken off the path first: a file there that is called `json.py` must not run."""

_METADATA: Final = re.compile(r"(.+?)-([0-9v][^-]*)(?:-py[0-9.]+)?(?:-[^-]+)?\.(?:dist|egg)-info")


@dataclass(frozen=True, slots=True)
class _Python:
    """What an interpreter says of itself; `folders` are those it imports from."""

    version: str
    platform: str
    folders: tuple[str, ...]


def current(search: str, cache_folder: Path) -> Environment:
    """The surroundings of a command that runs now.

    Args:
        search: the PATH that the command gets; `python` on it is looked at, else `python3`.
        cache_folder: where to remember the interpreter; need not be there, or be writable.
    """
    python = _find(search, cache_folder)
    here = python.platform if python else f"{platform.system()}-{platform.machine()}"
    version, packages = (python.version, _packages(python.folders)) if python else (None, ())
    hashed = blake3(canonical([version, here, packages]).encode("utf-8", "surrogatepass")).hexdigest()
    return Environment(version, here, mlgit.__version__, packages, hashed)


def differences(then: Environment, now: Environment) -> tuple[str, ...]:
    """What is not as it was, in words, such as `numpy 1.26.4 → 2.0.0`; empty if a stage would run with the same.

    mlgit's own version does not count. A record that tells nothing about packages is compared by platform alone, for
    its Python was not that of the command.
    """
    words = [f"platform {then.platform} → {now.platform}"] if then.platform != now.platform else []
    if not then.fingerprint or not now.fingerprint or then.fingerprint == now.fingerprint:
        return tuple(words)
    if then.python != now.python:
        words.append(f"Python {then.python or 'none'} → {now.python or 'none'}")
    packages = list(_changes(_versions(then), _versions(now)))
    more = len(packages) - _SHOWN
    return (*words, *packages[:_SHOWN], *([f"{more} more packages"] if more > 0 else []))


def _changes(then: dict[str, str], now: dict[str, str]) -> Iterator[str]:
    for name in sorted(then.keys() | now.keys()):
        if name not in now:
            yield f"{name} removed"
        elif name not in then:
            yield f"{name} {now[name]} added"
        elif then[name] != now[name]:
            yield f"{name} {then[name]} → {now[name]}"


def _versions(environment: Environment) -> dict[str, str]:
    return {name: version for name, _, version in (package.partition("==") for package in environment.packages)}


def _packages(folders: tuple[str, ...]) -> tuple[str, ...]:
    """Installed packages, sorted; where a name is found twice the first folder's is what an import gets."""
    found: dict[str, str] = {}
    for folder in folders:
        try:
            names = sorted(os.listdir(folder))
        except OSError:  # an archive, or not there
            continue
        for name in names:
            match = _METADATA.fullmatch(name) if name.endswith("-info") else None
            if match:
                package = re.sub(r"[-_.]+", "-", match[1]).lower()
                found.setdefault(package, f"{package}=={match[2]}")
    return tuple(sorted(filter(PACKAGE.fullmatch, found.values()))[:MAX_PACKAGES])


def _find(search: str, cache_folder: Path) -> _Python | None:
    program = _program(search)
    if program is None:
        return None
    if _is_script(program):
        return _ask_shim(program)
    file = cache_folder / _CACHE
    known = _recall(file, program)
    if known is not None:
        return known
    python = _ask(program)
    if python is not None:
        _remember(file, program, python)
    return python


def _program(search: str) -> str | None:
    """The `python` on `search`. Folders that are not absolute mean another one for each command, and are left out."""
    absolute = os.pathsep.join(folder for folder in search.split(os.pathsep) if os.path.isabs(folder))
    return (shutil.which("python", path=absolute) or shutil.which("python3", path=absolute)) if absolute else None


def _is_script(program: str) -> bool:
    """Whether it is a shim that may start another Python tomorrow although the file stays the same."""
    try:
        with open(program, "rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return True


def _ask(program: str) -> _Python | None:
    """Have the interpreter describe itself; None if it cannot even do that."""
    try:
        done = subprocess.run(
            (program, "-E", "-c", _QUESTION),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
        return _python(json.loads(done.stdout.splitlines()[-1]))
    except (OSError, subprocess.TimeoutExpired, ValueError, TypeError, IndexError):
        return None


_ask_shim = functools.cache(_ask)
"""A shim is asked once in a process, and what it says is not kept for the next one."""


def _python(value: Any) -> _Python:
    """Raises `ValueError` or `TypeError` for what is no answer."""
    version, system, folders = value
    texts = (version, system, *folders)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(value)
    return _Python(version, system, tuple(folders))


def _recall(file: Path, program: str) -> _Python | None:
    """What was remembered of `program`, if everything it depends on stands as it did."""
    try:
        kept = json.loads(file.read_bytes())
        python = _python(kept["python"])
        return python if kept["signature"] == _signature(program, python.folders) else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _remember(file: Path, program: str, python: _Python) -> None:
    kept = {
        "signature": _signature(program, python.folders),
        "python": [python.version, python.platform, python.folders],
    }
    with contextlib.suppress(MlgitError):
        atomic.write_text(file, json.dumps(kept))


def _signature(program: str, folders: tuple[str, ...]) -> list[Any]:
    """Name, size and time of the program, of its virtual environment and of every folder it imports from."""
    found: list[Any] = [_VERSION]
    for path in (program, os.path.join(os.path.dirname(os.path.dirname(program)), "pyvenv.cfg"), *folders):
        try:
            seen = os.stat(path)
            found.append([path, seen.st_mtime_ns, seen.st_size])
        except OSError:
            found.append([path])
    return found
