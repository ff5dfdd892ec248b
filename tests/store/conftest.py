"""Stores in folders, and a small tree to put into them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from stores import MakeStore

from mlgit.store.local import LocalBackend
from mlgit.store.objects import LARGE, Store


@pytest.fixture
def new_store(tmp_path: Path) -> MakeStore:
    """Open the store in a folder called by name, as another process would."""

    def make(name: str) -> Store:
        return Store(LocalBackend(tmp_path / name), "blake3", scratch=tmp_path / name / "tmp")

    return make


@pytest.fixture
def store(new_store: MakeStore) -> Store:
    return new_store("store")


@pytest.fixture
def large() -> bytes:
    return os.urandom(LARGE + 4321)
