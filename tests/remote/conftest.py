"""Remotes to test against: real servers on this machine, and a file system that fails on demand."""

from __future__ import annotations

import errno
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from mlgit.remote.filesystem import FsspecBackend
from mlgit.remote.retry import Patience


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


class FaultyFileSystem(MemoryFileSystem):
    """Files in memory; `plan(operation, path)` may raise, and `spoil(data)` changes what is read."""

    protocol = "faulty"
    cachable = False
    store: dict[str, Any] = {}  # noqa: RUF012
    pseudo_dirs = [""]  # noqa: RUF012
    plan: Callable[[str, str], None] = staticmethod(lambda operation, path: None)
    spoil: Callable[[bytes], bytes] = staticmethod(lambda data: data)
    tags: dict[str, str] = {}  # noqa: RUF012
    calls: list[tuple[str, str]] = []  # noqa: RUF012
    cut_upload_at: int | None = None

    @classmethod
    def reset(cls) -> None:
        cls.store.clear()
        cls.pseudo_dirs[:] = [""]
        cls.tags.clear()
        cls.calls.clear()
        cls.plan = staticmethod(lambda operation, path: None)
        cls.spoil = staticmethod(lambda data: data)
        cls.cut_upload_at = None

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.replace("faulty://", "memory://"))

    def _meet(self, operation: str, path: str) -> None:
        self.calls.append((operation, path))
        type(self).plan(operation, path)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        self._meet("read", path)
        return type(self).spoil(super().cat_file(path, start, end, **kwargs))

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        self._meet("info", path)
        found = super().info(path, **kwargs)
        return {**found, "ETag": self.tags.get(self._strip_protocol(path), "1")}

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        self._meet("list", path)
        return super().ls(path, detail, **kwargs)

    def put_file(self, lpath: str, rpath: str, *args: Any, **kwargs: Any) -> None:
        self._meet("write", rpath)
        if self.cut_upload_at is not None:
            with open(lpath, "rb") as source, self.open(rpath, "wb") as target:
                target.write(source.read(self.cut_upload_at))
            raise OSError(errno.ECONNRESET, "cut in the middle of an upload")
        super().put_file(lpath, rpath, *args, **kwargs)

    def pipe_file(self, path: str, value: bytes, *args: Any, **kwargs: Any) -> None:
        self._meet("write", path)
        super().pipe_file(path, value, *args, **kwargs)

    def rm_file(self, path: str) -> None:
        self._meet("delete", path)
        super().rm_file(path)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def patience(clock: Clock) -> Patience:
    return Patience(clock=clock, sleep=clock.sleep, jitter=lambda: 1.0)


@pytest.fixture
def faulty() -> Iterator[type[FaultyFileSystem]]:
    fsspec.register_implementation("faulty", FaultyFileSystem, clobber=True)
    FaultyFileSystem.reset()
    yield FaultyFileSystem
    FaultyFileSystem.reset()


@pytest.fixture
def broken(faulty: type[FaultyFileSystem], patience: Patience) -> FsspecBackend:
    """A backend whose file system misbehaves as `faulty` is told."""
    return FsspecBackend("faulty://store", {"secret": "hunter22"}, patience=patience)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Address of an S3 server on this machine."""
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    server = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def s3_options(s3_server: str) -> dict[str, Any]:
    return {
        "key": "testing-key",
        "secret": "testing-secret",
        "endpoint_url": s3_server,
        "client_kwargs": {"region_name": "eu-central-1"},
    }


@pytest.fixture
def s3_url(s3_options: dict[str, Any]) -> str:
    """A fresh folder in a fresh bucket."""
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    fsspec.filesystem("s3", **s3_options).mkdir(bucket)
    return f"s3://{bucket}/a/store"
