"""Putting content in place: exactly what the id says, nothing of the user's lost, nothing outside touched."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from health import assert_healthy, files_below
from stores import put, put_large

from mlgit.errors import DiskError, IntegrityError, InvalidError, MissingError, MlgitError, RefusedError, UnsafeError
from mlgit.fs.confine import Folder
from mlgit.model import tree as trees
from mlgit.model.oid import Oid
from mlgit.model.relpath import MAX_DEPTH
from mlgit.model.tree import Content, Entry
from mlgit.repo import Repo
from mlgit.store.objects import LARGE
from mlgit.store.writer import Writer

Save = Callable[..., Content]
Checkout = Callable[..., bool]
Look = Callable[[str], Content | None]


@pytest.fixture
def data(repo: Repo, large: bytes) -> Path:
    folder = repo.root / "data"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("aaa")
    (folder / "sub" / "b.txt").write_text("bbb")
    (folder / "large").write_bytes(large)
    (folder / "run").write_text("#!")
    (folder / "run").chmod(0o755)
    (folder / "link").symlink_to("sub/b.txt")
    return folder


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "sentinel").write_text("untouched")
    return folder


def test_versions_come_and_go(repo: Repo, data: Path, save: Save, checkout: Checkout, look: Look) -> None:
    old, before = save("data"), files_below(data)
    (data / "a.txt").write_text("new")
    shutil.rmtree(data / "sub")
    (data / "sub").write_text("now a file")
    (data / "run").unlink()
    (data / "run").mkdir()
    (data / "run" / "deep").write_text("now a folder")
    (data / "link").unlink()
    new, after = save("data"), files_below(data)
    for _ in range(2):
        assert checkout("data", old)
        assert (files_below(data), look("data")) == (before, old)
        assert os.access(data / "run", os.X_OK)
        assert not checkout("data", old)
        assert checkout("data", new)
        assert (files_below(data), look("data")) == (after, new)
    assert_healthy(repo, bytes_of_user=[b"aaa", b"bbb", b"now a file", b"now a folder"], tidy=True)


def test_what_is_in_no_store_is_not_overwritten(repo: Repo, data: Path, save: Save, checkout: Checkout) -> None:
    old = save("data")
    (data / "a.txt").write_text("precious")
    (data / "mine.txt").write_text("also precious")
    (data / "sub" / "deep").mkdir()
    (data / "sub" / "deep" / "c").write_text("precious too")
    before = files_below(data)
    with pytest.raises(RefusedError) as caught:
        checkout("data", old)
    assert all(name in caught.value.message for name in ("data/a.txt", "data/mine.txt", "data/sub/deep/c"))
    with pytest.raises(RefusedError):
        checkout("data", None)
    assert files_below(data) == before
    assert checkout("data", old, force=True)
    assert "mine.txt" not in files_below(data)


def test_an_index_alone_does_not_make_it_safe_to_overwrite(
    repo: Repo, data: Path, save: Save, checkout: Checkout
) -> None:
    old = save("data")
    first = set((repo.root / ".mlgit" / "cache" / "packs").iterdir())
    (data / "a.txt").write_text("precious")
    save("data")
    for path in set((repo.root / ".mlgit" / "cache" / "packs").iterdir()) - first:
        path.unlink()
    with pytest.raises((RefusedError, MissingError)):
        checkout("data", old)
    assert (data / "a.txt").read_text() == "precious"


def test_ignored_files_are_not_lost_either(repo: Repo, data: Path, save: Save, checkout: Checkout) -> None:
    (repo.root / ".mlgitignore").write_text("*.note\n")
    old = save("data")
    (data / "more").mkdir()
    (data / "more" / "x").write_text("x")
    new = save("data")
    (data / "more" / "my.note").write_text("nobody has this")
    with pytest.raises(RefusedError, match=r"data/more/my\.note"):
        checkout("data", old)
    assert (data / "more" / "my.note").read_text() == "nobody has this"
    (data / "more" / "my.note").unlink()
    assert checkout("data", old)
    (repo.root / ".mlgitignore").write_text("x\n")
    (data / "more").mkdir()
    (data / "more" / "x").write_text("other, and ignored by now")
    with pytest.raises(RefusedError, match="data/more/x"):
        checkout("data", new)
    (data / "more" / "x").write_text("x")
    assert checkout("data", new)


def test_a_parent_that_is_a_link_is_refused(
    repo: Repo, data: Path, save: Save, checkout: Checkout, outside: Path
) -> None:
    """Row 34."""
    content, before = save("data"), files_below(outside)
    (repo.root / "evil").symlink_to(outside)
    with pytest.raises(UnsafeError, match="evil"):
        checkout("evil/data", content)
    shutil.rmtree(data / "sub")
    (data / "sub").symlink_to(outside)
    with pytest.raises(MlgitError):
        checkout("data", content)
    assert_healthy(repo, untouched={outside: before})


@pytest.mark.parametrize("call", ["replace", "open", "mkdir", "symlink"])
def test_a_parent_swapped_in_the_middle_leads_nowhere(
    repo: Repo, data: Path, save: Save, checkout: Checkout, outside: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Row 34: before every system call of one kind, the folder is swapped for a link to the outside."""
    old = save("data")
    (data / "sub" / "b.txt").write_text("changed")
    (data / "sub" / "more").mkdir()
    save("data")
    before = files_below(outside)
    real = getattr(os, call)

    def swapped(*arguments: object, **options: object) -> object:
        if not (data / "sub").is_symlink() and (data / "sub").exists():
            os.rename(data / "sub", repo.root / "aside")
            os.symlink(outside, data / "sub")
            try:
                return real(*arguments, **options)
            finally:
                os.unlink(data / "sub")
                os.rename(repo.root / "aside", data / "sub")
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, swapped)
        with contextlib.suppress(MlgitError):
            checkout("data", old)
    assert_healthy(repo, untouched={outside: before})
    checkout("data", old, force=True)
    assert (data / "sub" / "b.txt").read_text() == "bbb"


