"""gc and fsck as the user runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from health import assert_healthy

from mlgit.repo import Repo

Mlgit = Callable[..., object]


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


def age(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - 4 * 3600,) * 2)


def commit(repo: Repo, message: str) -> None:
    git(repo.root, "add", "-A")
    git(repo.root, "commit", "-q", "-m", message)


@pytest.fixture
def cache(repo: Repo) -> Path:
    return repo.config.cache_path(repo.root)


@pytest.fixture
def large() -> bytes:
    return os.urandom((1 << 20) + 5)


@pytest.fixture
def versions(repo: Repo, mlgit: Mlgit, large: bytes) -> Repo:
    """Two committed versions of one folder."""
    data = repo.root / "data"
    data.mkdir()
    for text in ("old", "new"):
        (data / "text").write_text(text)
        (data / "both").write_text("both")
        (data / "large").write_bytes(large + text.encode())
        mlgit("add", "data", cwd=repo.root)
        commit(repo, text)
    return Repo(repo.root)


def test_gc_keeps_what_is_asked_for(versions: Repo, mlgit: Mlgit, cache: Path, large: bytes) -> None:
    age(cache)
    mlgit("gc", "-A", "--yes", cwd=versions.root)
    assert_healthy(versions, bytes_of_user=[b"old", b"new", b"both", large + b"old", large + b"new"])
    mlgit("gc", "-w", cwd=versions.root, code=1)
    mlgit("gc", cwd=versions.root, code=2)
    done = mlgit("gc", "-w", "--dry-run", cwd=versions.root)
    assert "delete" in done.out + done.err  # type: ignore[attr-defined]
    assert_healthy(versions, bytes_of_user=[b"old"])
    mlgit("gc", "-w", "--yes", cwd=versions.root)
    assert_healthy(versions, bytes_of_user=[b"new", b"both", large + b"new"], tidy=True)
    assert sum(path.stat().st_size for path in cache.rglob("*") if path.is_file()) < 1.2 * len(large)
    git(versions.root, "checkout", "-q", "HEAD~1")
    mlgit("checkout", cwd=versions.root, code=12)


def test_gc_leaves_the_young_alone(versions: Repo, mlgit: Mlgit) -> None:
    mlgit("gc", "-w", "--yes", cwd=versions.root)
    mlgit("gc", "-w", "--yes", "--grace", "nan", cwd=versions.root, code=2)
    assert_healthy(versions, bytes_of_user=[b"old", b"new"])


@pytest.mark.parametrize("where", ["working tree", "history", "trees"])
def test_gc_refuses_what_it_cannot_read(versions: Repo, mlgit: Mlgit, cache: Path, where: str) -> None:
    """Row 28."""
    age(cache)
    if where == "trees":
        (pack, *_) = sorted((cache / "packs").iterdir(), key=lambda path: path.stat().st_size)
        pack.unlink()
    else:
        (versions.root / "data.mlgit").write_text("out: data\noid: nonsense\n")
    if where == "history":
        commit(versions, "broken")
        git(versions.root, "checkout", "-q", "HEAD~1", "--", "data.mlgit")
    before = sorted(cache.rglob("*"))
    done = mlgit("gc", "-A", "--yes", cwd=versions.root, code=None)
    assert done.code in (1, 12, 13), done  # type: ignore[attr-defined]
    assert sorted(cache.rglob("*")) == before


def test_gc_refuses_in_a_shallow_clone(versions: Repo, mlgit: Mlgit, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{versions.root}", "shallow")
    for option in ("-a", "-T", "-A"):
        done = mlgit("gc", option, "--yes", cwd=tmp_path / "shallow", code=1)
        assert "--unshallow" in done.err  # type: ignore[attr-defined]


def test_gc_waits_for_nobody_for_ever(versions: Repo, mlgit: Mlgit, cache: Path) -> None:
    """Row 14: while somebody uses the cache, gc names them and deletes nothing."""
    from mlgit.errors import LockedError
    from mlgit.fs.lock import locked

    with versions.workspace.using_cache("push"), pytest.raises(LockedError), locked(cache / "lock", "gc", wait=0.1):
        pass


def _spoil(path: Path) -> None:
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[9] ^= 1
    path.write_bytes(data)


def test_fsck_finds_mends_and_names(versions: Repo, mlgit: Mlgit, cache: Path, tmp_path: Path, large: bytes) -> None:
    mlgit("fsck", cwd=versions.root)
    mlgit("fsck", "--full", cwd=versions.root)
    mlgit("remote", "add", "-d", "store", "../remote", cwd=versions.root)
    mlgit("push", "--yes", cwd=versions.root)
    for path in (cache / "objects").rglob("*"):
        if path.is_file():
            _spoil(path)
    for path in (cache / "packs").iterdir():
        _spoil(path)
    mlgit("fsck", cwd=versions.root)
    done = mlgit("fsck", "--full", cwd=versions.root, code=13)
    assert "do not match" in done.out + done.err  # type: ignore[attr-defined]
    shutil.rmtree(versions.root / "data")
    mlgit("checkout", cwd=versions.root, code=13)
    done = mlgit("fsck", "--repair", cwd=versions.root, code=13)  # the old version was never pushed
    assert "lost" in done.out and "mended" in done.out  # type: ignore[attr-defined]
    mlgit("fsck", "--full", cwd=versions.root)
    mlgit("checkout", cwd=versions.root)
    assert (versions.root / "data" / "large").read_bytes() == large + b"new"
    assert_healthy(versions, remotes=[tmp_path / "remote"], tidy=True)


def test_a_process_that_goes_on_after_gc_believes_nothing_it_read_before(repo: Repo, mlgit: Mlgit) -> None:
    """`repro` lets others at the cache while a stage runs."""
    (repo.root / "dead").write_text("dead")
    mlgit("add", "dead", cwd=repo.root)
    with repo.workspace.writing("repro"):
        dead = repo.workspace.store.catalog.packs()
    mlgit("remove", "dead", cwd=repo.root)
    mlgit("gc", "-w", "--yes", "--grace", "0", cwd=repo.root)
    (repo.root / "new").write_text("new")
    with repo.workspace.writing("repro"):
        repo.workspace.save([repo.path("new", repo.root)])
    assert dead and not dead.keys() & repo.workspace.store.catalog.packs().keys()
    assert_healthy(repo)


def test_what_is_lost_is_named_by_its_path(versions: Repo, mlgit: Mlgit, cache: Path) -> None:
    shutil.rmtree(cache / "objects")
    shutil.rmtree(versions.root / "data")
    for code in (12, 12):
        done = mlgit("fsck", "--repair", cwd=versions.root, code=code)
        assert "lost" in done.out and "data" in done.out  # type: ignore[attr-defined]


def test_what_the_working_tree_still_holds_is_saved_again(versions: Repo, mlgit: Mlgit, cache: Path) -> None:
    before = {path: path.read_bytes() for path in (versions.root / "data").rglob("*") if path.is_file()}
    shutil.rmtree(cache / "objects")
    shutil.rmtree(cache / "packs")
    mlgit("fsck", "--repair", cwd=versions.root, code=12)  # an older version is lost
    shutil.rmtree(versions.root / "data")
    mlgit("checkout", cwd=versions.root)
    assert {path: path.read_bytes() for path in before} == before
    assert_healthy(versions)


def test_a_cache_that_is_gone_comes_back_from_the_remote(versions: Repo, mlgit: Mlgit, cache: Path) -> None:
    mlgit("remote", "add", "-d", "store", "../remote", cwd=versions.root)
    mlgit("push", "--yes", cwd=versions.root)
    shutil.rmtree(cache)
    mlgit("fsck", cwd=versions.root, code=12)
    mlgit("fsck", "--repair", cwd=versions.root)
    assert_healthy(versions)


@pytest.mark.parametrize("spoil", [_spoil, Path.unlink])
def test_a_damaged_index_is_mended(versions: Repo, mlgit: Mlgit, cache: Path, spoil: Callable[[Path], None]) -> None:
    for path in (cache / "index").iterdir():
        path.chmod(0o644)
        spoil(path)
    mlgit("fsck", cwd=versions.root, code=13 if spoil is _spoil else 12)
    done = mlgit("checkout", "-f", cwd=versions.root, code=None)
    assert done.code in (0, 13)  # type: ignore[attr-defined]
    mlgit("fsck", "--repair", cwd=versions.root)
    shutil.rmtree(versions.root / "data")
    mlgit("checkout", cwd=versions.root)
    assert_healthy(versions, bytes_of_user=[b"old", b"new"])


def test_a_remote_that_lost_an_object_is_found_out(versions: Repo, mlgit: Mlgit, tmp_path: Path) -> None:
    """Row 21."""
    mlgit("remote", "add", "-d", "store", "../remote", cwd=versions.root)
    mlgit("push", "--yes", cwd=versions.root)
    mlgit("fsck", "-r", "store", "--full", cwd=versions.root)
    shutil.rmtree(tmp_path / "remote" / "objects")
    mlgit("fsck", "-r", "store", cwd=versions.root, code=12)
    commit(versions, "remote")
    git(tmp_path, "clone", "-q", str(versions.root), "clone")
    mlgit("pull", cwd=tmp_path / "clone", code=12)
    assert_healthy(Repo(tmp_path / "clone"), complete=False)
