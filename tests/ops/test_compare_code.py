import os
import sys

import pytest

from mlgit.model.markdown import to_markdown
from mlgit.model.report import Mark, to_json
from mlgit.ops.compare import code as module
from mlgit.ops.compare.code import code_changes
from mlgit.work.gitdiff import MAX_COUNTED, GitChange, git_changes

STAGES = """
stages:
  train:
    cmd: python train.py
    deps: [train.py, lib]
    params: [lr]
    metrics: [{m.json: {cache: false}}]
    plots: [{curves: {cache: false}}]
  eval:
    cmd: python eval.py
    deps: [eval.py, lib/score.py, notes/rules.md]
"""


def compare(project, base, head=None):
    return code_changes(project.repo, project.side(base), project.side(head))


def rows(report):
    (table,) = report.tables
    return {row.cells[0]: (row.mark, *row.cells[1:], row.note) for row in table.rows}


def test_code_and_who_reads_it(project):
    base = project.commit(
        {
            "mlgit.yaml": STAGES,
            **{"train.py": "1\n2\n", "eval.py": "1\n", "lib/score.py": "1\n2\n3\n4\n", "lib/x.bin": b"\0\1"},
            **{
                "m.json": "{}",
                "params.yaml": "lr: 1\n",
                "curves/a.csv": "x\n",
                "README.md": "x",
                "notes/rules.md": "x\n",
            },
        }
    )
    project("mv", "lib/score.py", "lib/points.py")
    project.write({"train.py": "1\n3\n4\n", "eval.py": None, "lib/x.bin": b"\0\2", "tool.py": "tool\n"})
    project.write({"m.json": "[]", "params.yaml": "lr: 2\n", "curves/a.csv": "y\n", "README.md": "y", "d.csv": "x\n"})
    head = project.commit({"notes/rules.md": "y\n", ".gitignore": "x\n", "mlgit.lock": "mlgit: 1\nstages: {}\n"})
    report = compare(project, base, head)
    assert rows(report) == {
        "eval.py": (Mark.REMOVED, 0, 1, "eval", ""),
        "lib/points.py": (Mark.CHANGED, 0, 0, "train, eval", "renamed from lib/score.py"),
        "lib/x.bin": (Mark.CHANGED, None, None, "train", "binary, or too long to count"),
        "notes/rules.md": (Mark.CHANGED, 1, 1, "eval", ""),
        "train.py": (Mark.CHANGED, 2, 1, "train", ""),
        "tool.py": (Mark.ADDED, 1, 0, None, ""),
    }
    assert (report.kind, report.notes, report.exit_code) == ("code", (), 0)


def test_patterns_and_stages_of_either_side(project):
    gone = "stages: {old: {cmd: x, deps: ['src/**/*.py']}}\n"
    base = project.commit({"mlgit.yaml": gone, "src/a/b.py": "1\n"})
    head = project.commit(
        {"mlgit.yaml": "stages: {new: {cmd: x, deps: ['src/*/b.py', 'src/a']}}\n", "src/a/b.py": "2\n"}
    )
    assert rows(compare(project, base, head))["src/a/b.py"][3] == "new, old"


