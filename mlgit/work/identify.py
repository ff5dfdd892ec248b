"""From files to content: which object or tree a path of the working tree holds now, and saving it in one pass.

A file whose fingerprint is known is not read. Any other is read once; when it is to be saved, the bytes that are hashed
are the bytes that are stored. A file that changes while it is read is read again, and refused if it never rests.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from mlgit.errors import InvalidError, MissingError, UnsafeError
from mlgit.fs import atomic
from mlgit.fs.confine import Folder
from mlgit.fs.fingerprint import UNSURE, settled
from mlgit.fs.link import reflink
from mlgit.fs.scan import Seen, kind_of, scan
from mlgit.model import tree as trees
from mlgit.model.oid import Oid
from mlgit.model.relpath import RelPath, check_depth, check_name
from mlgit.model.tree import Content, Entry
from mlgit.store.hashing import CHUNK, hash_file, new_hasher
from mlgit.store.objects import LARGE, Store, Writer
from mlgit.work.ignore import Ignore
from mlgit.work.index import UNSETTLED, FolderRow, Known, StatIndex, signature

ATTEMPTS: Final = 3
_NOTHING: Final = Content(Oid("blake3:" + "0" * 64), "tree", 0, 0)


class _Level(NamedTuple):
    """One folder under reading: its entries, its sub-folders' contents, what is known of its files, its row so far."""

    seen: list[Seen]
    below: dict[str, Content]
    known: dict[str, Known]
    row: FolderRow


