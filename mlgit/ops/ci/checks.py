"""The checks on what is staged: each looks at the next commit alone, changes nothing and yields one report.

A report's only table names each problem with its path; the note of a row is the command that mends it. A report without
rows passes. Whether a check has anything to look at is told from the names of staged files, so that a commit which does
not concern mlgit costs nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from mlgit.errors import InvalidError, MlgitError
from mlgit.git import Git
from mlgit.model.blob import Blob
from mlgit.model.report import Mark, Report, Row, Table, Verdict, format_bytes

if TYPE_CHECKING:
    from mlgit.model.pointer import Pointer
    from mlgit.model.relpath import RelPath
    from mlgit.ops.ci.currency import Currency
    from mlgit.repo import Repo

LIMIT: Final = 5 << 20
POINTER: Final = ".mlgit"
STAGE_FILE: Final = "mlgit.yaml"
LOCK: Final = "mlgit.lock"


def concerns(check: str, staged: Sequence[Blob], *, has_stages: bool) -> bool:
    """Whether a check has anything to look at.

    Args:
        check: `pointers`, `gates` or `lock`.
        has_stages: whether the repository has a stage file at all.
    """
    if check == "lock":
        return has_stages
    ending = POINTER if check == "pointers" else STAGE_FILE
    return any(one.is_file and one.path.endswith(ending) for one in staged)


def report(kind: str, title: str, rows: Sequence[Row], *, subject: str = "path") -> Report:
    """The report of one check: it fails if a row does."""
    table = Table(kind, title, (subject, "problem"), tuple(rows), empty="no problems")
    failed = any(row.mark is Mark.FAIL for row in rows)
    return Report(f"check-{kind}", title, (table,), Verdict.FAIL if failed else Verdict.PASS)


def large_files(git: Git, staged: Sequence[Blob], limit: int = LIMIT) -> Report:
    """Staged files of more than `limit` bytes, which belong into mlgit rather than into Git.

    Lock files are left out: they grow with the pipeline, and only Git can hold them.
    """
    files = [one for one in staged if one.is_file and one.path.rpartition("/")[2] != LOCK]
    sizes = git.sizes({one.id for one in files})
    large = [(one.path, sizes[one.id]) for one in files if sizes.get(one.id, 0) > limit]
    rows = [
        Row((path, f"{format_bytes(size)}, more than {format_bytes(limit)}"), Mark.FAIL, _track(path))
        for path, size in large
    ]
    return report("large-files", "Large files not tracked by mlgit", rows)


def _track(path: str) -> str:
    quoted = shlex.quote(path)
    return f"hint: git rm --cached {quoted} && mlgit add {quoted}"


def pointers(repo: Repo, staged: Sequence[Blob]) -> Report:
    """Staged pointers that are malformed, or whose data on disk is another; data that is not there is no problem."""
    names = [one for one in staged if one.is_file and one.path.endswith(POINTER)]
    contents = repo.git.contents(one.id for one in names)
    rows = [row for one in names for row in _pointer(repo, one.path, contents[one.id])]
    return report("pointers", "Pointers and their data", rows)


def _pointer(repo: Repo, name: str, data: bytes) -> Iterator[Row]:
    from mlgit.model import pointer
    from mlgit.model.relpath import RelPath

    try:
        path = RelPath.parse(name)
        found = pointer.decode(data, path)
        tracked = path.parent.child(found.out)
        present = repo.workspace.identify(tracked)
    except MlgitError as error:
        yield _refused(name, error)
        return
    if found.out + POINTER != path.name:
        yield Row((path, f"names {found.out!r}; a pointer is called after its output"), Mark.FAIL)
    elif present is not None and present.oid != found.oid:
        problem = f"says {found.oid.short}, but {tracked} holds {present.oid.short}"
        yield Row((path, problem), Mark.FAIL, _align(repo, path, tracked, found))


def _align(repo: Repo, path: RelPath, tracked: RelPath, staged: Pointer) -> str:
    """The command that makes pointer and data agree: which one depends on what the pointer on disk says."""
    from mlgit.model import pointer

    data = repo.snapshot().read(path)
    try:
        unstaged = data is not None and pointer.decode(data, path).oid != staged.oid
    except MlgitError:
        unstaged = False
    if unstaged:
        return f"hint: the pointer on disk is another: git add {shlex.quote(path)}"
    quoted = shlex.quote(tracked)
    return f"hint: mlgit add {quoted} && git add {shlex.quote(path)}, or go back: mlgit checkout {quoted}"


def gates(repo: Repo, staged: Sequence[Blob]) -> Report:
    """Staged stage files that do not decode, or whose gates do not."""
    from mlgit.ops.ci.staged import Staged

    files = [one for one in staged if one.is_file and one.path.rpartition("/")[2] == STAGE_FILE]
    contents = repo.git.contents(one.id for one in files)
    read = Staged(repo.git).read
    rows = [row for one in files for row in _stage_file(one.path, contents[one.id], read)]
    return report("gates", "Stage files and gates", rows)


def _stage_file(name: str, data: bytes, read: Callable[[RelPath], bytes | None]) -> Iterator[Row]:
    from mlgit.model import stagefile
    from mlgit.model.gatefile import decode
    from mlgit.model.relpath import RelPath

    try:
        path = RelPath.parse(name)
        decode(stagefile.decode(data, path, read).gates, path)
    except MlgitError as error:
        yield _refused(name, error)


def lock(repo: Repo, staged: Sequence[Blob]) -> Report:
    """Stages whose lock entry is no longer that of what is staged; only those that a staged file concerns.

    Raises:
        InvalidError, UnsafeError: a staged stage file or lock is malformed.
    """
    from mlgit.model.relpath import RelPath
    from mlgit.ops.ci.currency import Currency
    from mlgit.ops.ci.staged import Staged

    currency = Currency(repo, Staged(repo.git), None)
    paths = {RelPath(one.path) for one in staged}
    rows = [row for one in currency.concerned(paths) for row in _stage(repo, currency, one.address)]
    return report("lock", "Stages whose lock is stale", rows, subject="stage")


def _stage(repo: Repo, currency: Currency, address: str) -> Iterator[Row]:
    from mlgit.ops.ci.currency import why
    from mlgit.pipeline.load import lock_path

    stage = currency.project.stages[address]
    try:
        status = currency.status(stage)
    except InvalidError as error:
        yield _refused(address, error)
        return
    if not status.changes:
        return
    file = lock_path(stage.file)
    if repo.git.blobs(None, file) and not repo.git.differs_from_index(file):
        hint = f"hint: mlgit repro {address} && git add {file}"
    else:
        hint = f"hint: {file} on disk is not staged: git add {file}; if that is not it: mlgit repro {address}"
    yield Row((address, why(status)), Mark.FAIL, hint)


def _refused(path: str, error: MlgitError) -> Row:
    return Row((path, error.message), Mark.FAIL, f"hint: {error.hint}" if error.hint else "")
