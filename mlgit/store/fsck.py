"""Checking a store: does it hold what its indexes name, and do the bytes match their ids."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from mlgit.errors import IntegrityError, MissingError
from mlgit.fs import atomic
from mlgit.model.oid import Oid
from mlgit.store.backend import Progress, Stat
from mlgit.store.hashing import CHUNK, hash_file, new_hasher
from mlgit.store.indexfile import PackEntry
from mlgit.store.objects import Store, file_name, pack_name
from mlgit.store.pack import FOOTER_SIZE, RAW, ROW, Place, decode_footer, decode_table, pack_id
from mlgit.store.writer import Writer, rewrite

GONE: Final = "its file is gone"
_SINGLE: Final = re.compile(r"objects/([0-9a-z]+)/([0-9a-f]{2})/([0-9a-f]{62})")


@dataclass(slots=True)
class Findings:
    """What a check found.

    Attributes:
        checked: number of objects.
        size: bytes of them.
        damaged: id → what is wrong, in words.
        files: files of the backend in which damage was found.
        tables: those of them, by name, whose objects may be whole but whose own closing table is not.
    """

    checked: int = 0
    size: int = 0
    damaged: dict[Oid, str] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)
    tables: set[str] = field(default_factory=set)


def check(store: Store, *, full: bool, progress: Progress | None = None) -> Findings:
    """Look at every object that the store's indexes name.

    Args:
        full: hash all bytes; otherwise compare existence and sizes of files only.

    Raises:
        IntegrityError: an index is damaged, so that what the store holds is not known.
    """
    store.catalog.refresh()
    found = Findings()
    sizes = {stat.name: stat.size for prefix in ("packs/", "objects/") for stat in store.backend.list(prefix)}
    packed: dict[str, list[Oid]] = {}
    for digest, place in store.catalog:
        oid = Oid.from_digest(store.algorithm, digest)
        found.checked += 1
        found.size += place.size
        name = file_name(oid, place)
        problem = _quick(sizes.get(name), place.offset + place.stored, exact=place.pack is None)
        if problem:
            _note(found, oid, name, problem)
        elif place.pack:
            packed.setdefault(name, []).append(oid)
        elif full:
            _check_file(store, oid, name, found, progress)
    if full:
        for name, oids in packed.items():
            _check_pack(store, name, oids, found, progress)
        _check_tables(store, packed.keys(), found)
    return found


def _quick(size: int | None, end: int, *, exact: bool) -> str | None:
    if size is None:
        return GONE
    if size < end or (exact and size != end):
        return f"its file has {size} bytes, {end} are needed"
    return None


def _note(found: Findings, oid: Oid, name: str, problem: str) -> None:
    found.damaged[oid] = problem
    found.files.add(name)


def _check_file(store: Store, oid: Oid, name: str, found: Findings, progress: Progress | None) -> None:
    local = store.linkable(oid)
    if local is not None:
        with atomic.disk_errors(local):
            good = hash_file(store.algorithm, local) == oid
    else:
        good = _remote_digest(store, name, store.locate(oid).size) == oid.digest
    if not good:
        _note(found, oid, name, "its bytes do not match its id")
    if progress is not None:
        progress(store.locate(oid).size, 1)


def _remote_digest(store: Store, name: str, size: int) -> bytes:
    """The hash of a remote's file, read piece by piece."""
    hasher = new_hasher(store.algorithm)
    for start in range(0, size, CHUNK):
        hasher.update(store.backend.read(name, start, min(CHUNK, size - start)))
    return hasher.digest()


def _check_pack(store: Store, name: str, oids: list[Oid], found: Findings, progress: Progress | None) -> None:
    try:
        for _, data in store.read_many(oids):
            if progress is not None:
                progress(len(data), 1)
    except (IntegrityError, MissingError):
        for oid in oids:
            _check_one(store, oid, name, found)


def _check_tables(store: Store, names: Iterable[str], found: Findings) -> None:
    """Read the closing tables, which no other command does: an index may have to be rebuilt from them."""
    sizes = {pack_name(pack.id): pack.size for pack in store.catalog.packs().values()}
    for name in names:
        try:
            _read_table(store, name, sizes[name])
        except IntegrityError:
            found.tables.add(name)
            found.files.add(name)


