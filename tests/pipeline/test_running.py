"""How commands run: several at a time, tried again, ended in time, in a folder of their own, watched, from afar."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlgit.errors import MissingError, StageError, UsageError
from mlgit.model import lock
from mlgit.model.lock import Lock
from mlgit.pipeline import trace
from mlgit.pipeline.events import Event, Outcome, StageRestored, StageRetried, StageSkipped, StageStarted, StageWarned
from mlgit.pipeline.plan import Options
from mlgit.repo import Repo

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the stages are shell commands")
traced = pytest.mark.skipif(not trace.available(), reason="strace is not here, or may not trace")


class Project:
    """A repository in a folder, and what its stages did."""

    def __init__(self, root: Path, **files: str) -> None:
        self.root = root
        subprocess.run(["git", "init", "-q", str(root)], check=True)
        Repo.init(root)
        self.write(**files)
        self.events: list[Event] = []

    def write(self, **files: str) -> None:
        for name, text in files.items():
            path = self.root / name.replace("__", "/").replace("_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def read(self, path: str) -> str:
        return (self.root / path).read_text()

    @property
    def repo(self) -> Repo:
        return Repo.find(self.root)

    @property
    def lock(self) -> Lock:
        return lock.decode(self.read("mlgit.lock"), "mlgit.lock")

    def repro(self, *targets: str, environment: dict[str, str] | None = None, **options: Any) -> Outcome:
        self.events = []
        variables = {"PATH": os.environ["PATH"], **(environment or {})}
        return self.repo.pipeline.reproduce(Options(targets, **options), variables, self.events.append)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Project]:
    def build(stages: str, folder: str = "project", **files: str) -> Project:
        return Project(tmp_path / folder, mlgit_yaml=stages, **files)

    return build


def test_stages_that_need_not_wait_run_at_the_same_time(make: Callable[..., Project]) -> None:
    wait = "while [ ! -e {} ]; do sleep 0.01; done"
    project = make(
        f"""stages:
  a: {{cmd: 'touch a.on; {wait.format("b.on")}; echo a > a', outs: [a]}}
  b: {{cmd: 'touch b.on; {wait.format("a.on")}; echo b > b', outs: [b]}}
  c: {{cmd: cat a b > c, deps: [a, b], outs: [c]}}
"""
    )
    outcome = project.repro(jobs=2)
    assert set(outcome.ran) == {"a", "b", "c"}
    assert outcome.ran[-1] == "c"
    assert project.read("c") == "a\nb\n"
    assert set(project.repro(jobs=2).skipped) == {"a", "b", "c"}


def test_a_failure_lets_those_that_run_beside_it_finish_and_starts_no_more(make: Callable[..., Project]) -> None:
    project = make(
        """stages:
  bad: {cmd: 'while [ ! -e on ]; do sleep 0.01; done; touch failed; exit 3', outs: [x]}
  good: {cmd: 'touch on; while [ ! -e failed ]; do sleep 0.01; done; sleep 0.2; echo > good', outs: [good]}
  more: {cmd: echo > more, deps: [good], outs: [more]}
