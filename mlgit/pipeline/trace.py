"""Which files a command touches, as strace sees it.

The command stays the direct child of whoever starts it: strace runs beside it, in the same process group, so that exit
status, signals and the end of the group are what they would be without it. Only calls that name files stop the
command. What strace cannot see: names in calls that a program hands to io_uring. Looking at a file that is there
(`stat`) does not count as reading it. Nothing here judges what it sees; `undeclared.py` does.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mlgit.errors import MlgitError
from mlgit.fs.atomic import disk_errors
from mlgit.model.relpath import RelPath

_OPENS: Final = ("open", "openat", "openat2", "creat")
_PROBES: Final = ("stat", "lstat", "newfstatat", "fstatat64", "statx", "access", "faccessat", "faccessat2")
_FORKS: Final = ("clone", "clone3", "fork", "vfork")
_CHANGES: Final = ("truncate", "unlink", "unlinkat", "symlink", "symlinkat")
_MOVES: Final = ("rename", "renameat", "renameat2", "link", "linkat")
_RUNS: Final = ("execve", "execveat")
_TRACED: Final = (*_OPENS, *_PROBES, *_FORKS, *_CHANGES, *_MOVES, *_RUNS, "chdir", "fchdir")
_OPTIONS: Final = (
    "-D",  # strace is nobody's parent: the command's status and signals are its own
    "-I3",  # and outlives a signal that the command handles; without its tracer every traced call would fail
    "-f",
    "-y",  # say which folder a descriptor means
    *("-s", "0"),  # no arguments of programs; names of files are always whole
    *("-e", "signal=none"),
    *("-e", "quiet=attach,personality,path-resolution,thread-execve"),
    *("-e", "verbose=openat2,clone3"),
    *("-e", "trace=" + ",".join(f"?{name}" for name in _TRACED)),
)
_SHELL: Final = ("/bin/sh", "-c")
_EXEC: Final = 'exec "$@"'
_PROBE_SECONDS: Final = 10.0

_STRING: Final = rb'"(?:[^"\\]|\\.)*"(?:\.\.\.)?'
_ANGLE: Final = rb"<(?:[^<>\\]|\\.)*>(?:\(deleted\))?"
_CALL: Final = re.compile(rb'(\w+)\(((?:[^"<)]|' + _STRING + rb"|" + _ANGLE + rb")*)\)\s*= (.*)", re.DOTALL)
_TOKEN: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"|<((?:[^<>\\]|\\.)*)>', re.DOTALL)
_RESUMED: Final = re.compile(rb"<\.\.\. \w+ resumed>")
_OPENED: Final = re.compile(rb"\d+<((?:[^<>\\]|\\.)*)>$", re.DOTALL)
_ESCAPE: Final = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)
_LETTERS: Final = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"v": b"\v", b"f": b"\f"}
_LOOK: Final = re.compile(rb'(?:openat|newfstatat|faccessat2?|statx)\(AT_FDCWD<[^<>]*>, "/|(?:open|access|l?stat)\("/')
"""How most lines begin: a call on one file that is named in full."""
_SEEN: Final = (b"newfstatat(", b"stat(", b"lstat(", b"statx(", b"access(", b"faccessat")
_UNFINISHED: Final = b" <unfinished ...>"


@dataclass(frozen=True, slots=True)
class Accesses:
    """What a command and all that it started did below one folder. Names that mlgit refuses to track are left out.

    Attributes:
        read: files opened for reading or run, unless the command had written them before.
        written: files made, changed, renamed or removed, also those that are gone again.
        missing: looked for and not there, and not made later.
        links: a name that led through a symbolic link → the file that was opened; both are in `read` or `written`.
    """

    read: frozenset[RelPath] = frozenset()
    written: frozenset[RelPath] = frozenset()
    missing: frozenset[RelPath] = frozenset()
    links: Mapping[RelPath, RelPath] = field(default_factory=dict)


def available() -> bool:
    """Whether strace is there and may trace; found out once, by tracing an empty command."""
    return _tracer() is not None


def wrap(words: Sequence[str], log: Path) -> list[str]:
    """`words` such that running them runs the same command under strace, which writes to `log`.

    The log is complete for the command itself when its status is there; what it leaves running is traced on.

    Raises:
        ValueError: strace is not `available`.
    """
    tracer = _tracer()
    if tracer is None:
        raise ValueError("strace is not available")
    run = list(words) if os.path.isabs(words[0]) else [*_SHELL, _EXEC, "mlgit", *words]
    return [*tracer, "-o", os.path.abspath(log), *run]


def read(log: Path, root: Path, start: Path) -> Accesses:
    """What the command of `log` did below `root`.

    Args:
        start: the folder in which the command was started; links on the way are followed.

    Raises:
        MissingError, DiskError: the log cannot be read.
    """
    reader = _Reader(root, start)
    with disk_errors(log), open(log, "rb") as lines:
        for line in lines:
            reader.take(line.rstrip(b"\n"))
    return reader.result()


@functools.cache
def _tracer() -> tuple[str, ...] | None:
    """The first words of a trace, the fastest way that works here; None if none does."""
    program = shutil.which("strace")
    if program is None:
        return None
    for extra in (("--seccomp-bpf",), ()):  # with it, calls that are not traced cost nothing
        words = (program, *_OPTIONS, *extra)
        try:
            done = subprocess.run(
                (*words, "-o", os.devnull, *_SHELL, "exit 42"),
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=_PROBE_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 42 and not done.stderr:
            return words
    return None


class _Reader:
    """Goes through a log line by line; what it keeps grows with the files below `root`, not with the log."""

    def __init__(self, root: Path, start: Path) -> None:
        real = os.path.realpath(root)
        self._roots = tuple(
            os.fsencode(one).rstrip(b"/") + b"/" for one in dict.fromkeys((real, os.path.abspath(root)))
        )
        self._escaped = not all(re.fullmatch(rb"[\w./@%+=:, -]*", root) for root in self._roots)
        self._start = os.fsencode(os.path.realpath(start))
        self._folders: dict[bytes, list[bytes]] = {}  # a process → its current folder, shared by its threads
        self._pending: dict[bytes, bytes] = {}  # a process → the call it is in
        self._read: set[RelPath] = set()
        self._written: set[RelPath] = set()
        self._missing: set[RelPath] = set()
        self._links: dict[RelPath, RelPath] = {}
        self._name = functools.lru_cache(1 << 14)(self._below)

    def result(self) -> Accesses:
        missing = self._missing - self._written
        return Accesses(frozenset(self._read), frozenset(self._written), frozenset(missing), self._links)

    def take(self, line: bytes) -> None:
        process, _, body = line.partition(b" ")
        body = body.lstrip(b" ")
        if body.startswith(b"+++"):
            self._folders.pop(process, None)
            self._pending.pop(process, None)
            return
        if body.endswith(_UNFINISHED):
            self._pending[process] = body[: -len(_UNFINISHED)]
            return
        resumed = _RESUMED.match(body)
        if resumed:
            body = self._pending.pop(process, b"") + body[resumed.end() :]
        call = None if self._is_elsewhere(body) else _CALL.match(body)
        if call:
            name, arguments, value = call.groups()
            self._call(process, name.decode("ascii", "replace"), arguments, value)

    def _is_elsewhere(self, body: bytes) -> bool:
        """Whether it can be told at a glance that the call is of no interest, as nearly all are."""
        if body.startswith(_SEEN) and body.endswith(b" = 0"):
            return True
        match = _LOOK.match(body)
        if match is None or self._escaped or b"/../" in body:
            return False
        return all(body.find(root, match.end() - 1) < 0 for root in self._roots)

    def _folder(self, process: bytes) -> list[bytes]:
        """The current folder of `process`; of one that is seen for the first time, that of who is just forking."""
        if process not in self._folders:
            parents = [
                (one, call) for one, call in self._pending.items() if call.startswith((b"clone", b"vfork", b"fork"))
            ]
            parent, call = parents[-1] if parents else (b"", b"")
            cell = self._folders.get(parent, [self._start])
            self._folders[process] = cell if b"CLONE_FS" in call else [cell[0]]
        return self._folders[process]

    def _call(self, process: bytes, name: str, arguments: bytes, value: bytes) -> None:
        folder = self._folder(process)
        if name in _FORKS:
            child = value.split(b" ")[0].partition(b"<")[0]
            if child not in self._folders and child.isdigit():
                self._folders[child] = folder if b"CLONE_FS" in arguments else [folder[0]]
            return
        failed = value.startswith((b"-", b"?"))
        absent = value.startswith((b"-1 ENOENT", b"-1 ENOTDIR"))
        if (failed and not absent) or (not failed and name in _PROBES):
            return
        paths, rest = _paths(arguments, folder)
        if name in ("chdir", "fchdir"):
            if not failed and paths:
                folder[0] = os.path.realpath(paths[0])
        elif absent:
            self._missing.update(self._names(paths[:1]))
        elif name in _OPENS:
            self._open(paths, b"O_WRONLY|O_CREAT|O_TRUNC" if name == "creat" else rest, value)
        elif name in _RUNS:
            self._reads(self._names(paths[:1]))
        elif name in _MOVES:
            self._move(*(self._name(path) for path in paths[:2]), gone=name.startswith("rename"))
        elif b"AT_REMOVEDIR" not in rest:
            self._written.update(self._names(paths[-1:]))

    def _names(self, paths: Sequence[bytes]) -> set[RelPath]:
        return {name for name in map(self._name, paths) if name is not None}

    def _open(self, paths: Sequence[bytes], flags: bytes, value: bytes) -> None:
        if any(flag in flags for flag in (b"O_DIRECTORY", b"O_PATH", b"O_TMPFILE")):
            return
        match = _OPENED.match(value)
        spelled = self._name(paths[0]) if paths else None
        opened = self._name(_plain(match[1])) if match else None
        if spelled is not None and opened is not None and spelled != opened:
            self._links[spelled] = opened
        names = {name for name in (spelled, opened) if name is not None}
        if b"O_WRONLY" not in flags and b"O_TRUNC" not in flags and b"O_EXCL" not in flags:
            self._reads(names)
        if b"O_WRONLY" in flags or b"O_RDWR" in flags:
            self._written.update(names)

    def _reads(self, names: set[RelPath]) -> None:
        self._read.update(names - self._written)

    def _move(self, old: RelPath | None = None, new: RelPath | None = None, *, gone: bool) -> None:
        below = [path for path in self._written if path.within(old)] if old and old not in self._written else []
        if old is not None:
            if not below:
                self._reads({old})
            if gone:
                self._written.add(old)
        if new is not None:
            self._written.add(new)
            self._written.update(new.child(path.relative(old)) for path in below if old)

    def _below(self, path: bytes) -> RelPath | None:
        """`path`, which is absolute, as seen from the root; None for one outside it or of no interest to mlgit."""
        if b"/../" in path or path.endswith(b"/.."):
            head, _, tail = path.rpartition(b"/")
            path = os.path.realpath(path) if tail == b".." else os.path.join(os.path.realpath(head), tail)
        path = os.path.normpath(path)
        for root in self._roots:
            if path.startswith(root):
                try:
                    return RelPath.parse(os.fsdecode(path[len(root) :]))
                except MlgitError:
                    return None
        return None


def _paths(arguments: bytes, folder: list[bytes]) -> tuple[list[bytes], bytes]:
    """The files that a call names, absolute, and what follows the last name; takes note of the folder it shows."""
    paths: list[bytes] = []
    base, end = folder[0], 0
    for token in _TOKEN.finditer(arguments):
        text, shown = token.groups()
        end = token.end()
        if shown is None:
            paths.append(os.path.join(base, _plain(text)))
            base = folder[0]
            continue
        base = _plain(shown)
        if arguments.endswith(b"AT_FDCWD", 0, token.start()):
            folder[0] = base
    return paths or [base], arguments[end:]


def _plain(text: bytes) -> bytes:
    """`text` without strace's escapes."""
    return _ESCAPE.sub(_unescape, text) if b"\\" in text else text


def _unescape(match: re.Match[bytes]) -> bytes:
    code = match[1]
    return bytes((int(code, 8) & 0xFF,)) if code[0] in b"01234567" else _LETTERS.get(code, code)
