"""The contestants: mlgit, its rivals and the floors, one class each, with the same verbs.

Exists so that a workload says once what is done and every tool does it in its own words. A verb returns the commands
to be timed, none if the tool has no such verb; preparations run at once and are never timed. A tool is bound to one
folder, and must never delete anything there.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

from tests.bench import floors
from tests.bench.process import Command, run

Commands = list[Command]
# Longer than the tick of any file system's clock, so that no tool must distrust the files it is shown.
_TICK = 0.1


class Tool:
    """A contestant at work in one folder.

    Args:
        program: the words that start it.
        home: its folder, not there yet; its remote and its clone lie beside it.
        source: the data it is given, a folder or a file.
        env: the environment of every command.
        links: `copy` or `hardlink`; None leaves it at the tool's default.
    """

    name = ""
    floor = False

    def __init__(
        self, program: tuple[str, ...], home: Path, source: Path, env: Mapping[str, str], links: str | None = None
    ) -> None:
        self.program = program
        self.home = home
        self.source = source
        self.env = env
        self.links = links
        self.data = home / "data"
        self.remote = home.with_name(home.name + "-remote")
        self.clone = home.with_name(home.name + "-clone")
        self.store = home
        self._asides = 0

    # Preparations, never timed.

    def create(self) -> None:
        """Make an empty repository in `home`."""
        self.home.mkdir(parents=True)

    def bring(self) -> None:
        """Put a copy of the source where the tool will add it."""
        self._do("cp", "-r", str(self.source), str(self.data))
        time.sleep(_TICK)

    def commit(self) -> None:
        """Record what was added, as far as the tool leaves that to Git."""

    def put_aside(self) -> None:
        """Take the data away by renaming it: nothing is freed."""
        self._asides += 1
        self.data.rename(self.home.with_name(f"{self.home.name}-aside{self._asides}"))

    def make_clone(self) -> None:
        """Make an empty clone beside `home`, without data."""

    # Verbs.

    def start(self) -> Commands:
        """Start and end."""
        return self._words("--version")

    def help(self) -> Commands:
        """Print the usage."""
        return []

    def add(self) -> Commands:
        """Store the data."""
        return []

    def status(self) -> Commands:
        """Say what changed."""
        return []

    def push(self) -> Commands:
        """Upload to a folder."""
        return []

    def pull(self) -> Commands:
        """Download from there into the clone."""
        return []

    def checkout(self) -> Commands:
        """Put the data back into the working tree."""
        return []

    def gc(self) -> Commands:
        """Delete what only old versions have."""
        return []

    def _words(self, *arguments: str, folder: Path | None = None) -> Commands:
        return [Command((*self.program, *arguments), folder or self.home)]

    def _do(self, *words: str, folder: Path | None = None) -> None:
        run([Command(words, folder or self.home)], self.env)

    def _tool(self, *arguments: str, folder: Path | None = None) -> None:
        run(self._words(*arguments, folder=folder), self.env)


class Copy(Tool):
    """A floor: `cp -r` of the source, for whatever writes every file."""

    name = "cp"
    floor = True

    def bring(self) -> None:
        """A floor reads the source itself."""

    def put_aside(self) -> None:
        """Every copy has a name of its own."""

    def start(self) -> Commands:
        """`cp` is no measure of a start."""
        return []

    def _copy(self) -> Commands:
        self._asides += 1
        return self._words("-r", str(self.source), f"copy{self._asides}")

    add = push = pull = checkout = _copy


class CheckoutCopy(Copy):
    """The same for checkout alone, where a copy takes minutes."""

    def _none(self) -> Commands:
        return []

    add = push = pull = _none


class Python(Copy):
    """A floor: what Python can do (start, scan + stat, read + hash + append), and copying the bytes as one file."""

    name = "floor"

    def start(self) -> Commands:
        """`python -c pass`."""
        return self._words("-c", "pass")

    def add(self) -> Commands:
        """Read, hash, append to one file."""
        return self._words(str(floors.__file__), "pack", str(self.source), "packed")

    def status(self) -> Commands:
        """Scan and stat."""
        return self._words(str(floors.__file__), "scan", str(self.source))

    def push(self) -> Commands:
        """Copy the one file that `add` made."""
        return [Command(("cp", "packed", "pushed"), self.home)]

    def pull(self) -> Commands:
        """`cp -r` is the floor."""
        return []

    checkout = pull


class DurableCopy(Copy):
    """A floor for one large file: `cp` and then fsync of the copy, as a tool does that may lose nothing."""

    name = "floor"

    def _copy(self) -> Commands:
        copied = super()._copy()
        return [*copied, Command(("sync", copied[0].words[-1]), self.home)]

    add = push = pull = checkout = _copy


class Git(Tool, ABC):
    """What tools that live in a Git repository share."""

    def create(self) -> None:
        """`git init`, then the tool's own, committed."""
        super().create()
        self._do("git", "init", "-q", "-b", "main")
        self._begin()
        self.commit()

    @abstractmethod
    def _begin(self) -> None:
        """The tool's own part of `create`."""

    def commit(self) -> None:
        """Commit all that Git sees."""
        self._do("git", "add", "-A")
        self._do("git", "commit", "-q", "--allow-empty", "-m", "bench")

    def make_clone(self) -> None:
        """`git clone` of the home."""
        self._do("git", "clone", "-q", str(self.home), str(self.clone))


