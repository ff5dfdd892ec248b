"""Tells a person what happens while stages run, and at the end what was done, how long it took, and what to look at.

All goes to stderr but the JSON object. What is folded here is never lost: `--verbose` lists it, the logs have it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from mlgit.cli import render
from mlgit.cli.live import Lines, clock, view
from mlgit.cli.stage_files import offer

if TYPE_CHECKING:
    from mlgit.cli.session import Session
    from mlgit.pipeline.events import (
        Event,
        Outcome,
        StageFailed,
        StageFinished,
        StageRestored,
        StageSkipped,
        StageStarted,
    )
    from mlgit.pipeline.plan import Options

_FEW: Final = 20
"""Up to so many stages, each that is skipped gets a line."""
_LISTED: Final = 10
"""So many of the slowest stages are in the table of times."""
_TOLD: Final = 5
"""So many of the failed stages are shown with their last lines."""
_WORTH: Final = 1.0
"""Seconds saved that are worth a word."""


class Watcher:
    """Takes the events of one run.

    Args:
        total: how many stages are looked at.
    """

    def __init__(self, session: Session, options: Options, *, total: int) -> None:
        self._session = session
        self._options = options
        self._fold = total > _FEW and not session.verbose
        self._view = view(session, options.jobs, total)
        self._lines: dict[str, Lines] = {}
        self._latest = ""
        self._warnings: list[tuple[str, str]] = []
        self._outcome: Outcome | None = None

    def __call__(self, event: Event) -> None:
        """Show an event, or keep it for the end."""
        from mlgit.pipeline import events

        if isinstance(event, events.OutputLine):
            self._output(event.address, event.data)
        elif isinstance(event, events.StageStarted):
            self._start(event)
        elif isinstance(event, events.Outcome):
            self._outcome = event
        elif isinstance(event, events.StageRetried):
            self._end_line(event.address)
            self._say(f"{event.address}: {event.message}; trying again, run {event.attempt}")
        elif isinstance(event, events.StageWarned):
            self._warnings.append((event.address, event.message))
            self._say(f"{event.address}: warning: {event.message}")
        else:
            self._ended(event)

    def _start(self, event: StageStarted) -> None:
        lines = self._lines[event.address] = Lines()
        self._latest = event.address
        command = event.command.strip().replace("\n", "\n    ")
        line = f"{event.address}: running ({event.reason})\n  $ {command}"
        self._view.begin(event.address, render.printable(line), lines)

    def _output(self, address: str, data: bytes) -> None:
        lines = self._lines.setdefault(address, Lines())
        self._view.output(address, data, lines.feed(data, every=self._view.lists))

    def _end_line(self, address: str) -> None:
        if address in self._lines:
            self._view.output(address, b"", self._lines[address].end())

    def _ended(self, event: StageSkipped | StageRestored | StageFinished | StageFailed) -> None:
        """A stage is done with, whatever came of it."""
        from mlgit.pipeline import events

        address = event.address
        self._end_line(address)
        self._view.end(address)
        if isinstance(event, events.StageFinished):
            self._say(f"{address}: done in {clock(event.seconds)}")
        elif isinstance(event, events.StageRestored):
            self._say(f"{address}: restored, {event.reason}")
        elif isinstance(event, events.StageFailed):
            self._say(f"{address}: failed")
        elif not self._fold:
            self._say(f"{address}: skipped, {event.reason}")

    def _say(self, text: str) -> None:
        self._view.say(render.printable(text))

    def conclude(self, as_json: bool) -> None:
        """Tell what was done in all, which files Git should hear of, and the last lines of what failed."""
        self._view.close()
        done = self._outcome
        if done is None:
            return
        if as_json:
            render.out(json.dumps(_as_value(done, self._warnings), indent=2, ensure_ascii=False))
        for line in _summary(done, every=self._session.verbose):
            render.say(self._session, line)
        for address, message in self._warnings:
            render.say(self._session, f"warning: {address}: {message}")
        if done.logs is not None and (done.failed or self._session.verbose or not self._view.streams):
            render.say(self._session, f"logs: {self._session.shown(done.logs)}")
        offer(self._session, done.written)
        self._failures(done.failed)

    def _failures(self, failed: Mapping[str, str]) -> None:
        """What failed stages wrote last, where that was not the last to be seen; errors are told even to the quiet."""
        told = dict(list(failed.items())[:_TOLD])
        for address, message in told.items():
            if len(failed) > 1 or self._options.keep_going:
                sys.stderr.write(render.printable(f"{address}: {message}\n"))
            seen = self._view.streams and self._latest == address
            tail = self._lines[address].tail if address in self._lines and not seen else ()
            if tail:
                sys.stderr.write(render.printable(f"the last lines of {address}:\n"))
                sys.stderr.write("".join(f"  | {line}\n" for line in tail))
        if len(told) < len(failed):
            sys.stderr.write(f"and {len(failed) - len(told)} more failed\n")


def _summary(done: Outcome, *, every: bool) -> list[str]:
    """A table of times, if several stages ran, and a line with all that was done."""
    lines = _table(done.times, every=every) if len(done.times) > 1 or (every and done.times) else []
    counted = (
        (done.ran, "ran"),
        (done.restored, "restored"),
        (done.skipped, "skipped"),
        (done.failed, "failed"),
        (done.blocked, "blocked"),
    )
    parts = [f"{len(names)} {word}" for names, word in counted if names]
    if parts:
        saved = f"; the cache saved {clock(done.saved)}" if done.saved >= _WORTH else ""
        lines.append(f"{', '.join(parts)} in {clock(done.seconds)}{saved}")
    return lines


def _table(times: Mapping[str, float], *, every: bool) -> list[str]:
    """The slowest first."""
    slowest = sorted(times.items(), key=lambda item: (-item[1], item[0]))
    shown = slowest if every else slowest[:_LISTED]
    widest = max(len(address) for address, _ in shown)
    lines = [f"  {address:<{widest}}  {clock(seconds):>9}" for address, seconds in shown]
    rest = slowest[len(shown) :]
    if rest:
        lines.append(f"  {f'{len(rest)} more':<{widest}}  {clock(sum(seconds for _, seconds in rest)):>9}")
    return lines


def _as_value(done: Outcome, warnings: list[tuple[str, str]]) -> dict[str, Any]:
    return {
        "version": 1,
        "kind": "repro",
        "ran": list(done.ran),
        "restored": list(done.restored),
        "skipped": list(done.skipped),
        "failed": dict(done.failed),
        "blocked": list(done.blocked),
        "warnings": [{"stage": address, "message": message} for address, message in warnings],
        "written": [str(path) for path in done.written],
        "seconds": round(done.seconds, 3),
        "times": {address: round(seconds, 3) for address, seconds in done.times.items()},
        "saved": round(done.saved, 3),
        "logs": done.logs,
    }