def test_a_thread_that_swaps_all_the_time(
    repo: Repo, data: Path, save: Save, checkout: Checkout, outside: Path
) -> None:
    old = save("data")
    (data / "sub" / "b.txt").write_text("changed")
    new = save("data")
    before = files_below(outside)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            try:
                os.rename(data / "sub", data.parent / "aside")
                os.symlink(outside, data / "sub")
                os.unlink(data / "sub")
                os.rename(data.parent / "aside", data / "sub")
            except OSError:
                shutil.rmtree(data.parent / "aside", ignore_errors=True)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for number in range(30):
            try:
                checkout("data", (old, new)[number % 2], force=True)
            except (MlgitError, OSError) as error:
                assert isinstance(error, MlgitError), error
    finally:
        stop.set()
        thread.join()
    assert_healthy(repo, untouched={outside: before})


def _tree(repo: Repo, *entries: Entry) -> Content:
    (oid,) = put(repo.workspace.store, trees.encode(entries))
    return Content(oid, "tree", sum(e.size for e in entries), sum(e.files for e in entries))


@pytest.mark.parametrize(
    "target",
    [
        b"/etc/passwd",
        b"../../x",
        b"a/../../x",
        b"\xff",
        b"a\0b",
        b"",
        b"x\\..\\..",
        b"sub/../..",
        b"x" * 5000,
        b"..//../x",
    ],
)
def test_hostile_links_in_a_tree_are_refused(repo: Repo, checkout: Checkout, target: bytes) -> None:
    (oid,) = put(repo.workspace.store, target)
    content = _tree(repo, Entry("link", "link", oid, len(target)))
    with pytest.raises(UnsafeError, match="data/link"):
        checkout("data", content)
    assert not (repo.root / "data").exists()
    assert_healthy(repo, tidy=True)


