from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from mlgit.errors import MissingError
from mlgit.model.relpath import RelPath
from mlgit.pipeline import trace
from mlgit.pipeline.executors.local import LocalExecutor
from mlgit.pipeline.task import Result, Task
from mlgit.pipeline.trace import Accesses

traced = pytest.mark.skipif(not trace.available(), reason="strace is not here, or may not trace")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.txt", "b.txt", "sub/c.txt"):
        (folder / name).write_text(name)
    return folder


def run(root: Path, words: Sequence[str], start: str = "") -> tuple[int, Accesses]:
    log = root.parent / "trace.log"
    done = subprocess.run(trace.wrap(words, log), cwd=root / start, check=False, stdin=subprocess.DEVNULL)
    return done.returncode, trace.read(log, root, root / start)


def shell(root: Path, script: str, start: str = "") -> Accesses:
    return run(root, ["/bin/sh", "-c", script], start)[1]


def python(root: Path, script: str, start: str = "") -> Accesses:
    return run(root, [sys.executable, "-c", textwrap.dedent(script)], start)[1]


def parse(tmp_path: Path, text: str | bytes) -> Accesses:
    """What a log of these lines says about the folder /r, for a command started in it."""
    log = tmp_path / "made.log"
    log.write_bytes(text if isinstance(text, bytes) else text.encode())
    return trace.read(log, Path("/r"), Path("/r"))


@traced
def test_reads_writes_and_misses_of_a_shell(root: Path) -> None:
    seen = shell(root, "cd sub; cat c.txt ../a.txt ./nothing; (cd ..; cat b.txt > new); echo x >> ../a.txt; rm c.txt")
    assert seen.read == {"sub/c.txt", "a.txt", "b.txt"}
    assert seen.written == {"new", "a.txt", "sub/c.txt"}
    assert "sub/nothing" in seen.missing


@traced
def test_what_the_command_made_itself_is_not_read(root: Path) -> None:
    seen = shell(root, "cat made; echo x > made; cat made; mkdir d; echo y > d/f; mv d e; cat e/f; mv a.txt moved")
    assert seen.read == {"a.txt"}
    assert {"made", "d/f", "e/f", "a.txt", "moved"} <= seen.written
    assert "made" not in seen.missing


@traced
def test_links_are_named_as_used_and_as_found(root: Path) -> None:
    (root / "link.txt").symlink_to("sub/c.txt")
    (root / "folder").symlink_to("sub")
    seen = shell(root, "cat link.txt; cat folder/../a.txt")
    assert seen.read == {"link.txt", "sub/c.txt", "a.txt"}
    assert seen.links["link.txt"] == "sub/c.txt"


@traced
def test_a_root_that_is_reached_through_a_link(root: Path) -> None:
    (root.parent / "alias").symlink_to(root)
    log = root.parent / "trace.log"
    subprocess.run(trace.wrap(["/bin/sh", "-c", f"cat {root.parent}/alias/a.txt b.txt none"], log), cwd=root)
    seen = trace.read(log, root.parent / "alias", root.parent / "alias")
    assert {"a.txt", "b.txt"} <= seen.read
    assert "none" in seen.missing


@traced
def test_old_calls_without_a_folder_follow_each_process(root: Path) -> None:
    """`chdir`, `rename` and `unlink` say no folder; threads share theirs, children get a copy."""
    seen = python(
        root,
        """
        import os, subprocess, threading
        open("one", "w"); open("sub/two", "w")
        child = os.fork()
        if child == 0:
            os.chdir("sub"); os.rename("two", "three"); os._exit(0)
        os.waitpid(child, 0)
        os.rename("one", "four")
        thread = threading.Thread(target=os.chdir, args=("sub",)); thread.start(); thread.join()
        os.rename("three", "five"); os.stat("five")
        subprocess.run(["cat", "c.txt"], check=True)
        """,
    )
    assert {"sub/two", "sub/three", "one", "four", "sub/five"} <= seen.written
    assert not {"two", "three", "sub/four", "five"} & seen.written
    assert seen.read == {"sub/c.txt"}


