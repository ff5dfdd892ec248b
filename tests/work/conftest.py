"""Short ways to say what a user does, without a process for each."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mlgit.model.tree import Content
from mlgit.repo import Repo
from mlgit.work import add

Add = Callable[..., Content]
Checkout = Callable[..., bool]


@pytest.fixture
def save(repo: Repo) -> Add:
    """`save("data")`: what `mlgit add data` does; returns the content."""

    def run(name: str, *, follow: bool = False) -> Content:
        fresh = Repo(repo.root)
        path = fresh.path(name, fresh.root)
        made = add.plan(fresh.workspace, [path], fresh.tracked())
        return add.apply(fresh.workspace, made, follow=follow).contents[path]

    return run


@pytest.fixture
def checkout(repo: Repo) -> Checkout:
    """`checkout("data", content)`: make it hold `content`; true if anything changed."""

    def run(name: str, content: Content | None, *, force: bool = False) -> bool:
        fresh = Repo(repo.root)
        return fresh.workspace.checkout(fresh.path(name, fresh.root), content, force=force)

    return run


@pytest.fixture
def look(repo: Repo) -> Callable[[str], Content | None]:
    """`look("data")`: what stands there now, as a new process would see it."""

    def run(name: str) -> Content | None:
        fresh = Repo(repo.root)
        return fresh.workspace.identify(fresh.path(name, fresh.root))

    return run


def settle(folder: Path) -> None:
    """Make everything below `folder` so old that its fingerprints are believed; ctime cannot be set, so wait for it."""
    import time

    for path in folder.rglob("*"):
        os.utime(path, ns=(10**18, 10**18 + 1), follow_symlinks=False)
    time.sleep(0.03)


@pytest.fixture(name="settle")
def _settle() -> Callable[[Path], None]:
    return settle


@pytest.fixture
def large() -> bytes:
    """More than the limit above which an object is a file of its own."""
    return os.urandom((1 << 20) + 99)
