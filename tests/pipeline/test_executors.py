"""What every executor has to keep: one suite, run against each of them."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlgit.model.config import RemoteConfig
from mlgit.model.relpath import RelPath
from mlgit.model.stage import Resources
from mlgit.pipeline.executors.local import LocalExecutor
from mlgit.pipeline.executors.ray import RayExecutor
from mlgit.pipeline.task import Executor, Result, Task
from mlgit.repo import Repo

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
ENV = {"PATH": os.environ["PATH"]}
LONG = 120.0


class Run:
    """One task that was started: what it wrote, and how it ended."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.results: list[Result] = []
        self._ended = threading.Event()

    def done(self, result: Result) -> None:
        self.results.append(result)
        self._ended.set()

    @property
    def output(self) -> bytes:
        return b"".join(self.pieces)

    def wait(self) -> Result:
        assert self._ended.wait(LONG), "never done"
        return self.only

    @property
    def only(self) -> Result:
        (result,) = self.results
        return result


class Bench:
    """An executor with a folder to run in; for one that is apart there is no such folder."""

    def __init__(self, executor: Executor, folder: Path) -> None:
        self.executor = executor
        self.root = folder / "tree"
        self.folder = folder
        if not executor.apart:
            self.root.mkdir()

    def start(self, cmd: str | tuple[str, ...], *, wdir: str = "", env: dict[str, str] = ENV, **more: Any) -> Run:
        if not self.executor.apart:
            (self.root / wdir).mkdir(parents=True, exist_ok=True)
        run = Run()
        more = {"resources": Resources(cpus=0.5), **more}
        task = Task("stage", cmd, self.root, RelPath(wdir), env, **more)
        self.executor.start(task, run.pieces.append, run.done)
        return run

    def run(self, cmd: str | tuple[str, ...], **more: Any) -> tuple[int, bytes]:
        run = self.start(cmd, **more)
        result = run.wait()
        assert result.error is None, result.error
        return result.status, run.output


