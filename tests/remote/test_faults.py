"""Remotes that fail: nothing half-done shows, retries are bounded, downloads go on, and no secret is ever printed."""

from __future__ import annotations

import errno
import http.server
import os
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlgit.errors import AuthError, DiskError, MissingError, MlgitError, RemoteError
from mlgit.remote import open_backend
from mlgit.remote.download import PART
from mlgit.remote.failures import explain, kind_of
from mlgit.remote.filesystem import FsspecBackend
from mlgit.remote.retry import Patience

RESET = OSError(errno.ECONNRESET, "connection reset")


def failing(operation: str, error: Exception, *, after: int = 0, times: int = 10**9) -> Callable[[str, str], None]:
    """Let `after` operations pass, then raise `error` for the next `times`."""
    seen = 0

    def plan(what: str, path: str) -> None:
        nonlocal seen
        if what == operation:
            seen += 1
            if after < seen <= after + times:
                raise error

    return plan


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"0123456789" * 100)
    return path


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file of more than two ranges."""
    path = tmp_path / "large"
    path.write_bytes(b"".join(number.to_bytes(8, "big") * 1024 for number in range(2 * PART // 8192 + 700)))
    return path


# Row 26: an exception inside an upload


def test_an_upload_cut_in_the_middle_publishes_nothing(faulty: Any, broken: FsspecBackend, source: Path) -> None:
    faulty.cut_upload_at = 10
    with pytest.raises(RemoteError):
        broken.put("o/x", source)
    assert not broken.exists("o/x")
    assert list(broken.list("")) == list(broken.list("tmp/")) == []
    faulty.cut_upload_at = None
    broken.put("o/x", source)
    assert broken.read("o/x") == source.read_bytes()


def test_an_interrupt_in_an_upload_publishes_nothing(faulty: Any, broken: FsspecBackend, source: Path) -> None:
    def interrupted(operation: str, path: str) -> None:
        if operation == "write":
            raise KeyboardInterrupt

    faulty.plan = staticmethod(interrupted)
    for action in (lambda: broken.put("o/x", source), lambda: broken.put_bytes("o/x", b"x")):
        with pytest.raises(KeyboardInterrupt):
            action()
    assert not broken.exists("o/x")


def test_an_upload_that_arrives_short_publishes_nothing(faulty: Any, broken: FsspecBackend, source: Path) -> None:
    def shorten(operation: str, path: str) -> None:
        if operation == "info" and path in faulty.store:
            faulty.store[path].truncate(3)

    faulty.plan = staticmethod(shorten)
    with pytest.raises(RemoteError):
        broken.put("o/x", source)
    faulty.plan = staticmethod(lambda operation, path: None)
    assert not broken.exists("o/x")


def test_s3_shows_nothing_of_a_failed_upload(s3_url: str, s3_options: dict[str, Any], source: Path, clock: Any) -> None:
    patience = Patience(clock=clock, sleep=clock.sleep)
    refused = FsspecBackend(s3_url.replace("bucket-", "absent-"), s3_options, patience=patience)
    with pytest.raises(RemoteError, match="does not exist"):
        refused.put("o/x", source)
    assert list(refused.list("")) == []


# Row 22: errors that pass, and errors that do not


@pytest.mark.parametrize("operation", ["write", "read", "list", "info"])
def test_a_passing_failure_goes_unnoticed(faulty: Any, broken: FsspecBackend, source: Path, operation: str) -> None:
    faulty.plan = staticmethod(failing(operation, RESET, times=2))
    broken.put("o/x", source)
    assert broken.read("o/x") == source.read_bytes()
    assert [stat.name for stat in broken.list("o/")] == ["o/x"]


@pytest.mark.parametrize("operation", ["write", "read", "list", "info", "delete"])
def test_retries_are_bounded(faulty: Any, broken: FsspecBackend, source: Path, operation: str, tmp_path: Path) -> None:
    broken.put("o/x", source)
    faulty.plan = staticmethod(failing(operation, RESET))
    actions = {
        "write": lambda: broken.put("o/y", source),
        "read": lambda: broken.read("o/x"),
        "list": lambda: broken.list("o/"),
        "info": lambda: broken.exists("o/x"),
        "delete": lambda: broken.delete(["o/x"]),
    }
    faulty.calls.clear()
    with pytest.raises(RemoteError) as caught:
        actions[operation]()
    assert caught.value.code == 15
    assert caught.value.hint
    assert 5 <= len([call for call in faulty.calls if call[0] == operation]) <= 6


def test_pauses_grow_and_end_at_the_deadline(clock: Any) -> None:
    patience = Patience(attempts=100, deadline=20.0, clock=clock, sleep=clock.sleep, jitter=lambda: 1.0)

    def step(seconds: float, failures: int) -> None:
        raise RESET

    with pytest.raises(OSError, match="reset"):
        patience.run(step)
    assert clock.pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0]
    assert clock.now < 20.0


def test_a_slow_step_uses_up_the_deadline(clock: Any) -> None:
    patience = Patience(deadline=30.0, clock=clock, sleep=clock.sleep)
    given: list[float] = []

    def step(seconds: float, failures: int) -> None:
        given.append(seconds)
        clock.now += 29.0
        raise TimeoutError

    with pytest.raises(TimeoutError):
        patience.run(step)
    assert len(given) <= 2


@pytest.mark.parametrize(
    "error", [ValueError("odd"), OSError(errno.ENOSPC, "server is full"), OSError(errno.EINVAL, "no")]
)
def test_a_lasting_failure_is_not_tried_again(
    faulty: Any, broken: FsspecBackend, source: Path, clock: Any, error: Exception
) -> None:
    faulty.plan = staticmethod(failing("write", error))
    with pytest.raises(RemoteError):
        broken.put("o/x", source)
    assert clock.pauses == []


def test_a_broken_listing_is_not_an_empty_one(faulty: Any, broken: FsspecBackend) -> None:
    broken.put_bytes("index/deep/a", b"x")
    faulty.plan = staticmethod(failing("list", RESET, after=1))
    with pytest.raises(RemoteError):
        broken.list("index/")


def test_a_server_that_is_not_there(clock: Any, tmp_path: Path) -> None:
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    options = {"key": "k", "secret": "hunter22", "endpoint_url": "http://127.0.0.1:9"}
    backend = FsspecBackend("s3://bucket/x", options, patience=Patience(attempts=2, clock=clock, sleep=clock.sleep))
    with pytest.raises(RemoteError) as caught:
        backend.read("store.yaml")
    assert "127.0.0.1" in caught.value.message


# Row 23: credentials


def test_credentials_that_expire_in_a_push(faulty: Any, broken: FsspecBackend, source: Path, clock: Any) -> None:
    faulty.plan = staticmethod(failing("write", PermissionError("403 Forbidden"), after=2))
    broken.put("packs/a", source)
    broken.put("packs/b", source)
    with pytest.raises(AuthError) as caught:
        broken.put("packs/c", source)
    assert caught.value.code == 16
    assert caught.value.hint
    assert clock.pauses == []
    assert {stat.name for stat in broken.list("packs/")} == {"packs/a", "packs/b"}
    assert broken.read("packs/a") == source.read_bytes()


def test_no_credentials_at_all(s3_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    backend = open_backend("s3://bucket/x", {"endpoint_url": s3_server}, tmp_path)
    with pytest.raises(AuthError) as caught:
        backend.read("store.yaml")
    assert "AWS_PROFILE" in str(caught.value.hint)


# Row 24: interrupted downloads


def test_a_cut_download_goes_on_by_range(faulty: Any, broken: FsspecBackend, large: Path, tmp_path: Path) -> None:
    broken.put("o/x", large)
    faulty.plan = staticmethod(failing("read", RESET, after=1))
    target = tmp_path / "target"
    with pytest.raises(RemoteError):
        broken.download("o/x", target)
    assert target.stat().st_size == PART
    faulty.plan = staticmethod(lambda operation, path: None)
    moved: list[int] = []
    faulty.calls.clear()
    broken.download("o/x", target, moved.append)
    assert target.read_bytes() == large.read_bytes()
    assert moved[0] == PART  # was there already
    assert len([call for call in faulty.calls if call[0] == "read"]) == 2
    assert not (tmp_path / "target.from").exists()


def test_a_file_that_changed_is_begun_anew(faulty: Any, broken: FsspecBackend, large: Path, tmp_path: Path) -> None:
    broken.put("o/x", large)
    faulty.plan = staticmethod(failing("read", RESET, after=1))
    target = tmp_path / "target"
    with pytest.raises(RemoteError):
        broken.download("o/x", target)
    faulty.plan = staticmethod(lambda operation, path: None)
    changed = bytearray(large.read_bytes())
    changed[5] ^= 1
    large.write_bytes(changed)
    broken.put("o/x", large)
    faulty.tags["/store/o/x"] = "2"
    broken.download("o/x", target)
    assert target.read_bytes() == bytes(changed)


def test_after_a_failure_a_smaller_range_is_asked_for(
    faulty: Any, broken: FsspecBackend, large: Path, tmp_path: Path
) -> None:
    broken.put("o/x", large)
    faulty.plan = staticmethod(failing("read", RESET, times=2))
    broken.download("o/x", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == large.read_bytes()


# Row 19: a remote that lies is read faithfully; the store compares with the id


def test_changed_bytes_arrive_as_they_are(faulty: Any, broken: FsspecBackend, source: Path, tmp_path: Path) -> None:
    broken.put("o/x", source)
    for spoil in (lambda data: data[:-3], lambda data: bytes([data[0] ^ 1]) + data[1:]):
        faulty.spoil = staticmethod(spoil)
        (tmp_path / "target").unlink(missing_ok=True)
        broken.download("o/x", tmp_path / "target")
        assert (tmp_path / "target").read_bytes() == spoil(source.read_bytes())


def test_names_that_no_store_gives_are_not_listed(faulty: Any, broken: FsspecBackend) -> None:
    broken.put_bytes("index/good", b"x")
    for name in ("/store/index/../../evil", "/store/index/a b", "/store/index/a\nb", "/storeindex/x"):
        faulty.store[name] = type(faulty.store["/store/index/good"])(None, name, b"x")
    assert [stat.name for stat in broken.list("index/")] == ["index/good"]


# Local disk


def test_a_local_disk_error_is_not_the_remotes(broken: FsspecBackend, source: Path, tmp_path: Path) -> None:
    broken.put("o/x", source)
    with pytest.raises(MlgitError) as caught:
        broken.download("o/x", tmp_path / "absent" / "target")
    assert not isinstance(caught.value, (RemoteError, AuthError))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_a_full_disk_is_a_disk_error(broken: FsspecBackend, source: Path) -> None:
    broken.put("o/x", source)
    with pytest.raises(DiskError):
        broken.download("o/x", Path("/dev/full"))


# Row 43: secrets


def test_no_secret_is_ever_printed(faulty: Any, source: Path, patience: Patience) -> None:
    backend = FsspecBackend(
        "faulty://me:hunter22@store/x", {"secret": "sesame99", "deep": {"token": "t0k3nt0k3n"}}, patience=patience
    )
    words = "failed for sesame99, t0k3nt0k3n at https://me:hunter22@host/?sig=s1gnature"
    shown = repr(backend) + backend.url
    for error in (PermissionError(words), OSError(errno.EINVAL, words), ConnectionError(words), ValueError(words)):
        faulty.plan = staticmethod(failing("write", error))
        with pytest.raises(MlgitError) as caught:
            backend.put("o/x", source)
        shown += "".join(traceback.format_exception(caught.value)) + str(caught.value.hint)
    for secret in ("hunter22", "sesame99", "t0k3nt0k3n", "s1gnature"):
        assert secret not in shown


# What exceptions mean


class AnswerError(Exception):
    """As HTTP clients raise them."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (FileNotFoundError("x"), "missing"),
        (AnswerError(404), "missing"),
        (AnswerError(401), "auth"),
        (AnswerError(403), "auth"),
        (AnswerError(500), "transient"),
        (AnswerError(503), "transient"),
        (AnswerError(429), "transient"),
        (AnswerError(400), "other"),
        (AnswerError(416), "range"),
        (TimeoutError(), "transient"),
        (EOFError(), "transient"),
        (BrokenPipeError(errno.EPIPE, "x"), "transient"),
        (OSError("no number"), "transient"),
        (OSError(errno.ENOSPC, "x"), "other"),
        (TypeError("x"), "other"),
        (type("NoCredentialsError", (Exception,), {})("x"), "auth"),
    ],
)
def test_kinds_of_failure(error: Exception, kind: str) -> None:
    assert kind_of(error) == kind
    classes = {"missing": MissingError, "auth": AuthError}
    assert type(explain(error, "reading x", "s3://b", "log in", str)) is classes.get(kind, RemoteError)


