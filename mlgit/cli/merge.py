"""`merge-driver`: what Git calls to merge locks and pointers.

Git hands over three temporary files and takes the second as the result; 0 means merged, anything else a conflict.
Whatever goes wrong here therefore ends as Git's own text merge, marked as a conflict, so that both sides are kept.
A merge may be of somebody else's commits, so nothing here asks a remote or runs anything but Git.
"""

from __future__ import annotations

import contextlib
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from mlgit.cli import render
from mlgit.cli.program import leave_git_surroundings
from mlgit.cli.session import Session, session_of
from mlgit.errors import InvalidError, MissingError, MlgitError, UsageError
from mlgit.fs import atomic
from mlgit.git import Git
from mlgit.model import pointer
from mlgit.model.relpath import RelPath
from mlgit.model.report import count
from mlgit.ops.ci.roots import root_of

if TYPE_CHECKING:
    from mlgit.model.pointermerge import Folders, Merged
    from mlgit.model.tree import Content

app = typer.Typer(rich_markup_mode=None)
driver = typer.Typer(rich_markup_mode=None, help="Merge locks and pointers; Git calls it.", no_args_is_help=True)
app.add_typer(driver, name="merge-driver")

_SHOWN = 20
Base = Annotated[str, typer.Argument(help="File with the text that both sides began with; empty if both added it.")]
Ours = Annotated[str, typer.Argument(help="File with our text; the result is put there.")]
Theirs = Annotated[str, typer.Argument(help="File with their text.")]
Name = Annotated[str, typer.Argument(help="Path of the file under merge, from the top of the Git repository.")]


@dataclass(frozen=True, slots=True)
class _Task:
    """One file under merge: Git's temporary files, and where it stands.

    Attributes:
        path: seen from `root`, the mlgit root that it lies in; from the top of Git if there is none.
        prefix: where the root is, seen from the top of Git: empty, or a folder with a slash at its end.
    """

    session: Session
    base: Path
    ours: Path
    theirs: Path
    path: RelPath
    root: Path | None
    prefix: str

    @property
    def shown(self) -> str:
        """The path as Git prints it."""
        return f"{self.prefix}{self.path}"

    @property
    def mlgit(self) -> str:
        """The program as it is called from the top of Git."""
        return f"mlgit -C {shlex.quote(self.prefix.rstrip('/'))}" if self.prefix else "mlgit"


@driver.command()
def lock(context: typer.Context, base: Base, ours: Ours, theirs: Theirs, path: Name) -> None:
    """Merge a lock stage by stage; a stage that both sides changed is left out, and is to be reproduced."""
    from mlgit.model.lockmerge import merge_texts

    task = _task(session_of(context), base, ours, theirs, path)
    try:
        text, dropped = merge_texts(
            task.base.read_bytes(), task.ours.read_bytes(), task.theirs.read_bytes(), task.shown
        )
        atomic.write_text(task.ours, text)
    except MlgitError as error:
        _leave_to_git(task, error)
    if dropped:
        from mlgit.model.stage import NAME as STAGE_FILE
        from mlgit.pipeline.load import address

        names = [shlex.quote(address(task.path.parent.child(STAGE_FILE), name)) for name in dropped]
        stages = "stage" if len(names) == 1 else "stages"
        render.say(task.session, f"{task.shown}: {stages} to reproduce: {task.mlgit} repro {' '.join(names)}")


@driver.command("pointer")
def pointer_command(context: typer.Context, base: Base, ours: Ours, theirs: Theirs, path: Name) -> None:
    """Merge a pointer field by field, and a folder that both sides changed path by path."""
    from mlgit.model import pointermerge

    task = _task(session_of(context), base, ours, theirs, path)
    try:
        first, last = (pointer.decode(one.read_bytes(), task.shown) for one in (task.ours, task.theirs))
        before = task.base.read_bytes()
        start = pointer.decode(before, task.shown) if before else None
        merged = pointermerge.merge(start, first, last, lambda *sides: _folders(task, *sides))
        atomic.write_text(task.ours, pointer.encode(merged.ours))
    except MlgitError as error:
        _leave_to_git(task, error)
    if merged.conflicts:
        atomic.write_text(task.theirs, pointer.encode(merged.theirs))
        _leave_conflict(task, merged)


