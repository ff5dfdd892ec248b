"""Reading tracked files from Python, at any revision and from any repository, without checking anything out.

Nothing from the repository is run, and nothing outside its `.mlgit` folder is written.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, Literal, TextIO, overload

from mlgit.errors import MissingError, UsageError
from mlgit.git import Git
from mlgit.model.relpath import RelPath
from mlgit.repo import Repo
from mlgit.work.snapshot import Snapshot

_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://|[^/\\]+@[^/\\]+:")


@overload
def open(  # noqa: A001  (the name is the API)
    path: str | os.PathLike[str],
    mode: Literal["r", "rt"] = "r",
    *,
    rev: str | None = None,
    repo: str | os.PathLike[str] | None = None,
    encoding: str | None = None,
) -> TextIO: ...


@overload
def open(  # noqa: A001
    path: str | os.PathLike[str],
    mode: Literal["rb"],
    *,
    rev: str | None = None,
    repo: str | os.PathLike[str] | None = None,
    encoding: str | None = None,
) -> BinaryIO: ...


def open(  # noqa: A001
    path: str | os.PathLike[str],
    mode: str = "r",
    *,
    rev: str | None = None,
    repo: str | os.PathLike[str] | None = None,
    encoding: str | None = None,
) -> TextIO | BinaryIO:
    """A file of a repository as a file object, for `with` or to be closed like any other.

    The whole file is in memory before the first byte is given, because its id is checked first.

    Args:
        path: seen from the repository's root; tracked by mlgit, also inside a tracked folder, or by Git alone.
        mode: `r` for text or `rb` for bytes.
        rev: whatever Git accepts as a commit; the working tree if left out.
        repo: a folder in a repository, or the address of a Git repository, which is cloned for as long as it takes;
            the current folder if left out.
        encoding: of text; UTF-8 if left out.

    Raises:
        UsageError: another mode, no repository, no such revision, or a path that leaves the repository.
        MissingError: no such file there, or its bytes are in neither the cache nor a remote.
        IntegrityError: its bytes are damaged.
        InvalidError, UnsafeError: a pointer, a lock or the configuration is malformed, or holds what it must not.
        RemoteError, AuthError: the remote does not answer.
    """
    if mode not in ("r", "rt", "rb"):
        raise UsageError(f"cannot open {os.fspath(path)!r} with mode {mode!r}", hint="use 'r' or 'rb'; this only reads")
    data = io.BytesIO(read(path, rev=rev, repo=repo))
    return data if mode == "rb" else io.TextIOWrapper(data, encoding=encoding or "utf-8")


def read(path: str | os.PathLike[str], *, rev: str | None = None, repo: str | os.PathLike[str] | None = None) -> bytes:
    """The bytes of a file of a repository; arguments and errors as for `open`."""
    with _opened(Path.cwd() if repo is None else repo) as (found, remote):
        where = found.path(os.fspath(path), found.root)
        snapshot = _snapshot(found, rev, remote=remote)
        data = found.read(where, snapshot)
        if data is None:
            raise _absent(where, snapshot)
        return data


@contextlib.contextmanager
def _opened(repo: str | os.PathLike[str]) -> Iterator[tuple[Repo, bool]]:
    """The repository, and whether it is a clone that goes when the body ends."""
    address = os.fspath(repo)
    local = _ADDRESS.match(address) is None
    if local and not os.path.isdir(address):
        raise UsageError(f"no such folder: {address}", hint="name a folder in a repository, or a Git address")
    if local and not Git.is_bare(Path(address)):
        yield Repo.find(Path(address)), False
        return
    import tempfile

    with tempfile.TemporaryDirectory(prefix="mlgit-") as folder:
        clone = Path(folder, "clone")
        Git.clone(address, clone)
        yield Repo(_root(clone, address)), True


def _root(clone: Path, address: str) -> Path:
    """The one mlgit repository in a clone."""
    roots = [clone] if (clone / ".mlgit").is_dir() else [one.parent for one in clone.rglob(".mlgit") if one.is_dir()]
    if len(roots) != 1:
        problem = "several folders with an mlgit repository" if roots else "no mlgit repository"
        raise UsageError(f"{address} holds {problem}", hint="clone it yourself and name the folder")
    return roots[0]


def _snapshot(repo: Repo, rev: str | None, *, remote: bool) -> Snapshot:
    """A clone knows the branches of its origin by their full names only."""
    if rev is not None and remote:
        with contextlib.suppress(UsageError):
            return repo.snapshot(f"origin/{rev}")
    return repo.snapshot(rev)


def _absent(path: RelPath, snapshot: Snapshot) -> MissingError:
    place = snapshot.name if snapshot.rev else "the working tree"
    return MissingError(f"{path} is not a file in {place}", hint="see what is: `mlgit ls -R`; a folder has no bytes")
