"""The mlgit roots of one Git repository: a hook is Git's and stands at the top, while roots may lie anywhere below."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from mlgit.errors import NotEvaluableError
from mlgit.git import Git
from mlgit.model.relpath import RelPath
from mlgit.model.report import Report
from mlgit.ops.ci.checks import STAGE_FILE

CONFIG: Final = ".mlgit/config.yaml"
_CONTROL: Final = ".mlgit"


def roots(git: Git) -> dict[str, bool]:
    """Where the mlgit roots are, as prefixes such as `sub/`, and whether each has stages; `git` stands at the top."""
    names = git.known_files(CONFIG, STAGE_FILE)
    staged = [name for name in names if name.endswith(STAGE_FILE)]
    return {prefix: any(name.startswith(prefix) for name in staged) for prefix in _prefixes(names)}


def committed_roots(git: Git) -> list[str]:
    """Where the mlgit roots are that Git's index knows, as prefixes."""
    return _prefixes(git.known_files(CONFIG, untracked=False))


def _prefixes(names: Iterable[str]) -> list[str]:
    return [name.removesuffix(CONFIG) for name in names if f"/{name}".endswith(f"/{CONFIG}")]


def check_kept(git: Git, base: str, head: str) -> None:
    """Refuse a change after which another root, with other gates, is asked than before; commits are given by id.

    Raises:
        NotEvaluableError: a root of the base is gone, or the present one was a folder of another.
    """
    before, after = _roots_at(git, base), _roots_at(git, head)
    gone = before - after
    outer = innermost(git.prefix, before)
    if gone or (outer is not None and outer != git.prefix):
        was = ", ".join(sorted(one or "." for one in gone or {outer or ""}))
        now = f"the mlgit root {was} of the base is gone" if gone else f"{git.prefix} was in the mlgit root {was}"
        raise NotEvaluableError(
            f"{now}, so the gates there would not be asked",
            hint="keep the folder `.mlgit` where it is; or a maintainer accepts it with the label "
            "mlgit:accept-gate-change, or --accept-gate-change",
        )


def _roots_at(git: Git, commit: str) -> set[str]:
    folders = git.run("ls-tree", "-r", "-d", "-z", "--name-only", "--full-tree", commit).split("\0")
    return {name.removesuffix(_CONTROL) for name in folders if f"/{name}".endswith(f"/{_CONTROL}")}


def innermost(path: str, prefixes: Iterable[str]) -> str | None:
    """The root that the file at `path` belongs to; None if it lies in none."""
    return max((one for one in prefixes if path.startswith(one)), key=len, default=None)


def root_of(top: Path, path: RelPath) -> RelPath | None:
    """The innermost root above `path`, as the disk below `top` has it; no symbolic link is followed."""
    found, folder = None, RelPath("")
    for part in ("", *path.parent.parts):
        folder = folder.child(part)
        if (top / folder).is_symlink():
            break
        if (top / folder / ".mlgit").is_dir():
            found = folder
    return found


def placed(report: Report, prefix: str) -> Report:
    """Paths and commands in a report are seen from the mlgit root, so its title says where that is."""
    if not prefix:
        return report
    title = f"{report.title}, in {prefix}"
    tables = tuple(dataclasses.replace(one, name=f"{prefix}{one.name}", title=title) for one in report.tables)
    return dataclasses.replace(report, title=title, tables=tables)
