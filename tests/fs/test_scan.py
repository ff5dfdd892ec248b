"""Reading a folder, and the evidence that a file has not changed."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from mlgit.fs.confine import Folder
from mlgit.fs.fingerprint import TICK_NS, UNSURE, disk_now, fingerprint, settled
from mlgit.fs.scan import Seen, scan


def _scan(folder: Path, *skip: str) -> list[Seen]:
    with Folder.beneath(folder) as opened:
        return scan(opened, frozenset(skip))


def test_kinds_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b", "a b", "ü", "Z", "run"):
        (tmp_path / name).write_text("x")
    (tmp_path / "run").chmod(0o755)
    (tmp_path / "dir").mkdir()
    (tmp_path / "link").symlink_to("/nowhere")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(tmp_path)
        server.bind("sock")
        os.chdir(here)
        found = [(one.mark, one.kind) for one in _scan(tmp_path)]
    assert found == [
        *(("Z", "file"), ("a b", "file"), ("b", "file"), ("dir/", "folder"), ("link", "link"), ("pipe", "other")),
        *(("run", "exec"), ("sock", "other"), ("ü", "file")),
    ]


def test_marks_tell_files_from_folders(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").mkdir()
    assert [one.name for one in _scan(tmp_path, "a", "b")] == ["b"]
    assert [one.name for one in _scan(tmp_path, "a/", "b/")] == ["a"]


def test_names_that_are_not_utf8_are_seen(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"\xff")).write_text("x")
    except OSError:
        pytest.skip("this disk refuses such names")
    assert [one.name for one in _scan(tmp_path)] == ["\udcff"]


def test_every_change_gives_another_fingerprint(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("same size 1")
    first = path.stat()
    time.sleep(0.03)
    path.write_text("same size 2")
    os.utime(path, ns=(first.st_atime_ns, first.st_mtime_ns))
    second = path.stat()
    assert (first.st_size, first.st_mtime_ns, first.st_ino) == (second.st_size, second.st_mtime_ns, second.st_ino)
    assert fingerprint(first) != fingerprint(second)
    assert UNSURE not in (fingerprint(first), fingerprint(second))


def test_what_was_just_touched_is_not_settled(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("x")
    found = path.stat()
    now = max(found.st_mtime_ns, found.st_ctime_ns)
    assert not settled(found, now)
    assert not settled(found, now + TICK_NS)
    assert settled(found, now + 2_100_000_000)
    assert not settled(found, now - 3_600 * 10**9), "a clock that runs behind must not make it look old"


def test_times_of_whole_seconds_need_two_more(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("x")
    coarse = 4_000_000_000 * 10**9  # later than any ctime, and without a fraction
    os.utime(path, ns=(coarse, coarse))
    assert not settled(path.stat(), coarse + 1_900_000_000)
    assert settled(path.stat(), coarse + 2_100_000_000)


def test_the_disk_has_a_clock(tmp_path: Path) -> None:
    before = time.time_ns()
    assert abs(disk_now(str(tmp_path / "clock")) - before) < 10 * 10**9
    assert disk_now(str(tmp_path / "no" / "clock")) >= before


def test_a_link_in_place_of_the_clock_is_not_touched(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("x")
    os.utime(victim, (1, 1))
    (tmp_path / "clock").symlink_to("victim")
    disk_now(str(tmp_path / "clock"))
    assert victim.stat().st_mtime == 1
