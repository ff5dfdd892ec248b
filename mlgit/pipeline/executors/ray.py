"""Runs stages' commands on an existing Ray cluster; their inputs and outputs travel through a remote.

The driver, which is here, pushes what a stage reads to the remote, hands a node the ids of it, and gets back the ids of
what the stage made; `worker` is the other half. Ray decides where a task runs, by its resources, and runs it again when
its node is lost. It never starts a cluster, and of the user's credentials nothing is sent to it.

Only Ray Core is used, and imported when the executor is entered.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Final

from mlgit.errors import InvalidError, MlgitError, RemoteError, StageError, UsageError
from mlgit.model.config import RemoteConfig
from mlgit.model.secret import is_secret, redact
from mlgit.pipeline.executors import worker
from mlgit.pipeline.executors.worker import Outcome, Spec
from mlgit.pipeline.task import Result, Sink, Task
from mlgit.store import transfer
from mlgit.store.objects import Store
from mlgit.work import ignore
from mlgit.work.sync import open_remote
from mlgit.work.workspace import Workspace

GRACE: Final = 6.0
"""Seconds between asking tasks to end and killing their workers; a command on a node has three of its own."""
RETRIES: Final = 3
"""How often a task is run again because its node or worker was lost; never because its command failed."""
_REACH: Final = 5.0
_Done = Callable[[Result], None]


class _Stopped(Exception):  # noqa: N818
    """No more tasks are wanted."""


class _Job:
    """One task on its way.

    Attributes:
        ref: what Ray calls its result, once it was handed over.
    """

    def __init__(self, task: Task, sink: Sink, done: _Done) -> None:
        self.task = task
        self.sink = sink
        self.done = done
        self.ref: Any = None


class RayExecutor:
    """Commands on the nodes of a Ray cluster; use it with `with`, on the main thread.

    Args:
        workspace: whose cache the inputs are in.
        remote: where inputs and outputs go, which every node must reach too, with credentials of its own.
        address: of the cluster, `HOST:PORT`; None for the one that this machine is part of, or that RAY_ADDRESS names.
    """

    apart = True

    def __init__(self, workspace: Workspace, remote: RemoteConfig, address: str | None = None) -> None:
        # A workspace of its own, since a store's catalog is not to be used by two threads.
        self._workspace = Workspace(workspace.root, workspace.config, workspace.git)
        self._config = remote
        self._address = address
        self._changed = threading.Condition()
        self._jobs: set[_Job] = set()
        self._stopping = False
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> RayExecutor:
        """Connect to the cluster and the remote.

        Raises:
            RemoteError: Ray is not installed, or there is no cluster, or one of other versions.
            UsageError: an address of another kind.
            InvalidError: the remote's address holds a credential.
            RemoteError, AuthError, UnsafeError: as `open_remote`.
        """
        self._ray = _load()
        self._remote = self._open()
        with contextlib.ExitStack() as stack:
            if not self._ray.is_initialized():
                stack.enter_context(_connected(self._ray, self._address))
            self._function = self._ray.remote(_function())
            # One thread sends, so that tasks that start together do not push the same objects twice.
            self._sender = stack.enter_context(ThreadPoolExecutor(1, "mlgit-send"))
            self._receiver = stack.enter_context(ThreadPoolExecutor(1, "mlgit-receive"))
            stack.callback(self.stop)
            self._cleanup = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    def _open(self) -> Store:
        """The remote, made if there is none."""
        url = self._config.url
        if redact(url) != url:
            raise InvalidError(
                f"remote {self._config.name}: its address {redact(url)} holds a credential, which is not sent to nodes",
                hint="take it out, and give this machine and the nodes credentials of their own",
            )
        store = open_remote(self._workspace, self._config)
        store.check_format(create=True)
        return store

    # -- sending -----------------------------------------------------------------------------------------------------

    def start(self, task: Task, sink: Sink, done: _Done) -> None:
        """Begin `task` and return at once; see `Executor`."""
        job = _Job(task, sink, done)
        with self._changed:
            self._jobs.add(job)
        self._sender.submit(self._send, job)

    def _send(self, job: _Job) -> None:
        try:
            self._go_on()
            with self._workspace.using_cache("repro"):
                transfer.push(job.task.inputs.values(), self._workspace.store, self._remote, self._go_on)
            self._warn(job)
            with self._changed:
                self._go_on()
                job.ref = self._submit(job.task)
        except _Stopped:
            self._finish(job, Result(-signal.SIGINT))
        except MlgitError as error:
            self._finish(job, Result(error=error))
        except Exception as error:  # of any kind: whoever waits for the task has to hear of it
            self._finish(job, Result(error=_unexpected(job.task, error)))
        else:
            job.ref.future().add_done_callback(lambda future: self._receiver.submit(self._receive, job, future))

    def _go_on(self, size: int = 0, files: int = 0) -> None:
        if self._stopping:
            raise _Stopped

    def _warn(self, job: _Job) -> None:
        """Say so if no node is large enough: Ray waits in silence until one joins."""
        wanted = job.task.resources
        need = {"CPU": wanted.cpus, "GPU": wanted.gpus, "memory": wanted.memory}
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if not any(all(node.get(name, 0) >= size for name, size in need.items()) for node in nodes):
            told = ", ".join(f"{size:g} {name}" for name, size in need.items() if size)
            job.sink(f"[waiting until a node joins the cluster that has {told}]\n".encode())

    def _submit(self, task: Task) -> Any:
        wanted = task.resources
        options = {
            "num_cpus": wanted.cpus,
            "num_gpus": wanted.gpus,
            "memory": wanted.memory or None,
            "max_retries": RETRIES,
            "retry_exceptions": False,
            "name": f"mlgit {task.address}",
        }
        return self._function.options(**options).remote(self._spec(task))

    def _spec(self, task: Task) -> Spec:
        """What a node has to know, as plain data."""
        rules, folder = self._workspace.root / ignore.NAME, self._remote.backend.local
        return {
            "versions": worker.versions(),
            "address": task.address,
            "cmd": task.cmd,
            "wdir": str(task.wdir),
            "environment": dict(task.environment),
            "devices": task.resources.gpus > 0,
            "timeout": task.timeout,
            "inputs": {str(path): worker.pack(content) for path, content in task.inputs.items()},
            "outs": tuple(map(str, task.outs)),
            "remote": self._config.name,
            "url": self._config.url if folder is None else str(folder),
            "options": _public(self._config.options),
            "algorithm": self._workspace.config.hash,
            "ignored": rules.read_bytes() if rules.exists() else b"",
        }

    # -- receiving ---------------------------------------------------------------------------------------------------

    def _receive(self, job: _Job, future: Future[Outcome]) -> None:
        try:
            outcome = future.result()
            if outcome.get("output"):
                job.sink(outcome["output"])
        except Exception as error:  # of any kind: whoever waits for the task has to hear of it
            self._finish(job, self._lost(job.task, error))
        else:
            self._finish(job, _result(outcome))

    def _lost(self, task: Task, error: Exception) -> Result:
        """The result of a task that has none."""
        failures = self._ray.exceptions
        if self._stopping or isinstance(error, failures.TaskCancelledError):
            return Result(-signal.SIGINT)
        if isinstance(error, failures.OutOfMemoryError):
            problem = f"{task.address}: the node ran out of memory, time and again"
            return Result(error=StageError(problem, hint="say what it needs with `resources: {memory: …}`"))
        if isinstance(error, (failures.WorkerCrashedError, failures.NodeDiedError, failures.ObjectLostError)):
            problem = f"{task.address}: the node that it ran on was lost, {RETRIES + 1} times"
            return Result(
                error=StageError(problem, hint="see `ray status`, and say in `resources` how much memory it needs")
            )
        return Result(error=_unexpected(task, error))

    def _finish(self, job: _Job, result: Result) -> None:
        try:
            job.done(result)
        finally:
            with self._changed:
                self._jobs.discard(job)
                self._changed.notify_all()

    # -- stopping ----------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Have every task interrupted on its node, and killed if that takes long; a second Ctrl-C cuts that short."""
        with self._changed:
            self._stopping = True
        with contextlib.suppress(KeyboardInterrupt):
            self._cancel(force=False)
        while self._jobs:
            self._cancel(force=True)
        self._stopping = False

    def _cancel(self, *, force: bool) -> None:
        """Cancel all tasks and wait until they have ended, for some seconds at most."""
        with self._changed:
            for job in self._jobs:
                if job.ref is not None:
                    self._ray.cancel(job.ref, force=force)
            self._changed.wait_for(lambda: not self._jobs, GRACE)


