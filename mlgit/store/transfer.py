"""Moving objects between two stores: the whole of push, pull, fetch and import.

What is missing at the destination is known from the catalogs alone. Every object is verified between source and
destination, so damage never spreads, and the destination's index is written last.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass

from mlgit.errors import LockedError, MissingError
from mlgit.fs import atomic
from mlgit.fs.lock import locked
from mlgit.model.oid import Oid
from mlgit.model.report import count
from mlgit.model.tree import Content
from mlgit.store.backend import Progress
from mlgit.store.hashing import hash_file
from mlgit.store.objects import Store, Writer, object_name
from mlgit.store.reach import reach


@dataclass(frozen=True, slots=True)
class Transferred:
    """What a transfer did.

    Attributes:
        objects: moved, trees included.
        size: bytes of them.
        known: objects that were there already.
    """

    objects: int
    size: int
    known: int


def push(contents: Iterable[Content], source: Store, target: Store, progress: Progress | None = None) -> Transferred:
    """Copy everything below `contents` from `source` to `target`, trees included.

    A tree that only `target` has was published there together with what is below it.

    Raises:
        MissingError: an object is in neither; nothing is published then.
        IntegrityError: an object of `source` is damaged; nothing is published then.
        RemoteError, AuthError, DiskError: as the target's backend.
    """
    found = reach(contents, source, strict=False)
    wanted = target.missing(found.oids)
    lacking = source.missing(wanted)
    if lacking:
        raise MissingError(
            f"in neither the cache nor the remote: {count(len(lacking), 'object')}, such as {min(lacking)}",
            hint="pull them from another remote, or `mlgit add` the data again",
        )
    moved = copy(wanted, source, target, progress)
    return Transferred(len(wanted), moved, len(found.oids) - len(wanted))


def pull(contents: Iterable[Content], source: Store, target: Store, progress: Progress | None = None) -> Transferred:
    """Copy everything below `contents` that `target` lacks from `source`, trees level by level.

    Raises:
        MissingError: an object is in neither store.
        IntegrityError: `source` gave bytes that do not match their id; they do not reach `target`.
        RemoteError, AuthError, DiskError: as the backends.
    """
    moved = size = 0

    def fetch(level: list[Oid]) -> None:
        nonlocal moved, size
        wanted = target.missing(level)
        _require(wanted, source, target)
        size += copy(wanted, source, target, progress)
        moved += len(wanted)

    found = reach(contents, target, fetch=fetch)
    wanted = target.missing(found.sizes)
    _require(wanted, source, target)
    size += copy(wanted, source, target, progress)
    moved += len(wanted)
    return Transferred(moved, size, len(found.oids) - moved)


def _require(wanted: set[Oid], source: Store, target: Store) -> None:
    lacking = source.missing(wanted) if wanted else set()
    if lacking:
        raise MissingError(
            f"in neither {source.backend.url} nor the cache: {count(len(lacking), 'object')}, such as {min(lacking)}",
            hint="somebody still has to `mlgit push` them, or they are in another remote (-r)",
        )


def copy(wanted: set[Oid], source: Store, target: Store, progress: Progress | None = None) -> int:
    """Copy exactly the objects `wanted`, verified, in one batch; returns their bytes."""
    if not wanted:
        return 0
    places = source.catalog.places
    large = [oid for oid in wanted if places[oid.digest].pack is None]
    small = wanted.difference(large)
    with target.writer(progress) as writer:
        for oid in sorted(large):
            _copy_file(oid, source, writer, target)
        for oid, data in source.read_many(small):
            writer.add(data, oid.digest)
    return sum(places[oid.digest].slot.size for oid in wanted)


def _copy_file(oid: Oid, source: Store, writer: Writer, target: Store) -> None:
    if source.backend.local is not None:
        writer.add_file(oid, source.verified_file(oid), move=False)
        return
    with contextlib.ExitStack() as stack:
        temp = target.temporary()
        with contextlib.suppress(LockedError):  # else another process resumes downloads; start afresh beside it
            stack.enter_context(locked(target.scratch / "downloads.lock", "fetch", wait=0))
            temp = target.scratch / f"{oid.hex}.part"  # a stable name, so that an interrupted download resumes
        source.backend.download(object_name(oid), temp)
        with atomic.disk_errors(temp):
            good = hash_file(target.algorithm, temp) == oid
        if not good:
            temp.unlink(missing_ok=True)
            raise source.damaged(oid, source.locate(oid))
        writer.add_file(oid, temp, move=True)