@pytest.mark.parametrize("name", ["..", ".git", "git~1", ".mlgit"])
def test_hostile_names_in_a_tree_write_nothing(repo: Repo, checkout: Checkout, name: str) -> None:
    """Rows 32 and 33, inside an object whose id is right."""
    (oid,) = put(repo.workspace.store, b"#!/bin/sh\ntouch canary\n")
    before = files_below(repo.root / ".git")
    deep = _tree(repo, Entry(name, "file", oid, 23))
    content = _tree(repo, Entry("sub", "tree", deep.oid, 23, 1))
    with pytest.raises(UnsafeError):
        checkout("data", content)
    assert_healthy(repo, untouched={repo.root / ".git": before}, tidy=True)
    assert not (repo.root / "data").exists()


def test_colliding_names_in_a_tree_are_refused(repo: Repo, checkout: Checkout) -> None:
    """Row 35."""
    (oid,) = put(repo.workspace.store, b"x")
    content = _tree(repo, Entry("A", "file", oid, 1), Entry("a", "file", oid, 1))
    with pytest.raises(UnsafeError, match="one name"):
        checkout("data", content)


def test_sizes_and_counts_that_lie_are_refused(repo: Repo, checkout: Checkout, large: bytes) -> None:
    """Row 38."""
    store = repo.workspace.store
    (small,) = put(store, b"small")
    big = put_large(store, large)
    inner = _tree(repo, Entry("x", "file", small, 5))
    for entry in (
        Entry("x", "file", small, LARGE + 5),
        Entry("x", "file", small, 4),
        Entry("x", "file", big, 5),
        Entry("x", "tree", inner.oid, 5, 7),
        Entry("x", "tree", inner.oid, 6, 1),
    ):
        with pytest.raises(IntegrityError, match="data/x"):
            checkout("data", _tree(repo, entry))
    with pytest.raises(IntegrityError):
        checkout("data", Content(big, "file", 3))
    with pytest.raises(IntegrityError):
        checkout("data", Content(inner.oid, "tree", 5, 99))
    for content in (Content(small, "tree", 5, 1), Content(big, "tree", len(large), 1)):
        with pytest.raises(InvalidError):
            checkout("data", content)
    assert not (repo.root / "data").exists()
    assert_healthy(repo, tidy=True)


def test_a_tree_too_deep_is_refused(repo: Repo, checkout: Checkout) -> None:
    store = repo.workspace.store
    with Writer(store) as writer:
        oid = Oid.from_digest("blake3", writer.add(trees.HEADER))
        for _ in range(MAX_DEPTH + 5):
            oid = Oid.from_digest("blake3", writer.add(trees.encode([Entry("d", "tree", oid, 0, 0)])))
    with pytest.raises(InvalidError, match="deeply"):
        checkout("data", Content(oid, "tree", 0, 0))
    assert not (repo.root / "data").exists()


def test_another_algorithm_is_refused(repo: Repo, checkout: Checkout) -> None:
    with pytest.raises(InvalidError, match="sha256"):
        checkout("data", Content(Oid("sha256:" + "0" * 64), "file", 1))


@pytest.mark.parametrize("kind", ["packs", "objects"])
def test_bit_rot_is_found_and_changes_nothing(
    repo: Repo, data: Path, save: Save, checkout: Checkout, kind: str
) -> None:
    """Row 17."""
    old = save("data")
    shutil.rmtree(data)
    cache = repo.root / ".mlgit" / "cache"
    for path in (cache / kind).rglob("*"):
        if path.is_file():
            found = path.stat()
            path.chmod(0o644)
            text = bytearray(path.read_bytes())
            text[20] ^= 4
            path.write_bytes(text)
            path.chmod(found.st_mode)
            os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    with pytest.raises(IntegrityError, match="is damaged") as caught:
        checkout("data", old)
    assert caught.value.code == 13
    assert not data.exists()
    assert list((repo.root / ".mlgit" / "tmp").iterdir()) == []


