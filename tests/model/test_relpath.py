"""Paths: validated once, never out of the root, never into a control folder."""

from __future__ import annotations

import shlex
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.errors import InvalidError, MlgitError, UnsafeError
from mlgit.model.relpath import MAX_DEPTH, RelPath, check_depth, check_name, check_names, collisions

UNSAFE = (
    *("/etc/passwd", "//server/share", "\\windows", "\\\\?\\C:\\x", "C:\\x", "c:/x", "..", "../x", "a/../b", "a/.."),
    *(
        ".git",
        ".git/hooks/x",
        "a/.git/x",
        ".GIT/config",
        "a/.Git",
        "git~1",
        ".g\u200cit/x",
        ".git /x",
        ".git./x",
        ".mlgit/x",
    ),
    *("a/.MLGIT", ".mlgit\\cache", ".git:x", "..\\x", "a\\..\\..\\x", "GI7EB5~1", ".git\t"),
)
FINE = (
    "a",
    "a/b",
    "data/ünï cödé.txt",
    ".gitignore",
    ".gitattributes",
    "git",
    "a b/c",
    "...",
    "..a",
    "CON",
    "a:b",
    "~",
    "x~1",
)


@pytest.mark.parametrize("text", UNSAFE)
def test_paths_that_leave_or_reach_control_folders_are_unsafe(text: str) -> None:
    with pytest.raises(UnsafeError, match=r"pointer\.mlgit: out") as caught:
        RelPath.parse(text, "pointer.mlgit: out")
    assert caught.value.code == 14
    assert caught.value.hint


@pytest.mark.parametrize("text", ["a//b", "a/./b", "a\0b", "x" * 256, "é" * 128, "a\udcff", "a//"])
def test_paths_that_no_file_has_are_invalid(text: str) -> None:
    with pytest.raises(InvalidError):
        RelPath.parse(text)


@pytest.mark.parametrize("text", FINE)
def test_ordinary_paths_are_kept_as_they_are(text: str) -> None:
    assert RelPath.parse(text) == text == RelPath.parse(text + "/")


@given(st.text(max_size=40))
def test_whatever_is_accepted_stays_inside(text: str) -> None:
    try:
        path = RelPath.parse(text)
    except MlgitError:
        return
    assert not path.startswith("/")
    assert all(part not in ("", ".", "..") for part in path.parts)
    assert all(part.lower() not in (".git", ".mlgit") for part in path.parts)
    assert RelPath.parse(path) == path


def test_parts() -> None:
    path = RelPath.parse("a/b/c.txt")
    assert (path.name, path.parent, path.parts) == ("c.txt", "a/b", ("a", "b", "c.txt"))
    assert path.within("a") and path.within("a/b/c.txt") and path.within("") and not path.within("a/b/c")
    assert path.relative("a") == "b/c.txt"
    assert RelPath("").child("x") == "x" and RelPath("a").child("x") == "a/x"
    assert RelPath("").parts == () and RelPath("a").parent == ""


def test_too_deep_a_path_is_refused() -> None:
    check_depth(RelPath("/".join(["d"] * MAX_DEPTH)))
    with pytest.raises(InvalidError, match="deeply"):
        check_depth(RelPath("/".join(["d"] * (MAX_DEPTH + 1))))


def test_collisions_name_both() -> None:
    assert collisions(["a", "b", "A", "ß", "SS"]) == [("a", "A"), ("ß", "SS")]
    assert collisions(["a", "b"]) == []


@pytest.mark.parametrize("text", ["a/b.csv", "my data", "it's", "-x", "a;b", "$(x)", "é", "a*"])
def test_quoted_is_one_word_of_a_shell(text: str) -> None:
    assert shlex.split(RelPath(text).quoted) == [text]
    assert (RelPath(text).quoted == text) == (text in ("a/b.csv", "é"))


PARTS = [part for text in (*UNSAFE, *FINE) for part in text.split("/")]


@given(st.lists(st.sampled_from(PARTS) | st.text("ab.\n/~", max_size=4) | st.just("x" * 256), max_size=6))
def test_names_are_judged_together_as_each_alone(names: list[str]) -> None:
    def refused(check: Callable[[], object]) -> str | None:
        try:
            check()
        except MlgitError as error:
            return f"{type(error)} {error}"
        return None

    assert refused(lambda: check_names(names)) == refused(lambda: [check_name(name) for name in names])
