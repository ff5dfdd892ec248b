"""Push and fetch: which contents go between the cache and which remote. The bytes are moved by `store.transfer`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mlgit.errors import MissingError, UnsafeError
from mlgit.model.config import RemoteConfig
from mlgit.model.oid import Oid
from mlgit.model.secret import is_secret, redact
from mlgit.model.tree import Content
from mlgit.remote import open_backend
from mlgit.store import transfer
from mlgit.store.backend import Progress
from mlgit.store.hashing import hash_bytes
from mlgit.store.objects import Store
from mlgit.store.transfer import Transferred
from mlgit.work.difference import entry_of
from mlgit.work.outputs import Target
from mlgit.work.workspace import Workspace


@dataclass(slots=True)
class Synced:
    """What a push or fetch did, over all remotes.

    Attributes:
        remotes: name of each remote used → its address without credentials.
    """

    objects: int = 0
    size: int = 0
    known: int = 0
    remotes: dict[str, str] = field(default_factory=dict)

    def count(self, remote: RemoteConfig, address: str, moved: Transferred) -> None:
        """Add one transfer."""
        self.objects += moved.objects
        self.size += moved.size
        self.known += moved.known
        self.remotes[remote.name] = address


def open_remote(workspace: Workspace, remote: RemoteConfig) -> Store:
    """The store at a remote.

    Raises:
        UnsafeError: an address that could run code or hides another, or that credentials of this machine would go to
            although the user has never agreed to it.
        InvalidError: a store of another format or hash algorithm.
        RemoteError, AuthError: it does not answer.
    """
    agreed = remote.own or workspace.trust.has(remote.url)
    if any(is_secret(option) for option in remote.options) and not agreed:
        raise UnsafeError(
            f"remote {remote.name} is at {redact(remote.url)}, an address that this machine's credentials were not for",
            hint=f"if that is the right place: `mlgit remote modify --local {remote.name} url ADDRESS`",
        )
    backend = open_backend(remote.url, remote.options, workspace.root)
    kept = workspace.control / "remotes" / hash_bytes("blake3", remote.url.encode()).hex[:16]
    store = Store(
        backend,
        workspace.config.hash,
        scratch=workspace.store.scratch if backend.local is None else backend.local / "tmp",
        kept=None if backend.local is not None else kept,
    )
    store.check_format()
    return store


def group(workspace: Workspace, targets: Iterable[Target], remote: str | None) -> dict[str, list[Target]]:
    """Targets by the remote they go to: their own if they name one, else the one asked for, else the default.

    Raises:
        UsageError: there is no such remote, or no default.
    """
    groups: dict[str, list[Target]] = {}
    for target in targets:
        groups.setdefault(workspace.config.pick(target.tracked.remote or remote).name, []).append(target)
    if not groups:
        groups[workspace.config.pick(remote).name] = []
    return groups


def push(
    workspace: Workspace, targets: Iterable[Target], remote: str | None, progress: Progress | None = None
) -> Synced:
    """Upload what the remotes lack.

    Raises:
        MissingError: an object is neither in the cache nor in the remote.
        UsageError: no such remote.
        RemoteError, AuthError: as the backend.
    """
    done = Synced()
    for name, chosen in group(workspace, targets, remote).items():
        config = workspace.config.pick(name)
        store = open_remote(workspace, config)
        contents = {_content(workspace, one): None for one in chosen if one.tracked.push and one.tracked.content}
        moved = transfer.push(contents, workspace.store, store, progress)
        done.count(config, store.backend.url, moved)
    return done


def fetch(
    workspace: Workspace, targets: Iterable[Target], remote: str | None, progress: Progress | None = None
) -> Synced:
    """Download what the cache lacks, verified.

    Raises:
        MissingError: an object is in neither.
        IntegrityError: the remote gave other bytes; they do not reach the cache.
        UsageError: no such remote.
        RemoteError, AuthError: as the backend.
    """
    done = Synced()
    for name, chosen in group(workspace, targets, remote).items():
        config = workspace.config.pick(name)
        wanted = [one for one in chosen if one.tracked.content]
        store = open_remote(workspace, config)
        for one in wanted:
            _fetch_path(workspace, one, store)
        contents = {_content(workspace, one): None for one in wanted}
        done.count(config, store.backend.url, transfer.pull(contents, store, workspace.store, progress))
    return done


def missing(workspace: Workspace, targets: Iterable[Target]) -> list[Target]:
    """Those whose content is not completely in the cache."""
    return [one for one in targets if one.tracked.content and not _complete(workspace, one)]


def _complete(workspace: Workspace, target: Target) -> bool:
    try:
        return workspace.has(_content(workspace, target))
    except MissingError:
        return False


def _fetch_path(workspace: Workspace, target: Target, store: Store) -> None:
    """Bring the trees that lead down to `below` into the cache."""
    content = target.tracked.content
    if target.below is None or content is None:
        return
    at, entry = target.tracked.path, entry_of(content, target.tracked.path.name)
    for part in target.below.relative(at).parts:
        if entry.kind == "tree":
            _fetch_one(workspace, entry.oid, store)
        entry = workspace.find_entry(at, entry, at.child(part))
        at = at.child(part)


def _fetch_one(workspace: Workspace, oid: Oid, store: Store) -> None:
    if workspace.store.missing([oid]):
        store.locate(oid)
        transfer.copy({oid}, store, workspace.store)


def _content(workspace: Workspace, target: Target) -> Content:
    """What a target asks for."""
    content = target.tracked.content
    assert content is not None, "callers leave out outputs that have never been made"
    if target.below is None:
        return content
    entry = workspace.find_entry(target.tracked.path, entry_of(content, target.tracked.path.name), target.below)
    return Content(
        entry.oid,
        "tree" if entry.kind == "tree" else "file",
        entry.size,
        entry.files if entry.kind == "tree" else None,
    )
