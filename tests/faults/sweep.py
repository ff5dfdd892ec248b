"""The kill sweep: a command is killed before each of its changes to the disk, judged, and run again.

strace kills the process at the entry of its N-th call of one kind, so the disk is left as it stood just before it.
Threads of the process count, programs that it starts (Git) do not. What runs is a parameter, so that the same sweep
judges the program and stores that were made unsafe on purpose (`unsafe.py`).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from health import Files, files_below, violations

from mlgit.cli.main import run
from mlgit.repo import Repo

Point = tuple[str, int]
PROGRAM = (sys.executable, "-m", "mlgit")
NAMES = (
    "rename renameat renameat2 link linkat symlink symlinkat unlink unlinkat rmdir mkdir mkdirat openat chmod fchmod "
    "fchmodat chown fchown utimensat fsync fdatasync syncfs sync_file_range ftruncate fallocate copy_file_range "
    "sendfile ioctl write writev pwrite64 flock"
)
CALLS = tuple(NAMES.split())
_QUIET = ("strace", "-f", "-b", "execve", "-qq")
_MADE = re.compile(r"(\d+) +([a-z0-9_]+)\(")
OLD: Files = {"a.txt": b"a old", "sub/b.txt": b"b old", "gone.txt": b"gone", "large.bin": b"L" * (1 << 20) + b"old"}
NEW: Files = {"a.txt": b"a new!", "sub/b.txt": b"b old", "more/c.txt": b"c new", "large.bin": b"L" * (1 << 20) + b"new"}


@dataclass(frozen=True)
class Case:
    """A command and what stands before it.

    Attributes:
        clone: whether it runs in a fresh clone.
        complete: whether everything tracked is in the cache at all times.
        user: contents that must exist in the working tree or the cache at all times.
        broken: whether the cache is damaged to begin with; what is wrong then is no fault of the command.
        after: the working tree once it has succeeded.
    """

    name: str
    command: tuple[str, ...]
    clone: bool = False
    complete: bool = True
    user: tuple[bytes, ...] = (*OLD.values(), *NEW.values())
    broken: bool = False
    after: Files = field(default_factory=lambda: NEW)

    def root(self, area: Path) -> Path:
        """Where it runs."""
        return area / ("clone" if self.clone else "project")


CASES = (
    Case("add", ("add", "data")),
    Case("checkout", ("checkout",), after=OLD),
    Case("push", ("push", "--yes")),
    Case("pull", ("pull",), clone=True, complete=False, user=()),
    Case("gc", ("gc", "-w", "--yes", "--grace", "0"), user=tuple(NEW.values())),
    Case("repair", ("fsck", "--repair"), complete=False, user=tuple(NEW.values()), broken=True),
)


@dataclass
class Swept:
    """What a sweep found.

    Attributes:
        points: kills that were tried.
        killed: kills that struck; the others' command ended first.
        violations: a line for each broken invariant, with the kill that broke it.
    """

    points: int = 0
    killed: int = 0
    violations: list[str] = field(default_factory=list)

    def add(self, other: Swept) -> None:
        """Count another sweep's too."""
        self.points += other.points
        self.killed += other.killed
        self.violations += other.violations


def why_not() -> str | None:
    """Why nothing can be traced here; None if it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    seen = subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], capture_output=True, check=False)
    return "strace may not trace here" if seen.returncode else None


def execute(folder: Path, *words: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Run any program."""
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert code is None or done.returncode == code, f"{words}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def mlgit(folder: Path, *words: str) -> None:
    """Run mlgit in this process: faster, and good enough where nothing is killed."""
    code = run(["-C", str(folder), *words])
    assert code == 0, f"mlgit {' '.join(words)}: exit {code}"


