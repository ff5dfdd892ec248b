from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from mlgit.errors import StageError
from mlgit.model.relpath import RelPath
from mlgit.pipeline.executors.local import LocalExecutor
from mlgit.pipeline.task import Result, Task

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
ENV = {"PATH": os.environ["PATH"]}


def run(cmd: str | tuple[str, ...], folder: Path, env: dict[str, str] = ENV) -> tuple[int, bytes]:
    written: list[bytes] = []
    ended: queue.Queue[Result] = queue.Queue()
    with LocalExecutor() as executor:
        executor.start(Task("one", cmd, folder, RelPath(""), env), written.append, ended.put)
        result = ended.get(timeout=60)
    if result.error is not None:
        raise result.error
    return result.status, b"".join(written)


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie that nobody reaps does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


def wait_until(condition: object, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_output_status_folder_and_environment(tmp_path: Path) -> None:
    assert run("echo out; echo err >&2; exit 3", tmp_path) == (3, b"out\nerr\n")
    assert run("pwd -P; echo $X", tmp_path, {**ENV, "X": "y z"}) == (0, f"{tmp_path.resolve()}\ny z\n".encode())


def test_a_list_runs_without_a_shell(tmp_path: Path) -> None:
    assert run(("printf", "%s|", "a b", "$X", ";echo"), tmp_path) == (0, b"a b|$X|;echo|")


def test_a_command_that_does_not_exist(tmp_path: Path) -> None:
    assert run(("no-such-program-here",), tmp_path)[0] == 127
    with pytest.raises(StageError, match="cannot start"):
        run("true", tmp_path / "nowhere")


def test_without_a_guard_no_command_runs(tmp_path: Path) -> None:
    ended: queue.Queue[Result] = queue.Queue()
    with LocalExecutor() as executor:
        executor.start(Task("one", "true", tmp_path, RelPath(""), ENV), bytes, ended.put)
        assert ended.get(timeout=60).error is None
        guard = executor._guard._process
        assert guard is not None
        guard.kill()
        guard.wait()
        executor.start(Task("two", "touch here", tmp_path, RelPath(""), ENV), bytes, ended.put)
        assert isinstance(ended.get(timeout=60).error, StageError)
    assert not (tmp_path / "here").exists()


def test_standard_input_is_empty(tmp_path: Path) -> None:
    assert run("cat", tmp_path) == (0, b"")


def test_the_signal_that_killed_it_is_the_status(tmp_path: Path) -> None:
    assert run("kill -9 $$", tmp_path)[0] == -9


def test_what_a_command_leaves_running_is_ended(tmp_path: Path) -> None:
    status, output = run("sleep 600 & echo $!", tmp_path)
    assert status == 0
    wait_until(lambda: not alive(int(output)))


def test_several_commands_at_a_time_and_one_after_the_other(tmp_path: Path) -> None:
    ended: queue.Queue[Result] = queue.Queue()
    with LocalExecutor() as executor:
        for n in range(3):
            cmd = f"touch {n}; while [ ! -e 0 ] || [ ! -e 1 ] || [ ! -e 2 ]; do sleep 0.01; done; exit {n}"
            executor.start(Task(str(n), cmd, tmp_path, RelPath(""), ENV), lambda data: None, ended.put)
        assert {ended.get(timeout=60).status for _ in range(3)} == {0, 1, 2}
        executor.start(Task("last", "exit 7", tmp_path, RelPath(""), ENV), lambda data: None, ended.put)
        assert ended.get(timeout=60).status == 7


def test_stopping_ends_whole_groups_also_those_that_ignore_it(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    ended: queue.Queue[Result] = queue.Queue()
    with LocalExecutor() as executor:
        cmd = "trap '' INT; sleep 600 & echo $$ $! > pids; wait; wait"
        executor.start(Task("one", cmd, tmp_path, RelPath(""), ENV), lambda data: None, ended.put)
        wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
        executor.stop()
        assert ended.get(timeout=0).status == -signal.SIGKILL
    for pid in pids.read_text().split():
        wait_until(lambda pid=pid: not alive(int(pid)))


def test_a_command_is_ended_with_all_it_started_when_its_time_is_up(tmp_path: Path) -> None:
    ended: queue.Queue[Result] = queue.Queue()
    with LocalExecutor() as executor:
        task = Task("one", "sleep 600 & echo $$ $! > pids; wait", tmp_path, RelPath(""), ENV, timeout=0.5)
        executor.start(task, lambda data: None, ended.put)
        assert ended.get(timeout=60).timed_out
    for pid in (tmp_path / "pids").read_text().split():
        wait_until(lambda pid=pid: not alive(int(pid)))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_group_ends_when_the_parent_is_killed(tmp_path: Path, number: signal.Signals) -> None:
    code = """
        import threading
        from pathlib import Path
        from mlgit.model.relpath import RelPath
        from mlgit.pipeline.executors.local import LocalExecutor
        from mlgit.pipeline.task import Task
        with LocalExecutor() as executor:
            cmd = "trap '' TERM INT; sleep 600 & echo $$ $! > pids; wait"
            task = Task("one", cmd, Path("."), RelPath(""), {"PATH": "/bin:/usr/bin"})
            executor.start(task, lambda data: None, lambda result: None)
            threading.Event().wait()
    """
    env = {**ENV, "PYTHONPATH": str(Path(__file__).parents[2])}
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, env=env)
    pids = tmp_path / "pids"
    wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    parent.send_signal(number)
    assert parent.wait() == -number
    for pid in pids.read_text().split():
        wait_until(lambda pid=pid: not alive(int(pid)))
