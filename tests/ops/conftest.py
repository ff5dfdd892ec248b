import json
import subprocess
from pathlib import Path

import pytest

from mlgit.repo import Repo


class Project:
    """An mlgit repository in a Git repository, written file by file and committed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self("init", "-q", "-b", "main")
        Repo.init(root)

    def __call__(self, *arguments: str) -> str:
        identity = ("-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", *identity, *arguments], cwd=self.root, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    @property
    def repo(self) -> Repo:
        return Repo(self.root)

    def side(self, rev=None):
        return self.repo.snapshot(rev)

    def write(self, files):
        for name, content in files.items():
            path = self.root / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            if not isinstance(content, (str, bytes)):
                content = json.dumps(content)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, files, message="change"):
        self.write(files)
        self("add", "-A")
        self("commit", "-q", "--allow-empty", "-m", message)
        return self("rev-parse", "HEAD")


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)
