"""What a stranger's pull request, report or host can do to `mlgit ci`: nothing but be told so, within bounds."""

from __future__ import annotations

import io
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi import SLUG, TOKEN, GitHubState

from mlgit.errors import InvalidError, MlgitError, NotEvaluableError, RemoteError, UnsafeError
from mlgit.git import Git
from mlgit.model import reportfile
from mlgit.model.report import Mark, Report, Row, Table, Verdict, to_json
from mlgit.ops.ci.comment import body, workflow_commands
from mlgit.ops.ci.hosts.github import GitHub
from mlgit.ops.ci.relay import relay
from mlgit.ops.compare import headers, svg, tables
from mlgit.remote.http import Client
from mlgit.remote.retry import Patience
from mlgit.repo import Repo


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


# -- a folder that poses as a repository -------------------------------------------------------------------------------


def pose(folder: Path, canary: Path) -> None:
    """Make `folder` a bare repository with a configuration of its own, as a commit can."""
    for name in ("objects", "refs"):
        (folder / name).mkdir(parents=True)
    (folder / "HEAD").write_text("ref: refs/heads/main\n")
    (folder / "config").write_text(
        f"[core]\n\tbare = false\n\tworktree = ..\n"
        f'[remote "origin"]\n\turl = file://{folder}\n\tuploadpack = "touch {canary}; git-upload-pack"\n'
    )


@pytest.mark.parametrize("below", [".", "deeper/down"])
def test_a_folder_that_poses_as_a_repository_is_refused(git_folder: Path, tmp_path: Path, below: str) -> None:
    folder = git_folder / "sub"
    pose(folder, tmp_path / "canary")
    root = folder / below
    root.mkdir(parents=True, exist_ok=True)
    with pytest.raises(UnsafeError, match="poses as a Git repository"):
        Git.find(root)
    (folder / "objects").rmdir()
    (folder / "commondir").write_text("../.git\n")
    with pytest.raises(UnsafeError):
        Git.find(root)


def test_git_itself_obeys_no_folder_that_poses_as_a_repository(git_folder: Path, tmp_path: Path) -> None:
    folder, canary = git_folder / "sub", tmp_path / "canary"
    pose(folder, canary)
    with pytest.raises(InvalidError, match="bare"):
        Git(git_folder, "sub/").run("fetch", "origin")
    assert not canary.exists()


def test_ci_runs_nothing_of_a_folder_that_poses_as_a_repository(repo: Repo, tmp_path: Path, mlgit: Any) -> None:
    root, canary = repo.root / "sub", tmp_path / "canary"
    root.mkdir()
    Repo.init(root)
    pose(root, canary)
    missing = f"--base={'1' * 40}"
    done = mlgit("ci", missing, cwd=root, code=14)
    assert "poses as a Git repository" in done.err
    assert not canary.exists()


# -- a hostile report --------------------------------------------------------------------------------------------------

WHOLE = Report(
    "ci",
    "mlgit",
    (Table("metrics", "Metrics", ("metric", "size", "relative"), (Row(("a", 1, 0.5), Mark.FAIL, "n", "f:1"),)),),
    Verdict.FAIL,
    "b",
    "h",
    ("note",),
)


def changed(**values: Any) -> bytes:
    return json.dumps({**json.loads(to_json(WHOLE)), **values}).encode()


def row(**values: Any) -> dict[str, Any]:
    return {"metrics": [{**json.loads(to_json(WHOLE))["metrics"][0], **values}]}


@pytest.mark.parametrize(
    "data",
    [
        changed(**row(relative=10**400)),
        changed(**row(size=10**400)),
        changed(**row(metric=-(10**400))),
        changed(notes=[""] * 500_000),
        changed(tables=[{"name": "metrics", "title": "t", "empty": "", "columns": [f"c{n}" for n in range(10_000)]}]),
        changed(tables=[{"name": f"t{n}", "title": "t", "empty": "", "columns": []} for n in range(10_000)]),
        changed(**{"vershon" * 100_000: 1}),
        changed(**row(mark="fai" * 100_000)),
        changed(verdict="pas" * 100_000),
        changed(version=int("9" * 4000)),
    ],
    ids=[
        *("huge ratio", "huge size", "huge number", "notes", "columns", "tables", "long key", "long mark"),
        *("long verdict", "huge version"),
    ],
)
def test_a_report_beyond_the_bounds_is_refused_in_few_words(data: bytes) -> None:
    with pytest.raises(InvalidError) as caught:
        reportfile.decode(data, "report.json")
    assert len(caught.value.message) < 1000 and len(caught.value.hint or "") < 3000


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**299, -(10**304), 10**400, 1e308, "fail", "pass", 1]),
    st.floats(),
    st.text(st.characters()),
)
VALUES = st.recursive(LEAVES, lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3))


