"""Telling Git of mlgit's drivers, how locks and pointers are merged and shown, and taking them out again.

A driver is a command, so it stands in the repository's own configuration, which no commit can reach. Where mlgit is
gone, or cannot make sense of a file, each driver does what Git would have done without it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from mlgit.errors import MlgitError
from mlgit.git import Git
from mlgit.ops.ci.install import Action

if TYPE_CHECKING:
    from mlgit.model.relpath import RelPath
    from mlgit.repo import Repo

_FIND: Final = 'mlgit={program}; [ -x "$mlgit" ] || mlgit=mlgit; '
_MERGE: Final = (
    _FIND + 'command -v "$mlgit" >/dev/null || '
    "{{ echo 'mlgit is not installed, so Git merges '%P' as text' >&2; "
    "exec git merge-file -L ours -L base -L theirs %A %O %B; }}; "
    'exec "$mlgit" merge-driver {kind} %O %A %B %P'
)
_SHOW: Final = "show() {{ " + _FIND + '"$mlgit" diff-driver {kind} -- "$1" 2>/dev/null || cat -- "$1"; }}; show'
_MERGED: Final = {
    "mlgit-lock": ("lock", "mlgit.lock, stage by stage"),
    "mlgit-pointer": ("pointer", "pointers of mlgit, folders path by path"),
}
"""Merge driver → its command below `mlgit merge-driver`, and what Git calls it."""
_SHOWN: Final = {"mlgit-lock": "lock", "mlgit-pointer": "pointer", "mlgit-metrics": "metrics"}
"""Diff driver → its command below `mlgit diff-driver`."""


def settings(program: str) -> dict[str, dict[str, str]]:
    """What stands in Git's configuration: section, such as `merge.mlgit-lock` → key → value.

    Args:
        program: path of the mlgit that Git is to call.
    """
    quoted = shlex.quote(program)
    found = {}
    for name, (kind, title) in _MERGED.items():
        driver = _MERGE.format(program=quoted.replace("%", "%%"), kind=kind)
        found[f"merge.{name}"] = {"name": title, "driver": driver}
    for name, kind in _SHOWN.items():
        found[f"diff.{name}"] = {"textconv": _SHOW.format(program=quoted, kind=kind)}
    return found


def plan(git: Git, program: str, *, uninstall: bool = False) -> dict[str, Action]:
    """What installing, or uninstalling, does to each section of Git's configuration of the repository."""
    pairs = (line.partition("\n") for line in git.run("config", "--local", "--list", "-z").split("\0"))
    present = {key: value for key, _, value in pairs}
    steps: dict[str, Action] = {}
    for section, wanted in settings(program).items():
        found = {key: present.get(f"{section}.{key}") for key in wanted}
        if uninstall:
            steps[section] = "nothing" if set(found.values()) == {None} else "remove"
        else:
            steps[section] = "nothing" if found == wanted else "write"
    return steps


def apply(git: Git, steps: Mapping[str, Action], program: str) -> None:
    """Carry out a plan.

    Raises:
        InvalidError: Git could not change its configuration.
    """
    for section, action in steps.items():
        if action == "remove":
            git.run("config", "--local", "--remove-section", section)
        for key, value in settings(program)[section].items() if action == "write" else ():
            git.run("config", "--local", "--replace-all", f"{section}.{key}", value)


def metrics(repo: Repo) -> list[RelPath]:
    """Metrics files that Git holds, and of which no attribute says yet how to show them.

    A stage file that does not decode declares none; its own command says what is wrong with it.
    """
    from mlgit.model.metric import EXTENSIONS
    from mlgit.work.outputs import owner

    try:
        project, tracked = repo.project(), repo.tracked()
    except MlgitError:
        return []
    outs = [out.path for stage in project.stages.values() for out in stage.outs if out.kind == "metric"]
    declared = outs + [path for file in project.files.values() for path in file.metrics]
    found = {path for path in declared if path.lower().endswith(EXTENSIONS) and owner(path, tracked) is None}
    return _unsaid(repo.git, sorted(found))


def _unsaid(git: Git, paths: list[RelPath]) -> list[RelPath]:
    if not paths:
        return []
    words = git.run("check-attr", "-z", "--stdin", "diff", data="\0".join(paths).encode()).split("\0")
    said = dict(zip(words[::3], words[2::3], strict=False))
    return [path for path in paths if said.get(path) == "unspecified"]
