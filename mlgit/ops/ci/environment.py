"""Which two sides a CI run compares, told from its environment variables and the event that started it.

Pure: the caller hands in the variables and the event's JSON. What either says about a repository is only a name to look
up; it is never trusted to exist, and never put into a command.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_COMMIT: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


@dataclass(frozen=True, slots=True)
class Sides:
    """What is compared.

    Attributes:
        bases: names of the base, the best first: the first that exists counts. Empty: mlgit's own choice.
        head: name of the head; None for the commit that is checked out.
        event: what started the run; empty outside CI.
    """

    bases: tuple[str, ...] = ()
    head: str | None = None
    event: str = ""


def find_sides(variables: Mapping[str, str], payload: Mapping[str, Any]) -> Sides:
    """The sides of a GitHub Actions run; an empty answer anywhere else.

    - `pull_request`: the branch it wants to merge into, against what is checked out, which is GitHub's trial merge
      unless the workflow says otherwise.
    - `pull_request_target`: the same base, against the pull request's own commit: the base is what is checked out.
    - `merge_group`: the group's base and head.
    - `push`: the commit that the branch pointed to before. A new branch has none.

    Args:
        payload: the JSON in the file that GITHUB_EVENT_PATH names; empty if there is none.

    Source: GitHub, "Webhook events and payloads" and "Variables reference".
    """
    event = variables.get("GITHUB_EVENT_NAME", "")
    if event in ("pull_request", "pull_request_target"):
        pull = _below(payload, "pull_request")
        branch = variables.get("GITHUB_BASE_REF", "")
        bases = (f"origin/{branch}" if branch else "", _commit(_below(pull, "base"), "sha"))
        head = _commit(_below(pull, "head"), "sha") if event == "pull_request_target" else ""
    elif event == "merge_group":
        group = _below(payload, "merge_group")
        bases, head = ("", _commit(group, "base_sha")), _commit(group, "head_sha")
    elif event == "push":
        bases, head = ("", _commit(payload, "before")), ""
    else:
        return Sides(event=event)
    return Sides(tuple(base for base in bases if base), head or None, event)


def _below(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = value.get(key)
    return found if isinstance(found, Mapping) else {}


def _commit(value: Mapping[str, Any], key: str) -> str:
    """A commit id; empty if there is none, or only the zeros that stand for none."""
    found = value.get(key)
    return found if isinstance(found, str) and _COMMIT.fullmatch(found) and found.strip("0") else ""