def test_the_working_tree_with_files_that_git_does_not_know(project):
    project.commit({"a.py": "1\n", "gone.py": "1\n", ".gitignore": "*.tmp\n", "staged.py": "1\n"})
    long = "1\n" * (MAX_COUNTED // 2) + "1"
    new = {"new.py": "1\n2", "empty.py": "", "b.bin": b"\0", "x.tmp": "1", "long.txt": long}
    project.write({"a.py": "2\n", "gone.py": None, "staged.py": "1\n2\n", **new})
    project("add", "staged.py")
    (project.root / "link.py").symlink_to("/etc/passwd")
    assert rows(compare(project, "HEAD")) == {
        "a.py": (Mark.CHANGED, 1, 1, None, ""),
        "b.bin": (Mark.ADDED, None, None, None, "binary, or too long to count"),
        "empty.py": (Mark.ADDED, 0, 0, None, ""),
        "gone.py": (Mark.REMOVED, 0, 1, None, ""),
        "link.py": (Mark.ADDED, None, None, None, "binary, or too long to count"),
        "long.txt": (Mark.ADDED, None, None, None, "binary, or too long to count"),
        "new.py": (Mark.ADDED, 2, 0, None, ""),
        "staged.py": (Mark.CHANGED, 1, 0, None, ""),
    }


@pytest.mark.skipif(sys.platform == "darwin", reason="this system's names are UTF-8")
def test_hostile_names(project):
    names = [":x y", "a\nb.py", "c\td.py", os.fsdecode(b"caf\xe9.py"), "-n", '"q"', "@user #1 <b>|`"]
    base = project.commit({name: f"{at}\n2\n{at}\n" for at, name in enumerate(names)})
    project("mv", "--", "a\nb.py", "e\nf\t.py")
    head = project.commit({"c\td.py": "2\n", "-n": None, ":x y": "2\n"})
    project("mv", os.fsdecode(b"caf\xe9.py"), os.fsdecode(b"caf\xe8.py"))
    report = compare(project, base, project.commit({'"q"': "3\n", "@user #1 <b>|`": "3\n"}))
    assert set(rows(report)) == {":x y", "e\nf\t.py", "c\td.py", "caf\\xe8.py", "-n", '"q"', "@user #1 <b>|`"}
    assert rows(report)["caf\\xe8.py"][-1] == "renamed from caf\\xe9.py"
    assert to_json(report).encode() and to_markdown(report).encode()
    assert git_changes(project.repo.git, base, head)[0] == GitChange("-n", "deleted", 0, 3)


def test_nothing_of_the_repository_runs(project):
    canary = project.root / "canary"
    project("config", "diff.evil.command", f"touch {canary}")
    project("config", "diff.evil.textconv", f"touch {canary}; cat")
    project("config", "diff.external", f"touch {canary}")
    base = project.commit({".gitattributes": "*.py diff=evil\n", "a.py": "1\n"})
    assert rows(compare(project, base, project.commit({"a.py": "2\n"})))["a.py"][1:3] == (1, 1)
    assert not canary.exists()


def test_at_most_so_many_rows_those_that_stages_read_first(project, monkeypatch):
    monkeypatch.setattr(module, "MAX_ROWS", 2)
    base = project.commit({"mlgit.yaml": "stages: {s: {cmd: x, deps: [z.py]}}\n"})
    report = compare(project, base, project.commit({"a.py": "", "b.py": "", "c.py": "", "z.py": ""}))
    assert list(rows(report)) == ["z.py", "a.py"]
    assert report.notes == ("2 more files of code changed, not listed",)


def test_a_repository_in_a_folder_of_git(tmp_path, project):
    from mlgit.repo import Repo

    below = project.root / "deep/er"
    below.mkdir(parents=True)
    Repo.init(below)
    base = project.commit({"deep/er/a.py": "1\n", "outside.py": "1\n"})
    head = project.commit({"deep/er/a.py": "2\n", "outside.py": "2\n"})
    repo = Repo(below)
    assert list(rows(code_changes(repo, repo.snapshot(base), repo.snapshot(head)))) == ["a.py"]
    (below / "b.py").write_text("1\n")
    assert list(rows(code_changes(repo, repo.snapshot(head), repo.snapshot()))) == ["b.py"]


def test_a_merge_in_conflict_is_still_compared(project):
    base = project.commit({"a.py": "1\n"})
    project("switch", "-q", "-c", "side")
    project.commit({"a.py": "2\n"})
    project("switch", "-q", "main")
    project.commit({"a.py": "3\n"})
    with pytest.raises(Exception, match="merge"):
        project("merge", "side")
    assert rows(compare(project, base))["a.py"][0] is Mark.CHANGED
