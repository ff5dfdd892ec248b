"""Writing into a store: packs and single files first, and one index that names them, which is the commit point.

Writers never share a file: each batch makes new packs and one new index. What a killed batch left behind is named by no
index; a later one writes it again under the same name, or finds it there.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Set
from pathlib import Path
from types import TracebackType
from typing import Final

from mlgit.errors import AuthError, RemoteError
from mlgit.fs import atomic
from mlgit.model.oid import Oid
from mlgit.store.backend import Progress
from mlgit.store.hashing import hash_file
from mlgit.store.indexfile import IndexBuilder, PackEntry, index_name
from mlgit.store.objects import Store, file_name, object_name, pack_name
from mlgit.store.openpack import OpenPack
from mlgit.store.pack import Place

PACK_LIMIT: Final = 64 << 20


class Writer:
    """New objects on their way into a store; `commit` (or the end of a `with` block) makes them part of it at once.

    Args:
        anew: write objects even if the store has them already, and let the new index replace all there are.
    """

    def __init__(self, store: Store, progress: Progress | None = None, *, anew: bool = False) -> None:
        self._store = store
        self._progress = progress
        self._anew = anew
        self._pack: OpenPack | None = None
        self._index = IndexBuilder()
        self._new: set[bytes] = set()
        self._files = _Files(store)
        store.check_format(create=True)

    def has(self, digest: bytes) -> bool:
        """Whether the object need not be written again: it is in this batch, or (unless `anew`) in the store.

        Raises:
            IntegrityError: the store has it from another user, and it is damaged.
        """
        if digest in self._new:
            return True
        place = None if self._anew else self._store.catalog.place(digest)
        return place is not None and self._files.hold(digest, place)

    def holds(self, digests: list[bytes]) -> bool:
        """Whether `has` is true of every one of many objects; raises as `has`."""
        places = {} if self._anew else self._store.catalog.places(set(digests) - self._new)
        return all(
            digest in self._new or (digest in places and self._files.hold(digest, places[digest])) for digest in digests
        )

    def include(self, digest: bytes, place: Place, pack: PackEntry | None) -> None:
        """Name an object in the index of this batch that is in place already, in `pack` if it is in one."""
        self._index.add(digest, place, pack)

    def add_pack(self, pack: PackEntry, table: bytes, source: bytes | Path) -> None:
        """Add a whole pack that ends in the closing table `table`.

        Args:
            source: its verified bytes, or a file of them, which is moved away.
        """
        name, backend = pack_name(pack.id), self._store.backend
        if backend.local is not None or not backend.exists(name):  # else a write that was cut off has left it
            if isinstance(source, Path):
                backend.put(name, source, move=True)
            else:
                backend.put_bytes(name, source)
        self._index.add_pack(pack, table)
        if self._progress is not None:
            self._progress(pack.size, pack.rows)

    def add(self, data: bytes | memoryview, digest: bytes | None = None) -> bytes:
        """Add a small object; returns its digest.

        Args:
            digest: its hash, when the caller has just computed it.

        Raises:
            DiskError: the disk refused.
        """
        digest = digest or self._store.digest(data)
        if not self.has(digest):
            if self._pack is None:
                with atomic.disk_errors(self._store.scratch):
                    self._pack = OpenPack(self._store.temporary())
            self._pack.append(digest, data)
            self._new.add(digest)
            if self._pack.size >= PACK_LIMIT:
                self._close_pack()
        if self._progress is not None:
            self._progress(len(data), 1)
        return digest

    def add_file(self, oid: Oid, source: Path, *, move: bool) -> None:
        """Add the large object whose bytes, already verified, are the file `source`."""
        size = os.stat(source).st_size
        if not self.has(oid.digest):
            self._store.backend.put(object_name(oid), source, self._progress, move=move)
            self._index.add_file(oid.digest, size)
            self._new.add(oid.digest)
        elif move:
            os.unlink(source)
        if self._progress is not None:
            self._progress(0, 1)

    def keep_left(self, oid: Oid, size: int) -> bool:
        """Add a large object whose file stands here already, left by a batch that was cut off; false if there is none.

        In a local store the file is compared with its id.
        """
        name, backend = object_name(oid), self._store.backend
        if self.has(oid.digest) or not backend.exists(name):
            return False
        if backend.local is not None:
            with atomic.disk_errors(backend.local / name):
                if hash_file(oid.algorithm, backend.local / name) != oid:
                    return False
        self._index.add_file(oid.digest, size)
        self._new.add(oid.digest)
        if self._progress is not None:
            self._progress(size, 1)
        return True

    def _close_pack(self) -> None:
        pack, self._pack = self._pack, None
        if pack is None:
            return
        try:
            with atomic.disk_errors(pack.path):
                entry = pack.finish()
            name, backend = pack_name(entry.id), self._store.backend
            if backend.local is not None or not backend.exists(name):
                backend.put(name, pack.path, move=True)
            else:
                self._discard(pack)
        except BaseException:
            self._discard(pack)
            raise
        self._index.add_pack(entry, pack.table)

    def commit(self) -> None:
        """Publish the batch: packs and files first, then the index that names them, then the indexes that it replaces.

        Small indexes are merged into the new one, and what they say of files that are gone is dropped.
        """
        self._close_pack()
        index, self._index, self._new = self._index, IndexBuilder(), set()
        old = self._replaced(index)
        if len(index):
            data = index.encode()
            name = index_name(data)
            self._store.backend.put_bytes(name, data)
            self._store.catalog.include(name, data)
            old.discard(name)
        self._retire(old)

    def _retire(self, old: set[str]) -> None:
        """Delete indexes that the new one replaces; they stay true, so who may write and not delete leaves them."""
        try:
            self._store.backend.delete(sorted(old))
        except (AuthError, RemoteError):
            if self._anew:  # what they name is about to go
                raise
        self._store.catalog.leave(old)

    def _replaced(self, index: IndexBuilder) -> set[str]:
        """Names of the indexes that `index` replaces; it names what they do, unless all is written anew."""
        catalog = self._store.catalog
        if self._anew:
            return set(catalog.files)
        if not len(index):
            return set()
        old = {*catalog.small(len(index)), *catalog.naming(self._files.gone)}
        for name in old:
            index.absorb(catalog.files[name], self._files.gone)
        return old

    def abandon(self) -> None:
        """Drop what was not committed; files already uploaded stay as orphans for a later write to adopt."""
        pack, self._pack = self._pack, None
        if pack is not None:
            self._discard(pack)

    def _discard(self, pack: OpenPack) -> None:
        pack.close()
        with contextlib.suppress(OSError):
            os.unlink(pack.path)

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.abandon()


class _Files:
    """What the files of a local store are worth: an index is not believed about those that are gone or another's.

    Attributes:
        gone: packs by id, and single files by digest, that an index names and that are not there.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._own: dict[str | bytes, bool] = {}
        self.gone: set[str | bytes] = set()

    def hold(self, digest: bytes, place: Place) -> bool:
        """Whether the object stands where its index says, compared with its id if another user wrote it.

        Raises:
            IntegrityError: another user's file does not match the id.
        """
        key = place.pack or digest
        own = self._own.get(key)
        if own is None:
            own = self._own[key] = self._look(key, digest, place)
        if not own and key not in self.gone:
            oid = Oid.from_digest(self._store.algorithm, digest)
            if place.pack:
                self._store.read(oid)
            else:
                self._store.verified_file(oid)
        return key not in self.gone

    def _look(self, key: str | bytes, digest: bytes, place: Place) -> bool:
        """Whether a file is this user's own; notes if it is gone."""
        root = self._store.backend.local
        if root is None:
            return True
        try:
            found = os.stat(root / file_name(Oid.from_digest(self._store.algorithm, digest), place))
        except FileNotFoundError:
            self.gone.add(key)
            return False
        return sys.platform == "win32" or found.st_uid == os.geteuid()


def rewrite(store: Store, kept: Set[bytes], *, repack: Set[str]) -> None:
    """Make the store name exactly the objects `kept`, in one new index that stands before the old ones go.

    Args:
        repack: packs, by their names in the backend, whose kept objects move to new packs; the files stay.

    Raises:
        IntegrityError: an object that must move is damaged; the store is as it was then.
    """
    store.catalog.refresh()
    packs = store.catalog.packs()
    with Writer(store, anew=True) as writer:
        moving = []
        for digest, place in store.catalog:
            if digest not in kept:
                continue
            if place.pack is not None and pack_name(place.pack) in repack:
                moving.append(Oid.from_digest(store.algorithm, digest))
            else:
                writer.include(digest, place, packs[place.pack] if place.pack else None)
        for oid, data in store.read_many(moving):
            writer.add(data, oid.digest)
