"""Which commits files and lock entries come from: one `git log` for all of them, each blob read once.

A lock entry is looked for by its bytes: mlgit writes equal entries equally, so hundreds of versions of a lock need no
parsing, and an entry is recognised under another stage name or in another lock file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mlgit.errors import MlgitError
from mlgit.git import Git
from mlgit.model import lock
from mlgit.model.lock import StageLock
from mlgit.model.relpath import RelPath
from mlgit.model.tree import Content
from mlgit.ops.lineage.value import Moment
from mlgit.store.hashing import hash_bytes

_FORMAT: Final = "--format=%x01%H%x02%cI%x02%s"
_ENTRY: Final = re.compile(rb"^  (?=[^ \n])", re.MULTILINE)
_NONE: Final = re.compile("0+")
_LARGEST: Final = 64 << 20
"""A file in Git above this many bytes is not read to compare it."""


@dataclass(frozen=True, slots=True)
class Touch:
    """One file that a commit changed.

    Attributes:
        old: blobs before, one for each parent that had it.
        new: the blob after; empty if the file went.
    """

    path: str
    old: tuple[str, ...]
    new: str


@dataclass(frozen=True, slots=True)
class Step:
    """One commit with what it changed of the files asked for."""

    moment: Moment
    touched: tuple[Touch, ...]


class Origins:
    """The history of some files and of all lock files, as of one commit.

    Args:
        commit: where to look back from; None before the first commit.
        paths: the files, or folders, besides the locks.
    """

    def __init__(self, git: Git, commit: str | None, paths: Iterable[RelPath]) -> None:
        self._git = git
        self._steps = list(_log(git, commit, paths)) if commit is not None else []
        self._entries = self._read_locks()

    def last_change(self, path: RelPath) -> Moment | None:
        """The newest commit that changed `path`, or something below it."""
        found = (step.moment for step in self._steps for touch in step.touched if RelPath(touch.path).within(path))
        return next(found, None)

    def exact(self, files: Mapping[RelPath, Content]) -> dict[RelPath, Moment]:
        """The newest commit that brought each file as it is said to be; those that never were so are left out."""
        versions: dict[RelPath, dict[str, Moment]] = {}
        for step in self._steps:
            for touch in step.touched:
                path = RelPath(touch.path)
                if touch.new and path in files:
                    versions.setdefault(path, {}).setdefault(touch.new, step.moment)
        sizes = self._git.sizes(blob for found in versions.values() for blob in found) if versions else {}
        fitting = {
            path: [blob for blob in found if sizes.get(blob) == files[path].size <= _LARGEST]
            for path, found in versions.items()
        }
        texts = (
            self._git.contents(blob for blobs in fitting.values() for blob in blobs) if any(fitting.values()) else {}
        )
        exact = {}
        for path, blobs in fitting.items():
            oid = files[path].oid
            same = (versions[path][blob] for blob in blobs if hash_bytes(oid.algorithm, texts[blob]) == oid)
            moment = next(same, None)
            if moment is not None:
                exact[path] = moment
        return exact

    def entry(self, name: str, entry: StageLock) -> tuple[Moment | None, str | None]:
        """The commit at which a lock entry appeared, and the name that the stage had there if it had another."""
        text = lock.encode_entry(name, entry).encode("utf-8", "surrogatepass")
        line, body = _head(text), _body(text)
        for step in self._steps:
            locks = [touch for touch in step.touched if _is_lock(touch.path)]
            new = [head for touch in locks for head in self._heads(touch.new, body)]
            old = [head for touch in locks for blob in touch.old for head in self._heads(blob, body)]
            if new and not old:
                return step.moment, None if line in new else _name(new[0])
            if old and not new:
                break
        return None, None

    def _heads(self, blob: str, body: bytes) -> list[bytes]:
        """The first lines of the entries with this body in one version of a lock."""
        return self._entries.get(blob, {}).get(body, [])

    def _read_locks(self) -> dict[str, dict[bytes, list[bytes]]]:
        """For each version of a lock, its entries: body → first lines."""
        touches = [touch for step in self._steps for touch in step.touched if _is_lock(touch.path)]
        blobs = {blob for touch in touches for blob in (*touch.old, touch.new) if blob}
        if not blobs:
            return {}
        found: dict[str, dict[bytes, list[bytes]]] = {}
        for blob, data in self._git.contents(sorted(blobs)).items():
            entries: dict[bytes, list[bytes]] = {}
            for text in _ENTRY.split(data)[1:]:
                entries.setdefault(_body(text), []).append(_head(text))
            found[blob] = entries
        return found


def _body(text: bytes) -> bytes:
    """An entry without the line that names its stage."""
    return text.partition(b"\n")[2].rstrip(b"\n")


def _head(text: bytes) -> bytes:
    """The line that names the stage."""
    return text.partition(b"\n")[0].strip()


def _name(head: bytes) -> str:
    """The stage's name as its line in the lock spells it, quotes read."""
    try:
        return next(iter(lock.decode(b"mlgit: 1\nstages:\n  " + head + b"\n    cmd: x\n", lock.NAME).stages))
    except (MlgitError, StopIteration):
        return head.decode(errors="replace").rstrip(":")


def _is_lock(path: str) -> bool:
    return path.rpartition("/")[2] == lock.NAME


def _log(git: Git, commit: str, paths: Iterable[RelPath]) -> Iterator[Step]:
    specs = [f":(glob)**/{lock.NAME}", *(f":(literal){path}" for path in dict.fromkeys(paths) if path)]
    data = "".join(f"{line}\n" for line in (commit, "--", *specs) if "\n" not in line)
    options = ("--stdin", "-z", "-c", "--raw", "--no-abbrev", "--no-renames", "--relative", "--no-ext-diff")
    words = git.run("log", *options, _FORMAT, data=data.encode(errors="surrogateescape")).split("\0")
    moment: Moment | None = None
    touched: list[Touch] = []
    at = 0
    while at < len(words):
        word = words[at].lstrip("\n")
        if word.startswith("\x01"):
            if moment is not None:
                yield Step(moment, tuple(touched))
            moment, touched = Moment(*word[1:].split("\x02", 2)), []
        elif word.startswith(":"):
            at += 1
            touched.append(_touch(word, words[at]))
        at += 1
    if moment is not None:
        yield Step(moment, tuple(touched))


def _touch(word: str, path: str) -> Touch:
    """A line of `--raw`: as many colons as parents, modes, blobs, and a letter for each parent."""
    parents = len(word) - len(word.lstrip(":"))
    fields: Sequence[str] = word[parents:].split(" ")
    blobs = fields[parents + 1 : 2 * parents + 2]
    *old, new = ["" if _NONE.fullmatch(blob) else blob for blob in blobs]
    return Touch(path, tuple(filter(None, old)), new)
