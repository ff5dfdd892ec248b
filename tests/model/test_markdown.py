import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from mlgit.model.markdown import escape, ordered, show, to_markdown
from mlgit.model.report import Mark, Report, Row, Table, Verdict

GOLDEN = Path(__file__).parent / "golden"


def seen(markdown):
    """The text of the one cell that a table row with this cell has, as a reader sees it."""
    tokens = MarkdownIt("commonmark").enable("table").parse(f"| x |\n| --- |\n| {markdown} |\n")
    cells = [tokens[at + 1] for at, token in enumerate(tokens) if token.type == "td_open"]
    assert len(cells) == 1
    kinds = {child.type for child in cells[0].children or []}
    assert kinds <= {"text", "text_special"}, kinds
    return "".join(child.content for child in cells[0].children or []).replace("\u200b", "")


HOSTILE = [
    "a|b",
    "a\\|b",
    "line\nbreak\r\n| x |",
    "`code` ``x``",
    "<script>alert(1)</script>",
    "<!-- mlgit -->",
    "**bold** _it_ __init__ ~~s~~",
    "[a](javascript:x)",
    "![a](http://evil/p.png)",
    "&lt;&#64;user",
    "$x^2$",
    "C:\\new\\table",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_cell_shows_the_text_and_is_nothing_else(text):
    assert seen(escape(text)) == text.replace("\r", "\\r").replace("\n", "\\n")


@given(st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"]), min_size=1))
def test_any_visible_text_comes_out_as_it_was(text):
    assert seen(escape(text, None)) == text


@given(st.text())
def test_any_text_is_one_printable_line(text):
    safe = escape(text)
    assert "|" not in safe
    assert "`" not in safe
    assert "<" not in safe
    assert {unicodedata.category(character) for character in safe.replace("\u200b", "")}.isdisjoint(("Cc", "Cf", "Cs"))
    safe.encode()


@pytest.mark.parametrize(
    ("text", "never"),
    [
        ("@everyone", r"@\w"),
        ("mail me@example.org", r"@\w"),
        ("fixes #12 and org/repo#3", r"(?<!&)#\d"),
        ("GH-12", r"GH-\d"),
        ("::set-env name=x::y", r"::"),
        ("##[error]bad", r"#\\?\["),
        ("https://evil.example", r"://"),
        ("WWW.evil.example", r"(?i)www\."),
        ("\x1b[31mred\x9b0m", r"[\x1b\x9b]"),
        ("\u202eevil\u2066", r"[\u202e\u2066]"),
        ("half \ud800 character", r"[\ud800]"),
    ],
)
def test_nothing_in_it_acts(text, never):
    assert re.search(never, escape(text)) is None


def test_long_text_is_cut():
    assert escape("x" * 500) == "x" * 199 + "…"


def test_numbers_for_people():
    assert show("delta", 0.25) == "+0.25"
    assert show("delta", -3) == "-3"
    assert show("relative", 0.02134) == "+2.13 %"
    assert show("relative", float("-inf")) == "–"
    assert show("base", 0.123456789) == "0.123457"
    assert show("base", None) == "–"
    assert show("delta", True) == "true"


def report(rows, verdict=Verdict.NONE, notes=()):
    table = Table("metrics", "Metrics", ("file", "metric", "base", "head", "delta", "relative"), tuple(rows))
    return Report("metrics-diff", "Metrics", (table,), verdict, "main (1a2b3c4)", "working tree", notes)


ROWS = [
    Row(("m.json", "same", 1, 1, 0, 0.0), Mark.SAME),
    Row(("m.json", "new", None, 3, None, None), Mark.ADDED),
    Row(("m.json", "auc", 0.9, 0.8, -0.1, -0.111111), Mark.FAIL, "0.1 worse than the base, 0.01 allowed"),
    Row(("m.json", "gone | @all", 2, None, None, None), Mark.REMOVED, "no such file at the head"),
    Row(("m.json", "loss", 0.4, 0.3, -0.1, -0.25), Mark.BETTER),
    Row(("m.json", "n", 10, 12, 2, 0.2), Mark.CHANGED),
]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("failed", report(ROWS, Verdict.FAIL, ("NO BASE: `x` <b>",))),
        ("unchanged", report(ROWS[:1])),
        ("empty", report([])),
        ("passed", report([Row(("m.json", "auc", 0.9, 0.9, 0, 0.0), Mark.PASS)], Verdict.PASS)),
        ("not-evaluable", report([], Verdict.NOT_EVALUABLE, ("no base",))),
    ],
)
def test_golden(name, value):
    assert to_markdown(value) == (GOLDEN / f"{name}.md").read_text(encoding="utf-8")


def test_two_tables_have_headings():
    one = report(ROWS).tables[0]
    text = to_markdown(Report("ci", "A *title*", (one, one)))
    assert text.startswith("## A \\*title\\*\n")
    assert text.count("### Metrics\n") == 2


def test_failures_come_first_and_equals_keep_their_order():
    marks = [Mark.SAME, Mark.PASS, Mark.FAIL, Mark.WARN, Mark.FAIL, Mark.CHANGED]
    rows = tuple(Row((number,), mark) for number, mark in enumerate(marks))
    assert [row.cells[0] for row in ordered(rows)] == [2, 4, 3, 5, 1, 0]


def test_every_mark_has_a_place():
    rows = tuple(Row(("x",), mark) for mark in Mark)
    assert len(to_markdown(Report("k", "t", (Table("t", "t", ("c",), rows),))).splitlines()) > len(Mark)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "# passed",
            "###### x",
            "#",
            "- item",
            "-",
            "+ item",
            "* item",
            "---",
            "- - -",
            "***",
            "___",
            "===",
            "1. one",
        ),
        *(
            "12) twelve",
            "007.",
            "> quoted",
            "    code",
            "\tcode",
            "~~~ sh",
            "```",
            "<b>",
            "[a]: http://evil.example",
            "|a|",
        ),
    ],
)
def test_no_text_begins_a_block(text):
    for report in (Report("x", "T", (Table("t", "T", ("a",), (), text),)), Report("x", "T", (), base=text, head="h")):
        tokens = MarkdownIt("commonmark").enable("table").parse(to_markdown(report))
        kinds = [token.type for token in tokens if token.level == 0 and token.nesting >= 0]
        assert kinds == ["heading_open", "paragraph_open"]
        shown = "".join(child.content for child in tokens[-2].children).replace("\u200b", "")
        assert shown.startswith(text.strip(" ").replace("\t", "\\t"))
