"""The run record: the lock entry that one run of a stage produced, and the circumstances of that run.

Records travel with the objects in a store, where anybody may have written them: they are decoded strictly, and a reader
compares them with the stage at hand before it uses one.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from mlgit.errors import InvalidError
from mlgit.model.fields import Fields
from mlgit.model.lock import StageLock, canonical, decode_entry, entry_value

VERSION: Final = 2
MAX_PACKAGES: Final = 5_000
PACKAGE: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,126}[a-z0-9])?==[0-9A-Za-z][0-9A-Za-z.+!_-]{0,127}")
"""A package as a record lists it: its normalised name and its version."""

_KEYS: Final = ("mlgit", "key", "stage", "started", "seconds", "exit", "environment", "commit")
_FIRST_ENVIRONMENT: Final = ("python", "platform", "mlgit")
_ENVIRONMENT: Final = (*_FIRST_ENVIRONMENT, "packages", "fingerprint")
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}|")
_DAMAGED: Final = "delete the record; the stage will run again"


@dataclass(frozen=True, slots=True)
class Environment:
    """What a stage ran with, apart from its declared inputs; equal on hosts that are set up alike.

    Attributes:
        python: the version of the `python` on the command's PATH; None if there was none. Records of version 1 name
            the Python that mlgit itself ran with.
        platform: system and kind of processor, such as `Linux-x86_64`.
        mlgit: the version of mlgit.
        packages: what was installed for that Python, `name==version`, names normalised, sorted.
        fingerprint: hash of Python, platform and packages, 64 hex digits; empty where packages were not looked at, as
            in records of version 1.
    """

    python: str | None
    platform: str
    mlgit: str
    packages: tuple[str, ...] = ()
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run.

    Attributes:
        key: the stage key it ran under, 64 hex digits.
        started: UTC, ISO 8601 with microseconds, so that it sorts as text.
        seconds: how long the command ran.
        commit: the Git commit that was checked out; None outside Git or before the first one.
    """

    key: str
    stage: StageLock
    started: str
    seconds: float
    exit: int
    environment: Environment
    commit: str | None = None


def encode(record: RunRecord) -> str:
    """The record as one line of JSON."""
    value = {
        "mlgit": VERSION,
        "key": record.key,
        "stage": entry_value(record.stage),
        "started": record.started,
        "seconds": record.seconds,
        "exit": record.exit,
        "environment": {key: getattr(record.environment, key) for key in _ENVIRONMENT},
        "commit": record.commit,
    }
    return canonical(value) + "\n"


def decode(data: bytes, where: str) -> RunRecord:
    """Parse a record, of this version or an earlier one; `where` names it in errors.

    Raises:
        InvalidError: malformed, or of a version this mlgit does not know.
        UnsafeError: a path leaves the repository or reaches a control folder.
    """
    try:
        value: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"{where}: not a run record: {error}", hint="delete it; the stage will run again") from error
    fields = Fields(value, where, _KEYS)
    version = fields.whole("mlgit")
    if version not in (1, VERSION):
        fields.fail("mlgit", "run record of a version this mlgit does not know", "upgrade mlgit")
    return RunRecord(
        key=fields.text("key"),
        stage=decode_entry(fields.mapping("stage"), fields.at("stage")),
        started=fields.text("started"),
        seconds=fields.number("seconds"),
        exit=fields.whole("exit"),
        environment=_decode_environment(fields, version),
        commit=fields.text("commit", None),
    )


def _decode_environment(record: Fields, version: int) -> Environment:
    known = _FIRST_ENVIRONMENT if version == 1 else _ENVIRONMENT
    fields = Fields(record.mapping("environment"), record.at("environment"), known)
    fingerprint = fields.text("fingerprint") if version > 1 else ""
    if not _FINGERPRINT.fullmatch(fingerprint):
        fields.fail("fingerprint", "expected 64 hex digits or nothing", _DAMAGED)
    return Environment(
        python=fields.text("python", *([] if version == 1 else [None])),
        platform=fields.text("platform"),
        mlgit=fields.text("mlgit"),
        packages=_decode_packages(fields) if version > 1 else (),
        fingerprint=fingerprint,
    )


def _decode_packages(fields: Fields) -> tuple[str, ...]:
    packages = fields.items("packages")
    if len(packages) > MAX_PACKAGES:
        fields.fail("packages", f"{len(packages)} packages; {MAX_PACKAGES} is the limit", _DAMAGED)
    for package in packages:
        if not (isinstance(package, str) and PACKAGE.fullmatch(package)):
            fields.fail("packages", f"expected `name==version`, found {package!r:.60}", _DAMAGED)
    if sorted(set(packages)) != packages:
        fields.fail("packages", "not sorted, or one is listed twice", _DAMAGED)
    return tuple(packages)
