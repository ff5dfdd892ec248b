"""The catalog: which objects a store has and where, from its index files alone.

One LIST of `index/` and a read of the index files not seen before answer every question; no request per object, ever.
Index files never change, so a remote's are kept in a local folder for good.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from mlgit.errors import IntegrityError, MissingError
from mlgit.fs import atomic
from mlgit.model.oid import Oid
from mlgit.store.backend import Backend
from mlgit.store.pack import Index, Slot, decode_index, index_name

READ_LIMIT: Final = 16 << 20
_READ_GAP: Final = 64 << 10
_ATTEMPTS: Final = 3


class Place(NamedTuple):
    """Where an object is.

    Attributes:
        pack: id of the pack that holds it; None when it is a file of its own.
    """

    pack: str | None
    slot: Slot


class Catalog:
    """What all index files of `backend` name, read when first asked and again by `refresh`.

    Args:
        kept: folder that keeps copies of a remote's index files; None for a local store.
    """

    def __init__(self, backend: Backend, kept: Path | None = None) -> None:
        self._backend = backend
        self._kept = kept
        self._places: dict[bytes, Place] = {}
        self._seen: set[str] = set()
        self._fresh = False

    def refresh(self) -> None:
        """Take in the index files that appeared, and drop everything if some are gone.

        Raises:
            IntegrityError: an index file is damaged, so that what the store holds is not known.
        """
        for _ in range(_ATTEMPTS):
            names = {stat.name for stat in self._backend.list("index/") if stat.name.endswith(".idx")}
            if self._seen - names:
                self._seen, self._places = set(), {}
            if self._take_in(sorted(names - self._seen)):
                break
        self._fresh = True

    def _take_in(self, names: list[str]) -> bool:
        """Read index files; false if one went since it was listed, so that another holds what it named."""
        for name in names:
            try:
                self.include(self._read(name))
            except MissingError:
                return False
            self._seen.add(name)
        return True

    def _read(self, name: str) -> Index:
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

    def _checked(self, name: str, data: bytes) -> Index:
        where = f"{self._backend.url}/{name}"
        if index_name(data) != name:
            raise IntegrityError(f"{where}: the index is damaged, or another's", hint="run `mlgit fsck --repair`")
        return decode_index(data, where)

    def damaged(self) -> list[str]:
        """Names of index files that cannot be read."""
        found = []
        for stat in self._backend.list("index/"):
            try:
                self._checked(stat.name, self._backend.read(stat.name))
            except IntegrityError:
                found.append(stat.name)
        return sorted(found)

    def include(self, index: Index) -> None:
        """Know the objects of `index` from now on."""
        for pack, rows in index.packs.items():
            for digest, slot in rows.items():
                self._places[digest] = Place(pack, slot)
        for digest, slot in index.loose.items():
            self._places[digest] = Place(None, slot)

    def forget(self, digests: Iterable[bytes]) -> None:
        """Act as if these objects were gone, after damage was found."""
        for digest in digests:
            self._places.pop(digest, None)

    @property
    def places(self) -> dict[bytes, Place]:
        """Every object: digest → place. Not to be changed."""
        if not self._fresh:
            self.refresh()
        return self._places

    def find(self, digest: bytes) -> Place | None:
        """Where an object is, looking once more for what other processes added since."""
        place = self.places.get(digest)
        if place is None:
            self.refresh()
            place = self._places.get(digest)
        return place

    @property
    def indexes(self) -> set[str]:
        """Names of the index files taken in."""
        return set(self._seen) if self._fresh else set()


def _position(one: tuple[Oid, Place]) -> tuple[str, int]:
    return one[1].pack or "", one[1].slot.offset


def runs(places: list[tuple[Oid, Place]]) -> Iterator[list[tuple[Oid, Place]]]:
    """Sort objects by where they stand and cut them into runs that one read of bounded size covers."""
    run: list[tuple[Oid, Place]] = []
    start = end = 0
    for oid, place in sorted(places, key=_position):
        slot = place.slot
        near = slot.offset <= end + _READ_GAP and slot.offset + slot.stored - start <= READ_LIMIT
        if run and (place.pack is None or place.pack != run[0][1].pack or not near):
            yield run
            run = []
        if not run:
            start = slot.offset
        end = slot.offset + slot.stored
        run.append((oid, place))
    if run:
        yield run
