"""Commands and users that do what they should not: nothing wrong is recorded or left behind, the next run works."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlgit.errors import InvalidError, StageError, UnsafeError
from mlgit.model import lock
from mlgit.model.lock import Lock
from mlgit.pipeline.events import Event, OutputLine, StageWarned
from mlgit.pipeline.executors.local import LocalExecutor
from mlgit.pipeline.inbox import MOST, Inbox
from mlgit.pipeline.plan import Options
from mlgit.repo import Repo

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the stages are shell commands")
NOBODY = 65534


class Project:
    """A repository in a folder, and what its stages did."""

    def __init__(self, root: Path, stages: str, **files: str) -> None:
        self.root = root
        subprocess.run(["git", "init", "-q", str(root)], check=True)
        Repo.init(root)
        self.events: list[Event] = []
        for name, text in {"mlgit.yaml": stages, **files}.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        (self.root / name).write_text(text)

    def read(self, name: str) -> str:
        return (self.root / name).read_text()

    @property
    def lock(self) -> Lock:
        return lock.decode(self.read("mlgit.lock"), "mlgit.lock")

    @property
    def leftovers(self) -> list[str]:
        return [one.name for one in (self.root / ".mlgit/tmp").glob("scratch-*")]

    @property
    def warnings(self) -> list[str]:
        return [one.message for one in self.events if isinstance(one, StageWarned)]

    def repro(self, environment: dict[str, str] | None = None, **options: Any) -> Any:
        self.events = []
        variables = {"PATH": os.environ["PATH"], **(environment or {})}
        return Repo.find(self.root).pipeline.reproduce(Options(**options), variables, self.events.append)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Project]:
    def build(stages: str, **files: str) -> Project:
        return Project(tmp_path / "project", stages, **files)

    return build


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter, as those of pytest are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


# -- inputs that change under a command ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cmd", "declared"),
    [
        ("echo new > in; cat in > out", "deps: [in]"),
        ("echo new > d/in; cat d/in > out", "deps: [d/in]"),
        ("echo new > d/more; cat d/* > out", "deps: [d]"),
        ("echo new > d/more; cat d/* > out", "deps: ['d/*']"),
        ("echo new > d/another; cat d/* > out", "deps: ['d/*']"),
        ("rm in; echo gone > out", "deps: [in]"),
        ("echo 'k: 2' > params.yaml; cat params.yaml > out", "params: [k]"),
    ],
)
def test_a_run_whose_inputs_changed_meanwhile_is_not_recorded(
    make: Callable[..., Project], cmd: str, declared: str
) -> None:
    project = make(f"""stages: {{a: {{cmd: "{cmd}", {declared}, outs: [out]}}}}""", **{"params.yaml": "k: 1\n"})
    files = {"in": "old\n", "d/in": "old\n"}
    (project.root / "d").mkdir()
    for name, text in files.items():
        project.write(name, text)
    if "d/*" in declared:
        project.write("d/more", "old\n")
    assert project.repro().ran == ("a",)
    (warning,) = project.warnings
    assert "changed while it ran, so what it made is not recorded" in warning
    assert not (project.root / "mlgit.lock").exists()
    assert not list((project.root / ".mlgit/cache").glob("runs/**/*.*"))


def test_what_one_command_did_to_the_input_of_another_is_not_taken_for_its_result(make: Callable[..., Project]) -> None:
    project = make("""stages:
  a: {cmd: echo good > a, outs: [a]}
  b: {cmd: 'while [ ! -e on ]; do sleep 0.01; done; echo bad > a; echo > b; touch off', outs: [b]}
  c: {cmd: 'touch on; while [ ! -e off ]; do sleep 0.01; done; cat a > c', deps: [a], outs: [c]}
""")
    project.repro(jobs=3)
    assert project.lock.stages.keys() == {"a", "b"}
    project.write("mlgit.yaml", project.read("mlgit.yaml").replace("echo bad > a; ", ""))
    project.repro(jobs=3)
    assert (project.read("a"), project.read("c")) == ("good\n", "good\n")
    assert project.lock.stages.keys() == {"a", "b", "c"}


def test_later_stages_see_what_is_there_now(make: Callable[..., Project]) -> None:
    project = make("""stages:
  a: {cmd: "echo 'k: 2' > params.yaml; echo > in; echo > a", deps: [in], params: [k], outs: [a]}
  b: {cmd: cat params.yaml in > b, deps: [a, in], params: [k], outs: [b]}
