"""What a path holds in Git: in a commit, or in what is staged for the next one, without a look at the working tree.

Content is found where the commit itself names it: in a pointer, in the lock entry of the stage that makes it, or in the
files of Git. Trees are built from Git's files as the working tree would make them.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from mlgit.errors import MissingError
from mlgit.model import pointer
from mlgit.model.blob import Blob
from mlgit.model.oid import Oid
from mlgit.model.relpath import RelPath
from mlgit.model.tree import Content, Entry, Kind, encode
from mlgit.pipeline.load import Project
from mlgit.repo import Repo
from mlgit.store.hashing import hash_bytes
from mlgit.work.difference import entry_of
from mlgit.work.snapshot import Snapshot


class Unknown(Enum):
    """Content that Git alone does not tell."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN
_KINDS: Final[dict[str, Kind]] = {"100644": "file", "100755": "exec", "120000": "link"}


class Held:
    """Content by path, each looked up once.

    Args:
        commit: the commit that `snapshot` shows; None if it shows the index.
        project: the stages of `snapshot`.
    """

    def __init__(self, repo: Repo, snapshot: Snapshot, commit: str | None, project: Project) -> None:
        self._repo = repo
        self._snapshot = snapshot
        self._commit = commit
        self._project = project
        self._outs = {out.path: one for one in project.stages.values() for out in one.outs if out.cache}
        self._known: dict[RelPath, Content | Unknown | None] = {}

    def content(self, path: RelPath) -> Content | Unknown | None:
        """What `path` holds; None if Git has nothing there and names nothing there.

        Raises:
            InvalidError, UnsafeError: the pointer that names it is malformed.
        """
        if path not in self._known:
            owner = self.owner(path)
            self._known[path] = self._in_git(path) if owner is None else self._tracked(owner, path)
        return self._known[path]

    def owner(self, path: RelPath) -> RelPath | None:
        """The tracked path that is `path` or holds it."""
        while path:
            if path in self._project.tracked or path in self._outs:
                return path
            path = path.parent
        return None

    def _tracked(self, owner: RelPath, path: RelPath) -> Content | Unknown:
        if owner in self._project.tracked:
            file = self._project.tracked[owner]
            content: Content | None = pointer.decode(self._snapshot.read(file) or b"", file).content
        else:
            locked = self._project.locked.get(self._outs[owner].address)
            content = locked.outs.get(owner) if locked else None
        if content is None:
            return UNKNOWN
        if path == owner:
            return content
        try:
            entry = self._repo.workspace.find_entry(owner, entry_of(content, owner.name), path)
        except MissingError:  # the folder's list of files is not in the cache
            return UNKNOWN
        tree = entry.kind == "tree"
        return Content(entry.oid, "tree" if tree else "file", entry.size, entry.files if tree else None)

    def _in_git(self, path: RelPath) -> Content | Unknown | None:
        blobs = self._repo.git.blobs(self._commit, path)
        if not blobs:
            return None
        mixed = any(other.within(path) for other in (*self._project.tracked, *self._outs))
        if mixed or any(blob.mode not in _KINDS for blob in blobs):
            return UNKNOWN
        data = self._repo.git.contents(blob.id for blob in blobs)
        entries = [(blob, self._entry(blob, data[blob.id])) for blob in blobs]
        if blobs[0].path != path:
            return self._folder(path, entries)
        one = entries[0][1]  # of a link, which no stage can have read as a file, the id is that of where it leads
        return Content(one.oid, "file", one.size)

    def _entry(self, blob: Blob, data: bytes) -> Entry:
        return Entry(RelPath(blob.path).name, _KINDS[blob.mode], self._oid(data), len(data))

    def _oid(self, data: bytes) -> Oid:
        return hash_bytes(self._repo.config.hash, data)

    def _folder(self, top: RelPath, files: list[tuple[Blob, Entry]]) -> Content:
        """The tree of `top`, built from its deepest folders upwards."""
        ignore = self._repo.workspace.ignore
        levels: dict[RelPath, list[Entry]] = {top: []}
        for blob, entry in files:
            path = RelPath(blob.path)
            folders = _folders(path, top)
            if ignore.matches(path, folder=False) or any(ignore.matches(one, folder=True) for one in folders):
                continue
            for one in folders:
                levels.setdefault(one, [])
            levels[path.parent].append(entry)
        for folder in sorted(levels, key=lambda one: len(one.parts), reverse=True):
            if folder != top:
                levels[folder.parent].append(self._tree(folder, levels[folder]))
        found = self._tree(top, levels[top])
        return Content(found.oid, "tree", found.size, found.files)

    def _tree(self, folder: RelPath, entries: list[Entry]) -> Entry:
        size, files = sum(one.size for one in entries), sum(one.files for one in entries)
        return Entry(folder.name, "tree", self._oid(encode(entries)), size, files)


def _folders(path: RelPath, top: RelPath) -> list[RelPath]:
    """The folders between `top` and the file `path`, both left out."""
    found = []
    while (path := path.parent) != top:
        found.append(path)
    return found
