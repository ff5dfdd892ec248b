"""Git merging, rebasing and picking commits of locks and pointers, on real repositories as a user would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mlgit as package
from mlgit.model import lock
from mlgit.ops.ci import drivers

SOURCE = Path(package.__file__).parent.parent
STAGES = """\
stages:
  a:
    cmd: cp a.txt a.out
    deps: [a.txt]
    outs: [a.out]
  b:
    cmd: cp b.txt b.out
    deps: [b.txt]
    outs: [b.out]
"""
LOCK = "mlgit.lock merge=mlgit-lock diff=mlgit-lock"
POINTER = "*.mlgit merge=mlgit-pointer diff=mlgit-pointer"
Change = dict[str, str]


class Project:
    """A repository below `top`; `git` and `mlgit` run as a user would run them."""

    def __init__(self, top: Path, program: Path, below: str = "") -> None:
        self.top = top
        self.root = top / below
        path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "PYTHONPATH": str(SOURCE), "GIT_EDITOR": "true"}

    def run(self, *words: str, code: int | None = 0, cwd: Path | None = None) -> str:
        done = subprocess.run(
            words, cwd=cwd or self.root, env=self.environment, capture_output=True, text=True, check=False
        )
        output = done.stdout + done.stderr
        assert "Traceback" not in output, output
        assert "bug in mlgit" not in output, output
        assert code is None or done.returncode == code, f"{words} gave {done.returncode}:\n{output}"
        return output

    def git(self, *words: str, code: int | None = 0) -> str:
        return self.run("git", *words, code=code)

    def mlgit(self, *words: str, code: int | None = 0) -> str:
        return self.run("mlgit", *words, code=code)

    def shell(self, line: str, code: int = 0) -> str:
        return self.run("sh", "-c", line, code=code, cwd=self.top)

    def read(self, name: str) -> str:
        return (self.root / name).read_text()

    def write(self, files: Change) -> None:
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            if text:
                path.write_text(text)

    def commit(self, files: Change | None = None) -> None:
        """Change files (an empty text deletes one), bring data and stages up to date, and commit."""
        self.write(files or {})
        if (self.root / "data").exists() and any(name.startswith("data/") for name in files or {}):
            self.mlgit("add", "data")
        if (self.root / "mlgit.yaml").exists():
            self.mlgit("repro")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "change")

    def fork(self, ours: Change, theirs: Change) -> None:
        """One commit on `main`, and one on `feature` beside it; ends on `main`."""
        self.git("checkout", "-q", "-b", "feature")
        self.commit(theirs)
        self.git("checkout", "-q", "main")
        self.mlgit("checkout")
        self.commit(ours)

    def data(self) -> Change:
        return {path.name: path.read_text() for path in (self.root / "data").iterdir()}


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The installed program."""
    made = tmp_path / "bin" / "mlgit"
    made.parent.mkdir()
    made.write_text(f"#!{sys.executable}\nfrom mlgit.__main__ import main\nmain()\n")
    made.chmod(0o755)
    return made


@pytest.fixture
def project(git_folder: Path, program: Path) -> Project:
    made = Project(git_folder, program)
    made.mlgit("init")
    made.commit({".keep": "x"})
    return made


@pytest.fixture
def staged(project: Project) -> Project:
    """Two stages that have run."""
    project.commit({"mlgit.yaml": STAGES, "a.txt": "1\n", "b.txt": "1\n"})
    return project


@pytest.fixture
def tracked(project: Project) -> Project:
    """A tracked folder."""
    project.commit({f"data/{name}": "1\n" for name in "xyz"})
    return project


def command(said: str) -> str:
    """What the hint says to run."""
    return said.partition("hint: ")[2].partition("`")[2].partition("`")[0]


def bring(project: Project, how: str, code: int | None = 0) -> str:
    """Join `feature` with `main` in one of Git's ways."""
    if how == "rebase":
        project.git("checkout", "-q", "feature")
        return project.git("rebase", "main", code=code)
    return project.git(*{"merge": ("merge", "--no-edit"), "pick": ("cherry-pick",)}[how], "feature", code=code)


WAYS = pytest.mark.parametrize("how", ["merge", "rebase", "pick"])


# -- locks -----------------------------------------------------------------------------------------


