"""Folders beneath a root: no symbolic link on the way is followed, not even one that appears in the middle."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from mlgit.errors import InvalidError, MissingError, UnsafeError
from mlgit.fs.confine import Folder


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "sentinel").write_text("untouched")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def _write(folder: Folder, name: str, data: bytes) -> None:
    descriptor = folder.create(name)
    os.write(descriptor, data)
    os.close(descriptor)


def test_making_and_reading(root: Path) -> None:
    with Folder.beneath(root, ("a", "b"), create=True) as folder:
        _write(folder, "f", b"x")
        folder.symlink("f", "l")
        folder.mkdir("d")
        folder.mkdir("d")
        assert folder.read("f") == b"x"
        assert folder.read("d") is None
        assert folder.readlink("l") == "f"
        assert folder.stat("none") is None
        assert sorted(entry.name for entry in folder.scan()) == ["d", "f", "l"]
        folder.remove("d")
        folder.remove("none")
    with Folder.beneath(root) as top:
        top.remove("a")
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("create", [True, False])
def test_a_link_on_the_way_is_refused(root: Path, outside: Path, create: bool) -> None:
    (root / "evil").symlink_to(outside)
    for parts in (("evil",), ("evil", "deeper"), ("evil", "..", "x")):
        with pytest.raises(UnsafeError, match="evil"):
            Folder.beneath(root, parts, create=create)
    assert [path.name for path in outside.iterdir()] == ["sentinel"]


def test_a_dangling_link_is_not_filled(root: Path, tmp_path: Path) -> None:
    (root / "evil").symlink_to(tmp_path / "not there")
    with pytest.raises(UnsafeError):
        Folder.beneath(root, ("evil",), create=True)
    with Folder.beneath(root) as folder, pytest.raises(FileExistsError):
        folder.create("evil")
    assert not (tmp_path / "not there").exists()


def test_files_and_missing_folders_are_told_apart(root: Path) -> None:
    (root / "file").write_text("x")
    with pytest.raises(InvalidError):
        Folder.beneath(root, ("file",))
    with pytest.raises(MissingError):
        Folder.beneath(root, ("none",))


def test_links_are_neither_read_nor_removed_through(root: Path, outside: Path) -> None:
    (root / "link").symlink_to(outside / "sentinel")
    (root / "folder").symlink_to(outside)
    with Folder.beneath(root) as folder:
        with pytest.raises(OSError, match="symbolic"):
            folder.open("link")
        folder.remove("link")
        folder.remove("folder")
    assert (outside / "sentinel").read_text() == "untouched"
    assert list(root.iterdir()) == []


def test_a_pipe_does_not_block(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with Folder.beneath(root) as folder:
        assert folder.read("pipe") is None


def test_a_parent_swapped_for_a_link_leads_nowhere(root: Path, outside: Path) -> None:
    """A second thread swaps the folder for a link all the time; nothing may ever land outside."""
    (root / "a" / "sub").mkdir(parents=True)
    (outside / "sub").mkdir()
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            os.rename(root / "a", root / "aside")
            os.symlink(outside, root / "a")
            os.unlink(root / "a")
            os.rename(root / "aside", root / "a")

    thread = threading.Thread(target=swap)
    thread.start()
    refused = 0
    try:
        for number in range(400):
            try:
                with Folder.beneath(root, ("a", "sub")) as folder:
                    _write(folder, f"f{number}", b"x")
            except (UnsafeError, MissingError, InvalidError):  # by where in the swap it looked
                refused += 1
    finally:
        stop.set()
        thread.join()
    assert sorted(path.name for path in outside.rglob("*")) == ["sentinel", "sub"]
    assert len(list((root / "a" / "sub").iterdir())) + refused == 400


def test_deep_folders_need_no_path_of_their_own(root: Path) -> None:
    parts = tuple(["d" * 60] * 150)  # 9,000 bytes, more than any path may have
    with Folder.beneath(root, parts, create=True) as folder:
        _write(folder, "f", b"x")
    with Folder.beneath(root, parts) as folder:
        assert folder.read("f") == b"x"
    with Folder.beneath(root) as top:
        top.remove(parts[0])
    assert list(root.iterdir()) == []


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_descriptors_are_given_back(root: Path, outside: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    (root / "evil").symlink_to(outside)
    for parts in (("a", "b", "c"), ("a", "evil"), ("evil",)):
        try:
            Folder.beneath(root, parts, create=True).close()
        except UnsafeError:
            continue
    shutil.rmtree(root / "a")
    assert len(os.listdir("/proc/self/fd")) == before
