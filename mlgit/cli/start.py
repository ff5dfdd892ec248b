"""Commands that begin: `init` and `clone`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from mlgit.cli import drivers, render
from mlgit.cli.session import session_of
from mlgit.cli.stage_files import offer
from mlgit.errors import MissingError, MlgitError, UsageError

app = typer.Typer(rich_markup_mode=None)


@app.command()
def init(
    context: typer.Context,
    algorithm: Annotated[
        str | None, typer.Option("--hash", metavar="NAME", help="Hash for object ids: blake3 (default) or sha256.")
    ] = None,
) -> None:
    """Make this folder an mlgit repository."""
    from mlgit.model.config import SHARED
    from mlgit.model.oid import ALGORITHMS
    from mlgit.repo import Repo

    session = session_of(context)
    if algorithm is not None and algorithm not in ALGORITHMS:
        raise UsageError(f"no such hash: {algorithm!r}", hint=f"one of: {', '.join(ALGORITHMS)}")
    present = (session.cwd / SHARED).is_file()
    repo, made = Repo.init(session.cwd, hash_algorithm=algorithm)
    session.repo = repo
    installed = drivers.install(repo.git)
    made += [path for path in drivers.declare_metrics(repo) if path not in made]
    if present:
        changed = "told Git how to merge and show mlgit's files" if installed or made else "nothing changed"
        render.say(session, f"{repo.root} is an mlgit repository already; {changed}")
        offer(session, made)
        return
    render.say(session, f"made an mlgit repository in {repo.root}")
    offer(session, made)
    render.say(session, "next: `mlgit add DATA`, or write stages into mlgit.yaml and run `mlgit repro`")


@app.command()
def clone(
    context: typer.Context,
    url: Annotated[str, typer.Argument(help="Address or path of the Git repository.")],
    directory: Annotated[str | None, typer.Argument(help="Where to put it; by default named after the URL.")] = None,
    branch: Annotated[str | None, typer.Option("--branch", "-b", help="Check out this branch.")] = None,
    remote: Annotated[str | None, typer.Option("--remote", "-r", metavar="NAME", help="Pull from this remote.")] = None,
) -> None:
    """Clone a Git repository and pull its data."""
    from mlgit.cli.sync import pull_all
    from mlgit.git import Git
    from mlgit.repo import Repo

    session = session_of(context)
    name = directory or re.split(r"[/:]", url.rstrip("/").removesuffix("/.git"))[-1].removesuffix(".git")
    if not name:
        raise UsageError(f"cannot tell a folder's name from {url!r}", hint=f"name one: mlgit clone {url} FOLDER")
    target = session.cwd / name
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{name} is there already and not empty", hint="name another folder")
    local = session.cwd / url
    Git.clone(str(local.resolve()) if local.exists() else url, target, branch)
    session.cwd = target
    roots = sorted(path.parent for path in target.rglob(".mlgit") if path.is_dir())
    if not roots:
        render.say(session, f"cloned into {name}; it has no mlgit data (no .mlgit folder)")
        return
    for root in roots:
        session.repo = Repo(root)
        drivers.install(session.repo.git)
        try:
            pull_all(session, remote)
        except MlgitError as error:
            failure = MissingError if isinstance(error, UsageError) else type(error)
            raise failure(f"cloned into {name}, but not its data: {error.message}", hint=error.hint) from error
    render.say(session, f"cloned into {Path(name)}")
