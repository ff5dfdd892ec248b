import math
import random
import re
import sys
import threading
from pathlib import Path

import pytest

from mlgit.errors import InvalidError
from mlgit.model.report import Mark, Report, Row, Table, Verdict
from mlgit.ops.compare import thinning
from mlgit.ops.compare.figuresection import figures_section
from mlgit.ops.compare.page import export
from mlgit.ops.compare.plots import Figure, Picture, plots_diff
from mlgit.ops.compare.rendering import Drawer
from mlgit.ops.compare.reportpage import report_page
from mlgit.ops.compare.staticplot import draw
from mlgit.ops.compare.svg import inline
from mlgit.ops.compare.vega import BUILT_IN

HOSTILE = "x</title><script>alert(1)</script><!--\"'><img src=//e.example onerror=alert(1)>\x1b[31m\u202e"


def table(*rows, columns=("file", "key", "base", "head", "delta"), name="metrics", title="Metrics"):
    return Table(name, title, columns, rows)


def metric(key, base=0.5, head=0.5, mark=Mark.SAME, note="", where=""):
    return Row(("metrics/eval.json", key, base, head, head - base), mark, note, where)


def typical():
    gate = table(
        Row(("accuracy", 0.95, 0.91), Mark.FAIL, "0.03 too low", "mlgit.yaml:48"),
        columns=("rule", "base", "head"),
        name="gate",
        title="Gate",
    )
    values = [metric(f"by_size.{at}.recall", 0.5, 0.5 + at / 100, Mark.BETTER) for at in range(10)]
    return Report(
        "ci", "mlgit", (gate, table(*values, *(metric(f"m{at}") for at in range(30)))), Verdict.FAIL, "main", "topic"
    )


def test_failing_rows_come_first_and_unchanged_ones_are_folded():
    report = Report(
        "x", "T", (table(metric("same"), metric("good", 1, 2, Mark.BETTER), metric("bad", 2, 1, Mark.FAIL)),)
    )
    page = report_page(report)
    assert (
        page.index(">bad<")
        < page.index(">good<")
        < page.index("<details><summary>1 unchanged row")
        < page.index(">same<")
    )
    assert ">−1<" not in page
    assert ">-1<" in page


def test_every_verdict_has_words():
    for verdict in set(Verdict) - {Verdict.NONE}:
        assert '<p class="verdict ' in report_page(Report("x", "T", (), verdict))


@pytest.mark.parametrize(
    ("verdict", "words"),
    [(Verdict.PASS, "passed"), (Verdict.FAIL, "failed"), (Verdict.NOT_EVALUABLE, "could not be evaluated")],
)
def test_the_verdict_stands_on_top(verdict, words):
    page = report_page(Report("x", "Gate", (table(metric("a")),), verdict, "main", "topic", ("no base",)))
    assert f"<title>Gate: ✓ {words}" in page or f"<title>Gate: ✗ {words}" in page or f"<title>Gate: ! {words}" in page
    assert page.index(words) < page.index("main → topic") < page.index("no base") < page.index("<table>")


def test_a_page_without_a_verdict_or_rows():
    page = report_page(Report("x", "Data", (Table("d", "Data", ("path",), (), "nothing there"),)))
    assert "nothing there" in page
    assert "verdict" not in page[page.index("<body>") :]


def test_hostile_names_are_text_only():
    report = Report(
        HOSTILE,
        HOSTILE,
        (table(metric(HOSTILE, mark=Mark.FAIL, note=HOSTILE, where=HOSTILE), name=HOSTILE, title=HOSTILE),) * 2,
        Verdict.FAIL,
        HOSTILE,
        HOSTILE,
        (HOSTILE,),
    )
    page = report_page(report, [Figure(HOSTILE, None, (), (HOSTILE,))], link="javascript:alert(1)")
    assert set(re.findall(r"<(script|img|!--|iframe)", page)) == set()
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "href" not in re.sub(r'href="#\w+"', "", page)
    assert page.isprintable() or not set(page) & set("\x00\x1b\u202e")
    page.encode()


