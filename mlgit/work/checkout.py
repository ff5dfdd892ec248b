"""Putting content into the working tree: a pure plan, then its execution.

The plan lists, folder by folder, what goes, what comes and what would be lost. Nothing of the user's is overwritten
unless its bytes are in the cache. Whatever comes is built aside and renamed into place, a new folder as a whole, so
that a killed checkout leaves old or new files and nothing in between.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from mlgit.errors import DiskError, IntegrityError, RefusedError
from mlgit.fs import atomic
from mlgit.fs.confine import Folder
from mlgit.fs.fingerprint import UNSURE, evidence, fingerprint, folder_evidence, parse, settled
from mlgit.fs.link import LinkKind, place
from mlgit.model import tree as trees
from mlgit.model.oid import Oid
from mlgit.model.relpath import RelPath, check_depth
from mlgit.model.tree import Entry
from mlgit.store.backend import Progress
from mlgit.store.objects import LARGE, Store
from mlgit.store.pack import Place
from mlgit.work.difference import Load
from mlgit.work.identify import check_link
from mlgit.work.index import UNSETTLED, FolderRow, StatIndex, signature

_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class FolderStep:
    """What happens in one folder.

    Attributes:
        remove: names that go, whole sub-folders included.
        put: files and links that come or are replaced.
        make: sub-folders that come with everything below them.
    """

    path: RelPath
    remove: tuple[str, ...] = ()
    put: tuple[Entry, ...] = ()
    make: tuple[Entry, ...] = ()


class _Names(NamedTuple):
    """A folder's step under construction."""

    remove: list[str]
    put: list[Entry]
    make: list[Entry]


@dataclass(slots=True)
class CheckoutPlan:
    """All folders' steps, and the paths whose present content is in no store."""

    folders: list[FolderStep] = field(default_factory=list)
    lost: list[RelPath] = field(default_factory=list)

    def lines(self) -> list[str]:
        """For `--dry-run`: one line a name."""
        found = []
        for step in self.folders:
            found += [f"remove {step.path.child(name)}" for name in step.remove]
            found += [f"write {step.path.child(entry.name)}" for entry in step.put]
            found += [f"write {step.path.child(entry.name)}/ ({entry.files} files)" for entry in step.make]
        return found


def plan(
    path: RelPath,
    have: Entry | None,
    want: Entry | None,
    *,
    load_have: Load,
    load_want: Load,
    kept: Callable[[Oid], bool],
    unseen: Callable[[RelPath], Iterable[RelPath]],
) -> CheckoutPlan:
    """What turns `have` at `path` into `want`.

    Args:
        kept: whether an object is in the cache, so that its file may be overwritten.
        unseen: what stands in a folder besides `have`, ignored by the rules and not in the cache.
    """
    made = CheckoutPlan()
    pending: list[tuple[RelPath, dict[str, Entry], dict[str, Entry]]] = []
    pending.append((path.parent, {have.name: have} if have else {}, {want.name: want} if want else {}))
    while pending:
        folder, old, new = pending.pop()
        step = _Names([], [], [])
        if new.keys() - old.keys():
            made.lost += [at for at in unseen(folder) if at.name in new]
        for name in sorted(name for name in {*old, *new} if old.get(name) != new.get(name)):
            first, last = old.get(name), new.get(name)
            at = folder.child(name)
            if first and last and first.kind == last.kind == "tree":
                pending.append((at, _by_name(load_have(first.oid, at)), _by_name(load_want(last.oid, at))))
                continue
            if first:
                made.lost += _unkept(at, first, load_have, kept, unseen)
            if first and (last is None or "tree" in (first.kind, last.kind)):
                step.remove.append(name)
            if last:
                (step.make if last.kind == "tree" else step.put).append(last)
        if any(step):
            made.folders.append(FolderStep(folder, tuple(step.remove), tuple(step.put), tuple(step.make)))
    return made


def _by_name(tree: trees.Tree) -> dict[str, Entry]:
    return {entry.name: entry for entry in tree.entries}


