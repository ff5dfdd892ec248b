"""Output that comes in pieces becomes lines, whatever is in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mlgit.cli.live import TAIL, Lines, clock


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\r\ntwo\r\n", ["one", "two"]),
        (b"no end", ["no end"]),
        (b" 10%\r 20%\r100%\n", ["100%"]),
        (b"\r10%\r100%", ["100%"]),
        (b"10%\r100%\r", ["100%"]),
        (b"\n\n", ["", ""]),
        (b"\xff\xfe\n", ["\\xff\\xfe"]),
        ("häßlich ✓ 中文\n".encode(), ["häßlich ✓ 中文"]),
        (b"a\tb\n", ["a   b"]),
        (b"\x1b[31mred\x1b[0m \x1b[2J\x1b]0;title\x07x\n", ["red x"]),
        (b"\x07\x1bc\x9b31m\x00\n", ["\\x07\\x1bc\\x9b31m\\x00"]),
        ("\u202egnp.exe\n".encode(), ["\\u202egnp.exe"]),
        (b"[bold]x[/]\n", ["[bold]x[/]"]),
    ],
)
def test_what_is_shown(data: bytes, shown: list[str]) -> None:
    at_once = Lines()
    assert at_once.feed(data) + at_once.end() == shown
    piecewise = Lines()
    assert [line for at in range(len(data)) for line in piecewise.feed(data[at : at + 1])] + piecewise.end() == shown


@given(some.lists(some.binary(max_size=40), max_size=20))
def test_pieces_make_no_difference_and_nothing_obeys(pieces: list[bytes]) -> None:
    at_once, piecewise = Lines(), Lines()
    expected = at_once.feed(b"".join(pieces)) + at_once.end()
    assert [line for piece in pieces for line in piecewise.feed(piece)] + piecewise.end() == expected
    assert all(line.isprintable() for line in expected)
    assert list(piecewise.tail) == expected[-TAIL:]


def test_the_last_that_was_written_is_seen_before_its_line_ends() -> None:
    lines = Lines()
    assert lines.last == ""
    lines.feed(b"epoch 1\n")
    assert lines.last == "epoch 1"
    lines.feed(b" 10%|#")
    assert lines.last == " 10%|#"
    lines.feed(b"\r 20%|##\r")
    assert lines.last == " 20%|##"
    lines.feed("ä".encode()[:1])
    assert lines.last == "\\xc3"


def test_a_line_without_end_takes_no_memory() -> None:
    lines = Lines()
    shown = [line for _ in range(100) for line in lines.feed(b"x" * 10_000)] + lines.end()
    assert len(shown) > 1
    assert "".join(shown) == "x" * 1_000_000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (245, "4 min 05 s"), (7384, "2 h 03 min")],
)
def test_times(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_long_names_leave_room_for_what_a_stage_says() -> None:
    from rich.console import Console

    from mlgit.cli.live import _Live

    drawn, lines = _Live(2), Lines()
    lines.feed(b"epoch 1\n")
    drawn._running |= dict.fromkeys(("fit", "fit@" + "long" * 20), (0.0, lines))
    console = Console(width=60, height=24, color_system=None)
    with console.capture() as captured:
        console.print(drawn._picture(*console.size))
    short, long, _ = captured.get().splitlines()
    assert long.startswith("fit@longlonglonglon…  ")
    assert short.index("epoch") == long.index("epoch") < 60
