"""Reading the listings of fsspec file systems, which agree on little: paths, times, and what an error is."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

_NAME: Final = re.compile(r"[A-Za-z0-9_.@=+-]+(?:/[A-Za-z0-9_.@=+-]+)*")
_TIMES: Final = (
    "LastModified",
    "mtime",
    "last_modified",
    "updated",
    "modified",
    "modificationTime",
    "modify",
    "created",
)


def walk(files: Any, top: str, limit: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All files below the folder `top`; none if it does not exist.

    fsspec's own walk passes over errors, and so takes a broken remote for an empty one.
    """
    pending = [top]
    while pending:
        folder = pending.pop()
        try:
            entries = files.ls(folder or "/", detail=True, **limit)
        except FileNotFoundError:
            continue
        for entry in entries:
            path = str(entry["name"]).rstrip("/")
            if entry["type"] == "directory" and path.startswith(f"{folder}/"):
                pending.append(path)
            elif entry["type"] == "file":
                yield entry


def name_below(root: str, path: str) -> str | None:
    """`path` as seen from `root`; None if it is elsewhere, or a name that no store gives and that may be a trap."""
    if not path.startswith(f"{root}/"):
        return None
    name = path[len(root) + 1 :]
    if _NAME.fullmatch(name) is None or not {".", ".."}.isdisjoint(name.split("/")):
        return None
    return name


def modified(info: Mapping[str, Any]) -> float:
    """Seconds since the epoch out of whatever a file system calls its time; 0.0 if it has none."""
    value = next((info[key] for key in _TIMES if info.get(key)), 0.0)
    if isinstance(value, str):
        value = _parsed(value)
    if isinstance(value, datetime.datetime):
        return value.timestamp()
    return float(value) / 1000 if value > 1e11 else float(value)  # WebHDFS counts milliseconds


def _parsed(text: str) -> datetime.datetime | float:
    try:
        if len(text) == 14 and text.isdigit():  # FTP's MLSD
            return datetime.datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=datetime.timezone.utc)
        return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return 0.0
