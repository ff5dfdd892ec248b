"""Putting mlgit's hooks beside the ones that are there, telling Git of its merge drivers, and taking both out again.

A hook that somebody else wrote is kept as `<name>.local` and runs first. Nothing is overwritten: where both names are
taken, or where Git is told to look for hooks in a folder that is not this repository's own, installing refuses.
A merge driver is a command, so it stands in the repository's own configuration, which no commit can reach.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from mlgit.errors import UsageError
from mlgit.fs import atomic
from mlgit.git import Git

NAMES: Final = ("pre-commit", "pre-push")
MARK: Final = "# Written by `mlgit hooks install`; `mlgit hooks install --uninstall` takes it out."
_SCRIPT: Final = """\
#!/bin/sh
{mark}
mlgit={program}
[ -x "$mlgit" ] || mlgit=mlgit
command -v "$mlgit" >/dev/null || {{
    echo "error: mlgit is not installed, so the {name} checks cannot run" >&2
    echo "hint: install it, or take this hook out: rm '$0'" >&2
    exit 1
}}
{body}"""
_PLAIN: Final = """\
[ ! -x "$0.local" ] || "$0.local" "$@" || exit
exec "$mlgit" hooks run {name} "$@"
"""
_FED: Final = """\
lines=$(cat)
[ ! -x "$0.local" ] || printf '%s\\n' "$lines" | "$0.local" "$@" || exit
printf '%s\\n' "$lines" | "$mlgit" hooks run {name} "$@"
"""

DRIVERS: Final = {
    "mlgit-lock": ("lock", "mlgit.lock, stage by stage"),
    "mlgit-pointer": ("pointer", "pointers of mlgit, folders path by path"),
}
"""Merge driver → its command below `mlgit merge-driver`, and what Git calls it."""
_DRIVER: Final = (
    'mlgit={program}; [ -x "$mlgit" ] || mlgit=mlgit; command -v "$mlgit" >/dev/null || '
    "{{ echo 'mlgit is not installed, so Git merges '%P' as text' >&2; "
    "exec git merge-file -L ours -L base -L theirs %A %O %B; }}; "
    'exec "$mlgit" merge-driver {kind} %O %A %B %P'
)

Action = Literal["write", "keep and write", "remove", "remove and restore", "nothing"]


@dataclass(frozen=True, slots=True)
class Step:
    """What happens to one hook: `keep` renames the hook that is there to `<name>.local`, `restore` renames it back."""

    file: Path
    action: Action


def plan(git: Git, program: str, *, uninstall: bool = False) -> list[Step]:
    """What installing, or uninstalling, does to each hook.

    Raises:
        UsageError: the folder is shared with other repositories or kept in Git, or a hook has no free name to move to.
    """
    folder = _folder(git)
    step = _removal if uninstall else _installation
    return [step(folder / name, script(name, program)) for name in NAMES]


def apply(steps: list[Step], program: str) -> None:
    """Carry out a plan.

    Raises:
        DiskError: a hook cannot be written, renamed or removed.
    """
    for step in steps:
        local = _local(step.file)
        with atomic.disk_errors(step.file):
            step.file.parent.mkdir(parents=True, exist_ok=True)
            if step.action == "keep and write":
                step.file.rename(local)
            if step.action.endswith("write"):
                atomic.write_bytes(step.file, script(step.file.name, program).encode(), 0o755)
            elif step.action == "remove":
                step.file.unlink()
            elif step.action == "remove and restore":
                local.replace(step.file)


def script(name: str, program: str) -> str:
    """The hook's text; `program` is the path of the mlgit that installs it."""
    body = (_FED if name == "pre-push" else _PLAIN).format(name=name)
    return _SCRIPT.format(mark=MARK, program=shlex.quote(program), name=name, body=body)


def plan_drivers(git: Git, program: str, *, uninstall: bool = False) -> dict[str, Action]:
    """What installing, or uninstalling, does to each merge driver in Git's configuration of the repository."""
    pairs = (line.partition("\n") for line in git.run("config", "--local", "--list", "-z").split("\0"))
    settings = {key: value for key, _, value in pairs}
    found = {name: settings.get(f"merge.{name}.driver") for name in DRIVERS}
    if uninstall:
        return {name: "remove" if value is not None else "nothing" for name, value in found.items()}
    return {name: "nothing" if value == driver(name, program) else "write" for name, value in found.items()}


def apply_drivers(git: Git, steps: Mapping[str, Action], program: str) -> None:
    """Carry out a plan.

    Raises:
        InvalidError: Git could not change its configuration.
    """
    for name, action in steps.items():
        if action == "write":
            git.run("config", "--local", "--replace-all", f"merge.{name}.name", DRIVERS[name][1])
            git.run("config", "--local", "--replace-all", f"merge.{name}.driver", driver(name, program))
        elif action == "remove":
            git.run("config", "--local", "--remove-section", f"merge.{name}")


def driver(name: str, program: str) -> str:
    """The command that Git calls; where there is no mlgit any more, Git merges as it would have without."""
    return _DRIVER.format(program=shlex.quote(program).replace("%", "%%"), kind=DRIVERS[name][0])


def _folder(git: Git) -> Path:
    folder = git.hooks_folder()
    own = git.root / git.run("rev-parse", "--git-common-dir").strip() / "hooks"
    if folder.resolve() != own.resolve():
        raise UsageError(
            f"Git looks for hooks in {folder} (core.hooksPath), which is not this repository's own folder",
            hint='call `mlgit hooks run pre-commit` and `mlgit hooks run pre-push "$@"` from the hooks there',
        )
    return own


def _installation(file: Path, text: str) -> Step:
    if not file.exists() and not file.is_symlink():
        return Step(file, "write")
    if _is_ours(file):
        return Step(file, "nothing" if file.read_text(encoding="utf-8") == text else "write")
    if _local(file).exists():
        raise UsageError(
            f"both {file} and {_local(file).name} are there, and neither is mlgit's",
            hint=f"join them into {_local(file).name} and remove {file.name}; mlgit's hook calls it",
        )
    return Step(file, "keep and write")


def _removal(file: Path, _: str) -> Step:
    if not _is_ours(file):
        return Step(file, "nothing")
    return Step(file, "remove and restore" if _local(file).exists() else "remove")


def _is_ours(file: Path) -> bool:
    try:
        return MARK in file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _local(file: Path) -> Path:
    return file.with_name(f"{file.name}.local")