def test_a_missing_object_is_named(repo: Repo, data: Path, save: Save, checkout: Checkout) -> None:
    content = save("data")
    shutil.rmtree(data)
    shutil.rmtree(repo.root / ".mlgit" / "cache")
    with pytest.raises(MissingError, match=content.oid) as caught:
        checkout("data", content)
    assert "mlgit pull" in (caught.value.hint or "")


def test_a_failing_disk_keeps_old_files(
    repo: Repo, data: Path, save: Save, checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = save("data")
    (data / "a.txt").write_text("new")
    save("data")
    before = files_below(data)

    def full(*arguments: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(DiskError) as caught:
        patch.setattr(os, "write", full)
        checkout("data", old)
    assert (caught.value.code, "space" in (caught.value.hint or "")) == (18, True)
    assert files_below(data) == before
    assert list((repo.root / ".mlgit" / "tmp").iterdir()) == []
    assert checkout("data", old)


def test_across_file_systems(repo: Repo, data: Path, save: Save, look: Look) -> None:
    """EXDEV: the cache on another disk than the working tree."""
    shm = Path("/dev/shm")
    if not shm.is_dir() or os.stat(shm).st_dev == os.stat(repo.root).st_dev:
        pytest.skip("no second file system")
    cache = shm / f"mlgit-cache-{os.getpid()}"
    (repo.root / ".mlgit" / "config.local.yaml").write_text(f"cache:\n  dir: {cache}\n  links: [hardlink, copy]\n")
    try:
        content = save("data")
        moved = Repo(repo.root)
        assert moved.config.cache_path(moved.root) == cache
        shutil.rmtree(data)
        assert moved.workspace.checkout(moved.path("data", moved.root), content)
        assert look("data") == content
        assert (data / "large").stat().st_nlink == 1
        assert_healthy(moved, tidy=True)
    finally:
        shutil.rmtree(cache, ignore_errors=True)


def test_an_edit_right_after_a_checkout_is_seen(
    repo: Repo, data: Path, save: Save, checkout: Checkout, look: Look
) -> None:
    """Row 30: the fingerprints that a checkout leaves behind do not cover what happens in the same tick."""
    content = save("data")
    for number in range(30):
        shutil.rmtree(data)
        checkout("data", content)
        (data / "a.txt").write_text(f"{number:03}")
        now = look("data")
        assert now is not None and now.oid != content.oid
        assert (now.size, now.files) == (content.size, content.files)
        (data / "a.txt").write_text("aaa")
    assert look("data") == content


def test_only_a_part_comes(repo: Repo, data: Path, save: Save) -> None:
    content = save("data")
    shutil.rmtree(data)
    fresh = Repo(repo.root)
    assert fresh.workspace.checkout(fresh.path("data", fresh.root), content, below=fresh.path("data/sub", fresh.root))
    assert list(files_below(data)) == ["sub/b.txt"]
    with pytest.raises(MissingError, match="data/none"):
        fresh.workspace.plan_checkout(fresh.path("data", fresh.root), content, fresh.path("data/none", fresh.root))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_descriptors_are_given_back(repo: Repo, data: Path, save: Save, checkout: Checkout) -> None:
    content = save("data")
    checkout("data", None)
    fresh = Repo(repo.root)
    fresh.workspace.checkout(fresh.path("data", fresh.root), content)
    gc.collect()  # other tests' connections must not be closed while we count
    before = len(os.listdir("/proc/self/fd"))
    for wanted in (None, content) * 3:
        fresh.workspace.checkout(fresh.path("data", fresh.root), wanted)
    with pytest.raises(UnsafeError), Folder.beneath(data, ("link",)):
        pass
    assert len(os.listdir("/proc/self/fd")) <= before