""", **{"params.yaml": "k: 1\n", "in": "old\n"})  # fmt: skip
    project.repro()
    assert len(project.warnings) == 1
    assert project.lock.stages.keys() == {"b"}
    assert project.lock.stages["b"].params == {"params.yaml": {"k": 2}}
    assert project.repro().ran == ("a",)
    assert project.repro().skipped == ("a", "b")


def test_a_file_that_was_only_touched_has_not_changed(make: Callable[..., Project]) -> None:
    stages = "stages: {a: {cmd: 'cat in > in2; mv in2 in; touch params.yaml; cat in > out', "
    project = make(stages + "deps: [in], params: [k], outs: [out]}}", **{"in": "1\n", "params.yaml": "k: 1\n"})
    project.repro()
    assert not project.warnings
    assert project.repro().skipped == ("a",)


def test_a_hermetic_run_does_not_care(make: Callable[..., Project]) -> None:
    stages = "stages: {a: {cmd: 'echo new > $HOME_OF/in; cat in > out', deps: [in], outs: [out], hermetic: true}}"
    project = make(stages, **{"in": "old\n"})
    project.repro({"HOME_OF": str(project.root)})
    assert not project.warnings
    assert project.read("out") == "old\n"
    assert project.repro({"HOME_OF": str(project.root)}).ran == ("a",)


# -- scratch folders -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cmd", "keys", "message"),
    [
        ("sleep 9", ", timeout: 0.0001", r"ended after 0\.0001 s"),
        ("rm -rf ../../scratch-*; exit 5", "", "exit status 5"),
        ("rm -rf ../../scratch-*", "", "removed the trace|did not write"),
        ("rm -rf $LOGS; exit 5", "", "exit status 5"),
        (f"echo {'x' * 200_000}", "", "cannot start the command of stage 'a'"),
    ],
)
def test_a_hermetic_command_that_destroys_its_surroundings_has_failed(
    make: Callable[..., Project], cmd: str, keys: str, message: str
) -> None:
    project = make(f"stages: {{a: {{cmd: '{cmd}', outs: [out], hermetic: true{keys}}}}}")
    with pytest.raises(StageError, match=message):
        project.repro({"LOGS": str(project.root / ".mlgit/logs")})
    assert not project.leftovers


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root is bound by no permissions")
def test_folders_that_were_shut_do_not_stay(open_folder: Path) -> None:
    cmd = "mkdir -p shut/a low; touch shut/a/x low/x; chmod 0 shut/a shut; chmod 555 low; echo > out"
    project = Project(open_folder / "project", f"stages: {{a: {{cmd: '{cmd}', outs: [out], hermetic: true}}}}")
    assert _as_nobody(project, "repro") == 0
    assert not project.leftovers
    left = project.root / ".mlgit/tmp/scratch-old/tree"
    left.mkdir(parents=True)
    (left / "x").touch()
    left.chmod(0)
    if os.geteuid() == 0:
        for one in (left.parent, left):
            os.chown(one, NOBODY, NOBODY)
    assert _as_nobody(project, "repro") == 0
    assert not project.leftovers


def _as_nobody(project: Project, *words: str) -> int:
    """Run mlgit as somebody whom permissions bind: root is let in everywhere."""
    become: list[str] = []
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(project.root)], check=True)
        become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        # the interpreter, and the folders of this test, may be root's alone to read
        become += ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
    environment = {**os.environ, "HOME": str(project.root), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [*become, sys.executable, "-m", "mlgit", *words]
    return subprocess.run(command, cwd=project.root, env=environment, check=False).returncode


def test_a_folder_that_cannot_be_removed_is_in_nobodys_way(make: Callable[..., Project]) -> None:
    cmd = "echo > out; i=0; while [ $i -lt 1200 ]; do mkdir d; cd d; i=$((i+1)); done"
    project = make("stages: {a: {cmd: echo > out, outs: [out], hermetic: true}}")
    left = project.root / ".mlgit/tmp/scratch-old"
    left.mkdir(parents=True)
    subprocess.run(["sh", "-c", cmd], cwd=left, check=True)
    try:
        assert project.repro().ran == ("a",)
        assert project.repro().skipped == ("a",)
    finally:
        subprocess.run(["rm", "-rf", str(left)], check=True)


def test_a_script_can_be_run_where_it_was_copied_to(make: Callable[..., Project]) -> None:
    project = make(
        "stages: {a: {cmd: ./job.sh, deps: [job.sh, text], outs: [out], hermetic: true}}",
        **{"job.sh": "#!/bin/sh\n[ ! -x text ] && echo ran > out\n", "text": ""},
    )
    (project.root / "job.sh").chmod(0o755)
    assert project.repro().ran == ("a",)
    assert project.read("out") == "ran\n"


def test_an_output_that_is_kept_for_the_next_run_is_no_stray(make: Callable[..., Project]) -> None:
    project = make(
        "stages: {a: {cmd: cat in >> out, deps: [in], outs: [out: {persist: true}], hermetic: true}}", **{"in": "1\n"}
    )
    project.repro()
    project.write("in", "2\n")
    assert project.repro().ran == ("a",)
    assert project.read("out") == "1\n2\n"
    assert not project.warnings


# -- outputs that are none -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cmd", "error"),
    [
        ("ln -s /etc/hostname out", UnsafeError),
        ("mkfifo out", InvalidError),
        ("mkdir out; touch out/A out/a", UnsafeError),
    ],
)
@pytest.mark.parametrize("hermetic", [False, True])
def test_an_output_that_cannot_be_saved_names_its_stage_and_the_way_out(
    make: Callable[..., Project], cmd: str, error: type[Exception], hermetic: bool
) -> None:
    project = make(f"stages: {{a: {{cmd: '{cmd}', outs: [out]}}}}")
    with pytest.raises(error, match="stage 'a' wrote what cannot be saved") as failure:
        project.repro(hermetic=hermetic)
    hint = failure.value.hint  # type: ignore[attr-defined]
    assert ("rm -r out" in hint) is not hermetic
    project.write("mlgit.yaml", "stages: {a: {cmd: echo > out, outs: [out]}}")
    if not hermetic:
        with pytest.raises(error) as failure:
            project.repro()
        assert "rm -r out" in failure.value.hint  # type: ignore[attr-defined]
        subprocess.run(["rm", "-r", "out"], cwd=project.root, check=True)
    assert project.repro().ran == ("a",)


# -- what commands write ---------------------------------------------------------------------------------------------


def test_a_log_that_cannot_be_written_stops_nobody(make: Callable[..., Project]) -> None:
    project = make("stages: {a: {cmd: 'head -c 1000000 /dev/zero; echo > out', outs: [out]}}")
    script = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)); " \
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); " \
        "from mlgit.cli.main import run; sys.exit(run(['-q', 'repro', '--json']))"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", script], cwd=project.root, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"its log is not complete" in done.stdout
    assert b"Traceback" not in done.stderr


def test_one_that_left_the_group_and_talks_on_is_not_listened_to(
    make: Callable[..., Project], capfd: pytest.CaptureFixture[str]
) -> None:
    talk = 'setsid sh -c "touch on; while [ ! -e off ]; do echo talk; sleep 0.05; done"'
    project = make(f"""stages:
  a: {{cmd: '{talk} & while [ ! -e on ]; do sleep 0.01; done; echo > a', outs: [a]}}
  b: {{cmd: 'sleep 4; touch off; echo > b', outs: [b]}}
