"""The report on a pull request: its sides, its parts merged, and locks judged by what a commit holds."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mlgit.errors import InvalidError
from mlgit.model.report import Mark, Report, Row, Table, Verdict
from mlgit.ops.ci.currency import Currency, stale_stages
from mlgit.ops.ci.outgoing import Push, parse
from mlgit.ops.ci.report import MAX_ROWS, merge
from mlgit.ops.ci.staged import Staged

A, B = "a" * 40, "b" * 40


def run(root, *words, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "mlgit", *words], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


# -- one report out of several ---------------------------------------------------------------------


def part(verdict, *rows, notes=(), base=None):
    return Report("x", "X", (Table("t", "T", ("a",), tuple(rows)),), verdict, base, notes=notes)


@pytest.mark.parametrize(
    ("verdicts", "whole"),
    [
        ([], Verdict.NONE),
        ([Verdict.NONE, Verdict.NONE], Verdict.NONE),
        ([Verdict.NONE, Verdict.PASS], Verdict.PASS),
        ([Verdict.PASS, Verdict.NOT_EVALUABLE], Verdict.NOT_EVALUABLE),
        ([Verdict.NOT_EVALUABLE, Verdict.NOT_COMPARABLE, Verdict.PASS], Verdict.NOT_COMPARABLE),
        ([Verdict.NOT_EVALUABLE, Verdict.FAIL, Verdict.PASS], Verdict.FAIL),
    ],
)
def test_the_worst_verdict_counts(verdicts, whole):
    assert merge([part(one) for one in verdicts], kind="ci", title="t").verdict is whole


def test_sides_and_notes_are_kept_once():
    parts = [part(Verdict.NONE, notes=("n",)), part(Verdict.PASS, notes=("n", "m"), base="main")]
    merged = merge(parts, kind="ci", title="t")
    assert (merged.base, merged.head, merged.notes) == ("main", None, ("n", "m"))


def test_a_long_table_is_cut_and_says_so_but_keeps_what_fails():
    rows = [Row((number,), Mark.SAME) for number in range(MAX_ROWS + 10)] + [Row(("bad",), Mark.FAIL)]
    (table,) = merge([part(Verdict.FAIL, *rows)], kind="ci", title="t").tables
    assert len(table.rows) == MAX_ROWS
    assert table.rows[0].cells == ("bad",)
    assert table.title == "T (11 more rows not shown)"


def test_a_long_table_of_changes_keeps_what_got_worse():
    rows = [Row((number,), Mark.CHANGED) for number in range(MAX_ROWS)] + [Row(("worse",), Mark.WORSE)]
    table = merge([Report("a", "A", (Table("t", "T", ("x",), tuple(rows)),))], kind="ci", title="CI").tables[0]
    assert table.rows[0].cells == ("worse",)


# -- locks by what a commit holds ------------------------------------------------------------------

STAGES = """\
stages:
  prepare:
    cmd: mkdir -p out/deep && cp raw.txt out/deep/a.txt && cp raw.txt out/b.txt
    deps: [raw.txt]
    outs: [out]
  train:
    cmd: cp out/deep/a.txt model.bin
    deps: [out/deep, code]
    params: [rate, nested.depth]
    outs: [model.bin]
"""


@pytest.fixture
def trained(project):
    project.write({"mlgit.yaml": STAGES, "params.yaml": "rate: 1\nnested: {depth: 2}\n", "raw.txt": "raw\n"})
    project.write({"code/a.py": "a\n", "code/deep/er/b.py": "b\n", "code/run.sh": "r\n", "code/ä b.txt": "ü\n"})
    (project.root / "code/run.sh").chmod(0o755)
    (project.root / "code/link").symlink_to("a.py")
    run(project.root, "add", "raw.txt")
    run(project.root, "repro")
    project.commit({})
    return project


def stale(project, rev="HEAD"):
    rows = stale_stages(project.repo, None, project.side(rev)).tables[0].rows
    return {row.cells[0]: row.cells[1] for row in rows}


def test_a_commit_made_after_repro_has_no_stale_stage(trained):
    assert stale(trained) == {}
    assert stale(trained, None) == {}


@pytest.mark.parametrize(
    ("files", "reasons"),
    [
        ({"params.yaml": "rate: 2\nnested: {depth: 2}\n"}, {"train": "parameter params.yaml:rate changed: 1 → 2"}),
        ({"code/deep/er/b.py": "c\n"}, {"train": "dependency code changed"}),
        ({"code/new.py": ""}, {"train": "dependency code changed"}),
        ({"code/a.py": None}, {"train": "dependency code changed"}),
        ({"mlgit.yaml": STAGES.replace("cp out/deep/a.txt", "cat out/b.txt >")}, {"train": "the command changed"}),
        ({"mlgit.yaml": STAGES.replace("[out/deep, code]", "[out, code]")}, {"train": "dependency out is new"}),
        ({"raw.txt.mlgit": None}, {"prepare": "dependency raw.txt is missing"}),
        ({"readme.md": "hello\n"}, {}),
    ],
)
def test_what_a_commit_changes_without_repro_is_stale(trained, files, reasons):
    trained("config", "core.excludesFile", "/dev/null")
    (trained.root / ".gitignore").write_text("/out\n/model.bin\n")
    (trained.root / "raw.txt").unlink()
    trained.commit(files)
    found = stale(trained)
    assert found.keys() == reasons.keys()
    assert all(reasons[name] in found[name] for name in reasons)


def test_a_mode_is_part_of_a_folder(trained):
    (trained.root / "code/run.sh").chmod(0o644)
    trained.commit({})
    assert stale(trained) == {"train": "dependency code changed"}


def test_a_frozen_stage_and_one_that_always_runs_are_not_stale(trained):
    text = STAGES.replace("    deps: [raw.txt]", "    frozen: true\n    deps: [params.yaml]")
    text += "  always: {cmd: 'true', always_changed: true, outs: [x]}\n"
    trained.commit({"mlgit.yaml": text})
    assert stale(trained) == {}


def test_a_folder_list_that_is_not_here_is_believed(trained, tmp_path_factory):
    clone = tmp_path_factory.mktemp("clone")
    trained("clone", "-q", str(trained.root), str(clone))
    from mlgit.repo import Repo

    repo = Repo(clone)
    assert stale_stages(repo, None, repo.snapshot("HEAD")).tables[0].rows == ()


def test_only_stages_that_a_change_concerns_are_looked_at(trained):
    currency = Currency(trained.repo, Staged(trained.repo.git), None)
    path = trained.repo.path

    def concerned(*names):
        return [stage.name for stage in currency.concerned({path(name, trained.root) for name in names})]

    assert concerned("readme.md") == []
    assert concerned("code/deep/er/b.py") == ["train"]
    assert concerned("raw.txt.mlgit") == ["prepare"]
    assert concerned("mlgit.lock") == ["prepare", "train"]
    assert concerned("params.yaml") == ["train"]


PATTERNS = """\
stages:
  split: {cmd: mkdir parts; cp raw.txt parts/a.txt; cp raw.txt parts/b.txt, deps: [raw.txt], outs: [parts]}
  join: {cmd: 'cat parts/*.txt code/*.py > all-${rate}', deps: ['parts/*.txt', 'code/*.py'], outs: ['all-${rate}']}
