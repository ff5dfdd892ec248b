"""After Git has checked out or merged: tracked data follows, nothing is lost, and Git never looks failed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from health import assert_healthy
from hooked import Project

from mlgit.repo import Repo

STAGES = "stages:\n  copy:\n    cmd: cp in.txt out.txt\n    deps: [in.txt]\n    outs: [out.txt]\n"


def hooked(root: Path, bin_folder: Path) -> Project:
    project = Project(root, bin_folder)
    project.mlgit("hooks", "install")
    return project


@pytest.fixture
def project(repo: Repo, tmp_path: Path) -> Project:
    """`main` holds version one of a folder and a file, `other` version two; `main` is checked out."""
    made = hooked(repo.root, tmp_path / "bin")
    save(made, "one", "a", "b")
    made.git("checkout", "-q", "-b", "other")
    save(made, "two", "a", "c")
    made.git("checkout", "-q", "main")
    return made


def save(project: Project, text: str, *names: str) -> None:
    """Track a folder of files called `names`, and a file, all of which say `text`, and commit."""
    for path in (project.root / "data").glob("*"):
        path.unlink()
    for name in names:
        project.write(f"data/{name}", f"{text}\n")
    project.write("table.csv", f"{text}\n")
    project.mlgit("add", "data", "table.csv")
    project.commit()


def data(root: Path) -> dict[str, str]:
    paths = [*(root / "data").glob("*"), root / "table.csv"]
    return {path.name: path.read_text().strip() for path in paths if path.exists()}


ONE = {"a": "one", "b": "one", "table.csv": "one"}
TWO = {"a": "two", "c": "two", "table.csv": "two"}


def test_a_branch_brings_its_data_and_says_so(project: Project) -> None:
    assert "checked out 2 changed paths" in project.git("checkout", "other")
    assert data(project.root) == TWO
    assert "checked out 2 changed paths" in project.git("switch", "-")
    assert data(project.root) == ONE
    assert_healthy(Repo(project.root))


def test_nothing_to_do_prints_nothing_and_reads_no_pointer(project: Project) -> None:
    assert "mlgit" not in project.git("checkout", "-b", "third")
    project.commit(**{"notes.txt": "hello\n"})
    project.write("data.mlgit", "malformed")
    assert project.mlgit("hooks", "run", "post-checkout", "HEAD~1", "HEAD", "1") == ""
    assert project.mlgit("hooks", "run", "post-checkout", "other", "HEAD", "0") == ""


@pytest.mark.parametrize("name", ["post-checkout", "pre-commit"])
def test_a_hook_without_work_imports_little(name: str, project: Project) -> None:
    project.git("add", "-A")
    text = (
        f"import sys; from mlgit.cli.main import run; code = run(['hooks', 'run', {name!r}, 'HEAD', 'HEAD', '1']);"
        "print(code, sorted({'git', 'yaml', 'fsspec', 'sqlite3', 'rich', 'mlgit.repo'} & set(sys.modules)))"
    )
    assert project.run(sys.executable, "-c", text) == "0 []\n"


def test_single_files_leave_data_alone(project: Project) -> None:
    assert "checked out" not in project.git("checkout", "other", "--", "data.mlgit")
    assert data(project.root) == ONE


def test_unsaved_changes_are_kept_and_named(project: Project) -> None:
    project.write("data/a", "mine\n")
    output = project.git("checkout", "other")
    assert "kept, with changes that are in no store: data" in output
    assert "mlgit checkout -f data" in output
    assert data(project.root) == {"a": "mine", "b": "one", "table.csv": "two"}
    project.mlgit("checkout", "-f", "data")
    assert data(project.root) == TWO


def test_what_the_cache_lacks_is_told_and_git_succeeds(project: Project, tmp_path: Path) -> None:
    project.mlgit("remote", "add", "-d", "store", str(tmp_path / "store"))
    project.mlgit("push", "-a")
    project.mlgit("gc", "-w", "--grace", "0", "--yes")
    output = project.git("checkout", "other")
    assert "the cache lacks what is to stand at data, table.csv; get it: `mlgit pull`" in output
    assert data(project.root) == ONE
    project.mlgit("pull")
    assert data(project.root) == TWO


def test_data_that_a_branch_does_not_track_goes_and_comes_back(project: Project) -> None:
    start = project.git("rev-list", "--max-parents=0", "HEAD").strip()
    project.git("checkout", "-q", start)
    assert data(project.root) == {}
    assert "table.csv" not in project.git("status", "--porcelain")
    project.git("checkout", "-q", "main")
    assert data(project.root) == ONE
    project.write("table.csv", "mine\n")
    assert "tracked here no more, and left because it had changed: table.csv" in project.git("checkout", start)
    assert data(project.root) == {"table.csv": "mine"}


def test_a_file_that_git_takes_over_stays(project: Project) -> None:
    project.git("checkout", "-q", "-b", "taken")
    project.mlgit("remove", "table.csv")
    project.git("add", "-A")
    project.git("add", "-f", "table.csv")
    project.git("commit", "-q", "-m", "Git holds it")
    project.git("checkout", "-q", "main")
    assert data(project.root) == ONE
    project.git("checkout", "-q", "taken")
    assert data(project.root) == ONE
    assert project.git("status", "--porcelain") == ""


def test_outputs_follow_the_lock(project: Project) -> None:
    for text in ("one", "two"):
        project.write("mlgit.yaml", STAGES)
        project.write("in.txt", text)
        project.mlgit("repro")
        project.commit()
    project.git("checkout", "-q", "HEAD~1")
    assert (project.root / "out.txt").read_text() == "one"
    assert "nothing changed" in project.mlgit("repro")
    project.git("checkout", "-q", "HEAD~1")
    assert not (project.root / "out.txt").exists()
    project.git("checkout", "-q", "main")
    assert (project.root / "out.txt").read_text() == "two"


def test_a_merge_brings_its_data(project: Project) -> None:
    assert "checked out 2 changed paths" in project.git("merge", "other")
    assert data(project.root) == TWO
    project.git("reset", "-q", "--hard", "HEAD~1")
    project.mlgit("checkout")
    assert data(project.root) == ONE
    assert "checked out 2 changed paths" in project.git("merge", "--squash", "other")
    assert data(project.root) == TWO


def test_a_true_merge_joins_folders_on_disk_too(project: Project) -> None:
    save(project, "one", "a", "b", "d")
    project.git("checkout", "-q", "other")
    project.write("data/e", "two\n")
    project.mlgit("add", "data")
    project.commit()
    project.git("checkout", "-q", "main")
    project.git("merge", "--no-edit", "other")
    assert sorted(data(project.root)) == ["a", "c", "d", "e", "table.csv"]


def test_a_rebase_is_not_held_up(project: Project) -> None:
    project.commit(**{"notes.txt": "mine\n"})
    output = project.git("rebase", "other")
    assert "tracked data stays as it is during a rebase" in output
    assert data(project.root) == ONE
    project.mlgit("checkout")
    assert data(project.root) == TWO


def test_a_new_worktree_and_a_clone_are_told_to_pull(project: Project, tmp_path: Path) -> None:
    project.mlgit("remote", "add", "-d", "store", str(tmp_path / "store"))
    project.commit()
    project.mlgit("push")
    output = project.git("worktree", "add", "-b", "side", str(tmp_path / "side"))
    assert "get it: `mlgit pull`" in output
    project.run("mlgit", "pull", cwd=tmp_path / "side")
    assert data(tmp_path / "side") == ONE
    template = tmp_path / "template" / "hooks"
    template.parent.mkdir()
    (project.root / ".git/hooks").rename(template)
    words = ("clone", f"--template={template.parent}", str(project.root), str(tmp_path / "clone"))
    assert "get it: `mlgit pull`" in project.git(*words)


def test_roots_below_the_top_are_each_brought_in_line(git_folder: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (git_folder / name).mkdir()
        Repo.init(git_folder / name)
    project = hooked(git_folder, tmp_path / "bin")
    for text in ("old", "new"):
        for name in ("one", "two"):
            project.write(f"{name}/data.txt", text)
            project.run("mlgit", "add", "data.txt", cwd=git_folder / name)
        project.commit()
    project.write("two/data.txt", "mine")
    output = project.run("git", "checkout", "HEAD~1", cwd=git_folder / "one")
    assert "kept, with changes that are in no store: two/data.txt" in output
    assert "mlgit -C two checkout -f data.txt" in output
    assert (git_folder / "one/data.txt").read_text() == "old"
    assert (git_folder / "two/data.txt").read_text() == "mine"


def test_git_never_looks_failed(project: Project) -> None:
    project.git("checkout", "-q", "-b", "broken")
    project.commit_anyway("data.mlgit", "out: ../data\n")
    project.git("checkout", "-q", "main")
    assert "error: data.mlgit" in project.git("checkout", "broken")
    project.git("checkout", "-q", "main")
    assert data(project.root) == ONE
    hook = project.root / ".git/hooks/post-checkout"
    hook.write_text(hook.read_text().replace(str(project.program), "/gone/mlgit"))
    project.environment["PATH"] = "/usr/local/bin:/usr/bin:/bin"
    assert "mlgit is not installed" in project.git("checkout", "other")


def test_another_hook_runs_first_and_its_answer_counts(project: Project) -> None:
    other = project.root / ".git/hooks/post-checkout.local"
    other.write_text('#!/bin/sh\necho "other hook saw $3"\nexit 3\n')
    other.chmod(0o755)
    assert "other hook saw 1" in project.git("checkout", "other", code=1)
    assert data(project.root) == TWO


def test_a_sparse_checkout_does_not_delete_what_it_leaves_out(project: Project) -> None:
    project.git("sparse-checkout", "set", "--no-cone", "/*", "!/table.csv.mlgit")
    project.git("checkout", "-q", "other")
    assert data(project.root) == TWO | {"table.csv": "one"}
