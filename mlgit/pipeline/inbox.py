"""What commands say, on its way from the threads that watch them to the one thread that decides.

Exists because a command may write faster than anybody reads: then it has to wait, or memory would fill up. It must
never make one wait that is to be ended.
"""

from __future__ import annotations

import queue
import threading
from typing import Final, Generic, TypeVar

from mlgit.pipeline.events import OutputLine

MOST: Final = 1 << 26
"""Bytes of output that wait to be heard, at most."""

T = TypeVar("T")


class Inbox(Generic[T]):
    """Pieces of output, and `T` for each command that has ended, in the order in which they came."""

    def __init__(self) -> None:
        self._messages: queue.SimpleQueue[OutputLine | T] = queue.SimpleQueue()
        self._room = threading.Condition()
        self._waiting = 0
        self._flows = False

    def write(self, line: OutputLine) -> None:
        """A command wrote something; returns when there is room for it."""
        with self._room:
            while self._waiting > MOST and not self._flows:
                self._room.wait()
            self._waiting += len(line.data)
        self._messages.put(line)

    def end(self, message: T) -> None:
        """A command has ended."""
        self._messages.put(message)

    def get(self, *, wait: bool) -> OutputLine | T:
        """The next message; raises `queue.Empty` if there is none and it is not to wait."""
        message = self._messages.get(block=wait)
        if isinstance(message, OutputLine):
            with self._room:
                self._waiting -= len(message.data)
                self._room.notify_all()
        return message

    def flow(self) -> None:
        """From now on nobody waits: all commands are being ended."""
        with self._room:
            self._flows = True
            self._room.notify_all()