""")
    assert set(project.repro(jobs=2).ran) == {"a", "b"}
    assert "Traceback" not in capfd.readouterr().err


def test_a_command_that_writes_faster_than_it_is_heard_waits() -> None:
    inbox: Inbox[str] = Inbox()
    piece, written = b"x" * (MOST // 4), threading.Semaphore(0)

    def write() -> None:
        for _ in range(12):
            inbox.write(OutputLine("a", piece))
            written.release()
        inbox.end("end")

    thread = threading.Thread(target=write)
    thread.start()
    for _ in range(5):
        assert written.acquire(timeout=10)
    assert not written.acquire(timeout=0.2)
    assert isinstance(inbox.get(wait=True), OutputLine)
    assert written.acquire(timeout=10)
    inbox.flow()
    thread.join(10)
    assert not thread.is_alive()
    assert [inbox.get(wait=True) for _ in range(12)][-1] == "end"


# -- time and signals ------------------------------------------------------------------------------------------------


def test_a_timeout_of_ages_is_one(make: Callable[..., Project], capfd: pytest.CaptureFixture[str]) -> None:
    project = make("stages: {a: {cmd: 'sleep 0.1; echo > out', outs: [out], timeout: 10000000d}}")
    assert project.repro().ran == ("a",)
    assert "Traceback" not in capfd.readouterr().err


def test_a_second_interruption_leaves_nothing_running(make: Callable[..., Project]) -> None:
    project = make("""stages: {a: {cmd: 'trap "" INT TERM; touch $ROOT/on; sleep 60; sleep 60', hermetic: true}}""")
    command = [sys.executable, "-c", "import signal; signal.signal(2, signal.default_int_handler); "
               "import sys; from mlgit.cli.main import run; sys.exit(run(['repro']))"]  # fmt: skip
    environment = {**os.environ, "ROOT": str(project.root)}
    running = subprocess.Popen(command, cwd=project.root, env=environment, stderr=subprocess.PIPE)
    while not (project.root / "on").exists():
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    time.sleep(0.3)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert b"Traceback" not in said
    assert not project.leftovers


def test_stopping_waits_for_every_command(tmp_path: Path) -> None:
    from mlgit.model.relpath import RelPath
    from mlgit.pipeline.task import Result, Task

    results: list[Result] = []
    with LocalExecutor() as executor:
        for name in "abc":
            task = Task(name, "trap '' INT; sleep 60", tmp_path, RelPath(""), dict(os.environ))
            executor.start(task, lambda data: None, results.append)
    assert len(results) == 3