def _unkept(
    path: RelPath,
    entry: Entry,
    load: Load,
    kept: Callable[[Oid], bool],
    unseen: Callable[[RelPath], Iterable[RelPath]],
) -> list[RelPath]:
    """What goes with `entry` and is in no store."""
    found: list[RelPath] = []
    pending = [(path, entry)]
    while pending:
        at, one = pending.pop()
        if one.kind == "tree":
            found += unseen(at)
            pending += [(at.child(below.name), below) for below in load(one.oid, at).entries]
        elif not kept(one.oid):
            found.append(at)
    return found


def refuse_loss(made: CheckoutPlan) -> None:
    """Stop when the plan would destroy content that is in no store.

    Raises:
        RefusedError: listing the paths.
    """
    if made.lost:
        shown = "".join(f"\n  {path}" for path in sorted(made.lost)[:_SHOWN])
        more = f"\n  and {len(made.lost) - _SHOWN} more" if len(made.lost) > _SHOWN else ""
        raise RefusedError(
            f"these have changes that are in no store and would be lost:{shown}{more}",
            hint="save them with `mlgit add`, or overwrite them with --force",
        )


def _untrue(path: RelPath, oid: Oid) -> IntegrityError:
    return IntegrityError(
        f"{path}: its size or number of files is not that of object {oid}",
        hint="whatever names it was not written by mlgit; `mlgit add` the data again where it is whole",
    )


class _Made(NamedTuple):
    """A whole folder just written: its tree, evidence on each entry, sorted, and the disk's time after the last."""

    path: RelPath
    content: trees.Content
    tree: bytes
    lines: list[bytes]
    finished: int


