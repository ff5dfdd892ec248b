"""Index files: what is named is found, what is merged stays, and no bytes end in anything but our errors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.errors import IntegrityError
from mlgit.store.hashing import hash_bytes
from mlgit.store.indexfile import INDEX_MAGIC, IndexBuilder, IndexFile, PackEntry, index_name
from mlgit.store.pack import RAW, ROW, Place

DIGESTS = st.binary(min_size=32, max_size=32)
WORDS = st.integers(0, (1 << 64) - 1)
PACKS = {name: PackEntry(name, 7, 70) for name in ("ab" * 32, "cd" * 32, "ef" * 32)}
PLACES = st.builds(Place, st.sampled_from([None, *PACKS]), st.integers(0, 255), WORDS, WORDS, WORDS)
ROWS = st.dictionaries(DIGESTS, PLACES, max_size=40)


def _build(rows: dict[bytes, Place]) -> bytes:
    index = IndexBuilder()
    for digest, place in rows.items():
        index.add(digest, place, PACKS[place.pack] if place.pack else None)
    assert len(index) == len(rows)
    return index.encode()


@given(ROWS, DIGESTS)
def test_what_is_named_is_found_and_nothing_else(rows: dict[bytes, Place], other: bytes) -> None:
    index = IndexFile(_build(rows), "x")
    assert dict(index) == rows
    assert {digest: index.place(index.row(digest)) for digest in rows} == rows
    assert (index.row(other) >= 0) == (other in rows)
    assert {pack.id for pack in index.packs} == {place.pack for place in rows.values() if place.pack}


@given(ROWS)
def test_the_same_content_gives_the_same_bytes(rows: dict[bytes, Place]) -> None:
    turned = dict(reversed(rows.items()))
    assert _build(turned) == _build(rows)
    assert index_name(_build(turned)) == index_name(_build(rows))


@given(ROWS, ROWS, st.sets(st.sampled_from(sorted(PACKS))))
def test_merging_keeps_everything_but_what_is_left_out(
    one: dict[bytes, Place], two: dict[bytes, Place], without: set[str]
) -> None:
    merged = IndexBuilder()
    merged.absorb(IndexFile(_build(one), "one"))
    merged.absorb(IndexFile(_build(two), "two"), without)
    found = dict(IndexFile(merged.encode(), "merged"))
    kept = {digest: place for digest, place in two.items() if (place.pack or digest) not in without}
    assert found.keys() == one.keys() | kept.keys()
    assert all(place in (one.get(digest), kept.get(digest)) for digest, place in found.items())


def test_thousands_are_found_across_all_prefixes() -> None:
    """Also a digest that stands, in the bytes, across two others."""
    digests = [hash_bytes("blake3", str(number).encode()).digest for number in range(5000)]
    first, second = b"\0" * 31 + b"\1", b"\0" * 30 + b"\1\0"
    table = b"".join(ROW.pack(digest, RAW, 8, 1, 1) for digest in [*digests, first, second])
    index = IndexBuilder()
    index.add_pack(PackEntry("ab" * 32, len(table) // ROW.size, 99), table)
    index.add_file(b"\xff" * 32, 5)
    found = IndexFile(index.encode(), "x")
    assert [digest for digest in digests if found.row(digest) < 0] == []
    assert found.place(found.row(b"\xff" * 32)) == Place(None, RAW, 0, 5, 5)
    assert found.row(b"\0" * 32) == -1
    assert found.row((first + second)[5:37]) == -1
    assert list(found.digests()) == sorted([*digests, first, second, b"\xff" * 32])


@given(st.binary(max_size=200))
def test_any_bytes_end_in_our_errors(data: bytes) -> None:
    for text in (data, INDEX_MAGIC + data):
        with pytest.raises(IntegrityError):
            list(IndexFile(text, "x"))


@given(ROWS, st.data())
def test_a_cut_index_is_refused(rows: dict[bytes, Place], data: st.DataObject) -> None:
    text = _build(rows)
    with pytest.raises(IntegrityError):
        IndexFile(text[: data.draw(st.integers(0, len(text) - 1))], "x")


@given(ROWS, st.data(), DIGESTS)
def test_an_index_that_lies_gives_our_error_or_an_answer(
    rows: dict[bytes, Place], data: st.DataObject, other: bytes
) -> None:
    """Whoever may write to a remote may write an index with any content under its right name."""
    text = bytearray(_build(rows))
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    try:
        index = IndexFile(bytes(text), "x")
        for digest in (*rows, other):
            row = index.row(digest)
            assert row == -1 or index.place(row)
        list(index)
    except IntegrityError as error:
        assert error.code == 13
