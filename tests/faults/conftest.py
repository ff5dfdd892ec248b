"""What the fault tests share: a fast scratch folder, and a table of what the sweeps tried and found."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sweep import Swept, why_not

MEMORY = Path("/dev/shm")
ROOM = 1 << 29


@pytest.fixture(scope="session")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in memory where there is enough; the disk's speed is no part of these tests."""
    if not os.access(MEMORY, os.W_OK) or shutil.disk_usage(MEMORY).free < ROOM:
        yield tmp_path_factory.mktemp("scratch")
        return
    folder = Path(tempfile.mkdtemp(prefix="mlgit-faults-", dir=MEMORY))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def scratch(memory: Path) -> Iterator[Path]:
    """A fresh folder in `memory`."""
    folder = Path(tempfile.mkdtemp(dir=memory))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def tracing() -> None:
    """Skip where no process may be traced."""
    reason = why_not()
    if reason:
        pytest.skip(reason)


@pytest.fixture
def told(record_property: Any) -> Any:
    """Call it with a name and what was swept; the totals stand at the end of the run."""

    def tell(name: str, swept: Swept) -> None:
        record_property("swept", [name, swept.points, swept.killed, len(swept.violations)])

    return tell


def pytest_terminal_summary(terminalreporter: Any) -> None:
    totals: dict[str, Counter[str]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            for key, value in getattr(report, "user_properties", ()):
                if key == "swept" and report.when == "call":
                    name, tried, struck, broken = value
                    totals.setdefault(name, Counter()).update(points=tried, struck=struck, violations=broken)
    if totals:
        terminalreporter.section("sweeps")
        for name, one in sorted(totals.items()):
            terminalreporter.line(
                f"{name:32}" + "".join(f"{one[key]:7} {key}" for key in ("points", "struck", "violations"))
            )
