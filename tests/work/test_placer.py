"""Large folders are filled by a worker pool: the same files as without one, and its failures leave nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from health import assert_healthy, files_below

from mlgit.errors import DiskError, IntegrityError, MlgitError
from mlgit.fs import pool
from mlgit.fs.confine import Folder
from mlgit.model.tree import Content
from mlgit.repo import Repo
from mlgit.store.objects import LARGE

Save = Callable[..., Content]
Checkout = Callable[..., bool]


@pytest.fixture
def many(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Some folders of files, links, large files and executables; a worker pool is worth its while for them."""
    monkeypatch.setattr("mlgit.work.placer._WORTH_A_POOL", 50)
    monkeypatch.setattr("mlgit.work.placer._AT_ONCE", 7)  # folders are shared out, too
    monkeypatch.setattr(pool, "cores", lambda: 2)
    folder = repo.root / "data"
    for number in range(120):
        below = folder / f"{number % 4}" / ("deep" * (number % 3)) / "x"
        below.mkdir(parents=True, exist_ok=True)
        (below / f"f{number}").write_bytes(os.urandom(number))
        (below / f"same{number}").write_bytes(b"same")
    (folder / "0" / "link").symlink_to("../1")
    (folder / "0" / "run").write_text("#!/bin/sh\n")
    (folder / "0" / "run").chmod(0o755)
    (folder / "2" / "large").write_bytes(os.urandom(LARGE + 5))
    for number in range(20):
        (folder / "3" / f"flat{number}").write_bytes(os.urandom(LARGE + 5) if number == 13 else b"flat")
    (folder / "2" / "empty").mkdir()
    return folder


def test_the_same_files_with_and_without_a_pool(
    repo: Repo, many: Path, save: Save, checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, modes = files_below(many), {p.relative_to(many): p.lstat().st_mode for p in many.rglob("*")}
    content = save("data")
    for size in (2, 1, 3):
        monkeypatch.setattr(pool, "cores", lambda size=size: size)
        shutil.rmtree(many)
        assert checkout("data", content)
        assert files_below(many) == before
        assert {p.relative_to(many): p.lstat().st_mode for p in many.rglob("*")} == modes
        assert repo.workspace.identify(repo.path("data", repo.root)) == content
        assert not checkout("data", content)
    assert_healthy(repo, bytes_of_user=[data for data in before.values() if data[:3] != b"-> "], tidy=True)


def test_damage_found_by_a_worker_is_told(repo: Repo, many: Path, save: Save, checkout: Checkout) -> None:
    content = save("data")
    shutil.rmtree(many)
    (pack,) = (repo.root / ".mlgit/cache/packs").iterdir()
    data = bytearray(pack.read_bytes())
    data[50] ^= 1
    pack.chmod(0o644)
    pack.write_bytes(data)
    with pytest.raises(IntegrityError, match="damaged"):
        checkout("data", content)
    assert not many.exists()
    assert list((repo.root / ".mlgit/tmp").iterdir()) == []


@pytest.mark.parametrize("how", ["killed", "full"])
def test_a_worker_that_fails_leaves_nothing(
    repo: Repo, many: Path, save: Save, checkout: Checkout, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    before, content, real = files_below(many), save("data"), Folder.write
    shutil.rmtree(many)

    def write(self: Folder, name: str, data: bytes, mode: int) -> os.stat_result:
        if name == "f77" and how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "f77":
            raise OSError(28, "No space left on device")
        return real(self, name, data, mode)

    monkeypatch.setattr(Folder, "write", write)
    with pytest.raises(DiskError if how == "full" else MlgitError, match="space" if how == "full" else "killed"):
        checkout("data", content)
    monkeypatch.undo()
    assert not many.exists()
    assert list((repo.root / ".mlgit/tmp").iterdir()) == []
    assert checkout("data", content)
    assert files_below(many) == before
