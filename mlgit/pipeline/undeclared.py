"""What a command touched although its stage does not declare it, and what to write into the stage file about it.

Two witnesses are heard: strace, which sees every file that is opened, and, for a command that failed where only its
declared inputs were, the last of its output. The second is needed even where strace is at hand: Python, for one, lists
a folder rather than open a module that is not there. What is worth a word, callers say with a predicate; nothing is
changed here, and of the disk only one thing asked: whether a file that a message names is there after all.
"""

from __future__ import annotations

import glob
import os
import posixpath
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from mlgit.errors import MlgitError
from mlgit.model.glob import matches
from mlgit.model.lock import NAME as LOCK
from mlgit.model.relpath import RelPath
from mlgit.model.stage import Stage
from mlgit.model.template import escape
from mlgit.model.text import dump_yaml
from mlgit.pipeline.trace import Accesses

Matters = Callable[[RelPath], bool]
"""Whether a path is a file that Git knows or would add, that mlgit tracks, or an output; true also for folders of such
files, if a command that fails to list one is to hear of it."""

MAX_TAIL: Final = 1 << 16
"""Bytes of output that are looked at, from its end."""
_LAST: Final = 20
"""Lines at the end in which any name of a file counts, be it with a complaint or without."""

_MANY: Final = 5
"""From this many files of one folder on, the folder is named."""

_CACHE: Final = "__pycache__"
_COMPILED: Final = re.compile(r"(.*?)(?:^|/)__pycache__/([^/]+?)\.[\w-]+(?:\.opt-\w+)?\.pyc")
_WORD: Final = re.compile(
    r"\"([^\"\n]+)\"|'([^'\n]+)'|`([^`'\n]+)[`']|‘([^’\n]+)’|“([^”\n]+)”|([^\s\"'`‘’“”()\[\]{}<>,;|=]+)"
)
_COMPLAINT: Final = re.compile(
    r"no such file|not found|(?:cannot|can't|could not|couldn't|failed to|unable to) "
    r"(?:open|find|access|read|stat|load|locate)|(?:does not|doesn't|not) exist|ENOENT|FileNotFound|missing"
    r"|opening file",
    re.IGNORECASE,
)
_MODULE: Final = re.compile(
    r"No module named '?([\w.]+)|cannot import name '(\w+)' from (?:partially initialized module )?'([\w.]+)'"
)
_FRAME: Final = re.compile(
    r'File "([^"\n]+)", line \d|^- (/[^\n]+)$|^\s+at .*?\(?((?:file://)?/[^\s()]+?):\d+', re.MULTILINE
)
_ENDINGS: Final = ("", ".js", ".mjs", ".cjs", ".json", ".ts", "/index.js", ".R", ".jl", ".py", ".sh")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a stage does and does not declare.

    Attributes:
        path: the file, or the folder that holds `files` of them.
    """

    stage: Stage
    path: RelPath
    kind: Literal["reads", "writes"]
    files: int = 1

    @property
    def words(self) -> str:
        """What it does, to follow the stage's name."""
        what = str(self.path) if self.files == 1 else f"{self.files} files in {self.path}"
        return f"{self.kind} {what}, which it does not declare"

    @property
    def line(self) -> str:
        """The line to add to the stage's entry."""
        seen = posixpath.relpath(self.path, self.stage.wdir or ".")
        return dump_yaml([escape(glob.escape(seen) if self.kind == "reads" else seen)]).strip()

    @property
    def hint(self) -> str:
        """Where to add it."""
        key, name = "deps" if self.kind == "reads" else "outs", self.stage.name.partition("@")[0]
        return f"add `{self.line}` under `{key}:` of stage {name} in {self.stage.file}"

    @property
    def message(self) -> str:
        """All of it in one line."""
        return f"{self.words}; {self.hint}"


def undeclared(stage: Stage, seen: Accesses, matters: Matters, *, missing: bool = False) -> tuple[Finding, ...]:
    """What `stage` read and wrote without declaring it: reads first, by path.

    Args:
        missing: count what it looked for in vain, as is right where only declared inputs were there to be found.
    """
    declared = Declared(stage)
    by_link = {found for name, found in seen.links.items() if declared.reads(name)}
    wanted = {_source(path) for path in (seen.read | seen.missing if missing else seen.read)}
    reads = [path for path in wanted if not declared.reads(path) and path not in by_link and matters(path)]
    by_link = {found for name, found in seen.links.items() if declared.writes(name)}
    kept = (path for path in seen.written if _CACHE not in path.parts)
    writes = [path for path in kept if not declared.writes(path) and path not in by_link and matters(path)]
    return (
        *(Finding(stage, path, "reads", files) for path, files in _grouped(reads, declared)),
        *(Finding(stage, path, "writes", files) for path, files in _grouped(writes, declared)),
    )


