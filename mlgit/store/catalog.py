"""The catalog: which objects a store has and where, from its index files alone.

One LIST of `index/` and a read of the index files not seen before answer every question; no request per object, ever.
Index files never change, so a remote's are kept in a local folder for good.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from pathlib import Path
from typing import Final

from mlgit.errors import IntegrityError, MissingError
from mlgit.fs import atomic
from mlgit.model.oid import Oid
from mlgit.store.backend import Backend
from mlgit.store.indexfile import IndexFile, PackEntry, index_name
from mlgit.store.pack import Place

READ_LIMIT: Final = 16 << 20
_READ_GAP: Final = 64 << 10
_ATTEMPTS: Final = 10
_GROWTH: Final = 2


class Catalog:
    """What all index files of `backend` name, read when first asked and again by `refresh`.

    Args:
        kept: folder that keeps copies of a remote's index files; None for a local store.
        mend: the command that repairs the store, for hints.
    """

    def __init__(self, backend: Backend, kept: Path | None = None, *, mend: str = "`mlgit fsck --repair`") -> None:
        self._backend = backend
        self._mend = mend
        self._kept = kept
        self._files: dict[str, IndexFile] = {}
        self._fresh = False

    def refresh(self) -> None:
        """Take in the index files that appeared, and leave those that are gone.

        Raises:
            IntegrityError: an index file is damaged, so that what the store holds is not known.
            MissingError: other processes went on replacing index files faster than they can be read.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            names = {stat.name for stat in self._backend.list("index/") if stat.name.endswith(".idx")}
            try:
                self._files = {name: self._files.get(name) or self._read(name) for name in sorted(names)}
                break
            except MissingError:  # merged into another since it was listed
                if attempt == _ATTEMPTS:
                    raise
        self._fresh = True

    def expire(self) -> None:
        """Look what index files there are when next asked: meanwhile others may have written, or `gc` have deleted."""
        self._fresh = False

    def _read(self, name: str) -> IndexFile:
        if self._kept is None:
            return self._checked(name, self._backend.read(name))
        copy = self._kept / name
        try:
            return self._checked(name, copy.read_bytes())
        except (OSError, IntegrityError):
            data = self._backend.read(name)
        index = self._checked(name, data)
        with atomic.disk_errors(copy):
            copy.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(copy, data)
        return index

    def _checked(self, name: str, data: bytes) -> IndexFile:
        where = f"{self._backend.url}/{name}"
        if index_name(data) != name:
            raise IntegrityError(f"{where}: the index is damaged, or another's", hint=f"run {self._mend}")
        return IndexFile(data, where, self._mend)

    def damaged(self) -> list[str]:
        """Names of index files that cannot be read."""
        found = []
        for stat in self._backend.list("index/"):
            try:
                self._checked(stat.name, self._backend.read(stat.name))
            except IntegrityError:
                found.append(stat.name)
        return sorted(found)

    def include(self, name: str, data: bytes) -> None:
        """Know the index file `name`, just written, from now on."""
        self._files[name] = IndexFile(data, f"{self._backend.url}/{name}", self._mend)

    def leave(self, names: Iterable[str]) -> None:
        """Know these index files, just deleted, no longer."""
        for name in names:
            self._files.pop(name, None)

    @property
    def files(self) -> dict[str, IndexFile]:
        """The index files by name. Not to be changed."""
        if not self._fresh:
            self.refresh()
        return self._files

    def knows(self, digest: bytes) -> bool:
        """Whether an index read so far names the object."""
        return self.place(digest) is not None

    def lacking(self, digests: Iterable[bytes]) -> set[bytes]:
        """Those of `digests` that no index read so far names."""
        found = set(digests)
        for index in self.files.values():
            found = index.lacking(found)
        return found

    def place(self, digest: bytes) -> Place | None:
        """Where an object is, by the indexes read so far."""
        for index in self.files.values():
            row = index.row(digest)
            if row >= 0:
                return index.place(row)
        return None

    def places(self, digests: set[bytes]) -> dict[bytes, Place]:
        """Where those of `digests` are that an index read so far names."""
        found: dict[bytes, Place] = {}
        for index in self.files.values():
            found = index.places(digests) | found
        return found

    def find(self, digest: bytes) -> Place | None:
        """Where an object is, looking once more for what other processes added since."""
        place = self.place(digest)
        if place is None:
            self.refresh()
            place = self.place(digest)
        return place

    def __iter__(self) -> Iterator[tuple[bytes, Place]]:
        """Every object once, with its place."""
        earlier: list[IndexFile] = []
        for index in self.files.values():
            for digest, place in index:
                if not any(one.row(digest) >= 0 for one in earlier):
                    yield digest, place
            earlier.append(index)

    def packs(self) -> dict[str, PackEntry]:
        """Every pack that an index speaks of, by its id."""
        return {pack.id: pack for index in self.files.values() for pack in index.packs}

    def small(self, rows: int) -> list[str]:
        """Names of the index files that a new one of `rows` rows should replace, so that there are never many.

        Each is at most twice as large as the new one with those before it: their number stays logarithmic, and a row
        is written a logarithmic number of times (after the log-structured merge-tree, O'Neil et al., 1996).
        """
        found = []
        for name, index in sorted(self.files.items(), key=lambda one: one[1].rows):
            if index.rows > _GROWTH * rows:
                break
            rows += index.rows
            found.append(name)
        return found

    def naming(self, files: Set[str | bytes]) -> list[str]:
        """Names of the index files that name something in `files`: packs by id, single files by digest."""
        packs = {one for one in files if isinstance(one, str)}
        digests = [one for one in files if isinstance(one, bytes)]
        return [
            name
            for name, index in self.files.items()
            if not packs.isdisjoint(pack.id for pack in index.packs) or any(index.row(one) >= 0 for one in digests)
        ]


def _position(one: tuple[Oid, Place]) -> tuple[str, int]:
    return one[1].pack or "", one[1].offset


def runs(places: Iterable[tuple[Oid, Place]]) -> Iterator[list[tuple[Oid, Place]]]:
    """Sort objects by where they stand and cut them into runs that one read of bounded size covers."""
    run: list[tuple[Oid, Place]] = []
    start = end = 0
    for oid, place in sorted(places, key=_position):
        near = place.offset <= end + _READ_GAP and place.offset + place.stored - start <= READ_LIMIT
        if run and (place.pack is None or place.pack != run[0][1].pack or not near):
            yield run
            run = []
        if not run:
            start = place.offset
        end = place.offset + place.stored
        run.append((oid, place))
    if run:
        yield run
