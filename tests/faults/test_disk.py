"""Rows 10 to 12: full disks, read-only disks, too few descriptors; small file systems are mounted where permitted."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from health import assert_healthy

from mlgit.repo import Repo

Mlgit = Callable[..., object]
SIZE = 6 << 20


def _mount(target: Path, options: str) -> None:
    target.mkdir(parents=True, exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(target)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount program")
    if done.returncode:
        pytest.skip(f"mounting is not permitted: {done.stderr.strip()}")


@pytest.fixture
def small_cache(repo: Repo) -> Iterator[Path]:
    """The cache on a file system of 6 MiB."""
    folder = repo.root / ".mlgit" / "small"
    _mount(folder, f"size={SIZE}")
    (repo.root / ".mlgit" / "config.local.yaml").write_text("cache:\n  dir: small/cache\n")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


@pytest.mark.root
@pytest.mark.parametrize("left", [0, 5_000, 100_000, 1_500_000, 2_500_000])
def test_a_full_disk_at_every_band(repo: Repo, small_cache: Path, mlgit: Mlgit, left: int) -> None:
    data = repo.root / "data"
    data.mkdir()
    contents = [os.urandom(1_200_000), os.urandom(1_300_000), *(os.urandom(3000) for _ in range(60))]
    for number, content in enumerate(contents):
        (data / f"f{number}").write_bytes(content)
    mlgit("status", cwd=repo.root)
    filler = small_cache / "filler"
    free = os.statvfs(small_cache)
    filler.write_bytes(b"\0" * max(free.f_bavail * free.f_bsize - left, 0))
    done = mlgit("add", "data", cwd=repo.root, code=18)
    assert "space" in done.err  # type: ignore[attr-defined]
    assert not (repo.root / "data.mlgit").exists()
    assert_healthy(Repo(repo.root), bytes_of_user=contents, tidy=True)
    filler.unlink()
    mlgit("add", "data", cwd=repo.root)
    assert_healthy(Repo(repo.root), bytes_of_user=contents, tidy=True)


@pytest.mark.root
def test_a_full_working_tree(repo: Repo, mlgit: Mlgit) -> None:
    folder = repo.root / "disk"
    data = folder / "data"
    _mount(folder, f"size={SIZE}")
    try:
        data.mkdir()
        content = os.urandom(3_000_000)
        (data / "large").write_bytes(content)
        mlgit("add", "disk/data", cwd=repo.root)
        (data / "large").unlink()
        filler = folder / "filler"
        filler.write_bytes(b"\0" * (SIZE - 1_000_000))
        mlgit("checkout", cwd=repo.root, code=18)
        assert list(data.iterdir()) == []
        assert_healthy(repo, bytes_of_user=[content], tidy=True)
        filler.unlink()
        mlgit("checkout", cwd=repo.root)
        assert (data / "large").read_bytes() == content
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


@pytest.mark.root
def test_a_read_only_cache(repo: Repo, small_cache: Path, mlgit: Mlgit) -> None:
    """Row 12: reads work, writes say that the disk refuses them."""
    data = repo.root / "data"
    data.mkdir()
    (data / "a").write_text("a")
    mlgit("add", "data", cwd=repo.root)
    (data / "b").write_text("b")
    subprocess.run(["mount", "-o", "remount,ro", str(small_cache)], check=True)
    for command in (("status",), ("ls",), ("diff", "--exit-code")):
        done = mlgit(*command, cwd=repo.root, code=None)
        assert done.code in (0, 1, 2), done  # type: ignore[attr-defined]
    mlgit("add", "data", cwd=repo.root, code=18)
    subprocess.run(["mount", "-o", "remount,rw", str(small_cache)], check=True)
    mlgit("add", "data", cwd=repo.root)
    assert_healthy(Repo(repo.root), bytes_of_user=[b"a", b"b"], tidy=True)


@pytest.mark.root
def test_a_read_only_repository(repo: Repo, mlgit: Mlgit, tmp_path: Path) -> None:
    place = tmp_path / "mounted"
    _mount(place, f"size={SIZE}")
    try:
        subprocess.run(["cp", "-a", f"{repo.root}/.", str(place)], check=True)
        (place / "data").mkdir()
        (place / "data" / "a").write_text("a")
        mlgit("add", "data", cwd=place)
        (place / "data" / "a").write_text("changed")
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        done = mlgit("status", cwd=place)
        assert "data" in done.out  # type: ignore[attr-defined]
        mlgit("ls", "-R", cwd=place)
        mlgit("fsck", "--full", cwd=place)
        for command in (("add", "data"), ("checkout", "-f"), ("gc", "-w", "--yes")):
            mlgit(*command, cwd=place, code=18)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)


@pytest.mark.skipif(sys.platform != "linux", reason="limits are set with prlimit")
@pytest.mark.parametrize(("limit", "value"), [("RLIMIT_NOFILE", 24), ("RLIMIT_FSIZE", 500_000)])
def test_limits_of_the_process(repo: Repo, limit: str, value: int) -> None:
    """Row 11: EMFILE and EFBIG."""
    folder = repo.root / "data"
    folder.joinpath(*["d"] * 30).mkdir(parents=True)
    content = os.urandom(2_000_000)
    (folder / "large").write_bytes(content)
    code = (
        "import resource, signal, sys\n"
        "from mlgit.cli.main import run\n"
        "import mlgit.cli.data, mlgit.repo, mlgit.work.add\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.{limit}, ({value}, {value}))\n"
        "sys.exit(run(['add', 'data']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=repo.root, capture_output=True, text=True, check=False)
    assert done.returncode == 18, done.stderr
    assert "limit" in done.stderr
    assert_healthy(repo, bytes_of_user=[content], tidy=True)
