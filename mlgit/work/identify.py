"""From files to content: which object or tree a path of the working tree holds now, and saving it in one pass.

A file whose fingerprint is known is not read. Any other is read once; when it is to be saved, the bytes that are hashed
are the bytes that are stored. A file that changes while it is read is read again, and refused if it never rests.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from mlgit.errors import InvalidError, MissingError, UnsafeError
from mlgit.fs import atomic
from mlgit.fs.confine import Folder
from mlgit.fs.fingerprint import UNSURE, evidence, fingerprint, folder_evidence, name_of, parse, settled
from mlgit.fs.scan import Seen, scan
from mlgit.model import tree as trees
from mlgit.model.oid import Oid
from mlgit.model.relpath import RelPath, check_depth, check_name, check_names
from mlgit.model.tree import Content, Entry
from mlgit.store.backend import Progress
from mlgit.store.hashing import copy_hashed, hash_open
from mlgit.store.objects import LARGE, Store
from mlgit.store.writer import Writer
from mlgit.work.ignore import Ignore
from mlgit.work.index import UNSETTLED, FolderRow, StatIndex, signature

ATTEMPTS: Final = 3
_UNKNOWN: Final = (UNSURE, None)


class Identifier:
    """Names the content of paths below `root`.

    Args:
        store: the cache, whose algorithm makes the ids and whose folder symbolic links may lead to.
        sink: where new content is saved; None to name it only.
        follow: save what a symbolic link out of the tracked folder leads to, instead of refusing it.
        share: let the cache have large files as they are, by hard links, where it can; they become read-only.
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
        share: bool = False,
        progress: Progress | None = None,
    ) -> None:
        self._root = root
        self._store = store
        self._index = index
        self._ignore = ignore
        self._sink = sink
        self._follow = follow
        self._share = share
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
            if stat.S_ISDIR(found.st_mode):
                with parent.folder(path.name) as folder:
                    return self._folder(folder, path)
            return self._single(parent, path, Seen.of(evidence(path.name, found)))

    def _single(self, parent: Folder, path: RelPath, seen: Seen) -> Content:
        known, now = self._index.file(path), fingerprint(seen.evidence)
        if known is not None and known[0] == now and self._kept(known[1].oid):
            return known[1]
        entry = self._file(parent, path.parent, seen)
        if entry.kind == "link":
            raise UnsafeError(f"{path} is a symbolic link", hint="add what it leads to, or use --follow")
        content = Content(entry.oid, "file", entry.size)
        self._index.put_file(path, now if settled(seen.touched, self._started) else UNSURE, content)
        return content

    # -- folders -----------------------------------------------------------------------------------------------------

    def _folder(self, folder: Folder, path: RelPath) -> Content:
        check_depth(path)
        row = self._index.folder(path)
        if row is not None and row.rules != self._ignore.rules:
            row = None
        lines, folders = scan(folder, row.ignored if row else frozenset())
        out = self._ignore.among(path, [f"{name}/" for name in folders])
        below = {}
        for name in folders:
            if f"{name}/" in out:
                continue
            check_name(name, str(path))
            with folder.folder(name) as child:
                below[name] = self._folder(child, path.child(name))
            lines.append(folder_evidence(name, below[name].oid.digest))
        lines.sort()
        if row is not None and not out and row.signature == self._signature(lines) and self._complete(path, row):
            return row.content
        out |= self._ignore.among(path, [name for name in map(name_of, lines) if name not in below])
        if out:
            lines = [line for line in lines if name_of(line) in below or name_of(line) not in out]
        ignored = row.ignored | out if row else out
        return self._read_folder(folder, path, lines, below, ignored, self._index.known(path) if row else {})

    def _signature(self, lines: Iterable[bytes]) -> bytes:
        return signature(self._ignore.rules, lines)

    def _complete(self, path: RelPath, row: FolderRow) -> bool:
        """Whether everything of an unchanged folder is saved, if saving is asked for."""
        if self._sink is None:
            return True
        tree = self._index.tree(path) or b""
        digest = self._store.digest(tree)
        return digest == row.content.oid.digest and self._sink.holds([digest, *trees.digests(tree)])

    def _read_folder(
        self,
        folder: Folder,
        path: RelPath,
        lines: list[bytes],
        below: dict[str, Content],
        ignored: frozenset[str],
        known: dict[str, tuple[int, Entry]],
    ) -> Content:
        """Look at every entry of a folder that is new or changed, and remember it."""
        names = [name_of(line) for line in lines]
        check_names(names, str(path))
        trees.check_collisions(names, str(path))
        entries, prints, quiet = [], [], True
        for name, line in zip(names, lines, strict=True):
            content = below.get(name)
            if content is not None:
                entries.append(Entry(name, "tree", content.oid, content.size, content.files or 0))
                prints.append(UNSURE)
                continue
            seen, now = parse(line), fingerprint(line)
            last, entry = known.get(name, _UNKNOWN)
            if entry is None or last != now or not self._kept(entry.oid):
                entry = self._file(folder, path, Seen(*seen, line))
            entries.append(entry)
            if settled(seen[3], self._started):
                prints.append(now)
            else:
                prints.append(UNSURE)
                quiet = False
        data = trees.encode(entries)
        digest = self._sink.add(data) if self._sink is not None else self._store.digest(data)
        content = Content(self._oid(digest), "tree", sum(e.size for e in entries), sum(e.files for e in entries))
        now_seen = self._signature(lines) if quiet else UNSETTLED
        self._index.put_folder(path, FolderRow(now_seen, self._ignore.rules, ignored, content), data, prints)
        return content

    def _kept(self, oid: Oid) -> bool:
        return self._sink is None or self._sink.has(oid.digest)

    def _oid(self, digest: bytes) -> Oid:
        return Oid.from_digest(self._store.algorithm, digest)

    # -- files -------------------------------------------------------------------------------------------------------

    def _file(self, folder: Folder, path: RelPath, seen: Seen) -> Entry:
        """Read one file or link in the folder `path`, saving it if asked to."""
        if stat.S_ISLNK(seen.mode):
            return self._link(folder, path.child(seen.name), seen.name)
        if not stat.S_ISREG(seen.mode):
            raise InvalidError(
                f"neither a file nor a folder (a pipe, socket or device): {path.child(seen.name)}",
                hint="remove it, or list it in .mlgitignore",
            )
        for _ in range(ATTEMPTS):
            descriptor = folder.open(seen.name)
            try:
                before = os.fstat(descriptor)
                shared = seen.size >= LARGE and self._shareable(before)
                oid = self._small(descriptor, seen.size) if seen.size < LARGE else self._large(descriptor, shared)
                after = evidence(seen.name, os.fstat(descriptor))
            finally:
                os.close(descriptor)
            if after == seen.evidence and oid is not None:
                if shared and not self._give(folder, seen.name, oid, before):
                    continue
                if self._progress is not None:
                    self._progress(seen.size if seen.size < LARGE else 0, 1)
                return Entry(seen.name, "exec" if seen.mode & 0o100 else "file", oid, seen.size)
            seen = Seen.of(after)
            if not stat.S_ISREG(seen.mode):
                break
        raise InvalidError(
            f"{path.child(seen.name)} keeps changing while it is read", hint="stop the program that writes it"
        )

    def _small(self, descriptor: int, size: int) -> Oid | None:
        data = os.read(descriptor, size + 1)
        if len(data) != size:
            return None
        return self._oid(self._sink.add(data) if self._sink is not None else self._store.digest(data))

    def _shareable(self, found: os.stat_result) -> bool:
        """Whether a large file may become an object of the cache: this user's, with no other name, not executable."""
        own = os.name != "nt" and found.st_uid == os.geteuid()
        return self._share and self._sink is not None and own and found.st_nlink == 1 and not found.st_mode & 0o100

    def _give(self, folder: Folder, name: str, oid: Oid, hashed: os.stat_result) -> bool:
        """Make a file an object of the cache; false if these disks do not allow it, so that files must be copied, or if
        it is no longer the one that was `hashed`.

        Nothing is given if the cache has the object.
        """
        if self._sink is None or self._sink.has(oid.digest):
            return True
        temp = self._store.temporary()
        try:
            folder.give(name, temp)
        except OSError:
            self._share = False
            return False
        try:
            if not _is_same(os.lstat(temp), hashed):
                return False
            self._sink.add_file(oid, temp, move=True)
        finally:
            temp.unlink(missing_ok=True)
        return True

    def _large(self, descriptor: int, shared: bool) -> Oid:
        if self._sink is None or shared:
            return hash_open(self._store.algorithm, descriptor, self._progress)
        temp = self._store.temporary()
        try:
            writer = os.open(temp, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                oid = copy_hashed(self._store.algorithm, descriptor, writer, clone=True, progress=self._progress)
            finally:
                os.close(writer)
            self._sink.add_file(oid, temp, move=True)
        finally:
            temp.unlink(missing_ok=True)
        return oid

    def _link(self, folder: Folder, path: RelPath, name: str) -> Entry:
        target = folder.readlink(name)
        cached = self._cached(target)
        if cached is not None:
            if os.path.exists(target):
                return Entry(name, "file", cached, os.stat(target).st_size)
            if self._sink is not None:
                raise MissingError(f"{path} is a link to {cached}, which is gone", hint="get it with `mlgit pull`")
            return Entry(name, "link", self._oid(self._store.digest(os.fsencode(target))), len(target))
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
            if found is None or not stat.S_ISREG(found.st_mode):
                raise UnsafeError(f"{path} leads to no file: {real}", hint="only links to files can be followed")
            entry = self._file(folder, path.parent, Seen.of(evidence(real.name, found)))
        return Entry(path.name, entry.kind, entry.oid, entry.size)


def _is_same(found: os.stat_result, hashed: os.stat_result) -> bool:
    """Whether a file that has just got another name, and so another ctime, is the one that was hashed, unchanged."""
    same = found.st_size == hashed.st_size and found.st_mtime_ns == hashed.st_mtime_ns
    return same and os.path.samestat(found, hashed)


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