@pytest.fixture(params=["local", "ray"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    if request.param == "local":
        with LocalExecutor() as local:
            yield local
        return
    cluster = request.getfixturevalue("ray_cluster")
    repo: Repo = request.getfixturevalue("repo")
    remote = RemoteConfig("store", str(repo.root.parent / "store"))
    with RayExecutor(repo.workspace, remote, cluster.address) as ray:
        yield ray


@pytest.fixture
def bench(executor: Executor, tmp_path: Path) -> Bench:
    return Bench(executor, tmp_path)


def alive(pid: str) -> bool:
    """Whether the process runs; a zombie that nobody reaps does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def pids_in(path: Path, count: int = 2) -> list[str]:
    wait_until(lambda: path.exists() and len(path.read_text().split()) == count)
    return path.read_text().split()


def test_status_and_both_streams_in_order(bench: Bench) -> None:
    run = bench.start("echo one; echo two >&2; echo three; exit 3")
    assert (run.wait().status, run.output) == (3, b"one\ntwo\nthree\n")
    assert run.only.seconds > 0 and not run.only.timed_out


def test_success(bench: Bench) -> None:
    assert bench.run("true") == (0, b"")


def test_the_signal_that_killed_it_is_the_status(bench: Bench) -> None:
    assert bench.run("kill -9 $$")[0] == -9


def test_the_folder_it_runs_in(bench: Bench) -> None:
    status, output = bench.run("pwd -P", wdir="a/b")
    assert status == 0 and output.endswith(b"/tree/a/b\n")


def test_variables_arrive_as_they_are_and_no_others_of_this_process(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOT_FOR_COMMANDS", "x")
    given = {**ENV, "QUOTED": "a 'b' \"c\" $d", "LINES": "one\ntwo", "EMPTY": "", "WORD": "ü"}
    status, output = bench.run(("env", "-0"), env=given)
    found = dict(line.split("=", 1) for line in output.decode().split("\0") if line)
    assert status == 0 and "NOT_FOR_COMMANDS" not in found
    if bench.executor.apart:  # beside them the node's own
        assert {name: found[name] for name in given} == given
        assert not [name for name in found if name.startswith("RAY_")]
    else:
        assert {name: found[name] for name in found if name not in ("PWD", "OLDPWD", "SHLVL", "_")} == given


def test_a_list_runs_without_a_shell_and_a_text_with_one(bench: Bench) -> None:
    assert bench.run(("printf", "%s|", "a b", "$X", ";echo")) == (0, b"a b|$X|;echo|")
    assert bench.run('printf "%s|" a b $X; echo', env={**ENV, "X": "c"}) == (0, b"a|b|c|\n")


def test_standard_input_is_empty(bench: Bench) -> None:
    assert bench.run("cat") == (0, b"")


def test_a_program_that_does_not_exist(bench: Bench) -> None:
    status, output = bench.run(("no-such-program-here",))
    assert status == 127 and b"no-such-program-here" in output


def test_a_command_that_cannot_be_started_is_an_error(bench: Bench) -> None:
    run = bench.start(("printf", "a\0b"))
    error = run.wait().error
    assert error is not None and "cannot start" in error.message and error.hint


def test_what_a_command_leaves_running_is_ended(bench: Bench) -> None:
    status, output = bench.run("(sleep 600 & echo $!) & wait; exit 0")
    assert status == 0
    wait_until(lambda: not alive(output.decode().strip()))


def test_time_that_is_up_ends_the_whole_group(bench: Bench) -> None:
    pids = bench.folder / "pids"
    run = bench.start(f"trap '' INT TERM; sleep 600 & echo $$ $! > '{pids}'; echo begun; wait", timeout=1.0)
    result = run.wait()
    assert result.timed_out and result.status == -9 and run.output == b"begun\n"
    for pid in pids_in(pids):
        wait_until(lambda pid=pid: not alive(pid))


def test_a_time_that_is_not_up_changes_nothing(bench: Bench) -> None:
    run = bench.start("exit 4", timeout=600.0)
    assert run.wait().status == 4 and not run.only.timed_out


def test_stop_ends_everything_and_says_so_once(bench: Bench) -> None:
    files = [bench.folder / f"pids{number}" for number in range(2)]
    runs = [bench.start(f"sleep 600 & echo $$ $! > '{path}'; wait") for path in files]
    pids = [pid for path in files for pid in pids_in(path)]
    bench.executor.stop()
    assert all(run.only.status != 0 or run.only.error for run in runs)
    for pid in pids:
        wait_until(lambda pid=pid: not alive(pid))
    bench.executor.stop()
    assert [len(run.results) for run in runs] == [1, 1]


def test_stop_interrupts_before_it_kills(bench: Bench) -> None:
    begun, ended = bench.folder / "begun", bench.folder / "ended"
    run = bench.start(f"trap 'echo bye > \"{ended}\"; exit 1' INT; touch '{begun}'; while :; do sleep 0.1; done")
    wait_until(begun.exists)
    bench.executor.stop()
    assert ended.read_text() == "bye\n" and len(run.results) == 1


def test_stop_ends_what_ignores_it(bench: Bench) -> None:
    pids = bench.folder / "pids"
    run = bench.start(f"trap '' INT TERM; sleep 600 & echo $$ $! > '{pids}'; wait; wait")
    found = pids_in(pids)
    bench.executor.stop()
    assert run.only.status != 0
    for pid in found:
        wait_until(lambda pid=pid: not alive(pid))


def test_nothing_runs_after_the_end_of_with(bench: Bench) -> None:
    pids = bench.folder / "pids"
    run = bench.start(f"sleep 600 & echo $$ $! > '{pids}'; wait")
    found = pids_in(pids)
    bench.executor.__exit__(None, None, None)
    assert len(run.results) == 1
    for pid in found:
        wait_until(lambda pid=pid: not alive(pid))


def test_much_output_arrives_whole(bench: Bench) -> None:
    status, output = bench.run("yes 0123456789abcde | head -c 4000000; echo; echo end")
    assert status == 0 and len(output) == 4_000_005 and output.endswith(b"\nend\n")


def test_many_at_once_and_none_mixed_up(bench: Bench) -> None:
    runs = [bench.start(f"echo {number}; exit {number}") for number in range(12)]
    assert [(run.wait().status, run.output) for run in runs] == [(n, b"%d\n" % n) for n in range(12)]
