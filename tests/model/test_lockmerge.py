"""The rules of merging locks and pointers, for any content."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.errors import InvalidError
from mlgit.model import lock, pointermerge
from mlgit.model.lock import Lock, StageLock
from mlgit.model.lockmerge import Merged, merge, merge_texts
from mlgit.model.oid import Oid
from mlgit.model.pointer import Pointer
from mlgit.model.relpath import RelPath
from mlgit.model.tree import Content

oids = st.integers(0, 3).map(lambda number: Oid.from_digest("blake3", bytes([number]) * 32))
contents = st.builds(Content, oids, st.just("file"), st.integers(0, 2))
entries = st.builds(
    StageLock,
    cmd=st.sampled_from(["one", "two"]),
    params=st.dictionaries(
        st.just(RelPath("params.yaml")), st.dictionaries(st.just("x"), st.sampled_from([1, 1.0, True]))
    ),
    outs=st.dictionaries(st.sampled_from([RelPath("a"), RelPath("b")]), contents, max_size=2),
)
locks = st.dictionaries(st.sampled_from("abcd"), entries, max_size=4).map(Lock)
ONE, TWO, THREE = StageLock("one"), StageLock("two"), StageLock("three")


@given(locks, locks, locks)
def test_which_side_is_ours_makes_no_difference(base: Lock, ours: Lock, theirs: Lock) -> None:
    one, other = merge(base, ours, theirs), merge(base, theirs, ours)
    assert one.dropped == other.dropped
    assert lock.encode(one.lock) == lock.encode(other.lock)


@given(locks, locks)
def test_what_one_side_left_alone_is_the_other_side(base: Lock, other: Lock) -> None:
    assert merge(base, base, other) == merge(base, other, base) == Merged(other, ())
    assert merge(base, other, other) == Merged(other, ())


@given(locks, locks, locks)
def test_nothing_is_made_up_and_nothing_agreed_is_lost(base: Lock, ours: Lock, theirs: Lock) -> None:
    found = merge(base, ours, theirs)
    for name, entry in found.lock.stages.items():
        assert entry in (ours.stages.get(name), theirs.stages.get(name))
    for name in ours.stages.keys() & theirs.stages.keys():
        if lock.encode_entry(name, ours.stages[name]) == lock.encode_entry(name, theirs.stages[name]):
            assert name in found.lock.stages
    assert not set(found.dropped) & set(found.lock.stages)


@given(locks, locks, locks)
def test_merging_again_changes_nothing(base: Lock, ours: Lock, theirs: Lock) -> None:
    found = merge(base, ours, theirs).lock
    assert merge(base, found, found).lock == found
    assert merge(found, found, found) == Merged(found, ())


@given(locks, locks, locks)
def test_the_text_is_the_canonical_one(base: Lock, ours: Lock, theirs: Lock) -> None:
    texts = [lock.encode(one).encode() for one in (base, ours, theirs)]
    text, dropped = merge_texts(*texts, "mlgit.lock")  # type: ignore[misc]
    assert text == lock.encode(lock.decode(text, "mlgit.lock"))
    assert dropped == merge(base, ours, theirs).dropped


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "expected", "dropped"),
    [
        (ONE, TWO, ONE, TWO, False),
        (ONE, ONE, TWO, TWO, False),
        (ONE, TWO, TWO, TWO, False),
        (ONE, TWO, THREE, None, True),
        (ONE, None, TWO, None, True),
        (ONE, TWO, None, None, True),
        (ONE, None, ONE, None, False),
        (ONE, None, None, None, False),
        (None, ONE, None, ONE, False),
        (None, ONE, ONE, ONE, False),
        (None, ONE, TWO, None, True),
    ],
)
def test_every_case(
    base: StageLock | None, ours: StageLock | None, theirs: StageLock | None, expected: StageLock | None, dropped: bool
) -> None:
    sides = [Lock({"s": one} if one else {}) for one in (base, ours, theirs)]
    found = merge(*sides)
    assert found.lock.stages.get("s") == expected
    assert found.dropped == (("s",) if dropped else ())


def test_true_is_another_parameter_than_one() -> None:
    base, ours, theirs = (
        Lock({"s": StageLock("x", params={RelPath("p.yaml"): {"k": value}})}) for value in (0, 1, True)
    )
    assert merge(base, ours, theirs).dropped == ("s",)


def test_without_a_base_the_entries_are_joined() -> None:
    ours, theirs = (lock.encode(Lock({name: ONE})).encode() for name in "ab")
    text, dropped = merge_texts(b"", ours, theirs, "mlgit.lock")
    assert (text, dropped) == (lock.encode(Lock({"a": ONE, "b": ONE})), ())


@pytest.mark.parametrize("bad", [b"<<<<<<< a\n", b"mlgit: 2\nstages: {}\n", b"\xff"])
def test_what_does_not_decode_is_not_merged(bad: bytes) -> None:
    good = lock.encode(Lock({"a": ONE})).encode()
    for sides in ((good, good, bad), (good, bad, good), (bad, good, good)):
        with pytest.raises(InvalidError):
            merge_texts(*sides, "mlgit.lock")


# -- pointers --------------------------------------------------------------------------------------

words = st.sampled_from(["x", "y"])
pointers = st.builds(
    Pointer,
    out=st.just("data"),
    oid=oids,
    type=st.just("tree"),
    size=st.integers(0, 2),
    files=st.integers(0, 2),
    desc=st.none() | words,
    labels=st.lists(words, max_size=2).map(tuple),
    meta=st.dictionaries(words, st.sampled_from([1, True]), max_size=1),
    remote=st.none() | words,
)


def folders(_: Content | None, ours: Content, theirs: Content) -> pointermerge.Folders:
    """A folder merge in which everything conflicts."""
    return ours, theirs, ("content",)


@given(pointers, pointers, pointers)
def test_pointers_merge_the_same_either_way(base: Pointer, ours: Pointer, theirs: Pointer) -> None:
    one = pointermerge.merge(base, ours, theirs, folders)
    other = pointermerge.merge(base, theirs, ours, folders)
    assert (one.ours, one.theirs, one.conflicts) == (other.theirs, other.ours, other.conflicts)
    assert (one.ours == one.theirs) or one.conflicts


@given(st.none() | pointers, pointers)
def test_a_pointer_changed_on_one_side_is_taken(base: Pointer | None, other: Pointer) -> None:
    found = pointermerge.merge(base, base or other, other, folders)
    assert (found.ours, found.theirs, found.conflicts) == (other, other, ())


def test_fields_merge_one_by_one() -> None:
    base = Pointer("d", Oid("blake3:" + "00" * 32), "file", 1)
    ours = Pointer("d", Oid("blake3:" + "11" * 32), "file", 2, meta={"a": 1})
    theirs = Pointer("d", base.oid, "file", 1, desc="words", meta={"a": 2})
    found = pointermerge.merge(base, ours, theirs, folders)
    assert found.conflicts == ("meta: changed on both sides",)
    assert (found.ours.oid, found.ours.size, found.ours.desc) == (ours.oid, 2, "words")
    assert (found.ours.meta, found.theirs.meta) == ({"a": 1}, {"a": 2})


def test_a_file_never_merges_and_neither_does_an_import() -> None:
    def make(number: int, kind: str = "file", **more: object) -> Pointer:
        oid = Oid.from_digest("blake3", bytes([number]) * 32)
        return Pointer("d", oid, kind, number, None if kind == "file" else 1, **more)  # type: ignore[arg-type]

    assert pointermerge.merge(make(0), make(1), make(2), folders).conflicts == ("a file that both sides changed",)
    assert "a file on one side" in pointermerge.merge(make(0), make(1), make(2, "tree"), folders).conflicts[0]
    source = {"url": "x"}
    sides = [make(number, "tree", source=source) for number in range(3)]
    assert pointermerge.merge(sides[0], sides[1], sides[2], folders).conflicts[0].startswith("imported")
