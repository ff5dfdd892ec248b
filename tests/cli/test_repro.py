"""What a person sees of `repro`: which stages are meant, lines while they run, what failed, and the summary."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlgit.repo import Repo

Cli = Callable[..., Any]


def write(root: Path, commands: dict[str, str]) -> None:
    """Stages without inputs; each writes an output of its own name."""
    root.mkdir(exist_ok=True)
    stages = {name: {"cmd": command, "outs": [f"{name}.txt"]} for name, command in commands.items()}
    (root / "mlgit.yaml").write_text(json.dumps({"stages": stages}))


def echo(count: int) -> dict[str, str]:
    return {f"s{number}": f"echo {number} > s{number}.txt" for number in range(count)}


FAILS = "python -c \"for n in range(30): print('line', n, flush=True)\nraise SystemExit(3)\""


def test_output_is_streamed_as_it_comes(repo: Repo, cli: Cli) -> None:
    write(repo.root, {"a": "printf '10%%\\r20%%'; echo x > a.txt", "b": "echo said; echo x > b.txt"})
    said = cli("repro", cwd=repo.root)
    assert re.search(r"^a: running \(.*\)\n  \$ printf .*\n10%\r20%\na: done in ", said.err, re.MULTILINE)
    assert "\nsaid\nb: done in " in said.err
    assert said.out == ""


def test_lines_of_several_stages_bear_their_names(repo: Repo, cli: Cli) -> None:
    write(repo.root, {"a": "printf '10%%\\r20%%'; echo x > a.txt", "b": "printf 'one\\ntwo\\n' | tee b.txt"})
    said = cli("repro", "-j", "2", cwd=repo.root)
    lines = said.err.splitlines()
    assert {"a | 20%", "b | one", "b | two"} <= set(lines)
    assert lines.index("a | 20%") < next(at for at, line in enumerate(lines) if line.startswith("a: done in "))
    assert any(line.startswith("logs: .mlgit/logs/") for line in lines)


def test_what_several_stages_write_is_never_obeyed(repo: Repo, cli: Cli) -> None:
    write(repo.root, {"a": "printf '\\033[2J\\377\\007[bold]\\342\\200\\256x\\n' | tee a.txt"})
    assert "a | \\xff\\x07[bold]\\u202ex\n" in cli("repro", "-j", "2", cwd=repo.root).err


def test_few_skipped_stages_are_listed_and_many_are_counted(repo: Repo, cli: Cli) -> None:
    write(repo.root, echo(3))
    cli("repro", cwd=repo.root)
    assert cli("repro", cwd=repo.root).err.count(": skipped, nothing changed") == 3
    write(repo.root, echo(30))
    cli("repro", "-j", "2", cwd=repo.root)
    said = cli("repro", cwd=repo.root)
    assert re.fullmatch(r"30 skipped in \d+\.\d s\n", said.err)
    assert cli("-v", "repro", cwd=repo.root).err.count(": skipped, nothing changed") == 30


def test_the_slowest_stages_come_first(repo: Repo, cli: Cli) -> None:
    write(repo.root, {"quick": "echo 1 > quick.txt", "slow": "sleep 0.3; echo 1 > slow.txt"})
    said = cli("repro", cwd=repo.root)
    assert re.search(r"\n  slow    +0\.[3-9] s\n  quick   +0\.\d s\n2 ran in ", said.err)
    write(repo.root, echo(15))
    said = cli("repro", cwd=repo.root)
    assert len(re.findall(r"^  s\d+ +\d", said.err, re.MULTILINE)) == 10
    assert re.search(r"\n  5 more? +\d+\.\d s\n15 ran in ", said.err)


def test_one_stage_that_ran_needs_no_table(repo: Repo, cli: Cli) -> None:
    write(repo.root, echo(1))
    assert "\n  s0 " not in cli("repro", cwd=repo.root).err
    assert "\n  s0 " in cli("-v", "repro", "-f", cwd=repo.root).err


def test_a_failure_is_not_told_twice_where_its_output_was_seen(repo: Repo, cli: Cli) -> None:
    write(repo.root, {"bad": FAILS, "never": "echo 1 > never.txt"})
    said = cli("repro", cwd=repo.root, code=17)
    assert said.err.count("line 29") == 1
    assert "the last lines" not in said.err
    assert re.search(r"error: stage 'bad' failed with exit status 3: python ", said.err)
    assert ".mlgit/logs/" in said.err
    assert said.err.splitlines()[-1].startswith("hint: ")


@pytest.mark.parametrize("options", ["-q repro", "repro -j 2"])
def test_a_failure_whose_output_was_not_seen_shows_its_last_lines(options: str, repo: Repo, cli: Cli) -> None:
    write(repo.root, {"bad": FAILS})
    said = cli(*options.split(), cwd=repo.root, code=17)
    before, after = said.err.split("the last lines of bad:\n")
    assert after.startswith("  | line 10\n")
    assert "  | line 29\nerror: stage 'bad' failed" in after
    assert before == "" or "bad | line 29" in before


def test_every_failure_is_told_when_the_rest_went_on(repo: Repo, cli: Cli) -> None:
    write(repo.root, {"bad": FAILS, "good": "echo 1 > good.txt", "worse": "echo oh no; exit 4"})
    said = cli("repro", "-k", cwd=repo.root, code=17)
    assert "bad: stage 'bad' failed with exit status 3" in said.err
    assert "worse: stage 'worse' failed with exit status 4" in said.err
    assert "the last lines of bad:\n  | line 10\n" in said.err
    assert "the last lines of worse" not in said.err  # it was the last to be seen
    assert "1 ran, 2 failed in " in said.err


def test_json(repo: Repo, cli: Cli) -> None:
    write(repo.root, echo(2))
    said = json.loads(cli("repro", "--json", cwd=repo.root).out)
    assert (said["version"], said["kind"], said["ran"]) == (1, "repro", ["s0", "s1"])
    assert set(said["times"]) == {"s0", "s1"}
    assert said["logs"].startswith(".mlgit/logs/")
    assert (said["saved"], said["warnings"]) == (0, [])
    said = json.loads(cli("repro", "--json", cwd=repo.root).out)
    assert (said["skipped"], said["times"], said["logs"]) == (["s0", "s1"], {}, None)
    write(repo.root, {"bad": "exit 1"})
    said = json.loads(cli("repro", "--json", cwd=repo.root, code=17).out)
    assert list(said["failed"]) == ["bad"]


def test_nothing_to_do_loads_nothing_to_draw_with(repo: Repo, cli: Cli) -> None:
    write(repo.root, echo(2))
    cli("repro", cwd=repo.root)
    program = "import sys\nfrom mlgit.cli.main import run\nassert run(['repro', '-j', '4']) == 0\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=repo.root, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split()) & {"rich", "git", "fsspec", "ray", "asyncio", "multiprocessing"}
    assert loaded == set()


@pytest.fixture
def several(repo: Repo) -> Path:
    """Two stage files, three pipelines."""
    (repo.root / "mlgit.yaml").write_text(
        "stages:\n  train-a: {cmd: x, outs: [a]}\n  train-b: {cmd: x, outs: [b]}\n  test-a: {cmd: x, deps: [a]}\n"
    )
    (repo.root / "sub").mkdir()
    (repo.root / "sub/mlgit.yaml").write_text("stages:\n  deploy: {cmd: x, deps: [../b]}\n  alone: {cmd: x}\n")
    return repo.root


DEPLOY = "sub/mlgit.yaml:deploy"
ALONE = "sub/mlgit.yaml:alone"


@pytest.mark.parametrize(
    ("folder", "words", "meant"),
    [
        (".", "", {"train-a", "train-b", "test-a"}),
        ("sub", "", {"train-b", DEPLOY, ALONE}),
        ("sub", "--all", {"train-a", "train-b", "test-a", DEPLOY, ALONE}),
        ("sub", "-s", {DEPLOY, ALONE}),
        (".", "--glob train-*", {"train-a", "train-b"}),
        (".", "--glob *-a train-b", {"train-a", "test-a", "train-b"}),
        (".", "--glob --downstream train-*", {"train-a", "train-b", "test-a", DEPLOY}),
        (".", "--pipeline train-b", {"train-b", DEPLOY}),
        (".", "-p test-a", {"train-a", "test-a"}),
        (".", "--glob -p test-*", {"train-a", "test-a"}),
        ("sub", "-p", {"train-b", DEPLOY, ALONE}),
    ],
)
def test_which_stages_are_meant(folder: str, words: str, meant: set[str], several: Path, cli: Cli) -> None:
    said = cli("repro", "--dry-run", *shlex.split(words), cwd=several / folder)
    assert {re.sub(r"^run (.*?): .*", r"\1", line) for line in said.out.splitlines()} == meant


def test_a_folder_without_a_stage_file_means_all(several: Path, cli: Cli) -> None:
    (several / "other").mkdir()
    assert len(cli("repro", "--dry-run", cwd=several / "other").out.splitlines()) == 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--all train-a", "--all and targets exclude each other"),
        ("-P -p", "--all and --pipeline exclude each other"),
        ("-P -s", "--all and --single exclude each other"),
        ("-s --downstream train-a", "--single and --downstream exclude each other"),
        ("-s -p train-a", "--single and --pipeline exclude each other"),
        ("--glob", "--glob means nothing without targets"),
        ("--glob nope-*", "no stage matches 'nope-*'"),
        ("--hermetic --trace", "--hermetic and --trace exclude each other"),
        ("--executor ray --trace", "--executor ray and --trace exclude each other"),
        ("--executor slurm", "no such executor: 'slurm'"),
        ("--address auto", "--address means nothing without --executor ray"),
        ("-r store", "--remote means nothing without --pull or --executor ray"),
        ("--json --dry-run", "--json and --dry-run exclude each other"),
        ("-j -1", "-1 is not in the range"),
    ],
)
def test_what_makes_no_sense(words: str, message: str, several: Path, cli: Cli) -> None:
    said = cli("repro", *words.split(), cwd=several, code=2)
    assert message in said.err
    assert said.err.splitlines()[-1].startswith("hint: ")


def test_interrupted(repo: Repo) -> None:
    write(repo.root, {"done": "echo 1 > done.txt", "slow": "echo begun; touch started; sleep 60"})
    command = [sys.executable, "-m", "mlgit", "repro", "--json"]
    process = subprocess.Popen(command, cwd=repo.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (repo.root / "started").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "interrupted; what finished is kept, the same command again goes on"
    assert "Traceback" not in err
    assert json.loads(out)["ran"] == ["done"]
    assert "done" in (repo.root / "mlgit.lock").read_text()


# -- on a terminal ---------------------------------------------------------------------------------------------------

pty = pytest.importorskip("pty", reason="needs pseudo-terminals")


def on_a_terminal(*words: str, cwd: Path, width: int = 60, interrupt_at: bytes = b"") -> tuple[int, str]:
    """Run the program with a terminal for stderr; what it drew, and its exit code."""
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    variables = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-m", "mlgit", *words], cwd=cwd, stderr=theirs, env={**variables, "TERM": "xterm"}
    )
    os.close(theirs)
    drawn = b""
    try:
        while piece := os.read(ours, 1 << 16):
            drawn += piece
            if interrupt_at and interrupt_at in drawn:
                process.send_signal(signal.SIGINT)
                interrupt_at = b""
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    return process.wait(), drawn.decode(errors="replace")


def test_a_terminal_shows_what_runs_and_keeps_what_is_done(repo: Repo) -> None:
    wide = "x" * 200
    hostile = f"printf '\\033[2J[red]\\342\\200\\256{wide}'; sleep 0.6; echo 1 > a.txt"
    write(repo.root, {"a": hostile, "b": "sleep 0.6; echo 1 > b.txt"})
    code, drawn = on_a_terminal("repro", "-j", "2", cwd=repo.root)
    assert code == 0
    assert re.search(r"0/2 done, [12] running, 0\.\d s", drawn)
    assert "[red]\\u202exxx" in drawn
    assert "…" in drawn
    assert wide not in drawn
    assert "\x1b[2J" not in drawn
    assert "\u202e" not in drawn
    assert "a: done in 0." in drawn
    assert "2 ran in " in drawn
    assert drawn.count("\x1b[?25l") == drawn.count("\x1b[?25h") == 1  # the cursor is there again


def test_a_terminal_with_one_stage_at_a_time_gets_the_output_itself(repo: Repo) -> None:
    write(repo.root, {"a": "printf '\\033[32mgreen\\033[0m 10%%\\r20%%'; echo 1 > a.txt"})
    code, drawn = on_a_terminal("repro", cwd=repo.root)
    assert code == 0
    assert "\x1b[32mgreen\x1b[0m 10%\r20%" in drawn
    assert "done, " not in drawn


def test_an_interrupted_terminal_is_as_before(repo: Repo) -> None:
    write(repo.root, {"a": "echo begun; sleep 60", "b": "echo begun; sleep 60"})
    code, drawn = on_a_terminal("repro", "-j", "2", cwd=repo.root, interrupt_at=b"begun")
    assert code == 130
    assert drawn.rstrip().endswith("interrupted; what finished is kept, the same command again goes on")
    assert drawn.count("\x1b[?25l") == drawn.count("\x1b[?25h") == 1