def _result(outcome: Outcome) -> Result:
    if "error" in outcome:
        return Result(error=worker.rebuild(outcome["error"]))
    return Result(outcome["status"], outcome["seconds"], outcome["timed_out"], worker.unpack(outcome["outs"]))


def _load() -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise RemoteError(f"Ray is not installed: {error}", hint="pip install 'mlgit[ray]'") from error
    return ray


@contextlib.contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    """Be a driver of the cluster at `address` that prints nothing."""
    if address is not None:
        _knock(address)
    try:
        with _own_handler(signal.SIGTERM):
            ray.init(address=address or "auto", log_to_driver=False, logging_level=logging.CRITICAL)
    except Exception as error:
        what = " ".join(str(error).split())
        raise RemoteError(
            f"cannot join {f'the Ray cluster at {address}' if address else 'a Ray cluster'}: {what}",
            hint="join one with `ray start --address=HEAD:6379 --num-cpus=0`; Ray and Python of the same versions",
        ) from error
    # Ray prints news of lost nodes to stdout all the same; this is the switch that its debugger turns.
    printing = ray._private.worker
    before, printing._worker_logs_enabled = printing._worker_logs_enabled, False
    try:
        yield
    finally:
        ray.shutdown()
        printing._worker_logs_enabled = before


