from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from mlgit.errors import StageError
from mlgit.pipeline.executors.local import LocalExecutor

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
ENV = {"PATH": os.environ["PATH"]}


def run(cmd: str | tuple[str, ...], folder: Path, env: dict[str, str] = ENV) -> tuple[int, bytes]:
    written: list[bytes] = []
    with LocalExecutor() as executor:
        status = executor.run(cmd, folder, env, written.append)
    return status, b"".join(written)


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


def test_standard_input_is_empty(tmp_path: Path) -> None:
    assert run("cat", tmp_path) == (0, b"")


def test_the_signal_that_killed_it_is_the_status(tmp_path: Path) -> None:
    assert run("kill -9 $$", tmp_path)[0] == -9


def test_what_a_command_leaves_running_is_ended(tmp_path: Path) -> None:
    status, output = run("sleep 600 & echo $!", tmp_path)
    assert status == 0
    wait_until(lambda: not alive(int(output)))


def test_several_commands_one_after_the_other(tmp_path: Path) -> None:
    with LocalExecutor() as executor:
        assert [executor.run(f"exit {n}", tmp_path, ENV, None) for n in (0, 1, 2)] == [0, 1, 2]


def test_an_interruption_ends_the_whole_group(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    def interrupt() -> None:
        wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run("trap '' INT; sleep 600 & echo $$ $! > pids; wait; wait", tmp_path)
    thread.join()
    for pid in pids.read_text().split():
        wait_until(lambda pid=pid: not alive(int(pid)))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_group_ends_when_the_parent_is_killed(tmp_path: Path, number: signal.Signals) -> None:
    code = """
        from pathlib import Path
        from mlgit.pipeline.executors.local import LocalExecutor
        with LocalExecutor() as executor:
            cmd = "trap '' TERM INT; sleep 600 & echo $$ $! > pids; wait"
            executor.run(cmd, Path("."), {"PATH": "/bin:/usr/bin"}, None)
    """
    env = {**ENV, "PYTHONPATH": str(Path(__file__).parents[2])}
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, env=env)
    pids = tmp_path / "pids"
    wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    parent.send_signal(number)
    assert parent.wait() == -number
    for pid in pids.read_text().split():
        wait_until(lambda pid=pid: not alive(int(pid)))
