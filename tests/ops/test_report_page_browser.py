"""The report page in a real browser: silent, offline, no wider than a phone, and all of it within reach of the keys."""

import random

import pytest
from chromium import PROGRAM, Browser
from test_report_page import HOSTILE, metric, table, typical

from mlgit.model.report import Mark, Report, Row, Verdict
from mlgit.ops.compare.plots import plots_diff
from mlgit.ops.compare.reportpage import report_page

pytestmark = pytest.mark.skipif(not PROGRAM, reason="needs Chromium")

TEXT = """
plots:
- loss: {x: step, y: {v.csv: [a, b]}, title: Loss}
- scatter: {template: scatter, x: a, y: {v.csv: b}}
- confusion: {template: confusion, x: step, y: {v.csv: class}}
- roc: {template: roc, x: a, y: {v.csv: b}}
- pr: {template: pr, x: a, y: {v.csv: b}}
- histogram: {template: histogram, y: {v.csv: a}}
- p.svg
"""
PICTURE = "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><image href='http://e.example/x.png'/></svg>"
_BELOW_AA = """
(() => {
  const light = (color) => {
    const [r, g, b] = color.match(/[0-9.]+/g).slice(0, 3)
      .map((one) => one / 255).map((one) => one <= .04045 ? one / 12.92 : ((one + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = (one) => {
    for (; one; one = one.parentElement) {
      const color = getComputedStyle(one).backgroundColor;
      if (!color.endsWith(", 0)")) return color;
    }
    return "rgb(255, 255, 255)";
  };
  return [...document.querySelectorAll("body *")]
    .filter((one) => !one.closest("svg") && [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
    .map((one) => {
      const [a, b] = [light(getComputedStyle(one).color), light(behind(one))].sort((x, y) => y - x);
      return [(a + .05) / (b + .05), one.outerHTML.slice(0, 80)];
    })
    .filter(([ratio]) => ratio < 4.5);
})()
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


def rows(seed):
    numbers = random.Random(seed)
    lines = (f"{at % 3},{numbers.random()},{numbers.random()},{at % 2}\n" for at in range(60))
    return "step,a,b,class\n" + "".join(lines)


@pytest.fixture
def page(project, tmp_path):
    """A page with everything in it: plots where they can be drawn, marks, notes, and names that want to do harm."""
    project.commit({"mlgit.yaml": TEXT, "v.csv": rows(1), "p.svg": PICTURE})
    project.write({"v.csv": rows(2), "p.svg": PICTURE + " "})
    marks = table(*(metric(f"{mark.value}{'x' * 90}", mark=mark, note=f"{HOSTILE} {'y' * 300}") for mark in Mark))
    wide = table(Row(tuple(f"cell{'z' * 40}" for _ in range(12))), columns=tuple(f"column {at}" for at in range(12)))
    report = Report(
        "ci", f"{HOSTILE}{'t' * 200}", (*typical().tables, marks, wide), Verdict.FAIL, "b" * 300, "h", (HOSTILE,)
    )
    figures = plots_diff(project.repo, project.side("HEAD"), project.side()).figures
    path = tmp_path / "report.html"
    path.write_text(report_page(report, figures, link="https://ci.example.org/1"), encoding="utf-8")
    return path


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1280])
def test_silent_offline_and_no_wider_than_the_screen(browser, page, width, dark):
    browser.console.clear()
    browser.requests.clear()
    browser.open(page, width=width, dark=dark)
    assert browser.evaluate("document.scrollingElement.scrollWidth") <= width
    assert browser.evaluate("document.querySelectorAll('script').length") == 0
    assert browser.console == []
    assert {url for url in browser.requests if not url.startswith("data:")} == {page.as_uri()}


@pytest.mark.parametrize("dark", [False, True])
def test_contrast(browser, page, dark):
    browser.open(page, width=1280, dark=dark)
    assert browser.evaluate(_BELOW_AA) == []


def test_the_keys_reach_everything(browser, page):
    browser.open(page, width=360)
    wanted = browser.evaluate(
        "[...document.querySelectorAll('a[href], summary, [tabindex=\"0\"]')].filter((one) => one.checkVisibility())"
        ".map((one, at) => { one.dataset.at = at; return at; })"
    )
    reached = []
    for _ in wanted:
        browser.press("Tab", 9)
        reached.append(browser.evaluate("Number(document.activeElement.dataset.at)"))
        assert browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert reached == wanted
    assert len(wanted) > 10


def test_what_is_folded_opens_by_enter(browser, page):
    browser.open(page, width=360)
    browser.evaluate("document.querySelector('summary').focus()")
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="Enter", text="\r", windowsVirtualKeyCode=13)
    assert browser.evaluate("document.querySelector('details').open")


def test_wide_tables_scroll_by_themselves(browser, page):
    browser.open(page, width=360)
    wider = "[...document.querySelectorAll('.wide')].filter((one) => one.scrollWidth > one.clientWidth).length"
    assert browser.evaluate(wider) >= 2


def test_pictures_have_names_and_regions_labels(browser, page):
    browser.open(page, width=1280)
    unnamed = (
        "[...document.querySelectorAll('svg')].filter((one) =>"
        " !document.getElementById(one.getAttribute('aria-labelledby'))?.textContent).length"
        " + [...document.querySelectorAll('[role=region]')].filter((one) => !one.getAttribute('aria-label')).length"
        " + [...document.images].filter((one) => !one.alt).length"
    )
    assert browser.evaluate(unnamed) == 0
    assert browser.evaluate("[...document.images].every((one) => one.clientWidth === document.images[0].clientWidth)")