def _knock(address: str) -> None:
    """Find out within seconds that nobody is there; Ray itself takes a minute."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise UsageError(
            f"not the address of a Ray cluster: {address}",
            hint="HOST:PORT, as `ray start --head` tells; on a machine of the cluster it can be left out",
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), _REACH).close()
    except OSError as error:
        raise RemoteError(
            f"no Ray cluster answers at {address}: {error}",
            hint="start one with `ray start --head`, or correct --address",
        ) from error


@contextlib.contextmanager
def _own_handler(number: int) -> Iterator[None]:
    """Keep the program's own handler of a signal while the body sets another."""
    before = signal.getsignal(number)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(number, before)


def _public(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that hold no credential."""
    return {
        name: _public(value) if isinstance(value, Mapping) else value
        for name, value in options.items()
        if not is_secret(name)
    }


def _function() -> Callable[[Spec], Outcome]:
    """What Ray runs on a node.

    It is made in here, since Ray sends such a function whole and not by name: it works where mlgit is missing, and says
    so. The variables of the node are read here: no command line runs there.
    """
    wanted = worker.versions()

    def stage(spec: Any) -> Any:
        import os
        import platform

        import ray

        try:
            from mlgit.pipeline.executors import worker
        except ImportError as error:
            problem = f"node {platform.node()} has no {wanted}: {error}"
            return {"error": ("RemoteError", problem, "install mlgit on every node, the same version everywhere")}
        worker.die_with_parent()
        devices = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
        return worker.run(spec, dict(os.environ), devices)

    return stage


def _unexpected(task: Task, error: Exception) -> MlgitError:
    what = (str(error).strip().splitlines() or [""])[-1]
    return RemoteError(
        f"{task.address}: Ray could not run it: {type(error).__name__}: {what}",
        hint="the nodes' logs say more: /tmp/ray/session_latest/logs",
    )
