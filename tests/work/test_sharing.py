"""A cache that several repositories use: gc in one keeps what the others need, and refuses when one cannot be asked."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def two(tmp_path: Path, mlgit: Callable[..., Any]) -> tuple[Path, Path]:
    """Two repositories with one cache, each with a file of its own."""
    made = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        subprocess.run(["git", "init", "-q", "-b", "main"], cwd=folder, check=True)
        mlgit("init", cwd=folder)
        mlgit("config", "--local", "cache.dir", str(tmp_path / "cache"), cwd=folder)
        (folder / "data.txt").write_text(name)
        mlgit("add", "data.txt", cwd=folder)
        subprocess.run(["git", "add", "-A"], cwd=folder, check=True)
        subprocess.run(["git", "commit", "-q", "-m", "data"], cwd=folder, check=True)
        made.append(folder)
    return made[0], made[1]


def test_gc_keeps_what_the_other_repository_needs(two: tuple[Path, Path], mlgit: Callable[..., Any]) -> None:
    first, second = two
    (first / "data.txt").write_text("newer")
    mlgit("add", "data.txt", cwd=first)
    subprocess.run(["git", "add", "-A"], cwd=first, check=True)
    done = mlgit("gc", "-w", "--grace", "0", "--yes", cwd=first)
    assert "deleted 1 object" in done.err
    (second / "data.txt").unlink()
    mlgit("checkout", cwd=second)
    assert (second / "data.txt").read_text() == "second"
    mlgit("fsck", "--full", cwd=second)


def test_gc_refuses_while_another_repository_cannot_be_read(two: tuple[Path, Path], mlgit: Callable[..., Any]) -> None:
    first, second = two
    shutil.move(second, second.with_name("moved"))
    done = mlgit("gc", "-w", "--grace", "0", "--yes", cwd=first, code=1)
    assert str(second) in done.err
    assert "rm " in done.err


def test_gc_keeps_what_the_owner_of_the_cache_needs(two: tuple[Path, Path], mlgit: Callable[..., Any]) -> None:
    """A cache inside one repository that another uses too: the first never registered."""
    first, second = two
    mlgit("config", "--local", "--unset", "cache.dir", cwd=first)
    mlgit("add", "data.txt", cwd=first)
    mlgit("config", "--local", "cache.dir", str(first / ".mlgit/cache"), cwd=second)
    mlgit("add", "data.txt", cwd=second)
    mlgit("gc", "-w", "--grace", "0", "--yes", cwd=second)
    mlgit("fsck", "--full", cwd=first)
    (first / "data.txt").unlink()
    mlgit("checkout", cwd=first)
    assert (first / "data.txt").read_text() == "first"


def test_linked_working_trees_keep_their_own(two: tuple[Path, Path], mlgit: Callable[..., Any]) -> None:
    first, _ = two
    linked = first.with_name("linked")
    subprocess.run(["git", "worktree", "add", "-q", "--detach", str(linked)], cwd=first, check=True)
    mlgit("config", "--local", "cache.dir", str(first.parent / "cache"), cwd=linked)
    (linked / "data.txt").write_text("in the linked tree")
    mlgit("add", "data.txt", cwd=linked)
    mlgit("gc", "-w", "--grace", "0", "--yes", cwd=first)
    (linked / "data.txt").unlink()
    mlgit("checkout", cwd=linked)
    assert (linked / "data.txt").read_text() == "in the linked tree"
    subprocess.run(["git", "worktree", "remove", "-f", str(linked)], cwd=first, check=True)
    assert str(linked) in mlgit("gc", "-w", "--yes", cwd=first, code=1).err


# -- a cache for a group --------------------------------------------------------------------------------------------

LARGE = 1 << 20
USERS = (64001, 64002)
TEAM = 64100
as_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root and setpriv"
)
Run = Callable[..., str]
# Where Python lies in a folder closed to others, the users may read everything; what they may write stays the same.
CLOSED = any(not one.stat().st_mode & 0o001 for one in Path(sys.executable).resolve().parents)
READING = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"] if CLOSED else []


def modes(cache: Path) -> dict[str, int]:
    return {str(path.relative_to(cache)): stat.S_IMODE(path.lstat().st_mode) for path in [cache, *cache.rglob("*")]}


@pytest.mark.skipif(sys.platform == "win32", reason="no such permissions")
def test_a_group_may_write_whatever_the_umask(git_folder: Path, tmp_path: Path, mlgit: Callable[..., Any]) -> None:
    mlgit("init", cwd=git_folder)
    mlgit("config", "core.shared", "group", cwd=git_folder)
    mlgit("config", "--local", "cache.dir", str(tmp_path / "team/cache"), cwd=git_folder)
    assert mlgit("config", "core.shared", cwd=git_folder).out == "group\n"
    (git_folder / "data").mkdir()
    (git_folder / "data/small").write_text("small")
    (git_folder / "data/large").write_bytes(b"x" * LARGE)
    before = os.umask(0o077)
    try:
        mlgit("add", "data", cwd=git_folder)
        mlgit("stage", "add", "-n", "copy", "-d", "data/small", "-o", "out", "cp data/small out", cwd=git_folder)
        mlgit("repro", cwd=git_folder)
    finally:
        os.umask(before)
    cache = tmp_path / "team/cache"
    found = modes(cache)
    for name, mode in found.items():
        writable = name == "lock" or name.startswith("repositories/")
        expected = 0o2775 if (cache / name).is_dir() else 0o664 if writable else 0o444
        assert mode == expected, name
    assert {name.partition("/")[0] for name in found} >= {"objects", "packs", "index", "runs", "repositories", "tmp"}


@pytest.mark.skipif(sys.platform == "win32", reason="no such permissions")
def test_without_it_the_umask_decides(git_folder: Path, mlgit: Callable[..., Any]) -> None:
    before = os.umask(0o077)
    try:
        mlgit("init", cwd=git_folder)
        (git_folder / "small").write_text("small")
        mlgit("add", "small", cwd=git_folder)
    finally:
        os.umask(before)
    found = modes(git_folder / ".mlgit/cache")
    assert {found[name] for name in ("packs", "index", "tmp")} == {0o700}
    assert found["lock"] == 0o600
    assert "damaged" not in found


def test_a_cache_is_opened_to_the_group_later(two: tuple[Path, Path], mlgit: Callable[..., Any]) -> None:
    first, _ = two
    cache = first.parent / "cache"
    for path in [cache, *cache.rglob("*")]:
        path.chmod(path.lstat().st_mode & ~0o077)
    mlgit("config", "core.shared", "group", cwd=first)
    (first / "data.txt").write_text("more")
    mlgit("add", "data.txt", cwd=first)
    found = modes(cache)
    assert {found[name] for name in (".", "packs", "index", "repositories", "tmp")} == {0o2775}
    assert found["lock"] == 0o664


@pytest.fixture
def team() -> Iterator[tuple[Path, Run]]:
    """A folder of a group, and how to run a command there as one of its two users."""
    top = Path(tempfile.mkdtemp(prefix="mlgit-team-"))
    top.chmod(0o755)
    (top / "cache").mkdir()
    os.chown(top / "cache", 0, TEAM)
    (top / "cache").chmod(0o2775)

    def run(user: int, *words: str, cwd: Path, code: int = 0, umask: str = "077") -> str:
        identity = ["setpriv", f"--reuid={user}", f"--regid={user}", f"--groups={TEAM}", *READING]
        command = shlex.join([sys.executable, "-m", "mlgit", *words] if words[0] != "git" else words)
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": str(cwd / ".gitconfig"), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [*identity, "sh", "-c", f"umask {umask}; exec {command}"],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    for user in USERS:
        home = top / str(user)
        home.mkdir()
        os.chown(home, user, user)
        run(user, "git", "init", "-q", "-b", "main", cwd=home)
        run(user, "init", cwd=home)
        run(user, "config", "core.shared", "group", cwd=home)
        run(user, "config", "--local", "cache.dir", "../../cache", cwd=home)
        run(user, "config", "--local", "cache.links", "hardlink,copy", cwd=home)
    yield top, run
    shutil.rmtree(top)


def write(folder: Path, name: str, data: bytes) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    user = folder.stat().st_uid
    for path in (folder / name, (folder / name).parent):
        os.chown(path, user, user)


@as_root
def test_two_users_of_one_cache(team: tuple[Path, Run]) -> None:
    top, run = team
    one, other = (top / str(user) for user in USERS)
    for folder in (one, other):
        write(folder, "data/large", b"both" * (LARGE // 4))
        write(folder, "data/small", b"both")
        write(folder, "data/own", folder.name.encode())
        run(int(folder.name), "add", "data", cwd=folder)
    found = modes(top / "cache")
    assert {mode for name, mode in found.items() if (top / "cache" / name).is_dir()} == {0o2775}
    assert {path.lstat().st_gid for path in (top / "cache").rglob("*")} == {TEAM}
    assert sum("objects/" in name and (top / "cache" / name).is_file() for name in found) == 1
    # the other user's object comes as a link or, where the system forbids that, as a copy
    shutil.rmtree(other / "data")
    run(USERS[1], "checkout", cwd=other)
    assert (other / "data/large").read_bytes() == b"both" * (LARGE // 4)
    for folder in (one, other):
        run(int(folder.name), "fsck", "--full", cwd=folder)


@as_root
def test_one_user_collects_what_the_other_left(team: tuple[Path, Run]) -> None:
    top, run = team
    one, other = (top / str(user) for user in USERS)
    write(one, "data/large", b"old." * (LARGE // 4))
    write(one, "data/small", b"old")
    run(USERS[0], "add", "data", cwd=one)
    write(one, "data/large", b"new." * (LARGE // 4))
    write(one, "data/small", b"new")
    run(USERS[0], "add", "data", cwd=one)
    one.chmod(0o755)
    said = run(USERS[1], "gc", "-w", "--grace", "0", "--yes", cwd=other, code=1)
    assert str(one) in said
    for path in [one, *one.rglob("*")]:
        path.chmod(path.lstat().st_mode | (0o755 if path.is_dir() else 0o644))
    run(USERS[1], "git", "config", "--global", "--add", "safe.directory", str(one), cwd=other)
    said = run(USERS[1], "gc", "-w", "--grace", "0", "--yes", cwd=other)
    assert "deleted 3 objects" in said
    run(USERS[0], "fsck", "--full", cwd=one)


@as_root
def test_two_users_at_once(team: tuple[Path, Run]) -> None:
    top, run = team
    homes = [top / str(user) for user in USERS]
    for number in range(3):
        for folder in homes:
            for name in range(8):
                write(folder, f"data/{name}", f"{number}-{name}".encode() * (LARGE // 3))
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda home: run(int(home.name), "add", "data", cwd=home), homes))
    for folder in homes:
        run(int(folder.name), "fsck", "--full", cwd=folder)


@as_root
def test_a_cache_closed_to_the_group_says_who_can_open_it(team: tuple[Path, Run]) -> None:
    top, run = team
    (top / "cache").chmod(0o755)
    home = top / str(USERS[0])
    write(home, "data/small", b"x")
    said = run(USERS[0], "add", "data", cwd=home, code=18)
    assert "chmod g+rwxs" in said
