from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlgit.errors import InvalidError, LockedError, MissingError, MlgitError, StageError, UsageError
from mlgit.fs.lock import locked
from mlgit.model import lock
from mlgit.model.lock import Lock
from mlgit.model.relpath import RelPath
from mlgit.model.stage import Out, Stage
from mlgit.pipeline.events import Event, Outcome, OutputLine, StageFailed, StageRestored, StageSkipped, StageStarted
from mlgit.pipeline.pipeline import Pipeline
from mlgit.pipeline.plan import Options
from mlgit.repo import Repo

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the stages are shell commands")

PIPELINE = """\
stages:
  prepare:
    cmd: echo prepare >> runs; tr a-z A-Z < raw.txt > clean.txt
    deps: [raw.txt]
    outs: [clean.txt]
  train:
    cmd: echo train >> runs; mkdir model; cat clean.txt params.yaml > model/weights
    deps: [clean.txt]
    params: [lr]
    outs: [model]
  evaluate:
    cmd: echo evaluate >> runs; wc -c < model/weights > metrics/score.json
    deps: [model/weights]
    metrics:
      - metrics/score.json: {cache: false}
"""


class Project:
    """A repository in a folder, and what its stages did."""

    def __init__(self, root: Path, stages: str) -> None:
        self.root = root
        subprocess.run(["git", "init", "-q", str(root)], check=True)
        Repo.init(root)
        self.write("mlgit.yaml", stages)
        self.events: list[Event] = []

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def read(self, path: str) -> str:
        return (self.root / path).read_text()

    @property
    def repo(self) -> Repo:
        return Repo.find(self.root)

    @property
    def pipeline(self) -> Pipeline:
        repo = self.repo
        return Pipeline(repo.workspace, repo.snapshot())

    @property
    def lock(self) -> Lock:
        return lock.decode(self.read("mlgit.lock"), "mlgit.lock")

    def repro(self, *targets: str, **options: Any) -> Outcome:
        self.events = []
        return self.pipeline.reproduce(Options(targets, **options), {"PATH": os.environ["PATH"]}, self.events.append)

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Project]:
    def build(stages: str, name: str = "project", **files: str) -> Project:
        project = Project(tmp_path / name, stages)
        for path, text in files.items():
            project.write(path.replace("__", "."), text)
        return project

    return build


@pytest.fixture
def project(make: Callable[..., Project]) -> Project:
    return make(PIPELINE, raw__txt="hello\n", params__yaml="lr: 0.1\nother: 1\n")


def test_the_second_time_nothing_runs_and_nothing_is_written(project: Project) -> None:
    assert project.repro().ran == ("prepare", "train", "evaluate")
    before = project.read("mlgit.lock"), os.stat(project.root / "mlgit.lock").st_mtime_ns
    outcome = project.repro()
    assert (outcome.ran, outcome.restored) == ((), ())
    assert outcome.skipped == ("prepare", "train", "evaluate")
    assert (project.read("mlgit.lock"), os.stat(project.root / "mlgit.lock").st_mtime_ns) == before
    assert all(not status.changes for status in project.pipeline.status())


def test_what_is_cached_is_ignored_by_git_and_what_is_not_is_left_to_it(project: Project) -> None:
    outcome = project.repro()
    assert set(project.read(".gitignore").split()) == {"/clean.txt", "/model"}
    assert set(outcome.written) == {"mlgit.lock", ".gitignore"}
    status = subprocess.run(["git", "status", "--porcelain", "-uall"], cwd=project.root, capture_output=True, text=True)
    assert "metrics/score.json" in status.stdout
    assert "model" not in status.stdout


def test_the_lock_says_what_ran_on_what(project: Project) -> None:
    project.repro()
    entry = project.lock.stages["train"]
    assert entry.deps.keys() == {"clean.txt"}
    assert entry.params == {"params.yaml": {"lr": 0.1}}
    assert entry.outs["model"].files == 1
    assert entry.outs[RelPath("model")] == project.repo.workspace.identify(RelPath("model"))


def test_a_parameter_runs_only_what_is_downstream_and_going_back_runs_nothing(project: Project) -> None:
    project.repro()
    old = project.read("mlgit.lock"), project.read("metrics/score.json")
    project.write("params.yaml", "lr: 0.25\nother: 1\n")
    assert project.repro().ran == ("train", "evaluate")
    assert project.of(StageStarted)[0].reason == "parameter params.yaml:lr changed: 0.1 → 0.25"
    assert project.read("metrics/score.json") != old[1]
    project.write("params.yaml", "lr: 0.1\nother: 1\n")
    outcome = project.repro()
    assert (outcome.ran, outcome.restored) == ((), ("train", "evaluate"))
    assert (project.read("mlgit.lock"), project.read("metrics/score.json")) == old
    assert project.read("runs").split() == ["prepare", "train", "evaluate", "train", "evaluate"]


