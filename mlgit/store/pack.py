"""Packs: many small objects in one file, with a closing table (after restic's design).

The table says where each object begins, so that an index can always be rebuilt from the packs alone. A pack never
changes and is named by the hash of its table, which fixes every byte of it: the objects by their ids, and their order.

    magic · bytes of each object · table · footer (magic, table offset, rows, xxh3_128 of the table)
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from blake3 import blake3
from xxhash import xxh3_128_digest

from mlgit.errors import IntegrityError

PACK_MAGIC: Final = b"mlgitPK1"
RAW: Final = 0
ROW: Final = struct.Struct(">32sBQQQ")
_FOOTER: Final = struct.Struct(">8sQQ16s")
FOOTER_SIZE: Final = _FOOTER.size


class Place(NamedTuple):
    """Where an object's bytes stand.

    Attributes:
        pack: id of the pack that holds them; None when the object is a file of its own.
        codec: how they are stored; `RAW` is the only one so far.
        offset: first byte in the pack; 0 for a single file.
        stored: bytes there.
        size: bytes of the object itself.
    """

    pack: str | None
    codec: int
    offset: int
    stored: int
    size: int


def pack_id(table: bytes | bytearray | memoryview) -> str:
    """The id of the pack whose closing table this is."""
    return blake3(table).hexdigest()


def encode_footer(table: bytes | bytearray, offset: int) -> bytes:
    """The fixed-size end of a pack whose `table` starts at `offset`."""
    return _FOOTER.pack(PACK_MAGIC, offset, len(table) // ROW.size, xxh3_128_digest(table))


def decode_footer(data: bytes | memoryview, where: str) -> tuple[int, int, bytes]:
    """Offset and length of the table, and its checksum, from a pack's last `FOOTER_SIZE` bytes.

    Raises:
        IntegrityError: this is not the end of a pack.
    """
    if len(data) != FOOTER_SIZE or data[: len(PACK_MAGIC)] != PACK_MAGIC:
        raise IntegrityError(f"{where}: pack is cut short or damaged", hint="run `mlgit fsck`")
    _, offset, rows, checksum = _FOOTER.unpack(data)
    return offset, rows * ROW.size, checksum


def decode_table(data: bytes | memoryview, checksum: bytes, where: str) -> list[tuple[bytes, int, int, int, int]]:
    """A pack's closing table: digest, codec, offset, stored bytes and size of every object.

    Raises:
        IntegrityError: the checksum does not match.
    """
    if len(data) % ROW.size or xxh3_128_digest(data) != checksum:
        raise IntegrityError(f"{where}: the pack's table is damaged", hint="run `mlgit fsck`")
    return list(ROW.iter_unpack(data))


def split_pack(data: memoryview, name: str) -> tuple[memoryview, list[tuple[bytes, int, int, int, int]]]:
    """The closing table of the whole pack `data` called `name`: its bytes, and its rows as `decode_table` gives them.

    Raises:
        IntegrityError: the pack is cut short or damaged, or another's.
    """
    end = len(data) - FOOTER_SIZE
    offset, length, checksum = decode_footer(data[max(end, 0) :], name)
    table = data[offset : offset + length]
    rows = decode_table(table, checksum, name)
    if offset + length != end or pack_id(table) != name:
        raise IntegrityError(f"{name}: the pack is not what its name says", hint="run `mlgit fsck`")
    return table, rows
