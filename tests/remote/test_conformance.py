"""What every backend promises, held against each of them."""

from __future__ import annotations

import os
import threading
import uuid
from pathlib import Path

import pytest

from mlgit.errors import MissingError, MlgitError
from mlgit.remote import open_backend
from mlgit.remote.filesystem import FsspecBackend
from mlgit.store.backend import Backend


@pytest.fixture(params=["folder", "memory", "fsspec-folder", "s3"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    if request.param == "folder":
        return open_backend(str(tmp_path / "remote"), {}, tmp_path)
    if request.param == "memory":
        return open_backend(f"memory://{uuid.uuid4().hex}/store", {}, tmp_path)
    if request.param == "fsspec-folder":
        return FsspecBackend(f"file://{tmp_path}/remote")
    return open_backend(request.getfixturevalue("s3_url"), request.getfixturevalue("s3_options"), tmp_path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(bytes(range(256)) * 20)
    return path


def test_what_is_put_is_read(backend: Backend, source: Path) -> None:
    data = source.read_bytes()
    moved: list[int] = []
    backend.put("packs/ab.pack", source, moved.append)
    assert backend.read("packs/ab.pack") == data
    assert sum(moved) == len(data)
    assert source.read_bytes() == data
    assert backend.exists("packs/ab.pack")


def test_a_source_may_be_given_away(backend: Backend, source: Path) -> None:
    data = source.read_bytes()
    backend.put("packs/ab.pack", source, move=True)
    assert not source.exists()
    assert backend.read("packs/ab.pack") == data


def test_bytes(backend: Backend) -> None:
    backend.put_bytes("store.yaml", b"version: 1\n")
    backend.put_bytes("store.yaml", b"version: 1\n")
    assert backend.read("store.yaml") == b"version: 1\n"


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, 10), (5, 10), (0, None), (7, None), (5100, 100), (5120, 1), (9999, 5), (9999, None), (3, 0)],
)
def test_ranges(backend: Backend, source: Path, offset: int, length: int | None) -> None:
    backend.put("o/x", source)
    data = source.read_bytes()
    assert backend.read("o/x", offset, length) == data[offset : None if length is None else offset + length]


def test_empty_files(backend: Backend, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    backend.put("o/a", tmp_path / "empty")
    backend.put_bytes("o/b", b"")
    for name in ("o/a", "o/b"):
        assert backend.read(name) == b""
        backend.download(name, tmp_path / "target")
        assert (tmp_path / "target").read_bytes() == b""
    assert {stat.name: stat.size for stat in backend.list("o/")} == {"o/a": 0, "o/b": 0}


def test_download(backend: Backend, source: Path, tmp_path: Path) -> None:
    backend.put("o/x", source)
    moved: list[int] = []
    backend.download("o/x", tmp_path / "target", moved.append)
    assert (tmp_path / "target").read_bytes() == source.read_bytes()
    assert sum(moved) == source.stat().st_size
    assert sorted(os.listdir(tmp_path)) in (["remote", "source", "target"], ["source", "target"])


@pytest.mark.parametrize("have", [1, 100, 5120])
def test_a_download_goes_on(backend: Backend, source: Path, tmp_path: Path, have: int) -> None:
    backend.put("o/x", source)
    (tmp_path / "target").write_bytes(source.read_bytes()[:have])
    backend.download("o/x", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == source.read_bytes()


def test_a_target_longer_than_the_file_is_begun_anew(backend: Backend, source: Path, tmp_path: Path) -> None:
    backend.put("o/x", source)
    (tmp_path / "target").write_bytes(b"x" * 9000)
    backend.download("o/x", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == source.read_bytes()


def test_what_is_absent_is_missing(backend: Backend, tmp_path: Path) -> None:
    backend.put_bytes("index/present", b"x")
    for name in ("index/absent", "nowhere/at/all", "index"):
        assert not backend.exists(name)
    for name in ("index/absent", "nowhere/at/all"):
        for action in (
            lambda name=name: backend.read(name),
            lambda name=name: backend.read(name, 3, 4),
            lambda name=name: backend.download(name, tmp_path / "target"),
        ):
            with pytest.raises(MissingError):
                action()
    assert list(backend.list("absent/")) == []


def test_listing(backend: Backend) -> None:
    assert list(backend.list("")) == []
    for name in ("index/a.idx", "index/deep/b.idx", "index2/c", "packs/d.pack", "store.yaml"):
        backend.put_bytes(name, name.encode())
    assert {stat.name: stat.size for stat in backend.list("index/")} == {"index/a.idx": 11, "index/deep/b.idx": 16}
    assert {stat.name for stat in backend.list("")} == {
        "index/a.idx",
        "index/deep/b.idx",
        "index2/c",
        "packs/d.pack",
        "store.yaml",
    }
    assert all(stat.modified > 1.6e9 for stat in backend.list(""))


def test_a_listing_is_never_stale(backend: Backend) -> None:
    backend.put_bytes("index/a", b"1")
    assert len(list(backend.list("index/"))) == 1
    backend.put_bytes("index/b", b"2")
    assert len(list(backend.list("index/"))) == 2
    backend.delete(["index/a"])
    assert [stat.name for stat in backend.list("index/")] == ["index/b"]


def test_deleting(backend: Backend) -> None:
    for name in ("p/a", "p/b", "p/c"):
        backend.put_bytes(name, b"x")
    backend.delete(["p/a", "p/absent", "p/b"])
    backend.delete(["p/a"])
    backend.delete([])
    assert [stat.name for stat in backend.list("p/")] == ["p/c"]


def test_a_missing_source_publishes_nothing(backend: Backend, tmp_path: Path) -> None:
    with pytest.raises(MlgitError):
        backend.put("o/x", tmp_path / "absent")
    assert not backend.exists("o/x")


def test_several_threads(backend: Backend, tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(5):
                backend.put_bytes(f"o/{number}-{turn}", b"x" * number)
                backend.put_bytes("o/same", b"the same")
                assert backend.read(f"o/{number}-{turn}") == b"x" * number
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(list(backend.list("o/"))) == 21


def test_nothing_else_is_left(backend: Backend, source: Path) -> None:
    backend.put("o/x", source)
    backend.put_bytes("o/y", b"y")
    assert {stat.name for stat in [*backend.list(""), *backend.list("tmp/")]} == {"o/x", "o/y"}
