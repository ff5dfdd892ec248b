"""Object ids: tagged, cryptographic, parsed and never guessed."""

from __future__ import annotations

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from mlgit.errors import InvalidError
from mlgit.model.oid import ALGORITHMS, Oid


@given(st.sampled_from(ALGORITHMS), st.binary(min_size=32, max_size=32))
def test_digests_come_back(algorithm: str, digest: bytes) -> None:
    oid = Oid.from_digest(algorithm, digest)
    assert Oid.parse(oid) == oid
    assert (oid.algorithm, oid.digest, oid.hex) == (algorithm, digest, digest.hex())
    assert oid.short == digest.hex()[:10]


@given(st.one_of(st.text(), st.integers(), st.none()))
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(InvalidError, match="where"):
        Oid.parse(value, "where")  # type: ignore[arg-type]


def test_weak_hashes_are_no_ids() -> None:
    for text in (
        f"xxh3:{xxhash.xxh3_128_hexdigest(b'')}",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "blake3:" + "a" * 63,
        "blake3:" + "a" * 65,
        "blake3:" + "A" * 64,
        "a" * 64,
        "blake3:" + "a" * 64 + "\n",
    ):
        with pytest.raises(InvalidError):
            Oid.parse(text)
    assert ALGORITHMS == ("blake3", "sha256")
