"""The run record: the lock entry that one run of a stage produced, and the circumstances of that run.

Records travel with the objects in a store, where anybody may have written them: they are decoded strictly, and a reader
compares them with the stage at hand before it uses one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from mlgit.errors import InvalidError
from mlgit.model.fields import Fields
from mlgit.model.lock import StageLock, canonical, decode_entry, entry_value

VERSION: Final = 1
_KEYS: Final = ("mlgit", "key", "stage", "started", "seconds", "exit", "environment", "commit")
_ENVIRONMENT: Final = ("python", "platform", "mlgit")


@dataclass(frozen=True, slots=True)
class Environment:
    """What a stage ran with, apart from its declared inputs; equal on hosts that are set up alike."""

    python: str
    platform: str
    mlgit: str


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
    """Parse a record; `where` names it in errors.

    Raises:
        InvalidError: malformed, or of a version this mlgit does not know.
        UnsafeError: a path leaves the repository or reaches a control folder.
    """
    try:
        value: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"{where}: not a run record: {error}", hint="delete it; the stage will run again") from error
    fields = Fields(value, where, _KEYS)
    if fields.whole("mlgit") != VERSION:
        fields.fail("mlgit", "run record of a version this mlgit does not know", "upgrade mlgit")
    environment = Fields(fields.mapping("environment"), fields.at("environment"), _ENVIRONMENT)
    return RunRecord(
        key=fields.text("key"),
        stage=decode_entry(fields.mapping("stage"), fields.at("stage")),
        started=fields.text("started"),
        seconds=fields.number("seconds"),
        exit=fields.whole("exit"),
        environment=Environment(**{key: environment.text(key) for key in _ENVIRONMENT}),
        commit=fields.text("commit", None),
    )