def _check_one(store: Store, oid: Oid, name: str, found: Findings) -> None:
    try:
        store.read(oid)
    except (IntegrityError, MissingError):
        _note(found, oid, name, "its bytes do not match its id")


def adopt(store: Store) -> list[str]:
    """Name in a new index what stands in a local store and no index names: after an index was damaged, or lost.

    What a pack holds is read from its own table; nothing is verified here, so `check` all bytes afterwards.

    Returns:
        The damaged index files that were set aside, by their new names.
    """
    moved = _move_aside(store, store.catalog.damaged())
    store.catalog.refresh()
    known = store.catalog.knows
    with Writer(store) as writer:
        for prefix in ("packs/", "objects/"):
            for stat in store.backend.list(prefix):
                for digest, place, pack in held(store, stat):
                    if not known(digest):
                        writer.include(digest, place, pack)
    return moved


def held(store: Store, stat: Stat) -> Iterator[tuple[bytes, Place, PackEntry | None]]:
    """What a file of the store holds by its own word, whether an index names it or not: a pack's own closing table, or
    the name of a single file. Nothing if the table is damaged, or if the file is none of ours.
    """
    found = _SINGLE.fullmatch(stat.name)
    if found is not None:
        if found[1] == store.algorithm:
            yield bytes.fromhex(found[2] + found[3]), Place(None, RAW, 0, stat.size, stat.size), None
        return
    try:
        table = _read_table(store, stat.name, stat.size)
    except IntegrityError:
        return
    pack = PackEntry(pack_id(table), len(table) // ROW.size, stat.size)
    for digest, *slot in ROW.iter_unpack(table):
        yield digest, Place(pack.id, *slot), pack


def _read_table(store: Store, name: str, size: int) -> bytes:
    """The closing table of the pack of `size` bytes called `name`.

    Raises:
        IntegrityError: it is damaged, or the pack is longer or shorter than that.
    """
    offset, length, checksum = decode_footer(store.backend.read(name, max(size - FOOTER_SIZE, 0)), name)
    fits = offset + length + FOOTER_SIZE == size  # nothing vouches for the footer: read no more than there is
    table = store.backend.read(name, offset, length) if fits else b""
    if fits:
        decode_table(table, checksum, name)
    if not fits or pack_name(pack_id(table)) != name:
        raise IntegrityError(f"{name}: the pack is not what its name says", hint=f"run {store.mend}")
    return table


def set_aside(store: Store, found: Findings) -> list[str]:
    """Take damaged objects out of a local store: their files move to `damaged/`, the rest is packed and indexed anew.

    Returns:
        The files that were moved, by their new names.
    """
    if not found.files:
        return []
    damaged = {oid.digest for oid in found.damaged}
    rewrite(store, {digest for digest, _ in store.catalog if digest not in damaged}, repack=found.files)
    named = set(map(pack_name, store.catalog.packs()))
    return _move_aside(store, sorted(found.files - named))


def second_copies(store: Store, wanted: set[Oid]) -> set[Oid]:
    """Name objects again that no index names any more and that another file still holds; returns those that are whole.

    Two writers that did not know of each other may have saved one object each.
    """
    adopt(store)
    here, found = wanted - store.missing(wanted), Findings()
    for oid in here:
        name = file_name(oid, store.locate(oid))
        if store.locate(oid).pack:
            _check_one(store, oid, name, found)
        else:
            _check_file(store, oid, name, found, None)
    set_aside(store, found)
    return here - found.damaged.keys()


def _move_aside(store: Store, names: list[str]) -> list[str]:
    """Take damaged files away: on a local disk into `damaged/`, elsewhere for good, as nobody could look at them."""
    root, moved = store.backend.local, []
    if root is None:
        store.backend.delete(names)
        return names
    for name in names:
        old, new = root / name, root / "damaged" / name.replace("/", "-")
        if old.exists():
            with atomic.disk_errors(old):
                new.parent.mkdir(exist_ok=True)
                old.replace(new)
            moved.append(str(new))
    return moved
