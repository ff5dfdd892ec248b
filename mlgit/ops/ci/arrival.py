"""What Git has just checked out or merged, and bringing tracked data in line with it.

Only what the pointers and locks say otherwise than before is looked at. Nothing is overwritten or deleted unless its
bytes are in the cache, and no remote is asked: the commits may be anybody's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from mlgit.errors import InvalidError, LockedError, MlgitError, UnsafeError, UsageError
from mlgit.git import Git
from mlgit.ops.ci.checks import LOCK, POINTER, STAGE_FILE

if TYPE_CHECKING:
    from mlgit.model.relpath import RelPath
    from mlgit.repo import Repo
    from mlgit.store.backend import Progress
    from mlgit.work.outputs import Tracked
    from mlgit.work.snapshot import Snapshot

_PATTERNS: Final = (f"*{POINTER}", LOCK, STAGE_FILE)
_UNDER_WAY: Final = ("rebase-merge", "rebase-apply")


@dataclass(frozen=True, slots=True)
class Arrival:
    """What differs for one root.

    Attributes:
        named: outputs with what they should hold now.
        gone: outputs of before that are tracked no more.
    """

    named: tuple[Tracked, ...]
    gone: tuple[Tracked, ...]


@dataclass(slots=True)
class Aligned:
    """What was done: how many paths changed, and which could not, and why.

    Attributes:
        kept: what stands there is in no store.
        left: tracked no more, but what stands there is not what the commit before named, or is in no store.
        absent: the cache lacks what should stand there.
        failed: errors about single paths.
    """

    changed: int = 0
    kept: list[RelPath] = field(default_factory=list)
    left: list[RelPath] = field(default_factory=list)
    absent: list[RelPath] = field(default_factory=list)
    failed: list[MlgitError] = field(default_factory=list)


def changed_files(git: Git, old: str | None, new: str | None) -> list[str]:
    """Pointers, locks and stage files that are not as they were, one process whatever the number of files.

    Args:
        old: the commit before; None if there was none.
        new: the commit after; None for what Git's index holds.
    """
    if old is None:
        return git.known_files(*_PATTERNS, untracked=False)
    specs = [f":(glob)**/{pattern}" for pattern in _PATTERNS]
    command = ("diff-tree", "-r", old, new) if new is not None else ("diff-index", "--cached", old)
    words = git.run(*command, "--name-status", "-z", "--no-renames", "--", *specs).split("\0")
    there = (path for kind, path in zip(words[::2], words[1::2], strict=False) if _is_told(git, kind, path))
    return sorted(there)


def _is_told(git: Git, kind: str, path: str) -> bool:
    """Whether the working tree tells of a file's change; outside of a sparse checkout it does not."""
    return kind == "D" or os.path.lexists(git.root / path)


def before_merge(git: Git) -> str | None:
    """The commit that HEAD was before the last merge; None if nothing was ever merged."""
    try:
        return git.resolve("ORIG_HEAD")
    except UsageError:
        return None


def is_rebasing(git: Git) -> bool:
    """Whether a rebase is under way, whose commits come one by one."""
    words = [word for name in _UNDER_WAY for word in ("--git-path", name)]
    return any((git.root / path).exists() for path in git.run("rev-parse", *words).splitlines())


def arrival(repo: Repo, old: str | None, files: Collection[RelPath]) -> Arrival:
    """What the changed control `files` say now, and what they said in the commit `old`.

    Raises:
        InvalidError, UnsafeError: a pointer, stage file or lock in the working tree is malformed.
    """
    now = _outputs(repo, repo.snapshot(), files)
    try:
        before = _outputs(repo, repo.snapshot(old), files) if old is not None else {}
    except (InvalidError, UnsafeError):  # it was malformed: all that is said now is news
        before = {}
    named = [one for path, one in now.items() if one.content and not _same(before.get(path), one)]
    gone = [one for one in before.values() if one.content and not any(_overlap(one.path, path) for path in now)]
    held = repo.git.tracked_files([one.path for one in gone]) if gone else []
    return Arrival(tuple(named), tuple(one for one in gone if not any(_holds(one.path, path) for path in held)))


def _outputs(repo: Repo, snapshot: Snapshot, files: Collection[RelPath]) -> dict[RelPath, Tracked]:
    """What `files` of one side track, without reading the others."""
    wanted = {path.parent.child(STAGE_FILE) if path.name == LOCK else path for path in files}
    found = repo.tracked(_Part(snapshot, wanted))
    return {path: one for path, one in found.items() if one.file in wanted}


class _Part:
    """A snapshot in which there are no other pointers and stage files than those named."""

    def __init__(self, whole: Snapshot, files: Iterable[RelPath]) -> None:
        self.name = whole.name
        self.rev = whole.rev
        self.read: Callable[[RelPath], bytes | None] = whole.read
        self.paths = whole.paths
        self.control_files = tuple(sorted(path for path in files if whole.read(path) is not None))


def _same(before: Tracked | None, now: Tracked) -> bool:
    return before is not None and before.content == now.content


def _overlap(first: RelPath, second: RelPath) -> bool:
    return first.within(second) or second.within(first)


def _holds(path: RelPath, name: str) -> bool:
    return name == path or name.startswith(f"{path}/")


def align(repo: Repo, news: Arrival, progress: Progress | None = None) -> Aligned:
    """Put what is named into the working tree, and take out what is gone; the caller holds the locks.

    Raises:
        LockedError: another process keeps the index.
    """
    done = Aligned()
    for one in news.gone:
        _each(repo, one, done, _take_out, progress)
    for one in news.named:
        _each(repo, one, done, _put, progress)
    return done


_Step = Callable[["Repo", "Tracked", Aligned, "Progress | None"], None]


def _each(repo: Repo, one: Tracked, done: Aligned, step: _Step, progress: Progress | None) -> None:
    try:
        step(repo, one, done, progress)
    except LockedError:
        raise
    except MlgitError as error:  # one path stands in no other's way
        done.failed.append(error)


def _put(repo: Repo, one: Tracked, done: Aligned, progress: Progress | None) -> None:
    work = repo.workspace
    assert one.content is not None, "callers leave out outputs that have never been made"
    present = work.identify(one.path)
    if present is not None and present.oid == one.content.oid:
        return
    if not work.has(one.content):
        done.absent += [one.path] if one.push else []
        return
    made = work.plan_checkout(one.path, one.content)
    if made.lost:
        done.kept.append(one.path)
        return
    work.apply(made, one.path, progress)
    done.changed += bool(made.folders)


def _take_out(repo: Repo, one: Tracked, done: Aligned, progress: Progress | None) -> None:
    """Delete what the commit before named, as Git does with its own files, if it stands there unchanged."""
    work = repo.workspace
    present = work.identify(one.path)
    if present is None:
        return
    made = work.plan_checkout(one.path, None)
    if made.lost or one.content is None or present.oid != one.content.oid:
        done.left.append(one.path)
        return
    work.apply(made, one.path, progress)
    done.changed += 1