def test_the_policy_forbids_scripts_and_requests():
    page = report_page(typical(), link="https://ci.example.org/1?a=1&b=2")
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page
    assert 'href="https://ci.example.org/1?a=1&amp;b=2"' in page
    assert "<script" not in page


@pytest.mark.parametrize("link", ["javascript:alert(1)", "//e.example", "http://[", "data:text/html,x", ""])
def test_only_web_addresses_become_links(link):
    assert "<footer>" not in report_page(typical(), link=link)


def test_pages_stay_light():
    assert len(report_page(typical()).encode()) < 30_000
    many = Report("x", "T", (table(*(metric(f"metric_number_{at}", 1, 2, Mark.WORSE) for at in range(500))),))
    assert len(report_page(many).encode()) < 150_000
    endless = Report("x", "T", (table(*(metric("k" * 10_000, 1, 2, Mark.WORSE) for _ in range(20_000))),))
    page = report_page(endless)
    assert len(page.encode()) < 1_000_000
    assert "and 19,000 more rows" in page


# -- plots -------------------------------------------------------------------------------------------------------------


def figures(project, text, files, changed=None):
    project.commit({"mlgit.yaml": text, **files})
    project.write(changed or {})
    return plots_diff(project.repo, project.side("HEAD"), project.side()).figures


def noisy(rows, seed):
    numbers = random.Random(seed)
    return "step,loss\n" + "".join(f"{at},{math.sin(at / 50) + numbers.random()}\n" for at in range(rows))


def test_every_built_in_template_becomes_a_small_picture(project):
    pytest.importorskip("vl_convert")
    text = "plots:\n" + "".join(f"- {name}: {{template: {name}, x: a, y: {{v.csv: b}}}}\n" for name in BUILT_IN)
    rows = "a,b\n" + "".join(f"{at % 5 / 4},{at % 7 / 6}\n" for at in range(60)) + "1,0.5\n"
    drawn = figures(project, text, {"v.csv": rows}, {"v.csv": rows.replace("0.5", "0.25")})
    page = report_page(typical(), drawn)
    pictures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(pictures) == len(BUILT_IN)
    assert max(len(picture) for picture in pictures) < 100_000
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert all(f'"{name}"' in page or f"#{name}" in page for name in ids if name.endswith("-name"))
    assert set(re.findall(r"url\(#([^)]*)\)", page)) <= set(ids)
    assert page.count("<summary>Data: ") == len(BUILT_IN)
    assert "<script" not in page


def test_sides_differ_in_more_than_colour(project):
    pytest.importorskip("vl_convert")
    drawn = figures(project, "plots: [v.csv]\n", {"v.csv": noisy(50, 1)}, {"v.csv": noisy(50, 2)})
    assert "stroke-dasharray" in figures_section(drawn)


def test_long_lines_are_thinned_and_it_is_said(project):
    pytest.importorskip("vl_convert")
    drawn = figures(project, "plots: [v.csv]\n", {"v.csv": noisy(12_000, 1)}, {"v.csv": noisy(12_000, 2)})
    section = figures_section(drawn)
    assert "drawn with 4,000 of 24,000 points" in section
    assert len(section) < 120_000


def test_clouds_are_thinned(project):
    pytest.importorskip("vl_convert")
    text = "plots:\n- v: {template: scatter, x: step, y: {v.csv: loss}}\n"
    drawn = figures(project, text, {"v.csv": noisy(9000, 1)}, {"v.csv": noisy(9000, 2)})
    section = figures_section(drawn)
    assert re.search("drawn with [0-9],[0-9]{3} of 18,000 points", section)
    assert len(section) < 120_000


def test_a_matrix_keeps_all_its_rows(project):
    pytest.importorskip("vl_convert")
    text = "plots:\n- m: {template: confusion, x: a, y: {m.csv: b}}\n"
    rows = "a,b\n" + "".join(f"{'pn'[at % 2]},{'pn'[at % 3 == 0]}\n" for at in range(30_000))
    section = figures_section(figures(project, text, {"m.csv": rows}))
    assert ">10000<" in section
    assert "<td>10,000</td>" in section
    assert "drawn with" not in section


