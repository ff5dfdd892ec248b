"""Trees: one canonical form, nothing else accepted; hostile bytes end in our errors only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.errors import InvalidError, MlgitError, UnsafeError
from mlgit.model import tree as trees
from mlgit.model.oid import Oid
from mlgit.model.relpath import check_name, collisions
from mlgit.model.tree import Entry

HEX = "0123456789abcdef"
OIDS = st.builds(
    lambda tag, digits: Oid(f"{tag}:{digits}"),
    st.sampled_from(("blake3", "sha256")),
    st.text(HEX, min_size=64, max_size=64),
)
NASTY = st.sampled_from(["\n", "\r", "\t", "\x1b", "\\", "\x85", "\u2028", "\u202e", " ", "é", "e\u0301", "%", "\x7f"])


def _allowed(name: str) -> bool:
    try:
        check_name(name)
    except MlgitError:
        return False
    return True


NAMES = st.lists(
    st.one_of(NASTY, st.characters(exclude_characters="/\0", exclude_categories=("Cs",))), min_size=1, max_size=12
)
VALID = NAMES.map("".join).filter(_allowed)
SIZES = st.integers(0, 10**19 - 1)


def _entry(name: str, kind: str, oid: Oid, size: int, files: int) -> Entry:
    return Entry(name, kind, oid, size, files if kind == "tree" else 1)  # type: ignore[arg-type]


ENTRIES = st.lists(
    st.builds(_entry, VALID, st.sampled_from(trees.KINDS), OIDS, SIZES, SIZES),
    max_size=8,
    unique_by=lambda one: one.name,
).filter(lambda found: not collisions([one.name for one in found]))

A = Oid("blake3:" + "a" * 64)


@given(ENTRIES)
def test_decode_gives_back_what_was_encoded(entries: list[Entry]) -> None:
    data = trees.encode(entries)
    tree = trees.decode(data, "x")
    assert set(tree.entries) == set(entries)
    assert trees.encode(tree.entries) == data == trees.encode(reversed(entries))
    assert tree.size == sum(one.size for one in entries)
    assert [(one.kind, one.oid, one.size) for one in tree.entries] == trees.children(data)


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_end_in_our_errors(data: bytes, headed: bool) -> None:
    data = trees.HEADER + data if headed else data
    for parse in (lambda: trees.encode(trees.decode(data, "x").entries), lambda: trees.children(data)):
        try:
            parse()
        except MlgitError:
            continue


@given(ENTRIES, st.data())
def test_a_changed_byte_is_refused_or_still_canonical(entries: list[Entry], data: st.DataObject) -> None:
    text = bytearray(trees.encode(entries))
    at = data.draw(st.integers(0, len(text) - 1))
    text[at] = data.draw(st.integers(0, 255))
    try:
        tree = trees.decode(bytes(text), "x")
    except (InvalidError, UnsafeError):
        return
    assert trees.encode(tree.entries) == text


def _line(name: str, kind: str = "file", oid: str = A, size: str = "1") -> bytes:
    files = " 1" if kind == "tree" else ""
    return trees.HEADER + f"{kind} {oid} {size}{files} {name}\n".encode()


@pytest.mark.parametrize(
    "name",
    [
        *("..", ".git", ".GIT", ".Git", "git~1", "GIT~2", ".mlgit", ".MLGIT", "mlgit~1", "MLGIT~1", "gi1234~1"),
        *(
            ".g\u200cit",
            ".git\u200d",
            "\ufeff.git",
            ".git ",
            ".git.",
            ".git. .",
            ".git\\\\x",
            ".git::$INDEX_ALLOCATION",
        ),
        *(".git\\x0d", "..\\\\..\\\\x", "a\\\\..\\\\b", "．git"),
    ],
)
def test_names_of_control_folders_and_climbing_are_unsafe(name: str) -> None:
    with pytest.raises(UnsafeError, match="where"):
        trees.decode(_line(name), "where")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"mlgit-tree 2\n",
        trees.HEADER[:-1],
        _line("a")[:-1],
        _line(""),
        _line("."),
        _line("a/b"),
        _line("a\\x00b"),
        _line("a\0b"),
        _line("x" * 256),
        _line("\\q"),
        _line("\\x41"),
        _line("a\x1bb"),
        _line("a\x85b"),
        _line("a", size="01"),
        _line("a", size="-1"),
        _line("a", size="1" * 20),
        _line("a", size="٣"),
        _line("a", oid="blake3:" + "A" * 64),
        _line("a", oid="md5:" + "a" * 32),
        _line("a", oid="a" * 64),
        _line("a", kind="socket"),
        _line("b") + _line("a")[len(trees.HEADER) :],
        _line("a") + _line("a")[len(trees.HEADER) :],
        _line("a") + b"\n",
        _line("a") + b"\xff\n",
    ],
)
def test_what_is_not_canonical_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidError):
        trees.decode(data, "where")


@pytest.mark.parametrize(("first", "second"), [("A", "a"), ("é", "e\u0301"), ("Straße", "strasse"), ("\u212b", "Å")])
def test_names_that_one_disk_cannot_keep_apart_are_refused(first: str, second: str) -> None:
    data = trees.encode([Entry(first, "file", A, 1), Entry(second, "file", A, 1)])
    with pytest.raises(UnsafeError, match="one name on some systems"):
        trees.decode(data, "where")


def test_children_of_what_is_no_tree_are_refused() -> None:
    for data in (b"\xff\xfe binary", b"", trees.HEADER + b"file blake3:zz 1 a\n", trees.HEADER + b"\n"):
        with pytest.raises(InvalidError):
            trees.children(data)


def test_lookup_by_name() -> None:
    tree = trees.decode(trees.encode([Entry("a", "file", A, 1), Entry("b", "exec", A, 2)]), "x")
    assert tree.get("b") == Entry("b", "exec", A, 2)
    assert tree.get("c") is None
    assert (tree.size, tree.files) == (3, 2)
