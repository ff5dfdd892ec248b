"""What a path holds: found without reading what did not change, and never wrong about what did."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from health import assert_healthy
from xxhash import xxh3_128_digest

from mlgit.errors import DiskError, InvalidError, MlgitError, UnsafeError
from mlgit.fs import link
from mlgit.fs.confine import Folder
from mlgit.model import tree as trees
from mlgit.model.relpath import MAX_DEPTH
from mlgit.model.tree import Content, Entry
from mlgit.repo import Repo
from mlgit.store.hashing import hash_bytes
from mlgit.work import add

Look = Callable[[str], Content | None]
Save = Callable[..., Content]


@pytest.fixture
def data(repo: Repo) -> Path:
    folder = repo.root / "data"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("aaa")
    (folder / "sub" / "b.txt").write_text("bbb")
    return folder


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are opened for their bytes from now on."""
    names: list[str] = []
    real = Folder.open

    def counting(self: Folder, name: str) -> int:
        if name != ".mlgitignore":
            names.append(name)
        return real(self, name)

    monkeypatch.setattr(Folder, "open", counting)
    return names


def test_ids_are_those_of_the_format(repo: Repo, data: Path, look: Look) -> None:
    (data / "run").write_text("#!")
    (data / "run").chmod(0o755)
    (data / "link").symlink_to("sub/b.txt")
    (data / "empty").mkdir()
    below = trees.encode([Entry("b.txt", "file", hash_bytes("blake3", b"bbb"), 3)])
    nothing = trees.encode([])
    entries = [
        Entry("a.txt", "file", hash_bytes("blake3", b"aaa"), 3),
        Entry("empty", "tree", hash_bytes("blake3", nothing), 0, 0),
        Entry("link", "link", hash_bytes("blake3", b"sub/b.txt"), 9),
        Entry("run", "exec", hash_bytes("blake3", b"#!"), 2),
        Entry("sub", "tree", hash_bytes("blake3", below), 3, 1),
    ]
    assert look("data") == Content(hash_bytes("blake3", trees.encode(entries)), "tree", 17, 4)
    assert look("data/a.txt") == Content(hash_bytes("blake3", b"aaa"), "file", 3)
    assert look("data/none") is None
    assert look("none/none") is None


def test_nothing_is_read_twice(data: Path, look: Look, reads: list[str], settle: Callable[[Path], None]) -> None:
    settle(data.parent)
    first = look("data")
    assert sorted(reads) == ["a.txt", "b.txt"]
    reads.clear()
    assert look("data") == first
    assert reads == []
    (data / "sub" / "b.txt").write_text("changed")
    assert look("data") != first
    assert reads == ["b.txt"]


def test_one_edit_in_a_flat_folder_costs_one_read(
    repo: Repo, look: Look, save: Save, reads: list[str], settle: Callable[[Path], None]
) -> None:
    flat = repo.root / "flat"
    flat.mkdir()
    for number in range(2000):
        (flat / f"f{number}").write_text(str(number))
    settle(flat)
    first = save("flat")
    assert len(reads) == 2000
    reads.clear()
    (flat / "f77").write_text("##")
    second = look("flat")
    assert second is not None and second != first
    assert (second.size, second.files, reads) == (first.size, 2000, ["f77"])
    assert save("flat") == second
    (flat / "f77").write_text("77")
    assert save("flat") == first
    assert_healthy(repo, bytes_of_user=[b"##"])


def test_a_mode_alone_is_a_change(data: Path, look: Look, save: Save, settle: Callable[[Path], None]) -> None:
    settle(data.parent)
    first = save("data")
    found = (data / "a.txt").stat()
    (data / "a.txt").chmod(0o755)
    os.utime(data / "a.txt", ns=(found.st_atime_ns, found.st_mtime_ns))
    second = look("data")
    assert second not in (None, first)
    assert save("data") == second
    (data / "a.txt").chmod(0o644)
    assert look("data") == first


