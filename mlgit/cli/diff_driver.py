"""`diff-driver`: what Git calls to show pointers, locks and metrics in `git diff`, `git show` and `git log -p`.

Git hands over one version of a file and compares what is printed for the two. What cannot be understood is printed as
it stands, since a diff must never fail; nothing is run, no remote is asked and nothing is written.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from mlgit.cli import render
from mlgit.cli.program import leave_git_surroundings
from mlgit.cli.session import Session, session_of
from mlgit.errors import MlgitError
from mlgit.ops.inspect import plaintext

if TYPE_CHECKING:
    from mlgit.model.oid import Oid
    from mlgit.model.tree import Tree
    from mlgit.store.objects import Store

app = typer.Typer(rich_markup_mode=None)
driver = typer.Typer(
    rich_markup_mode=None,
    help="Show pointers, locks and metrics as people read them; Git calls it.",
    no_args_is_help=True,
)
app.add_typer(driver, name="diff-driver")

MAX_BYTES: Final = 64 << 20
"""Larger files, which no pointer, lock or metric can be, are passed through."""
Version = Annotated[str, typer.Argument(metavar="FILE", help="One version of the file.")]


@driver.command()
def pointer(context: typer.Context, file: Version) -> None:
    """Print a pointer, and the files of a folder as far as the cache knows them."""
    session = session_of(context)
    _print(session.cwd / file, lambda data: plaintext.pointer_text(data, _loader(session, file)))


@driver.command()
def lock(context: typer.Context, file: Version) -> None:
    """Print a lock stage by stage."""
    _print(session_of(context).cwd / file, plaintext.lock_text)


@driver.command()
def metrics(context: typer.Context, file: Version) -> None:
    """Print a metrics file as sorted keys and values."""
    path = session_of(context).cwd / file
    _print(path, lambda data: plaintext.metrics_text(data, path.name))


def _print(path: Path, text: Callable[[bytes], str]) -> None:
    if path.stat().st_size > MAX_BYTES:
        with path.open("rb") as source:
            shutil.copyfileobj(source, sys.stdout.buffer)
        return
    data = path.read_bytes()
    try:
        lines = text(data)
    except MlgitError:
        render.raw(data)
    else:
        render.raw(render.printable(lines).encode())


def _loader(session: Session, file: str) -> Callable[[Oid], Tree | None]:
    """Reads trees from the caches of the repository that Git shows, the one that `file` lies in first."""
    stores: list[Store] = []
    rest = _stores(session.cwd.resolve(), session.cwd / file)

    def load(oid: Oid) -> Tree | None:
        for store in stores:
            with contextlib.suppress(MlgitError):
                return store.tree(oid)
        for store in rest:
            stores.append(store)
            with contextlib.suppress(MlgitError):
                return store.tree(oid)
        return None

    return load


def _stores(cwd: Path, file: Path) -> Iterator[Store]:
    """The caches of the mlgit roots around, each opened when it is reached."""
    from mlgit.git import Git
    from mlgit.model.relpath import RelPath
    from mlgit.ops.ci.roots import committed_roots, root_of

    found = Git.find(cwd)
    if found is None:
        return
    leave_git_surroundings(cwd)
    git = Git(found.top, "")
    inside = file.is_relative_to(git.top)
    first = root_of(git.top, RelPath(file.relative_to(git.top).as_posix())) if inside else None
    if first is None and (git.top / ".mlgit").is_dir():
        first = RelPath("")
    seen = [] if first is None else [git.top / first]
    yield from (store for root in seen for store in _store(root))
    for prefix in committed_roots(git):
        root = git.top / prefix
        if root not in seen:
            yield from _store(root)


def _store(root: Path) -> Iterator[Store]:
    from mlgit.repo import Repo

    with contextlib.suppress(MlgitError, OSError):  # a root that is malformed or not on disk has no cache to ask
        yield Repo(root).workspace.store
