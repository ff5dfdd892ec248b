"""Packs and indexes: what is encoded comes back, and no bytes end in anything but our errors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.errors import IntegrityError
from mlgit.store.pack import (
    FOOTER_SIZE,
    PACK_MAGIC,
    RAW,
    Index,
    Slot,
    decode_footer,
    decode_index,
    decode_table,
    encode_footer,
    encode_index,
    encode_table,
    index_name,
)

DIGESTS = st.binary(min_size=32, max_size=32)
WORDS = st.integers(0, (1 << 64) - 1)
SLOTS = st.builds(Slot, st.integers(0, 255), WORDS, WORDS, WORDS)
ROWS = st.dictionaries(DIGESTS, SLOTS, max_size=5)
INDEXES = st.builds(Index, st.dictionaries(DIGESTS.map(bytes.hex), ROWS, max_size=3), ROWS)


@given(ROWS, st.integers(0, 1 << 60))
def test_tables_and_footers_come_back(rows: dict[bytes, Slot], offset: int) -> None:
    table = encode_table(rows.items())
    footer = encode_footer(table, offset)
    assert len(footer) == FOOTER_SIZE
    found, length, checksum = decode_footer(footer, "x")
    assert (found, length) == (offset, len(table))
    assert decode_table(table, checksum, "x") == rows


@given(INDEXES)
def test_indexes_come_back_and_are_canonical(index: Index) -> None:
    data = encode_index(index)
    assert decode_index(data, "x") == index
    turned = Index(dict(reversed(index.packs.items())), dict(reversed(index.loose.items())))
    assert encode_index(turned) == data
    assert index_name(data) == index_name(encode_index(turned))


@given(st.binary(max_size=200))
def test_any_bytes_end_in_our_errors(data: bytes) -> None:
    for parse in (
        lambda: decode_footer(data, "x"),
        lambda: decode_footer(PACK_MAGIC + data, "x"),
        lambda: decode_table(data, b"\0" * 16, "x"),
        lambda: decode_index(data, "x"),
    ):
        try:
            parse()
        except IntegrityError as error:
            assert error.code == 13


@given(INDEXES, st.data())
def test_any_change_of_an_index_is_seen(index: Index, data: st.DataObject) -> None:
    text = bytearray(encode_index(index))
    at = data.draw(st.integers(0, len(text) - 1))
    text[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(IntegrityError):
        decode_index(bytes(text), "x")
    with pytest.raises(IntegrityError):
        decode_index(encode_index(index)[: data.draw(st.integers(0, len(text) - 1))], "x")


def test_an_index_with_a_right_checksum_may_still_lie() -> None:
    from xxhash import xxh3_128_digest

    body = encode_index(Index({}, {b"a" * 32: Slot(RAW, 0, 1, 1)}))[:-16]
    wrong = bytearray(body)
    wrong[16 + 32 : 16 + 36] = (7).to_bytes(4, "big")  # a pack that is not listed
    more = bytearray(body)
    more[8:12] = (0xFFFFFFFF).to_bytes(4, "big")  # four thousand million packs
    for text in (bytes(wrong), bytes(more)):
        with pytest.raises(IntegrityError):
            decode_index(text + xxh3_128_digest(text), "x")
