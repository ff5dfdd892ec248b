"""Row 52: any order of adding, editing, committing, switching, collecting, sharing and dying keeps every promise.

Hypothesis makes up the orders and shrinks the ones that break something. The model knows the working tree, what the
pointer names and what was committed where; after each step all invariants hold and all of it still exists.
"""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from health import Files, files_below, violations
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sweep import Case, execute, inject, mlgit, why_not

from mlgit.cli.main import run
from mlgit.repo import Repo
from mlgit.store import gc as collecting

BRANCHES = ("main", "side")
NAMES = st.sampled_from(["a", "b", "sub/c", "sub/deep/d"])
TEXTS = st.sampled_from(
    [b"", b"one", b"two", b"three" * 50, b"L" * (1 << 20), b"M" * (1 << 20), b"N" * ((1 << 20) + 9)]
)
CALLS = st.sampled_from(["rename", "fsync", "unlink", "mkdir", "write", "openat", "link", "unlinkat", "pwrite64"])
KILLED = st.sampled_from([("add", "data"), ("checkout",), ("gc", "-A", "--yes", "--grace", "0"), ("push", "--yes")])
TRACED = why_not() is None
KEEP = {"keep": b"always there"}


class LifeCycle(RuleBasedStateMachine):
    """One repository, its remote, and a model of both."""

    def __init__(self) -> None:
        super().__init__()
        self.area = Path(tempfile.mkdtemp(prefix="life-", dir=os.environ.get("LIFE_CYCLE")))
        self.root = self.area / "project"
        self.branch = "main"

    @initialize()
    def begin(self) -> None:
        self.root.mkdir()
        execute(self.root, "git", "init", "-q", "-b", "main")
        mlgit(self.root, "init")
        mlgit(self.root, "remote", "add", "-d", "store", "../remote")
        (self.root / "data").mkdir()
        self.tree: Files = dict(KEEP)
        self._write("keep", KEEP["keep"])
        mlgit(self.root, "add", "data")
        self.saved: Files = dict(self.tree)
        self.commits: dict[str, Files] = {}
        self.history: list[Files] = []
        self._commit()
        execute(self.root, "git", "branch", "side")
        self.commits["side"] = dict(self.saved)

    def _write(self, name: str, data: bytes) -> None:
        path = self.root / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(data)

    def _commit(self) -> None:
        execute(self.root, "git", "add", "-A")
        execute(self.root, "git", "commit", "-q", "--allow-empty", "-m", "state")
        self.commits[self.branch] = dict(self.saved)
        self.history.append(dict(self.saved))

    def _run(self, *words: str) -> int:
        return run(["-C", str(self.root), *words])

    # -- what the user does ------------------------------------------------------------------------------------------

    @rule(name=NAMES, data=TEXTS)
    def edit(self, name: str, data: bytes) -> None:
        self._write(name, data)
        self.tree[name] = data

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        (self.root / "data" / name).unlink(missing_ok=True)
        self.tree.pop(name, None)

    @rule()
    def add(self) -> None:
        mlgit(self.root, "add", "data")
        self.saved = dict(self.tree)

    @rule()
    def commit(self) -> None:
        self._commit()

    @rule(force=st.booleans())
    def checkout(self, force: bool) -> None:
        code = self._run("checkout", *(["-f"] if force else []))
        if force or code == 0:
            assert code == 0
            self.tree = dict(self.saved)
        else:
            assert code == 1
            assert self.tree != self.saved

    @precondition(lambda self: self.commits[self.branch] == self.saved)
    @rule(branch=st.sampled_from(BRANCHES))
    def switch(self, branch: str) -> None:
        execute(self.root, "git", "checkout", "-q", branch)
        self.branch = branch
        self.saved = dict(self.commits[branch])

    @rule()
    def collect(self) -> None:
        mlgit(self.root, "gc", "-A", "--yes", "--grace", "0")

    @rule()
    def push(self) -> None:
        mlgit(self.root, "push", "--yes")

    @precondition(lambda self: self.commits[self.branch] == self.saved)
    @rule()
    def clone(self) -> None:
        """What was pushed is what somebody else gets."""
        mlgit(self.root, "push", "--yes")
        execute(self.area, "git", "clone", "-q", "-b", self.branch, "project", "clone")
        mlgit(self.area / "clone", "pull")
        assert files_below(self.area / "clone" / "data") == self.saved
        assert violations(Repo(self.area / "clone"), tidy=True) == []
        gc.collect()
        shutil.rmtree(self.area / "clone")

    @rule(damage=st.sampled_from(["index.db", "clock", "tmp"]))
    def forget(self, damage: str) -> None:
        """What may be deleted at any time is deleted."""
        gc.collect()
        for path in (self.root / ".mlgit").glob(f"{damage}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    @precondition(lambda self: TRACED)
    @rule(command=KILLED, call=CALLS, number=st.integers(1, 30))
    def kill(self, command: tuple[str, ...], call: str, number: int) -> None:
        """A command is killed at one of its calls, then given again."""
        gc.collect()
        before = dict(self.tree)
        inject(self.area, Case(command[0], command), (call, number), "signal=KILL")
        found = {name: data for name, data in files_below(self.root / "data").items() if not name.startswith(".")}
        allowed = self.saved if command[0] == "checkout" else before
        for name in {*found, *before}:
            assert found.get(name) in (before.get(name), allowed.get(name)), f"{name} is neither old nor new"
        self.tree = found
        self._check(tidy=False)
        if command[0] == "checkout":
            self.checkout(force=False)
            return
        assert self._run(*command) == 0
        if command[0] == "add":
            self.saved = dict(self.tree)

    # -- what must hold ----------------------------------------------------------------------------------------------

    def _check(self, *, tidy: bool) -> None:
        kept = [data for one in self.history for data in one.values()]
        remotes = [self.area / "remote"] if (self.area / "remote").exists() else []
        found = violations(Repo(self.root), remotes=remotes, bytes_of_user=kept, tidy=tidy)
        assert found == []

    @invariant()
    def all_is_well(self) -> None:
        if not hasattr(self, "saved"):
            return
        assert files_below(self.root / "data") == self.tree
        self._check(tidy=False)

    @invariant()
    def status_tells_the_truth(self) -> None:
        if hasattr(self, "saved"):
            assert self._run("status", "--exit-code") == int(self.tree != self.saved)

    def teardown(self) -> None:
        gc.collect()
        shutil.rmtree(self.area, ignore_errors=True)


def _live(memory: Path, monkeypatch: pytest.MonkeyPatch, chosen: settings) -> None:
    monkeypatch.setenv("LIFE_CYCLE", str(memory))
    run_state_machine_as_test(LifeCycle, settings=chosen)  # type: ignore[no-untyped-call]


COMMON = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False)


def test_a_life(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _live(memory, monkeypatch, settings(COMMON, max_examples=10, stateful_step_count=14, derandomize=True))


def test_a_careless_collector_is_found_out(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gc that forgets what commits need breaks an invariant within a few lives."""
    plan = collecting.plan
    monkeypatch.setattr(collecting, "plan", lambda store, kept, **options: plan(store, [], **options))
    hurried = settings(COMMON, max_examples=30, stateful_step_count=10, derandomize=True, phases=[Phase.generate])
    with pytest.raises(AssertionError):
        _live(memory, monkeypatch, hurried)


@pytest.mark.slow
def test_many_lives(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _live(memory, monkeypatch, settings(COMMON, max_examples=100, stateful_step_count=40))
