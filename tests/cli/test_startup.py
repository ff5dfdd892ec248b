"""Start-up stays quick because little is imported, and the table in main.py says what the commands say."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from mlgit.cli.main import COMMANDS, EPILOG, app
from mlgit.cli.reference import EXIT_CODES

HEAVY = {"git", "fsspec", "yaml", "sklearn", "numpy", "rich", "pandas", "sqlite3", "blake3", "xxhash", "pydantic"}


def loaded_after(code: str, cwd: Path) -> set[str]:
    program = f"import sys\n{code}\nsys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], cwd=cwd, capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stderr.split()}


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["-h"], []])
def test_version_and_help_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    found = loaded_after(f"from mlgit.cli.main import run\nassert run({arguments!r}) == 0", tmp_path)
    assert not found & HEAVY


def test_import_mlgit_imports_nothing(tmp_path: Path) -> None:
    program = "import sys; before = set(sys.modules); import mlgit; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert {name for name in done.stdout.split() if not name.startswith("importlib")} <= {
        "mlgit",
        "warnings",
        "__future__",
    }


def test_status_imports_neither_gitpython_nor_rich_nor_fsspec(repo: Any) -> None:
    (repo.root / "a.csv").write_text("1\n")
    program = "from mlgit.cli.main import run\nassert run(['-q', 'add', 'a.csv']) == 0\nassert run(['status']) == 0"
    assert not loaded_after(program, repo.root) & (HEAVY - {"yaml", "sqlite3", "blake3", "xxhash"})


def test_a_status_reads_plain_files_without_pyyaml_and_asks_git_once(repo: Any) -> None:
    (repo.root / "a.csv").write_text("1\n")
    loaded_after("from mlgit.cli.main import run\nassert run(['-q', 'add', 'a.csv']) == 0", repo.root)
    program = """
import subprocess
calls, real = [], subprocess.run
subprocess.run = lambda *a, **k: (calls.append(a), real(*a, **k))[1]
from mlgit.cli.main import run
assert run(['status']) == 0
assert len(calls) == 1, calls
"""
    assert not loaded_after(program, repo.root) & (HEAVY - {"sqlite3", "blake3", "xxhash"})


def all_commands() -> Iterator[tuple[str, Any]]:
    root: Any = typer.main.get_command(app)
    for name in COMMANDS:
        command = root.commands[name]
        yield name, command
        yield from ((f"{name} {below}", one) for below, one in getattr(command, "commands", {}).items())


@pytest.mark.parametrize("name", list(COMMANDS))
def test_help_line_is_the_commands_own(name: str) -> None:
    root: Any = typer.main.get_command(app)
    assert COMMANDS[name][1] == root.commands[name].help.strip().splitlines()[0]


def test_every_module_of_the_table_holds_its_commands_and_no_others() -> None:
    for module in {module for module, _ in COMMANDS.values()}:
        found = importlib.import_module(f"mlgit.cli.{module}").app
        names = {one.name or one.callback.__name__ for one in found.registered_commands}
        names |= {one.name for one in found.registered_groups}
        assert names == {name for name, entry in COMMANDS.items() if entry[0] == module}


def test_every_command_and_every_option_is_explained() -> None:
    for name, command in all_commands():
        assert command.help, name
        for one in command.params:
            assert getattr(one, "hidden", False) or one.help, f"{name}: {one.name}"


def test_every_exit_code_is_in_the_help_and_in_the_reference() -> None:
    for code, _ in EXIT_CODES:
        assert f" {code} " in EPILOG.replace(",", " ").replace(":", ": "), code
