"""A report as a comment and as annotations: within bounds, what matters first, and never a command."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.errors import UsageError
from mlgit.model.report import Mark, Report, Row, Table, Verdict
from mlgit.ops.ci.comment import body, cut, findings, marker, size, workflow_commands

COLUMNS = ("metric", "base", "head", "delta")
LINK = "https://example.org/runs/1"
LIMIT = 65_536


def rows(number: int, mark: Mark, name: str = "metric") -> tuple[Row, ...]:
    return tuple(Row((f"{name}_{at}", 0.9, 0.8, -0.1), mark, "", f"m.json:{at + 1}") for at in range(number))


def report(*tables: tuple[Row, ...], verdict: Verdict = Verdict.FAIL, notes: tuple[str, ...] = ()) -> Report:
    named = tuple(Table(f"t{at}", f"Table {at}", COLUMNS, one) for at, one in enumerate(tables))
    return Report("ci", "mlgit", named, verdict, "main", "topic", notes)


def test_500_changed_metrics_fit() -> None:
    text = body(report(rows(500, Mark.CHANGED, "by_species.setosa.recall")), limit=LIMIT, link=LINK)
    assert size(text) <= LIMIT and "not shown" not in text and LINK not in text
    assert all(f"setosa.recall\\_{at} " in text or f"setosa.recall_{at} " in text for at in range(500))


def test_unchanged_rows_go_first_then_changed_ones() -> None:
    mixed = (*rows(300, Mark.SAME, "same"), *rows(300, Mark.CHANGED, "changed"), *rows(20, Mark.FAIL, "bad"))
    made = report(mixed, verdict=Verdict.FAIL, notes=("look here",))
    text = body(made, limit=12_000, link=LINK)
    assert size(text) <= 12_000 and text == body(made, limit=12_000, link=LINK)
    assert all(f"bad_{at} " in text for at in range(20)) and "look here" in text and "failed" in text
    assert "same_" not in text and "changed_0 " in text and "changed_299 " not in text
    assert re.search(rf"rows not shown\*\* \(\d+ changed, 300 unchanged\): \[the whole report\]\(<{LINK}>\)\n\Z", text)


def test_as_many_rows_as_fit_are_kept() -> None:
    made = report(rows(300, Mark.CHANGED))
    text = body(made, limit=9000)
    assert 9000 - 200 < size(text) <= 9000


def test_a_table_without_its_rows_does_not_say_nothing_changed() -> None:
    text = body(report(rows(5, Mark.FAIL), rows(200, Mark.CHANGED)), limit=540)
    assert "200 rows not shown" in text and "no changes" not in text


def test_more_failures_than_fit_are_counted() -> None:
    text = body(report(rows(5000, Mark.FAIL)), limit=4000, link=LINK)
    assert 3800 < size(text) <= 4000 and "metric_0 " in text and re.search(r"\([\d,]+ fail\): \[.*>\)\n\Z", text)
    assert all(line.endswith("|") for line in text.splitlines() if line.startswith("|"))


def test_notes_too_long_for_any_comment_are_cut_at_a_line() -> None:
    text = body(
        report(rows(5, Mark.FAIL), notes=tuple(f"note {at} " + "x" * 200 for at in range(50))), limit=4000, link=LINK
    )
    assert size(text) <= 4000 and "failed" in text and "note 0 " in text and text.endswith(f"(<{LINK}>)\n")
    assert all(len(line) > 200 for line in text.splitlines() if line.startswith("> **Note:** note"))


def test_a_cut_closes_what_was_open() -> None:
    text = cut("<details>\n<summary>x</summary>\n" + "line\n" * 500 + "</details>\n", 300)
    assert text.count("<details>") == text.count("</details>") == 1 and size(text) <= 300


@pytest.mark.parametrize("link", ["javascript:alert(1)", "https://x/> [a](b", "", "https://x y", "https://x\ny"])
def test_a_link_cannot_break_out(link: str) -> None:
    assert "whole report" not in body(report(rows(100, Mark.CHANGED)), limit=2000, link=link)


def test_without_html_nothing_is_hidden_by_it() -> None:
    text = body(report((*rows(3, Mark.SAME, "same"), *rows(2, Mark.FAIL, "bad"))), limit=LIMIT, html=False)
    assert "<" not in text and "same_0" not in text and text.startswith("[//]: # (mlgit: report)\n\n")
    assert "3 rows not shown** (3 unchanged)" in text


@pytest.mark.parametrize("key", ["", "a-->b", "a--b", "a-", "a\nb", "-a", "x" * 200, "é", "a)b"])
def test_a_key_cannot_end_the_marker(key: str) -> None:
    with pytest.raises(UsageError):
        marker(key)


@pytest.mark.parametrize("key", ["report", "nightly run", "a/b.c_d-e"])
def test_keys(key: str) -> None:
    assert marker(key) == f"<!-- mlgit: {key} -->"


TEXT = st.text(alphabet=st.one_of(st.sampled_from("/!@#:<>-|`\n\r%,1a[]()\u202e\x1b"), st.characters()), max_size=40)


@given(st.lists(st.tuples(TEXT, TEXT, st.sampled_from(Mark)), max_size=20), TEXT, TEXT, st.integers(700, 3000))
def test_any_report_fits_and_commands_nothing(
    cells: list[tuple[str, str, Mark]], name: str, side: str, limit: int
) -> None:
    table = Table("t", name, ("metric", name + "2"), tuple(Row((a, b), mark, b, a) for a, b, mark in cells), side)
    made = Report("ci", name, (table,), Verdict.FAIL, side, side, ())
    text = body(made, limit=limit, link=LINK)
    assert size(text) <= limit and text.count("<!--") == 1
    assert not any(line.lstrip().startswith("/") for line in text.splitlines())
    lines = workflow_commands(made).splitlines()
    assert all(re.fullmatch(r"::(error|warning) [^:\r\n]*::[^\r\n]*", line) for line in lines)
    assert "".join(lines).isprintable()
    assert sum(line.startswith("::error") for line in lines) <= 10


def test_a_command_names_file_and_line_and_escapes() -> None:
    row = Row(("a,b:c%d", 1.0, 2.0, 1.0), Mark.FAIL, "50% ::set-env::\r\nx", "dir,x/m:1.json:12")
    (line,) = workflow_commands(report((row,))).splitlines()
    assert line.startswith("::error file=dir%2Cx/m%3A1.json,line=12,title=Table 0%3A a%2Cb%3Ac%25d::metric a,b:c%25d, ")
    assert line.endswith(r"50%25 ::set-env::\r\nx")


def test_ten_of_a_level_are_shown_and_the_rest_counted() -> None:
    lines = workflow_commands(report(rows(25, Mark.FAIL), rows(10, Mark.WARN), rows(5, Mark.CHANGED))).splitlines()
    assert [line[:8] for line in lines] == ["::error "] * 10 + ["::warnin"] * 10
    assert "16 more" in lines[9] and "more" not in lines[19]


@pytest.mark.parametrize(
    ("where", "file", "line"),
    [
        ("", "", 0),
        ("a.json", "a.json", 0),
        ("a.json:3", "a.json", 3),
        ("a:b", "a:b", 0),
        ("a:0", "a:0", 0),
        (":3", ":3", 0),
    ],
)
def test_where_a_row_stands(where: str, file: str, line: int) -> None:
    (found,) = findings(report((Row(("m", 1, 2, 1), Mark.WARN, "", where),)))
    assert (found.level, found.file, found.line) == ("warning", file, line)
