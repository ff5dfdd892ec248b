"""Files appear whole or not at all; errors of the disk say what to do."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from mlgit.errors import DiskError, InvalidError, MissingError, UnsafeError
from mlgit.fs import atomic


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_new_files_and_replaced_ones(tmp_path: Path) -> None:
    path = tmp_path / "a"
    atomic.write_text(path, "one\n")
    path.chmod(0o640)
    atomic.write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    atomic.write_bytes(path, b"three", 0o444)
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert _names(tmp_path) == ["a"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("sentinel")
    (tmp_path / "link").symlink_to("outside")
    atomic.write_text(tmp_path / "link", "new")
    assert (tmp_path / "outside").read_text() == "sentinel"
    assert not (tmp_path / "link").is_symlink()


def test_a_file_whose_name_is_as_long_as_can_be(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 127)
    atomic.write_text(path, "x")
    assert path.read_text() == "x"


@pytest.mark.parametrize("call", ["write", "fsync", "replace", "open"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT, errno.EMFILE, errno.EFBIG])
def test_a_failing_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    path = tmp_path / "a"
    path.write_text("old")

    def fail(*arguments: object, **options: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch, pytest.raises(DiskError) as caught:
        patch.setattr(os, call, fail)
        atomic.write_text(path, "new")
    assert caught.value.code == 18
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert path.read_text() == "old"
    assert _names(tmp_path) == ["a"]


def test_a_failed_fsync_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def fail(descriptor: int) -> None:
        calls.append(descriptor)
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch, pytest.raises(DiskError):
        patch.setattr(os, "fsync", fail)
        atomic.write_text(tmp_path / "a", "x")
    assert len(calls) == 1


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data)[:3]))
    atomic.write_bytes(tmp_path / "a", b"0123456789")
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_an_interrupt_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "fsync", interrupt)
        atomic.write_text(tmp_path / "a", "x")
    assert _names(tmp_path) == []


def test_errors_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("x")
    for action, kind in (
        ((tmp_path / "none").read_text, MissingError),
        (tmp_path.read_text, InvalidError),
        (lambda: os.open(tmp_path / "link", os.O_RDONLY | os.O_NOFOLLOW), UnsafeError),
    ):
        with pytest.raises(kind), atomic.disk_errors("it"):
            action()
