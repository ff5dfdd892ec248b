"""Pools: tasks are done once each, in other processes, whose failures and deaths are told, and that never stay."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlgit.errors import IntegrityError, MlgitError
from mlgit.fs.pool import Pool, cores

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked, on Linux only")


def test_every_task_is_done_once_in_another_process() -> None:
    with Pool(lambda number: (number * number, os.getpid()), 3) as pool:
        tasks = list(range(100))
        found = dict(pool.run(tasks))
    assert {task: square for task, (square, _) in found.items()} == {number: number**2 for number in range(100)}
    assert os.getpid() not in {process for _, process in found.values()}
    assert cores() >= 1


def test_tasks_may_grow_while_they_are_done() -> None:
    done = []
    with Pool(lambda text: text[:-1], 2) as pool:
        tasks = ["abcd", "xy"]
        for task, shorter in pool.run(tasks):
            done.append(task)
            if shorter:
                tasks.append(shorter)
    assert sorted(done) == ["a", "ab", "abc", "abcd", "x", "xy"]


def test_large_answers_come_through() -> None:
    with Pool(lambda size: b"x" * size, 2) as pool:
        assert {task: len(data) for task, data in pool.run([3_000_000, 0, 70_000])} == {
            3_000_000: 3_000_000,
            0: 0,
            70_000: 70_000,
        }


def _children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def test_an_error_is_raised_with_its_hint_and_nobody_stays() -> None:
    def work(number: int) -> int:
        if number == 3:
            raise IntegrityError("three is damaged", hint="mend it")
        return number

    before = _children()
    with pytest.raises(IntegrityError, match="three") as caught, Pool(work, 2) as pool:
        list(pool.run([1, 2, 3, 4, 5]))
    assert caught.value.hint == "mend it"
    assert _children() == before


def test_a_killed_worker_is_told() -> None:
    before = _children()
    with pytest.raises(MlgitError, match="killed"), Pool(lambda _: os.kill(os.getpid(), signal.SIGKILL), 2) as pool:
        list(pool.run([1, 2, 3]))
    assert _children() == before


def test_workers_let_go_of_everything_and_end_with_their_maker(tmp_path: Path) -> None:
    """A lock of the maker is free as soon as it is dead, and a pipe that it held is closed."""
    code = f"""
import fcntl, os, sys, time
from mlgit.fs.pool import Pool
lock = os.open({str(tmp_path / "lock")!r}, os.O_CREAT | os.O_RDWR)
fcntl.flock(lock, fcntl.LOCK_EX)
def work(number):
    open({str(tmp_path)!r} + f"/{{os.getpid()}}", "w").close()
    time.sleep(60 if number else 0)
with Pool(work, 2) as pool:
    for _ in pool.run([1, 0]):
        print("ready", flush=True)
"""
    maker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert maker.stdout is not None
    assert maker.stdout.readline() == "ready\n"
    import fcntl

    while len(list(tmp_path.iterdir())) < 3:  # the lock, and a file of each worker
        time.sleep(0.01)
    with open(tmp_path / "lock", "r+b") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        maker.kill()
        maker.wait()
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    workers = [int(path.name) for path in tmp_path.iterdir() if path.name != "lock"]
    idle = [process for process in workers if _ends(process)]
    assert len(workers) == 2
    assert len(idle) == 1, "the one without a task ends; the other is at its task"
    for process in workers:
        if process not in idle:
            os.kill(process, signal.SIGKILL)
    maker.stdout.close()


def _ends(process: int) -> bool:
    """Whether a process that is not our child ends within a time."""
    for _ in range(200):
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False
