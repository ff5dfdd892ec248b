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
from mlgit.store.catalog import Place
from mlgit.store.objects import Store, object_name, pack_name

GRACE_SECONDS: Final = 2 * 3600.0


@dataclass(slots=True)
class Sweep:
    """What a collection would do.

    Attributes:
        dead: objects that go: id → bytes.
        young: unreachable objects that stay because they are younger than the grace period.
        delete: files of the backend that go.
        rewrite: packs that lose some objects.
        freed: bytes that the medium gets back.
    """

    dead: dict[Oid, int] = field(default_factory=dict)
    young: int = 0
    delete: set[str] = field(default_factory=set)
    rewrite: set[str] = field(default_factory=set)
    freed: int = 0


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
    sweep = Sweep()
    packs: dict[str, list[tuple[bytes, int]]] = {}
    for digest, place in store.catalog.places.items():
        name = _holder(store, digest, place)
        stat = files.get(name)
        packs.setdefault(name, [])
        if digest in alive:
            continue
        if stat is not None and stat.modified > limit:
            sweep.young += 1
            continue
        packs[name].append((digest, place.slot.size))
        sweep.dead[Oid.from_digest(store.algorithm, digest)] = place.slot.size
    _choose(store, packs, sweep)
    orphans = [stat for name, stat in files.items() if name not in packs and stat.modified <= limit]
    sweep.delete |= {stat.name for stat in orphans}
    sweep.freed = sum(sweep.dead.values()) + sum(stat.size for stat in orphans)
    return sweep


def _holder(store: Store, digest: bytes, place: Place) -> str:
    """Name of the file that holds an object."""
    return pack_name(place.pack) if place.pack else object_name(Oid.from_digest(store.algorithm, digest))


def _choose(store: Store, packs: dict[str, list[tuple[bytes, int]]], sweep: Sweep) -> None:
    """Files whose objects are all dead go; packs with some dead objects are written anew."""
    rows: dict[str, int] = {}
    for digest, place in store.catalog.places.items():
        name = _holder(store, digest, place)
        rows[name] = rows.get(name, 0) + 1
    for name, dead in packs.items():
        if dead and len(dead) == rows[name]:
            sweep.delete.add(name)
        elif dead:
            sweep.rewrite.add(name)


def apply(store: Store, sweep: Sweep) -> None:
    """Carry out `sweep`; the caller holds the store for itself.

    Raises:
        IntegrityError: an object that stays is damaged; nothing was deleted then.
        DiskError, RemoteError: as the backend; what is kept is still there.
    """
    if not sweep.delete and not sweep.rewrite:
        return
    dead = {oid.digest for oid in sweep.dead}
    store.retain(store.catalog.places.keys() - dead, repack=sweep.rewrite)
    # A pack that an earlier, killed collection left as an orphan has just been written again, under the same name.
    named = {_holder(store, digest, place) for digest, place in store.catalog.places.items()}
    store.backend.delete(sorted((sweep.delete | sweep.rewrite) - named))
