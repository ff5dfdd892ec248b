"""Push and fetch: which contents go between the cache and which remote. The bytes are moved by `store.transfer`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mlgit.errors import MissingError, UnsafeError, UsageError
from mlgit.model.config import RemoteConfig
from mlgit.model.oid import Oid
from mlgit.model.relpath import RelPath
from mlgit.model.secret import is_secret, redact
from mlgit.model.tree import Content
from mlgit.remote import open_backend
from mlgit.store import transfer
from mlgit.store.backend import Progress
from mlgit.store.hashing import hash_bytes
from mlgit.store.objects import Store
from mlgit.store.transfer import Transferred
from mlgit.work.difference import entry_of
from mlgit.work.outputs import Target, Tracked
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
    agreed = remote.own or workspace.trust.has(remote.place)
    if any(is_secret(option) for option in remote.options) and not agreed:
        raise UnsafeError(
            f"remote {remote.name} is at {redact(remote.place)}, where this machine's credentials were not for",
            hint=f"if that is the right place: `mlgit remote modify --local {remote.name} url ADDRESS`",
        )
    backend = open_backend(remote.url, remote.options, workspace.root)
    kept = workspace.control / "remotes" / hash_bytes("blake3", remote.url.encode()).hex[:16]
    store = Store(
        backend,
        workspace.config.hash,
        scratch=workspace.store.scratch if backend.local is None else backend.local / "tmp",
        kept=None if backend.local is not None else kept,
        remote=remote.name,
    )
    store.check_format()
    return store


class Remotes:
    """The remotes of a repository, each opened once, for verbs that go there often."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._stores: dict[str, Store] = {}

    def open(self, name: str | None) -> Store:
        """The store at the remote `name`, or at the default one; raises as `open_remote`, and `UsageError`."""
        config = self._workspace.config.pick(name)
        if config.name not in self._stores:
            self._stores[config.name] = open_remote(self._workspace, config)
        return self._stores[config.name]


def group(workspace: Workspace, targets: Iterable[Target], remote: str | None) -> dict[str, list[Target]]:
    """Targets by the remote they go to: their own if they name one, else the one asked for, else the default.

    Raises:
        UsageError: there is no such remote, or no default.
    """
    groups: dict[str, list[Target]] = {}
    for target in targets:
        groups.setdefault(_remote_of(workspace, target.tracked, remote), []).append(target)
    if not groups:
        groups[workspace.config.pick(remote).name] = []
    return groups


def _remote_of(workspace: Workspace, tracked: Tracked, remote: str | None) -> str:
    try:
        return workspace.config.pick(tracked.remote or remote).name
    except UsageError as error:
        if tracked.remote is None:
            raise
        raise UsageError(
            f"{tracked.file}: {tracked.path} goes to the remote {tracked.remote!r}, which there is not",
            hint=f"mlgit remote add {tracked.remote} URL, or correct it in {tracked.file}",
        ) from error


def push(
    workspace: Workspace,
    targets: Iterable[Target],
    remote: str | None,
    progress: Progress | None = None,
    remotes: Remotes | None = None,
) -> Synced:
    """Upload what the remotes lack.

    Args:
        remotes: the remotes, if the caller has more to do there.

    Raises:
        MissingError: an object is neither in the cache nor in the remote.
        UsageError: no such remote.
        RemoteError, AuthError: as the backend.
    """
    done, remotes = Synced(), remotes or Remotes(workspace)
    for name, chosen in group(workspace, targets, remote).items():
        config, store = workspace.config.pick(name), remotes.open(name)
        contents = {_content(workspace, one): None for one in chosen if one.tracked.push and one.tracked.content}
        moved = transfer.push(contents, workspace.store, store, progress)
        done.count(config, store.backend.url, moved)
    return done


