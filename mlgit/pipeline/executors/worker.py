"""What runs on a node of a cluster: one stage's command, in a folder of its own, between two visits to a remote.

A node has neither the repository nor a disk that others see. It fetches the inputs from the remote, runs the command in
a scratch folder that holds nothing else, and pushes what the command made. So it may be killed at any moment: objects
in the remote are named by their content and become visible with an index that is written last, and only the driver
says which of them a stage's outputs are. Two nodes that run one stage at once, since one was thought dead, disturb
nobody. What a killed worker leaves on the node's disk, the next one there removes.

It speaks plain data, so that a node with another mlgit can say so; it needs no Ray, and never sees the driver's
environment or credentials: those of the node serve.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import sys
import tempfile
import threading
import uuid
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypedDict, cast

from mlgit import __version__, errors
from mlgit.errors import LockedError, MissingError, MlgitError, RemoteError
from mlgit.fs import atomic
from mlgit.fs.lock import locked
from mlgit.model.config import Config, RemoteConfig
from mlgit.model.oid import Oid
from mlgit.model.relpath import RelPath
from mlgit.model.tree import Content
from mlgit.pipeline import scratch
from mlgit.pipeline.environment import passed_on
from mlgit.pipeline.executors.local import LocalExecutor
from mlgit.pipeline.task import Result, Task
from mlgit.store import transfer
from mlgit.store.objects import Store
from mlgit.work import ignore
from mlgit.work.sync import open_remote
from mlgit.work.workspace import Workspace

OUTPUT_LIMIT: Final = 8 << 20
"""How many of the last bytes that a command writes are brought back."""
_TICK: Final = 0.2
_RAYS_OWN: Final = ("RAY_", "PYTHONBREAKPOINT", "SPT_NOENV")
"""Beginnings of variables of a node that Ray means for itself."""
_DEATH_OF_PARENT: Final = 1  # PR_SET_PDEATHSIG of prctl(2)

Holding = tuple[str, str, int, "int | None"]
"""A `Content` as plain data."""


class Spec(TypedDict):
    """A task for a node.

    Attributes:
        versions: of mlgit and Python where the task comes from.
        ignored: the text of `.mlgitignore`, since it has a say in what a folder holds.
        devices: whether the command is told which GPUs are its own.
    """

    versions: str
    address: str
    cmd: str | tuple[str, ...]
    wdir: str
    environment: dict[str, str]
    devices: bool
    timeout: float | None
    inputs: dict[str, Holding]
    outs: tuple[str, ...]
    remote: str
    url: str
    options: dict[str, Any]
    algorithm: str
    ignored: bytes


class Outcome(TypedDict, total=False):
    """A result, as plain data; of an error the class, the message and the hint."""

    status: int
    seconds: float
    timed_out: bool
    outs: dict[str, Holding]
    output: bytes
    error: tuple[str, str, str | None]


def versions() -> str:
    """What has to be the same on a node and where its tasks come from."""
    return f"mlgit {__version__}, Python {sys.version_info.major}.{sys.version_info.minor}"


def pack(content: Content) -> Holding:
    """`content` as plain data."""
    return (str(content.oid), content.type, content.size, content.files)


def unpack(held: Mapping[str, Holding]) -> dict[RelPath, Content]:
    """The contents that `pack` made plain, by path."""
    return {
        RelPath(path): Content(Oid(oid), cast("Any", kind), size, files)
        for path, (oid, kind, size, files) in held.items()
    }


def rebuild(error: tuple[str, str, str | None]) -> MlgitError:
    """The error that an outcome tells of."""
    name, message, hint = error
    kind = getattr(errors, name, MlgitError)
    return cast("MlgitError", kind(message, hint=hint))


def run(spec: Spec, environment: Mapping[str, str], devices: Collection[str] = ()) -> Outcome:
    """Run one task on this node.

    Args:
        environment: the variables of this node; what the task sets comes on top.
        devices: the GPUs that the command may use.

    Returns:
        How it ended; whatever goes wrong is in there too.

    Raises:
        KeyboardInterrupt: the task was cancelled; its whole process group has ended.
    """
    try:
        if spec["versions"] != versions():
            raise RemoteError(
                f"node {platform.node()} has {versions()}; this task comes from {spec['versions']}",
                hint="install the same versions of both on every node",
            )
        own = {name: value for name, value in passed_on(environment).items() if not name.startswith(_RAYS_OWN)}
        if spec["devices"]:
            own["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
        with _folder(spec["address"]) as folder:
            return _run(spec, folder, {**own, **spec["environment"]})
    except MlgitError as error:
        return {"error": (type(error).__name__, f"on node {platform.node()}: {error.message}", error.hint)}


def _run(spec: Spec, folder: Path, environment: Mapping[str, str]) -> Outcome:
    with atomic.disk_errors(folder):
        (folder / ignore.NAME).write_bytes(spec["ignored"])
    here = Workspace(folder, Config(hash=spec["algorithm"]), None)
    remote = _remote(spec, here)
    inputs, outs = unpack(spec["inputs"]), tuple(map(RelPath, spec["outs"]))
    here.store.check_format(create=True)
    transfer.pull(inputs.values(), remote, here.store)
    with here.elsewhere("scratch-") as tree:
        scratch.fill(tree, inputs, outs, RelPath(spec["wdir"]))
        task = Task(
            spec["address"], spec["cmd"], tree.root, RelPath(spec["wdir"]), environment, timeout=spec["timeout"]
        )
        output = _Tail()
        result = _command(task, output)
        if result.error is not None:
            raise result.error
        made = scratch.collect(tree, outs) if result.status == 0 and not result.timed_out else {}
    transfer.push(made.values(), here.store, remote)
    return {
        "status": result.status,
        "seconds": result.seconds,
        "timed_out": result.timed_out,
        "outs": {str(path): pack(content) for path, content in made.items()},
        "output": output.text(),
    }


def _remote(spec: Spec, here: Workspace) -> Store:
    """The remote as this node sees it; the driver has made sure that there is a store."""
    remote = open_remote(here, RemoteConfig(spec["remote"], spec["url"], spec["options"], own=True))
    try:
        remote.backend.read("store.yaml")
    except MissingError:
        raise RemoteError(
            f"there is no store at {remote.backend.url}, which is where remote {spec['remote']!r} is",
            hint="a folder is a remote for nodes only if all of them see it under the same path; else take S3",
        ) from None
    return remote


def _command(task: Task, output: _Tail) -> Result:
    """Run the command to its end, or until this task is cancelled."""
    ended = threading.Event()
    results: list[Result] = []

    def done(result: Result) -> None:
        results.append(result)
        ended.set()

    with _no_signal_blocked(), LocalExecutor() as executor:
        executor.start(task, output.add, done)
        while not ended.wait(_TICK):  # in small steps: a cancellation is noticed between two of them
            pass
    return results[0]


@contextlib.contextmanager
def _no_signal_blocked() -> Iterator[None]:
    """Let commands start as from a terminal: a Ray worker blocks SIGINT, and what it starts inherits that."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Tail:
    """The last of what a command writes."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._cut = 0

    def add(self, data: bytes) -> None:
        """Take a piece."""
        self._pieces.append(data)
        self._size += len(data)
        while self._size - len(self._pieces[0]) >= OUTPUT_LIMIT:
            gone = len(self._pieces.popleft())
            self._size -= gone
            self._cut += gone

    def text(self) -> bytes:
        """What was kept; says so if that is not all."""
        notice = f"[the first {self._cut} bytes are left out]\n".encode() if self._cut else b""
        return notice + b"".join(self._pieces)


# -- the node's disk and processes ------------------------------------------------------------------------------------


@contextlib.contextmanager
def _folder(purpose: str) -> Iterator[Path]:
    """A new folder on this node, gone after the body; those of killed workers go as well.

    Whoever works in a folder holds the lock file beside it, which the kernel frees however its holder dies. The lock
    comes first: a folder without one is nobody's to remove.
    """
    above = Path(tempfile.gettempdir()) / f"mlgit-{_user()}"
    with atomic.disk_errors(above):
        above.mkdir(mode=0o700, exist_ok=True)
        owner = above.lstat().st_uid
    if owner != _user():
        raise errors.UnsafeError(f"{above} belongs to somebody else", hint="set TMPDIR on the node to another folder")
    folder = above / f"stage-{uuid.uuid4().hex}"
    with locked(folder.with_suffix(".lock"), purpose):
        with atomic.disk_errors(folder):
            folder.mkdir()
        _sweep(above)
        try:
            yield folder
        finally:
            _clear(folder)


def _sweep(above: Path) -> None:
    """Remove the folders whose workers are dead."""
    for lock in above.glob("stage-*.lock"):
        with contextlib.suppress(LockedError), locked(lock, "sweep", wait=0):
            _clear(lock.with_suffix(""))


def _clear(folder: Path) -> None:
    """Remove a folder and its lock; what resists is tried again by the next worker."""
    shutil.rmtree(folder, ignore_errors=True)
    if not folder.exists():
        folder.with_suffix(".lock").unlink(missing_ok=True)


def _user() -> int:
    return os.getuid() if sys.platform != "win32" else 0


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that started it dies; does nothing where that cannot be had.

    For a worker process of Ray, whose parent is the node's own process: with it every command on the node ends, since
    a command's guard goes by the death of the worker. Asked for by the process itself while it runs, and not between
    fork and exec, where other threads' locks may be held for ever.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_DEATH_OF_PARENT, signal.SIGKILL)
