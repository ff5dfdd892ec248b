"""What happens while a pipeline is reproduced, as small values that the caller renders; nothing here prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mlgit.model.relpath import RelPath


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A stage's command is about to run, because of `reason`."""

    address: str
    command: str
    reason: str


@dataclass(frozen=True, slots=True)
class StageSkipped:
    """A stage was left alone: up to date, frozen, or behind one that failed."""

    address: str
    reason: str
    frozen: bool = False


@dataclass(frozen=True, slots=True)
class StageRestored:
    """A stage's outputs were put in place from the cache; nothing ran."""

    address: str
    reason: str


@dataclass(frozen=True, slots=True)
class StageFinished:
    """A stage ran, its outputs are saved and recorded; `seconds` is how long its command took."""

    address: str
    seconds: float


@dataclass(frozen=True, slots=True)
class StageFailed:
    """A stage failed; nothing of it is recorded."""

    address: str
    message: str


@dataclass(frozen=True, slots=True)
class OutputLine:
    """A piece of what a running stage wrote to stdout or stderr, as bytes, as soon as it comes."""

    address: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """The last event, also after a failure or an interruption: what reproducing did.

    Attributes:
        failed: address → message; empty means that no stage failed.
        blocked: stages that were left because one they need failed.
        written: files in the working tree that Git should hear of: lock files and `.gitignore` files.
    """

    ran: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    blocked: tuple[str, ...] = ()
    written: tuple[RelPath, ...] = ()
    seconds: float = 0.0


Event = StageStarted | StageSkipped | StageRestored | StageFinished | StageFailed | OutputLine | Outcome
OnEvent = Callable[[Event], None]