@WAYS
def test_different_stages_merge_clean(how: str, staged: Project) -> None:
    staged.fork({"a.txt": "2\n"}, {"b.txt": "2\n"})
    assert "to reproduce" not in bring(staged, how)
    staged.mlgit("checkout")
    assert "everything is up to date" in staged.mlgit("status")
    assert (staged.read("a.out"), staged.read("b.out")) == ("2\n", "2\n")
    text = staged.read("mlgit.lock")
    assert text == lock.encode(lock.decode(text, "mlgit.lock"))


@WAYS
def test_the_same_stage_on_both_sides_is_stale_until_it_is_reproduced(how: str, staged: Project) -> None:
    staged.write({"a.txt": "".join(f"{number}\n" for number in range(20))})
    staged.commit()
    text = staged.read("a.txt")
    staged.fork({"a.txt": f"first\n{text}"}, {"a.txt": f"{text}last\n", "b.txt": "2\n"})
    said = bring(staged, how)
    assert "mlgit.lock: stage to reproduce: mlgit repro a\n" in said
    found = lock.decode(staged.read("mlgit.lock"), "mlgit.lock")
    assert set(found.stages) == {"b"}
    staged.mlgit("checkout")
    assert "a      changed" in staged.mlgit("status")
    staged.mlgit("repro")
    assert "everything is up to date" in staged.mlgit("status")
    assert staged.read("a.out") == f"first\n{text}last\n"


def test_an_entry_that_one_side_deleted_and_the_other_changed_is_left_out(staged: Project) -> None:
    staged.fork({"a.txt": "2\n"}, {"b.txt": "2\n"})
    staged.write({"mlgit.lock": staged.read("mlgit.lock").partition("  b:")[0]})
    staged.git("commit", "-q", "-a", "-m", "without b")
    assert "to reproduce: mlgit repro b\n" in bring(staged, "merge")
    staged.mlgit("repro", "b")
    staged.mlgit("checkout")
    assert "everything is up to date" in staged.mlgit("status")


def test_a_lock_that_both_sides_added(project: Project) -> None:
    first, last = STAGES.partition("  b:")[0], "stages:\n" + "".join(STAGES.partition("  b:")[1:])
    project.fork({"mlgit.yaml": first, "a.txt": "1\n"}, {"mlgit.yaml": last, "b.txt": "1\n"})
    project.git("merge", "--no-edit", "feature", code=1)  # of the stage file, which is the user's own
    assert set(lock.decode(project.read("mlgit.lock"), "mlgit.lock").stages) == {"a", "b"}
    project.write({"mlgit.yaml": STAGES})
    project.git("add", "mlgit.yaml", ".gitignore")
    project.mlgit("checkout")
    assert "everything is up to date" in project.mlgit("status")


@pytest.mark.parametrize("bad", ["mlgit: 2\nstages: {}\n", "<<<<<<< x\n"])
def test_a_lock_that_does_not_decode_is_an_ordinary_conflict(bad: str, staged: Project) -> None:
    staged.fork({"a.txt": "2\n"}, {"b.txt": "2\n"})
    staged.git("checkout", "-q", "feature")
    staged.write({"mlgit.lock": bad})
    staged.git("commit", "-q", "-a", "-m", "bad")
    staged.git("checkout", "-q", "main")
    said = staged.git("merge", "feature", code=1)
    assert "error: mlgit.lock" in said
    assert "hint: " in said
    assert staged.git("ls-files", "--unmerged", "--", "mlgit.lock")
    for side, text in (("--ours", "b.txt: "), ("--theirs", bad)):
        staged.git("checkout", side, "mlgit.lock")
        assert text in staged.read("mlgit.lock")


def test_a_criss_cross_of_branches(staged: Project) -> None:
    staged.fork({"a.txt": "2\n"}, {"b.txt": "2\n"})
    staged.git("branch", "side")
    staged.git("merge", "--no-edit", "feature")
    staged.git("checkout", "-q", "feature")
    staged.git("merge", "--no-edit", "side")
    staged.mlgit("checkout")
    staged.commit({"a.txt": "3\n"})
    staged.git("checkout", "-q", "main")
    staged.mlgit("checkout")
    staged.commit({"b.txt": "3\n"})
    assert "to reproduce" not in staged.git("merge", "--no-edit", "feature")
    staged.mlgit("checkout")
    assert "everything is up to date" in staged.mlgit("status")