def _task(session: Session, base: str, ours: str, theirs: str, path: str) -> _Task:
    leave_git_surroundings(session.cwd)
    inside = RelPath.parse(path, "PATH")
    prefix = root_of(session.cwd, inside)
    top = session.cwd
    return _Task(
        session=session,
        base=top / base,
        ours=top / ours,
        theirs=top / theirs,
        path=inside.relative(prefix or ""),
        root=None if prefix is None else top / prefix,
        prefix=f"{prefix}/" if prefix else "",
    )


def _folders(task: _Task, base: Content | None, ours: Content, theirs: Content) -> Folders:
    """Merge two folders through the cache of the repository they belong to."""
    from mlgit.repo import Repo
    from mlgit.store.reach import reach
    from mlgit.work.treemerge import merge_folders

    if task.root is None:
        raise UsageError(f"{task.shown} is in no mlgit repository", hint="run `mlgit init` where the project begins")
    path = RelPath(task.path.removesuffix(pointer.SUFFIX))
    workspace = Repo(task.root).workspace
    with workspace.using_cache("merge-driver"):
        try:
            merged = merge_folders(workspace, path, base, ours, theirs)
        except MissingError as error:
            lacking = [
                one is not None and bool(reach([one], workspace.store, strict=False).absent)
                for one in (base, ours, theirs)
            ]
            again = f"git checkout --merge {shlex.quote(task.shown)}"
            raise MissingError(
                f"{task.shown}: the cache lacks what this folder held in another commit, so it cannot be merged here",
                hint=f"`{_fetch(task, path, lacking)} && {again}`, and git add it",
            ) from error
    words = tuple(f"{task.prefix}{one.path}: {one.words}" for one in merged.conflicts)
    return merged.ours, merged.theirs, words


def _fetch(task: _Task, path: RelPath, lacking: list[bool]) -> str:
    """The commands that bring the trees of the base, our and their side as far as they are `lacking`."""
    heads = [name for name in task.session.environment if name.startswith("GITHEAD_")]
    if len(heads) != 1 or not any(lacking):  # a rebase or cherry-pick, whose commits Git does not tell
        return f"{task.mlgit} fetch --rev HEAD --all-commits {path.quoted}"
    commit = heads[0].removeprefix("GITHEAD_")[:12]
    revs = (f"$(git merge-base HEAD {commit})", "HEAD", commit)
    wanted = [rev for rev, lacks in zip(revs, lacking, strict=True) if lacks]
    return " && ".join(f"{task.mlgit} fetch --rev {rev} {path.quoted}" for rev in wanted)


def _leave_conflict(task: _Task, merged: Merged) -> NoReturn:
    """Let Git mark what the two versions of a merged pointer do not agree on, and say what that is."""
    _merge_text(task)
    shown = merged.conflicts[:_SHOWN]
    more = len(merged.conflicts) - len(shown)
    render.say(task.session, f"{task.shown}: {count(len(merged.conflicts), 'conflict')}; all else is merged")
    for line in [*shown, f"and {more} more"] if more else shown:
        render.say(task.session, f"  {line}")
    data = RelPath(task.path.removesuffix(pointer.SUFFIX))
    render.say(
        task.session,
        f"hint: in {task.shown} keep the upper lines (our version of these) or the lower ones (theirs), remove the "
        f"markers, then `{task.mlgit} checkout {data.quoted} && git add {shlex.quote(task.shown)}`",
    )
    raise typer.Exit(1)


def _leave_to_git(task: _Task, error: MlgitError) -> NoReturn:
    """Merge as text, and say why; a conflict in any case, since nobody has understood the result."""
    _merge_text(task)
    render.fail(error)
    if error.hint is None:
        name = shlex.quote(task.shown)
        render.say(task.session, f"hint: take one side: git checkout --ours {name} (or --theirs), then git add it")
    raise typer.Exit(1)


def _merge_text(task: _Task) -> None:
    """Put Git's own merge of the two texts into our file, with markers where they do not fit together."""
    git = Git.find(task.session.cwd.resolve())  # its configuration says how conflicts look
    labels = [word for label in ("ours", "base", "theirs") for word in ("-L", label)]
    if git is not None:
        with contextlib.suppress(InvalidError):  # there are conflicts, or it is no text and stays ours
            git.run("merge-file", "-q", *labels, str(task.ours), str(task.base), str(task.theirs))
