"""Before a push at a terminal: the user is asked once whether to push the data, and Git goes on if that helped."""

from __future__ import annotations

import os
import pty
import select
import sys
import time
from pathlib import Path

import pytest
from hooked import Project

from mlgit.repo import Repo

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
QUESTION = "push the data now? [Y/n]"


def at_terminal(project: Project, answer: str, *words: str) -> tuple[int, str]:
    """Run a command on a terminal of its own, and type `answer` when it asks; exit code and all that it printed."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(project.root)
        os.execvpe(words[0], words, project.environment)
    seen, told, until = b"", 0, time.monotonic() + 60
    while time.monotonic() < until:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # Linux says so when the other end is closed
            piece = b""
        if not piece:
            break
        seen += piece
        if seen.count(b"? [") > told:
            told += 1
            os.write(terminal, answer.encode())
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), seen.decode()


@pytest.fixture
def project(repo: Repo, tmp_path: Path) -> Project:
    """Data in two commits that Git is about to send, and a remote that has none of it."""
    made = Project(repo.root, tmp_path / "bin")
    made.mlgit("hooks", "install")
    made.git("init", "-q", "--bare", str(tmp_path / "origin.git"))
    made.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    made.mlgit("remote", "add", "-d", "store", str(tmp_path / "store"))
    for text in ("one", "two"):
        made.write("data.txt", text)
        made.mlgit("add", "data.txt")
        made.commit()
    return made


def sent(project: Project) -> bool:
    return "refs/heads/main" in project.git("ls-remote", "origin")


def test_yes_pushes_the_data_of_every_commit_and_lets_git_go_on(project: Project, tmp_path: Path) -> None:
    code, output = at_terminal(project, "\n", "git", "push", "origin", "main")
    assert (code, output.count(QUESTION)) == (0, 1), output
    assert sent(project)
    clone = tmp_path / "clone"
    project.mlgit("clone", str(project.root), str(clone))
    project.run("git", "checkout", "-q", "HEAD~1", cwd=clone)
    project.run("mlgit", "pull", cwd=clone)
    assert (clone / "data.txt").read_text() == "one"
    code, output = at_terminal(project, "", "git", "push", "origin", "main:again")
    assert (code, QUESTION in output) == (0, False)


@pytest.mark.parametrize("answer", ["n\n", "\x04", "\x03"])
def test_no_leaves_everything_as_it_is(answer: str, project: Project, tmp_path: Path) -> None:
    code, output = at_terminal(project, answer, "git", "push", "origin", "main")
    assert code != 0
    assert "hint: mlgit push" in output
    assert not sent(project)
    assert not (tmp_path / "store" / "index").exists()


def test_a_place_that_a_commit_named_is_asked_about_too(project: Project, tmp_path: Path) -> None:
    (project.root / ".mlgit/trusted").unlink(missing_ok=True)
    (project.root / ".mlgit/config.local.yaml").unlink(missing_ok=True)
    project.write(".mlgit/config.yaml", f"remotes:\n  store:\n    url: {tmp_path / 'elsewhere'}\n")
    project.commit()
    code, output = at_terminal(project, "y\n", "git", "push", "origin", "main")
    assert "which the repository's configuration names?" in output
    assert (code, sent(project)) == (0, True), output


def test_what_no_push_can_mend_is_not_offered(project: Project) -> None:
    project.mlgit("remote", "remove", "store")
    code, output = at_terminal(project, "\n", "git", "push", "origin", "main")
    assert code != 0
    assert "mlgit remote add -d NAME URL" in output
    assert QUESTION not in output


def test_without_a_terminal_nobody_is_asked(project: Project) -> None:
    output = project.git("push", "origin", "main", code=1)
    assert "hint: mlgit push" in output
    assert QUESTION not in output