class Placer:
    """Executes a plan.

    Args:
        scratch: folder for what is being written, on the working tree's file system if there is one.
        links: kinds of links to try for large files, in order; hard and symbolic ones share the cache's read-only file.
    """

    def __init__(
        self, root: Path, scratch: Path, store: Store, index: StatIndex, *, links: tuple[LinkKind, ...]
    ) -> None:
        self._root = root
        self._scratch = scratch
        self._store = store
        self._index = index
        self._links = links
        self._rows: deque[_Made] = deque()
        self._rules = b""
        self.progress: Progress | None = None

    def apply(self, made: CheckoutPlan, top: RelPath, rules: bytes) -> None:
        """Carry out every step; `top` is the tracked path, `rules` the digest of the ignore rules.

        Raises:
            UnsafeError: a parent is a symbolic link, or a link of the content leads out of `top`.
            MissingError, IntegrityError: an object is not there, or damaged; files already written stay whole.
            DiskError: the disk refused.
        """
        self._rules = rules
        for step in made.folders:
            with Folder.beneath(self._root, step.path.parts, create=True) as folder:
                self._step(folder, step, top)

    def _step(self, folder: Folder, step: FolderStep, top: RelPath) -> None:
        with self._workshop(folder) as aside, atomic.disk_errors(step.path or top):
            name = os.urandom(8).hex()
            try:
                with aside.folder(name, create=True) as built:
                    self._put_files(built, step.path, step.put, top)
                    for entry in step.make:
                        with built.folder(entry.name, create=True) as below:
                            self._make(below, step.path.child(entry.name), entry, top)
                    self._remember(self._index.disk_now(), everything=True)
                    for old in step.remove:
                        folder.remove(old)
                    for entry in (*step.put, *step.make):
                        built.rename(entry.name, folder, entry.name)
            finally:
                aside.remove(name)

    def _workshop(self, folder: Folder) -> Folder:
        """The scratch folder, or where that is on another file system, the target folder itself."""
        with atomic.disk_errors(self._scratch):
            self._scratch.mkdir(parents=True, exist_ok=True)
            scratch = Folder.beneath(self._scratch)
        here, there = folder.status(), scratch.status()
        if here.st_dev == there.st_dev:
            return scratch
        scratch.close()
        return Folder.beneath(self._root, folder.path.relative_to(self._root).parts)

    def _make(self, folder: Folder, path: RelPath, entry: Entry, top: RelPath) -> None:
        check_depth(path)
        tree = self._store.tree(entry.oid)
        if (tree.size, tree.files) != (entry.size, entry.files):
            raise _untrue(path, entry.oid)
        below = [one for one in tree.entries if one.kind == "tree"]
        lines = self._put_files(folder, path, [one for one in tree.entries if one.kind != "tree"], top)
        for one in below:
            with folder.folder(one.name, create=True) as inner:
                self._make(inner, path.child(one.name), one, top)
            lines.append(folder_evidence(one.name, one.oid.digest))
        content = trees.Content(entry.oid, "tree", entry.size, entry.files)
        now = self._index.disk_now()
        self._rows.append(_Made(path, content, trees.encode(tree.entries), sorted(lines), now))
        self._remember(now)

    def _put_files(self, folder: Folder, path: RelPath, entries: Sequence[Entry], top: RelPath) -> list[bytes]:
        """Write files into a folder that nobody sees yet; returns evidence on them."""
        lines = []
        small: dict[Oid, list[Entry]] = {}
        places: dict[Oid, Place] = {}
        for entry, (_, found) in zip(entries, self._store.locate_all(entry.oid for entry in entries), strict=True):
            if found.size != entry.size:
                raise _untrue(path.child(entry.name), entry.oid)
            if entry.size >= LARGE and entry.kind != "link":
                lines.append(evidence(entry.name, self._large(folder, entry)))
            else:
                small.setdefault(entry.oid, []).append(entry)
                places[entry.oid] = found
        for oid, data in self._store.read_located(places.items()):
            for entry in small[oid]:
                if entry.kind == "link":
                    check_link(bytes(data), path.child(entry.name), top)
                    folder.symlink(bytes(data).decode(), entry.name)
                    now = self._seen(folder, entry)
                else:
                    now = folder.write(entry.name, data, _mode(entry))
                lines.append(evidence(entry.name, now))
                if self.progress is not None:
                    self.progress(entry.size, 1)
        return lines

    def _large(self, folder: Folder, entry: Entry) -> os.stat_result:
        links = tuple(kind for kind in self._links if entry.kind != "exec" or kind in ("reflink", "copy"))
        if links[:1] in (("hardlink",), ("symlink",)):
            place(self._store.verified_file(entry.oid), folder, entry.name, links, _mode(entry))
            if self.progress is not None:
                self.progress(entry.size)
        else:
            self._copy(folder, entry, clone="reflink" in links)
        if self.progress is not None:
            self.progress(0, 1)
        return self._seen(folder, entry)

    def _copy(self, folder: Folder, entry: Entry, *, clone: bool) -> None:
        """Copy a large object, verifying the copy."""
        writer = folder.create(entry.name, _mode(entry))
        try:
            self._store.copy_file(entry.oid, writer, clone=clone, progress=self.progress)
        finally:
            os.close(writer)

    def _seen(self, folder: Folder, entry: Entry) -> os.stat_result:
        found = folder.stat(entry.name)
        if found is None:
            raise DiskError(f"{folder.path / entry.name} vanished while it was written", hint="run the command again")
        return found

    def _remember(self, now: int, *, everything: bool = False) -> None:
        """Keep the fingerprints of new folders, so that the next status reads none of their files.

        Nobody but us knows those folders yet, so evidence is sure once the clock has gone on; until then they wait
        their turn, so that few folders are ever held in memory.

        Args:
            everything: also of folders too young, as they are about to be seen by others; their files are not sure.
        """
        while self._rows:
            made = self._rows[0]
            quiet = settled(made.finished, now)
            if not (quiet or everything):
                break
            prints = [fingerprint(line) if quiet or settled(parse(line)[3], now) else UNSURE for line in made.lines]
            seen = signature(self._rules, made.lines) if quiet else UNSETTLED
            row = FolderRow(seen, self._rules, frozenset(), made.content)
            self._index.put_folder(made.path, row, made.tree, prints)
            self._rows.popleft()


def _mode(entry: Entry) -> int:
    return 0o777 if entry.kind == "exec" else 0o666