def test_a_large_file_that_changes_while_it_is_copied_is_copied_again(
    repo: Repo, data: Path, save: Save, large: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 31."""
    (data / "large").write_bytes(large)
    real, calls = link._copy_range, iter(range(10**6))

    def copy(reader: int, writer: int, start: int, length: int) -> int:
        moved = real(reader, writer, start, length)
        if next(calls) == 0:
            with open(data / "large", "r+b") as file:
                file.write(b"new")
        return moved

    monkeypatch.setattr(link, "_copy_range", copy)
    save("data")
    monkeypatch.undo()
    assert (data / "large").read_bytes() == b"new" + large[3:]
    assert_healthy(repo, bytes_of_user=[b"new" + large[3:]], tidy=True)


def test_a_same_size_edit_with_its_time_put_back_is_seen(
    data: Path, look: Look, settle: Callable[[Path], None]
) -> None:
    """Row 30."""
    settle(data.parent)
    for name in ("data", "data/a.txt"):
        path = data / "a.txt"
        path.write_text("aaa")
        settle(data.parent)
        first, found = look(name), path.stat()
        path.write_text("xxx")
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
        assert path.stat().st_mtime_ns == found.st_mtime_ns
        assert look(name) != first


def test_two_files_of_one_weak_hash_are_two(
    repo: Repo, data: Path, save: Save, look: Look, settle: Callable[[Path], None]
) -> None:
    """Row 20: where a lane's low half cancels XXH3's secret its high half is multiplied by zero, and only added up."""
    twins = []
    for first, second in ((1, 2), (2, 1)):
        twin = bytearray(512)
        twin[0:8] = bytes.fromhex("b8fe6c39") + first.to_bytes(4, "little")
        twin[64:72] = bytes.fromhex("7c01812c") + second.to_bytes(4, "little")
        twins.append(bytes(twin))
    assert twins[0] != twins[1] and xxh3_128_digest(twins[0]) == xxh3_128_digest(twins[1])
    for name, twin in zip(("one", "two"), twins, strict=True):
        (data / name).write_bytes(twin)
    settle(data.parent)
    saved = save("data")
    assert look("data/one") != look("data/two")
    for name in ("one", "two"):
        (data / name).unlink()
    repo.workspace.checkout(repo.path("data", repo.root), saved)
    assert [(data / name).read_bytes() for name in ("one", "two")] == twins
    (data / "one").write_bytes(twins[1])
    assert look("data") != saved


def test_an_edit_in_the_same_tick_is_seen(data: Path, look: Look) -> None:
    """Row 30: no pause anywhere; whatever the clock's tick is, the second look must see the second text."""
    path = data / "a.txt"
    for number in range(50):
        text = f"{number:03}"
        path.write_text(text)
        assert look("data/a.txt") == Content(hash_bytes("blake3", text.encode()), "file", 3)
        second = f"{number:03}"[::-1]
        path.write_text(second)
        found = look("data")
        assert found is not None
        entries = [
            Entry("a.txt", "file", hash_bytes("blake3", second.encode()), 3),
            Entry(
                "sub",
                "tree",
                hash_bytes("blake3", trees.encode([Entry("b.txt", "file", hash_bytes("blake3", b"bbb"), 3)])),
                3,
                1,
            ),
        ]
        assert found.oid == hash_bytes("blake3", trees.encode(entries))


def test_a_replaced_file_of_equal_stats_is_seen(data: Path, look: Look, settle: Callable[[Path], None]) -> None:
    settle(data.parent)
    first = look("data")
    found = (data / "a.txt").stat()
    other = data.parent / "other"
    other.write_text("zzz")
    os.utime(other, ns=(found.st_atime_ns, found.st_mtime_ns))
    other.replace(data / "a.txt")
    assert look("data") != first


@pytest.mark.parametrize("size", [2_000, 3_000_000])
def test_a_file_that_never_rests_is_refused(repo: Repo, data: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Row 31: somebody writes between every look and the next."""
    path = data / "busy"
    path.write_bytes(b"x" * size)
    real = os.fstat
    counter = iter(range(10**6))

    def fstat(descriptor: int) -> os.stat_result:
        with open(path, "r+b") as file:
            file.write(str(next(counter)).encode())
        return real(descriptor)

    monkeypatch.setattr(os, "fstat", fstat)
    with pytest.raises(InvalidError, match="busy keeps changing"):
        repo.workspace.save([repo.path("data", repo.root)])
    monkeypatch.undo()
    assert not repo.workspace.store.catalog.knows(hash_bytes("blake3", b"aaa").digest)


def test_a_writer_beside_add_never_gives_a_wrong_id(repo: Repo, data: Path, save: Save) -> None:
    """Row 31: a thread rewrites a file all the time; every id that is handed out is that of bytes in the cache."""
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            (data / "busy").write_bytes(str(number).encode() * 3000)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(15):
            try:
                save("data")
            except InvalidError as error:
                assert "keeps changing" in error.message
            assert_healthy(repo, complete=(repo.root / "data.mlgit").exists())
    finally:
        stop.set()
        thread.join()
    last = (data / "busy").read_bytes()
    save("data")
    assert_healthy(repo, bytes_of_user=[last, b"aaa", b"bbb"], tidy=True)


@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_pipes_and_sockets_are_refused_without_blocking(repo: Repo, data: Path, save: Save, kind: str) -> None:
    """Row 47."""
    if kind == "fifo":
        os.mkfifo(data / "special")
    else:
        with socket.socket(socket.AF_UNIX) as server:
            here = os.getcwd()
            os.chdir(data)
            server.bind("special")
            os.chdir(here)
    for name in ("data", "data/special"):
        with pytest.raises(InvalidError, match="data/special") as caught:
            save(name)
        assert caught.value.code == 10
    (repo.root / ".mlgitignore").write_text("special\n")
    assert save("data").files == 2
    assert save("data").files == 2


def test_names_that_are_not_utf8_are_refused_or_ignored(repo: Repo, data: Path, save: Save) -> None:
    """Row 36."""
    try:
        (data / os.fsdecode(b"bad\xff.txt")).write_text("x")
    except OSError:
        pytest.skip("this disk refuses such names")
    with pytest.raises(InvalidError, match="UTF-8") as caught:
        save("data")
    assert ".mlgitignore" in (caught.value.hint or "")
    (repo.root / ".mlgitignore").write_text("bad*\n")
    for _ in range(2):
        assert save("data").files == 2


@pytest.mark.parametrize("name", [".git", ".GIT", "git~1", ".mlgit", ".git ", ".g\u200cit"])
def test_control_folders_inside_data_are_refused(repo: Repo, data: Path, save: Save, name: str) -> None:
    """Row 33."""
    (data / name).mkdir()
    (data / name / "config").write_text("x")
    with pytest.raises(UnsafeError) as caught:
        save("data")
    assert caught.value.code == 14
    assert not (repo.root / "data.mlgit").exists()


@pytest.mark.parametrize("name", ["\\x", "C:\\x"])
def test_names_that_are_absolute_elsewhere_get_no_pointer(data: Path, save: Save, name: str) -> None:
    """Row 36: a pointer that names such a file could be written and never be read again."""
    (data / name).write_text("x")
    with pytest.raises(UnsafeError, match="absolute"):
        save(f"data/{name}")
    assert not (data / f"{name}.mlgit").exists()


def test_names_that_fall_together_are_refused(data: Path, save: Save) -> None:
    """Row 35."""
    (data / "A.TXT").write_text("x")
    if len(list(data.glob("[aA].*"))) == 1:
        pytest.skip("this disk folds case itself")
    with pytest.raises(UnsafeError, match=r"'A\.TXT' and 'a\.txt'"):
        save("data")


STRANGE = [
    "con",
    "a:b",
    "tab\there",
    "new\nline",
    "esc\x1b[31m",
    "bidi\u202egnp.exe",
    " lead",
    "trail ",
    "ünï cödé",
    "'\"$`!",
    "-rf",
    "🎉",
    "%s",
    "#",
    "\\back",
]


def test_strange_names_go_round(repo: Repo, data: Path, save: Save, checkout: Callable[..., bool]) -> None:
    """Row 36."""
    for name in STRANGE:
        (data / name).write_text(name)
        (data / "sub" / name).mkdir()
        (data / "sub" / name / "file").write_text(name)
    content = save("data")
    shutil.rmtree(data)
    assert checkout("data", content)
    assert {path.name for path in data.iterdir()} == {*STRANGE, "a.txt", "sub"}
    assert all((data / name).read_text() == (data / "sub" / name / "file").read_text() == name for name in STRANGE)
    assert_healthy(repo, tidy=True)


def test_empty_things_keep_their_shape(
    repo: Repo, data: Path, save: Save, checkout: Callable[..., bool], look: Look
) -> None:
    """Row 49."""
    (data / "empty.txt").write_text("")
    (data / "hollow" / "inner").mkdir(parents=True)
    content = save("data")
    assert (content.size, content.files) == (6, 3)
    shutil.rmtree(data)
    checkout("data", content)
    assert (data / "hollow" / "inner").is_dir()
    assert (data / "empty.txt").read_bytes() == b""
    assert look("data") == content
    (repo.root / "void").mkdir()
    assert save("void") == Content(hash_bytes("blake3", trees.HEADER), "tree", 0, 0)
    (repo.root / "zero").write_bytes(b"")
    assert save("zero") == Content(hash_bytes("blake3", b""), "file", 0)
    assert_healthy(repo)


def test_sparse_files_have_their_full_size(repo: Repo, save: Save, checkout: Callable[..., bool]) -> None:
    path = repo.root / "sparse"
    path.touch()
    os.truncate(path, 50 << 20)
    content = save("sparse")
    assert content == Content(hash_bytes("blake3", bytes(50 << 20)), "file", 50 << 20)
    path.unlink()
    checkout("sparse", content)
    assert path.stat().st_size == 50 << 20


@pytest.mark.slow
def test_more_than_four_gib(repo: Repo, look: Look) -> None:
    from blake3 import blake3

    path = repo.root / "huge"
    path.touch()
    size = (4 << 30) + 12345
    os.truncate(path, size)
    hasher = blake3(max_threads=blake3.AUTO)
    piece = bytes(1 << 26)
    for _ in range(size // len(piece)):
        hasher.update(piece)
    hasher.update(bytes(size % len(piece)))
    assert look("huge") == Content(hash_bytes("blake3", b"").from_digest("blake3", hasher.digest()), "file", size)


def test_deep_and_wide_folders(repo: Repo, save: Save, checkout: Callable[..., bool], look: Look) -> None:
    deep = repo.root / "deep"
    with Folder.beneath(repo.root, ("deep", *["level"] * 200), create=True) as folder:
        os.close(folder.create("bottom"))
    wide = repo.root / "wide"
    wide.mkdir()
    for number in range(3000):
        (wide / f"file{number}").write_bytes(b"%d" % number)
    found = {name: save(name) for name in ("deep", "wide")}
    assert (found["deep"].files, found["wide"].files) == (1, 3000)
    shutil.rmtree(wide)
    with Folder.beneath(repo.root) as folder:
        folder.remove(deep.name)
    for name, content in found.items():
        checkout(name, content)
        assert look(name) == content


def test_a_folder_deeper_than_the_limit_is_refused(repo: Repo, look: Look) -> None:
    with Folder.beneath(repo.root, ("deep", *["d"] * MAX_DEPTH), create=True):
        pass
    with pytest.raises(InvalidError, match="deeply"):
        look("deep")


def test_files_and_folders_that_take_each_others_place(repo: Repo, data: Path, save: Save, look: Look) -> None:
    save("data")
    (data / "a.txt").unlink()
    (data / "a.txt").mkdir()
    (data / "a.txt" / "inner").write_text("x")
    shutil.rmtree(data / "sub")
    (data / "sub").write_text("a file now")
    content = save("data")
    assert content.files == 2
    assert look("data") == content
    assert_healthy(repo, bytes_of_user=[b"x", b"a file now"])


def test_ignored_names_are_left_out_by_kind(repo: Repo, data: Path, save: Save) -> None:
    (repo.root / ".mlgitignore").write_text("*.tmp\ncache/\n!keep.tmp\n")
    for name in ("x.tmp", "keep.tmp"):
        (data / name).write_text(name)
    (data / "cache").mkdir()
    (data / "cache" / "big").write_text("x")
    assert save("data").files == 3
    assert save("data").files == 3
    shutil.rmtree(data / "cache")
    (data / "cache").write_text("a file, which the rule for folders does not mean")
    assert save("data").files == 4
    (repo.root / ".mlgitignore").write_text("")
    assert save("data").files == 5


def test_links_inside_are_kept_and_links_outside_refused(repo: Repo, data: Path, save: Save, tmp_path: Path) -> None:
    (data / "sub" / "up").symlink_to("../a.txt")
    (data / "dangling").symlink_to("nowhere")
    assert save("data").files == 4
    (tmp_path / "outside").write_text("outside")
    for target in (
        "/etc/passwd",
        "../../outside",
        "../other.txt",
        "sub/../../x",
        "sub/up/../../../x",
        str(data / "a.txt"),
    ):
        (data / "bad").symlink_to(target)
        with pytest.raises(UnsafeError, match="data/bad") as caught:
            save("data")
        assert "--follow" in (caught.value.hint or "")
        (data / "bad").unlink()
    (data / "bad").symlink_to(tmp_path / "outside")
    content = save("data", follow=True)
    assert content.files == 5
    assert not (data / "bad").is_symlink()
    assert (data / "sub" / "up").is_symlink()
    assert (tmp_path / "outside").read_text() == "outside"
    assert save("data") == content
    assert_healthy(repo, bytes_of_user=[b"outside"])


def test_a_link_is_not_tracked_itself(repo: Repo, data: Path, save: Save) -> None:
    (repo.root / "link").symlink_to("data/a.txt")
    with pytest.raises(UnsafeError, match="symbolic link"):
        save("link")
    assert save("link", follow=True) == Content(hash_bytes("blake3", b"aaa"), "file", 3)


def test_a_linked_parent_is_refused(repo: Repo, data: Path, save: Save, tmp_path: Path) -> None:
    """Row 34."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("x")
    (repo.root / "evil").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeError, match="evil"):
        save("evil/file")
    assert not (tmp_path / "elsewhere" / "file.mlgit").exists()


def test_a_disk_that_fails_in_the_middle_saves_nothing(
    repo: Repo, data: Path, save: Save, large: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data / "large").write_bytes(large)
    for call in ("fsync", "write", "replace"):
        for code in (errno.ENOSPC, errno.EIO):

            def fail(*arguments: object, error: int = code, **options: object) -> None:
                raise OSError(error, os.strerror(error))

            fresh = Repo(repo.root)
            made = add.plan(fresh.workspace, [fresh.path("data", fresh.root)], {})
            with monkeypatch.context() as patch, pytest.raises(DiskError) as caught:
                patch.setattr(os, call, fail)
                add.apply(fresh.workspace, made)
            assert caught.value.code == 18
            assert not (repo.root / "data.mlgit").exists()
            assert_healthy(repo, bytes_of_user=[large, b"aaa", b"bbb"], tidy=True)
    save("data")
    assert_healthy(repo, bytes_of_user=[large], tidy=True)


def test_a_failing_target_stops_the_whole_add(repo: Repo, data: Path) -> None:
    """Nothing is tracked unless everything was saved."""
    os.mkfifo(repo.root / "pipe")
    fresh = Repo(repo.root)
    paths = [fresh.path(name, fresh.root) for name in ("data", "pipe")]
    made = add.plan(fresh.workspace, paths, {})
    with pytest.raises(MlgitError):
        add.apply(fresh.workspace, made)
    assert not (repo.root / "data.mlgit").exists()
    assert "data" not in ((repo.root / ".gitignore").read_text() if (repo.root / ".gitignore").exists() else "")
