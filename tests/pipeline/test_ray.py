"""Stages on a cluster of two nodes that share no folder: inputs, outputs, lost nodes, and what can be wrong."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mlgit.errors import InvalidError, MissingError, MlgitError, RemoteError, StageError, UsageError
from mlgit.model.config import RemoteConfig
from mlgit.model.relpath import RelPath
from mlgit.model.stage import Resources
from mlgit.model.tree import Content
from mlgit.pipeline import scratch
from mlgit.pipeline.executors import worker
from mlgit.pipeline.executors.local import LocalExecutor
from mlgit.pipeline.executors.ray import RETRIES, RayExecutor, _function, _knock
from mlgit.pipeline.task import Executor, Result, Task
from mlgit.repo import Repo
from mlgit.store import transfer
from mlgit.work.sync import open_remote

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
LONG = 120.0
LINES, MODEL, FOLDER = RelPath("data/lines.txt"), RelPath("out/model.bin"), RelPath("out/parts")
NOWHERE = Path("/no-such-folder/project")
FIRST = """
    sort data/lines.txt > out/model.bin && mkdir -p out/parts/deep __pycache__ && chmod 755 out/model.bin
    head -n 1 data/lines.txt > out/parts/a && tail -n 1 data/lines.txt > out/parts/deep/b && touch out/parts/skip.tmp
"""
SECOND = "cat out/parts/a out/parts/deep/b out/model.bin > result; head -c 3000000 /dev/zero >> result"
RESULT = RelPath("result")


@pytest.fixture
def project(repo: Repo) -> Repo:
    """A repository with data in its cache, and rules on what is no data."""
    (repo.root / ".mlgitignore").write_text("*.tmp\n")
    (repo.root / "data").mkdir()
    (repo.root / LINES).write_text("".join(f"{number * 7919 % 1000}\n" for number in range(1000)))
    return Repo.find(repo.root)


@pytest.fixture
def inputs(project: Repo) -> dict[RelPath, Content]:
    return project.workspace.save([LINES])


@pytest.fixture
def folder_remote(project: Repo) -> RemoteConfig:
    return RemoteConfig("store", str(project.root.parent / "store"))


@pytest.fixture
def s3_remote() -> Iterator[RemoteConfig]:
    """A bucket on an S3 server, with credentials for this machine alone."""
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    server = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    import fsspec

    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    running.start()
    host, port = running.get_host_and_port()
    options = {
        "key": "key-of-the-driver",
        "secret": "secret-of-the-driver",
        "endpoint_url": f"http://{host}:{port}",
        "client_kwargs": {"region_name": "eu-central-1"},
    }
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    fsspec.filesystem("s3", **options).mkdir(bucket)
    yield RemoteConfig("store", f"s3://{bucket}/store", options, own=True)
    running.stop()


def task(cmd: str, outs: tuple[RelPath, ...] = (), **more: Any) -> Task:
    more = {"resources": Resources(cpus=0.5), "environment": {"LC_ALL": "C"}, **more}
    return Task("stage", cmd, NOWHERE, RelPath(""), outs=outs, **more)


def run(executor: Executor, wanted: Task) -> tuple[Result, bytes]:
    ended, results, pieces = threading.Event(), [], []

    def done(result: Result) -> None:
        results.append(result)
        ended.set()

    executor.start(wanted, pieces.append, done)
    assert ended.wait(LONG), "never done"
    return results[0], b"".join(pieces)


def run_here(repo: Repo, wanted: Task) -> dict[RelPath, Content]:
    """The same on this machine, in a scratch folder."""
    with repo.workspace.elsewhere("scratch-") as tree, LocalExecutor() as executor:
        scratch.fill(tree, wanted.inputs, wanted.outs, wanted.wdir)
        environment = {"PATH": os.environ["PATH"], **wanted.environment}
        here = Task("stage", wanted.cmd, tree.root, wanted.wdir, environment)
        result, output = run(executor, here)
        assert result.status == 0, output
        return scratch.collect(tree, wanted.outs)


def alive(pid: str) -> bool:
    """Whether the process runs; a zombie that nobody reaps does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


# -- inputs and outputs ------------------------------------------------------------------------------------------------