def fetch(
    workspace: Workspace,
    targets: Iterable[Target],
    remote: str | None,
    progress: Progress | None = None,
    remotes: Remotes | None = None,
) -> Synced:
    """Download what the cache lacks, verified.

    Args:
        remotes: the remotes, if the caller has more to do there.

    Raises:
        MissingError: an object is in neither.
        IntegrityError: the remote gave other bytes; they do not reach the cache.
        UsageError: no such remote.
        RemoteError, AuthError: as the backend.
    """
    done, remotes = Synced(), remotes or Remotes(workspace)
    for name, chosen in group(workspace, targets, remote).items():
        config, store = workspace.config.pick(name), remotes.open(name)
        wanted = [one for one in chosen if one.tracked.content]
        for one in wanted:
            _fetch_path(workspace, one, store)
        contents = {_content(workspace, one): None for one in wanted}
        done.count(config, store.backend.url, transfer.pull(contents, store, workspace.store, progress))
    return done


def missing(workspace: Workspace, targets: Iterable[Target]) -> list[Target]:
    """Those whose content is not completely in the cache."""
    return [one for one in targets if one.tracked.content and not _complete(workspace, one)]


def lacking(workspace: Workspace, targets: Iterable[Target]) -> tuple[list[Target], list[Target]]:
    """The targets of `missing` that a remote may have, and those that are set never to go to one."""
    found = missing(workspace, targets)
    return [one for one in found if one.tracked.push], [one for one in found if not one.tracked.push]


def bring(workspace: Workspace, contents: Iterable[Content], source: Store, progress: Progress | None = None) -> None:
    """Download what the cache lacks of `contents` from the opened remote `source`, verified.

    Raises:
        MissingError: an object is in neither; what is in the remote has come all the same.
        IntegrityError: the remote gave other bytes; they do not reach the cache.
        RemoteError, AuthError: as the backend.
    """
    wanted = [content for content in contents if not workspace.has(content)]
    if wanted:
        transfer.pull(wanted, source, workspace.store, progress)


def bring_lists(workspace: Workspace, contents: Iterable[Content], source: Store) -> None:
    """Download the lists of folders below `contents` that the cache lacks, without the files in them.

    Raises:
        IntegrityError, RemoteError, AuthError: as `bring`.
    """
    from mlgit.store.reach import reach

    trees = set(reach(contents, workspace.store, source, strict=False).trees)
    wanted = workspace.store.missing(trees)
    transfer.copy(wanted - source.missing(wanted), source, workspace.store)


def resolve(workspace: Workspace, target: Target, remote: str | None, remotes: Remotes | None = None) -> Content | None:
    """What `target` holds, with the folders that lead down to it fetched if need be; None if it is not in them.

    Args:
        remotes: the remotes, if the caller has more to do there.

    Raises:
        UsageError: no such remote, or none to ask.
        RemoteError, AuthError: as the backend.
    """
    with contextlib.suppress(MissingError):
        return _content(workspace, target)
    for name in group(workspace, [target], remote):
        with contextlib.suppress(MissingError):
            _fetch_path(workspace, target, (remotes or Remotes(workspace)).open(name))
            return _content(workspace, target)
    return None


def files(workspace: Workspace, tracked: Tracked, remote: str | None, remotes: Remotes) -> Iterator[RelPath]:
    """Every file of a tracked output, from its folders alone, which are fetched if need be.

    Raises:
        MissingError: a folder is in neither the cache nor the remote.
        UsageError: no such remote, or none to ask.
        RemoteError, AuthError: as the backend.
    """
    assert tracked.content is not None, "callers leave out outputs that have never been made"
    pending = [(tracked.path, entry_of(tracked.content, tracked.path.name))]
    while pending:
        path, entry = pending.pop()
        if entry.kind != "tree":
            yield path
            continue
        if workspace.store.missing([entry.oid]):
            _fetch_one(workspace, entry.oid, remotes.open(tracked.remote or remote))
        pending += [(path.child(one.name), one) for one in workspace.store.tree(entry.oid).entries]


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
