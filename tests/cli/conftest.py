"""Running the program inside the test's own process: the same entry, without a new interpreter each time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlgit.cli.main import run


@dataclass(frozen=True)
class Said:
    """What one command gave."""

    code: int
    out: str
    err: str


Cli = Callable[..., Said]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """`cli("add", "x", cwd=folder)`; fails where the exit code is another than `code` (None for any)."""

    def call(*arguments: str, cwd: Path, code: int | None = 0) -> Said:
        monkeypatch.chdir(cwd)
        capsys.readouterr()
        found = run(arguments)
        said = Said(found, *capsys.readouterr())
        assert "Traceback" not in said.err
        assert "bug in mlgit" not in said.err
        assert code is None or found == code, f"exit {found}\n{said.out}\n{said.err}"
        return said

    return call
