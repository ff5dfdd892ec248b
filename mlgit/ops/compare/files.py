"""Which files hold parameters, metrics and plots, as the stage files of one side say, and what those files hold.

A side is a `Snapshot`: a commit or the working tree. Nothing here runs or writes anything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Final, TypeVar

from mlgit.errors import InvalidError
from mlgit.model import paramfile
from mlgit.model.metric import EXTENSIONS, Scalar, flatten, parse_metrics
from mlgit.model.relpath import RelPath
from mlgit.model.stage import DEFAULT_PARAMS, StageFile

if TYPE_CHECKING:
    from mlgit.repo import Repo
    from mlgit.work.snapshot import Snapshot

_T = TypeVar("_T")

IMAGES: Final = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".svg": "image/svg+xml",
}


def stage_files(repo: Repo, snapshot: Snapshot) -> list[StageFile]:
    """Every stage file of one side.

    Raises:
        InvalidError: one of them is malformed; the message names file, line and side.
    """
    return list(naming(snapshot, lambda: repo.project(snapshot)).files.values())


def declared_params(repo: Repo, snapshot: Snapshot) -> list[RelPath]:
    """The files of parameters that the stage files of one side name, and `params.yaml` beside a stage file.

    Raises:
        InvalidError: a stage file is malformed.
    """
    files = stage_files(repo, snapshot)
    folders = [RelPath(""), *(file.path.parent for file in files)]
    default = [path for path in snapshot.paths(DEFAULT_PARAMS) if path.parent in folders]
    named = [ref.file for file in files for stage in file.stages.values() for ref in stage.params]
    return unique([*sorted(default), *named, *(path for file in files for path in file.params)])


def declared_metrics(repo: Repo, snapshot: Snapshot) -> list[RelPath]:
    """The files of metrics that the stage files of one side name; folders are replaced by the files in them.

    Raises:
        InvalidError: a stage file is malformed.
        MissingError: a folder of metrics is tracked, and the list of its files is not in the cache.
    """
    files = stage_files(repo, snapshot)
    outs = (out for file in files for stage in file.stages.values() for out in stage.outs)
    written = [out.path for out in outs if out.kind == "metric"]
    return unique(expand(repo, [*written, *(path for file in files for path in file.metrics)], snapshot))


def naming(snapshot: Snapshot, read: Callable[[], _T]) -> _T:
    """Call `read`; what it refuses as malformed also names the side it stands in."""
    try:
        return read()
    except InvalidError as error:
        raise InvalidError(f"{error.message} (in {snapshot.name})", hint=error.hint) from error


def expand(repo: Repo, paths: Iterable[RelPath], snapshot: Snapshot) -> list[RelPath]:
    """`paths`, with a folder replaced by the files in it; a name with a known extension is taken for a file.

    Raises:
        MissingError: a folder is tracked, and the list of its files is not in the cache.
    """
    found: list[RelPath] = []
    for path in paths:
        below: list[RelPath] = []
        if not path.lower().endswith((*EXTENSIONS, *IMAGES)):
            in_git = [other for other in snapshot.paths() if other.within(path)]
            below = sorted({*in_git, *_tracked_below(repo, path, snapshot)})
        found += below or [path]
    return found


def _tracked_below(repo: Repo, folder: RelPath, snapshot: Snapshot) -> Iterator[RelPath]:
    """The files that a tracked folder holds, as its pointer or lock says."""
    tracked = repo.tracked(snapshot).get(folder)
    if tracked is None or tracked.content is None or tracked.content.type != "tree":
        return
    open_folders = [(folder, tracked.content.oid)]
    while open_folders:
        at, oid = open_folders.pop()
        for entry in repo.workspace.stored_tree(oid, at).entries:
            if entry.kind == "tree":
                open_folders.append((at.child(entry.name), entry.oid))
            else:
                yield at.child(entry.name)


def unique(items: Iterable[_T]) -> list[_T]:
    """`items` without repeats, in the order of their first occurrence."""
    return list(dict.fromkeys(items))


def read_values(
    repo: Repo, path: RelPath, snapshot: Snapshot, parse: Callable[[bytes, str], dict[str, Scalar]] = parse_metrics
) -> dict[str, Scalar] | None:
    """The values of one metrics or params file, None if the side has no such file.

    Raises:
        InvalidError: it is malformed; the message names file and side.
        MlgitError: it is tracked and its content is nowhere.
    """
    data = repo.read(path, snapshot)
    return None if data is None else naming(snapshot, lambda: parse(data, path))


def parse_params(data: bytes, path: str) -> dict[str, Scalar]:
    """A parameter file as dotted key → scalar: whatever a stage may read, and tables besides.

    Raises:
        InvalidError: as `parse_metrics`.
    """
    python = path.lower().endswith(".py")
    return flatten(paramfile.parse(data, path), path) if python else parse_metrics(data, path)


def chosen(paths: Iterable[RelPath], targets: Collection[str]) -> list[RelPath]:
    """Those of `paths` that are, or lie below, one of `targets`; all without targets. Other targets are taken as files.

    Raises:
        MlgitError: a target is no path inside the repository.
    """
    paths = unique(paths)
    if not targets:
        return paths
    wanted = [RelPath.parse(target, "target") for target in targets]
    found = [path for path in paths if any(path.within(target) for target in wanted)]
    return found + [target for target in wanted if not any(path.within(target) for path in paths)]