def test_a_parameter_that_no_stage_reads_changes_nothing(project: Project) -> None:
    project.repro()
    project.write("params.yaml", "other: 2\nlr: 0.1\n")
    assert project.repro().ran == ()


def test_the_same_output_stops_the_wave(project: Project) -> None:
    project.repro()
    project.write("raw.txt", "Hello\n")
    outcome = project.repro()
    assert outcome.ran == ("prepare",)
    assert outcome.skipped == ("train", "evaluate")


def test_two_folders_give_the_same_bytes(make: Callable[..., Project]) -> None:
    first, second = (
        make(PIPELINE, name=name, raw__txt="hello\n", params__yaml="lr: 0.1\n") for name in ("one", "two words é")
    )
    first.repro()
    second.repro()
    assert first.read("mlgit.lock") == second.read("mlgit.lock")


def test_deleted_outputs_come_back_without_a_run(project: Project) -> None:
    project.repro()
    shutil.rmtree(project.root / "model")
    (project.root / "clean.txt").unlink()
    outcome = project.repro()
    assert (outcome.ran, outcome.restored) == ((), ("prepare", "train"))
    assert project.read("model/weights") == "HELLO\nlr: 0.1\nother: 1\n"


def test_without_the_lock_the_run_cache_knows(project: Project) -> None:
    project.repro()
    old = project.read("mlgit.lock")
    (project.root / "mlgit.lock").unlink()
    assert project.repro().restored == ("prepare", "train", "evaluate")
    assert project.read("mlgit.lock") == old


def test_an_output_edited_by_hand_is_kept_in_the_cache_before_it_is_replaced(project: Project) -> None:
    project.repro()
    project.write("clean.txt", "a day of work\n")
    mine = project.repo.workspace.identify(RelPath("clean.txt"))
    assert project.repro().restored == ("prepare",)
    assert project.read("clean.txt") == "HELLO\n"
    assert mine is not None
    assert project.repo.workspace.has(mine)


def test_a_file_that_stands_where_a_first_run_writes_is_kept_too(project: Project) -> None:
    project.write("model/notes", "mine\n")
    mine = project.repo.workspace.identify(RelPath("model"))
    project.repro()
    assert mine is not None
    assert project.repo.workspace.has(mine)


def test_forged_and_damaged_records_are_passed_over(project: Project) -> None:
    project.repro()
    (project.root / "mlgit.lock").unlink()
    for record in (project.root / ".mlgit/cache/runs").rglob("*.json"):
        record.chmod(0o644)
        record.write_bytes(record.read_bytes().replace(b'"exit":0', b'"exit": 0'))
    assert project.repro().ran == ("prepare", "train", "evaluate")


@pytest.mark.parametrize(
    ("cmd", "message"),
    [
        ("echo half > out; exit 3", r"stage 'a' failed with exit status 3: echo half > out; exit 3"),
        ("echo half > out; kill -9 $$", "killed by signal 9"),
        ("true", "did not write the output it declares: out"),
    ],
)
def test_a_stage_that_fails_is_not_recorded(make: Callable[..., Project], cmd: str, message: str) -> None:
    project = make(f"stages: {{a: {{cmd: '{cmd}', outs: [out]}}, b: {{cmd: cp out b, deps: [out], outs: [b]}}}}")
    with pytest.raises(StageError, match=message) as caught:
        project.repro()
    assert caught.value.code == 17
    assert not (project.root / "mlgit.lock").exists()
    assert not list((project.root / ".mlgit/cache").glob("runs/**/*.json"))
    assert [type(event) for event in project.events] == [StageStarted, StageFailed, Outcome]
    with pytest.raises(StageError):
        project.repro()


def test_going_on_after_a_failure(make: Callable[..., Project]) -> None:
    project = make(
        "stages: {a: {cmd: exit 1, outs: [a]}, b: {cmd: cp a b, deps: [a], outs: [b]},"
        " c: {cmd: cp b c, deps: [b], outs: [c]}, d: {cmd: echo d > d, outs: [d]}}"
    )
    with pytest.raises(StageError, match="1 of the stages failed: a"):
        project.repro(keep_going=True)
    outcome = project.events[-1]
    assert isinstance(outcome, Outcome)
    assert (outcome.ran, tuple(outcome.failed), outcome.blocked) == (("d",), ("a",), ("b", "c"))
    assert list(project.lock.stages) == ["d"]


