"""Moving and removing what is tracked; a move that was killed goes on when it is asked for again."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from health import assert_healthy

from mlgit.errors import RefusedError, UsageError
from mlgit.fs import atomic
from mlgit.model.tree import Content
from mlgit.repo import Repo
from mlgit.work import relocate

Save = Callable[..., Content]


@pytest.fixture
def data(repo: Repo, save: Save) -> Path:
    (repo.root / "data").mkdir()
    (repo.root / "data" / "a").write_text("a")
    save("data")
    return repo.root / "data"


def _move(repo: Repo, source: str, target: str) -> list[str]:
    fresh = Repo(repo.root)
    paths = [fresh.path(name, fresh.root) for name in (source, target)]
    return [str(path) for path in relocate.move(fresh.workspace, *paths, fresh.tracked())]


def _remove(repo: Repo, name: str, *, data: bool) -> None:
    fresh = Repo(repo.root)
    relocate.remove(fresh.workspace, fresh.path(name, fresh.root), fresh.tracked(), data=data)


def test_moving(repo: Repo, data: Path) -> None:
    assert _move(repo, "data", "deep/down") == ["data.mlgit", "deep/down.mlgit", "deep/.gitignore", ".gitignore"]
    assert (repo.root / "deep" / "down" / "a").read_text() == "a"
    assert not data.exists() and not (repo.root / ".gitignore").exists()
    assert list(Repo(repo.root).tracked()) == ["deep/down"]
    (repo.root / "into").mkdir()
    _move(repo, "deep/down", "into")
    assert list(Repo(repo.root).tracked()) == ["into/down"]
    assert_healthy(repo, tidy=True)


def test_nothing_is_moved_over(repo: Repo, data: Path, save: Save) -> None:
    (repo.root / "file").write_text("x")
    (repo.root / "other").write_text("other")
    save("other")
    for source, target in (("data", "file"), ("data", "other"), ("other", "data/x"), ("none", "y")):
        with pytest.raises(UsageError):
            _move(repo, source, target)
    assert (repo.root / "file").read_text() == "x"
    assert_healthy(repo, bytes_of_user=[b"a", b"x", b"other"])


@pytest.mark.parametrize("step", range(5))
def test_a_killed_move_goes_on(repo: Repo, data: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    left = step

    def dying(real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            return real(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        for owner, name in ((atomic, "write_bytes"), (os, "replace"), (os, "unlink")):
            patch.setattr(owner, name, dying(getattr(owner, name)))
        with contextlib.suppress(KeyboardInterrupt):
            _move(repo, "data", "moved")
    assert_healthy(repo, bytes_of_user=[b"a"])
    if "data" in Repo(repo.root).tracked():
        _move(repo, "data", "moved")
    assert list(Repo(repo.root).tracked()) == ["moved"]
    assert (repo.root / "moved" / "a").read_text() == "a"
    assert not data.exists()


def test_removing_keeps_the_data_unless_asked(repo: Repo, data: Path) -> None:
    _remove(repo, "data", data=False)
    assert (data / "a").read_text() == "a"
    assert Repo(repo.root).tracked() == {}
    assert not (repo.root / ".gitignore").exists()


def test_removing_the_data_needs_it_saved(repo: Repo, data: Path, save: Save) -> None:
    (data / "new").write_text("nobody has this")
    with pytest.raises(RefusedError, match="in no store"):
        _remove(repo, "data", data=True)
    assert (data / "new").exists()
    save("data")
    _remove(repo, "data.mlgit", data=True)
    assert not data.exists()
    assert_healthy(repo, bytes_of_user=[b"nobody has this"])
