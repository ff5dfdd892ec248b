"""Row 46: two users of one group share a cache: both write, both read, and neither believes the other's bytes unseen.

Both have the strictest umask there is, 077: what the group may do is mlgit's to say, not the umask's.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from health import StoreFiles
from sweep import spoil

GROUP = 52000
BECOME = """
import importlib, os, pkgutil, sys
import blake3, mlgit, rich.progress, sqlite3, xxhash, yaml
for one in pkgutil.walk_packages(mlgit.__path__, "mlgit."):  # the user need not be able to read where these are
    if one.name != "mlgit.__main__" and not one.name.startswith("mlgit.ops.gates"):
        importlib.import_module(one.name)
number, group = map(int, sys.argv[1:3])
os.setgroups([group])
os.setgid(number)
os.setuid(number)
os.umask(0o077)
sys.exit(mlgit.cli.main.run(sys.argv[3:]))
"""
LARGE = os.urandom((1 << 20) + 77)
COMMON = {"small": b"of both", "large": LARGE}
pytestmark = pytest.mark.root


@dataclass(frozen=True)
class User:
    """Somebody with a repository of their own."""

    number: int
    root: Path

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", BECOME, str(self.number), str(GROUP), *words],
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "HOME": str(self.root.parent)},
        )

    def mlgit(self, *words: str, code: int = 0) -> str:
        process = self.start(*words)
        _, error = process.communicate()
        assert "Traceback" not in error, error
        assert process.returncode == code, f"{words}: exit {process.returncode}: {error}"
        return error

    def write(self, name: str, files: dict[str, bytes]) -> None:
        folder = self.root / name
        for file, data in files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(data)
        self.own(folder)

    def take(self, file: Path) -> None:
        shutil.copy(file, self.root)
        self.own(self.root / file.name)

    def own(self, folder: Path) -> None:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, self.number, self.number)


@pytest.fixture
def cache(scratch: Path) -> Path:
    """A folder that the group may write to, in a place that everybody may enter."""
    folder = scratch / "shared"
    folder.mkdir()
    os.chown(folder, 0, GROUP)
    folder.chmod(0o2775)
    return folder / "cache"


@pytest.fixture
def users(scratch: Path, memory: Path, cache: Path) -> tuple[User, User]:
    if sys.platform != "linux" or os.geteuid():
        pytest.skip("becoming other users needs root, on Linux")
    for folder in (scratch, *scratch.parents):
        if folder.stat().st_uid == 0 and folder.is_relative_to(memory):
            folder.chmod(0o755)
    made = []
    for number in (52001, 52002):
        user = User(number, scratch / str(number) / "project")
        user.root.mkdir(parents=True)
        subprocess.run(["git", "init", "-q", "-b", "main"], cwd=user.root, check=True)
        user.own(user.root.parent)
        user.mlgit("init")
        local = user.root / ".mlgit" / "config.local.yaml"
        local.write_text(f"core:\n  shared: group\ncache:\n  dir: {cache}\n")
        os.chown(local, number, number)
        made.append(user)
    return made[0], made[1]


def _closed(cache: Path) -> list[str]:
    """What in the cache is not open to the group as it should be."""
    found = []
    for path in (cache, *sorted(cache.rglob("*"))):
        status = path.lstat()
        mode = stat.S_IMODE(status.st_mode)
        wanted = 0o2770 if path.is_dir() else 0o660 if path.name == "lock" else 0o440
        if mode & wanted != wanted or status.st_gid != GROUP:
            found.append(f"{path}: mode {mode:o}, group {status.st_gid}")
    return found


def _healthy(cache: Path, *contents: bytes) -> None:
    """The store is sound and holds `contents`. Whose repository it is in, Git would not tell a third person."""
    found = StoreFiles(cache, "blake3")
    assert found.problems == []
    assert {*contents} <= {*found.objects.values()}
    assert [path for path in (cache / "tmp").rglob("*") if path.is_file()] == []


def test_both_add_at_once(users: tuple[User, User], cache: Path) -> None:
    for user in users:
        user.write("data", COMMON)
        user.write("own", {"name": str(user.number).encode(), "large": os.urandom((1 << 20) + 1)})
    running = [user.start("add", name) for name in ("data", "own") for user in users]
    errors = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0] * 4, errors
    assert _closed(cache) == []
    assert len([path for path in (cache / "objects").rglob("*") if path.is_file()]) == 3
    _healthy(cache, *COMMON.values(), *(str(user.number).encode() for user in users))
    for user in users:
        user.mlgit("status")
        user.mlgit("fsck", "--full")


@pytest.mark.parametrize("links", ["hardlink", "symlink", "reflink"])
def test_each_reads_what_the_other_saved(users: tuple[User, User], cache: Path, links: str) -> None:
    """A hard link to another's file may not be permitted: then it is a copy."""
    first, second = users
    first.write("data", COMMON)
    first.mlgit("add", "data")
    with (second.root / ".mlgit" / "config.local.yaml").open("a") as file:
        file.write(f"  links: [{links}]\n")
    second.take(first.root / "data.mlgit")
    second.mlgit("checkout")
    assert {path.name: path.read_bytes() for path in (second.root / "data").iterdir()} == COMMON
    assert "data" not in second.mlgit("status")
    second.write("more", {"more": b"more"})
    second.mlgit("add", "more")
    assert _closed(cache) == []
    _healthy(cache, *COMMON.values(), b"more")


def test_gc_refuses_where_it_cannot_read_what_the_other_needs(users: tuple[User, User], cache: Path) -> None:
    for user in users:
        user.write("data", {"name": str(user.number).encode()})
        user.mlgit("add", "data")
    (users[0].root / "data.mlgit").unlink()
    before = sorted(cache.rglob("*"))
    for user, other in (users, users[::-1]):
        assert str(other.root) in user.mlgit("gc", "-w", "--yes", "--grace", "0", code=1)
    assert sorted(cache.rglob("*")) == before


@pytest.mark.parametrize("folder", ["packs", "objects"])
def test_damage_by_the_other_is_found(users: tuple[User, User], cache: Path, folder: str) -> None:
    first, second = users
    first.write("data", COMMON)
    first.mlgit("add", "data")
    for path in (cache / folder).rglob("*"):
        if path.is_file():
            spoil(path)
    second.write("data", COMMON)
    second.mlgit("add", "data", code=13)
    assert not (second.root / "data.mlgit").exists()
    second.take(first.root / "data.mlgit")
    shutil.rmtree(second.root / "data")
    second.mlgit("checkout", code=13)
    assert not (second.root / "data").exists()


def test_a_lock_of_the_other_is_honoured(users: tuple[User, User], cache: Path) -> None:
    """The lock file that one user makes can be locked by the other, whatever their umask."""
    for user in (*users, *users):
        user.mlgit("fsck", "--repair")
    found = (cache / "lock").stat()
    assert stat.S_IMODE(found.st_mode) & 0o660 == 0o660
    assert found.st_uid == users[0].number