def chain(repo: Repo, executor: Executor, inputs: Mapping[RelPath, Content]) -> None:
    """Two stages, the second of which reads what only the remote has; both give what they give here."""
    first = task(FIRST, (MODEL, FOLDER, RelPath("never-written")), inputs=inputs)
    result, output = run(executor, first)
    assert result.error is None and result.status == 0, output
    assert result.outs is not None and sorted(result.outs) == [MODEL, FOLDER]
    second = task(SECOND, (RESULT,), inputs=result.outs)
    final, output = run(executor, second)
    assert final.error is None and final.status == 0, output
    assert result.outs == run_here(repo, first)
    assert final.outs == run_here(repo, second)


def test_without_a_shared_folder_outputs_are_those_of_this_machine(
    ray_cluster: Any, project: Repo, inputs: dict[RelPath, Content], s3_remote: RemoteConfig
) -> None:
    with RayExecutor(project.workspace, s3_remote, ray_cluster.address) as executor:
        chain(project, executor, inputs)
        told = pickle.dumps(executor._spec(task("true", inputs=inputs)))
    assert b"of-the-driver" not in told and b"eu-central-1" in told


def test_a_folder_that_all_nodes_see_is_a_remote_as_well(
    ray_cluster: Any, project: Repo, inputs: dict[RelPath, Content], folder_remote: RemoteConfig
) -> None:
    with RayExecutor(project.workspace, folder_remote, ray_cluster.address) as executor:
        chain(project, executor, inputs)


def test_outputs_are_in_the_remote_when_a_task_is_done(
    ray_cluster: Any, project: Repo, folder_remote: RemoteConfig
) -> None:
    with RayExecutor(project.workspace, folder_remote, ray_cluster.address) as executor:
        result, _ = run(executor, task("echo made > result", (RESULT,)))
    assert result.outs is not None
    transfer.pull(result.outs.values(), open_remote(project.workspace, folder_remote), project.workspace.store)
    project.workspace.checkout(RESULT, result.outs[RESULT])
    assert (project.root / RESULT).read_text() == "made\n"


def test_a_failed_command_publishes_nothing_and_is_run_once(
    ray_cluster: Any, project: Repo, folder_remote: RemoteConfig, tmp_path: Path
) -> None:
    with RayExecutor(project.workspace, folder_remote, ray_cluster.address) as executor:
        result, output = run(
            executor, task(f"echo x >> '{tmp_path}/runs'; echo y > result; echo no; exit 7", (RESULT,))
        )
    assert (result.status, result.outs, result.error, output) == (7, {}, None, b"no\n")
    assert (tmp_path / "runs").read_text() == "x\n"
    assert not list(Path(folder_remote.url).glob("packs/*"))


def test_gpus_are_those_that_ray_gave(ray_cluster: Any, project: Repo, folder_remote: RemoteConfig) -> None:
    with RayExecutor(project.workspace, folder_remote, ray_cluster.address) as executor:
        wanted = task("echo $CUDA_VISIBLE_DEVICES", resources=Resources(cpus=1.5, memory=1 << 20, gpus=1))
        assert run(executor, wanted) == (Result(0, pytest.approx(0, abs=LONG), False, {}), b"0\n")


def test_a_task_that_fits_no_node_says_that_it_waits(
    ray_cluster: Any, project: Repo, folder_remote: RemoteConfig
) -> None:
    told: list[bytes] = []
    results: list[Result] = []
    with RayExecutor(project.workspace, folder_remote, ray_cluster.address) as executor:
        executor.start(task("true", resources=Resources(cpus=99)), told.append, results.append)
        wait_until(lambda: bool(told))
        executor.stop()
    assert told == [b"[waiting until a node joins the cluster that has 99 CPU]\n"]
    assert [result.status for result in results] == [-2]


# -- lost nodes --------------------------------------------------------------------------------------------------------


def small(folder: Path) -> str:
    """Three stages in a chain; returns the command of the second."""
    folder.mkdir()
    (folder / "data").mkdir()
    (folder / "data/raw.csv").write_text("".join(f"{number * 7919 % 1000}\n" for number in range(1000)))
    (folder / "params.yaml").write_text("lines: 10\n")
    (folder / "mlgit.yaml").write_text(
        "stages:\n"
        "  sort: {cmd: mkdir parts && sort data/raw.csv > parts/all, deps: [data/raw.csv], outs: [parts]}\n"
        "  cut: {cmd: 'head -n ${lines} parts/all > model', deps: [parts], params: [lines], outs: [model]}\n"
        "  count: {cmd: wc -c < model > size.txt, deps: [model], outs: [size.txt: {cache: false}]}\n"
    )
    return "head -n"


