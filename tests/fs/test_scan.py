"""Reading a folder, and the evidence that a file has not changed."""

from __future__ import annotations

import os
import socket
import stat
import time
from pathlib import Path

import pytest

from mlgit.fs.confine import Folder
from mlgit.fs.fingerprint import TICK_NS, UNSURE, disk_now, evidence, fingerprint, folder_evidence, parse, settled
from mlgit.fs.scan import Seen, scan


def _names(folder: Path, *skip: str) -> list[str]:
    """What is seen in `folder`, sub-folders with a slash."""
    with Folder.beneath(folder) as opened:
        lines, folders = scan(opened, frozenset(skip))
    return sorted([*(Seen.of(line).name for line in lines), *(f"{name}/" for name in folders)])


def test_folders_stand_apart_from_everything_else(tmp_path: Path) -> None:
    for name in ("b", "a b", "ü", "Z", "run"):
        (tmp_path / name).write_text("x")
    (tmp_path / "run").chmod(0o755)
    (tmp_path / "dir").mkdir()
    (tmp_path / "link").symlink_to("/nowhere")
    (tmp_path / "other").symlink_to("dir")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(tmp_path)
        server.bind("sock")
        os.chdir(here)
        with Folder.beneath(tmp_path) as opened:
            lines, folders = scan(opened)
    assert folders == ["dir"]
    kinds = {name: stat.filemode(mode)[0] for name, mode, _, _ in map(parse, lines)}
    assert kinds == {
        **dict.fromkeys(("b", "a b", "ü", "Z", "run"), "-"),
        **{"link": "l", "other": "l", "pipe": "p", "sock": "s"},
    }


def test_names_are_skipped_by_kind(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").mkdir()
    assert _names(tmp_path, "a", "b") == ["b/"]
    assert _names(tmp_path, "a/", "b/") == ["a"]


def test_names_that_are_not_utf8_are_seen(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"\xff")).write_text("x")
    except OSError:
        pytest.skip("this disk refuses such names")
    assert _names(tmp_path) == ["\udcff"]


def test_evidence_sorts_by_name_and_can_be_read_again(tmp_path: Path) -> None:
    names = ["a", "a-b", "a.b", "aa", "é", "\ue000", "🎉"]
    for name in names:
        (tmp_path / name).write_text("xyz")
    found = {name: (tmp_path / name).stat() for name in names}
    lines = sorted([*(evidence(name, found[name]) for name in reversed(names)), folder_evidence("a0", b"d" * 32)])
    assert [parse(line)[0] for line in lines] == ["a", "a-b", "a.b", "a0", *names[3:]]
    seen = Seen.of(lines[0])
    assert (seen.mode, seen.size) == (found["a"].st_mode, 3)
    assert seen.touched == max(found["a"].st_mtime_ns, found["a"].st_ctime_ns)
    assert stat.S_ISDIR(Seen.of(lines[3]).mode)


def test_every_change_gives_other_evidence(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("same size 1")
    first = path.stat()
    time.sleep(0.03)
    path.write_text("same size 2")
    os.utime(path, ns=(first.st_atime_ns, first.st_mtime_ns))
    second = path.stat()
    assert (first.st_size, first.st_mtime_ns, first.st_ino) == (second.st_size, second.st_mtime_ns, second.st_ino)
    os.chmod(path, 0o755)
    lines = {evidence(name, found) for name in ("a", "b") for found in (first, second, path.stat())}
    assert len(lines) == len({*map(fingerprint, lines)}) == 6
    assert UNSURE not in map(fingerprint, lines)


def _touched(path: Path) -> int:
    return parse(evidence(path.name, path.stat()))[3]


def test_what_was_just_touched_is_not_settled(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("x")
    now = _touched(path)
    assert not settled(now, now)
    assert not settled(now, now + TICK_NS)
    assert settled(now, now + 2_100_000_000)
    assert not settled(now, now - 3_600 * 10**9), "a clock that runs behind must not make it look old"


def test_times_of_whole_seconds_need_two_more(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("x")
    coarse = 4_000_000_000 * 10**9  # later than any ctime, and without a fraction
    os.utime(path, ns=(coarse, coarse))
    assert not settled(_touched(path), coarse + 1_900_000_000)
    assert settled(_touched(path), coarse + 2_100_000_000)


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
