"""The workspace: one repository's working tree, cache, index and locks, and the steps that all verbs are made of."""

from __future__ import annotations

import contextlib
import functools
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import cast

from mlgit.errors import MissingError, MlgitError
from mlgit.fs import atomic
from mlgit.fs.confine import Folder
from mlgit.fs.link import LINK_KINDS, LinkKind
from mlgit.fs.lock import locked
from mlgit.git import Git
from mlgit.model import tree as trees
from mlgit.model.config import Config
from mlgit.model.oid import Oid
from mlgit.model.relpath import RelPath
from mlgit.model.tree import Content, Entry, Tree
from mlgit.store.backend import Progress
from mlgit.store.local import LocalBackend
from mlgit.store.objects import LARGE, Store, file_name, require_algorithm
from mlgit.store.reach import reach
from mlgit.store.writer import Writer
from mlgit.work import gitignore, sharing
from mlgit.work.checkout import CheckoutPlan, FolderStep, plan, refuse_loss
from mlgit.work.control import CONTROL
from mlgit.work.difference import Load, entry_of
from mlgit.work.identify import Identifier
from mlgit.work.ignore import Ignore
from mlgit.work.index import StatIndex
from mlgit.work.trust import Trust


class Workspace:
    """The working tree below `root` and the cache beside it.

    Args:
        root: absolute path of the folder that holds `.mlgit`.
        git: the Git working tree around it; None for a scratch folder.
        control: where its index, locks and temporary files are, if not in `.mlgit`; on the disk that `root` is on.
        store: its cache, if not the one that `config` names.
    """

    def __init__(
        self,
        root: Path,
        config: Config,
        git: Git | None,
        *,
        control: Path | None = None,
        store: Store | None = None,
    ) -> None:
        self.root = root
        self.config = config
        self._git = git
        self.control = control or root / CONTROL
        self.scratch = self.control / "tmp"
        self.cache = config.cache_path(root)
        if store is not None:
            self.store = store

    @property
    def git(self) -> Git:
        """The Git working tree around it; callers that a scratch folder could reach do not ask."""
        assert self._git is not None, "a scratch folder has no Git"
        return self._git

    @functools.cached_property
    def store(self) -> Store:
        """The cache."""
        shared = self.config.shared
        scratch = self.cache / "tmp" / (_user() if shared else "")
        return Store(LocalBackend(self.cache, shared=shared), self.config.hash, scratch=scratch)

    @functools.cached_property
    def index(self) -> StatIndex:
        """What was seen where."""
        return StatIndex(self.control / "index.db")

    @property
    def trust(self) -> Trust:
        """The remotes that the user has agreed to."""
        return Trust(self.control / "trusted")

    @functools.cached_property
    def ignore(self) -> Ignore:
        """The rules of `.mlgitignore`."""
        return Ignore(self.root)

    @contextlib.contextmanager
    def writing(self, purpose: str, *, alone_in_cache: bool = False) -> Iterator[None]:
        """Hold the locks that a verb needs which changes the working tree or the cache.

        Args:
            purpose: the verb, for whoever waits.
            alone_in_cache: nobody else may write to the cache meanwhile, not even from another repository.

        Raises:
            LockedError: another process kept one of them.
        """
        with locked(self.control / "lock", purpose), self.using_cache(purpose, alone=alone_in_cache):
            yield

    @contextlib.contextmanager
    def using_cache(self, purpose: str, *, alone: bool = False) -> Iterator[None]:
        """Keep `gc` away from the cache, or with `alone` everybody; the working tree stays free for others."""
        group = self.config.shared
        if group:
            sharing.prepare(self.cache, self.store.scratch)
        with locked(self.cache / "lock", purpose, shared=not alone, mode=atomic.SHARED_FILE if group else None):
            self.store.catalog.expire()  # what was read before the lock was ours may have been collected since
            if self.cache.parent != self.control:
                sharing.register(self.cache, self.root, shared=group)
            yield

    @contextlib.contextmanager
    def elsewhere(self, prefix: str) -> Iterator[Workspace]:
        """A new, empty working tree over the same cache, with the same ignore rules; it is gone after the body."""
        atomic.make_folders(self.scratch)
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=self.scratch))
        root = folder / "tree"
        root.mkdir()
        made = Workspace(root, self.config, None, control=folder, store=self.store)
        made.ignore = self.ignore
        try:
            yield made
        finally:
            made.index.close()
            with Folder.beneath(self.scratch) as above:
                above.sweep(folder.name)

    # -- naming and saving -------------------------------------------------------------------------------------------

    def identify(self, path: RelPath, progress: Progress | None = None) -> Content | None:
        """What `path` holds now, files with known fingerprints not read; None if nothing is there.

        Raises:
            UnsafeError, InvalidError, DiskError: as `Identifier.content`.
        """
        with self._learning():
            return Identifier(self.root, self.store, self.index, self.ignore, progress=progress).content(path)

    @contextlib.contextmanager
    def _learning(self) -> Iterator[None]:
        """Keep what the index learns, also when the body fails: an open transaction would make others wait."""
        try:
            yield
        finally:
            self.index.save()

    def save(
        self,
        paths: Iterable[RelPath],
        *,
        top: RelPath | None = None,
        follow: bool = False,
        progress: Progress | None = None,
    ) -> dict[RelPath, Content]:
        """Put what `paths` hold into the cache, durably and in one batch.

        Args:
            top: the tracked folder that all of `paths` lie in; each of them for itself by default.
            follow: save what symbolic links out of the tracked folder lead to, and put it in their place: what stands
                there is then what the pointer says.

        Raises:
            MissingError: a path does not exist; nothing was saved then.
            UnsafeError, InvalidError, DiskError: as `Identifier.content`; nothing was saved then.
        """
        saved = {}
        with self._learning(), Writer(self.store) as writer:
            reader = Identifier(
                self.root,
                self.store,
                self.index,
                self.ignore,
                sink=writer,
                follow=follow,
                share=self._links()[0] in ("hardlink", "symlink") and not self.config.shared,
                progress=progress,
            )
            for path in paths:
                content = reader.content(path, top)
                if content is None:
                    raise MissingError(f"no such file or folder: {path}", hint="check the spelling")
                saved[path] = content
        for path, entry in reader.followed.items():
            self.apply(CheckoutPlan([FolderStep(path.parent, (), (entry,))]), path)
        return saved

    def has(self, content: Content) -> bool:
        """Whether every object of `content` is in the cache."""
        found = reach([content], self.store, strict=False)
        return not found.absent and not self.store.missing(found.oids)

    def present_tree(self, oid: Oid, path: RelPath) -> Tree:
        """The tree `oid` that `identify` has just found at `path`."""
        data = self.index.tree(path)
        if data is None or self.store.digest(data) != oid.digest:
            return self.store.tree(oid)
        return trees.decode(data, f"index of {path}")

    def stored_tree(self, oid: Oid, path: RelPath) -> Tree:
        """The tree `oid` from the cache; `path` is where it belongs, for the error."""
        try:
            return self.store.tree(oid)
        except MissingError as error:
            raise MissingError(f"{path}: {error.message}", hint=f"get it with `mlgit pull {path.quoted}`") from error

    # -- changing the working tree -----------------------------------------------------------------------------------

    def plan_checkout(self, path: RelPath, content: Content | None, below: RelPath | None = None) -> CheckoutPlan:
        """What it takes for the tracked `path` to hold `content`.

        Args:
            below: only this path inside it.

        Raises:
            MissingError: a tree is not in the cache, or `below` is not part of `content`.
        """
        target = below or path
        want = entry_of(content, path.name) if content else None
        if content is not None:
            require_algorithm(content.oid, self.config.hash, str(path))
        if want is not None and below is not None:
            want = self.find_entry(path, want, below)
        present = self.identify(target)
        have = entry_of(present, target.name) if present else None
        return plan(
            target,
            have,
            want,
            load_have=self.present_tree,
            load_want=self.stored_tree,
            kept=self._kept(),
            unseen=self._unseen,
        )

    def _kept(self) -> Callable[[Oid], bool]:
        """Whether an object is in the cache: named by an index, which alone proves nothing, and its file is there."""
        there = functools.cache(self.store.backend.exists)

        def kept(oid: Oid) -> bool:
            found = self.store.catalog.place(oid.digest)
            return found is not None and there(file_name(oid, found))

        return kept

    def _unseen(self, folder: RelPath) -> list[RelPath]:
        """What the ignore rules leave out of a folder that `identify` has just read, and is not in the cache."""
        row = self.index.folder(folder)
        paths = [folder.child(mark.rstrip("/")) for mark in row.ignored] if row else []
        return [path for path in paths if os.path.lexists(self.root / path) and not self.saved(path)]

    def saved(self, path: RelPath) -> bool:
        """Whether everything that `path` holds now is in the cache too."""
        try:
            content = self.identify(path)
        except MlgitError:  # something that cannot be saved
            return False
        return content is None or self.has(content)

    def find_entry(self, path: RelPath, entry: Entry, below: RelPath) -> Entry:
        """The entry of `below` inside the tracked `path` whose entry is `entry`.

        Raises:
            MissingError: there is no such path in it.
        """
        at = path
        for part in below.relative(path).parts:
            found = self.stored_tree(entry.oid, at).get(part) if entry.kind == "tree" else None
            if found is None:
                raise MissingError(f"{below} is not in {path}", hint=f"see what is: `mlgit ls {path.quoted}`")
            entry, at = found, at.child(part)
        return entry

    def checkout(
        self,
        path: RelPath,
        content: Content | None,
        *,
        below: RelPath | None = None,
        force: bool = False,
        progress: Progress | None = None,
    ) -> bool:
        """Make the tracked `path` hold `content`; true if anything changed.

        Raises:
            RefusedError: something there is in no store (unless `force`); nothing was changed then.
            MissingError, IntegrityError, UnsafeError, DiskError: as `Placer.apply`.
        """
        made = self.plan_checkout(path, content, below)
        if not force:
            refuse_loss(made)
        self.apply(made, path, progress)
        return bool(made.folders)

    def apply(
        self,
        made: CheckoutPlan,
        top: RelPath,
        progress: Progress | None = None,
        links: tuple[LinkKind, ...] | None = None,
    ) -> None:
        """Carry out a plan for the tracked path `top`, linking as configured or as `links` says."""
        if not made.folders:
            return
        from mlgit.work.placer import Placer

        placer = Placer(self.root, self.scratch, self.store, self.index, links=links or self._links())
        placer.progress = progress
        with self._learning():
            placer.apply(made, top, self.ignore.rules)

    def _links(self) -> tuple[LinkKind, ...]:
        return tuple(cast("LinkKind", kind) for kind in self.config.links if kind in LINK_KINDS)

    def relink(self, path: RelPath, content: Content) -> None:
        """Replace large files by links into the cache where the configuration asks for shared ones."""
        if self._links()[0] in ("reflink", "copy"):
            return
        steps = [FolderStep(*one) for one in self._large_files(path, content, self.stored_tree)]
        self.apply(CheckoutPlan([one for one in steps if not self._is_object(one)]), path)

    def _is_object(self, step: FolderStep) -> bool:
        """Whether the file of a step of one file is a hard link to its object, and is to be one."""
        (entry,) = step.put
        local = self.store.linkable(entry.oid)
        same = local is not None and os.path.samestat(os.lstat(self.root / step.path.child(entry.name)), local.stat())
        return same and self._links()[0] == "hardlink"

    def unprotect(self, path: RelPath, content: Content) -> None:
        """Turn links into the cache into writable copies of their own; `identify` has just found `content`."""
        steps = [
            step
            for step in (FolderStep(*one) for one in self._large_files(path, content, self.present_tree))
            if self._is_linked(step.path.child(step.put[0].name))
        ]
        self.apply(CheckoutPlan(steps), path, links=("reflink", "copy"))

    def _large_files(
        self, path: RelPath, content: Content, load: Load
    ) -> Iterator[tuple[RelPath, tuple[str, ...], tuple[Entry, ...]]]:
        """Folder, nothing to remove, and the entry of every file that can be a link."""
        pending = [(path.parent, entry_of(content, path.name))]
        while pending:
            folder, entry = pending.pop()
            at = folder.child(entry.name)
            if entry.kind == "tree":
                pending += [(at, below) for below in load(entry.oid, at).entries]
            elif entry.size >= LARGE and entry.kind == "file":
                yield folder, (), (entry,)

    def _is_linked(self, path: RelPath) -> bool:
        found = os.lstat(self.root / path)
        return found.st_nlink > 1 or not found.st_mode & 0o200 or stat.S_ISLNK(found.st_mode)

    def remove(self, path: RelPath) -> None:
        """Delete the file or folder at `path`; fine if it is gone.

        Raises:
            UnsafeError: a parent is a symbolic link.
        """
        with (
            contextlib.suppress(MissingError),
            Folder.beneath(self.root, path.parent.parts) as folder,
            atomic.disk_errors(path),
        ):
            folder.remove(path.name)
        self.index.drop(path)
        self.index.save()

    def ignore_in_git(self, paths: Iterable[RelPath]) -> list[RelPath]:
        """Keep tracked paths out of Git; returns the `.gitignore` files that changed."""
        return gitignore.ignore(self.root, paths)


def _user() -> str:
    """A name for the user's own temporary files; half a download of somebody else's could not be gone on with."""
    return str(os.getuid()) if sys.platform != "win32" else ""
