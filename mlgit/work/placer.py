"""Carrying out a checkout plan: whatever comes is built aside and renamed into place, a new folder as a whole.

So a killed checkout leaves old or new files and nothing in between. Large folders are filled by a pool of worker
processes, which write small files and nothing else; large files, links that share the cache's bytes, the index and the
final renames belong to the process that holds the locks.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from mlgit.errors import DiskError, IntegrityError
from mlgit.fs import atomic, pool
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
from mlgit.work.checkout import CheckoutPlan, FolderStep
from mlgit.work.identify import check_link
from mlgit.work.index import UNSETTLED, FolderRow, StatIndex, signature

_WORTH_A_POOL: Final = 2_000
_AT_ONCE: Final = 2_000


class _Task(NamedTuple):
    """Some files of a new folder, to be written.

    Attributes:
        parts: where the folder stands below what is being built.
        path: its place in the repository.
        entry: what it is.
        first: number of the first file.
    """

    parts: tuple[str, ...]
    path: RelPath
    entry: Entry
    first: int = 0


class _Filled(NamedTuple):
    """What was done in a folder.

    Attributes:
        tree: its canonical bytes, and
        below: its sub-folders, both with the first file only.
        lines: evidence on what was written.
        large: what is left to write, as only the holder of the locks may.
        size: bytes written, in
        files: files, of
        total: files of the folder.
    """

    tree: bytes
    below: list[Entry]
    lines: list[bytes]
    large: list[Entry]
    size: int
    files: int
    total: int


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
        self._last: tuple[RelPath, tuple[bytes, list[Entry], list[Entry]]] | None = None
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
                        built.mkdir(entry.name)
                        self._make(built.path, _Task((entry.name,), step.path.child(entry.name), entry), top)
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

    def _make(self, base: Path, first: _Task, top: RelPath) -> None:
        """Fill the new folder of `first`, which stands below `base`, and every folder in it."""
        tasks = [first]
        begun: dict[RelPath, tuple[_Filled, list[int]]] = {}
        with contextlib.closing(self._filled(base, tasks, top)) as results:
            for task, done in results:
                if task.first == 0:
                    left = list(range(_AT_ONCE, done.total, _AT_ONCE))
                    begun[task.path] = done, left
                    tasks += [_Task((*task.parts, one.name), task.path.child(one.name), one) for one in done.below]
                    tasks += [task._replace(first=number) for number in left]
                else:
                    whole, left = begun[task.path]
                    left.remove(task.first)
                    whole.lines.extend(done.lines)
                    whole.large.extend(done.large)
                if self.progress is not None:
                    self.progress(done.size, done.files)
                if not left:
                    self._finish(base, task, begun.pop(task.path)[0])

    def _finish(self, base: Path, task: _Task, done: _Filled) -> None:
        """Write what only this process may, and remember the folder."""
        lines = done.lines + [folder_evidence(one.name, one.oid.digest) for one in done.below]
        if done.large:
            with Folder.beneath(base, task.parts) as folder:
                lines += [evidence(one.name, self._large(folder, one)) for one in done.large]
        content = trees.Content(task.entry.oid, "tree", task.entry.size, task.entry.files)
        now = self._index.disk_now()
        self._rows.append(_Made(task.path, content, done.tree, sorted(lines), now))
        self._remember(now)

    def _filled(self, base: Path, tasks: list[_Task], top: RelPath) -> Generator[tuple[_Task, _Filled], None, None]:
        """Every task with what was done for it; more may be appended meanwhile."""

        def fill(task: _Task) -> _Filled:
            return self._fill(base, task, top)

        size = pool.cores() if tasks[0].entry.files >= _WORTH_A_POOL else 1
        if size > 1:
            self._store.catalog.refresh()  # once, and not in every process
            with pool.Pool(fill, size) as workers:
                yield from workers.run(tasks)
        while tasks:
            task = tasks.pop()
            yield task, fill(task)

    def _fill(self, base: Path, task: _Task, top: RelPath) -> _Filled:
        """Write some small files of a new folder, and with the first ones make its sub-folders."""
        data, below, files = self._opened(task)
        with Folder.beneath(base, task.parts) as folder:
            places, large = self._located(task.path, files[task.first : task.first + _AT_ONCE])
            lines = self._small(folder, task.path, places, top)
            for one in below if task.first == 0 else ():
                folder.mkdir(one.name)
        size = sum(one.size for one, _ in places)
        whole = (data, below) if task.first == 0 else (b"", [])
        return _Filled(*whole, lines, large, size, len(places), len(files))

    def _opened(self, task: _Task) -> tuple[bytes, list[Entry], list[Entry]]:
        """The tree of a task's folder: its bytes, sub-folders and files; the last one is kept in mind."""
        if self._last is not None and self._last[0] == task.path:
            return self._last[1]
        check_depth(task.path)
        data = self._store.tree_bytes(task.entry.oid)
        tree = trees.decode(data, f"tree {task.entry.oid}")
        if (tree.size, tree.files) != (task.entry.size, task.entry.files):
            raise _untrue(task.path, task.entry.oid)
        below = [one for one in tree.entries if one.kind == "tree"]
        self._last = task.path, (data, below, [one for one in tree.entries if one.kind != "tree"])
        return self._last[1]

    def _put_files(self, folder: Folder, path: RelPath, entries: Sequence[Entry], top: RelPath) -> None:
        """Write files into a folder that nobody sees yet."""
        places, large = self._located(path, entries)
        self._small(folder, path, places, top)
        for entry in large:
            self._large(folder, entry)
        if self.progress is not None:
            self.progress(sum(entry.size for entry, _ in places), len(places))

    def _located(self, path: RelPath, entries: Sequence[Entry]) -> tuple[list[tuple[Entry, Place]], list[Entry]]:
        """Small files and links with their places in the cache; and large files, which have files there."""
        small, large = [], []
        for entry, (_, found) in zip(entries, self._store.locate_all(entry.oid for entry in entries), strict=True):
            if found.size != entry.size:
                raise _untrue(path.child(entry.name), entry.oid)
            if entry.size >= LARGE and entry.kind != "link":
                large.append(entry)
            else:
                small.append((entry, found))
        return small, large

    def _small(self, folder: Folder, path: RelPath, entries: list[tuple[Entry, Place]], top: RelPath) -> list[bytes]:
        """Write small files and links; returns evidence on them."""
        same: dict[Oid, list[Entry]] = {}
        for entry, _ in entries:
            same.setdefault(entry.oid, []).append(entry)
        places = {entry.oid: found for entry, found in entries}
        lines = []
        for oid, data in self._store.read_located(places.items()):
            for entry in same[oid]:
                if entry.kind == "link":
                    check_link(bytes(data), path.child(entry.name), top)
                    folder.symlink(bytes(data).decode(), entry.name)
                    now = self._seen(folder, entry)
                else:
                    now = folder.write(entry.name, data, _mode(entry))
                lines.append(evidence(entry.name, now))
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