def test_a_dependency_that_is_not_there(project: Project) -> None:
    (project.root / "raw.txt").unlink()
    with pytest.raises(MissingError, match=r"'prepare' needs raw\.txt"):
        project.repro()
    assert not (project.root / "runs").exists()


def test_a_parameter_that_is_not_there(project: Project) -> None:
    project.write("params.yaml", "lrr: 1\n")
    with pytest.raises(InvalidError, match=r"params\.yaml: no parameter 'lr'"):
        project.repro()
    assert list(project.lock.stages) == ["prepare"]


def test_targets_and_directions(project: Project) -> None:
    assert project.repro("prepare").ran == ("prepare",)
    assert project.repro("train", single=True).ran == ("train",)
    assert project.repro("train", downstream=True).ran == ("evaluate",)
    assert project.repro("train", force=True).ran == ("prepare", "train")


def test_finding_targets(project: Project) -> None:
    project.write("sub/mlgit.yaml", "stages: {train: {cmd: cp ../raw.txt x, deps: [../raw.txt], outs: [x]}}")
    found = project.pipeline.find
    root, sub = RelPath(""), RelPath("sub")
    assert found(["train"], root) == ("train",)
    assert found(["train"], sub) == ("sub/mlgit.yaml:train",)
    assert found(["prepare"], sub) == ("prepare",)
    assert found(["sub/mlgit.yaml:train"], root) == found(["sub/x"], root) == found(["mlgit.yaml"], sub)
    assert found(["mlgit.yaml", "train"], root) == ("prepare", "train", "evaluate")
    with pytest.raises(UsageError) as caught:
        found(["trian"], root)
    assert caught.value.hint == "did you mean 'train'?"


def test_a_stage_file_in_a_folder_has_its_own_lock(project: Project) -> None:
    project.write(
        "sub/mlgit.yaml", "stages: {t: {wdir: work, cmd: cp ../../clean.txt x, deps: [../../clean.txt], outs: [x]}}"
    )
    with pytest.raises(InvalidError, match="no such folder: sub/work"):
        project.repro("sub/mlgit.yaml:t")
    (project.root / "sub/work").mkdir()
    assert project.repro().ran == ("train", "evaluate", "sub/mlgit.yaml:t")
    assert "sub/work/x" in project.read("sub/mlgit.lock")
    assert project.read("sub/work/x") == "HELLO\n"
    assert project.repro().ran == ()


def test_a_dry_run_changes_nothing_and_says_what_it_knows(project: Project) -> None:
    def plan() -> list[tuple[str, str, bool]]:
        return [(step.address, step.action, step.certain) for step in project.pipeline.plan(Options())]

    assert plan() == [("prepare", "run", True), ("train", "run", True), ("evaluate", "run", True)]
    assert not (project.root / "runs").exists()
    project.repro()
    assert plan() == [(name, "skip", True) for name in ("prepare", "train", "evaluate")]
    project.write("raw.txt", "other\n")
    assert plan() == [("prepare", "run", True), ("train", "run", False), ("evaluate", "run", False)]
    project.write("raw.txt", "hello\n")
    (project.root / "mlgit.lock").unlink()
    (project.root / "clean.txt").unlink()
    shutil.rmtree(project.root / "model")
    assert plan()[:2] == [("prepare", "restore", True), ("train", "restore", True)]
    assert not (project.root / "mlgit.lock").exists()


def test_status_names_what_changed(project: Project) -> None:
    project.repro()
    project.write("raw.txt", "x\n")
    project.write("params.yaml", "lr: 1\n")
    (project.root / "metrics/score.json").unlink()
    words = {status.address: [change.words for change in status.changes] for status in project.pipeline.status()}
    assert words == {
        "prepare": ["dependency raw.txt changed"],
        "train": ["parameter params.yaml:lr changed: 0.1 → 1"],
        "evaluate": ["output metrics/score.json is missing"],
    }


def test_a_stage_that_makes_the_parameters_of_another(make: Callable[..., Project]) -> None:
    project = make(
        "stages: {tune: {cmd: 'echo \"lr: 5\" > best.yaml', outs: [best.yaml]},"
        " fit: {cmd: cp best.yaml m, params: [best.yaml: [lr]], outs: [m]}}"
    )
    assert project.pipeline.status()[1].changes
    assert [step.action for step in project.pipeline.plan(Options())] == ["run", "run"]
    assert project.repro().ran == ("tune", "fit")
    assert project.lock.stages["fit"].params == {"best.yaml": {"lr": 5}}
    assert project.repro().ran == ()