@traced
def test_folders_given_by_descriptor(root: Path) -> None:
    seen = python(
        root,
        """
        import os
        sub = os.open("sub", os.O_RDONLY | os.O_DIRECTORY)
        os.open("c.txt", os.O_RDONLY, dir_fd=sub)
        os.rename("c.txt", "d.txt", src_dir_fd=sub)
        os.fchdir(sub)
        os.symlink("../a.txt", "l"); os.link("../b.txt", "hard"); os.truncate("../a.txt", 1)
        """,
    )
    assert seen.read == {"sub/c.txt", "b.txt"}
    assert seen.written == {"sub/c.txt", "d.txt", "sub/l", "sub/hard", "a.txt"}


@traced
def test_listing_and_looking_are_not_reading(root: Path) -> None:
    seen = python(root, "import os; os.listdir('sub'); os.stat('a.txt'); os.path.exists('none')")
    assert seen.read == frozenset()
    assert "none" in seen.missing


@traced
def test_names_that_need_escaping(root: Path) -> None:
    name = 'we<ir>d "q" ) = 3\n\\é 7\t\x01 <unfinished ...>'
    (root / name).write_text("x")
    (root / "d<7>").mkdir()
    (root / os.fsdecode(b"\xff\xfe")).write_text("not UTF-8")
    script = f"import os; open({name!r}); open(b'\\xff\\xfe'); os.chdir('d<7>'); open('../a.txt'); open('f', 'w')"
    seen = python(root, script)
    assert seen.read == {name, "a.txt"}
    assert seen.written == {"d<7>/f"}


@traced
def test_a_root_whose_name_needs_escaping(tmp_path: Path) -> None:
    root = tmp_path / 'ré "x" <y>'
    root.mkdir()
    (root / "a.txt").write_text("x")
    (tmp_path / "log").touch()
    log = tmp_path / "trace.log"
    words = ["/bin/sh", "-c", 'cat "$PWD/a.txt"; cat "$PWD/none"; cd ..; cat */nothing "$OLDPWD/b"']
    subprocess.run(trace.wrap(words, log), cwd=root)
    seen = trace.read(log, root, root)
    assert seen.read == {"a.txt"}
    assert {"none", "b"} <= seen.missing


@traced
def test_ways_into_the_root_from_outside(root: Path) -> None:
    (root.parent / "entry").symlink_to(root / "a.txt")
    seen = shell(root, f"cd /; cat {root.parent}/entry; cd {root.parent}; cat root/b.txt root/no {root}/sub/../none")
    assert seen.read == {"a.txt", "b.txt"}
    assert {"no", "none"} <= seen.missing


@traced
def test_control_folders_and_the_world_outside_are_left_out(root: Path) -> None:
    (root / ".git").mkdir()
    (root / ".git/config").write_text("")
    seen = shell(root, "cat .git/config /etc/passwd a.txt; echo x > .git/x; echo y > ../outside; cat ../nowhere")
    assert seen == Accesses(read=frozenset({RelPath("a.txt")}), missing=seen.missing)
    assert not any(path.startswith((".git", "..")) for path in seen.missing)


@traced
def test_many_processes_at_once(root: Path) -> None:
    for number in range(40):
        (root / f"sub/in{number}").write_text("x")
    jobs = " ".join(f"(cd sub && cat in{n} > ../out{n}) &" for n in range(40))
    seen = shell(root, f"{jobs} wait")
    assert seen.read == {f"sub/in{n}" for n in range(40)}
    assert seen.written == {f"out{n}" for n in range(40)}


@traced
@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", -9), ("kill -TERM $$", -15), ("nonesuch", 127)]
)
def test_the_status_passes_through(root: Path, script: str, status: int) -> None:
    assert run(root, ["/bin/sh", "-c", script])[0] == status


@traced
def test_a_list_whose_program_is_missing(root: Path) -> None:
    assert run(root, ["no-such-program-here"])[0] == 127
    assert run(root, ["cat", "a.txt"])[1].read == {"a.txt"}


