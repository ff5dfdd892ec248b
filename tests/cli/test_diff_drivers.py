"""Pointers, locks and metrics in Git's own diffs, on real repositories; whatever they hold, a diff never fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hooked import Project

from mlgit.model import tree as trees
from mlgit.model.oid import Oid
from mlgit.model.relpath import RelPath
from mlgit.model.tree import Entry, Tree
from mlgit.ops.ci import drivers
from mlgit.ops.inspect import plaintext
from mlgit.repo import Repo
from mlgit.work import attributes

STAGES = """\
stages:
  train:
    cmd: cp in.txt out.txt && echo '{"auc":0.5,"by":{"b":[1,2],"a":null}}' >eval.json
    deps: [in.txt]
    params: [rate]
    outs: [out.txt]
    metrics:
      - eval.json: {cache: false}
"""


@pytest.fixture
def project(git_folder: Path, tmp_path: Path) -> Project:
    """A tracked folder and a stage that has run, all committed, and then another version of both."""
    made = Project(git_folder, tmp_path / "bin")
    made.write("mlgit.yaml", STAGES)
    made.mlgit("init")
    for text, names in (("one", ("a", "sub/b")), ("three", ("sub/b", "c"))):
        made.run("rm", "-rf", "data")
        for name in names:
            made.write(f"data/{name}", text if name != "sub/b" else "same")
        made.write("in.txt", text)
        made.write("params.yaml", f"rate: {len(text)}\n")
        made.mlgit("add", "data")
        made.mlgit("repro")
        if text == "one":
            made.commit()
    return made


def changes(text: str) -> list[str]:
    """The lines that a diff takes out or puts in, short ids left out."""
    lines = [line for line in text.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    return [line.rpartition(", ")[0] if " B, " in line else line for line in lines]


def test_a_diff_of_a_folder_names_its_files(project: Project) -> None:
    found = changes(project.git("diff", "data.mlgit"))
    assert sorted(line for line in found if "oid" not in line) == [
        "+  c  5 B",
        "+size: 9 B (9 bytes)",
        "-  a  3 B",
        "-size: 7 B (7 bytes)",
    ]
    assert "   sub/b  4 B, " in project.git("diff", "data.mlgit")


@pytest.mark.parametrize(
    "words", ["diff", "diff --cached", "log -p -1", "show", "diff HEAD~1 HEAD", "stash show -p --textconv"]
)
def test_every_way_to_look_shows_people_s_text(words: str, project: Project) -> None:
    if words != "diff":
        project.git("add", "-A")
    if words in ("log -p -1", "show", "diff HEAD~1 HEAD"):
        project.git("commit", "-q", "-m", "two")
    if words.startswith("stash"):
        project.git("stash")
    output = project.git(*words.split())
    assert "\n-  a  3 B, " in output
    assert "\n+  dep  in.txt  5 B, " in output
    assert "\n-  param  params.yaml:rate = 3\n" in output
    assert "\n+  param  params.yaml:rate = 5\n" in output
    assert "@@ stage train" in output or "\n stage train\n" in output


def test_patches_for_machines_are_as_ever(project: Project) -> None:
    assert "type: tree" in project.git("diff", "--no-textconv", "data.mlgit")
    project.git("add", "-A")
    project.git("commit", "-q", "-m", "two")
    assert "type: tree" in project.git("format-patch", "--stdout", "-1")


def test_metrics_read_as_sorted_keys(project: Project) -> None:
    project.write("eval.json", '{"by":{"b":[1,2],"a":"x"},"auc":0.25}')
    assert changes(project.git("diff", "eval.json")) == ["-auc: 0.5", "-by.a: null", "+auc: 0.25", '+by.a: "x"']
    assert "/eval.json diff=mlgit-metrics\n" in (project.root / ".gitattributes").read_text()


def test_what_is_malformed_or_in_conflict_is_shown_as_it_stands(project: Project) -> None:
    project.write("data.mlgit", "out: ../x\n")
    project.write("mlgit.lock", "<<<<<<< ours\n")
    project.write("eval.json", "{broken\n")
    output = project.git("diff")
    for line in ("+out: ../x", "+<<<<<<< ours", "+{broken"):
        assert line in output.splitlines()


def test_a_merge_in_conflict_can_be_looked_at(project: Project) -> None:
    project.git("checkout", "-q", "-b", "other")
    project.commit()
    project.git("checkout", "-q", "main")
    project.mlgit("checkout")
    project.write("data/a", "ours")
    project.mlgit("add", "data")
    project.commit()
    project.git("config", "merge.mlgit-pointer.driver", "false")
    project.git("merge", "other", code=1)
    assert "diff --cc data.mlgit" in project.git("diff")


def test_folders_that_the_cache_lacks_are_left_out(project: Project) -> None:
    project.run("rm", "-rf", ".mlgit/cache")
    assert changes(project.git("diff", "data.mlgit"))[-1].startswith("+size")


def test_line_ends_are_no_change(project: Project) -> None:
    project.git("checkout", "-q", "--", ".")
    for name in ("data.mlgit", "mlgit.lock", "eval.json"):
        path = project.root / name
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert changes(project.git("diff")) == []


def test_a_diff_does_without_mlgit(project: Project) -> None:
    project.program.unlink()
    project.environment["PATH"] = "/usr/local/bin:/usr/bin:/bin"
    assert "+files: 2" not in project.git("diff", "eval.json")
    assert "type: tree" in project.git("diff", "data.mlgit")
    assert "not found" not in project.git("diff", "data.mlgit")


def test_odd_names_and_places(project: Project, tmp_path: Path) -> None:
    odd = tmp_path / "it's 100%O" / "mlgit"
    odd.parent.mkdir()
    project.program.rename(odd)
    project.run(str(odd), "hooks", "install")
    project.write("-x y.mlgit", "out: broken\n")
    project.git("add", "-A")
    assert "+out: broken" in project.git("diff", "--cached", "--", "./-x y.mlgit")
    below = project.run("git", "diff", "--cached", "--", "../data.mlgit", cwd=project.root / "data")
    assert "\n-  a  3 B, " in below


def test_a_root_below_the_top_and_another_worktree(git_folder: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (git_folder / name).mkdir()
        Repo.init(git_folder / name)
    project = Project(git_folder, tmp_path / "bin")
    project.mlgit("hooks", "install")
    for text in ("old", "newer"):
        project.write("two/data/a", text)
        project.run("mlgit", "add", "data", cwd=git_folder / "two")
        project.commit()
    assert changes(project.git("diff", "HEAD~1"))[-1] == "+  a  5 B"
    assert "\n+  a  5 B" in project.git("log", "-p")
    project.git("worktree", "add", "-q", str(tmp_path / "side"))
    assert "size: 5 B" in project.run("git", "show", cwd=tmp_path / "side")


def test_installing_and_taking_out(project: Project) -> None:
    name = "diff.mlgit-metrics.textconv"
    assert "diff-driver metrics" in project.git("config", "--local", name)
    assert "diff driver mlgit-metrics: nothing" in project.mlgit("hooks", "install", "--dry-run")
    project.mlgit("hooks", "install", "--uninstall")
    project.git("config", "--local", name, code=1)
    assert "type: tree" in project.git("diff", "data.mlgit")
    clone = project.root.parent / "clone"
    project.git("commit", "-q", "-a", "-m", "two", "--no-verify")
    project.mlgit("clone", str(project.root), str(clone), code=None)
    assert "diff-driver metrics" in project.run("git", "config", "--local", name, cwd=clone)


def test_metrics_of_a_stage_file_written_later_are_declared_by_hooks_install(project: Project) -> None:
    project.write("mlgit.yaml", STAGES.replace("eval.json", "'m 1/e[1].json'"))
    output = project.mlgit("hooks", "install")
    assert "git add .gitattributes" in output
    assert "mlgit-metrics" in project.git("check-attr", "diff", "--", "m 1/e[1].json")
    assert "unspecified" in project.git("check-attr", "diff", "--", "m 1/e1.json")
    assert "git add" not in project.mlgit("hooks", "install")
    project.write("mlgit.yaml", "stages: [")
    project.mlgit("hooks", "install")


def test_what_a_user_says_of_metrics_stays(git_folder: Path) -> None:
    (git_folder / ".gitattributes").write_text("*.json diff=json\n")
    (git_folder / "mlgit.yaml").write_text(STAGES)
    repo, _ = Repo.init(git_folder)
    assert drivers.metrics(repo) == []


@pytest.mark.parametrize(
    "name", ["a.json", "a b.json", "a*[x]?.json", '"q".json', "ä/ü.json", "#a.json", "!a.json", "a\\b.json"]
)
def test_an_attribute_names_one_path_and_no_other(name: str, git_folder: Path, tmp_path: Path) -> None:
    attributes.declare(git_folder, [RelPath(name)])
    project = Project(git_folder, tmp_path / "bin")
    said = {
        one: project.git("check-attr", "-z", "diff", "--", one).split("\0")[2]
        for one in (name, f"x/{name}", "axb.json")
    }
    assert said == {name: "mlgit-metrics", f"x/{name}": "unspecified", "axb.json": "unspecified"}


# -- the texts -------------------------------------------------------------------------------------


def oid(sign: str) -> Oid:
    return Oid("blake3:" + sign * 64)


def pointer(files: int) -> bytes:
    return f"out: data\noid: {oid('0')}\ntype: tree\nsize: 5000\nfiles: {files}\n".encode()


def test_a_long_listing_is_bounded_and_says_how_much_is_left_out() -> None:
    sub = Tree(tuple(Entry(f"f{number:03}", "file", oid("1"), 10) for number in range(100)))
    top = Tree(
        (
            Entry("a", "exec", oid("2"), 10),
            Entry("lost", "tree", oid("3"), 7, 3),
            Entry("sub", "tree", oid("4"), 1000, 100),
        )
    )
    known = {oid("0"): top, oid("4"): sub}
    lines = plaintext.pointer_text(pointer(104), known.get, limit=12).splitlines()
    assert lines[3:7] == [
        "files: 104",
        "  a  10 B, 2222222222, executable",
        "  lost/  3 files, 7 B, 3333333333",
        "  sub/f000  10 B, 1111111111",
    ]
    assert lines[-1] == "  … 90 more"
    assert len(lines) == 4 + 12 + 1
    whole = plaintext.pointer_text(pointer(104), known.get).splitlines()
    assert len(whole) == 4 + 102


def test_hostile_names_stay_on_one_line(project: Project) -> None:
    tree = trees.decode(trees.encode([Entry("a\n+evil\x1b[31m", "file", oid("1"), 1)]), "tree")
    text = plaintext.pointer_text(pointer(1), lambda _: tree)
    assert len(text.splitlines()) == 5
    project.write("eval.json", json.dumps({"k\n\x1b]0;x\x07": "v\n+w"}))
    output = project.git("diff", "eval.json")
    assert "\x1b" not in output
    assert "\n++w" not in output