def test_what_cannot_be_drawn_small_is_told(project):
    pytest.importorskip("vl_convert")
    text = "plots:\n- m: {template: confusion, x: a, y: {m.csv: b}}\n"
    rows = "a,b\n" + "".join(f"{at % 60},{at % 61}\n" for at in range(60 * 61))
    section = figures_section(figures(project, text, {"m.csv": rows}))
    assert "<svg" not in section
    assert "too detailed to be drawn here" in section
    assert "<details open>" in section


def test_pictures_stand_side_by_side(project):
    drawn = figures(project, "plots: [a.png]\n", {"a.png": b"\x89PNG one"}, {"a.png": b"\x89PNG two"})
    section = figures_section(drawn)
    assert section.count('<div class="pair">') == 1
    assert section.count("data:image/png;base64,") == 2
    huge = Picture("main", drawn[0].pictures[0].file, b"x" * (3 << 20))
    assert "3.0 MiB, too large for this page" in figures_section([Figure("a", None, (huge,))])


def test_without_the_extra_there_are_tables(project, monkeypatch):
    drawn = figures(project, "plots: [v.csv]\n", {"v.csv": noisy(5, 1)})
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    page = report_page(typical(), drawn)
    assert "drawing plots needs mlgit[plots]" in page
    assert "<svg" not in page
    assert "<details open><summary>Data: " in page


def test_a_plot_that_cannot_be_drawn_does_not_cost_the_page(project):
    pytest.importorskip("vl_convert")
    broken = {"data": {"values": "<DVC_METRIC_DATA>"}, "mark": "nonsense", "transform": [{"filter": "datum.("}]}
    text = "plots:\n- p: {y: {a.csv: y}, template: t}\n"
    section = figures_section(figures(project, text, {"a.csv": "y\n1\n", ".mlgit/plots/t.json": broken}))
    assert "cannot be drawn" in section
    assert "<td>1</td>" in section


DATA = {"values": "<DVC_METRIC_DATA>"}
GOOD = {"data": DATA, "mark": "point", "encoding": {"x": {"field": "y", "type": "quantitative"}}}


def calculating(expression):
    return {**GOOD, "transform": [{"calculate": expression, "as": "z"}]}


ENDLESS = calculating("test(regexp('^(a+)+$'), 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab')")
VAST = {"layer": [GOOD, {"data": {"sequence": {"start": 0, "stop": 1e8}}, "mark": "point"}]}


def three(project, middle):
    """Figures of which the one in the middle has a template of its own."""
    text = "plots:\n" + "".join(f"- {name}: {{y: {{a.csv: y}}, template: {name}}}\n" for name in "abc")
    templates = {f".mlgit/plots/{name}.json": middle if name == "b" else GOOD for name in "abc"}
    return figures(project, text, {"a.csv": "y\n7\n", **templates})


@pytest.mark.skipif(sys.platform == "win32", reason="memory is not limited there")
def test_a_plot_that_fills_the_memory_costs_only_its_own_picture(project):
    pytest.importorskip("vl_convert")
    section = figures_section(three(project, VAST))
    assert section.count("<svg") == 2
    assert section.count("cannot be drawn: the renderer broke down") == 1
    assert section.count("<details") == 3


def test_a_plot_that_never_ends_costs_only_its_own_picture(project):
    pytest.importorskip("vl_convert")
    with Drawer(seconds=5) as drawer:
        drawn = [draw(figure, number, drawer) for number, figure in enumerate(three(project, ENDLESS))]
    assert [bool(one.svg) for one in drawn] == [True, False, True]
    assert "cannot be drawn: it took too long, more than 5 s" in drawn[1].notes[0]


