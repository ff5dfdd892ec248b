"""Placing a file: every kind gives the same bytes, and what cannot be done falls through to a copy."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mlgit.fs import link
from mlgit.fs.confine import Folder
from mlgit.fs.link import LINK_KINDS, LinkKind, copy_bytes, place

SHM = Path("/dev/shm")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(os.urandom(3_000_000))
    path.chmod(0o444)
    return path


@pytest.mark.parametrize("kind", LINK_KINDS)
def test_every_kind_gives_the_bytes(tmp_path: Path, source: Path, kind: LinkKind) -> None:
    with Folder.beneath(tmp_path) as folder:
        made = place(source, folder, "x", (kind,))
    assert made in (kind, "copy")
    assert (tmp_path / "x").read_bytes() == source.read_bytes()
    assert (tmp_path / "x").is_symlink() == (made == "symlink")
    assert ((tmp_path / "x").stat().st_ino == source.stat().st_ino) == (made in ("hardlink", "symlink"))
    if made == "copy":
        assert (tmp_path / "x").stat().st_mode & 0o200


@pytest.mark.skipif(not SHM.is_dir() or os.stat(SHM).st_dev == os.stat("/tmp").st_dev, reason="no second file system")
def test_links_across_file_systems_become_copies(tmp_path: Path) -> None:
    source = SHM / f"mlgit-link-{os.getpid()}"
    source.write_bytes(b"far" * 1000)
    try:
        with Folder.beneath(tmp_path) as folder:
            assert place(source, folder, "x", ("reflink", "hardlink")) == "copy"
        assert (tmp_path / "x").read_bytes() == b"far" * 1000
    finally:
        source.unlink()


@pytest.mark.parametrize("code", [errno.EPERM, errno.EMLINK, errno.EXDEV, errno.EOPNOTSUPP])
def test_links_that_are_not_permitted_become_copies(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    with Folder.beneath(tmp_path) as folder:
        assert place(source, folder, "x", ("hardlink",)) == "copy"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_full_disk_is_no_reason_to_try_another_way(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(link, "copy_bytes", fail)
    with Folder.beneath(tmp_path) as folder, pytest.raises(OSError, match=os.strerror(code)):
        place(source, folder, "x", ("copy",))
    assert not (tmp_path / "x").exists()


def test_copying_without_the_kernels_help(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(os, "copy_file_range", refuse, raising=False)
    reader, writer = os.open(source, os.O_RDONLY), os.open(tmp_path / "x", os.O_WRONLY | os.O_CREAT)
    assert copy_bytes(reader, writer) == 3_000_000
    os.close(reader)
    os.close(writer)
    assert (tmp_path / "x").read_bytes() == source.read_bytes()
