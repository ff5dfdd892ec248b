"""The repository: the one object that the command line, the operations and the public API work with.

It knows where things stand (root, configuration, snapshots, what is tracked) and hands the work to the layers below.
"""

from __future__ import annotations

import functools
import glob
import os
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from mlgit.errors import MissingError, UnsafeError, UsageError
from mlgit.fs import atomic
from mlgit.git import Git
from mlgit.model import config as configuration
from mlgit.model.committed import LOCAL
from mlgit.model.config import Config, Layer
from mlgit.model.oid import Oid
from mlgit.model.relpath import RelPath
from mlgit.model.tree import Content
from mlgit.work import attributes
from mlgit.work.control import CONTROL, check_own
from mlgit.work.difference import entry_of
from mlgit.work.ignore import DEFAULT as DEFAULT_IGNORE
from mlgit.work.ignore import NAME as IGNORE_NAME
from mlgit.work.outputs import Target, Tracked, owner, pointer_path, read_pointers
from mlgit.work.snapshot import STAGE_FILE, Commit, Snapshot, WorkingTree
from mlgit.work.workspace import Workspace

if TYPE_CHECKING:
    from mlgit.pipeline.load import Project
    from mlgit.pipeline.pipeline import Pipeline
    from mlgit.store.objects import Store

LOCAL_FILES = "/cache/\n/tmp/\n/logs/\n/remotes/\n/index.db*\n/clock\n/lock\n/trusted\n/config.local.yaml\n"