def test_persisted_outputs_stay_for_the_next_run(make: Callable[..., Project]) -> None:
    project = make("stages: {a: {cmd: cat in >> log, deps: [in], outs: [log: {persist: true}]}}", **{"in": "1\n"})
    project.repro()
    project.write("in", "2\n")
    project.repro()
    assert project.read("log") == "1\n2\n"


@pytest.mark.parametrize("out", ["code.py", "src"])
def test_what_git_tracks_is_not_taken_for_a_cached_output(make: Callable[..., Project], out: str) -> None:
    project = make(f"stages: {{a: {{cmd: 'true', outs: [{out}]}}}}", code__py="print()\n")
    project.write("src/deep/x.py", "")
    subprocess.run(["git", "add", "code.py", "src"], cwd=project.root, check=True)
    with pytest.raises(InvalidError, match="tracked by Git"):
        project.repro()
    assert project.read("code.py") == "print()\n"
    assert (project.root / "src/deep/x.py").exists()


def test_links_into_the_cache_are_only_for_what_nobody_writes_into(make: Callable[..., Project]) -> None:
    big = "head -c 2000000 /dev/zero"
    project = make(
        f"stages: {{a: {{cmd: '{big} > model; {big} >> log; {big} > m.json', deps: [in], outs: [model,"
        " log: {persist: true}], metrics: [m.json: {cache: false}]}}",
        **{"in": "1"},
    )
    project.write(".mlgit/config.yaml", "cache: {links: [hardlink, copy]}\n")

    def linked() -> dict[str, bool]:
        return {name: os.stat(project.root / name).st_nlink > 1 for name in ("model", "log", "m.json")}

    expected = {"model": True, "log": False, "m.json": False}
    project.repro()
    assert linked() == expected
    for name in expected:
        (project.root / name).unlink()
    assert project.repro().restored == ("a",)
    assert linked() == expected
    project.write("in", "2")
    assert project.repro().ran == ("a",)
    assert os.stat(project.root / "log").st_size == 4_000_000


def test_frozen_stages_do_not_run_until_thawed(project: Project) -> None:
    project.repro()
    project.pipeline.freeze("prepare", True)
    project.write("raw.txt", "other\n")
    assert project.repro().ran == ()
    assert project.of(StageSkipped)[0].frozen
    project.pipeline.freeze("prepare", False)
    assert project.read("mlgit.yaml") == PIPELINE
    assert project.repro().ran == ("prepare", "train", "evaluate")


def test_adding_a_stage(project: Project) -> None:
    pipeline = project.pipeline
    report = Stage(
        "report", RelPath("mlgit.yaml"), "cp model/weights r", deps=(RelPath("model"),), outs=(Out(RelPath("r")),)
    )
    assert pipeline.add(report) == "mlgit.yaml"
    assert project.read("mlgit.yaml").startswith(PIPELINE)
    assert pipeline.project.stages["report"] == report
    with pytest.raises(InvalidError, match="also an output of stage"):
        pipeline.add(Stage("again", RelPath("mlgit.yaml"), "x", outs=(Out(RelPath("r")),)))
    with pytest.raises(InvalidError, match="circle"):
        pipeline.add(Stage("round", RelPath("mlgit.yaml"), "x", deps=(RelPath("r"),), outs=(Out(RelPath("raw.txt")),)))
    (project.root / "fresh").mkdir()
    assert pipeline.add(Stage("new", RelPath("fresh/mlgit.yaml"), "true")) == "fresh/mlgit.yaml"


def test_what_stages_write_can_be_captured(make: Callable[..., Project]) -> None:
    project = make("stages: {a: {cmd: echo out; echo err >&2; echo x > x, outs: [x]}}".replace("; ", " ; "))
    project.repro()
    assert b"".join(event.data for event in project.of(OutputLine)) == b"out\nerr\n"


def test_a_stage_without_inputs_and_outputs_always_runs(make: Callable[..., Project]) -> None:
    project = make("stages: {a: {cmd: echo a >> runs}, b: {cmd: echo b > b, always_changed: true, outs: [b]}}")
    assert project.repro().ran == project.repro().ran == ("a", "b")


def test_two_at_once_is_refused_naming_the_other(project: Project) -> None:
    with locked(project.root / ".mlgit/tmp/repro.lock", "repro"), pytest.raises(LockedError, match="repro"):
        project.repro()