"""


def test_patterns_and_templates_are_looked_into(project):
    project.write({"mlgit.yaml": PATTERNS, "params.yaml": "rate: 1\n", "raw.txt": "raw\n", "code/a.py": "a\n"})
    run(project.root, "add", "raw.txt")
    run(project.root, "repro")
    project.commit({})
    assert stale(project) == {}
    currency = Currency(project.repo, Staged(project.repo.git), None)
    for name in ("params.yaml", "code/new.py"):
        assert "join" in [one.name for one in currency.concerned({project.repo.path(name, project.root)})]
    project.commit({"code/b.py": "b\n"})
    assert stale(project) == {"join": "dependency code/b.py is new"}
    project.commit({"code/b.py": None, "params.yaml": "rate: 2\n"})
    assert "the command changed" in stale(project)["join"]


def test_a_parameter_that_is_gone_is_an_error_with_its_place(trained):
    trained.commit({"params.yaml": "rate: 1\n"})
    with pytest.raises(InvalidError, match=r"nested\.depth"):
        stale(trained)


# -- the command -----------------------------------------------------------------------------------

GATED = "metrics: [m.json]\ngates:\n  - {metric: 'm.json:acc', min: 0.5}\n"


def test_without_gates_nothing_is_judged_and_that_is_said(project):
    project.commit({"mlgit.yaml": "metrics: [m.json]\n", "m.json": {"acc": 1}})
    project.commit({"m.json": {"acc": 0}})
    found = json.loads(run(project.root, "ci", "--base", "HEAD~1", "--json"))
    assert (found["verdict"], found["metrics"][0]["delta"]) == ("none", -1)
    assert "No gates are configured" in found["notes"][0]


def test_a_first_commit_is_judged_by_what_needs_no_base(project):
    project.commit({"mlgit.yaml": GATED, "m.json": {"acc": 1}})
    found = json.loads(run(project.root, "ci", "--json"))
    assert (found["verdict"], found["base"]) == ("pass", None)
    assert found["metrics"][0]["value"] == 1


def test_the_working_tree_is_judged_only_when_asked(project):
    project.commit({"mlgit.yaml": GATED, "m.json": {"acc": 1}})
    project.write({"m.json": {"acc": 0.1}})
    run(project.root, "ci", "--base", "HEAD")
    run(project.root, "ci", "--base", "HEAD", "--worktree", code=1)
    run(project.root, "ci", "--head", "HEAD", "--worktree", code=2)


def test_files_asked_for_are_written(project, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    project.commit({"mlgit.yaml": GATED, "m.json": {"acc": 1}})
    options = ("--output", f"{folder}/report.json", "--summary", f"{folder}/page.md")
    run(project.root, "ci", "--base", "HEAD", *options)
    run(project.root, "ci", "--base", "HEAD", *options)
    assert json.loads((folder / "report.json").read_text())["verdict"] == "pass"
    assert (folder / "page.md").read_text().count("## mlgit: ✅ passed") == 2
    assert "no such revision" not in run(project.root, "ci", "--md")
    run(project.root, "ci", "--base", "nowhere", code=2)


def test_the_lines_that_git_gives_before_a_push():
    lines = [f"refs/heads/a {A} refs/heads/a {B}\n", f"(delete) {'0' * 40} refs/heads/b {B}\n", "\n"]
    assert parse(lines) == [Push(A, B)]
