"""Packs: what is encoded comes back, and no bytes end in anything but our errors."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.errors import IntegrityError
from mlgit.store.hashing import hash_bytes
from mlgit.store.openpack import OpenPack
from mlgit.store.pack import (
    FOOTER_SIZE,
    PACK_MAGIC,
    ROW,
    decode_footer,
    decode_table,
    encode_footer,
    split_pack,
)

WORDS = st.integers(0, (1 << 64) - 1)
ROWS = st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.integers(0, 255), WORDS, WORDS, WORDS), max_size=5)


@given(ROWS, st.integers(0, 1 << 60))
def test_tables_and_footers_come_back(rows: list[tuple[bytes, int, int, int, int]], offset: int) -> None:
    table = b"".join(ROW.pack(*row) for row in rows)
    footer = encode_footer(table, offset)
    assert len(footer) == FOOTER_SIZE
    found, length, checksum = decode_footer(footer, "x")
    assert (found, length) == (offset, len(table))
    assert decode_table(table, checksum, "x") == rows


@given(st.binary(max_size=200))
def test_any_bytes_end_in_our_errors(data: bytes) -> None:
    for parse in (
        lambda: decode_footer(data, "x"),
        lambda: decode_table(data, b"\0" * 16, "x"),
        lambda: split_pack(memoryview(data), "x"),
    ):
        with pytest.raises(IntegrityError):
            parse()
    with contextlib.suppress(IntegrityError):  # of the right length, after the magic, any bytes are a footer
        decode_footer(PACK_MAGIC + data, "x")


def test_a_whole_pack_is_split_and_any_change_of_its_table_is_seen(tmp_path: Path) -> None:
    texts = [b"", b"one", b"two" * 1000]
    pack = OpenPack(tmp_path / "x")
    for text in texts:
        pack.append(hash_bytes("blake3", text).digest, text)
    entry = pack.finish()
    data = (tmp_path / "x").read_bytes()
    assert (entry.rows, entry.size) == (3, len(data))
    table, rows = split_pack(memoryview(data), entry.id)
    assert table == pack.table
    assert [data[at : at + size] for _, _, at, _, size in rows] == texts
    first = len(data) - FOOTER_SIZE - len(table)
    for at in range(first, len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        with pytest.raises(IntegrityError):
            split_pack(memoryview(changed), entry.id)
    for wrong in (data[:-1], data + b"x", data[1:]):
        with pytest.raises(IntegrityError):
            split_pack(memoryview(wrong), entry.id)
    with pytest.raises(IntegrityError, match="name"):
        split_pack(memoryview(data), "0" * 64)
