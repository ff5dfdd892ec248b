"""Ready workflows for GitHub, GitLab and Bitbucket: which files `mlgit ci init` writes, and writing them.

The texts lie in `ready/`, one source for the program, the documentation and the tests. A file that is there and says
something else is somebody's work: it is overwritten only when that is asked for. Nothing is written through a symbolic
link, as the folder may be a clone of anybody's.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final, Literal

from mlgit.errors import InvalidError, RefusedError, UnsafeError
from mlgit.fs import atomic

Host = Literal["github", "gitlab", "bitbucket"]
State = Literal["new", "same", "differs", "left"]

_FILES: Final[dict[Host, dict[str, str]]] = {
    "github": {
        ".github/workflows/mlgit.yml": "mlgit.yml",
        ".github/workflows/mlgit-comment.yml": "mlgit-comment.yml",
        ".github/workflows/mlgit-nightly.yml": "mlgit-nightly.yml",
    },
    "gitlab": {".gitlab/mlgit.gitlab-ci.yml": "mlgit.gitlab-ci.yml", ".gitlab-ci.yml": "gitlab-ci.yml"},
    "bitbucket": {"bitbucket-pipelines.yml": "bitbucket-pipelines.yml"},
}
"""Host → path from Git's top folder → name in `ready/`."""
_NOTES: Final[dict[Host, tuple[str, ...]]] = {
    "github": (
        "To let gates decide, make `mlgit report` a required check of the branch.",
        "mlgit-comment.yml and mlgit-nightly.yml run once they are on the default branch.",
    ),
    "gitlab": (
        "For the note on merge requests, add a masked variable GITLAB_TOKEN: a project access token of scope `api`.",
        "For nightly runs, add a pipeline schedule; in settings, merge only when the pipeline succeeds.",
    ),
    "bitbucket": (
        "For the comment, add a secured variable BITBUCKET_TOKEN: a repository access token that writes pull requests.",
        "For nightly runs, add a schedule for the custom pipeline mlgit-nightly.",
    ),
}
_ENTRY: Final = ".gitlab-ci.yml"
_INCLUDE: Final = ".gitlab/mlgit.gitlab-ci.yml"
_REQUIREMENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[a-z0-9,]*\])?([=<>~!]=?[A-Za-z0-9.*+!]+)?")
_FOLDER: Final = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_./ -]*")


@dataclass(frozen=True, slots=True)
class File:
    """One file of a plan.

    Attributes:
        path: seen from Git's top folder.
        text: what it should say.
        state: `left`: a `.gitlab-ci.yml` of somebody's own, which takes one line and is never overwritten.
    """

    path: str
    text: str
    state: State


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be written, and what is left for a person to do."""

    files: tuple[File, ...]
    notes: tuple[str, ...]


def plan(top: Path, host: Host, requirement: str, folder: str = ".") -> Plan:
    """Which files a host needs, and how they compare with what is there.

    Args:
        top: Git's top folder.
        requirement: what the jobs install by pip, such as `mlgit[s3]==0.1.0`.
        folder: the mlgit repository, seen from `top`.

    Raises:
        InvalidError: the requirement or the folder has characters that do not belong into a script.
        UnsafeError: a symbolic link stands on the way to a file.
    """
    _check(_REQUIREMENT, requirement, "requirement")
    _check(_FOLDER, folder, "folder")
    texts = {path: _text(name, requirement, folder) for path, name in _FILES[host].items()}
    files = tuple(File(path, text, _state(top, path, text)) for path, text in texts.items())
    return Plan(files, (f"The jobs install {requirement} by pip.", *_advice(top, files), *_NOTES[host]))


def apply(top: Path, wanted: Plan, *, force: bool = False) -> list[str]:
    """Write what is new, and with `force` what differs; answers with the paths written.

    Raises:
        RefusedError: a file differs and `force` is not given. Nothing is written then.
        UnsafeError: a symbolic link stands on the way to a file.
        DiskError: a file cannot be written.
    """
    differing = [file.path for file in wanted.files if file.state == "differs"]
    if differing and not force:
        raise RefusedError(
            f"there and different: {', '.join(differing)}",
            hint="move yours aside to see what mlgit writes, or overwrite it with --force",
        )
    written = [file for file in wanted.files if file.state in ("new", "differs")]
    for file in written:
        _refuse_links(top, file.path)
        target = top / file.path
        with atomic.disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_text(target, file.text)
    return [file.path for file in written]


def _check(pattern: re.Pattern[str], text: str, what: str) -> None:
    if not pattern.fullmatch(text):
        raise InvalidError(
            f"{what} {text!r} has characters that do not belong into a workflow",
            hint="write the workflow by hand, or give a plainer name",
        )


def _text(name: str, requirement: str, folder: str) -> str:
    found = (resources.files("mlgit.ops.ci") / "ready" / name).read_text(encoding="utf-8")
    return found.replace("@REQUIREMENT@", requirement).replace("@FOLDER@", folder)


def _state(top: Path, path: str, text: str) -> State:
    _refuse_links(top, path)
    try:
        found = (top / path).read_bytes()
    except FileNotFoundError:
        return "new"
    except OSError as error:
        raise atomic.explain(error, top / path) from error
    if found == text.encode():
        return "same"
    return "left" if path == _ENTRY else "differs"


def _refuse_links(top: Path, path: str) -> None:
    at = top
    for part in path.split("/"):
        at /= part
        if os.path.islink(at):
            raise UnsafeError(f"refused to write through a symbolic link: {at}", hint="replace the link by a folder")


def _advice(top: Path, files: tuple[File, ...]) -> tuple[str, ...]:
    states = {file.path: file.state for file in files}
    if states.get(_ENTRY) == "left" and _INCLUDE.encode() not in (top / _ENTRY).read_bytes():
        return (f"Yours to add to {_ENTRY}: `include: [{{local: {_INCLUDE}}}]`.",)
    if states.get("bitbucket-pipelines.yml") == "differs":
        return ("Instead of --force: move your bitbucket-pipelines.yml aside, run this again, and join the two.",)
    return ()
