"""Index files: which objects some packs and single files hold, and where; the commit point of every write.

An index never changes and is named by the hash of its bytes. Its digests stand sorted in one column behind a table of
where each prefix begins (after Git's pack index), so that one of a million is found without a row being unpacked.

    magic · packs · rows · prefix bits · pack ids, rows and sizes · first row of every prefix · digests · places
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Container, Iterator
from itertools import accumulate, pairwise, starmap
from typing import Final, NamedTuple

from blake3 import blake3

from mlgit.errors import IntegrityError
from mlgit.store.pack import RAW, ROW, Place

INDEX_MAGIC: Final = b"mlgitIX2"
_HEAD: Final = struct.Struct(">8sIIB")
_PACK: Final = struct.Struct(">32sIQ")
_PLACE: Final = struct.Struct(">IBQQQ")
_LOOSE: Final = 0xFFFFFFFF
_DIGEST: Final = 32
_PER_PREFIX: Final = 8
_MOST_BITS: Final = 20


class PackEntry(NamedTuple):
    """A pack that an index speaks of.

    Attributes:
        id: what it is called.
        rows: number of objects in its own table; the index may name fewer.
        size: bytes of the whole file.
    """

    id: str
    rows: int
    size: int


def index_name(data: bytes) -> str:
    """Name in a backend of the index file `data`."""
    return f"index/{blake3(data).hexdigest()}.idx"


class IndexFile:
    """A view of one index file's bytes.

    Args:
        where: what it is called in errors.
        mend: the command that repairs the store it belongs to, for their hints.

    Raises:
        IntegrityError: they are no index, or one of a version that this mlgit does not know.
    """

    __slots__ = ("_data", "_digests", "_first", "_ids", "_mend", "_places", "_shift", "_where", "packs", "rows")

    def __init__(self, data: bytes, where: str, mend: str = "`mlgit fsck --repair`") -> None:
        self._data = data
        self._where = where
        self._mend = mend
        if not data.startswith(INDEX_MAGIC) or len(data) < _HEAD.size:
            raise self._damaged("index is damaged")
        _, packs, self.rows, bits = _HEAD.unpack_from(data)
        prefixes = _HEAD.size + packs * _PACK.size
        self._digests = prefixes + ((1 << min(bits, _MOST_BITS)) + 1) * 4
        self._places = self._digests + self.rows * _DIGEST
        self._shift = 24 - bits
        if bits > _MOST_BITS or len(data) != self._places + self.rows * _PLACE.size:
            raise self._damaged("index is cut short")
        self.packs = [
            PackEntry(name.hex(), rows, size) for name, rows, size in _PACK.iter_unpack(data[_HEAD.size : prefixes])
        ]
        self._ids: dict[int, str | None] = {number: pack.id for number, pack in enumerate(self.packs)}
        self._ids[_LOOSE] = None
        self._first = _words(data[prefixes : self._digests])
        if self._first[-1] != self.rows or any(one > two for one, two in pairwise(self._first)):
            raise self._damaged("index has a wrong table of prefixes")

    def _damaged(self, what: str) -> IntegrityError:
        return IntegrityError(f"{self._where}: {what}", hint=f"run {self._mend}")

    def row(self, digest: bytes) -> int:
        """The row of an object; -1 if the index does not name it."""
        prefix = int.from_bytes(digest[:3], "big") >> self._shift
        start = self._digests + self._first[prefix] * _DIGEST
        end = self._digests + self._first[prefix + 1] * _DIGEST
        at = self._data.find(digest, start, end)
        while at > 0 and (at - start) % _DIGEST:  # found across two digests
            at = self._data.find(digest, at + 1, end)
        return (at - self._digests) // _DIGEST if at >= 0 else -1

    def place(self, row: int) -> Place:
        """Where the object of a row stands.

        Raises:
            IntegrityError: the index names a pack that it does not list.
        """
        return self._place(*_PLACE.unpack_from(self._data, self._places + row * _PLACE.size))

    def _place(self, number: int, codec: int, offset: int, stored: int, size: int) -> Place:
        try:
            return Place(self._ids[number], codec, offset, stored, size)
        except KeyError:
            raise self._damaged("index names a pack that it does not list") from None

    def lacking(self, digests: set[bytes]) -> set[bytes]:
        """Those of `digests` that the index does not name."""
        if self.rows < _PER_PREFIX * len(digests):  # one pass is quicker than a search for each
            return digests.difference(self.digests())
        row = self.row
        return {digest for digest in digests if row(digest) < 0}

    def places(self, digests: set[bytes]) -> dict[bytes, Place]:
        """Where those of `digests` are that the index names."""
        if self.rows < _PER_PREFIX * len(digests):
            return {digest: place for digest, place in self if digest in digests}
        rows = {digest: self.row(digest) for digest in digests}
        return {digest: self.place(row) for digest, row in rows.items() if row >= 0}

    def digests(self) -> Iterator[bytes]:
        """Every object named, in order."""
        data = self._data
        return (data[at : at + _DIGEST] for at in range(self._digests, self._places, _DIGEST))

    def __iter__(self) -> Iterator[tuple[bytes, Place]]:
        """Every object with its place, in order."""
        places = _PLACE.iter_unpack(memoryview(self._data)[self._places :])
        return zip(self.digests(), starmap(self._place, places), strict=True)


def _words(data: bytes) -> array[int]:
    """Big-endian numbers of four bytes."""
    found = array("I", data)
    if sys.byteorder == "little":
        found.byteswap()
    return found


class IndexBuilder:
    """An index under construction; the same content gives the same bytes, in whatever order it comes."""

    def __init__(self) -> None:
        self._packs: dict[str, PackEntry] = {}
        self._tables: dict[str | None, bytearray] = {}

    def __len__(self) -> int:
        """Number of rows so far."""
        return sum(map(len, self._tables.values())) // ROW.size

    def add_pack(self, pack: PackEntry, table: bytes | bytearray) -> None:
        """Name everything that a pack's own table lists."""
        self._packs[pack.id] = pack
        self._tables.setdefault(pack.id, bytearray()).extend(table)

    def add_file(self, digest: bytes, size: int) -> None:
        """Name an object that is a file of its own."""
        self.add(digest, Place(None, RAW, 0, size, size), None)

    def add(self, digest: bytes, place: Place, pack: PackEntry | None) -> None:
        """Name an object at `place`, in `pack` if it is in one."""
        if pack is not None:
            self._packs[pack.id] = pack
        self._tables.setdefault(place.pack, bytearray()).extend(ROW.pack(digest, *place[1:]))

    def absorb(self, index: IndexFile, without: Container[str | bytes] = ()) -> None:
        """Name what another index does, except for packs (by id) and single files (by digest) in `without`."""
        packs = {pack.id: pack for pack in index.packs}
        for digest, place in index:
            if (place.pack or digest) not in without:
                self.add(digest, place, packs[place.pack] if place.pack else None)

    def encode(self) -> bytes:
        """The bytes of the index; where two places of one object were named, one of them."""
        packs = sorted(self._packs.values())
        digests, places, last = bytearray(), bytearray(), b""
        for row in sorted(self._numbered([pack.id for pack in packs])):
            if row[:_DIGEST] != last:
                last = row[:_DIGEST]
                digests += last
                places += row[_DIGEST:]
        rows = len(digests) // _DIGEST
        bits = min(max((rows // _PER_PREFIX).bit_length() - 1, 0), _MOST_BITS)
        head = _HEAD.pack(INDEX_MAGIC, len(packs), rows, bits)
        named = [_PACK.pack(bytes.fromhex(pack.id), pack.rows, pack.size) for pack in packs]
        return b"".join((head, *named, _prefixes(digests, bits), digests, places))

    def _numbered(self, packs: list[str]) -> Iterator[bytes]:
        """Every row with its pack's number behind the digest."""
        numbers: dict[str | None, int] = {pack: number for number, pack in enumerate(packs)}
        for holder, table in self._tables.items():
            number = numbers.get(holder, _LOOSE).to_bytes(4, "big")
            for at in range(0, len(table), ROW.size):
                yield bytes(table[at : at + _DIGEST] + number + table[at + _DIGEST : at + ROW.size])


def _prefixes(digests: bytearray, bits: int) -> bytes:
    """The first row of every prefix of `bits` bits, and the number of rows."""
    rows, shift = [0] * ((1 << bits) + 1), 24 - bits
    for at in range(0, len(digests), _DIGEST):
        rows[(int.from_bytes(digests[at : at + 3], "big") >> shift) + 1] += 1
    first = array("I", accumulate(rows))
    if sys.byteorder == "little":
        first.byteswap()
    return first.tobytes()
