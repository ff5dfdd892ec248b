"""Deleting what nothing reaches: from the cache, or from any other store.

Nothing young is deleted (a writer may be about to name it), and the caller refuses when it cannot be sure what is
reachable. Packs that are mostly dead are written anew without their dead objects; a new index always stands before an
old one goes, so a reader or a crash at any moment finds everything that is kept.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from mlgit.model.oid import Oid
from mlgit.store.backend import Stat
from mlgit.store.fsck import held
from mlgit.store.objects import Store, file_name
from mlgit.store.pack import Place
from mlgit.store.writer import rewrite

GRACE_SECONDS: Final = 2 * 3600.0
SMALL: Final = 4 << 20
_MANY: Final = 16


@dataclass(slots=True)
class Sweep:
    """What a collection would do.

    Attributes:
        dead: objects that go: id → bytes.
        young: unreachable objects that stay because they are younger than the grace period.
        left: unreachable objects that stay because their packs are mostly alive.
        left_size: bytes of those.
        delete: files of the backend that go.
        rewrite: packs that are written anew, without their dead objects or merged with other small ones.
        records: run records, by their names in the backend, that go because what they tell of is gone.
        freed: bytes that the medium gets back.
        unnamed: files that stay because they hold what is kept and no index names.
    """

    dead: dict[Oid, int] = field(default_factory=dict)
    young: int = 0
    left: int = 0
    left_size: int = 0
    delete: set[str] = field(default_factory=set)
    rewrite: set[str] = field(default_factory=set)
    records: set[str] = field(default_factory=set)
    freed: int = 0
    unnamed: int = 0


@dataclass(slots=True)
class _Holder:
    """A pack or single file: bytes of what is reachable in it, and the objects that are not."""

    alive: int = 0
    dead: list[tuple[bytes, int]] = field(default_factory=list)

    @property
    def dead_size(self) -> int:
        return sum(size for _, size in self.dead)


def plan(store: Store, kept: Iterable[Oid], *, grace: float = GRACE_SECONDS, now: float | None = None) -> Sweep:
    """What goes when only `kept` stays.

    Args:
        grace: seconds for which a file nobody reaches is left alone.
        now: seconds since the epoch; the present by default.
    """
    store.catalog.refresh()
    alive = {oid.digest for oid in kept}
    limit = (time.time() if now is None else now) - grace
    files = {stat.name: stat for prefix in ("packs/", "objects/") for stat in store.backend.list(prefix)}
    holders: dict[str, _Holder] = {}
    lost = store.catalog.lacking(alive)
    for digest, place in store.catalog:
        name = _name(store, digest, place)
        holder = holders.setdefault(name, _Holder())
        if digest in alive:
            holder.alive += place.size
            if name not in files:
                lost.add(digest)  # another file may have it
        else:
            holder.dead.append((digest, place.size))
    sweep = Sweep()
    for name, holder in holders.items():
        _judge(store, name, files.get(name), holder, limit, sweep)
    small = [name for name in holders if name in files and _is_small(files[name], limit)]
    if len(small) > _MANY:
        sweep.rewrite.update(set(small) - sweep.delete)
    orphans = []
    for name, stat in files.items():
        if name in holders or stat.modified > limit:
            continue
        if lost and any(digest in lost for digest, *_ in held(store, stat)):
            sweep.unnamed += 1  # an index was lost, or a pull cut off: this file may be the only one that has them
        else:
            orphans.append(stat)
    sweep.delete |= {stat.name for stat in orphans}
    sweep.freed = sum(sweep.dead.values()) + sum(stat.size for stat in orphans)
    return sweep


def _is_small(stat: Stat, limit: float) -> bool:
    return stat.name.startswith("packs/") and stat.size < SMALL and stat.modified <= limit


def _judge(store: Store, name: str, stat: Stat | None, holder: _Holder, limit: float, sweep: Sweep) -> None:
    """Decide about one file: it goes, is written anew, or stays as it is with what is dead in it."""
    if not holder.dead:
        return
    if stat is not None and stat.modified > limit:
        sweep.young += len(holder.dead)
        return
    mostly = holder.dead_size >= holder.alive or stat is None or stat.size < SMALL
    if holder.alive and not mostly:
        sweep.left += len(holder.dead)
        sweep.left_size += holder.dead_size
        return
    sweep.dead |= {Oid.from_digest(store.algorithm, digest): size for digest, size in holder.dead}
    (sweep.rewrite if holder.alive else sweep.delete).add(name)


def _name(store: Store, digest: bytes, place: Place) -> str:
    """Name of the file that holds an object."""
    return file_name(Oid.from_digest(store.algorithm, digest), place)


def apply(store: Store, sweep: Sweep) -> None:
    """Carry out `sweep`; the caller holds the store for itself.

    Raises:
        IntegrityError: an object that stays is damaged; nothing was deleted then.
        DiskError, RemoteError: as the backend; what is kept is still there.
    """
    if not sweep.delete and not sweep.rewrite:
        return
    dead = {oid.digest for oid in sweep.dead}
    rewrite(store, {digest for digest, _ in store.catalog if digest not in dead}, repack=sweep.rewrite)
    # A pack that an earlier, killed collection left as an orphan has just been written again, under the same name.
    named = {_name(store, digest, place) for digest, place in store.catalog}
    store.backend.delete(sorted((sweep.delete | sweep.rewrite) - named))
