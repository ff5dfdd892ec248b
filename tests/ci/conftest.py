"""Fixtures for tests of CI: GitHub's own parser and evaluator, pull requests, and GitHub on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from actions_runner import Evaluator
from openapi import GitHubState, github
from pulls import Pull, make_pull

from mlgit.repo import Repo

MakePull = Callable[..., Pull]


@pytest.fixture(scope="module")
def evaluator() -> Iterator[Evaluator]:
    with Evaluator() as made:
        yield made


@pytest.fixture
def pull(repo: Repo, tmp_path: Path, evaluator: Evaluator) -> MakePull:
    """Make a pull request: `pull({"metrics.json": ...})`."""

    def make(files: dict[str, str], base: dict[str, str] | None = None) -> Pull:
        return make_pull(evaluator, repo.root, tmp_path, files, base)

    return make


@pytest.fixture
def hub() -> Iterator[GitHubState]:
    with github() as state:
        yield state
