"""Pointers: what is written comes back; unknown keys, wrong types and unsafe outputs are refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.errors import InvalidError, MlgitError, UnsafeError
from mlgit.model import pointer
from mlgit.model.oid import Oid
from mlgit.model.pointer import Pointer
from mlgit.model.relpath import RelPath, check_name

OID = Oid("blake3:" + "ab" * 32)
DIGITS = Oid("sha256:" + "1" * 64)


def _allowed(name: str) -> bool:
    try:
        RelPath.parse(name)
        check_name(name)
    except MlgitError:
        return False
    return True


TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
NAMES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="/"), min_size=1, max_size=12).filter(
    _allowed
)
META = st.dictionaries(TEXT, st.one_of(TEXT, st.integers(), st.booleans(), st.lists(TEXT, max_size=2)), max_size=3)


def _pointer(
    name: str, folder: bool, size: int, files: int, desc: str, labels: list[str], meta: dict[str, object]
) -> Pointer:
    return Pointer(
        name,
        OID,
        "tree" if folder else "file",
        size,
        files if folder else None,
        desc or None,
        tuple(labels),
        meta,
        None,
        meta,
    )


POINTERS = st.builds(
    _pointer,
    NAMES,
    st.booleans(),
    st.integers(0, 1 << 60),
    st.integers(0, 1 << 60),
    TEXT,
    st.lists(TEXT, max_size=3),
    META,
)


@given(POINTERS)
def test_decode_gives_back_what_was_encoded(one: Pointer) -> None:
    text = pointer.encode(one)
    assert pointer.decode(text, "x") == pointer.decode(text.encode(), "x") == one
    assert pointer.encode(pointer.decode(text, "x")) == text


@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(max_size=80).map(lambda text: f"out: {text}\noid: {OID}\ntype: file\nsize: 1\n".encode()),
    )
)
def test_any_bytes_end_in_our_errors(data: bytes) -> None:
    try:
        pointer.decode(data, "x")
    except MlgitError:
        return


GOOD = {"out": "raw", "oid": str(OID), "type": "file", "size": "3"}


def _text(**changes: str | None) -> str:
    return "".join(f"{key}: {value}\n" for key, value in {**GOOD, **changes}.items() if value is not None)


@pytest.mark.parametrize(
    "out",
    [
        "../x",
        "..",
        "/etc/passwd",
        "'C:\\x'",
        "'\\\\?\\C:\\x'",
        ".git",
        ".GIT",
        "git~1",
        ".mlgit",
        "'.git '",
        '".g\\u200cit"',
        "a/../b",
    ],
)
def test_outputs_elsewhere_are_unsafe(out: str) -> None:
    with pytest.raises(UnsafeError, match=r"data/raw\.mlgit:1: out"):
        pointer.decode(_text(out=out), "data/raw.mlgit")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (_text(out="a/b"), "1: out"),
        (_text(out="''"), "1: out"),
        (_text(out="."), "1: out"),
        (_text(oid="9" * 64), "2: oid"),
        (_text(oid="md5:1"), "2: oid"),
        (_text(type="folder"), "3: type"),
        (_text(type="tree"), "files"),
        (_text(files="1"), "files"),
        (_text(size="-1"), "4: size"),
        (_text(size="1.5"), "4: size"),
        (_text(size="true"), "4: size"),
        (_text(size="many"), "4: size"),
        (_text(size=None), "size: missing"),
        (_text(owt="x"), "5: owt: unknown key"),
        (_text(labels="[1]"), "5: labels"),
        (_text(meta="[]"), "5: meta"),
        (_text() + "size: 4\n", "5: duplicate key 'size'"),
        ("[]", "expected a mapping"),
        ("", "expected a mapping"),
    ],
)
def test_malformed_pointers_name_file_line_and_key(text: str, line: str) -> None:
    with pytest.raises(InvalidError) as caught:
        pointer.decode(text, "raw.mlgit")
    assert caught.value.message.startswith("raw.mlgit")
    assert line in caught.value.message


def test_an_id_of_digits_stays_text() -> None:
    text = pointer.encode(Pointer("a", DIGITS, "file", 1))
    assert pointer.decode(text, "x").oid == DIGITS
    assert text == f"out: a\noid: {DIGITS}\ntype: file\nsize: 1\n"