"""
    )
    with pytest.raises(StageError, match="exit status 3"):
        project.repro(jobs=2)
    assert project.lock.stages.keys() == {"good"}
    assert not (project.root / "more").exists()


def test_a_stage_is_tried_again_as_often_as_it_says(make: Callable[..., Project]) -> None:
    cmd = "echo x >> tries; [ $(wc -l < tries) -ge {} ] && echo made > out"
    project = make(f"stages: {{a: {{cmd: '{cmd.format(3)}', retries: 2, outs: [out]}}}}")
    assert project.repro().ran == ("a",)
    assert [(one.attempt, "exit status 1" in one.message) for one in project.of(StageRetried)] == [(2, True), (3, True)]
    other = make(f"stages: {{a: {{cmd: '{cmd.format(4)}', retries: 2, outs: [out]}}}}", folder="other")
    with pytest.raises(StageError, match="exit status 1"):
        other.repro()
    assert other.read("tries") == "x\nx\nx\n"
    assert not (other.root / "mlgit.lock").exists()


def test_a_stage_that_takes_too_long_is_ended_and_not_recorded(make: Callable[..., Project]) -> None:
    project = make("stages: {a: {cmd: 'echo > out; sleep 60', timeout: 0.3, outs: [out]}}")
    with pytest.raises(StageError, match=r"ended after 0\.3 s, its timeout"):
        project.repro()
    assert not (project.root / "mlgit.lock").exists()


def test_the_variables_of_a_stage_are_part_of_it(make: Callable[..., Project]) -> None:
    cmd = "echo $MODE $PYTHONHASHSEED $OMP_NUM_THREADS $TZ > out"
    stages = f"stages: {{{{a: {{{{cmd: '{cmd}', env: {{{{MODE: {{}}}}}}, outs: [out]{{}}}}}}}}}}"
    project = make(stages.format("fast", ""))
    project.repro(environment={"MODE": "outer", "PYTHONHASHSEED": "7", "TZ": "Mars"})
    assert project.read("out") == "fast 0 1 UTC\n"
    assert project.lock.stages["a"].env == {"MODE": "fast"}
    assert project.repro(environment={"PYTHONHASHSEED": "8"}).skipped == ("a",)
    project.write(mlgit_yaml=stages.format("slow", ", resources: {cpus: 2}"))
    assert project.repro().ran == ("a",)
    assert project.of(StageStarted)[0].reason == "environment variable MODE changed: 'fast' → 'slow'"
    assert project.read("out") == "slow 0 2 UTC\n"
    project.write(mlgit_yaml=stages.format("fast", ""))
    assert project.repro().restored == ("a",)


def test_what_commands_write_is_in_the_logs(make: Callable[..., Project]) -> None:
    project = make("stages: {a: {cmd: 'echo out; echo err >&2; echo > x', outs: [x]}, b: {cmd: 'exit 4', outs: [y]}}")
    with pytest.raises(StageError) as failure:
        project.repro()
    outcome = project.events[-1]
    assert isinstance(outcome, Outcome)
    assert project.read(f"{outcome.logs}/a.log") == "out\nerr\n"
    assert f"{outcome.logs}/b.log" in (failure.value.hint or "")
    assert outcome.times.keys() == {"a"}


def test_every_stage_of_a_group_has_a_log_of_its_own(make: Callable[..., Project]) -> None:
    project = make("stages: {m: {matrix: {x: [a+b, a=b, 'a,b', a-b, a.b, a_b]}, cmd: 'echo ${item.x}'}}")
    folder = project.repro().logs
    assert folder is not None
    logs = {path.name: path.read_text() for path in (project.root / folder).iterdir()}
    assert logs == {f"m@{x}.log": f"{x}\n" for x in ("a+b", "a=b", "a,b", "a-b", "a.b", "a_b")}


def test_files_that_match_a_pattern_are_dependencies(make: Callable[..., Project]) -> None:
    project = make(
        """stages:
  split:
    cmd: mkdir -p parts; echo 1 > parts/a.csv; echo 2 > parts/b.csv
    deps: [raw.txt]
    outs: [parts/a.csv, parts/b.csv]
  join: {cmd: cat parts/*.csv > all, deps: ['parts/*.csv'], outs: [all]}
""",
        raw_txt="x",
    )
    assert project.repro(jobs=3).ran == ("split", "join")
    assert set(project.lock.stages["join"].deps) == {"parts/a.csv", "parts/b.csv"}
    project.write(parts__c_csv="3\n")
    assert project.repro().ran == ("join",)
    assert project.of(StageStarted)[0].reason == "dependency parts/c.csv is new"
    assert project.read("all") == "1\n2\n3\n"
    (project.root / "parts/c.csv").unlink()
    assert project.repro().restored == ("join",)


def test_what_comes_into_the_lock_while_a_stage_runs_is_kept(make: Callable[..., Project]) -> None:
    stages = "stages: {a: {cmd: echo > a, outs: [a]}, b: {cmd: 'cp merged mlgit.lock; echo > b', outs: [b]}}"
    project = make(stages)
    project.repro("a")
    project.write(merged=project.read("mlgit.lock").replace("echo > a", "echo >  a"))
    project.repro("b", single=True)
    assert {name: entry.cmd for name, entry in project.lock.stages.items()} == {
        "a": "echo >  a",
        "b": "cp merged mlgit.lock; echo > b",
    }


# -- hermetic runs ---------------------------------------------------------------------------------------------------

HERMETIC = """stages:
  a:
    cmd: python job.py
    hermetic: true
    deps: [job.py, data]
    params: [k]
    outs: [made/out.txt]
    metrics: [m.json: {cache: false}]
"""
JOB = """\
import pathlib
text = "".join(sorted(p.name + p.read_text() for p in pathlib.Path("data").iterdir()))
pathlib.Path("made/out.txt").write_text(text)
pathlib.Path("m.json").write_text("{}")
print(pathlib.Path.cwd())
"""


def test_a_hermetic_stage_sees_what_it_declares_and_gives_what_it_declares(make: Callable[..., Project]) -> None:
    project = make(HERMETIC, job_py=JOB, data__x_txt="1", params_yaml="k: 1\n", other_txt="no")
    assert project.repro().ran == ("a",)
    assert (project.read("made/out.txt"), project.read("m.json")) == ("x.txt1", "{}")
    assert not list((project.root / ".mlgit/tmp").glob("scratch-*"))
    assert project.repro().skipped == ("a",)
    plain = make(
        HERMETIC.replace("    hermetic: true\n", ""), "plain", job_py=JOB, data__x_txt="1", params_yaml="k: 1\n"
    )
    plain.repro()
    assert plain.lock == project.lock


def test_an_undeclared_module_fails_a_hermetic_stage_with_the_line_to_add(make: Callable[..., Project]) -> None:
    project = make(HERMETIC, job_py="import helper\n" + JOB, helper_py="", data__x_txt="1", params_yaml="k: 1\n")
    with pytest.raises(StageError, match=r"reads helper\.py, which it does not declare") as failure:
        project.repro()
    assert "`- helper.py` under `deps:` of stage a in mlgit.yaml" in (failure.value.hint or "")
    assert not (project.root / "mlgit.lock").exists()
    project.write(mlgit_yaml=HERMETIC.replace("[job.py,", "[job.py, helper.py,"))
    assert project.repro().ran == ("a",)


@pytest.mark.parametrize("reads", ["cat other.txt", "cat $ROOT/other.txt", "test -e other.txt || true"])
@traced
def test_an_undeclared_read_fails_also_where_the_command_does_not(make: Callable[..., Project], reads: str) -> None:
    project = make(f"stages: {{a: {{cmd: '{reads} > /dev/null 2>&1; echo > out', outs: [out]}}}}", other_txt="x")
    with pytest.raises(StageError, match=r"reads other\.txt, which it does not declare"):
        project.repro(hermetic=True, environment={"ROOT": str(project.root)})
    assert not (project.root / "mlgit.lock").exists()
    assert not (project.root / "out").exists()


def test_files_that_git_ignores_are_nobodys_business(make: Callable[..., Project]) -> None:
    project = make("stages: {a: {cmd: 'cat $ROOT/env/lib > out', outs: [out]}}", env__lib="x", _gitignore="/env/\n")
    assert project.repro(hermetic=True, environment={"ROOT": str(project.root)}).ran == ("a",)


def test_an_undeclared_write_is_told_and_not_kept(make: Callable[..., Project]) -> None:
    project = make("stages: {a: {cmd: 'echo > out; echo > stray; mkdir d; echo > d/more', outs: [out]}}")
    assert project.repro(hermetic=True).ran == ("a",)
    assert sorted(one.message for one in project.of(StageWarned)) == [
        "it wrote d/more, which is no output of it: not kept",
        "it wrote stray, which is no output of it: not kept",
    ]
    assert not (project.root / "stray").exists()


def test_a_failed_hermetic_run_leaves_earlier_outputs_alone(make: Callable[..., Project]) -> None:
    stages = "stages: {{a: {{cmd: 'echo {}; cat in > out; exit {}', deps: [in], outs: [out]}}}}"
    project = make(stages.format(1, 0), **{"in": "1"})
    project.repro(hermetic=True)
    project.write(mlgit_yaml=stages.format(2, 5), **{"in": "2"})
    with pytest.raises(StageError, match="exit status 5"):
        project.repro(hermetic=True)
    assert project.read("out") == "1"


@traced
def test_tracing_a_normal_run_tells_of_both_kinds(make: Callable[..., Project]) -> None:
    project = make("stages: {a: {cmd: 'cat other.txt in > out; echo > stray', deps: [in], outs: [out]}}",
                   other_txt="x", stray="old", **{"in": "1"})  # fmt: skip
    assert project.repro(trace=True).ran == ("a",)
    assert sorted(one.message.partition(";")[0] for one in project.of(StageWarned)) == [
        "reads other.txt, which it does not declare",
        "writes stray, which it does not declare",
    ]


def test_tracing_without_strace_is_refused(make: Callable[..., Project], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "available", lambda: False)
    with pytest.raises(UsageError, match="needs strace"):
        make("stages: {a: {cmd: 'true', outs: [x]}}").repro(trace=True)


def test_two_folders_and_two_hash_seeds_give_the_same_objects(make: Callable[..., Project]) -> None:
    job = "import json, os\nopen('out', 'w').write(json.dumps([hash('a'), list({'x', 'y', 'z'})]))\n"
    stages = "stages: {a: {cmd: python job.py, deps: [job.py], outs: [out]}}"
    locks = []
    for folder, seed in (("one", "1"), ("two/deep", "2")):
        project = make(stages, folder, job_py=job)
        project.repro(hermetic=folder == "one", environment={"PYTHONHASHSEED": seed})
        locks.append(project.read("mlgit.lock"))
    assert locks[0] == locks[1]


# -- from afar -------------------------------------------------------------------------------------------------------

CHAIN = """stages:
  one: {cmd: 'cat raw/*.txt > one', deps: ['raw/*.txt'], outs: [one]}
  two: {cmd: 'mkdir two; cat one > two/a; echo b > two/b', deps: [one], outs: [two]}
  three: {cmd: 'cat two/a other.txt > three', deps: [two/a, other.txt], outs: [three]}
"""


@pytest.fixture
def far(make: Callable[..., Project], tmp_path: Path) -> Project:
    """A clone of a project whose data is in a remote and not here."""
    project = make(CHAIN, other_txt="o\n", raw__x_txt="x\n", raw__y_txt="y\n")
    for words in (
        ("remote", "add", "-d", "r", str(tmp_path / "remote")),
        ("add", "raw"),
        ("repro",),
        ("push", "--yes"),
    ):
        subprocess.run([sys.executable, "-m", "mlgit", *words], cwd=project.root, check=True)
    clone = Project.__new__(Project)
    clone.root, clone.events = tmp_path / "clone", []
    shutil.copytree(project.root, clone.root)
    for path in (".mlgit/cache", "raw", "one", "two", "three"):
        whole = clone.root / path
        shutil.rmtree(whole) if whole.is_dir() else whole.unlink()
    return clone


def test_what_is_up_to_date_needs_no_data(far: Project) -> None:
    assert far.repro(pull=True).skipped == ("one", "two", "three")
    assert {one.reason for one in far.of(StageSkipped)} == {"nothing changed, and its outputs are not fetched"}
    assert not (far.root / "raw").exists()
    with pytest.raises(MissingError, match=r"needs raw/\*.txt"):
        far.repro()


def test_only_what_a_stage_that_must_run_reads_is_fetched(far: Project) -> None:
    far.write(other_txt="new\n")
    assert far.repro(pull=True).ran == ("three",)
    assert far.read("three") == "x\ny\nnew\n"
    assert [one for one in ("raw", "one", "two/a", "two/b") if (far.root / one).exists()] == ["two/a"]


def test_what_ran_elsewhere_is_restored_from_the_remote(far: Project) -> None:
    (far.root / "mlgit.lock").unlink()
    assert far.repro(pull=True).restored == ("one", "two", "three")
    assert far.read("three") == "x\ny\no\n"
    assert all(one.saved is not None for one in far.of(StageRestored))


def test_what_a_command_adds_to_comes_from_the_remote_too(far: Project) -> None:
    stage = "more: {cmd: cat other.txt >> all, deps: [other.txt], outs: [all: {persist: true}]}"
    far.write(mlgit_yaml=f"{far.read('mlgit.yaml')}  {stage}\n")
    far.repro("more", pull=True)
    subprocess.run([sys.executable, "-m", "mlgit", "push", "--yes"], cwd=far.root, check=True)
    (far.root / "all").unlink()
    far.write(other_txt="new\n")
    far.repro("more", pull=True, hermetic=True)
    assert far.read("all") == "o\nnew\n"


def everything_kept(project: Project) -> bytes:
    """All bytes in the cache, where small files stand as they are."""
    return b"".join(path.read_bytes() for path in (project.root / ".mlgit/cache").rglob("*") if path.is_file())


@pytest.mark.parametrize("hermetic", [False, True])
def test_what_is_put_at_an_output_while_a_command_runs_is_kept(make: Callable[..., Project], hermetic: bool) -> None:
    mine = "mine, and incompressible: 8f1e5b"
    project = make("stages: {a: {cmd: echo 1 > out, outs: [out]}}")

    def interfere(event: Event) -> None:
        if isinstance(event, StageStarted):
            project.write(out=mine)

    variables = {"PATH": os.environ["PATH"]}
    project.repo.pipeline.reproduce(Options(hermetic=hermetic), variables, interfere)
    assert project.read("out") == "1\n"
    assert mine.encode() in everything_kept(project)


def test_ignored_files_in_a_folder_that_is_written_anew_are_kept(make: Callable[..., Project]) -> None:
    mine = "mine, and incompressible: 2c90aa"
    project = make("stages: {a: {cmd: mkdir -p d && cp x d/x, deps: [x], outs: [d]}}", x="1\n", _mlgitignore="*.tmp\n")
    project.repro()
    project.write(x="2\n", d__notes_tmp=mine)
    project.repro()
    assert project.read("d/x") == "2\n"
    assert mine.encode() in everything_kept(project)