# HTTP: read-only, with servers that know no ranges


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    (tmp_path / "www/index").mkdir(parents=True)
    (tmp_path / "www/index/a.idx").write_bytes(b"0123456789" * 50)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(tmp_path / "www"))

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_web_server_is_a_read_only_remote(web: str, tmp_path: Path, source: Path) -> None:
    backend = open_backend(web, {}, tmp_path)
    assert backend.read("index/a.idx", 3, 4) == b"3456"
    assert backend.read("index/a.idx") == b"0123456789" * 50
    backend.download("index/a.idx", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"0123456789" * 50
    assert [(stat.name, stat.size) for stat in backend.list("index/")] == [("index/a.idx", 500)]
    with pytest.raises(MissingError):
        backend.read("index/absent")
    for action in (lambda: backend.put("o/x", source), lambda: backend.delete(["index/a.idx"])):
        with pytest.raises(RemoteError, match="read-only"):
            action()


# S3, a file of several parts


def test_a_large_file_on_s3(s3_url: str, s3_options: dict[str, Any], large: Path, tmp_path: Path) -> None:
    backend = open_backend(s3_url, s3_options, tmp_path)
    moved: list[int] = []
    backend.put("objects/x", large, moved.append)
    assert sum(moved) == large.stat().st_size
    backend.download("objects/x", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == large.read_bytes()