def test_when_the_time_is_up_the_rest_is_told(project):
    pytest.importorskip("vl_convert")
    with Drawer(0) as drawer:
        drawn = [draw(figure, number, drawer) for number, figure in enumerate(three(project, GOOD))]
    assert all("the plots before it took too long" in one.notes[0] for one in drawn)


def test_as_a_file_a_plot_without_bounds_is_an_error(project):
    pytest.importorskip("vl_convert")
    project.commit({"mlgit.yaml": "plots:\n- b: {y: {a.csv: y}, template: b}\n", "a.csv": "y\n7\n"})
    project.write({".mlgit/plots/b.json": calculating("length(split(pad('a', 300000000, 'b'), ''))")})
    with pytest.raises(InvalidError, match="plot 'b' cannot be drawn"):
        export(plots_diff(project.repo, project.side("HEAD"), project.side()), "svg")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are seen in /proc")
def test_the_process_that_draws_has_no_secrets_and_ends(project, monkeypatch):
    pytest.importorskip("vl_convert")
    monkeypatch.setenv("MLGIT_TOKEN", "tok_0123456789")
    with pytest.raises(KeyboardInterrupt), Drawer() as drawer:
        drawer.draw("a", {**GOOD, "data": {"values": [{"y": 1}]}}, "svg")
        known = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
        child = next(Path("/proc", one) for one in known if b"drawer.py" in Path("/proc", one, "cmdline").read_bytes())
        assert b"tok_" not in (child / "environ").read_bytes()
        raise KeyboardInterrupt
    assert not child.exists()


def test_no_module_of_the_repository_is_loaded(project, monkeypatch):
    pytest.importorskip("vl_convert")
    drawn = three(project, GOOD)
    for name in ("json", "base64", "vl_convert", "sitecustomize"):
        project.write({f"{name}.py": "open('ran', 'w')\n"})
    monkeypatch.chdir(project.root)
    assert figures_section(drawn).count("<svg") == 3
    assert not (project.root / "ran").exists()


def test_a_template_brings_no_links_and_no_pictures(project):
    pytest.importorskip("vl_convert")
    at = {"x": {"field": "y", "type": "quantitative"}}
    mean = {
        "data": {"values": "<DVC_METRIC_DATA>"},
        "layer": [
            {"mark": "point", "encoding": {**at, "href": {"value": "https://e.example/"}}},
            {"mark": {"type": "image", "width": 9, "height": 9}, "encoding": at},
            {"mark": {"type": "text", "text": "</svg><script>alert(1)</script>"}, "encoding": at},
        ],
    }
    text = "plots:\n- p: {y: {a.csv: y}, template: t}\n"
    section = figures_section(figures(project, text, {"a.csv": "y\n1\n2\n", ".mlgit/plots/t.json": mean}))
    assert "<svg" in section
    assert "e.example" not in section
    assert "<script" not in section
    assert "<image" not in section
    assert "<a " not in section


@pytest.mark.parametrize(
    "text", ["", "<svg", "<svg xmlns='http://www.w3.org/2000/svg'/>", "<svg viewBox='0 0 1e9 -1'/>"]
)
def test_no_svg_is_an_error(text):
    with pytest.raises(ValueError, match="SVG"):
        inline(text, "p", "label")


def test_thinning_keeps_peaks_ends_and_order():
    records = [{"x": at, "y": 0.0} for at in range(10_000)]
    records[4321]["y"] = 9.0
    thin = thinning.line(records, ("x", "y"), 100)
    assert len(thin) == 100
    assert thin[0] is records[0]
    assert thin[-1] is records[-1]
    assert records[4321] in thin
    assert [one["x"] for one in thin] == sorted(one["x"] for one in thin)


def test_thinning_what_is_no_number():
    records = [{"x": at, "y": None if at == 7 else math.nan} for at in range(1000)]
    assert len(thinning.line(records, ("x", "y"), 50)) == 50
    assert thinning.evenly([1, 2, 3], 5) == [1, 2, 3]
    assert thinning.evenly(range(10), 2) == [0, 9]
    assert thinning.evenly(range(10), 1) == [0]
