"""Pointers, locks and metrics as text for people, one fact a line, so that Git's own diff shows what changed.

Whatever is read here may come from anybody's commit: nothing is run, nothing is fetched, and what the cache lacks is
left out. A folder is listed up to a bound.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

from mlgit.errors import MlgitError
from mlgit.model import lock, metric, pointer
from mlgit.model.lock import StageLock
from mlgit.model.oid import Oid
from mlgit.model.report import count, format_bytes
from mlgit.model.tree import Content, Entry, Tree

Load = Callable[[Oid], "Tree | None"]
"""Gives the tree of an id; None if the cache lacks it, or it is damaged."""
MAX_LINES: Final = 10_000


def pointer_text(data: bytes, load: Load, limit: int = MAX_LINES) -> str:
    """A pointer, and for a folder the files in it, at most `limit` of them.

    Raises:
        InvalidError, UnsafeError: it is malformed.
    """
    found = pointer.decode(data, "pointer")
    kind = "folder" if found.type == "tree" else "file"
    lines = [f"{found.out}: {kind}", f"oid: {found.oid}", f"size: {format_bytes(found.size)} ({found.size:,} bytes)"]
    if found.files is not None:
        lines.append(f"files: {found.files:,}")
    if found.desc is not None:
        lines.append(f"desc: {_one_line(found.desc)}")
    lines += [f"label: {label}" for label in found.labels]
    lines += [f"meta.{line}" for line in _flat(found.meta)]
    lines += [f"remote: {found.remote}"] if found.remote is not None else []
    lines += [f"source.{line}" for line in _flat(found.source)]
    if found.files is not None:
        lines += _listing(found.oid, found.files, load, limit)
    return _text(lines)


def _listing(oid: Oid, files: int, load: Load, limit: int) -> Iterator[str]:
    """The files of a folder in the order of their paths; folders that cannot be read are one line each."""
    tree = load(oid)
    pending = [] if tree is None else [("", entry) for entry in reversed(tree.entries)]
    told = shown = 0
    while pending and shown < limit:
        folder, entry = pending.pop()
        path = f"{folder}{entry.name}"
        below = load(entry.oid) if entry.kind == "tree" else None
        if below is not None and below.entries:
            pending += [(f"{path}/", one) for one in reversed(below.entries)]
            continue
        yield f"  {_entry(path, entry)}"
        shown += 1
        told += entry.files
    if pending:
        yield f"  … {files - told:,} more"


def _entry(path: str, entry: Entry) -> str:
    if entry.kind == "tree":
        return f"{path}/  {count(entry.files, 'file')}, {format_bytes(entry.size)}, {entry.oid.short}"
    note = {"exec": ", executable", "link": ", link"}.get(entry.kind, "")
    return f"{path}  {format_bytes(entry.size)}, {entry.oid.short}{note}"


def lock_text(data: bytes) -> str:
    """A lock: below each stage its command, dependencies, parameters and outputs.

    Raises:
        InvalidError, UnsafeError: it is malformed.
    """
    lines: list[str] = []
    for name, entry in lock.decode(data, "lock").stages.items():
        lines += ["", f"stage {name}"] if lines else [f"stage {name}"]
        lines += [f"  {line}" for line in _stage(entry)]
    return _text(lines)


def _stage(entry: StageLock) -> Iterator[str]:
    words = entry.cmd if isinstance(entry.cmd, str) else json.dumps(list(entry.cmd), ensure_ascii=False)
    yield from (f"cmd  {line}" for line in words.splitlines() or [""])
    if entry.wdir:
        yield f"wdir  {entry.wdir}"
    yield from (f"env  {name}={_one_line(value)}" for name, value in sorted(entry.env.items()))
    yield from (f"dep  {path}  {_content(content)}" for path, content in sorted(entry.deps.items()))
    for file, values in sorted(entry.params.items()):
        yield from (f"param  {file}:{key} = {lock.canonical(value)}" for key, value in sorted(values.items()))
    yield from (f"out  {path}  {_content(content)}" for path, content in sorted(entry.outs.items()))


def _content(content: Content) -> str:
    files = "" if content.files is None else f"{count(content.files, 'file')}, "
    return f"{files}{format_bytes(content.size)}, {content.oid.short}"


def metrics_text(data: bytes, name: str) -> str:
    """A metrics file, one `key: value` a line, sorted; values unrounded.

    Args:
        name: of the file; its extension says how it is read.

    Raises:
        InvalidError: it is malformed.
    """
    return _text([f"{key}: {_value(value)}" for key, value in sorted(metric.parse_metrics(data, name).items())])


def _flat(values: dict[str, Any]) -> list[str]:
    try:
        return [f"{key}: {_value(value)}" for key, value in sorted(metric.flatten(values, "pointer").items())]
    except MlgitError:  # what no metric may be, such as a date
        return [f"{key}: {_one_line(str(value))}" for key, value in sorted(values.items())]


def _value(value: metric.Scalar) -> str:
    return json.dumps(value, ensure_ascii=False)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _text(lines: list[str]) -> str:
    return "".join(line.replace("\n", "\\n") + "\n" for line in lines)
