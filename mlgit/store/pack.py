"""Packs and indexes: the two binary files of a store.

A pack is many small objects in one file; its closing table says where each begins, so that an index can always be
rebuilt from the packs alone (after restic's design). An index lists what packs and single files hold and is the commit
point of a write: what no index names is not in the store. Both are immutable and named by their content.

    pack:   magic · bytes of each object · table · footer (magic, table offset, rows, xxh3_128 of the table)
    index:  magic · number of packs · number of rows · 32-byte pack ids · rows · xxh3_128 of all before
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from blake3 import blake3
from xxhash import xxh3_128_digest

from mlgit.errors import IntegrityError

PACK_MAGIC: Final = b"mlgitPK1"
INDEX_MAGIC: Final = b"mlgitIX1"
RAW: Final = 0
LOOSE: Final = 0xFFFFFFFF
_ROW: Final = struct.Struct(">32sBQQQ")
_INDEX_ROW: Final = struct.Struct(">32sIBQQQ")
_FOOTER: Final = struct.Struct(">8sQQ16s")
_INDEX_HEAD: Final = struct.Struct(">8sII")
FOOTER_SIZE: Final = _FOOTER.size


class Slot(NamedTuple):
    """Where an object's bytes stand.

    Attributes:
        codec: how they are stored; `RAW` is the only one so far.
        offset: first byte in the pack; 0 for a single file.
        stored: bytes there.
        size: bytes of the object itself.
    """

    codec: int
    offset: int
    stored: int
    size: int


@dataclass(frozen=True, slots=True)
class Index:
    """What one index file lists.

    Attributes:
        packs: pack id → digest → slot.
        loose: digest → slot of objects that are files of their own.
    """

    packs: dict[str, dict[bytes, Slot]]
    loose: dict[bytes, Slot]


def encode_table(rows: Iterable[tuple[bytes, Slot]]) -> bytes:
    """A pack's closing table, before its footer."""
    return b"".join(_ROW.pack(digest, *slot) for digest, slot in rows)


def encode_footer(table: bytes, offset: int) -> bytes:
    """The fixed-size end of a pack whose `table` starts at `offset`."""
    return _FOOTER.pack(PACK_MAGIC, offset, len(table) // _ROW.size, xxh3_128_digest(table))


def decode_footer(data: bytes, where: str) -> tuple[int, int, bytes]:
    """Offset and length of the table, and its checksum, from a pack's last `FOOTER_SIZE` bytes.

    Raises:
        IntegrityError: this is not the end of a pack.
    """
    if len(data) != FOOTER_SIZE or not data.startswith(PACK_MAGIC):
        raise IntegrityError(f"{where}: pack is cut short or damaged", hint="run `mlgit fsck`")
    _, offset, rows, checksum = _FOOTER.unpack(data)
    return offset, rows * _ROW.size, checksum


def decode_table(data: bytes, checksum: bytes, where: str) -> dict[bytes, Slot]:
    """A pack's closing table.

    Raises:
        IntegrityError: the checksum does not match.
    """
    if xxh3_128_digest(data) != checksum or len(data) % _ROW.size:
        raise IntegrityError(f"{where}: the pack's table is damaged", hint="run `mlgit fsck`")
    return {digest: Slot(*slot) for digest, *slot in _ROW.iter_unpack(data)}


def encode_index(index: Index) -> bytes:
    """An index file, the same bytes for the same content."""
    packs = sorted(index.packs)
    rows = [
        _INDEX_ROW.pack(digest, number, *slot)
        for number, pack in enumerate(packs)
        for digest, slot in sorted(index.packs[pack].items())
    ]
    rows += [_INDEX_ROW.pack(digest, LOOSE, *slot) for digest, slot in sorted(index.loose.items())]
    head = _INDEX_HEAD.pack(INDEX_MAGIC, len(packs), len(rows))
    body = b"".join((head, *(bytes.fromhex(pack) for pack in packs), *rows))
    return body + xxh3_128_digest(body)


def index_name(data: bytes) -> str:
    """Name in a backend of the index file `data`."""
    return f"index/{blake3(data).hexdigest()}.idx"


def decode_index(data: bytes, where: str) -> Index:
    """Parse an index file.

    Raises:
        IntegrityError: damaged, or of a version that this mlgit does not know.
    """
    body, checksum = data[:-16], data[-16:]
    if not body.startswith(INDEX_MAGIC) or len(body) < _INDEX_HEAD.size or xxh3_128_digest(body) != checksum:
        raise IntegrityError(f"{where}: index is damaged", hint="run `mlgit fsck`")
    _, count, rows = _INDEX_HEAD.unpack_from(body)
    start = _INDEX_HEAD.size + 32 * count
    if len(body) != start + rows * _INDEX_ROW.size:
        raise IntegrityError(f"{where}: index is cut short", hint="run `mlgit fsck`")
    ids = [body[at : at + 32].hex() for at in range(_INDEX_HEAD.size, start, 32)]
    index = Index({one: {} for one in ids}, {})
    holders = [index.packs[one] for one in ids]
    for digest, number, codec, offset, stored, size in _INDEX_ROW.iter_unpack(body[start:]):
        if number != LOOSE and number >= count:
            raise IntegrityError(f"{where}: index names a pack that it does not list", hint="run `mlgit fsck`")
        holder = index.loose if number == LOOSE else holders[number]
        holder[digest] = Slot(codec, offset, stored, size)
    return index
