"""Rows 13 and 14, commands side by side: readers never wait, writers wait or name the holder, nothing is lost."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from health import assert_healthy
from sweep import PROGRAM, execute, mlgit

from mlgit.cli.main import run
from mlgit.fs import lock
from mlgit.repo import Repo

LARGE = os.urandom((1 << 20) + 5)
HOLD = """
import contextlib, sys
from pathlib import Path
from mlgit.fs.lock import locked
with contextlib.ExitStack() as stack:
    for path in sys.argv[1:]:
        stack.enter_context(locked(Path(path), "gc"))
    print("held", flush=True)
    sys.stdin.read()
"""
VERBS = (
    ("add",),
    ("checkout", "data"),
    ("gc", "-A", "--yes", "--grace", "0"),
    ("push", "--yes"),
    ("pull", "data"),
    ("status",),
    ("fsck",),
)
SERIES = ((7, 2), pytest.param(11, 30, marks=pytest.mark.slow), pytest.param(13, 30, marks=pytest.mark.slow))


def start(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*PROGRAM, *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def together(*commands: tuple[Path, tuple[str, ...]], codes: tuple[int, ...] = (0,)) -> None:
    """Start all at once; each must end with one of `codes`."""
    running = [(words, start(folder, *words)) for folder, words in commands]
    for words, process in running:
        _, error = process.communicate()
        assert b"Traceback" not in error, error.decode()
        assert process.returncode in codes, f"{words}: exit {process.returncode}: {error.decode()}"


@contextmanager
def held(*paths: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds these locks, and does nothing else until the block ends."""
    words = [sys.executable, "-c", HOLD, *map(str, paths)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin and process.stdout
    try:
        assert process.stdout.readline() == "held\n"
        yield process
        assert process.poll() is None, "the holder ended too early"
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def locks(repo: Repo) -> tuple[Path, Path]:
    return repo.root / ".mlgit" / "lock", repo.config.cache_path(repo.root) / "lock"


@pytest.fixture
def filled(repo: Repo) -> Repo:
    """A folder that is tracked, committed and pushed."""
    data = repo.root / "data"
    data.mkdir()
    (data / "large").write_bytes(LARGE)
    (data / "small").write_text("small")
    mlgit(repo.root, "remote", "add", "-d", "store", "../remote")
    mlgit(repo.root, "add", "data")
    mlgit(repo.root, "push", "--yes")
    execute(repo.root, "git", "add", "-A")
    execute(repo.root, "git", "commit", "-q", "-m", "data")
    return Repo(repo.root)


def test_eight_add_the_same(repo: Repo) -> None:
    (repo.root / "data").mkdir()
    (repo.root / "data" / "large").write_bytes(LARGE)
    (repo.root / "data" / "small").write_text("small")
    together(*[(repo.root, ("add", "data"))] * 8)
    cache = repo.config.cache_path(repo.root)
    assert len([path for path in (cache / "objects").rglob("*") if path.is_file()]) == 1
    assert len(list((cache / "packs").iterdir())) == 1
    assert_healthy(repo, bytes_of_user=[LARGE, b"small"], tidy=True)
    assert (repo.root / ".gitignore").read_text() == "/data\n"


def test_eight_add_different_folders(repo: Repo) -> None:
    contents = []
    for number in range(8):
        folder = repo.root / f"data{number}"
        folder.mkdir()
        contents += [f"own {number}".encode(), os.urandom((1 << 20) + number)]
        (folder / "own").write_bytes(contents[-2])
        (folder / "large").write_bytes(contents[-1])
        (folder / "common").write_bytes(LARGE)
    together(*((repo.root, ("add", f"data{number}")) for number in range(8)))
    assert_healthy(repo, bytes_of_user=[LARGE, *contents], tidy=True)
    objects = [path for path in (repo.config.cache_path(repo.root) / "objects").rglob("*") if path.is_file()]
    assert len(objects) == 9
    assert sorted((repo.root / ".gitignore").read_text().split()) == [f"/data{number}" for number in range(8)]


@pytest.mark.parametrize("command", ["status", "diff", "ls", "du", "cat"])
def test_readers_never_wait(filled: Repo, command: str) -> None:
    """A reader that waited would end with 11, for the locks are held until it is done."""
    words = (command, "data/small") if command == "cat" else (command,)
    with held(*locks(filled)):
        done = execute(filled.root, *PROGRAM, *words, code=None)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [("add", "data"), ("checkout",), ("gc", "-w", "--yes")], ids=lambda one: one[0])
def test_a_writer_that_waits_in_vain_names_the_holder(
    filled: Repo, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(lock.locked.__wrapped__.__kwdefaults__, "wait", 0.1)  # type: ignore[attr-defined]
    for path in locks(filled)[: 2 if command[0] == "gc" else 1]:
        with held(path) as holder:
            assert run(["-C", str(filled.root), *command]) == 11
        assert f"process {holder.pid} (mlgit gc)" in capsys.readouterr().err
    assert run(["-C", str(filled.root), *command]) == 0


def test_a_running_stage_blocks_nobody(filled: Repo, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    stages = f"stages:\n  long:\n    cmd: cat {gate} > out.txt\n    outs: [out.txt]\n"
    (filled.root / "mlgit.yaml").write_text(stages)
    (filled.root / "other").write_text("other")
    process = start(filled.root, "repro")
    with gate.open("wb") as writer:  # opens when the stage has opened its end
        for words in (("add", "other"), ("status",), ("push", "--yes", "other"), ("checkout", "data"), ("diff",)):
            execute(filled.root, *PROGRAM, *words)
            assert process.poll() is None
        writer.write(b"done")
    _, error = process.communicate()
    assert process.returncode == 0, error.decode()
    assert_healthy(Repo(filled.root), bytes_of_user=[b"other", b"done", b"small", LARGE], tidy=True)


@pytest.mark.parametrize(("seed", "rounds"), SERIES)
def test_everything_at_once(filled: Repo, tmp_path: Path, seed: int, rounds: int) -> None:
    """Two repositories with one cache: each command succeeds, or names who was in the way."""
    shared = tmp_path / "shared"
    execute(tmp_path, "git", "clone", "-q", str(filled.root), "clone")
    both = (filled.root, tmp_path / "clone")
    for root in both:
        (root / ".mlgit" / "config.local.yaml").write_text(f"cache:\n  dir: {shared}\n")
        mlgit(root, "pull")
        mlgit(root, "push", "--yes")
    chance, contents = random.Random(seed), [LARGE, b"small"]
    for turn in range(rounds):
        commands = []
        for number in range(6):
            root, words = chance.choice(both), chance.choice(VERBS)
            if words == ("add",):
                contents.append(f"{turn} {number} {chance.random()}".encode() * chance.choice([1, 50_000]))
                words = ("add", f"new{turn}-{number}")
                (root / words[1]).write_bytes(contents[-1])
            commands.append((root, words))
        together(*commands, codes=(0, 11))
        for root in both:
            assert_healthy(Repo(root), remotes=[tmp_path / "remote"], tidy=True)
        assert_everywhere(both, contents)


def assert_everywhere(roots: tuple[Path, ...], contents: list[bytes]) -> None:
    """Every content stands in one of the working trees or in their cache."""
    here = {
        path.read_bytes() for root in roots for path in root.rglob("*") if path.is_file() and ".git" not in path.parts
    }
    assert_healthy(Repo(roots[0]), bytes_of_user=[one for one in contents if one not in here])
