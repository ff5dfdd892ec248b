"""Moving objects between two stores: the whole of push, pull, fetch and import.

What is missing at the destination is known from the catalogs alone. Every object is verified between source and
destination, so damage never spreads, and the destination's index is written last.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mlgit.errors import IntegrityError, LockedError, MissingError
from mlgit.fs import atomic
from mlgit.fs.lock import locked
from mlgit.model.oid import Oid
from mlgit.model.report import count
from mlgit.model.tree import Content
from mlgit.store.backend import Progress
from mlgit.store.hashing import hash_file
from mlgit.store.indexfile import PackEntry
from mlgit.store.objects import LARGE, Store, object_name, pack_name
from mlgit.store.pack import RAW, split_pack
from mlgit.store.reach import reach
from mlgit.store.writer import PACK_LIMIT, Writer

_WHOLE: Final = 1 << 20


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
    """Copy everything below `contents` that `target` lacks from `source`, in one batch.

    Raises:
        MissingError: an object is in neither store; nothing is copied then.
        IntegrityError: `source` gave bytes that do not match their id; they do not reach `target`.
        RemoteError, AuthError, DiskError: as the backends.
    """
    found = reach(contents, target, source, strict=False)
    wanted = target.missing(found.oids)
    lacking = source.missing(wanted) if wanted else wanted
    if lacking:
        raise MissingError(
            f"in neither {source.backend.url} nor the cache: {count(len(lacking), 'object')}, such as {min(lacking)}",
            hint="somebody still has to `mlgit push` them, or they are in another remote (-r)",
        )
    size = copy(wanted, source, target, progress)
    return Transferred(len(wanted), size, len(found.oids) - len(wanted))


def copy(wanted: set[Oid], source: Store, target: Store, progress: Progress | None = None) -> int:
    """Copy exactly the objects `wanted`, verified, in one batch; returns their bytes.

    A pack of which everything is wanted is copied as it is; from others the objects move into new packs.
    """
    if not wanted:
        return 0
    places = source.locate_all(wanted)
    large: list[Oid] = []
    packed: dict[str, list[Oid]] = {}
    for oid, place in places:
        (large if place.pack is None else packed.setdefault(place.pack, [])).append(oid)
    packs, single = source.catalog.packs(), []
    with Writer(target, progress) as writer:
        for oid in sorted(large):
            _copy_file(oid, source, writer, target, progress)
        for pack, oids in sorted(packed.items()):
            if not _copy_pack(packs[pack], oids, source, writer):
                single += oids
        for oid, data in source.read_many(single):
            writer.add(data, oid.digest)
    return sum(place.size for _, place in places)


def _copy_pack(pack: PackEntry, wanted: list[Oid], source: Store, writer: Writer) -> bool:
    """Copy a whole pack, if it is worth a file and holds what is wanted, nothing else, and all of it undamaged."""
    if len(wanted) != pack.rows or not _WHOLE <= pack.size <= PACK_LIMIT + 2 * LARGE:
        return False
    try:
        data = source.backend.read(pack_name(pack.id))
        table, rows = split_pack(data, pack.id)
    except (MissingError, IntegrityError):  # moved to another pack, or damaged: reading one by one says which
        return False
    view, digest_of = memoryview(data), source.digest
    if {row[0] for row in rows} != {oid.digest for oid in wanted}:
        return False
    for digest, codec, at, stored, size in rows:
        if codec != RAW or stored != size or digest_of(view[at : at + size]) != digest:
            return False
    writer.add_pack(pack, data, table)
    return True


def _copy_file(oid: Oid, source: Store, writer: Writer, target: Store, progress: Progress | None) -> None:
    if source.backend.local is not None and target.backend.local is not None:
        _copy_on_disk(oid, source, writer, target, progress)
        return
    if source.backend.local is not None:
        writer.add_file(oid, source.verified_file(oid), move=False)
        return
    with contextlib.ExitStack() as stack:
        temp = target.temporary()
        with contextlib.suppress(LockedError):  # else another process resumes downloads; start afresh beside it
            stack.enter_context(locked(target.scratch / "downloads.lock", "fetch", wait=0))
            temp = target.scratch / f"{oid.hex}.part"  # a stable name, so that an interrupted download resumes
        source.backend.download(object_name(oid), temp, progress)
        with atomic.disk_errors(temp):
            good = hash_file(target.algorithm, temp) == oid
        if not good:
            temp.unlink(missing_ok=True)
            raise source.damaged(oid, source.locate(oid))
        writer.add_file(oid, temp, move=True)


def _copy_on_disk(oid: Oid, source: Store, writer: Writer, target: Store, progress: Progress | None) -> None:
    """Copy a large object between two local stores, hashed on the way."""
    temp = target.temporary()
    try:
        with atomic.disk_errors(temp):
            descriptor = os.open(temp, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                source.copy_file(oid, descriptor, clone=True, progress=progress)
            finally:
                os.close(descriptor)
        writer.add_file(oid, temp, move=True)
    finally:
        temp.unlink(missing_ok=True)