def from_output(tail: bytes, stage: Stage, root: Path, matters: Matters) -> list[RelPath]:
    """Files that `stage` seems to have missed, judged by what it wrote before it failed; best guesses first.

    Args:
        tail: the last of what the command wrote to stdout and stderr.
        root: the working tree it ran in, as the command left it; its own path is taken off names in messages.
    """
    text = tail[-MAX_TAIL:].decode("utf-8", "replace")
    declared = Declared(stage)
    places = _Places(stage, root, text)
    lines = text.splitlines()
    complaints = [line for line in lines if _COMPLAINT.search(line)]

    def is_missed(path: RelPath) -> bool:
        return bool(path) and matters(path) and not declared.reads(path) and not os.path.lexists(root / path)

    for candidates in (
        _modules(text, places),
        (path for line in complaints for word in _words(line) for path in places.paths(word, _ENDINGS)),
        (
            path
            for line in lines[-_LAST:]
            for word in _words(line)
            if "/" in word or "." in word
            for path in places.paths(word)
        ),
    ):
        found = [path for path in dict.fromkeys(candidates) if is_missed(path)]
        if found:
            return found
    return []


class Declared:
    """What a stage says of itself: which paths it may read and write."""

    def __init__(self, stage: Stage) -> None:
        self._outs = {out.path for out in stage.outs}
        self._globs = stage.globs
        lock = stage.file.parent.child(LOCK)
        self._inputs = {*stage.deps, *(ref.file for ref in stage.params), *self._outs, stage.file, lock}
        self._above = {folder for path in self._inputs for folder in _folders(path)}

    def reads(self, path: RelPath) -> bool:
        """Whether it may read `path`: an input, an output, in one of them, or a folder that leads to one."""
        return path in self._above or _covered(path, self._inputs) or self._matches(path)

    def _matches(self, path: RelPath) -> bool:
        return any(matches(one, pattern) for pattern in self._globs for one in (path, *_folders(path)) if one)

    def writes(self, path: RelPath) -> bool:
        """Whether it may write `path`: an output, in one, or a folder that leads to one."""
        return _covered(path, self._outs) or any(out.within(path) for out in self._outs)

    def leads_to(self, folder: RelPath) -> bool:
        """Whether something that it declares lies in `folder`."""
        return folder in self._above


class _Places:
    """Where a name in a message may be, seen from the root."""

    def __init__(self, stage: Stage, root: Path, text: str) -> None:
        self._roots = tuple(dict.fromkeys((f"{os.path.realpath(root)}/", f"{os.path.abspath(root)}/")))
        command = stage.cmd.split() if isinstance(stage.cmd, str) else stage.cmd
        frames = [name for groups in _FRAME.findall(text) for name in groups if name]
        self.folders: dict[RelPath, None] = {stage.wdir: None, RelPath(""): None}
        for word in (*command, *frames):
            if "/" in word or "." in word:
                path = self._below(word, stage.wdir)
                self.folders |= dict.fromkeys([path.parent] if path is not None else [])
        for dep in stage.deps:
            self.folders |= dict.fromkeys((dep, dep.parent) if "." not in dep.name else (dep.parent,))

    def paths(self, word: str, endings: Sequence[str] = ("",)) -> Iterator[RelPath]:
        """What `word` may mean."""
        for folder in self.folders if not word.startswith("/") else (RelPath(""),):
            for ending in endings:
                path = self._below(word + ending, folder)
                if path is not None:
                    yield path

    def _below(self, word: str, folder: RelPath) -> RelPath | None:
        name = word.removeprefix("file://").rstrip(":.,!?")
        for root in self._roots:
            if name.startswith(root):
                name, folder = name[len(root) :], RelPath("")
        try:
            return RelPath.parse(posixpath.normpath(posixpath.join(folder, name)))
        except MlgitError:
            return None


def _modules(text: str, places: _Places) -> Iterator[RelPath]:
    """The files of Python modules that could not be imported."""
    for module, name, package in _MODULE.findall(text):
        inside = (module or f"{package}.{name}").strip(".").replace(".", "/")
        for ending in (".py", "/__init__.py", ""):
            yield from places.paths(f"./{inside}{ending}")


def _words(text: str) -> Iterator[str]:
    """What may be a file's name: things in quotes, and words without what surrounds them."""
    for groups in _WORD.findall(text):
        whole = next(filter(None, groups))
        yield whole
        yield from (part for part in whole.split(":") if part and part != whole)


def _source(path: RelPath) -> RelPath:
    """The module that a file of compiled Python stands for: it alone is opened while it is up to date."""
    match = _COMPILED.fullmatch(path)
    return RelPath(match[1]).child(f"{match[2]}.py") if match else path


def _grouped(paths: Collection[RelPath], declared: Declared) -> Iterator[tuple[RelPath, int]]:
    """Each of `paths`; many of one folder in which nothing is declared are given as that folder and their number."""
    count: dict[RelPath, int] = {}
    for path in paths:
        count[path.parent] = count.get(path.parent, 0) + 1
    whole = {folder for folder, files in count.items() if folder and files >= _MANY and not declared.leads_to(folder)}
    yield from sorted(
        [(path, 1) for path in paths if path.parent not in whole] + [(folder, count[folder]) for folder in whole]
    )


def _covered(path: RelPath, declared: Collection[RelPath]) -> bool:
    return path in declared or any(folder in declared for folder in _folders(path))


def _folders(path: RelPath) -> Iterable[RelPath]:
    parts = path.split("/")
    return (RelPath("/".join(parts[:length])) for length in range(len(parts)))