class Identifier:
    """Names the content of paths below `root`.

    Args:
        store: the cache, whose algorithm makes the ids and whose folder symbolic links may lead to.
        sink: where new content is saved; None to name it only.
        follow: save what a symbolic link out of the tracked folder leads to, instead of refusing it.
        progress: called with the bytes of every file that was looked at.

    Attributes:
        followed: such links, with what they lead to.
    """

    def __init__(
        self,
        root: Path,
        store: Store,
        index: StatIndex,
        ignore: Ignore,
        *,
        sink: Writer | None = None,
        follow: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self._root = root
        self._store = store
        self._index = index
        self._ignore = ignore
        self._sink = sink
        self._follow = follow
        self._progress = progress
        self._started = index.disk_now()
        self._top = RelPath("")
        self.followed: dict[RelPath, Entry] = {}

    def content(self, path: RelPath, top: RelPath | None = None) -> Content | None:
        """What `path` holds now; None if nothing is there.

        Args:
            top: the tracked folder that `path` lies in, which its symbolic links may not leave; itself by default.

        Raises:
            UnsafeError: a parent is a symbolic link, a name reaches a control folder, or a link leaves its folder.
            InvalidError: something that cannot be versioned, or a file that keeps changing.
            DiskError: it cannot be read.
        """
        self._top = path if top is None else top
        try:
            parent = Folder.beneath(self._root, path.parent.parts)
        except MissingError:
            return None
        with parent, atomic.disk_errors(path):
            found = parent.stat(path.name)
            if found is None:
                return None
            seen = Seen.of(path.name, found)
            if seen.kind == "folder":
                with parent.folder(path.name) as folder:
                    return self._folder(folder, path)
            return self._single(parent, path, seen)

    def _single(self, parent: Folder, path: RelPath, seen: Seen) -> Content:
        known = self._index.file(path)
        if known is not None and known[0] == seen.print and self._kept(known[1].oid):
            return known[1]
        entry = self._file(parent, path, seen)
        if entry.kind == "link":
            raise UnsafeError(f"{path} is a symbolic link", hint="add what it leads to, or use --follow")
        content = Content(entry.oid, "file", entry.size)
        self._index.put_file(path, seen.print if settled(seen.found, self._started) else UNSURE, content)
        return content

    # -- folders -----------------------------------------------------------------------------------------------------

    def _folder(self, folder: Folder, path: RelPath) -> Content:
        check_depth(path)
        row = self._index.folder(path)
        if row is not None and row.rules != self._ignore.rules:
            row = None
        ignored = row.ignored if row else frozenset()
        seen = scan(folder, ignored)
        out: set[str] = set()
        below: dict[str, Content] = {}
        for one in seen:
            if one.kind != "folder":
                continue
            if (row is None or one.name not in row.folders) and self._left_out(path, one):
                out.add(one.mark)
                continue
            check_name(one.name, str(path))
            with folder.folder(one.name) as child:
                below[one.name] = self._folder(child, path.child(one.name))
        now = self._signature(seen, below)
        if row is not None and not out and row.signature == now and self._complete(path):
            return row.content
        known = self._index.known(path, row) if row else {}
        out |= {
            one.mark for one in seen if one.kind != "folder" and one.name not in known and self._left_out(path, one)
        }
        if out:
            seen = [one for one in seen if one.mark not in out]
            now = self._signature(seen, below)
        level = FolderRow(now, self._ignore.rules, ignored | out, frozenset(below), _NOTHING)
        return self._read_folder(folder, path, _Level(seen, below, known, level))

    def _left_out(self, path: RelPath, one: Seen) -> bool:
        return self._ignore.matches(path.child(one.name), folder=one.kind == "folder")

    def _signature(self, seen: list[Seen], below: dict[str, Content]) -> bytes:
        return signature(
            self._ignore.rules,
            (
                (one.name, "tree", below[one.name].oid) if one.kind == "folder" else (one.name, one.kind, one.print)
                for one in seen
                if one.kind != "folder" or one.name in below
            ),
        )

    def _complete(self, path: RelPath) -> bool:
        """Whether everything of an unchanged folder is saved, if saving is asked for."""
        if self._sink is None:
            return True
        tree = self._index.tree(path) or b""
        return self._sink.has(self._store.digest(tree)) and all(
            self._sink.has(oid.digest) for kind, oid, _ in trees.children(tree) if kind != "tree"
        )

    def _read_folder(self, folder: Folder, path: RelPath, level: _Level) -> Content:
        entries, prints, quiet = [], [], True
        trees.check_collisions([one.name for one in level.seen], str(path))
        for one in level.seen:
            if one.kind == "folder":
                content = level.below[one.name]
                entries.append(Entry(one.name, "tree", content.oid, content.size, content.files or 0))
                prints.append(UNSURE)
                continue
            last = level.known.get(one.name)
            if (
                last is not None
                and last.print == one.print
                and last.entry.kind == one.kind
                and self._kept(last.entry.oid)
            ):
                entries.append(last.entry)
            else:
                check_name(one.name, str(path))
                entries.append(self._file(folder, path.child(one.name), one))
            rests = settled(one.found, self._started)
            quiet &= rests
            prints.append(one.print if rests else UNSURE)
        return self._put_folder(path, level.row, entries, prints, quiet=quiet)

    def _put_folder(
        self, path: RelPath, row: FolderRow, entries: list[Entry], prints: list[int], *, quiet: bool
    ) -> Content:
        data = trees.encode(entries)
        digest = self._sink.add(data) if self._sink is not None else self._store.digest(data)
        oid = Oid.from_digest(self._store.algorithm, digest)
        content = Content(oid, "tree", sum(e.size for e in entries), sum(e.files for e in entries))
        row = row._replace(content=content, signature=row.signature if quiet else UNSETTLED)
        self._index.put_folder(path, row, data, prints)
        return content

    def _kept(self, oid: Oid) -> bool:
        return self._sink is None or self._sink.has(oid.digest)

    # -- files -------------------------------------------------------------------------------------------------------

    def _file(self, folder: Folder, path: RelPath, seen: Seen) -> Entry:
        """Read one file or link, saving it if asked to."""
        if seen.kind == "link":
            return self._link(folder, path, seen.name)
        if seen.kind == "other":
            raise InvalidError(
                f"neither a file nor a folder (a pipe, socket or device): {path}",
                hint="remove it, or list it in .mlgitignore",
            )
        before = seen
        for _ in range(ATTEMPTS):
            descriptor = folder.open(seen.name)
            try:
                size = before.found.st_size
                oid = self._small(descriptor, size) if size < LARGE else self._large(descriptor)
                after = Seen.of(seen.name, os.fstat(descriptor))
            finally:
                os.close(descriptor)
            if after.kind not in ("file", "exec"):
                break
            if oid is not None and before.print == after.print:
                if self._progress is not None:
                    self._progress(size)
                return Entry(seen.name, after.kind, oid, size)
            before = after
        raise InvalidError(f"{path} keeps changing while it is read", hint="stop the program that writes it")

    def _small(self, descriptor: int, size: int) -> Oid | None:
        data = os.read(descriptor, size + 1)
        if len(data) != size:
            return None
        digest = self._sink.add(data) if self._sink is not None else self._store.digest(data)
        return Oid.from_digest(self._store.algorithm, digest)

    def _large(self, descriptor: int) -> Oid:
        if self._sink is None:
            hasher = new_hasher(self._store.algorithm)
            while data := os.read(descriptor, CHUNK):
                hasher.update(data)
            return Oid.from_digest(self._store.algorithm, hasher.digest())
        temp = self._store.temporary()
        try:
            oid = self._copy_hashed(descriptor, temp)
            self._sink.add_file(oid, temp, move=True)
        finally:
            temp.unlink(missing_ok=True)
        return oid

    def _copy_hashed(self, descriptor: int, temp: Path) -> Oid:
        writer = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            try:
                reflink(descriptor, writer)
                return hash_file(self._store.algorithm, temp)
            except OSError:
                hasher = new_hasher(self._store.algorithm)
            while data := os.read(descriptor, CHUNK):
                hasher.update(data)
                atomic.write_all(writer, data)
            return Oid.from_digest(self._store.algorithm, hasher.digest())
        finally:
            os.close(writer)

    def _link(self, folder: Folder, path: RelPath, name: str) -> Entry:
        target = folder.readlink(name)
        cached = self._cached(target)
        if cached is not None:
            return Entry(name, "file", cached, os.stat(target).st_size if os.path.exists(target) else 0)
        data = os.fsencode(target)
        try:
            check_link(data, path, self._top)
        except UnsafeError:
            if not self._follow:
                raise
            entry = self._followed(folder.path / name, path)
            self.followed[path] = entry
            return entry
        digest = self._sink.add(data) if self._sink is not None else self._store.digest(data)
        return Entry(name, "link", Oid.from_digest(self._store.algorithm, digest), len(data))

    def _cached(self, target: str) -> Oid | None:
        """The object a link leads to when it leads into the cache (`cache.links: symlink`)."""
        root = self._store.backend.local
        start = f"{root}/objects/{self._store.algorithm}/"
        if root is None or not target.startswith(start):
            return None
        return Oid.parse(f"{self._store.algorithm}:{target[len(start) :].replace('/', '')}", "link into the cache")

    def _followed(self, link: Path, path: RelPath) -> Entry:
        real = Path(os.path.realpath(link))
        with Folder.beneath(real.parent) as folder:
            found = folder.stat(real.name)
            if found is None or kind_of(found) not in ("file", "exec"):
                raise UnsafeError(f"{path} leads to no file: {real}", hint="only links to files can be followed")
            entry = self._file(folder, path, Seen.of(real.name, found))
        return Entry(path.name, entry.kind, entry.oid, entry.size)


def check_link(target: bytes, path: RelPath, top: RelPath) -> None:
    """Refuse a symbolic link at `path` that may not stay inside the tracked folder `top`.

    Only leading `..` are allowed: after another component, which may itself be a link, `..` leads anywhere.

    Raises:
        UnsafeError: it is absolute, climbs out, or is no path at all.
    """
    text = target.decode(errors="replace")
    end = posixpath.normpath(posixpath.join(path.parent, text))
    plain = text.lstrip("./").count("..") == 0 or posixpath.normpath(text) == text
    inside = not text.startswith("/") and "\\" not in text and RelPath(end).within(top) and path != top
    if not (inside and plain and 0 < len(target) < 4096 and b"\0" not in target and text.encode() == target):
        raise UnsafeError(
            f"{path} is a symbolic link out of the tracked folder: {text[:200]!r}",
            hint="use --follow to add what it leads to, or list it in .mlgitignore",
        )