def test_a_long_chain(make: Callable[..., Project]) -> None:
    rows = "".join(f"  s{n}: {{cmd: cat f{n} > f{n + 1}, deps: [f{n}], outs: [f{n + 1}]}}\n" for n in range(300))
    project = make(f"stages:\n{rows}", f0="x\n")
    assert len(project.repro().ran) == 300
    assert len(project.repro().skipped) == 300
    assert project.read("f300") == "x\n"


def test_a_lock_with_conflict_markers_is_refused(project: Project) -> None:
    project.write("mlgit.lock", "<<<<<<< a\nmlgit: 1\n=======\n>>>>>>> b\n")
    with pytest.raises(MlgitError) as caught:
        project.repro()
    assert caught.value.code == 10


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_after_a_kill_nothing_is_recorded_and_the_next_run_succeeds(
    make: Callable[..., Project], number: signal.Signals
) -> None:
    project = make(
        "stages: {a: {cmd: echo a > a, outs: [a]}, "
        "b: {cmd: echo half > b; test -e go || sleep 600; echo done > b, deps: [a], outs: [b]}}".replace("; ", " ; ")
    )
    code = """
        import os
        from pathlib import Path
        from mlgit.pipeline.pipeline import Pipeline
        from mlgit.pipeline.plan import Options
        from mlgit.repo import Repo
        repo = Repo.find(Path("."))
        Pipeline(repo.workspace, repo.snapshot()).reproduce(Options(), dict(os.environ), lambda event: None)
    """
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=project.root, env=env, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 30
    while not (project.root / "b").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    assert process.wait(20) != 0
    assert list(project.lock.stages) == ["a"]
    project.write("go", "")
    outcome = project.repro()
    assert (outcome.ran, outcome.skipped) == (("b",), ("a",))
    assert project.read("b") == "done\n"


EDITS = st.lists(
    st.sampled_from(["raw", "params", "delete", "damage", "forget", "force"]).flatmap(
        lambda kind: st.tuples(st.just(kind), st.integers(0, 2))
    ),
    max_size=5,
)


@settings(max_examples=15, deadline=None)
@given(EDITS)
def test_whatever_happened_the_outputs_are_those_of_the_inputs(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[str, int]]
) -> None:
    project = Project(tmp_path_factory.mktemp("any"), PIPELINE)
    project.write("raw.txt", "v0\n")
    project.write("params.yaml", "lr: 0\n")
    for kind, number in edits:
        out = project.root / ("clean.txt", "model/weights", "metrics/score.json")[number]
        if kind == "raw":
            project.write("raw.txt", f"v{number}\n" * (number + 1))
        elif kind == "params":
            project.write("params.yaml", f"lr: {number}\n")
        elif kind == "delete":
            out.unlink(missing_ok=True)
        elif kind == "damage" and out.exists():
            out.write_text("damaged\n")
        elif kind == "forget":
            (project.root / "mlgit.lock").unlink(missing_ok=True)
        project.repro(force=kind == "force")
    project.repro()
    clean = project.read("raw.txt").upper()
    assert project.read("clean.txt") == clean
    assert project.read("model/weights") == clean + project.read("params.yaml")
    assert int(project.read("metrics/score.json")) == len(project.read("model/weights"))
    assert project.repro().skipped == ("prepare", "train", "evaluate")


def test_restored_stages_say_why(project: Project) -> None:
    project.repro()
    (project.root / "clean.txt").unlink()
    project.repro()
    (restored,) = project.of(StageRestored)
    assert (restored.address, restored.reason) == ("prepare", "output clean.txt is missing")
    assert restored.saved is not None and restored.saved > 0


def test_the_lock_forgets_a_stage_that_is_gone_even_if_nothing_runs(project: Project) -> None:
    project.repro()
    whole = lock.decode(project.read("mlgit.lock"), "mlgit.lock").stages
    project.write("mlgit.yaml", PIPELINE.partition("  evaluate:")[0])
    outcome = project.repro()
    assert not outcome.ran
    assert RelPath("mlgit.lock") in outcome.written
    left = lock.decode(project.read("mlgit.lock"), "mlgit.lock").stages
    assert left == {name: entry for name, entry in whole.items() if name != "evaluate"}
    assert not project.repro().written


def test_several_commands_in_a_list_are_told_from_a_program_and_its_arguments(make: Callable[..., Project]) -> None:
    project = make("stages:\n  a:\n    cmd:\n    - echo 1 > a\n    - echo 2 >> a\n    outs: [a]\n")
    with pytest.raises(StageError) as caught:
        project.repro()
    assert "no program is called 'echo 1 > a'" in caught.value.message
    assert "several commands" in str(caught.value.hint)
