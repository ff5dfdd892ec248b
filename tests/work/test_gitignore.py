"""Lines in `.gitignore`: exact, once, and nothing else of the file is touched."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mlgit.errors import InvalidError, UnsafeError, UsageError
from mlgit.model.relpath import RelPath
from mlgit.repo import Repo
from mlgit.work import add, gitignore, relocate

NAMES = [
    "plain",
    "with space",
    "trail ",
    "#hash",
    "!bang",
    "a*b",
    "q?",
    "[x]",
    "back\\slash",
    "ünï",
    "\\",
    "a'b\"c",
    "x\u2028y",
    "tab\there",
]


@pytest.mark.parametrize("name", NAMES)
def test_git_ignores_exactly_this_name(git_folder: Path, name: str) -> None:
    for one in (name, "other", "aXb", "qX"):
        (git_folder / one).write_text("x")
    (git_folder / "sub").mkdir()
    (git_folder / "sub" / name).write_text("x")
    assert gitignore.ignore(git_folder, [RelPath(name)]) == [".gitignore"]
    assert gitignore.ignore(git_folder, [RelPath(name)]) == []
    words = ["git", "ls-files", "-z", "--others", "--ignored", "--exclude-standard"]
    done = subprocess.run(words, cwd=git_folder, capture_output=True, check=True)
    assert done.stdout.decode() == f"{name}\0"
    assert gitignore.unignore(git_folder, [RelPath(name)]) == [".gitignore"]
    assert not (git_folder / ".gitignore").exists()


def test_what_stood_there_stays(tmp_path: Path) -> None:
    file = tmp_path / ".gitignore"
    before = b"*.pyc\r\n\xff\xfe\n\n# note \x0c here"
    file.write_bytes(before)
    gitignore.ignore(tmp_path, [RelPath("data")])
    assert file.read_bytes() == before + b"\n/data\n"
    gitignore.unignore(tmp_path, [RelPath("data")])
    assert file.read_bytes() == before + b"\n"


def test_a_name_with_a_line_end_is_refused(tmp_path: Path) -> None:
    for name in ("a\n*", "a\rb"):
        with pytest.raises(InvalidError, match="line end"):
            gitignore.ignore(tmp_path, [RelPath(name)])
    assert not (tmp_path / ".gitignore").exists()


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("x\n")
    (tmp_path / ".gitignore").symlink_to("victim")
    with pytest.raises(UnsafeError):
        gitignore.ignore(tmp_path, [RelPath("data")])
    assert (tmp_path / "victim").read_text() == "x\n"


def test_nothing_is_tracked_where_git_would_not_see_the_pointer(repo: Repo) -> None:
    (repo.root / ".gitignore").write_text("hidden/\n")
    for folder in ("hidden", "inner", "open"):
        (repo.root / folder).mkdir()
        (repo.root / folder / "file").write_text("x")
    (repo.root / "inner" / ".git").mkdir()
    for name, problem in (("hidden/file", "Git ignores hidden/file.mlgit"), ("inner/file", "another Git repository")):
        with pytest.raises(UsageError, match=problem):
            add.plan(repo.workspace, [RelPath(name)], {})
    assert add.plan(repo.workspace, [RelPath("open/file"), RelPath("hidden")], {}).paths == ("open/file", "hidden")
    add.apply(repo.workspace, add.plan(repo.workspace, [RelPath("open/file")], {}))
    fresh = Repo(repo.root)
    with pytest.raises(UsageError, match="Git ignores"):
        relocate.destination(fresh.workspace, RelPath("open/file"), RelPath("hidden/other"), fresh.tracked())
