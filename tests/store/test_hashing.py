"""What is copied and hashed at once is named by the bytes that were written, whatever happens to the source."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from mlgit.fs import link
from mlgit.model.oid import Oid
from mlgit.store.hashing import copy_hashed, hash_bytes, hash_file

SIZE = 2 * link.CHUNK + 12345


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(os.urandom(SIZE))
    return path


def _copy(source: Path, algorithm: str = "blake3") -> tuple[Path, Oid]:
    target = source.with_name("copy")
    target.unlink(missing_ok=True)
    reader, writer = os.open(source, os.O_RDONLY), os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        return target, copy_hashed(algorithm, reader, writer, clone=True)
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("algorithm", ["blake3", "sha256"])
@pytest.mark.parametrize("size", [0, 1, link.CHUNK, SIZE])
def test_a_copy_and_its_id(source: Path, algorithm: str, size: int) -> None:
    os.truncate(source, size)
    target, oid = _copy(source, algorithm)
    data = source.read_bytes()
    assert target.read_bytes() == data
    assert oid == hash_bytes(algorithm, data) == hash_file(algorithm, source)


def test_without_the_kernels_help(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> int:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "copy_file_range", refuse, raising=False)
    monkeypatch.delattr(os, "SEEK_DATA", raising=False)
    target, oid = _copy(source)
    assert oid == hash_bytes("blake3", target.read_bytes()) == hash_file("blake3", source)


@pytest.mark.parametrize("tail", [0, 7])
def test_holes_stay_holes(tmp_path: Path, tail: int) -> None:
    path = tmp_path / "sparse"
    with open(path, "wb") as file:
        file.write(b"head")
        file.truncate(40 << 20)
        file.seek(0, os.SEEK_END)
        file.write(b"t" * tail)
    if path.stat().st_blocks > 8192:
        pytest.skip("this disk keeps no holes")
    target, oid = _copy(path)
    assert oid == hash_bytes("blake3", b"head" + bytes((40 << 20) - 4) + b"t" * tail)
    assert target.stat().st_size == (40 << 20) + tail
    assert target.stat().st_blocks <= 8192


@pytest.mark.slow
def test_more_than_four_gib_of_nothing_cost_no_space(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    path.touch()
    os.truncate(path, (4 << 30) + 12345)
    target, oid = _copy(path)
    assert oid == hash_file("blake3", path)
    assert (target.stat().st_size, target.stat().st_blocks) == ((4 << 30) + 12345, 0)


def test_the_id_is_that_of_the_copy_while_somebody_writes(source: Path) -> None:
    """Row 31."""
    stop = threading.Event()

    def write() -> None:
        with open(source, "r+b", buffering=0) as file:
            while not stop.is_set():
                for at in range(0, SIZE, 1 << 16):
                    file.seek(at)
                    file.write(os.urandom(16))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(5):
            target, oid = _copy(source)
            assert oid == hash_file("blake3", target)
    finally:
        stop.set()
        thread.join()


def test_a_source_that_shrinks_meanwhile_gives_the_id_of_what_was_copied(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = link._copy_range

    def cut(reader: int, writer: int, start: int, length: int) -> int:
        moved = real(reader, writer, start, length)
        os.truncate(source, link.CHUNK + 5)
        return moved

    monkeypatch.setattr(link, "_copy_range", cut)
    target, oid = _copy(source)
    assert target.stat().st_size == link.CHUNK + 5
    assert oid == hash_file("blake3", target)


def test_a_full_disk_is_reported(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = link._copy_range, iter(range(9))

    def fill(reader: int, writer: int, start: int, length: int) -> int:
        if next(calls):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(reader, writer, start, length)

    monkeypatch.setattr(link, "_copy_range", fill)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        _copy(source)
