"""A backend over any fsspec file system: S3, GCS, Azure, SSH, HTTP and the rest.

It never opens a final name for writing: an exception inside such a block publishes the half-written object on most
object stores. Complete files are put, or uploaded beside and renamed where an upload shows while it grows.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import fsspec

from mlgit.errors import MissingError, MlgitError, RemoteError
from mlgit.fs.atomic import disk_errors
from mlgit.fs.atomic import explain as explain_disk
from mlgit.model.secret import redact, secret_values
from mlgit.remote.address import SCHEMES, Scheme
from mlgit.remote.download import Version, download
from mlgit.remote.failures import explain, kind_of
from mlgit.remote.listing import modified, name_below, walk
from mlgit.remote.retry import Patience
from mlgit.store.backend import Progress, Stat

TEMPORARY: Final = "tmp"
"""Folder of uploads under way, where a rename publishes; never listed."""
_UPLOAD_PART: Final = 33 << 20
_SMALLEST_PART: Final = 1 << 20
_S3_PARTS: Final = 10_000
_DELETE_AT_ONCE: Final = 1000
_TAGS: Final = (
    "ETag",
    "etag",
    "md5Hash",
    "content_md5",
    "generation",
    "mtime",
    "LastModified",
    "last_modified",
    "created",
)

T = TypeVar("T")


class FsspecBackend:
    """Files below `url`; see `Backend` for what is promised. Safe to use from several threads.

    Args:
        url: of one place; a protocol that `SCHEMES` does not list is treated as one that publishes by rename.
        options: for the file system's class; credentials among them never reach a message.
        patience: how long to try.

    Raises:
        RemoteError: the package for the protocol is not installed.
    """

    def __init__(self, url: str, options: Mapping[str, Any] | None = None, *, patience: Patience | None = None) -> None:
        protocol = url.partition("://")[0].lower()
        self._address = url
        self._options = dict(options or {})
        self._scheme = SCHEMES.get(protocol, Scheme("", "rename"))
        self._class = _class_of(protocol, self._scheme)
        self._root = str(self._class._strip_protocol(url)).rstrip("/")
        self._patience = patience or Patience()
        self._secrets = tuple(secret_values(self._options))
        self._own = threading.local()
        self._made: set[str] = set()

    def __repr__(self) -> str:
        return f"FsspecBackend({self.url!r})"

    @property
    def url(self) -> str:
        """The address without credentials."""
        return self._clean(self._address)

    @property
    def local(self) -> Path | None:
        """None: a file is reached through its file system only."""
        return None

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """`length` bytes from `offset`, or all to the end."""
        if length == 0:
            self._version(name)
            return b""
        with self._failing(f"reading {name}"):
            if length is None and offset == 0:
                return self._patience.run(
                    lambda seconds, _: bytes(self._files().cat_file(self._path(name), **self._limit(seconds)))
                )
            length = self._version(name).size - offset if length is None else length
            return self._range(name, offset, length)[0] if length > 0 else b""

    def download(self, name: str, target: Path, progress: Progress | None = None) -> None:
        """Fetch the whole file by ranges, resuming; where a server has no ranges, in one go."""
        report = progress or _ignore
        if self._scheme.publish == "never" and not self._has_ranges(name):
            self._download_whole(name, target, report)
            return
        with self._failing(f"reading {name}", target):
            download(_File(self, name), target, report)

    def put(self, name: str, source: Path, progress: Progress | None = None, *, move: bool = False) -> None:
        """Publish a complete local file; with `move` it is deleted once it is published."""
        with disk_errors(source):
            size = os.stat(source).st_size
        counted = _Counted(progress or _ignore)

        def upload(path: str, seconds: float) -> None:
            extra = self._limit(seconds)
            if self._address.startswith(("s3://", "s3a://")):
                extra["chunksize"] = max(_UPLOAD_PART, -(-size // _S3_PARTS))
            callback = fsspec.Callback(hooks={"progress": counted.update})
            self._files().put_file(str(source), path, callback=callback, **extra)

        self._publish(name, size, upload, source)
        counted.update(size, size)
        if move:
            with disk_errors(source):
                os.unlink(source)

    def put_bytes(self, name: str, data: bytes, *, durable: bool = True) -> None:
        """Publish `data`; how durable it is, the service decides."""

        def upload(path: str, seconds: float) -> None:
            self._files().pipe_file(path, data, **self._limit(seconds))

        self._publish(name, len(data), upload)

    def list(self, prefix: str) -> Iterator[Stat]:
        """All files below a folder; ones whose names no mlgit would give are left out."""
        with self._failing(f"listing {prefix or '/'}"):
            found = self._patience.run(lambda seconds, _: self._listed(prefix.rstrip("/"), seconds))
        return iter(found)

    def exists(self, name: str) -> bool:
        """Whether the file is there."""
        try:
            self._version(name)
        except MissingError:
            return False
        return True

    def delete(self, names: Iterable[str]) -> None:
        """Remove files, many with one request where the protocol can."""
        wanted = [self._path(name) for name in names]
        self._writable()
        with self._failing("deleting files"):
            # The bulk call takes patterns, so it must not see a name that looks like one.
            if self._scheme.flat and len(wanted) > 1 and not re.search(r"[*?\[]", self._root):
                for start in range(0, len(wanted), _DELETE_AT_ONCE):
                    self._delete_batch(wanted[start : start + _DELETE_AT_ONCE])
            else:
                for path in wanted:
                    self._delete_one(path)

    def _delete_batch(self, paths: Sequence[str]) -> None:
        try:
            self._patience.run(lambda seconds, _: self._files().rm(paths, **self._limit(seconds)))
        except FileNotFoundError:
            for path in paths:
                self._delete_one(path)

    def _delete_one(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._patience.run(lambda seconds, _: self._files().rm_file(path, **self._limit(seconds)))

    def _publish(self, name: str, size: int, upload: Callable[[str, float], None], source: Path | None = None) -> None:
        """Make `name` appear at once, by what `upload` puts at the path it is given."""
        self._writable()
        final = self._path(name)
        try:
            with self._failing(f"writing {name}", source):
                if self._scheme.publish == "put":
                    self._patience.run(lambda seconds, _: upload(final, seconds), size)
                else:
                    self._upload_and_rename(final, size, upload)
        except MissingError as error:
            raise RemoteError(
                f"{self.url}: writing {name}: the bucket or folder does not exist", hint="make it, or mend the url"
            ) from error

    def _upload_and_rename(self, final: str, size: int, upload: Callable[[str, float], None]) -> None:
        temp = self._path(f"{TEMPORARY}/{secrets.token_hex(8)}")
        for folder in (temp.rpartition("/")[0], final.rpartition("/")[0]):
            self._make(folder)
        try:
            self._patience.run(lambda seconds, _: upload(temp, seconds), size)
            arrived = self._patience.run(lambda _, __: self._size(temp))
            if arrived != size:
                raise OSError(f"the upload arrived with {arrived} of {size} bytes")
            self._patience.run(lambda _, failures: self._rename(temp, final, size, failures))
        except BaseException:
            with contextlib.suppress(Exception):
                self._files().rm_file(temp)
            raise

    def _rename(self, temp: str, final: str, size: int, failures: int) -> None:
        """Move into place. A name that exists already has the same content, so a refusal because of it is fine."""
        files = self._files()
        try:
            if failures == 0 or self._size(final) != size:
                files.mv(temp, final)
        except Exception:
            if self._size(final) != size:
                raise
        if self._size(final) != size:
            raise OSError("the server did not rename the upload into place")
        with contextlib.suppress(FileNotFoundError):
            files.rm_file(temp)

    def _size(self, path: str) -> int | None:
        try:
            info = self._files().info(path)
        except FileNotFoundError:
            return None
        return int(info["size"]) if info["type"] == "file" else None

    def _make(self, folder: str) -> None:
        if folder and folder not in self._made:
            self._patience.run(lambda seconds, _: self._files().makedirs(folder, exist_ok=True, **self._limit(seconds)))
            self._made.add(folder)

    def _listed(self, prefix: str, seconds: float) -> Sequence[Stat]:
        top = self._path(prefix) if prefix else self._root
        infos: Iterable[Mapping[str, Any]]
        if self._scheme.flat:
            with contextlib.suppress(FileNotFoundError):
                infos = self._files().find(top, detail=True, **self._limit(seconds)).values()
                return [*self._stats(infos, prefix)]
            return []
        return [*self._stats(walk(self._files(), top, self._limit(seconds)), prefix)]

    def _stats(self, infos: Iterable[Mapping[str, Any]], prefix: str) -> Iterator[Stat]:
        """The files of a store among a listing's entries."""
        for info in infos:
            name = name_below(self._root, str(self._class._strip_protocol(info["name"])))
            if info["type"] != "file" or name is None:
                continue
            if name.startswith(f"{prefix}/") if prefix else not name.startswith(f"{TEMPORARY}/"):
                size = info["size"] if info.get("size") is not None else self._version(name).size
                yield Stat(name, int(size), modified(info))

    def _version(self, name: str) -> Version:
        path = self._path(name)
        with self._failing(f"looking for {name}"):
            info = self._patience.run(lambda seconds, _: self._files().info(path, **self._limit(seconds)))
            if info["type"] != "file":
                raise FileNotFoundError(path)
            if info.get("size") is None:
                raise RemoteError(f"{self.url}: the server does not tell the size of {name}", hint="use another server")
            tag = next((str(info[key]) for key in _TAGS if info.get(key)), "")
            return Version(int(info["size"]), tag)

    def _range(self, name: str, start: int, length: int) -> tuple[bytes, bool]:
        """Bytes from `start`, and whether the file ends there; after a failure a smaller range is asked for."""
        path = self._path(name)

        def step(seconds: float, failures: int) -> tuple[bytes, bool]:
            part = min(length, max(_SMALLEST_PART, length >> 2 * failures))
            data = bytes(self._files().cat_file(path, start=start, end=start + part, **self._limit(seconds)))
            if len(data) > part:  # the server ignored the range and sent the whole file
                data = data[start : start + part]
            return data, len(data) < part

        with self._failing(f"reading {name}"):
            try:
                return self._patience.run(step, length)
            except Exception as error:
                if kind_of(error) == "range":  # nothing stands from `start` on
                    return b"", True
                raise

    def _has_ranges(self, name: str) -> bool:
        with self._failing(f"looking for {name}"):
            info = self._patience.run(lambda seconds, _: self._files().info(self._path(name), **self._limit(seconds)))
        return bool(info.get("partial"))

    def _download_whole(self, name: str, target: Path, progress: Progress) -> None:
        counted = _Counted(progress)

        def step(seconds: float, _: int) -> None:
            callback = fsspec.Callback(hooks={"progress": counted.update})
            with open(target, "wb") as file:
                self._files().get_file(self._path(name), file, callback=callback, **self._limit(seconds))

        with self._failing(f"reading {name}", target):
            self._patience.run(step, self._version(name).size)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _writable(self) -> None:
        if self._scheme.publish == "never":
            raise RemoteError(f"{self.url}: an HTTP remote is read-only", hint="push to another remote: -r NAME")

    def _files(self) -> Any:
        """The file system: one for all threads where it runs its own loop, else one each. Made on first use."""
        holder: Any = self if self._class.async_impl else self._own
        found = getattr(holder, "files", None)
        if found is None:
            found = holder.files = self._connect()
        return found

    def _connect(self) -> Any:
        options = {**self._class._get_kwargs_from_urls(self._address), **self._options, "skip_instance_cache": True}
        if self._scheme.flat:
            options["use_listings_cache"] = False
        is_s3 = self._address.startswith(("s3://", "s3a://"))
        if is_s3:
            config = dict(options.get("config_kwargs", {}))
            config.setdefault("retries", {"mode": "standard", "total_max_attempts": 1})
            options["config_kwargs"] = config
            options.setdefault("max_concurrency", 2)
        files = self._class(**options)
        if is_s3:
            files.retries = 1
        return files

    def _limit(self, seconds: float) -> dict[str, Any]:
        """How fsspec is told to give up on a call; only its asynchronous file systems know how."""
        return {"timeout": seconds} if self._class.async_impl else {}

    def _clean(self, text: str) -> str:
        return redact(text, self._secrets)

    @contextlib.contextmanager
    def _failing(self, doing: str, local: Path | None = None) -> Iterator[None]:
        """Turn whatever a client raises into an `MlgitError`; the cause stays out of it, it may hold secrets."""
        try:
            yield
        except MlgitError:
            raise
        except Exception as error:
            on_disk = isinstance(error, OSError) and (
                self._class.protocol == ("file", "local") or (local is not None and error.filename == str(local))
            )
            if on_disk and isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
                raise explain_disk(error, error.filename or self._root) from None
            raise explain(error, doing, self._address, self._scheme.login, self._clean) from None


class _File:
    """One file of a backend, as a source of ranges."""

    def __init__(self, backend: FsspecBackend, name: str) -> None:
        self._backend = backend
        self._name = name

    def version(self) -> Version:
        return self._backend._version(self._name)

    def fetch(self, start: int, length: int) -> tuple[bytes, bool]:
        return self._backend._range(self._name, start, length)


class _Counted:
    """Turns fsspec's running totals, which begin anew with each attempt, into bytes moved since the last call."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._seen = 0

    def update(self, size: int | None, value: int, **_: object) -> None:
        if value > self._seen:
            self._progress(value - self._seen)
            self._seen = value


def _ignore(_size: int, _files: int = 0, /) -> None:
    """No progress is shown."""


def _class_of(protocol: str, scheme: Scheme) -> Any:
    """The file system's class."""
    try:
        if scheme.module:
            module, _, name = scheme.module.partition(":")
            return getattr(importlib.import_module(module), name)
        return fsspec.get_filesystem_class(protocol)
    except (ImportError, ValueError) as error:
        hint = f"pip install '{scheme.install}'" if scheme.install else "check the address"
        raise RemoteError(f"{protocol}:// needs a package that is not installed", hint=hint) from error