# -- folders ---------------------------------------------------------------------------------------


@WAYS
def test_changes_of_different_files_in_a_folder_merge(how: str, tracked: Project) -> None:
    tracked.fork({"data/x": "22\n", "data/new": "n\n"}, {"data/y": "333\n", "data/z": ""})
    bring(tracked, how)
    tracked.mlgit("checkout")
    assert tracked.data() == {"x": "22\n", "y": "333\n", "new": "n\n"}
    assert "everything is up to date" in tracked.mlgit("status")
    before = tracked.read("data.mlgit")
    tracked.mlgit("add", "data")
    assert tracked.read("data.mlgit") == before
    tracked.mlgit("fsck", "--full")


@pytest.mark.parametrize(("keep", "expected"), [("upper", "ours\n"), ("lower", "theirs\n")])
def test_a_conflict_names_the_paths_and_either_version_has_all_the_rest(
    keep: str, expected: str, tracked: Project
) -> None:
    tracked.fork({"data/x": "ours\n", "data/y": "2\n"}, {"data/x": "theirs\n", "data/z": "3\n"})
    said = tracked.git("merge", "feature", code=1)
    assert "data.mlgit: 1 conflict; all else is merged\n  data/x: changed on both sides\nhint: " in said
    assert "a merge left a conflict" in tracked.mlgit("status", code=10)
    upper, _, rest = tracked.read("data.mlgit").partition("=======\n")
    lower, _, end = rest.partition(">>>>>>> theirs\n")
    start, _, upper = upper.partition("<<<<<<< ours\n")
    tracked.write({"data.mlgit": start + (upper if keep == "upper" else lower) + end})
    tracked.shell(command(said))
    tracked.git("commit", "-q", "--no-edit")
    assert tracked.data() == {"x": expected, "y": "2\n", "z": "3\n"}
    assert "everything is up to date" in tracked.mlgit("status")


def test_a_folder_that_both_sides_added(project: Project) -> None:
    project.fork({"data/a": "1\n", "data/s": "1\n"}, {"data/b": "1\n", "data/s": "1\n"})
    project.git("merge", "--no-edit", "feature")
    project.mlgit("checkout")
    assert project.data() == {"a": "1\n", "b": "1\n", "s": "1\n"}


def test_what_is_said_of_data_merges_beside_its_content(tracked: Project) -> None:
    def describe(text: str) -> None:
        tracked.write({"data.mlgit": tracked.read("data.mlgit") + f"desc: {text}\n"})
        tracked.git("commit", "-q", "-a", "-m", "words")

    tracked.fork({"data/x": "2\n"}, {"data/y": "2\n"})
    describe("ours")
    tracked.git("merge", "--no-edit", "feature")
    tracked.mlgit("checkout")
    assert (tracked.data()["y"], "desc: ours\n" in tracked.read("data.mlgit")) == ("2\n", True)
    tracked.git("reset", "-q", "--hard", "HEAD^")
    tracked.git("checkout", "-q", "feature")
    describe("theirs")
    said = tracked.git("merge", "main", code=1)
    assert "  desc: changed on both sides\n" in said
    text = tracked.read("data.mlgit")
    assert "<<<<<<< ours\ndesc: theirs\n=======\ndesc: ours\n>>>>>>> theirs\n" in text
    assert text.count("oid: ") == 1


def test_a_file_that_both_sides_changed_is_a_conflict(project: Project) -> None:
    def commit(text: str) -> None:
        project.write({"f.bin": text})
        project.mlgit("add", "f.bin")
        project.git("add", "-A")
        project.git("commit", "-q", "-m", "file")

    commit("1")
    project.git("checkout", "-q", "-b", "feature")
    commit("22")
    project.git("checkout", "-q", "main")
    project.mlgit("checkout")
    commit("333")
    assert "  a file that both sides changed\n" in project.git("merge", "feature", code=1)
    project.git("checkout", "--theirs", "f.bin.mlgit")
    project.mlgit("checkout")
    assert project.read("f.bin") == "22"


