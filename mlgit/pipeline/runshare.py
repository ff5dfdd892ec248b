"""Run records between the cache and a remote, so that nobody runs what a colleague ran.

Records follow the outputs that they are about: `push` sends those of what it pushes, `fetch` keeps those of what it
fetches; on request all others too, with the objects of their outputs. What a stage declares as `push: false`, or no
stage declares any more, never leaves. Records go to one remote, the chosen or the default one, after the objects.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, NamedTuple

from mlgit.errors import MlgitError, UsageError
from mlgit.model.relpath import RelPath
from mlgit.model.runrecord import RunRecord
from mlgit.model.stage import Out, Stage
from mlgit.model.tree import Content
from mlgit.pipeline import runcache
from mlgit.pipeline.load import Project
from mlgit.pipeline.runbundle import Bundles
from mlgit.pipeline.status import Seen
from mlgit.store.backend import Progress
from mlgit.work import sync
from mlgit.work.outputs import Target, Tracked
from mlgit.work.sync import Remotes, Synced
from mlgit.work.workspace import Workspace

_OIDS: Final = re.compile(rb"(?:blake3|sha256):[0-9a-f]{64}")
_STAGE: Final = b'"stage":'


@dataclass(slots=True)
class Declared:
    """What stage files and locks say of outputs.

    Attributes:
        outs: every declared output by its path; where declarations differ, one that is never pushed.
        committed: contents of the outputs that Git keeps, from the lock entries.
    """

    outs: dict[RelPath, Out] = field(default_factory=dict)
    committed: set[Content] = field(default_factory=set)


def declared(projects: Iterable[Project], stages: Collection[str] | None = None) -> Declared:
    """What `projects` declare.

    Args:
        stages: count outputs that Git keeps of these stages only; of all by default.
    """
    found = Declared()
    for project in projects:
        for address, stage in project.stages.items():
            entry = project.locked.get(address)
            for out in stage.outs:
                if out.path not in found.outs or not out.push:
                    found.outs[out.path] = out
                if entry and not out.cache and out.path in entry.outs and (stages is None or address in stages):
                    found.committed.add(entry.outs[out.path])
    return found


@dataclass(frozen=True, slots=True)
class Shared:
    """What went over: objects, and the number of records."""

    moved: Synced
    records: int


class _Moved(NamedTuple):
    """What is pushed or fetched: the contents of whole targets; and the ids of what a record of them may name."""

    contents: set[Content]
    ids: set[bytes]


class Sharing:
    """One push or fetch with its run records.

    Args:
        declared: tells what the stages that it is about declare; asked only if there are records.
        remote: where records go, and every output that names no remote of its own; None for the default remote.
        every: all records, and the objects of their outputs; otherwise only those of what is pushed or fetched.
    """

    def __init__(
        self, workspace: Workspace, declared: Callable[[], Declared], remote: str | None, *, every: bool = False
    ) -> None:
        self._workspace = workspace
        self._cache = workspace.store.backend
        self._declare = declared
        self._remote = remote
        self._every = every
        self._remotes = Remotes(workspace)

    @cached_property
    def _declared(self) -> Declared:
        return self._declare()

    @cached_property
    def _bundles(self) -> Bundles:
        home = self._remotes.open(self._remote)
        return Bundles(home.backend, home.kept)

    def destinations(self, chosen: Iterable[Target]) -> list[str]:
        """The names of all remotes that a push of `chosen` may write to.

        Raises:
            UsageError: there is no such remote, or no default.
        """
        names = dict.fromkeys(sync.group(self._workspace, chosen, self._remote))
        if self._every:
            pick = self._workspace.config.pick
            names |= dict.fromkeys(pick(_remote_of(out) or self._remote).name for out in self._declared.outs.values())
            names[pick(self._remote).name] = None
        return list(names)

    def push(self, chosen: list[Target], progress: Progress | None = None) -> Shared:
        """Upload the contents of `chosen`, then records.

        Raises:
            MissingError, UsageError, RemoteError, AuthError: as `sync.push`.
        """
        lines, more = self._outgoing(chosen) if self._goes_home(chosen) else ({}, [])
        done = sync.push(self._workspace, [*chosen, *more], self._remote, progress, self._remotes)
        return Shared(done, self._bundles.add(lines) if lines else 0)

    def fetch(self, chosen: list[Target], lacking: list[Target], progress: Progress | None = None) -> Shared:
        """Download the contents of `lacking`, those of `chosen` that are not in the cache, and records.

        Raises:
            MissingError, IntegrityError, UsageError, RemoteError, AuthError: as `sync.fetch`.
        """
        found = self._offered(chosen) if self._goes_home(chosen) else {}
        more = [one for _, record in found.values() for one in self._targets(record)] if self._every else []
        more = sync.missing(self._workspace, dict.fromkeys(more))
        try:
            done = Synced()
            if lacking or more:
                done = sync.fetch(self._workspace, [*lacking, *more], self._remote, progress, self._remotes)
        finally:
            kept = sum(self._keep(name, line, record) for name, (line, record) in found.items())
        return Shared(done, kept)

    def _goes_home(self, chosen: Iterable[Target]) -> bool:
        """Whether records take part: those who use other remotes alone are not sent to the default one for them."""
        if self._every:
            return True
        try:
            home = self._workspace.config.pick(self._remote).name
            return home in sync.group(self._workspace, chosen, self._remote)
        except UsageError:  # outputs may all have remotes of their own
            return False

    def _outgoing(self, chosen: Iterable[Target]) -> tuple[dict[str, bytes], list[Target]]:
        """The records to send, and what else has to be in the remote for them to be of use."""
        moved = self._moved(chosen)
        lines: dict[str, bytes] = {}
        more: dict[Target, None] = {}
        for stat in runcache.every(self._cache):
            line = None if stat.name in self._bundles else runcache.read(self._cache, stat)
            record = None if line is None else self._about(line, moved)
            if line is None or record is None:
                continue
            besides = [one for one in self._targets(record) if one.tracked.content not in moved.contents]
            if all(self._at_hand(one) for one in besides):
                lines[stat.name] = line
                more |= dict.fromkeys(besides)
        return lines, list(more)

    def _offered(self, chosen: Iterable[Target]) -> dict[str, tuple[bytes, RunRecord]]:
        """As `_incoming`; where records were not asked for, it is no failure that they cannot be had."""
        with contextlib.suppress(*(() if self._every else (MlgitError,))):
            return self._incoming(chosen)
        return {}

    def _incoming(self, chosen: Iterable[Target]) -> dict[str, tuple[bytes, RunRecord]]:
        """The records to keep, by name: those the cache lacks, or with `every` all whose outputs are in the remote."""
        moved = self._moved(chosen)
        found = {}
        for name, line in self._bundles if self._every or self._declared.outs else ():
            record = None if not self._every and self._cache.exists(name) else self._about(line, moved)
            if record is not None and (not self._every or all(map(self._in_remote, self._targets(record)))):
                found[name] = line, record
        return found

    def _about(self, line: bytes, moved: _Moved) -> RunRecord | None:
        """The record `line`, if it is about what is `moved`, and no output of it is to stay where it was made."""
        named = _OIDS.findall(line, line.find(_STAGE))
        if not self._every and moved.ids.isdisjoint(named):  # nothing is decoded: most are about something else
            return None
        record = runcache.decode(line)
        if record is None or record.exit != 0 or not record.stage.outs:
            return None
        for path, content in record.stage.outs.items():
            out = self._declared.outs.get(path)
            if out is None or not out.push:
                return None
            if not self._every and content not in (moved.contents if out.cache else self._declared.committed):
                return None
        return record

    def _targets(self, record: RunRecord) -> list[Target]:
        """The outputs of a record."""
        outs = self._declared.outs
        return [
            Target(Tracked(path, content, path, remote=_remote_of(outs[path])))
            for path, content in record.stage.outs.items()
        ]

    def _at_hand(self, target: Target) -> bool:
        content = target.tracked.content
        return content is not None and (self._workspace.has(content) or self._in_remote(target))

    def _in_remote(self, target: Target) -> bool:
        content, store = target.tracked.content, self._remotes.open(target.tracked.remote or self._remote)
        return content is not None and store.catalog.knows(content.oid.digest)

    def _keep(self, name: str, line: bytes, record: RunRecord) -> bool:
        """Put a record into the run cache, if it is not there and its outputs have come."""
        outs, declared = record.stage.outs.items(), self._declared.outs
        needed = [content for path, content in outs if self._every or declared[path].cache]
        if self._cache.exists(name) or not all(map(self._workspace.has, needed)):
            return False
        self._cache.put_bytes(name, line, durable=False)
        return True

    def _moved(self, targets: Iterable[Target]) -> _Moved:
        goes = (one.tracked.content for one in targets if one.tracked.push and one.below is None)
        contents = {content for content in goes if content is not None}
        return _Moved(contents, {content.oid.encode() for content in contents | self._declared.committed})


class RemoteRuns:
    """What others ran, as a remote tells it; for `repro --pull`.

    Nothing is asked of the remote before the first `lookup`; then its records are read once.

    Args:
        remote: its name; None for the default remote.
    """

    def __init__(self, workspace: Workspace, remote: str | None, remotes: Remotes | None = None) -> None:
        self._workspace = workspace
        self._remote = remote
        self._remotes = remotes or Remotes(workspace)

    @cached_property
    def _bundles(self) -> Bundles:
        home = self._remotes.open(self._remote)
        return Bundles(home.backend, home.kept)

    def lookup(self, stage: Stage, seen: Seen, has: Callable[[Content], bool] | None = None) -> RunRecord | None:
        """The last run of `stage` on the inputs that are `seen` whose outputs can be had; as `runcache.lookup`.

        Args:
            has: whether a content can be had, or has just been fetched; by default whether the cache has it, or a
                remote says that it does.

        Raises:
            UsageError: there is no such remote, or no default.
            RemoteError, AuthError: it does not answer.
        """
        key = runcache.key_of(stage, seen)
        if key is None:
            return None
        found = self._bundles.records(key).values()
        return runcache.newest(found, stage, key, has or (lambda content: self._can_come(stage, content)))

    def bring(self, stage: Stage, record: RunRecord, progress: Progress | None = None) -> None:
        """Fetch the outputs of a record that `lookup` gave into the cache, and keep the record; hold the cache's lock.

        Raises:
            MissingError: an output is not there after all.
            IntegrityError: the remote gave other bytes; they do not reach the cache.
            RemoteError, AuthError: it does not answer.
        """
        for out in stage.outs:
            store = self._remotes.open(_remote_of(out) or self._remote)
            sync.bring(self._workspace, [record.stage.outs[out.path]], store, progress)
        runcache.save(self._workspace.store.backend, record)

    def _can_come(self, stage: Stage, content: Content) -> bool:
        stores = (self._remotes.open(name) for name in {_remote_of(out) or self._remote for out in stage.outs})
        known = any(store.catalog.knows(content.oid.digest) for store in stores)
        return known or self._workspace.has(content)


def _remote_of(out: Out) -> str | None:
    """The remote that an output is pushed to, if not to the one for records; what Git keeps goes with its record."""
    return out.remote if out.cache else None
