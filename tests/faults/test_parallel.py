"""`repro -j 4` of random pipelines with random delays, killed at random: what it leaves is what a serial run makes.

A round makes a random graph, runs it with four jobs, and kills either mlgit (SIGKILL, SIGINT, SIGTERM) or some stage's
command at a random moment, several times over. After every kill no command is left running, nothing is half-recorded,
and the repository is healthy; in the end the lock and every output equal, byte for byte, those of a serial run.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from health import assert_healthy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlgit.model import lock
from mlgit.repo import Repo

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the stages are shell commands")
ROUNDS = 200
STAGE = """\
  {name}:
    cmd: echo $$ > ../pids/{name}; sleep {delay}; cat {deps} > {name}; echo {name} >> {name}; rm ../pids/{name}
    deps: [{listed}]
    outs: [{name}]
"""


def pipeline(random_: random.Random, stages: int) -> str:
    """A random graph as a stage file; the root of it all is `raw`."""
    text = "stages:\n"
    for number in range(stages):
        near = random_.sample(range(number), min(number, random_.randint(0, 3)))
        deps = ["raw", *(f"s{one}" for one in near)]
        delay = random_.choice([0, 0, 0.02, 0.05, 0.1])
        text += STAGE.format(name=f"s{number}", deps=" ".join(deps), listed=", ".join(deps), delay=delay)
    return text


def make(folder: Path, text: str) -> Path:
    root = folder / "project"
    root.mkdir(parents=True)
    (folder / "pids").mkdir()
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    Repo.init(root)
    (root / "mlgit.yaml").write_text(text)
    (root / "raw").write_text("raw\n")
    return root


def start(root: Path, *options: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "mlgit", "repro", *options]
    return subprocess.Popen(words, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)


def commands(root: Path) -> Iterator[int]:
    """The shells of stages that are running, or that were when mlgit was killed."""
    for path in (root.parent / "pids").iterdir():
        with contextlib.suppress(OSError, ValueError):
            yield int(path.read_text())


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def disturb(root: Path, random_: random.Random) -> None:
    """One run that is killed somewhere."""
    process = start(root, "-j", "4", "-k")
    time.sleep(random_.uniform(0.05, 0.7))
    victim = random_.choice([signal.SIGKILL, signal.SIGINT, signal.SIGTERM, None])
    if victim is None:  # one of its commands
        for pid in random_.sample(found, 1) if (found := list(commands(root))) else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    else:
        process.send_signal(victim)
    process.communicate(timeout=60)
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in commands(root)):
        assert time.monotonic() < deadline, "a command outlived mlgit"
        time.sleep(0.01)
    for left in (root.parent / "pids").iterdir():
        left.unlink()


def check(root: Path, serial: Path) -> None:
    """What is recorded is what the serial run recorded, and all of it is there."""
    assert_healthy(Repo.find(root))
    if (root / "mlgit.lock").exists():
        recorded = lock.decode((root / "mlgit.lock").read_bytes(), "lock").stages
        wanted = lock.decode((serial / "mlgit.lock").read_bytes(), "lock").stages
        assert all(wanted[name] == entry for name, entry in recorded.items())
        store = Repo.find(root).workspace.store
        for entry in recorded.values():
            for path, content in entry.outs.items():
                assert bytes(store.read(content.oid)) == (serial / path).read_bytes()


def one_round(scratch: Path, seed: int) -> None:
    random_ = random.Random(seed)
    text = pipeline(random_, random_.randint(3, 9))
    serial, root = make(scratch / f"{seed}-serial", text), make(scratch / f"{seed}", text)
    assert start(serial).wait(60) == 0
    for _ in range(random_.randint(1, 3)):
        disturb(root, random_)
        check(root, serial)
    process = start(root, "-j", "4")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output.decode()
    check(root, serial)
    assert (root / "mlgit.lock").read_bytes() == (serial / "mlgit.lock").read_bytes()
    names = [line.split(":")[0].strip() for line in text.splitlines() if line.startswith("  s")]
    assert [(root / name).read_bytes() for name in names] == [(serial / name).read_bytes() for name in names]


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(seed=st.integers(0, 1 << 32))
def test_killed_parallel_runs_end_as_a_serial_one(memory: Path, seed: int) -> None:
    one_round(memory / f"parallel-{os.getpid()}-{time.monotonic_ns()}", seed)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_two_hundred_rounds(memory: Path, part: int) -> None:
    for seed in range(part, ROUNDS, 8):
        one_round(memory / f"rounds-{os.getpid()}", seed)