def test_without_the_other_side_s_trees_the_hint_leads_to_the_merge(tracked: Project, program: Path) -> None:
    tracked.mlgit("remote", "add", "-d", "store", str(tracked.root.parent / "store"))
    tracked.commit({"note": "1"})
    tracked.fork({"data/x": "2\n"}, {"data/y": "2\n"})
    tracked.mlgit("push", "--all-commits", "--yes")
    tracked.run("mlgit", "clone", str(tracked.root), "clone", cwd=tracked.root.parent)
    clone = Project(tracked.root.parent / "clone", program)
    said = clone.git("merge", "--no-edit", "origin/feature", code=1)
    assert "error: data.mlgit: the cache lacks" in said
    assert "<<<<<<< " in clone.read("data.mlgit")
    clone.shell(command(said))
    clone.git("add", "data.mlgit")
    clone.git("commit", "-q", "--no-edit")
    clone.mlgit("checkout")
    assert clone.data() == {"x": "2\n", "y": "2\n", "z": "1\n"}


def test_a_rebase_without_the_trees_is_mended_in_the_same_way(tracked: Project, program: Path) -> None:
    tracked.mlgit("remote", "add", "-d", "store", str(tracked.root.parent / "store"))
    tracked.commit({"note": "1"})
    tracked.fork({"data/x": "2\n"}, {"data/y": "2\n"})
    tracked.mlgit("push", "--all-commits", "--yes")
    shutil.rmtree(tracked.root / ".mlgit/cache")
    said = bring(tracked, "rebase", code=1)
    tracked.shell(command(said))
    tracked.git("add", "data.mlgit")
    tracked.git("rebase", "--continue")
    tracked.mlgit("checkout")
    assert tracked.data() == {"x": "2\n", "y": "2\n", "z": "1\n"}


def test_a_root_below_the_top_of_git(git_folder: Path, program: Path) -> None:
    project = Project(git_folder, program, "sub folder")
    project.root.mkdir()
    project.mlgit("init")
    stages = STAGES.replace("cp ", "cp -- ")
    project.commit({"mlgit.yaml": stages, "a.txt": "1\n", "b.txt": "1\n", "data/x": "1\n", "data/y": "1\n"})
    project.fork({"a.txt": "2\n", "data/x": "2\n"}, {"a.txt": "3\n", "data/y": "2\n", "data/x": "3\n"})
    said = project.git("merge", "feature", code=1)
    assert "sub folder/mlgit.lock: stage to reproduce: mlgit -C 'sub folder' repro a\n" in said
    assert "  sub folder/data/x: changed on both sides\n" in said
    project.git("checkout", "--ours", "a.txt")
    project.git("checkout", "--theirs", "data.mlgit")
    project.shell(command(said))
    project.shell("mlgit -C 'sub folder' repro a")
    assert project.data() == {"x": "3\n", "y": "2\n"}
    assert "everything is up to date" in project.mlgit("status")


# -- installing ------------------------------------------------------------------------------------


def test_where_mlgit_is_gone_git_merges_as_text_and_a_later_merge_mends_it(staged: Project, program: Path) -> None:
    staged.fork({"a.txt": "2\n"}, {"a.txt": "3\n"})
    hidden = program.with_name("hidden")
    program.rename(hidden)
    path, staged.environment["PATH"] = staged.environment["PATH"], "/usr/local/bin:/usr/bin:/bin"
    said = staged.git("merge", "feature", code=1)
    assert "mlgit is not installed, so Git merges mlgit.lock as text" in said
    assert "<<<<<<< ours" in staged.read("mlgit.lock")
    hidden.rename(program)
    staged.environment["PATH"] = path
    said = staged.mlgit("status", code=10)
    assert "mlgit hooks install && git checkout --merge 'mlgit.lock'" in said
    staged.shell(command(said))
    assert "<<<<" not in staged.read("mlgit.lock")


