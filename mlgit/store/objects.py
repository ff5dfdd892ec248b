"""The store: content-addressed objects over a backend, verified whenever they are read.

Objects below `LARGE` stand together in packs, larger ones are files of their own so that they can be linked into a
working tree. Nothing here writes objects (that is `writer`), and nothing knows paths, pointers or Git.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from mlgit.errors import IntegrityError, InvalidError, MissingError
from mlgit.fs import atomic
from mlgit.model import tree as trees
from mlgit.model.fields import Fields
from mlgit.model.oid import Oid
from mlgit.model.text import dump_yaml, load_yaml
from mlgit.store.backend import Backend, Progress
from mlgit.store.catalog import Catalog, runs
from mlgit.store.hashing import copy_hashed, digest_function, hash_open
from mlgit.store.pack import RAW, Place

FORMAT: Final = 1
LARGE: Final = 1 << 20
PACKED_LIMIT: Final = 256 << 20


def object_name(oid: Oid) -> str:
    """Name in a backend of an object that is a file of its own."""
    return f"objects/{oid.algorithm}/{oid.hex[:2]}/{oid.hex[2:]}"


def pack_name(pack: str) -> str:
    """Name in a backend of a pack."""
    return f"packs/{pack}.pack"


def file_name(oid: Oid, place: Place) -> str:
    """Name in a backend of the file that holds an object."""
    return pack_name(place.pack) if place.pack else object_name(oid)


class Store:
    """Objects at one place.

    Args:
        algorithm: of every id in it.
        scratch: local folder for temporary files; for a local store on the same file system.
        kept: folder for copies of a remote's index files; None for a local store.
        remote: what the configuration calls the remote that this is, for hints; None for the cache.
    """

    def __init__(
        self, backend: Backend, algorithm: str, *, scratch: Path, kept: Path | None = None, remote: str | None = None
    ) -> None:
        self.backend = backend
        self.algorithm = algorithm
        self.scratch = scratch
        self.kept = kept
        self.mend = f"`mlgit fsck -r {remote} --repair`" if remote else "`mlgit fsck --repair`"
        self._again = "send it again from a cache that has it" if remote else "fetch it again"
        self.catalog = Catalog(backend, kept, mend=self.mend)
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
        wanted = {oid.digest: oid for oid in oids}
        lacking = self.catalog.lacking(wanted)
        if lacking:
            self.catalog.refresh()
            lacking = self.catalog.lacking(lacking)
        return {wanted[digest] for digest in lacking}

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
        if place.pack is not None and place.stored > PACKED_LIMIT:
            raise self.damaged(oid, place)
        return place

    def locate_all(self, oids: Iterable[Oid]) -> list[tuple[Oid, Place]]:
        """Where many objects are; raises as `locate`."""
        wanted = [(oid, oid.digest) for oid in oids]
        places = self.catalog.places({digest for _, digest in wanted})
        tag, found = f"{self.algorithm}:", []
        for oid, digest in wanted:
            place = places.get(digest)
            if place is None or place.stored > PACKED_LIMIT or not oid.startswith(tag):
                place = self.locate(oid)
            found.append((oid, place))
        return found

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
        return self.backend.read(pack_name(place.pack), place.offset, place.stored)

    def read_many(self, oids: Iterable[Oid]) -> Iterator[tuple[Oid, bytes | memoryview]]:
        """Small objects in the order they are stored, neighbours read together.

        Raises:
            MissingError, IntegrityError: as `read`.
        """
        yield from self.read_located(self.locate_all(oids))

    def read_located(self, places: Iterable[tuple[Oid, Place]]) -> Iterator[tuple[Oid, bytes | memoryview]]:
        """As `read_many`, for objects that `locate_all` has found."""
        for run in runs(places):
            pack, start = run[0][1].pack, run[0][1].offset
            if pack is None:
                yield run[0][0], self.read(run[0][0])
                continue
            end = max(place.offset + place.stored for _, place in run)
            try:
                data = memoryview(self.backend.read(pack_name(pack), start, end - start))
            except MissingError:  # as in `read`
                for oid, _ in run:
                    yield oid, self.read(oid)
                continue
            for oid, place in run:
                at = place.offset - start
                part = data[at : at + place.stored]
                self._verify(oid, part, place)
                yield oid, part

    def _verify(self, oid: Oid, data: bytes | memoryview, place: Place) -> None:
        if self.digest(data) != oid.digest or place.codec != RAW:
            raise self.damaged(oid, place)

    def damaged(self, oid: Oid, place: Place) -> IntegrityError:
        """The error for an object whose bytes do not match its id."""
        return IntegrityError(
            f"object {oid} is damaged in {self.backend.url}/{file_name(oid, place)}",
            hint=f"run {self.mend} to set it aside and {self._again}",
        )

    def verified_file(self, oid: Oid) -> Path:
        """The local file that is exactly this object, after hashing it whole.

        Raises:
            MissingError: it is not in the store, or its file is gone.
            IntegrityError: its bytes are not those of the id.
        """
        with self._opened(oid) as (path, reader):
            found = hash_open(self.algorithm, reader)
        if found != oid:
            raise self.damaged(oid, self.locate(oid))
        return path

    def copy_file(self, oid: Oid, writer: int, *, clone: bool, progress: Progress | None = None) -> None:
        """Copy a large object of a local store to the empty open file `writer`, comparing the copy with its id.

        Args:
            clone: share the blocks where the file system can.

        Raises:
            MissingError, IntegrityError: as `verified_file`.
            DiskError: the disk refused.
        """
        with self._opened(oid) as (_, reader):
            found = copy_hashed(self.algorithm, reader, writer, clone=clone, progress=progress)
        if found != oid:
            raise self.damaged(oid, self.locate(oid))

    @contextlib.contextmanager
    def _opened(self, oid: Oid) -> Iterator[tuple[Path, int]]:
        """The local file of a large object, open for reading."""
        path = self.linkable(oid)
        if path is None:
            raise MissingError(f"object {oid} is not a file of its own in {self.backend.url}")
        with atomic.disk_errors(path):
            try:
                reader = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                raise MissingError(
                    f"object {oid} is gone from {self.backend.url}",
                    hint=f"run {self.mend}, then `mlgit pull` it, or `mlgit add` it where it is",
                ) from None
            try:
                yield path, reader
            finally:
                os.close(reader)

    def tree(self, oid: Oid) -> trees.Tree:
        """A directory's tree object, decoded.

        Raises:
            MissingError, IntegrityError: as `read`.
            InvalidError, UnsafeError: it is no tree, or a malformed or hostile one.
        """
        return trees.decode(self.tree_bytes(oid), f"tree {oid}")

    def tree_bytes(self, oid: Oid) -> bytes:
        """The canonical bytes of a tree object, not decoded; raises as `tree`, but for what they hold."""
        self.check_tree(oid)
        return self.read(oid)

    def check_tree(self, oid: Oid) -> None:
        """Refuse to load what cannot be a tree: a file that a pointer calls a folder may be of any size.

        Raises:
            MissingError: it is not in the store.
            InvalidError: it is larger than any tree.
        """
        if self.locate(oid).size > PACKED_LIMIT:
            raise InvalidError(f"object {oid} is no folder's tree", hint="check the pointer that names it")

    def temporary(self) -> Path:
        """A new name in the scratch folder."""
        with atomic.disk_errors(self.scratch):
            self.scratch.mkdir(parents=True, exist_ok=True)
        return self.scratch / f"{os.urandom(8).hex()}.tmp"


def require_algorithm(oid: Oid, algorithm: str, where: str) -> None:
    """Refuse an id of another algorithm than the repository's.

    Raises:
        InvalidError: the tags differ.
    """
    if oid.algorithm != algorithm:
        raise InvalidError(
            f"{where}: {oid.algorithm} id in a repository of {algorithm}", hint="set core.hash, or add the data again"
        )
