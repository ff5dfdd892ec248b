"""The run cache: what stages produced for inputs that they have met before, kept in the store beside the objects.

A record's name is `runs/<first two digits of the key>/<key>/<hash of its bytes>.json`. Whoever can write to a store can
write records, so none is believed: its bytes must match its name, and what it says it ran must be what is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from blake3 import blake3

from mlgit.errors import InvalidError, MissingError, UnsafeError
from mlgit.model import runrecord
from mlgit.model.runrecord import RunRecord
from mlgit.model.stage import Stage
from mlgit.model.tree import Content
from mlgit.pipeline.key import stage_key
from mlgit.pipeline.status import Seen
from mlgit.store.backend import Backend, Stat

FOLDER: Final = "runs"
MAX_RECORD: Final = 1 << 20
_NAME: Final = re.compile(rf"{FOLDER}/([0-9a-f]{{2}})/(\1[0-9a-f]{{62}})/[0-9a-f]{{64}}\.json")
_KEY: Final = re.compile(rb'"key":"([0-9a-f]{64})"')


def save(backend: Backend, record: RunRecord) -> str:
    """Keep `record`; gives the name it got.

    It is not flushed: one that a power loss tears does not match its name and is passed over.
    """
    data = runrecord.encode(record).encode("utf-8", "surrogatepass")
    name = _name(record.key, data)
    backend.put_bytes(name, data, durable=False)
    return name


def lookup(backend: Backend, stage: Stage, seen: Seen, has: Callable[[Content], bool]) -> RunRecord | None:
    """The last run of `stage` on the inputs that are `seen` whose outputs are all in the cache.

    Args:
        has: whether a content is in the cache.

    Raises:
        RemoteError, AuthError, DiskError: the store cannot be read.
    """
    key = key_of(stage, seen)
    return None if key is None else newest(records(backend, key), stage, key, has)


def key_of(stage: Stage, seen: Seen) -> str | None:
    """The key under which `stage` runs on what is `seen`; None if an input is not there."""
    deps = {path: content for path, content in seen.deps.items() if content is not None}
    return stage_key(stage, deps, seen.params) if len(deps) == len(seen.deps) else None


def newest(found: Iterable[RunRecord], stage: Stage, key: str, has: Callable[[Content], bool]) -> RunRecord | None:
    """The last of the runs `found` that is one of `stage` under `key` and whose outputs there all are."""
    declared = {out.path for out in stage.outs}
    for record in sorted(found, key=lambda record: record.started, reverse=True):
        entry = record.stage
        fits = record.exit == 0 and entry.outs.keys() == declared
        fits = fits and stage_key(stage, entry.deps, entry.params) == key
        fits = fits and (entry.cmd, entry.wdir, entry.env) == (stage.cmd, stage.wdir, stage.env)
        if fits and all(has(content) for content in entry.outs.values()):
            return record
    return None


def records(backend: Backend, key: str) -> list[RunRecord]:
    """Every sound record under `key`, in no order; damaged ones are passed over."""
    lines = (read(backend, stat) for stat in backend.list(_folder(key)))
    found = (decode(line) for line in lines if line is not None)
    return [record for record in found if record is not None and record.key == key]


def every(backend: Backend) -> Iterator[Stat]:
    """All records of a local store: their names, sizes and times."""
    return (stat for stat in backend.list(f"{FOLDER}/") if _NAME.fullmatch(stat.name))


def read(backend: Backend, stat: Stat) -> bytes | None:
    """The bytes of a record; None if they are not those of its name."""
    if stat.size > MAX_RECORD:
        return None
    try:
        line = backend.read(stat.name)
    except MissingError:
        return None
    return line if name_of(line) == stat.name else None


def name_of(line: bytes) -> str | None:
    """What the record `line` is called in a local store, by the key that it claims; None if it is no record."""
    whole = len(line) <= MAX_RECORD and line.find(b"\n") == len(line) - 1
    found = _KEY.search(line) if whole else None
    return _name(found[1].decode(), line) if found is not None else None


def decode(line: bytes) -> RunRecord | None:
    """The record whose bytes are `line`; None if it is malformed, or hostile."""
    try:
        return runrecord.decode(line, "run record")
    except (InvalidError, UnsafeError):
        return None


def _name(key: str, line: bytes) -> str:
    return f"{_folder(key)}{blake3(line).hexdigest()}.json"


def _folder(key: str) -> str:
    return f"{FOLDER}/{key[:2]}/{key}/"
