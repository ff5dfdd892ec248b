"""The run cache: what stages produced for inputs that they have met before, kept in the store beside the objects.

A record's name is `runs/<first two digits of the key>/<key>/<hash of its bytes>.json`. Whoever can write to a store can
write records, so none is believed: its bytes must match its name, and what it says it ran must be what is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from blake3 import blake3

from mlgit.errors import InvalidError, MissingError, UnsafeError
from mlgit.model import runrecord
from mlgit.model.lock import StageLock
from mlgit.model.runrecord import RunRecord
from mlgit.model.stage import Stage
from mlgit.model.tree import Content
from mlgit.pipeline.key import stage_key
from mlgit.pipeline.status import Seen
from mlgit.store.backend import Backend

FOLDER: Final = "runs"
MAX_RECORD: Final = 1 << 20


def save(backend: Backend, record: RunRecord) -> str:
    """Keep `record`; gives the name it got."""
    data = runrecord.encode(record).encode("utf-8", "surrogatepass")
    name = f"{_folder(record.key)}{blake3(data).hexdigest()}.json"
    backend.put_bytes(name, data)
    return name


def lookup(backend: Backend, stage: Stage, seen: Seen, has: Callable[[Content], bool]) -> StageLock | None:
    """What `stage` produced when it last ran on the inputs that are `seen`, if all of it is in the cache.

    Args:
        has: whether a content is in the cache.

    Raises:
        RemoteError, AuthError, DiskError: the store cannot be read.
    """
    deps = {path: content for path, content in seen.deps.items() if content is not None}
    if len(deps) < len(seen.deps):
        return None
    key = stage_key(stage, deps, seen.params)
    declared = {out.path for out in stage.outs}
    for record in sorted(records(backend, key), key=lambda record: record.started, reverse=True):
        entry = record.stage
        fits = record.exit == 0 and entry.outs.keys() == declared
        fits = fits and stage_key(stage, entry.deps, entry.params) == key
        fits = fits and (entry.cmd, entry.wdir) == (stage.cmd, stage.wdir)
        if fits and all(has(content) for content in entry.outs.values()):
            return entry
    return None


def records(backend: Backend, key: str) -> list[RunRecord]:
    """Every sound record under `key`, in no order; damaged ones are passed over."""
    found = []
    for stat in backend.list(_folder(key)):
        if stat.size <= MAX_RECORD:
            record = _read(backend, stat.name, key)
            found += [record] if record is not None else []
    return found


def _read(backend: Backend, name: str, key: str) -> RunRecord | None:
    try:
        data = backend.read(name)
        if f"{_folder(key)}{blake3(data).hexdigest()}.json" != name:
            return None
        record = runrecord.decode(data, name)
    except (InvalidError, UnsafeError, MissingError):
        return None
    return record if record.key == key else None


def _folder(key: str) -> str:
    return f"{FOLDER}/{key[:2]}/{key}/"
