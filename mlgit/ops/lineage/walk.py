"""Walking from a subject back to code, parameters and data, and forward to what used it.

The lock is the witness: what a stage read and wrote is what its entry says, and an edge is followed only where the ids
at both ends agree. Nothing is fetched and no file but a metrics file is read whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from mlgit.errors import MlgitError
from mlgit.model.lock import StageLock, same
from mlgit.model.metric import EXTENSIONS, MAX_BYTES, parse_metrics
from mlgit.model.pointer import SUFFIX
from mlgit.model.relpath import RelPath
from mlgit.model.tree import Content
from mlgit.ops.lineage.inside import agree
from mlgit.ops.lineage.origin import Origins
from mlgit.ops.lineage.place import Place
from mlgit.ops.lineage.value import Code, Data, Lineage, Metric, Production, Subject, Use, UseState
from mlgit.pipeline import graph as graphs
from mlgit.pipeline.graph import Graph
from mlgit.pipeline.lastrun import last_run
from mlgit.pipeline.load import lock_path
from mlgit.pipeline.params import ParamFiles
from mlgit.store.hashing import hash_bytes
from mlgit.store.objects import Store
from mlgit.work.outputs import owner, pointer_path

_NO_RECORD: Final = "no record of the run is here; `mlgit pull` brings those that were pushed"
_SHALLOW: Final = "this clone is shallow, so commits older than those named may be the true ones: git fetch --unshallow"


def trace(place: Place, subject: Subject) -> Lineage:
    """The lineage of `subject` at `place`.

    Raises:
        InvalidError, UnsafeError: a stage file, a lock or a pointer is malformed.
    """
    walk = _Walk(place, graphs.build(place.project.stages, place.project.tracked))
    if subject.stage is not None:
        walk.back([subject.stage])
    uses = tuple(walk.forward(subject))
    if subject.pointer is not None and subject.path is not None:
        top = RelPath(subject.pointer[: -len(SUFFIX)])
        walk.read_pointer(None, top, subject.content if top == subject.path else None)
    walk.note_subject(subject)
    return walk.conclude(subject, uses)


@dataclass
class _Walk:
    """One walk: what it goes through, and what it has found."""

    place: Place
    graph: Graph
    made: dict[str, StageLock] = field(default_factory=dict)
    code: list[Code] = field(default_factory=list)
    data: list[Data] = field(default_factory=list)
    edges: dict[tuple[str, str], None] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)

    # -- back --------------------------------------------------------------------------------------------------------

    def back(self, addresses: list[str]) -> None:
        """Visit the stages at `addresses` and all that their recorded inputs lead to."""
        waiting = list(addresses)
        while waiting:
            address = waiting.pop()
            entry = self.place.project.locked.get(address)
            if address in self.made:
                continue
            if entry is None:
                self.note(f"stage {address} has no lock entry: it has not run, or the entry is not committed")
                continue
            self.made[address] = entry
            for path, content in entry.deps.items():
                waiting += self._follow(address, path, content)
            for file in entry.params:
                waiting += self._follow(address, file, None)
            self.edges |= {(address, str(path)): None for path in entry.outs}

    def _follow(self, address: str, path: RelPath, content: Content | None) -> Iterator[str]:
        """Note one input of a stage; gives the stages that made it."""
        makers = [one for one in sorted(self.graph.makers_of(path)) if one != address]
        pointers = [] if makers else self._pointers_at(path)
        self.edges[path, address] = None
        for maker in makers:
            if self._made_it(maker, path, content, address):
                yield maker
        for tracked in pointers:
            held = content
            if content is not None and tracked != path:
                held = self.place.pointers[tracked].content
            self.read_pointer(address, tracked, held, read=(path, content))
        if not makers and not pointers:
            self.code.append(Code(address, path, content))

    def _made_it(self, maker: str, path: RelPath, content: Content | None, reader: str) -> bool:
        """Whether what `reader` read at `path` is what the lock says that `maker` made."""
        entry = self.place.project.locked.get(maker)
        outs = {out: held for out, held in entry.outs.items() if _overlap(out, path)} if entry else {}
        self.edges |= {(str(out), str(path)): None for out in outs if out != path}
        answers = [agree(self._store, out, held, path, content) for out, held in outs.items() if content is not None]
        if False in answers and content is not None:
            self.note(
                f"{reader} read another {path} than the one that {maker} made last: see `mlgit lineage {content.oid}`"
            )
            return False
        return True

    def _pointers_at(self, path: RelPath) -> list[RelPath]:
        around = path
        while around:
            if around in self.place.pointers:
                return [around]
            around = around.parent
        return [one for one in self.place.pointers if one.within(path)]

    def read_pointer(
        self,
        address: str | None,
        path: RelPath,
        content: Content | None,
        read: tuple[RelPath, Content | None] | None = None,
    ) -> None:
        """Note tracked data: that a stage read, or that was asked about."""
        one = self.place.pointers.get(path)
        if one is None:
            return
        same: bool | None = True
        if read is not None and read[1] is not None:
            same = agree(self._store, path, one.content, read[0], read[1])
        if same is False and read is not None and read[1] is not None:
            self.note(f"{address} read another {read[0]} than stands there now: see `mlgit lineage {read[1].oid}`")
        if read is not None and read[0] != path:
            self.edges[path, read[0]] = None
        held = content or one.content
        self.data.append(Data(address, path, held, pointer_path(path), one.desc, one.source, same=same))

    # -- forward -----------------------------------------------------------------------------------------------------

    def forward(self, subject: Subject) -> Iterator[Use]:
        """The stages that read the subject, and those that read what was made of it, in the order they run."""
        readers = self._readers(subject)
        states: dict[str, UseState] = {}
        if subject.path is None and subject.stage is not None:
            states[subject.stage] = "used it"
        for address in self.graph.sort(self.graph.reach(readers, up=False)):
            reads = self._reads(address, subject, states)
            states[address] = self._state(address, subject, states)
            yield Use(address, tuple(reads), states[address])
            self.edges |= {(str(path), address): None for path in reads}
            self.edges |= {(address, str(out.path)): None for out in self.graph.stages[address].outs}

    def _readers(self, subject: Subject) -> list[str]:
        if subject.path is None:
            return list(self.graph.downstream[subject.stage]) if subject.stage is not None else []
        path = subject.path
        return [
            address
            for address in self.graph.stages
            if address != subject.stage and any(_overlap(path, one) for one in self._inputs(address))
        ]

    def _inputs(self, address: str) -> list[RelPath]:
        """What a stage declares to read; for patterns, the files that the lock says they stood for."""
        stage, entry = self.graph.stages[address], self.place.project.locked.get(address)
        matched = entry.deps if stage.globs and entry is not None else ()
        return list(dict.fromkeys((*stage.inputs, *matched)))

    def _reads(self, address: str, subject: Subject, states: dict[str, UseState]) -> list[RelPath]:
        """The inputs of a stage that are the subject, or come from a stage on the way."""
        return [
            path
            for path in self._inputs(address)
            if (subject.path is not None and _overlap(subject.path, path))
            or any(maker in states for maker in self.graph.makers_of(path))
        ]

    def _state(self, address: str, subject: Subject, states: dict[str, UseState]) -> UseState:
        """Whether the lock says that a stage read just the subject, or what was made of just it."""
        entry = self.place.project.locked.get(address)
        if entry is None:
            return "has not run"
        answers: list[bool | None] = []
        for path, content in entry.deps.items():
            if subject.path is not None and _overlap(subject.path, path):
                known = subject.content
                answers.append(None if known is None else agree(self._store, subject.path, known, path, content))
                continue
            makers = [maker for maker in self.graph.makers_of(path) if maker in states]
            answers += [self._passed_on(maker, states[maker], path, content) for maker in makers]
        if subject.path is not None and subject.path in entry.params:
            answers.append(self._has_values(address, subject.path, entry))
        return "used it" if True in answers else "cannot be told" if None in answers else "used another version"

    def _has_values(self, address: str, file: RelPath, entry: StageLock) -> bool | None:
        """Whether a parameter file gives a stage the values that the lock says; None if it cannot be read."""
        refs = [ref for ref in self.graph.stages[address].params if ref.file == file]
        try:
            values = ParamFiles(self.place.snapshot.read).values(refs, f"stage {address!r}")
        except MlgitError:
            return None
        return same(values.get(file), entry.params[file])

    def _passed_on(self, maker: str, state: UseState, path: RelPath, content: Content) -> bool | None:
        entry = self.place.project.locked.get(maker)
        if entry is None or state in ("used another version", "has not run"):
            return False
        outs = {out: held for out, held in entry.outs.items() if _overlap(out, path)}
        answers = [agree(self._store, out, held, path, content) for out, held in outs.items()]
        if True in answers:
            return True if state == "used it" else None
        return None if None in answers else False

    # -- the end -----------------------------------------------------------------------------------------------------

    @property
    def _store(self) -> Store:
        return self.place.repo.workspace.store

    def note(self, text: str) -> None:
        """Something that a reader must not miss, once."""
        self.notes[text] = None

    def note_subject(self, subject: Subject) -> None:
        """Say it where the working tree holds something else than the lock or the pointer says."""
        tracked = subject.stage is not None or subject.pointer is not None
        if subject.others:
            self.note(f"the same object is also {', '.join(subject.others)}")
        if subject.path is not None and not tracked and owner(subject.path, self.place.tracked) is not None:
            self.note(f"no commit records what made this {subject.path}: it is known because a stage read it")
        if self.place.snapshot.rev is not None or subject.path is None or subject.oid is None or not tracked:
            return
        present = self.place.repo.workspace.identify(subject.path)
        if present is not None and present.oid != subject.oid:
            self.note(f"{subject.path} in the working tree is not this one; what is told here is what the lock says")

    def conclude(self, subject: Subject, uses: tuple[Use, ...]) -> Lineage:
        """Add commits, run records and metrics to what was found."""
        order = self.graph.sort(self.made)
        commit = self.place.snapshot.rev or self.place.repo.git.head()
        own = [subject.path] if subject.path is not None and subject.stage is None and subject.pointer is None else []
        self.code += [Code("", path, subject.content) for path in own]
        paths = [*(one.path for one in self.code), *(one.pointer for one in self.data)]
        origins = Origins(self.place.repo.git, commit, paths)
        made = [self._production(origins, address) for address in order]
        if any(one.record is None for one in made):
            self.note(_NO_RECORD)
        if self.place.repo.git.is_shallow():
            self.note(_SHALLOW)
        rank = {address: at for at, address in enumerate(("", *order))}
        code = sorted(self._dated(origins), key=lambda one: (rank.get(one.stage, 0), one.path))
        data = [replace(one, moment=origins.last_change(one.pointer)) for one in self.data]
        shown = ([subject.stage] if subject.stage in self.made else []) + [one.address for one in uses]
        metrics = [one for address in dict.fromkeys(shown) if address for one in self._metrics(address)]
        return Lineage(
            subject,
            self.place.snapshot.name,
            self.place.snapshot.rev,
            tuple(made),
            tuple(code),
            tuple(data),
            uses,
            tuple(metrics),
            tuple(self.edges),
            tuple(self.notes),
        )

    def _production(self, origins: Origins, address: str) -> Production:
        stage, entry = self.place.project.stages[address], self.made[address]
        since, former = origins.entry(stage.name, entry)
        if since is None:
            self.note(f"the lock entry of {address} is not committed: see {lock_path(stage.file)}")
        return Production(stage, entry, since, former, last_run(self._store.backend, stage, entry))

    def _dated(self, origins: Origins) -> Iterator[Code]:
        """The files in Git with their commits."""
        wanted = {one.path: one.content for one in self.code if one.content is not None and one.content.type == "file"}
        exact = origins.exact(wanted)
        for one in self.code:
            if one.path in exact and wanted[one.path] == one.content:
                yield replace(one, moment=exact[one.path], exact=True)
            else:
                told = one.content is not None and one.content.type == "file"
                yield replace(one, moment=origins.last_change(one.path), exact=False if told else None)

    def _metrics(self, address: str) -> Iterator[Metric]:
        entry = self.place.project.locked.get(address)
        for out in self.place.project.stages[address].outs:
            content = entry.outs.get(out.path) if entry is not None else None
            if out.kind == "metric" and content is not None and content.type == "file":
                yield from self._values(address, out.path, content)

    def _values(self, address: str, path: RelPath, content: Content) -> Iterator[Metric]:
        data = self._bytes(path, content)
        if data is None or not path.lower().endswith(EXTENSIONS):
            reason = (
                "its values are not here; `mlgit pull` brings them" if data is None else "not a format that is read"
            )
            yield Metric(address, path, note=reason)
            return
        try:
            values = parse_metrics(data, path)
        except MlgitError as error:
            yield Metric(address, path, note=error.message)
            return
        yield from (Metric(address, path, key, value) for key, value in values.items())

    def _bytes(self, path: RelPath, content: Content) -> bytes | None:
        """What the lock says that a metrics file holds: from Git or the disk if that is it, else from the cache."""
        if content.size > MAX_BYTES:
            return None
        try:
            data = self.place.snapshot.read(path)
            if data is not None and hash_bytes(content.oid.algorithm, data) == content.oid:
                return data
            return bytes(self._store.read(content.oid)) if self._store.has(content.oid) else None
        except MlgitError:
            return None


def _overlap(one: RelPath, other: RelPath) -> bool:
    return one.within(other) or other.within(one)