def write(folder: Path, files: Files) -> None:
    """Make `folder` hold exactly `files`."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def prepare(area: Path, name: str) -> Path:
    """Bring `area` to where the command called `name` starts."""
    project = area / "project"
    project.mkdir(parents=True)
    execute(project, "git", "init", "-q", "-b", "main")
    mlgit(project, "init")
    mlgit(project, "remote", "add", "-d", "store", "../remote")
    write(project / "data", OLD)
    mlgit(project, "add", "data")
    execute(project, "git", "add", "-A")
    execute(project, "git", "commit", "-q", "-m", "old")
    if name in ("push", "repair"):
        mlgit(project, "push", "--yes")
    write(project / "data", NEW)
    if name == "add":
        return area
    mlgit(project, "add", "data")
    execute(project, "git", "commit", "-q", "-a", "-m", "new")
    if name == "checkout":
        execute(project, "git", "checkout", "-q", "HEAD~1")
    if name in ("pull", "repair"):
        mlgit(project, "push", "--yes")
        execute(area, "git", "clone", "-q", "project", "clone")
    if name == "repair":
        for path in sorted((project / ".mlgit" / "cache").glob("*/**/*")):
            if path.is_file() and {"packs", "objects"} & {*path.parts}:
                spoil(path)
    return area


def spoil(path: Path) -> None:
    """Flip a bit in the first object of a file of the cache, with its times kept."""
    found = path.stat()
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[12] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    path.chmod(found.st_mode & 0o777)


def copied(area: Path, target: Path) -> Path:
    """A copy to break."""
    shutil.copytree(area, target, symlinks=True)
    return target


def points(area: Path, case: Case, scratch: Path, program: Sequence[str] = PROGRAM) -> list[Point]:
    """Every (call, N) that a thread of the command's own process makes, in the order of the calls' names."""
    copy = copied(area, scratch / "count")
    log = scratch / "log"
    traced = (*_QUIET, "-o", str(log), "-e", f"trace=?{',?'.join(CALLS)}")
    execute(case.root(copy), *traced, *program, *case.command)
    counts: dict[str, Counter[str]] = {}
    found: set[Point] = set()
    for line in log.read_text(errors="replace").splitlines():
        made = _MADE.match(line)
        if made is None:
            continue
        thread, call = made[1], made[2]
        counts.setdefault(thread, Counter())[call] += 1
        if call != "openat" or "O_CREAT" in line:
            found.add((call, counts[thread][call]))
    shutil.rmtree(copy)
    return sorted(found, key=lambda point: (CALLS.index(point[0]), point[1]))


def kill(area: Path, case: Case, target: Path, point: Point, program: Sequence[str] = PROGRAM) -> Swept:
    """Kill the command at `point`, look, run it again, and look again."""
    copy = copied(area, target)
    before = look(copy, case) if case.broken else []
    done = inject(copy, case, point, "signal=KILL", program=program)
    found = [line for line in look(copy, case) if line not in before] + again(copy, case)
    shutil.rmtree(copy)
    killed = int(done.returncode in (-9, 137))
    return Swept(1, killed, [f"killed at {point[0]} number {point[1]}: {line}" for line in found])


def inject(
    area: Path, case: Case, point: Point, effect: str, log: Path | str = os.devnull, program: Sequence[str] = PROGRAM
) -> subprocess.CompletedProcess[str]:
    """Run the command with `effect` at `point`, such as `error=EIO`; `log` gets all calls of that kind."""
    call, number = point
    words = (*_QUIET, "-y", "-o", str(log), "-e", f"trace={call}", "-e", f"inject={call}:{effect}:when={number}")
    return execute(case.root(area), *words, *program, *case.command, code=None)


def again(area: Path, case: Case) -> list[str]:
    """What is wrong after the same command once more."""
    code = run(["-C", str(case.root(area)), *case.command])
    return [f"I6: the same command again gave {code}"] if code else look(area, case, whole=True)


def sweep(
    area: Path, case: Case, scratch: Path, chosen: Iterable[Point], program: Sequence[str] = PROGRAM, enough: int = 0
) -> Swept:
    """Kill at all of `chosen`; with `enough`, only until that many violations are known."""
    swept = Swept()
    for point in chosen:
        one = kill(area, case, scratch / "killed", point, program)
        swept.add(one)
        if enough and len(swept.violations) >= enough:
            break
    return swept


def look(area: Path, case: Case, *, whole: bool = False, tidy: bool = False) -> list[str]:
    """The invariants; with `whole`, also what the command is for; with `tidy`, also that no temporary file is left."""
    root = case.root(area)
    remotes = [area / "remote"] if (area / "remote").exists() else []
    found = violations(Repo(root), remotes=remotes, complete=case.complete or whole, bytes_of_user=case.user, tidy=tidy)
    present = {name: data for name, data in files_below(root / "data").items() if not name.startswith(".")}
    found += [f"P2: {n} is neither old nor new" for n, data in present.items() if data not in (OLD.get(n), NEW.get(n))]
    if whole and present != case.after:
        found.append("I6: the working tree is not what the command should leave")
    return found
