"""Moving objects between two stores: the whole of push, pull, fetch and import.

What is missing at the destination is known from the catalogs alone. Every object is verified between source and
destination, so damage never spreads, and the destination's index is written last.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlgit.errors import IntegrityError, LockedError, MissingError
from mlgit.fs import atomic
from mlgit.fs.link import copy_bytes
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
        MissingError: an object is in neither store; what is in `source` has been copied all the same.
        IntegrityError: `source` gave bytes that do not match their id; they do not reach `target`.
        RemoteError, AuthError, DiskError: as the backends.
    """
    found = reach(contents, target, source, strict=False)
    wanted = target.missing(found.oids)
    lacking = source.missing(wanted) if wanted else wanted
    size = copy(wanted - lacking, source, target, progress)
    if lacking:
        raise _nowhere(lacking, source)
    return Transferred(len(wanted), size, len(found.oids) - len(wanted))


def _nowhere(lacking: set[Oid], source: Store) -> MissingError:
    """The objects are in neither store. That the remote is not there at all is another mistake."""
    url, what = source.backend.url, f"{count(len(lacking), 'object')}, such as {min(lacking)}"
    try:
        source.backend.read("store.yaml")
    except MissingError:
        hint = (
            "is the address right (`mlgit remote list`), and the disk mounted? else somebody has to `mlgit push` first"
        )
        return MissingError(f"there is no store at {url}, and the cache lacks {what}", hint=hint)
    hint = "somebody still has to `mlgit push` them, or they are in another remote (-r)"
    return MissingError(f"in neither {url} nor the cache: {what}", hint=hint)


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
            if not _copy_pack(packs[pack], oids, source, target, writer):
                single += oids
        for oid, data in source.read_many(single):
            writer.add(data, oid.digest)
    return sum(place.size for _, place in places)


def _copy_pack(pack: PackEntry, wanted: list[Oid], source: Store, target: Store, writer: Writer) -> bool:
    """Copy a whole pack, if it is worth a file and holds what is wanted, nothing else, and all of it undamaged."""
    if len(wanted) != pack.rows or not _WHOLE <= pack.size <= PACK_LIMIT + 2 * LARGE:
        return False
    digests = {oid.digest for oid in wanted}
    try:
        if source.backend.local is not None and target.backend.local is not None:
            return _copy_pack_on_disk(pack, source.backend.local, digests, source, target, writer)
        whole = source.backend.read(pack_name(pack.id), 0, pack.size)
    except MissingError:  # moved to another pack since the indexes were read
        return False
    table = _checked_table(pack, memoryview(whole), digests, source)
    if table is not None:
        writer.add_pack(pack, table, whole)
    return table is not None


def _checked_table(pack: PackEntry, data: memoryview, wanted: set[bytes], source: Store) -> bytes | None:
    """The closing table of a pack whose objects are `wanted` and match their ids; else reading one by one says more."""
    try:
        table, rows = split_pack(data, pack.id)
    except IntegrityError:
        return None
    with table:  # views are let go of, so that a mapped file can be closed
        if {row[0] for row in rows} != wanted:
            return None
        digest_of = source.digest
        for digest, codec, at, stored, size in rows:
            with data[at : at + size] as part:
                if codec != RAW or stored != size or digest_of(part) != digest:
                    return None
        return bytes(table)


def _copy_pack_on_disk(
    pack: PackEntry, root: Path, wanted: set[bytes], source: Store, target: Store, writer: Writer
) -> bool:
    """As `_copy_pack`, from the local store at `root` to another: the copy is looked through while it is flushed."""
    temp, name = target.temporary(), root / pack_name(pack.id)
    try:
        with atomic.disk_errors(name), open(name, "rb") as reader, open(temp, "x+b") as file:
            if copy_bytes(reader.fileno(), file.fileno()) != pack.size:
                return False
            flushed = atomic.sync_beside(file.fileno())
            try:
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as data:
                    table = _checked_table(pack, data, wanted, source)
            finally:
                flushed()
        if table is not None:
            writer.add_pack(pack, table, temp)
        return table is not None
    finally:
        temp.unlink(missing_ok=True)


def _copy_file(oid: Oid, source: Store, writer: Writer, target: Store, progress: Progress | None) -> None:
    if writer.keep_left(oid, source.locate(oid).size):
        return
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