class Repo:
    """An mlgit repository.

    Args:
        root: the folder that holds `.mlgit`, inside a Git working tree.
        shared: what to take for its committed configuration; the file by default.

    Raises:
        UsageError: it is not inside a Git working tree.
        InvalidError, UnsafeError: its configuration is malformed, or a commit brings what must be this machine's own.
    """

    def __init__(self, root: Path, shared: Layer | None = None) -> None:
        self.root = root
        git = Git.find(root)
        if git is None:
            raise UsageError(f"{root} is not in a Git repository", hint="run `git init` first")
        check_own(root, git)
        self.git = git
        self.config: Config = configuration.merge(shared or self.layer(shared=True), self.layer(shared=False))
        self.workspace = Workspace(root, self.config, git)
        self._projects: WeakKeyDictionary[Snapshot, Project] = WeakKeyDictionary()
        self._tracked: WeakKeyDictionary[Snapshot, dict[RelPath, Tracked]] = WeakKeyDictionary()

    @classmethod
    def find(cls, start: Path) -> Repo:
        """The repository that `start` lies in.

        Raises:
            UsageError: there is none above it.
        """
        start = start.resolve()
        for folder in (start, *start.parents):
            if (folder / CONTROL).is_dir():
                return cls(folder)
        if Git.find(start) is not None:
            raise UsageError(f"not an mlgit repository: {start}", hint="run `mlgit init` where your project begins")
        if Git.is_bare(start):
            raise UsageError(f"{start} is a bare Git repository", hint="work in a clone of it")
        raise UsageError(f"not an mlgit repository: {start}", hint="run `git init` and `mlgit init`, or change folder")

    @classmethod
    def init(cls, root: Path, *, hash_algorithm: str | None = None) -> tuple[Repo, list[RelPath]]:
        """Make `root` an mlgit repository; harmless where it is one already.

        Returns:
            The repository and the files to commit.

        Raises:
            UsageError: `root` is not in a Git working tree.
            DiskError: it cannot be written.
        """
        root = root.resolve()
        git = Git.find(root)
        if git is None:
            bare = Git.is_bare(root)
            problem = "is a bare Git repository" if bare else "is not in a Git repository"
            raise UsageError(f"{root} {problem}", hint="work in a clone of it" if bare else "run `git init` first")
        control = root / CONTROL
        if control.exists() and not control.is_dir():
            raise UsageError(f"{control} is not a folder", hint="rename it; mlgit keeps its own files there")
        with atomic.disk_errors(control):
            control.mkdir(exist_ok=True)
        check_own(root, git)
        layer = Layer(configuration.SHARED, {"core": {"hash": hash_algorithm}} if hash_algorithm else {})
        texts = {
            f"{CONTROL}/.gitignore": LOCAL_FILES,
            configuration.SHARED: configuration.encode(layer),
            IGNORE_NAME: DEFAULT_IGNORE,
        }
        made = [RelPath(name) for name in texts if not (root / name).exists()]
        for name in made:
            atomic.write_text(root / name, texts[name])
        made += attributes.declare(root)
        repo = cls(root)
        repo.workspace.store.check_format(create=True)
        return repo, made

    # -- configuration -----------------------------------------------------------------------------------------------

    def layer(self, *, shared: bool) -> Layer:
        """One configuration file: the committed one, or this machine's."""
        name = configuration.SHARED if shared else LOCAL
        try:
            data = (self.root / name).read_bytes()
        except FileNotFoundError:
            data = b""
        return configuration.decode(data, name)

    def with_remotes_of(self, snapshot: Snapshot) -> Repo:
        """The same repository with the remotes that `snapshot` names, so that a change cannot choose who is asked.

        Itself if they are the same.

        Raises:
            InvalidError: the configuration of the snapshot is malformed.
        """
        own = self.layer(shared=True)
        other = configuration.decode(snapshot.read(RelPath(configuration.SHARED)) or b"", configuration.SHARED)
        if _remotes(own) == _remotes(other):
            return self
        remotes, chosen = _remotes(other)
        core = {**own.values.get("core", {}), "remote": chosen}
        core = {key: value for key, value in core.items() if value is not None}
        return Repo(self.root, Layer(own.where, {**own.values, "core": core, "remotes": remotes}))

    def write_layer(self, layer: Layer) -> RelPath:
        """Replace one configuration file; returns its path."""
        atomic.write_text(self.root / layer.where, configuration.encode(layer))
        return RelPath(layer.where)

    # -- paths -------------------------------------------------------------------------------------------------------

    def path(self, text: str, cwd: Path) -> RelPath:
        """`text`, typed by somebody who stands in `cwd`, as a path from the root.

        Raises:
            UsageError: it lies outside the repository, or is Git's or mlgit's own.
            InvalidError: no file can have that name.
        """
        here = cwd.resolve()
        if os.path.isabs(text):
            parent, name = os.path.split(os.path.normpath(text))
            full = os.path.join(os.path.realpath(parent), name)
        else:
            full = os.path.normpath(os.path.join(here, text))
        below = os.path.relpath(full, self.root).replace(os.sep, "/")
        if not text or below == ".." or below.startswith("../"):
            problem = f"{text} is outside the repository {self.root}" if text else "an empty path"
            raise UsageError(problem, hint="name something inside it; data from elsewhere has to be copied in first")
        try:
            return RelPath.parse(below, text)
        except UnsafeError as error:
            raise UsageError(f"{text} belongs to Git or to mlgit itself", hint="name your own files") from error

    def paths(self, texts: Iterable[str], cwd: Path) -> list[RelPath]:
        """Several paths, with globs that the shell left alone expanded over what is there, else tracked paths."""
        found: dict[RelPath, None] = {}
        for text in texts:
            if glob.has_magic(text) and not (cwd / text).exists():
                names = sorted(glob.glob(text, root_dir=cwd, recursive=True))
                if not names:
                    pattern = self.path(text, cwd)
                    tracked = [one for one in self.tracked() if fnmatchcase(one, pattern)]
                    found |= dict.fromkeys(tracked)
                    if tracked:
                        continue
                    raise MissingError(f"nothing matches {text!r}", hint="check the pattern")
                names = [name for name in names if not name.endswith(".mlgit") or text.endswith(".mlgit")]
                found |= dict.fromkeys(self.path(name, cwd) for name in names)
            else:
                found[self.path(text, cwd)] = None
        return list(found)

    # -- what is tracked ---------------------------------------------------------------------------------------------

    def snapshot(self, rev: str | None = None) -> Snapshot:
        """The commit that `rev` names, or the working tree as it was when first looked at.

        Raises:
            UsageError: there is no such commit.
        """
        return self._present if rev is None else Commit(self.git, rev)

    @functools.cached_property
    def _present(self) -> WorkingTree:
        return WorkingTree(self.root, self.git)

    @functools.cached_property
    def pipeline(self) -> Pipeline:
        """The stages of the working tree."""
        from mlgit.pipeline.pipeline import Pipeline

        return Pipeline(self.workspace, self.snapshot())

    def tracked(self, snapshot: Snapshot | None = None) -> dict[RelPath, Tracked]:
        """Every tracked output of a snapshot (the working tree by default) by path: pointers', then stages'.

        Those of a commit are read once.

        Raises:
            InvalidError, UnsafeError: a pointer, stage file or lock is malformed.
        """
        seen = snapshot or self.snapshot()
        if seen.rev is None:
            return self._read_tracked(seen)
        if seen not in self._tracked:
            self._tracked[seen] = self._read_tracked(seen)
        return self._tracked[seen]

    def _read_tracked(self, seen: Snapshot) -> dict[RelPath, Tracked]:
        found = {
            path: Tracked(path, one.content, pointer_path(path), remote=one.remote)
            for path, one in read_pointers(seen).items()
        }
        if any(path.name == STAGE_FILE for path in seen.control_files):
            found |= {one.path: one for one in _stage_outputs(self.project(seen))}
        return found

    @property
    def has_stages(self) -> bool:
        """Whether the working tree has a stage file."""
        return any(path.name == STAGE_FILE for path in self._present.control_files)

    def project(self, snapshot: Snapshot | None = None) -> Project:
        """The stages of a snapshot, read once."""
        if snapshot is None or snapshot.rev is None:
            return self.pipeline.project
        if snapshot not in self._projects:
            from mlgit.pipeline.load import load

            self._projects[snapshot] = load(snapshot)
        return self._projects[snapshot]

    def targets(self, paths: Iterable[RelPath], snapshot: Snapshot | None = None) -> list[Target]:
        """The tracked outputs that `paths` mean: themselves, what they lie in, or what lies in them; all if none.

        Raises:
            UsageError: a path means none.
        """
        tracked = self.tracked(snapshot)
        chosen: dict[tuple[RelPath, RelPath | None], Target] = {}
        wanted = list(paths)
        for path in wanted:
            meant = _meant(path, tracked)
            if not meant:
                raise UsageError(
                    f"{path} is not tracked", hint=f"see what is: `mlgit ls`; track it: `mlgit add {path.quoted}`"
                )
            for target in meant:
                chosen[target.tracked.path, target.below] = target
        return list(chosen.values()) if wanted else [Target(one) for one in tracked.values()]

    def targets_at(self, commit: str, paths: Iterable[RelPath]) -> list[Target]:
        """Those of `targets` that the commit has; a path it does not track is no error, unlike in the present."""
        tracked = self.tracked(self.snapshot(commit))
        wanted = list(paths)
        if not wanted:
            return [Target(one) for one in tracked.values()]
        return [one for path in wanted for one in _meant(path, tracked)]

    def read(self, path: RelPath, snapshot: Snapshot | None = None) -> bytes | None:
        """The bytes of a file as of `snapshot`: from Git, from the disk, or through the pointer or lock that names it.

        None if the snapshot knows no such file.

        Raises:
            MissingError: its bytes are in neither the cache nor a remote.
            IntegrityError: they are damaged.
        """
        seen = snapshot or self.snapshot()
        if seen.rev is not None or not (self.root / path).is_dir():
            data = seen.read(path)
            if data is not None:
                return data
        found = owner(path, self.tracked(seen))
        if found is None or found.content is None:
            return None
        return self.read_content(found, path)

    def read_content(self, found: Tracked, path: RelPath) -> bytes | None:
        """The bytes of the file `path`, which is or lies in the tracked output `found`; None if it is not there."""
        oid = self._locate(found, path)
        return None if oid is None else bytes(self.workspace.store.read(oid))

    def _locate(self, found: Tracked, path: RelPath) -> Oid | None:
        """The object of a file in a tracked output, fetched into the cache if need be."""
        from mlgit.work import sync

        assert found.content is not None, "callers leave out outputs that have never been made"
        target = Target(found, None if path == found.path else path)
        if self._is_absent(found.content, found.path, path):
            return None
        if sync.missing(self.workspace, [target]):
            try:
                sync.fetch(self.workspace, [target], None)
            except UsageError as error:
                raise MissingError(f"{path} is not in the cache, and {error.message}", hint=error.hint) from error
            except MissingError:
                if self._is_absent(found.content, found.path, path):
                    return None
                raise
        entry = entry_of(found.content, found.path.name)
        if target.below is not None:
            entry = self.workspace.find_entry(found.path, entry, path)
        return None if entry.kind == "tree" else entry.oid

    def _is_absent(self, content: Content, top: RelPath, path: RelPath) -> bool:
        """Whether the trees in the cache say that the output at `top` has no `path`; what they lack is not known."""
        entry = entry_of(content, top.name)
        for part in path.relative(top).parts:
            try:
                found = self.workspace.store.tree(entry.oid).get(part) if entry.kind == "tree" else None
            except MissingError:
                return False
            if found is None:
                return True
            entry = found
        return False

    # -- what must be kept -------------------------------------------------------------------------------------------

    def contents(self, snapshots: Iterable[Snapshot]) -> Iterator[Content]:
        """What every tracked output of `snapshots` holds, each once."""
        seen: set[Oid] = set()
        for snapshot in snapshots:
            for one in self.tracked(snapshot).values():
                if one.content is not None and one.content.oid not in seen:
                    seen.add(one.content.oid)
                    yield one.content

    def reachable(self, snapshots: Iterable[Snapshot], store: Store) -> set[Oid]:
        """Every object of `snapshots` as far as `store` knows the trees."""
        from mlgit.store.reach import reach

        return set(reach(self.contents(snapshots), store, strict=False).oids)


def _stage_outputs(project: Project) -> Iterator[Tracked]:
    for address, stage in project.stages.items():
        locked = project.locked.get(address)
        for out in stage.outs:
            if out.cache:
                content = locked.outs.get(out.path) if locked else None
                yield Tracked(out.path, content, stage.file, address, push=out.push, remote=out.remote)


def _remotes(layer: Layer) -> tuple[Mapping[str, Any], str | None]:
    """The remotes of one configuration file, and which of them is the default."""
    return layer.values.get("remotes", {}), layer.values.get("core", {}).get("remote")


def _meant(path: RelPath, tracked: dict[RelPath, Tracked]) -> list[Target]:
    """What one path on the command line means."""
    if path.endswith(".mlgit") and RelPath(path[: -len(".mlgit")]) in tracked:
        path = RelPath(path[: -len(".mlgit")])
    found = owner(path, tracked)
    if found is not None:
        return [Target(found, None if found.path == path else path)]
    stages = [Target(one) for one in tracked.values() if one.stage == path]
    inside = [Target(one) for one in tracked.values() if one.path.within(path)]
    return stages or inside