def test_a_clone_has_the_drivers_and_hooks_install_brings_them_too(tracked: Project, program: Path) -> None:
    name = "merge.mlgit-lock.driver"
    tracked.mlgit("remote", "add", "-d", "store", str(tracked.root.parent / "store"))
    tracked.commit({"note": "1"})
    tracked.mlgit("push", "--yes")
    tracked.run("mlgit", "clone", str(tracked.root), "clone", cwd=tracked.root.parent)
    clone = Project(tracked.root.parent / "clone", program)
    assert "merge-driver lock" in clone.git("config", "--local", name)
    assert clone.git("status", "--porcelain") == ""
    clone.mlgit("hooks", "install", "--uninstall")
    clone.git("config", "--local", name, code=1)
    assert "merge driver mlgit-lock: write" in clone.mlgit("hooks", "install", "--dry-run")
    clone.git("config", "--local", name, code=1)
    clone.mlgit("hooks", "install")
    assert "merge-driver lock" in clone.git("config", "--local", name)
    clone.mlgit("hooks", "install", "--uninstall")
    assert "told Git how to merge" in clone.mlgit("init")
    assert "nothing changed" in clone.mlgit("init")
    assert "merge-driver lock" in clone.git("config", "--local", name)


def test_drivers_are_installed_also_where_hooks_cannot_be(project: Project) -> None:
    project.mlgit("hooks", "install", "--uninstall")
    project.git("config", "core.hooksPath", "elsewhere")
    assert "core.hooksPath" in project.mlgit("hooks", "install", code=2)
    assert "merge-driver lock" in project.git("config", "--local", "merge.mlgit-lock.driver")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("*.py text", f"*.py text\n{LOCK}\n{POINTER}\n"),
        ("mlgit.lock merge=union\n", f"mlgit.lock merge=union\nmlgit.lock diff=mlgit-lock\n{POINTER}\n"),
        ("mlgit.lock binary\n*.mlgit -merge -diff\n", "mlgit.lock binary\n*.mlgit -merge -diff\n"),
        ("# mlgit.lock merge=x\n", f"# mlgit.lock merge=x\n{LOCK}\n{POINTER}\n"),
    ],
)
def test_what_stands_in_gitattributes_stays(before: str, after: str, git_folder: Path, program: Path) -> None:
    project = Project(git_folder, program)
    project.write({".gitattributes": before})
    assert (".gitattributes" in project.mlgit("init")) == (before != after)
    assert project.read(".gitattributes") == after


def test_hooks_install_declares_the_drivers_where_an_older_mlgit_did_not(project: Project) -> None:
    project.git("rm", "-q", ".gitattributes")
    project.git("commit", "-q", "-m", "older")
    assert "git add .gitattributes" in project.mlgit("hooks", "install", "--dry-run")
    assert not (project.root / ".gitattributes").exists()
    assert "git add .gitattributes" in project.mlgit("hooks", "install")
    assert f"{POINTER}\n" in project.read(".gitattributes")


def test_a_program_with_odd_signs_in_its_path(staged: Project, program: Path) -> None:
    odd = program.parent.parent / "it's 100%O" / "mlgit"
    odd.parent.mkdir()
    shutil.move(program, odd)
    staged.environment["PATH"] = f"{odd.parent}{os.pathsep}{staged.environment['PATH']}"
    staged.mlgit("hooks", "install")
    assert "100%%O" in drivers.settings(str(odd))["merge.mlgit-lock"]["driver"]
    staged.fork({"a.txt": "2\n"}, {"b.txt": "2\n"})
    staged.environment["PATH"] = "/usr/local/bin:/usr/bin:/bin"
    staged.git("merge", "--no-edit", "feature")


# -- what a hostile commit could try ---------------------------------------------------------------


def test_the_drivers_leave_files_that_are_not_theirs_to_git(project: Project) -> None:
    project.commit({".gitattributes": "*.txt merge=mlgit-pointer\n", "one.txt": "1\n2\n3\n4\n5\n6\n7\n"})
    text = project.read("one.txt")
    project.fork({"one.txt": f"0\n{text}"}, {"one.txt": f"{text}8\n"})
    assert "error: one.txt" in project.git("merge", "feature", code=1)
    assert project.read("one.txt") == f"0\n{text}8\n"


def test_no_other_repository_is_reached_through_a_link(tracked: Project) -> None:
    from mlgit.model.relpath import RelPath
    from mlgit.ops.ci.roots import root_of

    outside = tracked.root.parent / "outside"
    (outside / ".mlgit").mkdir(parents=True)
    (tracked.root / "link").symlink_to(outside)
    assert root_of(tracked.root, RelPath("link/data.mlgit")) == ""
    assert root_of(tracked.root.parent, RelPath("outside/data.mlgit")) == "outside"
    assert root_of(tracked.root.parent, RelPath("data.mlgit")) is None
