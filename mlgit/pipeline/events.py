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
    """A stage's outputs were put in place from the cache; nothing ran.

    Attributes:
        saved: seconds that its command took when it ran; None if nobody knows.
    """

    address: str
    reason: str
    saved: float | None = None


@dataclass(frozen=True, slots=True)
class StageRetried:
    """A run of a stage failed and is tried again; `attempt` counts from 2."""

    address: str
    message: str
    attempt: int


@dataclass(frozen=True, slots=True)
class StageWarned:
    """Something about a stage that a person should look at, such as a file it touched and does not declare."""

    address: str
    message: str


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
        seconds: how long all of it took.
        times: seconds that each command took, of the stages that ran.
        saved: seconds that the commands of restored stages took when they ran.
        logs: the folder with the output of the commands, from the root; None if no command ran.
    """

    ran: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    blocked: tuple[str, ...] = ()
    written: tuple[RelPath, ...] = ()
    seconds: float = 0.0
    times: Mapping[str, float] = field(default_factory=dict)
    saved: float = 0.0
    logs: RelPath | None = None


Event = (
    StageStarted
    | StageSkipped
    | StageRestored
    | StageRetried
    | StageWarned
    | StageFinished
    | StageFailed
    | OutputLine
    | Outcome
)
OnEvent = Callable[[Event], None]
