"""Everything typed wrongly ends in one clear message with a hint and the right exit code."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlgit.repo import Repo

Cli = Callable[..., Any]

PIPELINE = """\
stages:
  copy:
    cmd: |
      cp data/raw/1.csv out.csv
      echo '{"acc": 0.9}' > metrics.json
    deps: [data/raw]
    params: [lr]
    outs: [out.csv]
    metrics: [{metrics.json: {cache: false}}]
"""
COMMANDS = """
    status; add x; diff; checkout; move a b; remove x; unprotect; ls; cat x; du; gc -w; fsck; remote list;
    remote add a b; push; pull; fetch; stage list; stage add -n a x; repro; dag; freeze a; unfreeze a; params diff;
    metrics show; metrics diff; plots show; plots diff; gate; ci; ci init --github;
    config; config core.autostage true
"""
EMPTY = """
    status; ls; checkout; pull; fetch; du; gc -w; gc -a; fsck; repro; dag; stage list; metrics show; plots show;
    unprotect; remote list; config
"""


def listed(text: str) -> list[str]:
    return [" ".join(one.split()) for one in text.split(";")]


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def project(repo: Repo, cli: Cli) -> Path:
    """A folder `data/raw`, a file, a stage and its metrics, all committed."""
    root = repo.root
    (root / "data/raw").mkdir(parents=True)
    for name in ("1.csv", "2.csv"):
        (root / "data/raw" / name).write_text(f"{name}\n")
    (root / "one.csv").write_text("one\n")
    (root / "code.py").write_text("pass\n")
    (root / "params.yaml").write_text("lr: 1\n")
    (root / "mlgit.yaml").write_text(PIPELINE)
    cli("add", "data/raw", "one.csv", cwd=root)
    cli("repro", cwd=root)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "data")
    return root


def refused(said: Any, *words: str) -> None:
    """One error, one hint, nothing on stdout, and the words in the message."""
    assert said.out == ""
    lines = said.err.splitlines()
    assert sum(line.startswith("error: ") for line in lines) == 1, lines
    assert sum(line.startswith("hint: ") for line in lines) == 1, lines
    assert lines[-1].startswith("hint: ")
    for word in words:
        assert word in said.err


@pytest.mark.parametrize("command", listed(COMMANDS))
def test_outside_a_repository(command: str, tmp_path: Path, cli: Cli) -> None:
    refused(cli(*command.split(), cwd=tmp_path, code=2), f"not an mlgit repository: {tmp_path}", "mlgit init")


def test_in_a_git_repository_without_mlgit(git_folder: Path, cli: Cli) -> None:
    refused(cli("status", cwd=git_folder, code=2), "run `mlgit init`")


@pytest.mark.parametrize("command", ["init", "status"])
def test_in_a_bare_repository(command: str, tmp_path: Path, cli: Cli) -> None:
    git(tmp_path, "init", "-q", "--bare")
    refused(cli(command, cwd=tmp_path, code=2), "bare", "work in a clone of it")


def test_init_outside_git(tmp_path: Path, cli: Cli) -> None:
    refused(cli("init", cwd=tmp_path, code=2), "git init")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("statu", ["no such command 'statu'", "did you mean 'status'"]),
        ("remote ad", ["no such command 'ad'", "did you mean 'add'"]),
        ("--jsn", ["no such option", "--jsn"]),
        ("status --jsn", ["no such option", "did you mean", "--json"]),
        ("status -q", ["no such option", "before the command: `mlgit -q …`"]),
        ("add", ["missing argument", "mlgit add --help"]),
        ("gc --grace x", ["'x' is not a valid", "mlgit gc --help"]),
        ("init a", ["unexpected extra argument", "mlgit init --help"]),
        ("init --hash md5", ["no such hash: 'md5'", "blake3"]),
        ("-C nowhere status", ["no such folder: nowhere"]),
        ("completion tcsh", ["no completion for 'tcsh'", "bash, zsh, fish"]),
    ],
)
def test_the_command_line_itself(command: str, words: list[str], tmp_path: Path, cli: Cli) -> None:
    refused(cli(*command.split(), cwd=tmp_path, code=2), *words)


def test_no_arguments_prints_help(tmp_path: Path, cli: Cli) -> None:
    said = cli(cwd=tmp_path)
    assert "Usage: mlgit" in said.out
    assert "repro" in said.out
    assert said.err == ""


def test_a_family_alone_prints_its_help(tmp_path: Path, cli: Cli) -> None:
    said = cli("remote", cwd=tmp_path, code=2)
    assert "Usage: mlgit remote" in said.out + said.err
    assert "error" not in said.err


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        # paths
        ("add nothing", 12, ["no such file or folder: nothing"]),
        ("add *.xyz", 12, ["nothing matches '*.xyz'"]),
        ("add code.py", 2, ["code.py is tracked by Git", "git rm -r --cached"]),
        ("add .", 2, ["whole repository"]),
        ("add ..", 2, ["outside the repository"]),
        ("add /etc/passwd", 2, ["/etc/passwd is outside the repository"]),
        ("add .git/config", 2, [".git/config belongs to Git"]),
        ("add .mlgit", 2, [".mlgit belongs to Git or to mlgit"]),
        ("add data/raw.mlgit", 2, ["data/raw.mlgit is a pointer", "mlgit add data/raw`"]),
        ("add data", 2, ["data/raw, inside data, is tracked already"]),
        ("add out.csv", 2, ["output of the stage copy", "mlgit repro"]),
        ("status nope", 2, ["nope is not tracked", "mlgit ls"]),
        ("status code.py", 2, ["code.py is not tracked"]),
        ("ls nope", 2, ["nope is not tracked"]),
        ("ls data/raw/9.csv", 12, ["data/raw/9.csv is not in data/raw"]),
        ("cat nope", 12, ["nope is not a file in the working tree"]),
        ("cat data/raw", 12, ["data/raw is not a file"]),
        ("cat data", 12, ["data is not a file"]),
        ("cat data/raw --rev HEAD", 12, ["data/raw is not a file"]),
        ("cat ../x", 2, ["outside the repository"]),
        ("checkout nope", 2, ["nope is not tracked"]),
        ("move nope x", 2, ["nope is not tracked"]),
        ("move code.py x", 2, ["code.py is not tracked"]),
        ("move one.csv code.py", 2, ["code.py is there already"]),
        ("move one.csv data/raw/one.csv", 2, ["inside a tracked folder"]),
        ("move out.csv x", 2, ["output of the stage copy"]),
        ("move one.csv ../x", 2, ["outside the repository"]),
        ("remove nope", 2, ["nope is not tracked"]),
        ("remove nope --dry-run", 2, ["nope is not tracked"]),
        ("remove data/raw/1.csv", 2, ["data/raw/1.csv is not tracked"]),
        ("remove out.csv", 2, ["output of the stage copy"]),
        ("unprotect nope", 2, ["nope is not tracked"]),
        # revisions
        ("diff nope", 2, ["no such revision: 'nope'", "git branch"]),
        ("diff HEAD nope", 2, ["no such revision: 'nope'"]),
        ("ls --rev --all", 2, ["no such revision: '--all'"]),
        ("cat one.csv --rev HEAD~9", 2, ["no such revision: 'HEAD~9'"]),
        ("checkout --rev nope", 2, ["no such revision"]),
        ("push --rev nope", 2, ["no such revision"]),
        ("pull --rev nope", 2, ["no such revision"]),
        ("metrics diff nope", 2, ["no such revision"]),
        ("metrics show nope", 2, ["no such revision"]),
        ("params diff nope", 2, ["no such revision"]),
        ("plots diff nope", 2, ["no such revision"]),
        ("du --rev nope", 2, ["no such revision"]),
        # remotes
        ("push", 2, ["no remote is configured", "mlgit remote add -d NAME URL"]),
        ("push -r nope", 2, ["no remote"]),
        ("pull -r nope", 2, ["no remote"]),
        ("fetch -r nope", 2, ["no remote"]),
        ("remote remove nope", 2, ["no remote"]),
        ("remote modify nope url x", 2, ["no remote"]),
        ("remote default nope", 2, ["no remote"]),
        ("remote add a foo://x", 14, ["protocol 'foo' refused"]),
        ("fsck --repair -r x", 2, ["no remote"]),
        # pipelines
        ("repro nope", 2, ["no stage, stage file or output 'nope'"]),
        ("repro cpoy", 2, ["did you mean 'copy'?"]),
        ("repro --pull -r nope", 2, ["no remote"]),
        ("why cpoy", 2, ["did you mean 'copy'?"]),
        ("lineage nope", 2, ["no stage, artifact or object id, and no path that mlgit tracks or a stage uses: 'nope'"]),
        ("freeze nope", 2, ["no stage"]),
        ("dag nope", 2, ["no stage"]),
        ("dag --dot --mermaid", 2, ["exclude each other"]),
        ("stage add -n copy x", 2, ["there is a stage 'copy' already"]),
        ("stage add -n a -o out.csv x", 10, ["'out.csv' is also an output of stage 'copy'"]),
        ("stage add -n a -o data/raw x", 10, ["also an output of data/raw.mlgit"]),
        ("stage add -n a -o ../x x", 14, ["leaves the repository"]),
        ("gate", 19, ["no gates are configured"]),
        # configuration
        ("config core.autostag true", 2, ["core.autostag: unknown key", "did you mean 'core.autostage'?"]),
        ("config core.autostage x", 10, ["core.autostage: expected true or false"]),
        ("config core.remote", 2, ["core.remote is not set"]),
        ("config --unset", 2, ["--unset needs a key"]),
        ("config --unset core.autostage", 2, ["core.autostage is not set"]),
        ("config core.hash md5", 10, ["'md5'"]),
        ("gc", 2, ["what to keep", "-w this working tree"]),
        ("gc -w --grace -1", 2, ["must not be negative"]),
    ],
)
def test_in_a_repository(command: str, code: int, words: list[str], project: Path, cli: Cli) -> None:
    refused(cli(*command.split(), cwd=project, code=code), *words)
    assert subprocess.run(["git", "status", "--porcelain"], cwd=project, capture_output=True, text=True).stdout == ""


@pytest.mark.parametrize("command", ["diff", "diff HEAD", "metrics diff", "params diff", "plots diff", "ls --rev main"])
def test_before_the_first_commit(command: str, git_folder: Path, cli: Cli) -> None:
    Repo.init(git_folder)
    refused(cli(*command.split(), cwd=git_folder, code=2), "there are no commits yet", "git commit")


@pytest.mark.parametrize("command", listed(EMPTY))
def test_an_empty_repository_is_no_mistake(command: str, git_folder: Path, cli: Cli) -> None:
    Repo.init(git_folder)
    said = cli(*command.split(), cwd=git_folder)
    assert "error" not in said.err
    assert command == "config" or said.out + said.err


@pytest.mark.parametrize("command", ["status", "diff", "ls", "push --dry-run", "repro", "gate"])
def test_a_detached_head_is_no_mistake(command: str, project: Path, cli: Cli) -> None:
    cli("remote", "add", "-d", "r", "../remote", cwd=project)
    git(project, "checkout", "-q", "--detach")
    said = cli(*command.split(), cwd=project, code=19 if command == "gate" else 0)
    assert command == "gate" or "error" not in said.err


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("mlgit.yaml", "stages:\n  a:\n    cmd: x\n   deps: [", ["mlgit.yaml:4"]),
        ("mlgit.yaml", "stages:\n  a:\n    cmdd: x\n", ["mlgit.yaml:3: stages.a.cmdd: unknown key", "'cmd'"]),
        ("mlgit.yaml", "stages:\n  a:\n    cmd: 3\n", ["mlgit.yaml:3: stages.a.cmd: expected text, found 3"]),
        ("mlgit.yaml", "stages: []\n", ["mlgit.yaml:1: stages: expected a mapping, found a list"]),
        ("params.yaml", "lr: [\n", ["params.yaml:2"]),
        ("params.yaml", "l: 1\n", ["params.yaml: no parameter 'lr', which stage 'copy' reads"]),
        ("data/raw.mlgit", "x: 1\n", ["data/raw.mlgit:1: x: unknown key"]),
        ("mlgit.lock", "x", ["mlgit.lock", "expected a mapping"]),
        (".mlgit/config.yaml", "core: {hsh: 1}\n", [".mlgit/config.yaml:1: core.hsh: unknown key", "'hash'"]),
        (
            ".mlgit/config.yaml",
            "core: {autostage: x}\n",
            [".mlgit/config.yaml:1: core.autostage: expected true or false"],
        ),
    ],
)
def test_malformed_files(file: str, text: str, words: list[str], project: Path, cli: Cli) -> None:
    (project / file).write_text(text)
    refused(cli("status", cwd=project, code=10), *words)


def test_malformed_metrics(project: Path, cli: Cli) -> None:
    (project / "metrics.json").write_text('{"acc":')
    refused(cli("metrics", "show", cwd=project, code=10), "metrics.json")


@pytest.mark.parametrize("out", ["../x", "/etc/x", ".git/config"])
def test_a_hostile_pointer(out: str, project: Path, cli: Cli) -> None:
    text = (project / "one.csv.mlgit").read_text().replace("one.csv", out)
    (project / "one.csv.mlgit").write_text(text)
    refused(cli("checkout", cwd=project, code=14), "one.csv.mlgit")


def damage(project: Path) -> None:
    for pack in (project / ".mlgit/cache/packs").iterdir():
        pack.chmod(0o644)
        data = bytearray(pack.read_bytes())
        for at in range(0, len(data) // 2):
            data[at] ^= 0xFF
        pack.write_bytes(data)


def test_a_damaged_object(project: Path, cli: Cli) -> None:
    damage(project)
    (project / "one.csv").unlink()
    refused(cli("checkout", "one.csv", cwd=project, code=13), "mlgit fsck --repair")
    said = cli("fsck", "--full", cwd=project, code=13)
    assert "objects are damaged" in said.out


def test_a_missing_object(project: Path, cli: Cli) -> None:
    shutil.rmtree(project / ".mlgit/cache/packs")
    shutil.rmtree(project / ".mlgit/cache/index")
    (project / "one.csv").unlink()
    refused(cli("checkout", "one.csv", cwd=project, code=12), "mlgit pull")
    refused(cli("cat", "one.csv", cwd=project, code=12), "one.csv")


def test_nothing_to_compare_and_nothing_changed(project: Path, cli: Cli) -> None:
    assert cli("metrics", "diff", cwd=project).err == "no changes\n"
    assert cli("params", "diff", cwd=project).err == "no changes\n"
    assert cli("plots", "diff", cwd=project).err == "no plots\n"


def test_changes_in_no_store(project: Path, cli: Cli) -> None:
    (project / "one.csv").write_text("mine\n")
    refused(cli("checkout", "one.csv", cwd=project, code=1), "one.csv", "--force")
    assert (project / "one.csv").read_text() == "mine\n"


def test_a_failing_stage_is_told_once(project: Path, cli: Cli) -> None:
    cli("stage", "add", "-n", "bad", "-o", "b.csv", "exit 3", cwd=project)
    said = cli("repro", "bad", cwd=project, code=17)
    assert said.err.count("exit status 3") == 1
    assert "hint: " in said.err.splitlines()[-1]


def test_a_failure_with_keep_going_is_told_as_it_happens(project: Path, cli: Cli) -> None:
    cli("stage", "add", "-n", "bad", "-o", "b.csv", "exit 3", cwd=project)
    said = cli("repro", "-k", cwd=project, code=17)
    assert said.err.count("exit status 3") == 1
    assert "error: 1 of the stages failed: bad" in said.err


NAMES = ["with space.csv", "ä ö 文.csv", "-dash.csv", "it's.csv", 'q"uote.csv', "a'b\"c d.csv", "#hash.csv", "$x;y.csv"]


@pytest.mark.parametrize("name", NAMES)
def test_odd_names_work(name: str, repo: Repo, cli: Cli) -> None:
    root = repo.root
    (root / name).write_text("1\n")
    said = cli("add", "--", name, cwd=root)
    command = next(line for line in said.err.splitlines() if line.startswith("git add "))
    subprocess.run(command, shell=True, cwd=root, check=True)
    assert cli("cat", "--", name, cwd=root).out == "1\n"
    (root / name).unlink()
    cli("checkout", "--", name, cwd=root)
    assert (root / name).read_text() == "1\n"
    assert name in cli("ls", cwd=root).out
    cli("move", "--", name, "new.csv", cwd=root)
    assert (root / "new.csv").read_text() == "1\n"


def test_a_pipe_is_refused(repo: Repo, cli: Cli) -> None:
    os.mkfifo(repo.root / "fifo")
    refused(cli("add", "fifo", cwd=repo.root, code=10), "fifo")


def test_messages_name_paths_as_typed(project: Path, cli: Cli) -> None:
    refused(cli("add", "9.csv", cwd=project / "data/raw", code=12), "no such file or folder: 9.csv\n")
    refused(cli("status", "../../code.py", cwd=project / "data/raw", code=2), "error: ../../code.py is not tracked")
    refused(cli("cat", "x.csv", cwd=project / "data", code=12), "x.csv is not a file")


def test_output_names_paths_as_seen_from_here(project: Path, cli: Cli) -> None:
    (project / "data/raw/1.csv").write_text("changed\n")
    lines = cli("diff", cwd=project / "data/raw").out.splitlines()
    assert any(line.startswith("~ 1.csv ") for line in lines)
    assert "~ ../data/raw" not in cli("status", cwd=project / "data").out
    assert "git add ../raw.mlgit" in cli("add", "1.csv", cwd=project / "data/raw").err
    assert '"path": "data/raw"' in cli("ls", "--json", cwd=project / "data/raw").out


def test_directory_option(project: Path, cli: Cli) -> None:
    assert "1.csv" in cli("-C", "data/raw", "ls", ".", cwd=project).out


def test_a_repository_in_a_subfolder_of_git(git_folder: Path, cli: Cli) -> None:
    folder = git_folder / "ml"
    folder.mkdir()
    cli("init", cwd=folder)
    (folder / "a.csv").write_text("1\n")
    cli("add", "a.csv", cwd=folder)
    git(git_folder, "add", "-A")
    git(git_folder, "commit", "-q", "-m", "data")
    (folder / "a.csv").write_text("22\n")
    assert "a.csv" in cli("diff", cwd=folder).out
    refused(cli("status", cwd=git_folder, code=2), "not an mlgit repository")
    refused(cli("add", "../x", cwd=folder, code=2), "outside the repository")


def test_init_twice(git_folder: Path, cli: Cli) -> None:
    cli("init", cwd=git_folder)
    said = cli("init", cwd=git_folder)
    assert "already; nothing changed" in said.err


def test_clone_of_what_is_not_there(tmp_path: Path, cli: Cli) -> None:
    refused(cli("clone", "nowhere", cwd=tmp_path, code=10), "cannot clone 'nowhere'")
    assert not (tmp_path / "nowhere").exists()


def test_clone_of_a_repository_without_mlgit(git_folder: Path, tmp_path: Path, cli: Cli) -> None:
    (git_folder / "a").write_text("1")
    git(git_folder, "add", "-A")
    git(git_folder, "commit", "-q", "-m", "a")
    said = cli("clone", str(git_folder), "copy", cwd=tmp_path)
    assert "no mlgit data" in said.err
    assert (tmp_path / "copy/a").exists()


def test_a_revision_that_a_shallow_clone_lacks(project: Path, tmp_path: Path, cli: Cli) -> None:
    git(project, "commit", "--allow-empty", "-qm", "more")
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{project}", "shallow")
    for command in (("diff", "HEAD~1"), ("gate", "--base", "HEAD~1")):
        said = cli(*command, cwd=tmp_path / "shallow", code=2)
        refused(said, "no such revision: 'HEAD~1'", "git fetch --unshallow")
    assert "fetching" in cli("ci", "--base", "HEAD~1", cwd=tmp_path / "shallow").err


def test_posting_outside_a_ci_service(project: Path, cli: Cli) -> None:
    said = cli("ci", "--allow-stale", "--comment", cwd=project, code=2)
    assert said.err.rstrip().splitlines()[-2:] == [
        "error: this is no run of GitHub, GitLab or Bitbucket",
        "hint: post from CI, or leave out what posts",
    ]


def test_clone_names_its_folder_as_git_does(git_folder: Path, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "below").mkdir()
    cli("clone", f"{git_folder}/.git", cwd=tmp_path / "below")
    assert (tmp_path / "below" / git_folder.name / ".git").is_dir()
    refused(cli("clone", "/", cwd=tmp_path, code=2), "cannot tell a folder's name", "mlgit clone / FOLDER")


def test_a_dry_run_refuses_what_the_command_would(project: Path, cli: Cli) -> None:
    refused(cli("move", "--dry-run", "one.csv", "code.py", cwd=project, code=2), "code.py is there already")
    (project / "one.csv").write_text("nobody has this\n")
    refused(cli("remove", "--data", "--dry-run", "one.csv", cwd=project, code=1), "in no store", "mlgit add one.csv")
    assert (
        "move one.csv and its pointer to data/one.csv" in cli("move", "--dry-run", "one.csv", "data", cwd=project).out
    )


def test_clone_into_a_folder_that_is_there(project: Path, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").write_text("mine")
    refused(cli("clone", str(project), "full", cwd=tmp_path, code=2), "full is there already")
    (tmp_path / "file").write_text("mine")
    refused(cli("clone", str(project), "file", cwd=tmp_path, code=2), "file is there already")


def test_clone_by_a_protocol_that_runs_commands(tmp_path: Path, cli: Cli) -> None:
    refused(cli("clone", "ext::sh -c touch% canary", "x", cwd=tmp_path, code=14), "could run a command")
    assert not (tmp_path / "canary").exists()


def test_clone_whose_remote_was_never_pushed_to(project: Path, tmp_path: Path, cli: Cli) -> None:
    cli("remote", "add", "-d", "r", str(tmp_path / "remote"), cwd=project)
    git(project, "commit", "-qam", "remote")
    said = cli("clone", str(project), "copy", cwd=tmp_path, code=12)
    assert "mlgit push" in said.err


def test_clone_of_data_without_a_remote(project: Path, tmp_path: Path, cli: Cli) -> None:
    said = cli("clone", str(project), "copy", cwd=tmp_path, code=12)
    refused(said, "cloned into copy, but not its data: no remote is configured", "mlgit remote add")
    assert (tmp_path / "copy/one.csv.mlgit").exists()


def test_init_where_a_file_is_in_the_way(git_folder: Path, cli: Cli) -> None:
    (git_folder / ".mlgit").write_text("mine")
    refused(cli("init", cwd=git_folder, code=2), ".mlgit is not a folder")
    assert (git_folder / ".mlgit").read_text() == "mine"


def test_a_remote_that_cannot_be_written(project: Path, cli: Cli) -> None:
    (project.parent / "file").write_text("in the way")
    cli("remote", "add", "-d", "r", str(project.parent / "file/remote"), cwd=project)
    said = cli("push", cwd=project, code=None)
    refused(said, "file/remote")
    assert said.code in (10, 15, 18)


def run_program(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlgit", *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", ["status", "diff", "add new.csv"])
def test_without_the_git_program(command: str, project: Path) -> None:
    (project / "new.csv").write_text("1\n")
    done = run_program(*command.split(), cwd=project, PATH="/nonexistent")
    assert done.returncode == 12
    assert done.stderr.count("error: ") == 1
    assert "`git` is not installed" in done.stderr
    assert "hint: install Git" in done.stderr


def test_without_a_git_identity(git_folder: Path) -> None:
    nobody = dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"), "")
    (git_folder / "a.csv").write_text("1\n")
    for command in ("init", "add a.csv", "status", "ls", "repro"):
        done = run_program(*command.split(), cwd=git_folder, **nobody)
        assert done.returncode == 0, done.stderr


def test_a_reader_that_has_seen_enough(project: Path) -> None:
    for number in range(3000):
        (project / "data/raw" / f"{number:05}-{'x' * 40}.csv").write_text("1")
    assert run_program("add", "data/raw", cwd=project).returncode == 0
    program = f"{sys.executable} -m mlgit ls -R | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", program], cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_output_that_is_full(project: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "mlgit", "ls"],
            cwd=project,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 18
    assert done.stderr.startswith("error: ")
    assert "Exception ignored" not in done.stderr


def test_an_output_that_lacks_characters(project: Path, cli: Cli) -> None:
    (project / "ä.csv").write_text("1\n")
    assert run_program("add", "ä.csv", cwd=project).returncode == 0
    done = run_program("ls", cwd=project, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "\\xe4.csv" in done.stdout


def test_interrupted(project: Path) -> None:
    (project / "mlgit.yaml").write_text("stages:\n  slow:\n    cmd: touch started; sleep 60\n")
    process = subprocess.Popen([sys.executable, "-m", "mlgit", "repro"], cwd=project, stderr=subprocess.PIPE, text=True)
    while not (project / "started").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err


def test_the_folder_is_gone(tmp_path: Path, cli: Cli) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    program = f"cd {gone} && rmdir {gone} && {sys.executable} -m mlgit status"
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "the folder you stand in is gone" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(project: Path, cli: Cli) -> None:
    (project / "new.csv").write_text("1\n")
    (project / ".mlgit/cache").chmod(0o555)
    project.chmod(0o555)
    try:
        assert cli("ls", cwd=project).out
        refused(cli("add", "new.csv", cwd=project, code=18), "permission")
    finally:
        project.chmod(0o755)
        (project / ".mlgit/cache").chmod(0o755)
