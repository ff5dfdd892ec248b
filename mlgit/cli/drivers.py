"""Telling Git of mlgit's drivers, for the commands that set a repository up."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from mlgit.cli.program import program
from mlgit.cli.session import Session
from mlgit.errors import MlgitError
from mlgit.git import Git
from mlgit.model.relpath import RelPath
from mlgit.ops.ci import drivers
from mlgit.ops.ci.roots import roots
from mlgit.work import attributes

if TYPE_CHECKING:
    from mlgit.repo import Repo


def install(git: Git) -> bool:
    """Make Git call this program for the files that `.gitattributes` names; true if that is new."""
    steps = drivers.plan(git, program())
    drivers.apply(git, steps, program())
    return "write" in steps.values()


def declare_metrics(repo: Repo) -> list[RelPath]:
    """Name the metrics that Git holds in `.gitattributes`; returns the file if it changed."""
    return attributes.declare(repo.root, drivers.metrics(repo))


def report(session: Session, git: Git, *, uninstall: bool, dry_run: bool) -> list[str]:
    """Install the drivers for all roots of a Git repository, or take them out; what that does, in words."""
    steps = drivers.plan(git, program(), uninstall=uninstall)
    lines = []
    for section, action in steps.items():
        kind, _, name = section.partition(".")
        lines.append(f"{kind} driver {name}: {action}")
    if not dry_run:
        drivers.apply(git, steps, program())
    for prefix in () if uninstall else roots(git):
        lines += _declare(git.top / prefix, prefix, session.cwd, dry_run=dry_run)
    return lines


def _declare(root: Path, prefix: str, cwd: Path, *, dry_run: bool) -> list[str]:
    metrics = _metrics(root)
    wanted = attributes.missing(root, metrics)
    if not wanted:
        return []
    if not dry_run:
        attributes.declare(root, metrics)
    file = shlex.quote(os.path.relpath(root / attributes.NAME, cwd.resolve()))
    return [f"{prefix}{attributes.NAME}: {' and '.join(wanted)}; then: git add {file}"]


def _metrics(root: Path) -> list[RelPath]:
    from mlgit.repo import Repo

    try:
        return drivers.metrics(Repo(root))
    except MlgitError:  # its configuration is malformed, which is no reason to go without drivers
        return []
