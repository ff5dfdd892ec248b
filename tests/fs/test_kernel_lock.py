"""Locks: exclusive, shared, named, free the moment their holder dies, and no way to write elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mlgit.errors import DiskError, LockedError, UnsafeError
from mlgit.fs.lock import locked

HOLD = """
import sys, time
from pathlib import Path
from mlgit.fs.lock import locked
with locked(Path(sys.argv[1]), "add"):
    print("held", flush=True)
    time.sleep(60)
"""


def _holder(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_holder_is_named_and_its_death_frees_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    process = _holder(path)
    try:
        with (
            pytest.raises(LockedError, match=rf"process {process.pid} \(mlgit add\)") as caught,
            locked(path, "gc", wait=0),
        ):
            pass
        assert caught.value.code == 11
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    with locked(path, "gc", wait=0):
        assert f"process {os.getpid()} (mlgit gc)" in path.read_text()


def test_what_the_file_says_is_never_believed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("process 1 (mlgit add)\n")  # an old holder whose number a living process has now
    with locked(path, "add", wait=0):
        pass


def test_shared_holders_live_together_and_keep_others_out(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    one, two = locked(path, "push", shared=True, wait=0), locked(path, "pull", shared=True, wait=0)
    named = rf"process {os.getpid()} \(mlgit pull\)"
    with one, two, pytest.raises(LockedError, match=named), locked(path, "gc", wait=0):
        pass
    with locked(path, "gc", wait=0), pytest.raises(LockedError), locked(path, "push", shared=True, wait=0):
        pass


def test_a_holder_who_is_gone_is_not_named(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path, "gc", wait=0):
        pass
    with locked(path, "add", shared=True), locked(path, "push", shared=True):
        pass
    with (
        locked(path, "add", shared=True),
        pytest.raises(LockedError, match=r"\(mlgit add\)"),
        locked(path, "gc", wait=0),
    ):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of open files")
def test_a_lock_file_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    import resource

    free = os.open(tmp_path, os.O_RDONLY)
    os.close(free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        with pytest.raises(DiskError, match="open files"), locked(tmp_path / "lock", "add", mode=0o664):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_error_inside_frees_the_lock(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), locked(tmp_path / "lock", "add"):
        raise RuntimeError
    with locked(tmp_path / "lock", "add", wait=0):
        pass


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "lock").symlink_to("victim")
    with pytest.raises(UnsafeError), locked(tmp_path / "lock", "add"):
        pass
    assert (tmp_path / "victim").read_text() == "precious"
