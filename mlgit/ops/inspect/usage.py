"""`du`: how large the tracked outputs are, and how much of that is stored only once."""

from __future__ import annotations

from collections.abc import Iterable

from mlgit.model.report import Mark, Report, Row, Table, format_bytes
from mlgit.repo import Repo
from mlgit.store.reach import Reach, reach
from mlgit.work.snapshot import Snapshot


def usage(repo: Repo, snapshots: Iterable[Snapshot]) -> Report:
    """Sizes of every tracked output in every snapshot.

    Returns:
        A report of kind `du`: table `outputs` (snapshot, path, bytes, files, objects, new_bytes, new_objects), where
        new counts what no earlier row holds, and table `total` (logical, unique, cache; all in bytes).

    Raises:
        InvalidError, UnsafeError: a pointer, stage file or lock is malformed.
    """
    store = repo.workspace.store
    rows = []
    seen: set[str] = set()
    logical = unique = 0
    for snapshot in snapshots:
        for one in repo.tracked(snapshot).values():
            if one.content is None:
                continue
            found = reach([one.content], store, strict=False)
            new = _bytes(found, seen)
            fresh = len(set(found.oids) - seen)
            seen.update(found.oids)
            logical += one.content.size
            unique += new
            files = one.content.files or 1
            cells = (snapshot.name, one.path, one.content.size, files, len(found.oids), new, fresh)
            rows.append(Row(cells, Mark.WARN if found.absent else Mark.INFO))
    stored = sum(stat.size for prefix in ("packs/", "objects/", "index/") for stat in store.backend.list(prefix))
    columns = ("snapshot", "path", "bytes", "files", "objects", "new_bytes", "new_objects")
    total = Table("total", "Total", ("logical", "unique", "cache"), (Row((logical, unique, stored)),))
    note = f"{format_bytes(logical)} tracked, {format_bytes(unique)} unique, {format_bytes(stored)} in the cache"
    return Report("du", "Usage", (Table("outputs", "Outputs", columns, tuple(rows)), total), notes=(note,))


def _bytes(found: Reach, seen: set[str]) -> int:
    return sum(size for oid, size in found.sizes.items() if oid not in seen)
