"""What a code host's JSON holds, taken with care: a missing or odd value is an empty one, never an exception of Python.

Commit ids and web addresses, the two values that hosts refuse a whole request for, are checked here too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from mlgit.errors import RemoteError, UsageError

_COMMIT: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


def mapping(value: Any) -> Mapping[str, Any]:
    """`value` if it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def below(value: Any, *keys: str) -> Mapping[str, Any]:
    """The object at the end of `keys`."""
    for key in keys:
        value = mapping(value).get(key)
    return mapping(value)


def listed(value: Any, key: str) -> list[Any]:
    """The list at `key`."""
    found = mapping(value).get(key)
    return found if isinstance(found, list) else []


def text(value: Any, key: str) -> str:
    """The text at `key`."""
    found = mapping(value).get(key)
    return found if isinstance(found, str) else ""


def whole(value: Any, key: str) -> int:
    """The number at `key`.

    Raises:
        RemoteError: there is none, so that the answer is not one of this host.
    """
    found = mapping(value).get(key)
    if not isinstance(found, int):
        raise RemoteError(f"the host's answer has no number {key!r}", hint="check the address of its API")
    return found


def commit(sha: str) -> str:
    """`sha`.

    Raises:
        UsageError: it is not a whole commit id.
    """
    if not _COMMIT.fullmatch(sha):
        raise UsageError(f"{sha!r} is not a whole commit id", hint="give all its digits: git rev-parse HEAD")
    return sha


def web(key: str, link: str) -> dict[str, str]:
    """`link` under `key`, if it is a web address."""
    return {key: link} if urlsplit(link).scheme in ("https", "http") else {}
