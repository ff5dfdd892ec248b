"""Git's hooks on real repositories: what they block, that mending helps, and that other hooks stay."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hooked import SOURCE, Project

from mlgit.repo import Repo

STAGES = """\
stages:
  train:
    cmd: cp data.csv model.bin && cp scale.py out.txt
    deps: [data.csv, scale.py, src]
    params: [rate]
    outs: [model.bin]
    metrics:
      - out.txt: {cache: false}
"""


@pytest.fixture
def project(repo: Repo, tmp_path: Path) -> Project:
    made = Project(repo.root, tmp_path / "bin")
    made.mlgit("hooks", "install")
    return made


@pytest.fixture
def trained(project: Project) -> Project:
    """A stage that has run, everything committed."""
    for name, text in {
        "mlgit.yaml": STAGES,
        "params.yaml": "rate: 1\nother: 1\n",
        "data.csv": "a,b\n",
        "scale.py": "x = 1\n",
        "src/lib/one.py": "1\n",
        "src/two.sh": "2\n",
    }.items():
        project.write(name, text)
    (project.root / "src/two.sh").chmod(0o755)
    project.mlgit("add", "data.csv")
    project.mlgit("repro")
    project.commit()
    return project


# -- nothing to say --------------------------------------------------------------------------------


def test_a_commit_that_does_not_concern_mlgit_imports_neither_gitpython_nor_yaml(project: Project) -> None:
    project.write("notes.txt", "hello\n")
    project.git("add", "-A")
    text = (
        "import sys; from mlgit.cli.main import run; code = run(['hooks', 'run', 'pre-commit']);"
        "print(code, sorted({'git', 'yaml', 'fsspec', 'sqlite3', 'rich'} & set(sys.modules)))"
    )
    assert project.run(sys.executable, "-c", text) == "0 []\n"
    assert "failed" not in project.git("commit", "-m", "notes")


def test_the_first_commit_of_a_repository_is_checked(tmp_path: Path, git_folder: Path) -> None:
    Repo.init(git_folder)
    project = Project(git_folder, tmp_path / "bin")
    project.mlgit("hooks", "install")
    project.write("big.bin", "x" * (6 << 20))
    assert "big.bin" in project.commit(code=1)
    (project.root / "big.bin").unlink()
    project.commit()


# -- each check blocks, and lets pass once mended --------------------------------------------------


def test_a_large_file_is_blocked_until_mlgit_tracks_it(project: Project) -> None:
    project.write("small.bin", "x" * 1000)
    project.write("big file.bin", "x" * (6 << 20))
    output = project.commit(code=1)
    assert "6.0 MiB, more than 5.0 MiB" in output
    assert "small.bin" not in output
    hint = "git rm --cached 'big file.bin' && mlgit add 'big file.bin'"
    assert hint in output
    project.run("sh", "-c", hint)
    project.commit()
    assert "big file.bin.mlgit" in project.git("ls-files")


def test_the_limit_can_be_moved_and_a_wrong_one_is_explained(project: Project) -> None:
    project.write("middle.bin", "x" * 3000)
    project.git("add", "-A")
    assert "middle.bin" in project.mlgit("hooks", "run", "large-files", "--limit", "2K", code=1)
    assert project.mlgit("hooks", "run", "large-files", "--limit", "3K") == ""
    assert "not a size" in project.mlgit("hooks", "run", "large-files", "--limit", "much", code=2)


def test_a_pointer_is_blocked_while_its_data_is_another(project: Project) -> None:
    project.write("data/a.txt", "one")
    project.mlgit("add", "data")
    project.git("add", "-A")
    project.write("data/a.txt", "two")
    output = project.git("commit", "-m", "change", code=1)
    assert "data.mlgit" in output
    assert "mlgit add data && git add data.mlgit, or go back: mlgit checkout data" in output
    project.mlgit("add", "data")
    assert "the pointer on disk is another: git add data.mlgit" in project.git("commit", "-m", "change", code=1)
    project.git("add", "data.mlgit")
    project.git("commit", "-m", "change")


def test_a_pointer_changed_by_hand_is_blocked_until_its_data_is_checked_out(project: Project) -> None:
    project.write("data.txt", "one")
    project.mlgit("add", "data.txt")
    project.commit()
    project.write("data.txt", "two")
    project.mlgit("add", "data.txt")
    project.commit()
    project.git("checkout", "HEAD~1", "--", "data.txt.mlgit")
    assert "data.txt holds" in project.git("commit", "-m", "back", code=1)
    project.mlgit("checkout", "data.txt")
    project.git("commit", "-m", "back")


def test_a_malformed_pointer_is_blocked_and_absent_data_is_not(project: Project) -> None:
    output = project.commit(code=1, **{"x.mlgit": "out: ../x\n", "y.mlgit": "out: y\n"})
    assert "x.mlgit" in output
    assert "y.mlgit" in output
    oid = "blake3:" + "0" * 64
    (project.root / "x.mlgit").unlink()
    project.commit(**{"y.mlgit": f"out: y\noid: {oid}\ntype: file\nsize: 1\n"})
    assert "called after its output" in project.commit(
        code=1, **{"z.mlgit": f"out: other\noid: {oid}\ntype: file\nsize: 1\n"}
    )


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("params.yaml", "rate: 2\nother: 1\n", "parameter params.yaml:rate changed: 1 → 2"),
        ("scale.py", "x = 2\n", "dependency scale.py changed"),
        ("src/lib/one.py", "one\n", "dependency src changed"),
        ("mlgit.yaml", STAGES.replace("cmd: cp", "cmd: cp -f"), "the command changed"),
        ("mlgit.yaml", STAGES.replace("scale.py, src]", "scale.py, src, params.yaml]"), "params.yaml is new"),
        ("out.txt", "better\n", "output out.txt changed"),
        ("mlgit.lock", "mlgit: 1\nstages: {}\n", "has no entry in the lock"),
    ],
)
def test_a_stale_lock_is_blocked_until_repro(trained: Project, name: str, text: str, reason: str) -> None:
    output = trained.commit(code=1, **{name: text})
    assert reason in output
    assert "train" in output
    assert "hint: mlgit repro train && git add mlgit.lock" in output
    trained.mlgit("repro")
    trained.commit()


def test_data_that_another_pointer_names_makes_the_lock_stale(trained: Project) -> None:
    trained.write("data.csv", "a,b,c\n")
    trained.mlgit("add", "data.csv")
    assert "dependency data.csv changed" in trained.commit(code=1)
    trained.mlgit("repro")
    trained.commit()


def test_a_dependency_that_leaves_git_makes_the_lock_stale(trained: Project) -> None:
    trained.git("rm", "-q", "scale.py")
    assert "dependency scale.py is missing" in trained.git("commit", "-m", "gone", code=1)


def test_what_is_staged_counts_and_not_what_is_on_disk(trained: Project) -> None:
    trained.write("params.yaml", "rate: 2\nother: 1\n")
    trained.mlgit("repro")
    trained.git("add", "params.yaml")
    output = trained.git("commit", "-m", "half", code=1)
    assert "mlgit.lock on disk is not staged: git add mlgit.lock" in output
    trained.git("add", "mlgit.lock")
    trained.write("params.yaml", "rate: 3\nother: 1\n")
    trained.git("commit", "-m", "whole")


def test_changes_that_no_stage_reads_pass(trained: Project) -> None:
    trained.commit(**{"params.yaml": "rate: 1\nother: 2\n", "readme.md": "hello\n"})


def test_files_that_git_leaves_out_of_a_folder_do_not_make_it_stale(trained: Project) -> None:
    trained.write(".gitignore", (trained.root / ".gitignore").read_text() + "src/*.log\n")
    trained.write("src/run.log", "noise\n")
    trained.write("src/lib/one.py", "one\n")
    trained.mlgit("repro")
    trained.commit()


def test_line_ends_that_git_changes_do_not_make_a_lock_stale(trained: Project) -> None:
    trained.write(".gitattributes", "*.py text eol=crlf\n")
    (trained.root / "scale.py").write_bytes(b"x = 5\r\n")
    trained.mlgit("repro")
    trained.commit()
    assert "x = 5" in trained.git("show", "HEAD:scale.py")


def test_gates_must_decode(project: Project) -> None:
    bad = "gates:\n  - {metric: 'm.json:a', direction: higher}\n  - {metric: 'm.json:b', minimum: 1}\n"
    output = project.commit(code=1, **{"mlgit.yaml": bad})
    assert "mlgit.yaml:3" in output
    assert "minimum" in output
    project.commit(**{"mlgit.yaml": "gates:\n  - {metric: 'm.json:b', min: 1}\n"})


def test_the_index_of_a_partial_commit_is_the_one_that_counts(trained: Project) -> None:
    trained.write("scale.py", "x = 3\n")
    trained.write("readme.md", "hello\n")
    trained.git("add", "-A")
    trained.git("commit", "-m", "only the readme", "readme.md")
    assert "dependency scale.py changed" in trained.git("commit", "-a", "-m", "all", code=1)


def test_hooks_work_in_another_worktree(trained: Project, tmp_path: Path) -> None:
    other = tmp_path / "other"
    trained.git("worktree", "add", "-q", str(other), "-b", "side")
    (other / "scale.py").write_text("x = 4\n")
    trained.run("git", "add", "-A", cwd=other)
    assert "dependency scale.py changed" in trained.run("git", "commit", "-m", "x", cwd=other, code=1)


def test_roots_below_the_top_of_git_are_found(git_folder: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (git_folder / name).mkdir()
        Repo.init(git_folder / name)
    project = Project(git_folder, tmp_path / "bin")
    project.mlgit("hooks", "install")
    project.commit()
    for name in ("one", "two"):
        project.write(f"{name}/data.txt", "1")
        project.run("mlgit", "add", "data.txt", cwd=git_folder / name)
        project.git("add", "-A")
        project.write(f"{name}/data.txt", "2")
    found = json.loads(project.mlgit("hooks", "run", "pre-commit", "--json", code=1))
    assert (found["verdict"], len(found["one/pointers"]), found["one/large-files"]) == ("fail", 1, [])
    output = project.git("commit", "-m", "both", code=1)
    assert "Pointers and their data, in one/: failed" in output
    assert "Pointers and their data, in two/: failed" in output


# -- before a push ---------------------------------------------------------------------------------


def test_a_push_waits_for_mlgit_push(project: Project, tmp_path: Path) -> None:
    project.git("init", "-q", "--bare", str(tmp_path / "origin.git"))
    project.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    project.git("push", "-q", "origin", "main")
    project.write("data/a.txt", "one")
    project.mlgit("add", "data")
    project.commit()
    assert "no remote is configured" in project.git("push", "origin", "main", code=1)
    project.mlgit("remote", "add", "-d", "store", str(tmp_path / "store"))
    output = project.git("push", "origin", "main", code=1)
    assert "remote store lacks 2 objects" in output
    assert "hint: mlgit push\n" in output
    project.mlgit("push")
    project.git("push", "origin", "main")
    project.commit(**{"readme.md": "no data here\n"})
    project.mlgit("remote", "modify", "store", "url", str(tmp_path / "nowhere"))
    project.git("push", "origin", "main")  # nothing that goes out names data, so no remote is asked


def test_every_commit_on_the_way_needs_its_data(project: Project, tmp_path: Path) -> None:
    project.git("init", "-q", "--bare", str(tmp_path / "origin.git"))
    project.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    project.mlgit("remote", "add", "-d", "store", str(tmp_path / "store"))
    for text in ("one", "two"):
        project.write("data.txt", text)
        project.mlgit("add", "data.txt")
        project.commit()
    project.mlgit("push")
    first = project.git("rev-parse", "--short=7", "HEAD~1").strip()
    assert f"hint: mlgit push --rev {first}" in project.git("push", "origin", "main", code=1)
    project.mlgit("push", "--rev", first)
    project.git("push", "origin", "main")
    project.git("push", "origin", ":refs/heads/main", code=None)  # deleting a branch sends nothing


def test_lost_data_of_an_older_commit_only_warns(project: Project, tmp_path: Path) -> None:
    project.git("init", "-q", "--bare", str(tmp_path / "origin.git"))
    project.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    project.mlgit("remote", "add", "-d", "store", str(tmp_path / "store"))
    oid = "blake3:" + "0" * 64
    project.commit(**{"lost.mlgit": f"out: lost\noid: {oid}\ntype: file\nsize: 1\n"})
    assert "and so does the cache" in project.git("push", "origin", "main", code=1)
    (project.root / "lost.mlgit").unlink()
    project.commit()
    assert "cannot be checked out any more" in project.git("push", "origin", "main")


# -- beside other hooks ----------------------------------------------------------------------------


def test_a_hook_that_was_there_still_runs_and_comes_back(repo: Repo, tmp_path: Path) -> None:
    project = Project(repo.root, tmp_path / "bin")
    folder = repo.root / ".git/hooks"
    texts = {name: f"#!/bin/sh\necho ran {name} >&2\ncat >{tmp_path}/{name}\n" for name in ("pre-commit", "pre-push")}
    for name, text in texts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    project.mlgit("hooks", "install", "--dry-run")
    assert (folder / "pre-commit").read_text() == texts["pre-commit"]
    assert "kept as `<name>.local`" in project.mlgit("hooks", "install")
    assert "pre-commit: nothing" in project.mlgit("hooks", "install")
    assert "ran pre-commit" in project.commit(**{"a.txt": "a"})
    project.git("init", "-q", "--bare", str(tmp_path / "origin.git"))
    assert "ran pre-push" in project.git("push", str(tmp_path / "origin.git"), "main")
    assert "refs/heads/main" in (tmp_path / "pre-push").read_text()
    project.mlgit("hooks", "install", "--uninstall")
    assert {name: (folder / name).read_text() for name in texts} == texts
    assert not list(folder.glob("*.local"))


def test_a_failing_hook_of_others_still_blocks(repo: Repo, tmp_path: Path) -> None:
    project = Project(repo.root, tmp_path / "bin")
    hook = repo.root / ".git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\nexit 3\n")
    hook.chmod(0o755)
    project.mlgit("hooks", "install")
    project.commit(code=1, **{"a.txt": "a"})


def test_nothing_is_overwritten(repo: Repo, tmp_path: Path) -> None:
    project = Project(repo.root, tmp_path / "bin")
    folder = repo.root / ".git/hooks"
    for name in ("pre-commit", "pre-commit.local"):
        (folder / name).write_text(name)
    assert "neither is mlgit's" in project.mlgit("hooks", "install", code=2)
    assert (folder / "pre-commit").read_text() == "pre-commit"
    assert not (folder / "pre-push").exists()
    project.git("config", "core.hooksPath", ".husky")
    output = project.mlgit("hooks", "install", code=2)
    assert "core.hooksPath" in output
    assert "pre-commit: mlgit hooks run pre-commit || exit\n" in output
    assert 'post-merge: mlgit hooks run post-merge "$@"\n' in output


def test_hooks_of_an_older_mlgit_are_upgraded(project: Project) -> None:
    folder = project.root / ".git/hooks"
    new = (folder / "pre-push").read_text()
    (folder / "pre-push").write_text(new.replace("exit 1", "exit 3"))
    (folder / "post-merge").unlink()
    output = project.mlgit("hooks", "install")
    for line in ("pre-commit: nothing", "pre-push: write", "post-checkout: nothing", "post-merge: write"):
        assert line in output
    assert (folder / "pre-push").read_text() == new
    assert (folder / "post-merge").stat().st_mode & 0o111
    project.mlgit("hooks", "install", "--uninstall")
    assert not [path for path in folder.iterdir() if path.suffix != ".sample"]


def test_wrong_names_and_places_are_explained(project: Project, tmp_path: Path) -> None:
    assert "one of: pre-commit" in project.mlgit("hooks", "run", "everything", code=2)
    assert "OLD NEW FLAG" in project.mlgit("hooks", "run", "post-checkout", "HEAD", code=2)
    assert "git init" in project.run("mlgit", "hooks", "install", cwd=tmp_path, code=2)


# -- the pre-commit program ------------------------------------------------------------------------


def test_the_manifest_is_valid_and_names_checks_that_exist(project: Project) -> None:
    import yaml

    manifest = SOURCE / ".pre-commit-hooks.yaml"
    for hook in yaml.safe_load(manifest.read_text()):
        assert hook["entry"].startswith("mlgit hooks run ")
        project.run(*hook["entry"].split())
    pytest.importorskip("pre_commit")
    project.run(sys.executable, "-m", "pre_commit", "validate-manifest", str(manifest))


def test_the_pre_commit_program_blocks_with_our_manifest(repo: Repo, tmp_path: Path) -> None:
    pytest.importorskip("pre_commit")
    import yaml

    project = Project(repo.root, tmp_path / "bin")
    known = yaml.safe_load((SOURCE / ".pre-commit-hooks.yaml").read_text())
    local = [{**hook, "language": "system"} for hook in known]
    config = {"repos": [{"repo": "local", "hooks": local}]}
    project.write(".pre-commit-config.yaml", json.dumps(config))
    home = {"PRE_COMMIT_HOME": str(tmp_path / "home")}
    for stage in ("pre-commit", "pre-push"):
        project.run(sys.executable, "-m", "pre_commit", "install", "--hook-type", stage, **home)
    project.environment |= home
    project.write("big.bin", "x" * (6 << 20))
    assert "more than 5.0 MiB" in project.commit(code=1)
    project.git("rm", "-q", "--cached", "big.bin")
    project.mlgit("add", "big.bin")
    project.commit()
    project.git("init", "-q", "--bare", str(tmp_path / "origin.git"))
    project.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    project.mlgit("remote", "add", "-d", "store", str(tmp_path / "store"))
    assert "remote store lacks 1 object" in project.git("push", "origin", "main", code=1)
    project.mlgit("push")
    project.git("push", "origin", "main")
