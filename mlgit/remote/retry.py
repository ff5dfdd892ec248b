"""One retry budget for every remote: bounded attempts, growing pauses with jitter, a deadline for all of them together.

Clients' own retries are turned off where that is possible, since two budgets multiply. The pauses follow "full jitter"
halved (Brooker, Exponential Backoff and Jitter, AWS 2015), so that many clients do not come back at once.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from mlgit.remote.failures import kind_of

SLOWEST: Final = 32 << 10
"""Bytes per second that a connection must at least carry before it counts as stalled."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to try.

    Attributes:
        attempts: at most, for one step (one range of a download, one upload).
        deadline: seconds for all attempts of a step and the pauses between them, beyond the time its bytes may take.
        first: seconds of the first pause, doubled each time.
        longest: seconds of a pause at most.
        clock: seconds that only grow.
        sleep: waits for so many seconds.
        jitter: a number from 0 to 1.
    """

    attempts: int = 5
    deadline: float = 60.0
    first: float = 0.25
    longest: float = 8.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

    def run(self, step: Callable[[float, int], T], size: int = 0) -> T:
        """The result of `step`, called with the seconds it may take and the number of failures before.

        Only transient failures are tried again; the last one is raised as it is. An error's own `pause` is the least
        to wait after it, as a host that asks for it; a longer one than is left ends it at once.

        Args:
            size: bytes that the step moves.
        """
        start = self.clock()
        allowed = self.deadline + size / SLOWEST
        for failures in itertools.count():
            try:
                return step(max(allowed - (self.clock() - start), 1.0), failures)
            except Exception as error:
                pause = min(self.longest, self.first * 2**failures) * (0.5 + self.jitter() / 2)
                pause = max(pause, getattr(error, "pause", 0.0))
                late = self.clock() - start + pause >= allowed
                if late or failures + 1 >= self.attempts or kind_of(error) != "transient":
                    raise
            self.sleep(pause)
        raise AssertionError("unreachable")