def example(folder: Path) -> str:
    """The example, without its history."""
    shutil.copytree(Path(__file__).parents[2] / "examples/breast-cancer", folder)
    subprocess.run([sys.executable, "make_data.py"], cwd=folder, check=True, capture_output=True)
    return "python train.py"


@pytest.mark.parametrize("make", [small, pytest.param(example, marks=pytest.mark.slow)])
def test_a_pipeline_gives_what_it_gives_here_although_a_node_is_lost_midway(
    make: Callable[[Path], str], ray_cluster: Any, s3_remote: RemoteConfig, tmp_path: Path, mlgit: Any
) -> None:
    log, pids = tmp_path / "log", tmp_path / "pids"
    block = f"sleep 600 & echo $$ $! > {pids}; wait"  # the first time that it runs on a node
    (tmp_path / "first.sh").write_text(f'echo "$NODE" >> {log}; [ $(grep -c . {log}) != 1 ] || {{ {block}; }}')
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        command = make(folder)
        stages = folder / "mlgit.yaml"
        stages.write_text(stages.read_text().replace(command, f"sh {tmp_path}/first.sh && {command}"))
        subprocess.run(["git", "init", "-q", "-b", "main"], cwd=folder, check=True)
        mlgit("init", cwd=folder)
        mlgit("add", "data/raw.csv", cwd=folder)
    mlgit("repro", cwd=here)
    remote = {"url": s3_remote.url, **s3_remote.options}
    (there / ".mlgit/config.local.yaml").write_text(json.dumps({"remotes": {"store": remote}}))

    def kill() -> None:
        wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
        ray_cluster.kill(log.read_text().split()[0])

    killer = threading.Thread(target=kill)
    killer.start()
    mlgit("repro", "--executor", "ray", "--address", ray_cluster.address, cwd=there)
    killer.join()
    first, second = log.read_text().split()
    ray_cluster.add(first)
    assert first != second
    for pid in pids.read_text().split():
        wait_until(lambda pid=pid: not alive(pid))
    assert (there / "mlgit.lock").read_bytes() == (here / "mlgit.lock").read_bytes()
    assert mlgit("status", "--json", cwd=there).out == mlgit("status", "--json", cwd=here).out


def test_a_killed_worker_leaves_no_process_and_its_folder_is_swept(
    ray_cluster: Any, project: Repo, folder_remote: RemoteConfig, tmp_path: Path
) -> None:
    """The out-of-memory killer takes the worker, again and again."""
    log = tmp_path / "log"
    # The worker is the parent of the command.
    wanted = task(f"echo $$ $PPID $(pwd -P) >> '{log}'; kill -9 $PPID; sleep 600")
    with RayExecutor(project.workspace, folder_remote, ray_cluster.address) as executor:
        result, _ = run(executor, wanted)
        assert isinstance(result.error, StageError) and "was lost" in result.error.message
        runs = [line.split() for line in log.read_text().splitlines()]
        assert len(runs) == RETRIES + 1
        for pid, parent, _ in runs:
            wait_until(lambda pid=pid, parent=parent: not alive(pid) and not alive(parent))
        assert run(executor, task("true"))[0].status == 0
    assert not [folder for _, _, folder in runs if Path(folder).exists()]


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_a_worker_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    child = """
        import os, pathlib, time
        from mlgit.pipeline.executors.worker import die_with_parent
        die_with_parent()
        pathlib.Path("pid").write_text(str(os.getpid()) + " ")
        time.sleep(600)
    """
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {textwrap.dedent(child)!r}])"
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=env)
    pid = tmp_path / "pid"
    wait_until(lambda: pid.exists() and pid.read_text().endswith(" "))
    parent.kill()
    parent.wait()
    wait_until(lambda: not alive(pid.read_text().strip()))


# -- what can be wrong -------------------------------------------------------------------------------------------------


@pytest.fixture
def spec(project: Repo, folder_remote: RemoteConfig) -> worker.Spec:
    executor = RayExecutor(project.workspace, folder_remote)
    executor._remote = executor._open()
    return executor._spec(task("true"))


def failure(outcome: worker.Outcome) -> MlgitError:
    with pytest.raises(MlgitError) as caught:
        raise worker.rebuild(outcome["error"])
    assert caught.value.hint
    return caught.value