def inner(value: Any) -> Iterator[Any]:
    """Every mapping and list in `value` that holds something."""
    if isinstance(value, (dict, list)) and value:
        yield value
        for below in value.values() if isinstance(value, dict) else value:
            yield from inner(below)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_a_report_holds_it_is_refused_or_shown(data: st.DataObject) -> None:
    value = json.loads(to_json(WHOLE))
    places = list(inner(value))
    at = data.draw(st.sampled_from(places))
    at[data.draw(st.sampled_from(list(at) if isinstance(at, dict) else range(len(at))))] = data.draw(VALUES)
    try:
        report = reportfile.decode(json.dumps(value).encode(), "report.json")
    except MlgitError:
        return
    assert len(body(report, limit=65_536).encode()) <= 65_536
    workflow_commands(report).encode()


# -- hostile data ------------------------------------------------------------------------------------------------------


def facts(data: bytes, name: str) -> tables.Facts:
    return tables.read_facts(io.BytesIO(data), name, len(data))


@pytest.mark.parametrize(
    ("data", "name", "problem"),
    [
        (b"," * (1 << 20), "a.csv", "columns"),
        (b'"\nab",' * (3 << 20), "a.csv", "a record of more than"),
        (b"{" + b",".join(b'"%d":1' % n for n in range(150_000)) + b"}", "a.jsonl", "columns"),
    ],
    ids=["columns", "a record of many lines", "keys"],
)
def test_a_table_of_absurd_width_is_not_held_in_memory(data: bytes, name: str, problem: str) -> None:
    assert problem in facts(data, name).problem


def test_records_in_quotes_may_span_lines() -> None:
    found = facts(b'a,b\n"1\n2",3\n' + b'"x\ny",z\n' * 5000, "a.csv")
    assert (found.rows, found.columns) == (5001, (("a", "text"), ("b", "text")))


def test_rows_wider_than_the_header_are_told() -> None:
    assert facts(b"a,b\n1,2\n1,2,3\n", "a.csv").problem.endswith("rows of 3 cells under 2 columns (1 of them)")


def test_headers_that_lie_are_refused_at_once() -> None:
    shape = {f"t{n}": {"shape": [int("9" * 4000)] * 64, "dtype": "F"} for n in range(20)}
    header = json.dumps(shape).encode()
    safetensors = struct.pack("<Q", len(header)) + header
    gguf = struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + struct.pack("<QIIQ", 0, 9, 8, 2**60) + bytes(1 << 20)
    assert "shape" in headers.read_header(io.BytesIO(safetensors), "a.safetensors").problem
    assert "too long" in headers.read_header(io.BytesIO(gguf), "a.gguf").problem


@pytest.mark.parametrize(
    "color", ["URL(http://x/a)", "\\\\75rl(http://x/a)", "image-set('http://x/a' 1x)", "url(#a) url(b)"]
)
def test_no_color_of_a_drawing_names_an_address(color: str) -> None:
    drawing = f'<svg viewBox="0 0 9 9"><rect fill="{color}" width="3"/><rect fill="rgb(1, 2, 3)"/></svg>'
    shown = svg.inline(drawing, "p", "label")
    assert "x/a" not in shown and "url" not in shown
    assert 'fill="rgb(1, 2, 3)"' in shown


# -- hostile hosts -----------------------------------------------------------------------------------------------------