@traced
def test_a_signal_to_the_group_reaches_a_handler_that_may_still_work(root: Path) -> None:
    words = ["/bin/sh", "-c", 'trap "cat b.txt > saved; exit 5" TERM; touch ready; sleep 600 & wait']
    log = root.parent / "trace.log"
    process = subprocess.Popen(trace.wrap(words, log), cwd=root, start_new_session=True)
    deadline = time.monotonic() + 20
    while not (root / "ready").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(20) == 5
    assert (root / "saved").read_text() == "b.txt"
    assert "b.txt" in trace.read(log, root, root).read


@traced
def test_the_local_executor_ends_what_a_traced_command_leaves(root: Path) -> None:
    log, results, output = root.parent / "trace.log", list[Result](), list[bytes]()
    env = {"PATH": os.environ["PATH"]}
    task = Task("s", "sleep 600 & echo $!; cat a.txt", root, RelPath(""), env, trace=log)
    with LocalExecutor() as executor:
        executor.start(task, output.append, results.append)
        deadline = time.monotonic() + 20
        while not results:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert results[0].status == 0
    left = int(b"".join(output).split()[0])
    while subprocess.run(["ps", "-o", "stat=", "-p", str(left)], capture_output=True).stdout.strip()[:1] not in (
        b"",
        b"Z",
    ):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert trace.read(log, root, root).read == {"a.txt"}


def test_a_log_with_calls_that_were_interrupted(tmp_path: Path) -> None:
    seen = parse(
        tmp_path,
        '1 chdir("sub") = 0\n'
        "1 clone3({flags=CLONE_VM|CLONE_VFORK, exit_signal=SIGCHLD} <unfinished ...>\n"
        '2 open("x", O_RDONLY <unfinished ...>\n'
        "1 <... clone3 resumed>) = 2\n"
        "2 <... open resumed>) = 3</r/sub/x>\n"
        '2 chdir("/r") = 0\n'
        '2 open("y", O_RDONLY) = -1 ENOENT (No such file or directory)\n'
        '1 open("z", O_WRONLY|O_CREAT, 0666) = 3</r/sub/z>\n'
        "2 +++ exited with 0 +++\n"
        "1 +++ killed by SIGKILL +++\n",
    )
    assert (seen.read, seen.missing, seen.written) == ({"sub/x"}, {"y"}, {"sub/z"})


def test_openat2_creat_and_what_is_no_file(tmp_path: Path) -> None:
    seen = parse(
        tmp_path,
        '1 openat2(AT_FDCWD</r>, "a", {flags=O_RDWR|O_CLOEXEC, resolve=RESOLVE_NO_SYMLINKS}, 24) = 3</r/a>\n'
        '1 creat("b", 0644) = 4</r/b>\n'
        '1 openat(AT_FDCWD</r>, ".", O_RDWR|O_TMPFILE, 0600) = 5</r/#12>(deleted)\n'
        '1 openat(5<socket:[1]>, "c", O_RDONLY) = -1 ENOTDIR (Not a directory)\n'
        '1 openat(AT_FDCWD</r/gone>(deleted), "/r/d", O_RDONLY) = 6</r/d>\n'
        '1 open("e", O_RDONLY) = ? ERESTARTSYS (To be restarted)\n'
        '1 open("f", O_RDONLY) = -1 EACCES (Permission denied)\n',
    )
    assert seen.read == {"a", "d"}
    assert seen.written == {"a", "b"}


@pytest.mark.parametrize("data", [b"", b"\n\n", b"1 ", b"garbage", b"1 open(", b'1 open("a', b"\xff" * 99])
def test_damaged_lines_are_passed_over(tmp_path: Path, data: bytes) -> None:
    seen = parse(tmp_path, data + b'\n1 open("a", O_RDONLY) = 3</r/a>\n1 open("b", O_RD')
    assert seen.read == {"a"}


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        trace.read(tmp_path / "none.log", tmp_path, tmp_path)


def test_without_strace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace._tracer.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    try:
        assert not trace.available()
        with pytest.raises(ValueError, match="not available"):
            trace.wrap(["true"], tmp_path / "log")
        (tmp_path / "strace").write_text("#!/bin/sh\necho 'strace: attach: Operation not permitted' >&2\nexit 1\n")
        (tmp_path / "strace").chmod(0o755)
        trace._tracer.cache_clear()
        assert not trace.available()
    finally:
        trace._tracer.cache_clear()
