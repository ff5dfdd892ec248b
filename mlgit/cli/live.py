"""What a person sees while stages run: their output as it comes, prefixed lines, or a view that is drawn anew.

Exists because output comes in pieces, from several stages at once, and from programs that draw progress bars. What is
shown between mlgit's own lines is escaped and never parsed as markup; only a single running stage writes as it would
without mlgit. Rich is imported when something is to be drawn, and only then.
"""

from __future__ import annotations

import re
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from mlgit.cli import render

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live

    from mlgit.cli.session import Session

TAIL: Final = 20
"""How many of its last lines a failed stage is shown with."""
_LONGEST: Final = 16 * 1024
"""Bytes of a line that are waited for; what is longer is shown in parts, so that memory stays bounded."""
_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))")


class Lines:
    """Puts together the lines of one stage's output, made fit for a terminal.

    A line that is drawn over and over, as progress bars are, counts as the last that was drawn.

    Attributes:
        tail: the last whole lines.
    """

    def __init__(self) -> None:
        self.tail: deque[str] = deque(maxlen=TAIL)
        self._rest = b""

    def feed(self, data: bytes, *, every: bool = True) -> list[str]:
        """Take a piece of output; gives the lines that are whole now, without `every` only the last of them."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if b"\r" in self._rest:
            self._rest = _drawn_last(self._rest) + b"\r" * self._rest.endswith(b"\r")
        if len(self._rest) > _LONGEST:
            whole.append(self._rest)
            self._rest = b""
        found = [_readable(line) for line in (whole if every else whole[-TAIL:])]
        self.tail.extend(found)
        return found

    def end(self) -> list[str]:
        """No more will come: the line that has no end, if there is one."""
        return self.feed(b"\n") if self._rest else []

    @property
    def last(self) -> str:
        """What was written last, also if its line has no end yet."""
        current = _readable(self._rest)
        return current or (self.tail[-1] if self.tail else "")


def _drawn_last(line: bytes) -> bytes:
    """What is left to see of a line after its carriage returns."""
    return next((part for part in reversed(line.split(b"\r")) if part), b"")


def _readable(line: bytes) -> str:
    text = _drawn_last(line).decode("utf-8", "backslashreplace")
    return render.printable(_ESCAPES.sub("", text).expandtabs(4))


def clock(seconds: float) -> str:
    """A time for people: `12.3 s`, `4 min 05 s`, `2 h 03 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


class View:
    """How a run is shown: this one shows nothing, the others below do. Lines that it is given are escaped already.

    Attributes:
        streams: all that stages write is seen as it comes.
        lists: every line is wanted; it takes long to make millions of them fit to be seen.
    """

    streams = False
    lists = False

    def say(self, line: str) -> None:
        """A line of mlgit's own, which stays."""

    def begin(self, address: str, line: str, lines: Lines) -> None:
        """A stage's command starts, as `line` says; what it will write is put together in `lines`."""

    def output(self, address: str, data: bytes, whole: list[str]) -> None:
        """A stage wrote `data`, by which the lines `whole` became so."""

    def end(self, address: str) -> None:
        """A stage is done with, whatever came of it; its command may never have begun."""

    def close(self) -> None:
        """Nothing more is to be shown as it happens."""


def view(session: Session, jobs: int, total: int) -> View:
    """The one that fits to how many stages run at a time, of `total`, and to who watches."""
    if session.quiet:
        return View()
    if jobs == 1:
        return _Stream()
    drawable = session.progress and session.environment.get("TERM") != "dumb"
    return _Live(total) if drawable else _Prefixed()


class _Stream(View):
    """One stage at a time: its bytes go to stderr as they are."""

    streams = True

    def __init__(self) -> None:
        self._open = False

    def say(self, line: str) -> None:
        self.close()
        sys.stderr.write(f"{line}\n")

    def begin(self, address: str, line: str, lines: Lines) -> None:
        self.say(line)

    def output(self, address: str, data: bytes, whole: list[str]) -> None:
        if data:
            sys.stderr.flush()
            sys.stderr.buffer.write(data)
            sys.stderr.buffer.flush()
            self._open = not data.endswith(b"\n")

    def close(self) -> None:
        if self._open:
            sys.stderr.write("\n")
        self._open = False


class _Prefixed(View):
    """Several stages at once on no terminal: every line with the name of its stage."""

    lists = True

    def say(self, line: str) -> None:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    def begin(self, address: str, line: str, lines: Lines) -> None:
        self.say(line)

    def output(self, address: str, data: bytes, whole: list[str]) -> None:
        if whole:
            name = render.printable(address)
            self.say("\n".join(f"{name} | {line}" for line in whole))


class _Live(View):
    """Several stages at once on a terminal: a line for each that runs, drawn anew below what is done with.

    Args:
        total: how many stages are looked at in all.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._began = time.monotonic()
        self._running: dict[str, tuple[float, Lines]] = {}
        self._drawing: Live | None = None
        self._done = 0

    def say(self, line: str) -> None:
        if self._drawing is None:
            sys.stderr.write(f"{line}\n")
            return
        from rich.text import Text

        self._drawing.console.print(Text(line), soft_wrap=True)

    def begin(self, address: str, line: str, lines: Lines) -> None:
        self._running[address] = (time.monotonic(), lines)
        if self._drawing is None:
            self._drawing = self._draw()

    def end(self, address: str) -> None:
        self._running.pop(address, None)
        self._done += 1

    def close(self) -> None:
        if self._drawing is not None:
            self._drawing.stop()
            self._drawing = None

    def _draw(self) -> Live:
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        drawing = Live(
            console=console,
            get_renderable=lambda: self._picture(*console.size),
            transient=True,
            refresh_per_second=8,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        drawing.start()
        return drawing

    def _picture(self, width: int, height: int) -> Group:
        """Called from the thread that draws: it looks at copies."""
        from rich.cells import cell_len
        from rich.console import Group
        from rich.text import Text

        now = time.monotonic()
        running = [(render.printable(address), *state) for address, state in list(self._running.items())]
        shown = running[: max(height - 3, 1)]
        widest = min(max((cell_len(name) for name, *_ in shown), default=0), max(width // 3, 12))
        rows = []
        for name, began, lines in shown:
            title = Text(name, "bold")
            title.truncate(widest, overflow="ellipsis", pad=True)
            row = Text(no_wrap=True, overflow="ellipsis")
            row.append_text(title)
            row.append(f"  {clock(now - began):>7}  ")
            row.append(lines.last, "dim")
            rows.append(row)
        if len(shown) < len(running):
            rows.append(Text(f"and {len(running) - len(shown)} more"))
        footer = f"{self._done}/{self._total} done, {len(running)} running, {clock(now - self._began)}"
        return Group(*rows, Text(footer, style="bold", no_wrap=True, overflow="ellipsis"))