@contextmanager
def host(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that says to everybody what `answer` sends."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=meet, args=(connection,), daemon=True).start()

    def meet(connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(65_536)
                answer(connection)
            except OSError:
                pass

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def client(address: str, seconds: float = 5.0) -> Client:
    patience = Patience(attempts=2, deadline=seconds, first=0.01, longest=0.02)
    return Client(address, {}, {"Authorization": "Bearer tok_0123456789"}, hint="give a token", patience=patience)


@pytest.mark.parametrize(
    "said",
    [
        '200 OK\r\nLink: <http://[?page=2>; rel="next"',
        "302 Found\r\nLocation: http://[",
        "302 Found\r\nLocation: http://127.0.0.1:99999999/",
        "302 Found\r\nLocation: /é",
    ],
)
def test_an_address_that_is_none_is_the_hosts_fault(said: str) -> None:
    whole = f"HTTP/1.1 {said}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]".encode("latin-1")
    with host(lambda connection: connection.sendall(whole)) as address, pytest.raises(RemoteError):
        list(client(address).pages("/x"))


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"])
def test_a_host_that_drips_is_left(start: bytes) -> None:
    """It would go on for minutes: that this ends at all is the test, and that what came is no answer."""
    ended = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(start)
        while not ended.wait(0.05):
            connection.sendall(b"a")

    try:
        with host(drip) as address, pytest.raises(RemoteError, match="gave up"):
            client(address, 1.0).get("/x")
    finally:
        ended.set()


@pytest.mark.parametrize("pulls", [5, [None], [{"number": []}], [{"number": {}}]])
def test_an_event_of_another_shape_is_refused(hub: GitHubState, pulls: Any) -> None:
    own = {"full_name": SLUG}
    run = {"event": "pull_request", "repository": own, "head_sha": "1" * 40, "pull_requests": pulls}
    for number in (1, 2):
        hub.pull(number, "1" * 40, "you:topic")
    told = GitHub(hub.server.address, TOKEN, SLUG)
    with pytest.raises(NotEvaluableError):
        relay(to_json(WHOLE).encode(), "report.json", {"workflow_run": run, "repository": own}, told)


# -- streams -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def failing(repo: Repo) -> Path:
    (repo.root / "mlgit.yaml").write_text(
        "metrics: [m.json]\ngates:\n  - {metric: acc, direction: higher, max_drop_abs: 0.01}\n"
    )
    (repo.root / "m.json").write_text('{"acc": 0.9}')
    git(repo.root, "add", "-A")
    git(repo.root, "commit", "-q", "-m", "base")
    git(repo.root, "checkout", "-q", "-b", "change")
    (repo.root / "m.json").write_text('{"acc": 0.5}')
    git(repo.root, "commit", "-q", "-a", "-m", "worse")
    return repo.root


@pytest.mark.parametrize("words", [(), ("--json",), ("--md",)])
@pytest.mark.parametrize("service", ["", "true"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_who_goes_does_not_turn_a_failure_into_success(
    failing: Path, words: tuple[str, ...], service: str, unbuffered: str
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "mlgit", "ci", "--base", "main", *words],
            cwd=failing,
            env={**os.environ, "GITHUB_ACTIONS": service, "PYTHONUNBUFFERED": unbuffered},
            stdout=writer,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writer)
    assert done.returncode == 1, done.stderr


def test_closed_streams_do_not_change_the_verdict(failing: Path) -> None:
    words = f'"{sys.executable}" -m mlgit ci --base main'
    for closed in (">&-", "2>&-", ">&- 2>&-"):
        done = subprocess.run(["sh", "-c", f"{words} {closed}"], cwd=failing, capture_output=True, check=False)
        assert done.returncode == 1, (closed, done.stderr)


def test_no_path_adds_an_output(failing: Path, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    words = ["ci", "--base", "main", "--output", "a\nverdict=pass", "--markdown", "b.md"]
    variables = {**os.environ, "GITHUB_OUTPUT": str(outputs)}
    done = subprocess.run([sys.executable, "-m", "mlgit", *words], cwd=failing, env=variables, check=False)
    assert done.returncode == 1
    assert [line.partition("=")[0] for line in outputs.read_text().splitlines()] == ["verdict", "exit-code", "markdown"]
    assert outputs.read_text().startswith("verdict=fail\n")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
@pytest.mark.parametrize("place", ["--summary", "--output", "--markdown", "GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"])
def test_a_pipe_that_nobody_reads_is_refused(failing: Path, tmp_path: Path, place: str) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    words = [sys.executable, "-m", "mlgit", "ci", "--base", "main"]
    words, more = ([*words, place, str(pipe)], {}) if place.startswith("-") else (words, {place: str(pipe)})
    done = subprocess.run(words, cwd=failing, env={**os.environ, **more}, capture_output=True, check=False)
    assert done.returncode == InvalidError.code, done.stderr
    assert b"not a regular file" in done.stderr
    assert pipe.is_fifo()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_that_nobody_writes_is_no_event_and_no_report(failing: Path, tmp_path: Path, mlgit: Any) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    event = {**os.environ, "GITHUB_ACTIONS": "true", "GITHUB_EVENT_PATH": str(pipe)}
    words = [sys.executable, "-m", "mlgit", "ci", "--base", "main"]
    assert subprocess.run(words, cwd=failing, env=event, capture_output=True, check=False).returncode == 1
    done = mlgit("ci", "comment", str(pipe), cwd=failing, code=InvalidError.code)
    assert "not a regular file" in done.err


def test_the_null_device_takes_a_summary(failing: Path) -> None:
    words = [sys.executable, "-m", "mlgit", "ci", "--base", "main", "--summary", os.devnull]
    assert subprocess.run(words, cwd=failing, capture_output=True, check=False).returncode == 1
