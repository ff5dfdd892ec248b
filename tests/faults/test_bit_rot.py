"""Row 17: whatever rots in the cache is found, set aside and fetched again, and is never delivered as good."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from health import assert_healthy, files_below
from sweep import NEW, OLD, copied, mlgit, prepare

from mlgit.cli.main import run
from mlgit.repo import Repo

FOUND = (12, 13)
USER = [*OLD.values(), *NEW.values()]
PLACES = {"packs": "packs/*.pack", "objects": "objects/*/*/*", "index": "index/*.idx"}


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(data)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _damage(path: Path, how: Callable[[Path], None]) -> None:
    """Damage a file and keep its times and permissions, as a failing disk would."""
    found = path.stat()
    path.chmod(0o644)
    how(path)
    if path.exists():
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
        path.chmod(found.st_mode & 0o777)


HOW = (_flip, _cut, _empty, Path.unlink)
DAMAGES = pytest.mark.parametrize("how", HOW, ids=[how.__name__.strip("_") for how in HOW])
ROTS = [pytest.param(place, how, id=f"{place}-{how.__name__}") for place in PLACES for how in HOW]


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions, both pushed; `prepare` leaves one pack and one object of each flipped, which is mended first."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{name}_NAME", "Test")
            patch.setenv(f"GIT_{name}_EMAIL", "test@example.org")
        area = prepare(tmp_path_factory.mktemp("rot") / "area", "push")
    mlgit(area / "project", "push", "--yes")
    return area


@pytest.fixture
def root(pushed: Path, scratch: Path) -> Path:
    return copied(pushed, scratch / "area") / "project"


@pytest.mark.parametrize(("place", "how"), ROTS)
def test_rot_is_found_and_mended(root: Path, place: str, how: Callable[[Path], None]) -> None:
    cache = root / ".mlgit" / "cache"
    hit = [path for path in cache.glob(PLACES[place]) if path.is_file()]
    assert hit
    for path in hit:
        _damage(path, how)
    shutil.rmtree(root / "data")
    code = run(["-C", str(root), "checkout"])
    assert code in FOUND or files_below(root / "data") == NEW  # a pack's closing table is not needed to read it
    assert all(data in USER for data in files_below(root / "data").values())
    assert run(["-C", str(root), "fsck", "--full"]) in FOUND
    mlgit(root, "fsck", "--repair")
    if how is not Path.unlink:
        assert any((cache / "damaged").iterdir())
    mlgit(root, "fsck", "--full")
    mlgit(root, "checkout")
    assert files_below(root / "data") == NEW
    assert_healthy(Repo(root), remotes=[root.parent / "remote"], bytes_of_user=USER, tidy=True)


@DAMAGES
def test_a_rotten_stat_index_only_costs_time(root: Path, how: Callable[[Path], None]) -> None:
    mlgit(root, "status")
    (root / "data" / "a.txt").write_bytes(b"edited")
    gc.collect()  # closes the connection that the command left in this process, and its shared memory with it
    for path in (root / ".mlgit").glob("index.db*"):
        _damage(path, how)
    assert run(["-C", str(root), "status", "--exit-code"]) == 1
    mlgit(root, "add", "data")
    assert run(["-C", str(root), "status", "--exit-code"]) == 0
    assert_healthy(Repo(root), bytes_of_user=[*USER, b"edited"], tidy=True)
    shutil.rmtree(root / "data")
    mlgit(root, "checkout")
    assert files_below(root / "data") == {**NEW, "a.txt": b"edited"}


@pytest.mark.parametrize("at", range(0, 100, 7))
def test_a_flip_anywhere_in_the_stat_index_never_gives_a_wrong_answer(root: Path, at: int) -> None:
    mlgit(root, "status")
    gc.collect()
    path = root / ".mlgit" / "index.db"
    data = bytearray(path.read_bytes())
    data[len(data) * at // 100] ^= 16
    path.write_bytes(data)
    assert run(["-C", str(root), "status", "--exit-code"]) == 0
    (root / "data" / "sub" / "b.txt").write_bytes(b"B old")
    assert run(["-C", str(root), "status", "--exit-code"]) == 1


def test_a_damaged_remote_gives_nothing(root: Path) -> None:
    """What rots at a remote is refused on the way, and the cache stays clean."""
    remote = root.parent / "remote"
    for path in [*remote.glob(PLACES["packs"]), *remote.glob(PLACES["objects"])]:
        _damage(path, _flip)
    for folder in ("packs", "objects", "index"):
        shutil.rmtree(root / ".mlgit" / "cache" / folder)
    shutil.rmtree(root / "data")
    assert run(["-C", str(root), "pull"]) in FOUND
    assert not (root / "data").exists()
    assert_healthy(Repo(root), complete=False, tidy=True)
