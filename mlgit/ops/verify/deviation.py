"""How a new output deviates from the recorded one: which files differ, and how.

Files are read from the cache, whole ones verified against their ids. What a file is, its name says; one that is not
what its name says, or that nothing here reads, is compared by bytes. Whatever stands in a file, nothing but an
`MlgitError` leaves this module.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

from mlgit.errors import MlgitError
from mlgit.model.oid import Oid
from mlgit.model.relpath import RelPath
from mlgit.model.stage import Tolerance
from mlgit.model.tree import Content, Entry
from mlgit.ops.verify import nested, plainbytes, rows
from mlgit.ops.verify.finding import Difference, Finding, Tally, clipped
from mlgit.work.difference import Change
from mlgit.work.difference import compare as compare_contents

if TYPE_CHECKING:
    from mlgit.repo import Repo

_LAYOUT: Final = "every value is the same; only how they are written differs"
_ADDRESS: Final = re.compile(r" object at 0x[0-9a-f]+")
_GONE: Final = "the recorded bytes are not in the cache; get them with `mlgit pull`"
_NO_PYARROW: Final = "compared by bytes: to see values, install mlgit[parquet]"
_KINDS: Final = {"file": "plain file", "exec": "executable file", "link": "symbolic link", "tree": "folder"}
_Compare = Callable[[BinaryIO, BinaryIO, str, Tally], None]


@dataclass(frozen=True, slots=True)
class Deviation:
    """One file of an output that is not as recorded; `path` is seen from the repository's root."""

    path: RelPath
    finding: Finding


def deviations(
    repo: Repo, path: RelPath, recorded: Content, new: Content, tolerance: Tolerance | None = None
) -> list[Deviation]:
    """Every file that differs between two contents of the output `path`, sorted; empty if none does.

    Args:
        repo: its cache has the new content; what of the recorded one is neither there nor in the working tree is said
            in the finding's note.
        tolerance: how far numbers may lie apart in formats that are understood; None for not at all.

    Raises:
        MissingError: a folder's list of files is not in the cache.
        IntegrityError: an object in the cache is damaged.
        InvalidError: the tolerance is no bound.
    """
    Tally(tolerance)  # refused before anything is read
    changes = compare_contents(path, recorded, new, lambda oid, _: repo.workspace.store.tree(oid))
    return [Deviation(change.path, _finding(repo, change, tolerance)) for change in changes]


def _finding(repo: Repo, change: Change, tolerance: Tolerance | None) -> Finding:
    old, new = change.old, change.new
    if old is None or new is None or change.source is not None:
        return _one_sided(change)
    if old.kind != new.kind:
        return Finding(Difference("kind of file", _KINDS[old.kind], _KINDS[new.kind]), 1)
    if not _is_here(repo, change.path, old):
        return Finding(known=tolerance is None, note=_GONE)
    plain = old.kind == "link"
    return compare_files(repo, change.path, old.oid, new.oid, tolerance, plain=plain)


def _is_here(repo: Repo, path: RelPath, recorded: Entry) -> bool:
    """Whether the recorded bytes are in the cache, or stand in the working tree: Git keeps those of `cache: false`."""
    store = repo.workspace.store
    if not store.missing([recorded.oid]):
        return True
    data = repo.snapshot().read(path) if recorded.kind != "link" else None
    return data is not None and store.digest(data) == recorded.oid.digest


def _one_sided(change: Change) -> Finding:
    if change.source is not None:
        return Finding(Difference("name", clipped(change.source), clipped(change.path)), 1)
    return Finding(Difference("file", "present" if change.old else "absent", "present" if change.new else "absent"), 1)


def compare_files(
    repo: Repo, path: RelPath, recorded: Oid, new: Oid, tolerance: Tolerance | None, *, plain: bool = False
) -> Finding:
    """How two files differ that both have the name `path`.

    Args:
        plain: compare bytes, whatever the name says.

    Raises:
        MissingError, IntegrityError: an object is not in the cache, or damaged there.
    """
    compare, note = None if plain else _format(path), ""
    if compare is not None:
        tally = Tally(tolerance)
        with _opened(repo, path, recorded) as old, _opened(repo, path, new) as fresh:
            note = _try(compare, old, fresh, path, tally)
        found = tally.finding()
        if not note and (found.first is not None or found.within):
            return found
        note = note or _LAYOUT
    with _opened(repo, path, recorded) as old, _opened(repo, path, new) as fresh:
        return plainbytes.compare(old, fresh, note)


def _try(compare: _Compare, old: BinaryIO, new: BinaryIO, path: RelPath, tally: Tally) -> str:
    """Compare by format; gives the reason if that cannot be done.

    The parsers behind the formats raise whatever they like at a hostile file, so all of it is caught here.
    """
    try:
        compare(old, new, path, tally)
    except ImportError:
        return _NO_PYARROW
    except Exception as error:
        reason = error.message if isinstance(error, MlgitError) else f"{error}" or type(error).__name__
        first = _ADDRESS.sub("", reason.removeprefix(f"{path}: ").partition("\n")[0])
        return f"compared by bytes: not read as {path.rpartition('.')[2]}: {clipped(first)}"
    return ""


@contextlib.contextmanager
def _opened(repo: Repo, path: RelPath, oid: Oid) -> Iterator[BinaryIO]:
    """An object's verified bytes: a large one's file in the cache, so that it is never held whole."""
    store = repo.workspace.store
    if store.missing([oid]) and (data := repo.snapshot().read(path)) is not None:
        yield io.BytesIO(data)  # `_is_here` has compared it with the id
    elif store.linkable(oid) is None:
        yield io.BytesIO(store.read(oid))
    else:
        with open(store.verified_file(oid), "rb") as file:
            yield file


def _format(path: RelPath) -> _Compare | None:
    """What compares files of this name by value; None for none."""
    return _FORMATS.get(path.name.lower().rpartition(".")[2])


def _array(old: BinaryIO, new: BinaryIO, path: str, tally: Tally) -> None:
    from mlgit.ops.verify import arrays

    (arrays.compare_archives if path.lower().endswith(".npz") else arrays.compare)(old, new, tally)


def _parquet(old: BinaryIO, new: BinaryIO, path: str, tally: Tally) -> None:
    from mlgit.ops.verify import columns

    columns.compare(old, new, tally)


_FORMATS: Final[dict[str, _Compare]] = {
    **dict.fromkeys(("json", "yaml", "yml", "toml"), nested.compare),
    **dict.fromkeys(("jsonl", "ndjson"), nested.compare_lines),
    **dict.fromkeys(("csv", "tsv"), rows.compare),
    **dict.fromkeys(("npy", "npz"), _array),
    **dict.fromkeys(("parquet", "pq"), _parquet),
}
