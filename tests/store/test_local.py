"""The local backend: published by rename, never half, on one file system or across two."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlgit.errors import DiskError, MissingError, MlgitError
from mlgit.fs import atomic
from mlgit.store.local import LocalBackend

SHM = Path("/dev/shm")


@pytest.fixture
def backend(tmp_path: Path) -> LocalBackend:
    return LocalBackend(tmp_path / "store")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"content" * 100)
    return path


def test_moving_and_copying(backend: LocalBackend, source: Path) -> None:
    backend.put("a/b/one", source)
    assert source.exists()
    backend.put("a/b/two", source, move=True)
    assert not source.exists()
    assert backend.read("a/b/one") == backend.read("a/b/two") == b"content" * 100
    assert backend.read("a/b/one", 3, 4) == b"tent"
    assert backend.read("a/b/one", 698, 50) == b"nt"
    assert sorted(stat.name for stat in backend.list("a/")) == ["a/b/one", "a/b/two"]
    backend.delete(["a/b/one", "a/b/none"])
    assert not backend.exists("a/b/one")
    with pytest.raises(MissingError):
        backend.read("a/b/one")


def test_putting_again_replaces_an_orphan(backend: LocalBackend, source: Path) -> None:
    backend.put_bytes("x", b"damaged")
    backend.put("x", source)
    assert backend.read("x") == source.read_bytes()


@pytest.mark.skipif(not SHM.is_dir() or os.stat(SHM).st_dev == os.stat("/tmp").st_dev, reason="no second file system")
def test_moving_across_file_systems_copies(backend: LocalBackend, tmp_path: Path) -> None:
    source = SHM / f"mlgit-{os.getpid()}"
    source.write_bytes(b"far" * 1000)
    try:
        backend.put("x", source, move=True)
        assert not source.exists()
        assert backend.read("x") == b"far" * 1000
        assert os.stat(tmp_path / "store" / "x").st_mode & 0o777 == 0o444
        assert list((tmp_path / "store").iterdir()) == [tmp_path / "store" / "x"]
    finally:
        source.unlink(missing_ok=True)


@pytest.mark.parametrize("call", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("move", [True, False])
def test_a_disk_that_fails_publishes_nothing(
    backend: LocalBackend, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, move: bool
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    backend.put_bytes("folder/first", b"")  # so that only the file itself is written below
    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(DiskError) as caught:
            backend.put("folder/x", source, move=move)
    assert caught.value.code == 18
    assert not backend.exists("folder/x")
    assert source.exists()
    assert [path.name for path in (tmp_path / "store" / "folder").iterdir()] == ["first"]


def test_temporary_files_of_others_are_not_listed(backend: LocalBackend, tmp_path: Path) -> None:
    backend.put_bytes("index/a.idx", b"x")
    (tmp_path / "store" / "index" / ".a.idx.0011.tmp").write_bytes(b"half")
    assert [stat.name for stat in backend.list("index/")] == ["index/a.idx"]
    assert list(backend.list("nothing/")) == []


@pytest.mark.skipif(os.name == "nt", reason="no such permissions")
def test_a_shared_store_is_open_to_the_group_whatever_the_umask(tmp_path: Path, source: Path) -> None:
    (tmp_path / "store").mkdir(mode=0o700)
    (tmp_path / "store" / "old").mkdir(mode=0o700)
    before = os.umask(0o077)
    try:
        backend = LocalBackend(tmp_path / "store", shared=True)
        backend.put_bytes("store.yaml", b"x")
        backend.put("old/one", source)
        backend.put("new/er/two", source, move=True)
    finally:
        os.umask(before)
    found = {path.name: path.stat().st_mode & 0o7777 for path in [backend.root, *backend.root.rglob("*")]}
    folders = dict.fromkeys(("store", "old", "new", "er"), 0o2775)
    assert found == {**folders, **dict.fromkeys(("store.yaml", "one", "two"), 0o444)}


@pytest.mark.skipif(os.name == "nt", reason="no such permissions")
def test_many_make_the_same_shared_folder_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a/b/c"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: atomic.make_folders(path, shared=True), range(64)))
    assert [one.name for one in tmp_path.rglob("*")] == ["a", "b", "c"]
    assert path.stat().st_mode & 0o7777 == 0o2775


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    for shared in (False, True):
        with pytest.raises(MlgitError):
            atomic.make_folders(tmp_path / "a/b", shared=shared)
