"""Putting mlgit's hooks beside the ones that are there, and taking them out again.

A hook that somebody else wrote is kept as `<name>.local` and runs first. Nothing is overwritten: where both names are
taken, or where Git is told to look for hooks in a folder that is not this repository's own, installing refuses.
Hooks before a commit or a push may stop it; those after a checkout or a merge never make Git look failed.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from mlgit.errors import UsageError
from mlgit.fs import atomic
from mlgit.git import Git

_BEFORE: Final = """\
#!/bin/sh
{mark}
mlgit={program}
[ -x "$mlgit" ] || mlgit=mlgit
command -v "$mlgit" >/dev/null || {{
    echo "error: mlgit is not installed, so the {name} checks cannot run" >&2
    echo "hint: install it, or take this hook out: rm '$0'" >&2
    exit 1
}}
"""
_PLAIN: Final = (
    _BEFORE
    + """\
[ ! -x "$0.local" ] || "$0.local" "$@" || exit
exec "$mlgit" hooks run {name} "$@"
"""
)
_FED: Final = (
    _BEFORE
    + """\
lines=$(cat)
[ ! -x "$0.local" ] || printf '%s\\n' "$lines" | "$0.local" "$@" || exit
printf '%s\\n' "$lines" | "$mlgit" hooks run {name} "$@"
"""
)
_AFTER: Final = """\
#!/bin/sh
{mark}
status=0
[ ! -x "$0.local" ] || "$0.local" "$@" || status=$?
{unless}mlgit={program}
[ -x "$mlgit" ] || mlgit=mlgit
if command -v "$mlgit" >/dev/null; then
    "$mlgit" hooks run {name} "$@"
else
    echo "mlgit is not installed, so tracked data stays as it is; take this hook out: rm '$0'" >&2
fi
exit $status
"""
_FILES_ONLY: Final = '[ "$3" = 1 ] || exit $status  # single files were checked out, and no branch\n'
_SCRIPTS: Final = {
    "pre-commit": _PLAIN,
    "pre-push": _FED,
    "post-checkout": _AFTER.replace("{unless}", _FILES_ONLY),
    "post-merge": _AFTER.replace("{unless}", ""),
}
NAMES: Final = tuple(_SCRIPTS)
MARK: Final = "# Written by `mlgit hooks install`; `mlgit hooks install --uninstall` takes it out."
LINES: Final = {
    "pre-commit": "mlgit hooks run pre-commit || exit",
    "pre-push": 'mlgit hooks run pre-push "$@" || exit',
    "post-checkout": 'mlgit hooks run post-checkout "$@"',
    "post-merge": 'mlgit hooks run post-merge "$@"',
}
"""What somebody adds to hooks that mlgit does not write; the one before a push reads what Git tells on stdin."""

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
    return _SCRIPTS[name].format(mark=MARK, program=shlex.quote(program), name=name)


def _folder(git: Git) -> Path:
    folder = git.hooks_folder()
    own = git.root / git.run("rev-parse", "--git-common-dir").strip() / "hooks"
    if folder.resolve() != own.resolve():
        raise UsageError(
            f"Git looks for hooks in {folder} (core.hooksPath), which is not this repository's own folder",
            hint="add to the hooks there:" + "".join(f"\n  {name}: {line}" for name, line in LINES.items()),
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
