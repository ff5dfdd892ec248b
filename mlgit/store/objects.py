"""The store: content-addressed objects over a backend, verified whenever they are read.

Objects below `LARGE` stand together in packs, larger ones are files of their own so that they can be linked into a
working tree. Writers never share a file: each batch makes new packs and, last of all, one new index, which is the
commit point. Nothing here knows paths, pointers or Git.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Set
from pathlib import Path
from types import TracebackType
from typing import Final

from mlgit.errors import IntegrityError, InvalidError, MissingError
from mlgit.fs import atomic
from mlgit.model import tree as trees
from mlgit.model.fields import Fields
from mlgit.model.oid import Oid
from mlgit.model.text import dump_yaml, load_yaml
from mlgit.store.backend import Backend, Progress
from mlgit.store.catalog import Catalog, Place, runs
from mlgit.store.hashing import digest_function, hash_file
from mlgit.store.openpack import OpenPack
from mlgit.store.pack import RAW, Index, Slot, encode_index, index_name

FORMAT: Final = 1
LARGE: Final = 1 << 20
PACK_LIMIT: Final = 64 << 20
PACKED_LIMIT: Final = 256 << 20


def object_name(oid: Oid) -> str:
    """Name in a backend of an object that is a file of its own."""
    return f"objects/{oid.algorithm}/{oid.hex[:2]}/{oid.hex[2:]}"


def pack_name(pack: str) -> str:
    """Name in a backend of a pack."""
    return f"packs/{pack}.pack"


class Store:
    """Objects at one place.

    Args:
        algorithm: of every id in it.
        scratch: local folder for temporary files; for a local store on the same file system.
        kept: folder for copies of a remote's index files; None for a local store.
    """

    def __init__(self, backend: Backend, algorithm: str, *, scratch: Path, kept: Path | None = None) -> None:
        self.backend = backend
        self.algorithm = algorithm
        self.scratch = scratch
        self.catalog = Catalog(backend, kept)
        self.digest = digest_function(algorithm)

    def check_format(self, *, create: bool = False) -> None:
        """Make sure that the store, if there is one, is of a format and algorithm that fit.

        Raises:
            InvalidError: another format version or hash algorithm.
        """
        where = f"{self.backend.url}/store.yaml"
        try:
            text = self.backend.read("store.yaml")
        except MissingError:
            if create:
                self.backend.put_bytes("store.yaml", dump_yaml({"version": FORMAT, "hash": self.algorithm}).encode())
            return
        fields = Fields(load_yaml(text, where), where, ("version", "hash", "created"))
        if fields.whole("version") != FORMAT:
            fields.fail("version", f"store format {fields.whole('version')} is not known here", "upgrade mlgit")
        if fields.text("hash") != self.algorithm:
            fields.fail(
                "hash",
                f"this store uses {fields.text('hash')}, the repository {self.algorithm}",
                "use another remote or cache folder, or the repository's own core.hash",
            )

    def has(self, oid: Oid) -> bool:
        """Whether the object is in the store."""
        return self.catalog.find(oid.digest) is not None

    def missing(self, oids: Iterable[Oid]) -> set[Oid]:
        """Those of `oids` that are not in the store."""
        places = self.catalog.places
        lacking = {oid for oid in oids if oid.digest not in places}
        if lacking:
            self.catalog.refresh()
            lacking = {oid for oid in lacking if oid.digest not in self.catalog.places}
        return lacking

    def locate(self, oid: Oid) -> Place:
        """Where the object is.

        Raises:
            MissingError: it is not in the store.
            InvalidError: its id is of another algorithm than the store's.
            IntegrityError: the index claims a packed object larger than any that is ever written.
        """
        require_algorithm(oid, self.algorithm, self.backend.url)
        place = self.catalog.find(oid.digest)
        if place is None:
            raise MissingError(f"object {oid} is not in {self.backend.url}", hint="get it with `mlgit pull`")
        if place.pack is not None and place.slot.stored > PACKED_LIMIT:
            raise self.damaged(oid, place)
        return place

    def linkable(self, oid: Oid) -> Path | None:
        """The local file that is exactly this object, unverified; None if it stands in a pack or not on this disk."""
        root = self.backend.local
        return root / object_name(oid) if root is not None and self.locate(oid).pack is None else None

    def read(self, oid: Oid) -> bytes:
        """The object's bytes.

        Raises:
            MissingError: it is not in the store.
            IntegrityError: the bytes there are not those of the id.
        """
        place = self.locate(oid)
        try:
            data = self._bytes(oid, place)
        except MissingError:  # moved to another pack since the indexes were read
            self.catalog.refresh()
            place = self.locate(oid)
            data = self._bytes(oid, place)
        self._verify(oid, data, place)
        return data

    def _bytes(self, oid: Oid, place: Place) -> bytes:
        if place.pack is None:
            return self.backend.read(object_name(oid))
        return self.backend.read(pack_name(place.pack), place.slot.offset, place.slot.stored)

    def read_many(self, oids: Iterable[Oid]) -> Iterator[tuple[Oid, bytes | memoryview]]:
        """Small objects in the order they are stored, neighbours read together.

        Raises:
            MissingError, IntegrityError: as `read`.
        """
        places = [(oid, self.locate(oid)) for oid in oids]
        for run in runs(places):
            pack, start = run[0][1].pack, run[0][1].slot.offset
            if pack is None:
                yield run[0][0], self.read(run[0][0])
                continue
            end = max(place.slot.offset + place.slot.stored for _, place in run)
            try:
                data = memoryview(self.backend.read(pack_name(pack), start, end - start))
            except MissingError:  # as in `read`
                for oid, _ in run:
                    yield oid, self.read(oid)
                continue
            for oid, place in run:
                part = data[place.slot.offset - start : place.slot.offset - start + place.slot.stored]
                self._verify(oid, part, place)
                yield oid, part

    def _verify(self, oid: Oid, data: bytes | memoryview, place: Place) -> None:
        if self.digest(data) != oid.digest or place.slot.codec != RAW:
            raise self.damaged(oid, place)

    def damaged(self, oid: Oid, place: Place) -> IntegrityError:
        """The error for an object whose bytes do not match its id."""
        name = pack_name(place.pack) if place.pack else object_name(oid)
        return IntegrityError(
            f"object {oid} is damaged in {self.backend.url}/{name}",
            hint="run `mlgit fsck --repair` to set it aside and fetch it again",
        )

    def verified_file(self, oid: Oid) -> Path:
        """The local file that is exactly this object, after hashing it whole.

        Raises:
            MissingError: it is not in the store, or its file is gone.
            IntegrityError: its bytes are not those of the id.
        """
        path = self.linkable(oid)
        if path is None:
            raise MissingError(f"object {oid} is not a file of its own in {self.backend.url}")
        try:
            with atomic.disk_errors(path):
                found = hash_file(self.algorithm, path)
        except MissingError as error:
            raise MissingError(
                f"object {oid} is gone from {self.backend.url}",
                hint="run `mlgit fsck --repair`, which notes that; then `mlgit pull` it, or `mlgit add` it where it is",
            ) from error
        if found != oid:
            raise self.damaged(oid, self.locate(oid))
        return path

    def tree(self, oid: Oid) -> trees.Tree:
        """A directory's tree object, decoded.

        Raises:
            MissingError, IntegrityError: as `read`.
            InvalidError, UnsafeError: it is no tree, or a malformed or hostile one.
        """
        self.check_tree(oid)
        return trees.decode(bytes(self.read(oid)), f"tree {oid}")

    def check_tree(self, oid: Oid) -> None:
        """Refuse to load what cannot be a tree: a file that a pointer calls a folder may be of any size.

        Raises:
            MissingError: it is not in the store.
            InvalidError: it is larger than any tree.
        """
        if self.locate(oid).slot.size > PACKED_LIMIT:
            raise InvalidError(f"object {oid} is no folder's tree", hint="check the pointer that names it")

    def writer(self, progress: Progress | None = None) -> Writer:
        """A batch of new objects; use it with `with`, nothing is in the store before the block ends well."""
        return Writer(self, progress)

    def retain(self, kept: Set[bytes], *, repack: Set[str]) -> None:
        """Make the store name exactly the objects `kept`, in one new index that stands before the old ones go.

        Args:
            repack: packs, by their names in the backend, whose kept objects move to new packs; the files stay.

        Raises:
            IntegrityError: an object that must move is damaged; the store is as it was then.
        """
        self.catalog.refresh()
        places, old = dict(self.catalog.places), self.catalog.indexes
        staying, moving = Index({}, {}), []
        for digest in kept:
            place = places[digest]
            if place.pack is None:
                staying.loose[digest] = place.slot
            elif pack_name(place.pack) in repack:
                moving.append(Oid.from_digest(self.algorithm, digest))
            else:
                staying.packs.setdefault(place.pack, {})[digest] = place.slot
        with Writer(self, anew=True) as writer:
            for oid, data in self.read_many(moving):
                writer.add(data, oid.digest)
            writer.include(staying)
        self.backend.delete(sorted(old - {writer.index_name}))
        self.catalog.refresh()

    def temporary(self) -> Path:
        """A new name in the scratch folder."""
        with atomic.disk_errors(self.scratch):
            self.scratch.mkdir(parents=True, exist_ok=True)
        return self.scratch / f"{os.urandom(8).hex()}.tmp"


class Writer:
    """New objects on their way into a store; `commit` (or the end of a `with` block) makes them part of it at once.

    Args:
        anew: write objects even if the store has them already.
    """

    def __init__(self, store: Store, progress: Progress | None = None, *, anew: bool = False) -> None:
        self._store = store
        self._progress = progress
        self._anew = anew
        self._pack: OpenPack | None = None
        self._index = Index({}, {})
        self._new: set[bytes] = set()
        self._checked: dict[str, bool] = {}
        self.index_name = ""
        store.check_format(create=True)

    def has(self, digest: bytes) -> bool:
        """Whether the object need not be written again: it is in this batch, or (unless `anew`) in the store.

        In a local store an index is not believed about files that are gone.
        """
        if digest in self._new:
            return True
        place = None if self._anew else self._store.catalog.places.get(digest)
        return place is not None and (self._store.backend.local is None or self._stands(digest, place))

    def _stands(self, digest: bytes, place: Place) -> bool:
        name = pack_name(place.pack) if place.pack else object_name(Oid.from_digest(self._store.algorithm, digest))
        if name not in self._checked:
            self._checked[name] = self._store.backend.exists(name)
        return self._checked[name]

    def include(self, index: Index) -> None:
        """Name what `index` lists, already in place, in the index of this batch."""
        for pack, rows in index.packs.items():
            self._index.packs.setdefault(pack, {}).update(rows)
        self._index.loose.update(index.loose)

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
            if self._pack.end >= PACK_LIMIT:
                self._close_pack()
        if self._progress is not None:
            self._progress(len(data))
        return digest

    def add_file(self, oid: Oid, source: Path, *, move: bool) -> None:
        """Add the large object whose bytes, already verified, are the file `source`."""
        size = os.stat(source).st_size
        if not self.has(oid.digest):
            self._store.backend.put(object_name(oid), source, self._progress, move=move)
            self._index.loose[oid.digest] = Slot(RAW, 0, size, size)
            self._new.add(oid.digest)
        elif move:
            os.unlink(source)

    def _close_pack(self) -> None:
        pack, self._pack = self._pack, None
        if pack is None:
            return
        try:
            with atomic.disk_errors(pack.path):
                name = pack.finish()
            self._store.backend.put(pack_name(name), pack.path, move=True)
        except BaseException:
            self._discard(pack)
            raise
        self._index.packs[name] = dict(pack.rows)

    def commit(self) -> None:
        """Publish the batch: packs and files first, the index that names them last."""
        self._close_pack()
        if self._index.packs or self._index.loose:
            data = encode_index(self._index)
            self.index_name = index_name(data)
            self._store.backend.put_bytes(self.index_name, data)
            self._store.catalog.include(self._index)
            self._index, self._new = Index({}, {}), set()

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


def require_algorithm(oid: Oid, algorithm: str, where: str) -> None:
    """Refuse an id of another algorithm than the repository's.

    Raises:
        InvalidError: the tags differ.
    """
    if oid.algorithm != algorithm:
        raise InvalidError(
            f"{where}: {oid.algorithm} id in a repository of {algorithm}", hint="set core.hash, or add the data again"
        )