def test_a_node_with_another_version_says_so(spec: worker.Spec) -> None:
    error = failure(worker.run({**spec, "versions": "mlgit 99.0, Python 2.7"}, {}))
    assert isinstance(error, RemoteError) and "comes from mlgit 99.0, Python 2.7" in error.message
    assert worker.versions() in error.message


def test_a_node_that_does_not_see_the_remote_says_so(spec: worker.Spec) -> None:
    error = failure(worker.run({**spec, "url": str(NOWHERE)}, {}))
    assert isinstance(error, RemoteError) and f"no store at {NOWHERE}" in error.message


def test_an_input_that_is_not_in_the_remote_is_missing(spec: worker.Spec, inputs: dict[RelPath, Content]) -> None:
    held = {str(path): worker.pack(content) for path, content in inputs.items()}
    assert isinstance(failure(worker.run({**spec, "inputs": held}, {})), MissingError)


def test_a_node_without_mlgit_says_so(spec: worker.Spec, tmp_path: Path) -> None:
    cloudpickle = pytest.importorskip("ray.cloudpickle", reason="Ray is not installed")
    (tmp_path / "function").write_bytes(cloudpickle.dumps(_function()))
    code = """
        import pickle, sys
        sys.modules["mlgit"] = None
        print(pickle.load(open("function", "rb"))({})["error"])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, capture_output=True, text=True)
    assert f"has no {worker.versions()}" in done.stdout, done.stderr


def test_much_output_is_cut_at_its_beginning() -> None:
    tail = worker._Tail()
    for number in range(100):
        tail.add(b"%d" % (number % 10) * (1 << 17))
    text = tail.text()
    notice, _, rest = text.partition(b"\n")
    assert notice == b"[the first %d bytes are left out]" % (100 * (1 << 17) - len(rest))
    assert worker.OUTPUT_LIMIT <= len(rest) < worker.OUTPUT_LIMIT + (1 << 17) and rest.endswith(b"9")


def test_an_address_where_nobody_answers() -> None:
    with socket.socket() as unused, pytest.raises(RemoteError, match="no Ray cluster answers at") as caught:
        unused.bind(("127.0.0.1", 0))
        _knock(f"127.0.0.1:{unused.getsockname()[1]}")
    assert "ray start --head" in str(caught.value.hint)


@pytest.mark.parametrize("address", ["ray://127.0.0.1:10001", "head", "http://head:8265", ":6379"])
def test_an_address_of_another_kind(address: str) -> None:
    with pytest.raises(UsageError, match="not the address"):
        _knock(address)


def test_a_remote_whose_address_holds_a_password_is_not_told_to_nodes(project: Repo) -> None:
    remote = RemoteConfig("store", "ssh://me:hunter22@host/store", own=True)
    with pytest.raises(InvalidError, match="credential") as caught:
        RayExecutor(project.workspace, remote)._open()
    assert "hunter22" not in caught.value.message


def test_without_ray_it_says_what_to_install(
    project: Repo, folder_remote: RemoteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RemoteError, match="Ray is not installed") as caught:
        RayExecutor(project.workspace, folder_remote).__enter__()
    assert caught.value.hint == "pip install 'mlgit[ray]'"


def script(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    words = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=LONG)


def test_a_driver_is_quiet_and_leaves_no_trace_of_ray(ray_cluster: Any, project: Repo) -> None:
    once = project.root.parent / "killed"
    code = f"""
        import signal, threading, ray
        from pathlib import Path
        from mlgit.model.config import RemoteConfig
        from mlgit.model.relpath import RelPath
        from mlgit.pipeline.executors.ray import RayExecutor
        from mlgit.pipeline.task import Task
        from mlgit.repo import Repo
        ended, before = threading.Event(), signal.getsignal(signal.SIGTERM)
        workspace = Repo.find(Path(".")).workspace
        with RayExecutor(workspace, RemoteConfig("store", "../store"), "{ray_cluster.address}") as executor:
            assert ray.is_initialized()
            cmd = "test -e '{once}' || {{ touch '{once}'; kill -9 $PPID; sleep 60; }}; echo hello"
            task = Task("stage", cmd, Path("/nowhere"), RelPath(""), {{}})
            executor.start(task, print, lambda result: (print(result.status, result.error), ended.set()))
            ended.wait()
        assert not ray.is_initialized()
        assert signal.getsignal(signal.SIGTERM) is before
    """
    done = script(code, project.root)
    assert (done.returncode, done.stdout, done.stderr) == (0, "b'hello\\n'\n0 None\n", "")