class Mlgit(Git):
    """The one this is about."""

    name = "mlgit"

    def _begin(self) -> None:
        self._tool("init")
        self._tool("remote", "add", "-d", "store", str(self.remote))
        if self.links:
            self._tool("config", "cache.links", self.links)
        self.store = self.home / ".mlgit" / "cache"

    def help(self) -> Commands:
        """`mlgit --help`."""
        return self._words("--help")

    def add(self) -> Commands:
        """`mlgit add`."""
        return self._words("add", "data")

    def status(self) -> Commands:
        """`mlgit status`."""
        return self._words("status")

    def push(self) -> Commands:
        """`mlgit push`."""
        return self._words("push")

    def pull(self) -> Commands:
        """`mlgit pull`."""
        return self._words("pull", folder=self.clone)

    def checkout(self) -> Commands:
        """`mlgit checkout`."""
        return self._words("checkout")

    def gc(self) -> Commands:
        """Keep what the working tree has, without a time of grace."""
        return self._words("gc", "-w", "--grace", "0", "-y")


class Dvc(Mlgit):
    """DVC 3, whose verbs are mlgit's."""

    name = "dvc"

    def _begin(self) -> None:
        self._tool("init", "-q")
        self._tool("remote", "add", "-q", "-d", "store", str(self.remote))
        if self.links:
            self._tool("config", "cache.type", self.links)
        self.store = self.home / ".dvc" / "cache"

    def gc(self) -> Commands:
        """Keep what the working tree has."""
        return self._words("gc", "-w", "-f")


class GitLfs(Git):
    """Git with LFS: `git add` cleans through a filter, a bare repository at file:// takes the objects."""

    name = "git-lfs"

    def _begin(self) -> None:
        self._do("git", "lfs", "install", "--local")
        self._do("git", "lfs", "track", "data", "data/**")
        self._do("git", "init", "-q", "--bare", "-b", "main", str(self.remote))
        self._do("git", "remote", "add", "origin", f"file://{self.remote}")
        self.store = self.home / ".git"

    def make_clone(self) -> None:
        """Clone without the filter: pointers only."""
        self._do("git", "clone", "-q", "-b", "main", f"file://{self.remote}", str(self.clone))
        self._do("git", "lfs", "install", "--local", folder=self.clone)

    def start(self) -> Commands:
        """`git lfs version`."""
        return self._words("lfs", "version")

    def add(self) -> Commands:
        """`git add`."""
        return self._words("add", "data")

    def status(self) -> Commands:
        """`git status`."""
        return self._words("status")

    def push(self) -> Commands:
        """`git push`, whose hook uploads the objects."""
        return self._words("push", "-q", "origin", "main")

    def pull(self) -> Commands:
        """`git lfs pull`: the pointers are there already."""
        return self._words("lfs", "pull", folder=self.clone)

    def checkout(self) -> Commands:
        """`git checkout`, through the filter."""
        return self._words("checkout", "-q", "--", "data")


class Borg(Tool):
    """BorgBackup: `create` is add, `extract` is pull and checkout; it knows no status and no push."""

    name = "borg"

    def create(self) -> None:
        """A repository beside the home."""
        super().create()
        self.store = self.remote
        self._archives = 0
        self._tool("init", "-e", "none", str(self.remote))

    def make_clone(self) -> None:
        """An empty folder."""
        self.clone.mkdir()

    def add(self) -> Commands:
        """`borg create`."""
        self._archives += 1
        return self._words("create", f"{self.remote}::{self._archives}", "data")

    def pull(self) -> Commands:
        """`borg extract` into the clone; over what is there it writes all again."""
        return self._words("extract", f"{self.remote}::{self._archives}", folder=self.clone)

    def checkout(self) -> Commands:
        """`borg extract` into the home."""
        return self._words("extract", f"{self.remote}::{self._archives}")

    def gc(self) -> Commands:
        """Forget all but the last archive, then free the space."""
        prune = self._words("prune", "--keep-last", "1", str(self.remote))
        return prune + self._words("compact", str(self.remote))


KINDS: tuple[type[Tool], ...] = (Copy, Python, Mlgit, Dvc, GitLfs, Borg)


def programs(dvc: str | None, without: frozenset[str]) -> dict[type[Tool], tuple[str, ...]]:
    """How to start each contestant that is installed and not in `without`; mlgit is that of this Python."""
    beside = os.path.join(os.path.dirname(sys.executable), "mlgit")
    found: dict[type[Tool], tuple[str, ...] | None] = {
        Copy: ("cp",),
        CheckoutCopy: ("cp",),
        DurableCopy: ("cp",),
        Python: (sys.executable,),
        Mlgit: (beside,) if os.path.exists(beside) else (sys.executable, "-m", "mlgit"),
        Dvc: (dvc,) if dvc else None,
        GitLfs: ("git",) if shutil.which("git-lfs") else None,
        Borg: ("borg",) if shutil.which("borg") else None,
    }
    return {kind: words for kind, words in found.items() if words and kind.name not in without}
