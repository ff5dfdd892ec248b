"""`python -m tests.bench`: make the data, run every tool side by side, print a table of medians and ratios.

    python -m tests.bench --dvc /path/to/dvc --folder /mnt/fresh --files 10000 --rounds 5

A timing counts only as a ratio within one run on one file system, so every round runs each tool once, in turn, on
copies of the same data. Nothing is deleted between steps: old trees are renamed aside, since ext4 scans past recently
freed inodes. Use a fresh loop-mounted ext4 or a tmpfs as `--folder`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"},
    "GIT_AUTHOR_NAME": "Bench",
    "GIT_AUTHOR_EMAIL": "bench@example.org",
    "GIT_COMMITTER_NAME": "Bench",
    "GIT_COMMITTER_EMAIL": "bench@example.org",
    "DVC_NO_ANALYTICS": "1",
}


@dataclass
class Table:
    """Seconds by step and tool, one number a round."""

    seconds: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def time(self, step: str, tool: str, action: Callable[[], object]) -> None:
        """Run `action` and note how long it took."""
        started = time.perf_counter()
        action()
        self.seconds.setdefault(step, {}).setdefault(tool, []).append(time.perf_counter() - started)

    def medians(self) -> dict[str, dict[str, float]]:
        """Median seconds by step and tool."""
        return {
            step: {tool: statistics.median(rounds) for tool, rounds in tools.items()}
            for step, tools in self.seconds.items()
        }

    def show(self) -> str:
        """A table: a row a step, a column a tool, and how many times faster than each rival mlgit is."""
        medians = self.medians()
        tools = list(dict.fromkeys(tool for row in medians.values() for tool in row))
        rivals = [tool for tool in tools if tool != "mlgit"]
        lines = [
            f"{'step':<26}" + "".join(f"{tool:>12}" for tool in tools) + "".join(f"{'÷ ' + r:>12}" for r in rivals)
        ]
        for step, row in medians.items():
            line = f"{step:<26}" + "".join(f"{row[tool]:>12.3f}" if tool in row else " " * 12 for tool in tools)
            for rival in rivals:
                both = rival in row and "mlgit" in row
                line += f"{row[rival] / row['mlgit']:>11.2f}x" if both else " " * 12
            lines.append(line)
        return "\n".join(lines)


def run(command: list[str], cwd: Path) -> None:
    """Run one command; its output is shown only when it fails."""
    done = subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} in {cwd}: exit {done.returncode}\n{done.stdout}{done.stderr}")


def make_files(folder: Path, files: int, size: int, folders: int) -> None:
    """`files` random files of `size` bytes, spread over `folders` folders."""
    for number in range(files):
        below = folder / f"{number % folders:04}"
        below.mkdir(parents=True, exist_ok=True)
        (below / f"f{number:07}.bin").write_bytes(os.urandom(size))


class Bench:
    """One run over all tools."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bench-", dir=arguments.folder))
        self.arguments = arguments
        self.table = Table()
        program = Path(sys.executable).with_name("mlgit")
        self.tools = {"mlgit": [str(program)] if program.exists() else [sys.executable, "-m", "mlgit"]}
        if arguments.dvc:
            self.tools["dvc"] = [arguments.dvc]

    def small_files(self) -> None:
        """add, status, push, pull, checkout of many small files."""
        source = self.folder / "source"
        make_files(source, self.arguments.files, self.arguments.size, self.arguments.folders)
        for number in range(self.arguments.rounds):
            self._floors(source, number)
            for tool, command in self.tools.items():
                self._one_tool(source, self.folder / f"{tool}-{number}", tool, command)

    def _floors(self, source: Path, number: int) -> None:
        copy = self.folder / f"copy-{number}"
        for step in ("add", "push", "pull", "checkout (all missing)"):
            target = copy.with_name(f"{copy.name}-{step.partition(' ')[0]}")
            self.table.time(
                step, "cp -r", lambda target=target: run(["cp", "-r", str(source), str(target)], self.folder)
            )
        for step in ("status (nothing changed)", "start-up"):
            code = "pass" if step == "start-up" else _SCAN
            self.table.time(
                step, "floor", lambda code=code: run([sys.executable, "-c", code, str(source)], self.folder)
            )

    def _one_tool(self, source: Path, home: Path, tool: str, command: list[str]) -> None:
        def step(name: str, *arguments: str, cwd: Path = home) -> None:
            self.table.time(name, tool, lambda: run([*command, *arguments], cwd))

        home.mkdir()
        run(["git", "init", "-q", "."], home)
        run([*command, "init"], home)
        run(["git", "add", "-A"], home)
        run(["git", "commit", "-qm", "start"], home)
        (home / "tiny.txt").write_text("tiny")
        run([*command, "add", "tiny.txt"], home)
        step("start-up", "--version")
        step("status (tiny repository)", "status")
        run(["cp", "-r", str(source), "data"], home)
        time.sleep(0.1)  # past the clock's tick, so that no tool must distrust its files
        step("add", "add", "data")
        run([*command, "status"], home)
        step("status (nothing changed)", "status")
        run([*command, "remote", "add", "-d", "store", str(home.with_name(home.name + "-remote"))], home)
        run(["git", "add", "-A"], home)
        run(["git", "commit", "-qm", "data"], home)
        step("push", "push")
        step("push (again)", "push")
        (home / "data").rename(home.with_name(home.name + "-old"))
        step("checkout (all missing)", "checkout")
        step("checkout (nothing to do)", "checkout")
        clone = home.with_name(home.name + "-clone")
        run(["git", "clone", "-q", str(home), str(clone)], self.folder)
        step("pull", "pull", cwd=clone)
        step("pull (again)", "pull", cwd=clone)
        changed = next((home / "data").rglob("*.bin"))
        changed.write_bytes(os.urandom(self.arguments.size))
        time.sleep(0.1)
        step("status (1 changed)", "status")
        step("add (1 changed)", "add", "data")

    def large_file(self) -> None:
        """add and checkout of one large file."""
        source = self.folder / "large.bin"
        with source.open("wb") as file:
            for _ in range(self.arguments.large >> 20):
                file.write(os.urandom(1 << 20))
        name = f"add {self.arguments.large >> 20} MiB"
        for number in range(self.arguments.rounds):
            self.table.time(
                name, "cp", lambda number=number: shutil.copyfile(source, self.folder / f"copy-{number}.bin")
            )
            (self.folder / f"copy-{number}.bin").rename(self.folder / "copy.bin")
            for tool, command in self.tools.items():
                home = self.folder / f"{tool}-large-{number}"
                home.mkdir()
                run(["git", "init", "-q", "."], home)
                run([*command, "init"], home)
                shutil.copyfile(source, home / "large.bin")
                self.table.time(
                    name, tool, lambda home=home, command=command: run([*command, "add", "large.bin"], home)
                )
                shutil.rmtree(home)


_SCAN = """
import os, sys
pending = [sys.argv[1]]
while pending:
    with os.scandir(pending.pop()) as found:
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
            else:
                entry.stat(follow_symlinks=False)
"""


def main() -> None:
    """Parse the arguments, run, print, and write the numbers as JSON if asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--folder", default="/dev/shm", help="where to work: a tmpfs or a fresh file system")
    parser.add_argument("--dvc", default=shutil.which("dvc"), help="the dvc program to compare with")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--folders", type=int, default=10)
    parser.add_argument("--size", type=int, default=4096, help="bytes of each file")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large", type=int, default=0, help="bytes of one large file; 0 leaves it out")
    parser.add_argument("--json", help="write all seconds to this file")
    arguments = parser.parse_args()
    bench = Bench(arguments)
    try:
        bench.small_files()
        if arguments.large:
            bench.large_file()
    finally:
        shutil.rmtree(bench.folder, ignore_errors=True)
    print(bench.table.show())
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(bench.table.seconds, indent=2))


if __name__ == "__main__":
    main()
