"""A project as its user has it: `git` and `mlgit` are called by name, so hooks and drivers find the program too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import mlgit as package

SOURCE = Path(package.__file__).parent.parent


class Project:
    """A Git repository at `root`, and a program in `bin_folder`, which is made."""

    def __init__(self, root: Path, bin_folder: Path) -> None:
        self.root = root
        bin_folder.mkdir()
        self.program = program = bin_folder / "mlgit"
        program.write_text(f"#!{sys.executable}\nfrom mlgit.__main__ import main\nmain()\n")
        program.chmod(0o755)
        path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "PYTHONPATH": str(SOURCE)}

    def run(self, *words: str, code: int | None = 0, cwd: Path | None = None, **more: str) -> str:
        done = subprocess.run(
            words,
            cwd=cwd or self.root,
            env=self.environment | more,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        output = done.stdout + done.stderr
        assert "Traceback" not in output, output
        assert code is None or done.returncode == code, f"{words} gave {done.returncode}:\n{output}"
        return output

    def git(self, *words: str, code: int | None = 0) -> str:
        return self.run("git", *words, code=code)

    def mlgit(self, *words: str, code: int | None = 0) -> str:
        return self.run("mlgit", *words, code=code)

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def commit(self, code: int = 0, **files: str) -> str:
        for name, text in files.items():
            self.write(name, text)
        self.git("add", "-A")
        return self.git("commit", "--allow-empty", "-m", "change", code=code)

    def commit_anyway(self, name: str, text: str) -> None:
        """Commit one file past all hooks."""
        self.write(name, text)
        self.git("add", "--", name)
        self.git("commit", "-q", "--no-verify", "-m", "anyway")
