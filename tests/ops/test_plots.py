import base64
import json
import re
import sys

import pytest

from mlgit.errors import InvalidError, UnsafeError, UsageError
from mlgit.model import lock
from mlgit.model.lock import Lock, StageLock
from mlgit.model.relpath import RelPath
from mlgit.model.report import Mark
from mlgit.ops.compare.page import export, render_html
from mlgit.ops.compare.plots import plots_diff, plots_show
from mlgit.ops.compare.vega import BUILT_IN, anchors_for, field_name, fill, load_template

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
ONE_PLOT = "stages:\n  train:\n    cmd: x\n    plots:\n    - loss.csv: {x: epoch, y: val.loss, cache: false}\n"
LOSS = "epoch,loss,val.loss\n0,0.9,1.0\n1,0.5,0.7\n2,0.4,0.6\n"


def draw(project, base="HEAD", head=None, **options):
    return plots_diff(project.repo, project.side(base), project.side(head), **options)


def rows(drawing):
    return [(*row.cells, row.mark) for row in drawing.report.tables[0].rows]


def points(figure):
    return figure.spec["data"]["values"]


def test_two_sides_share_a_figure(project):
    base = project.commit({"mlgit.yaml": ONE_PLOT, "loss.csv": LOSS})[:7]
    project.write({"loss.csv": LOSS + "3,0.3,nan\n"})
    drawing = draw(project, base)
    (figure,) = drawing.figures
    assert rows(drawing) == [("loss.csv", "3 points █▂▁", "4 points █▂▁·", Mark.CHANGED)]
    assert points(figure)[0] == {"epoch": 0, "loss": 0.9, "val.loss": 1.0, "rev": base}
    assert [row["rev"] for row in points(figure)] == [base] * 3 + ["working tree"] * 4
    encoding = figure.spec["layer"][0]["encoding"]
    assert (encoding["x"]["field"], encoding["y"]["field"]) == ("epoch", r"val\.loss")
    assert (encoding["x"]["title"], encoding["y"]["title"]) == ("epoch", "val.loss")
    assert encoding["color"]["scale"]["domain"] == [base, "working tree"]
    assert "strokeDash" not in encoding
    assert "<DVC" not in json.dumps(figure.spec)


def test_plots_that_appear_vanish_or_stay(project):
    top = "plots: [a.csv, b.csv, c.csv, d.csv]\n"
    project.commit({"mlgit.yaml": top, "a.csv": "y\n1\n", "b.csv": "y\n1\n"})
    project.write({"b.csv": None, "c.csv": "y\n1\n"})
    drawing = draw(project)
    assert rows(drawing) == [
        ("a.csv", "1 point", "1 point", Mark.SAME),
        ("b.csv", "1 point", None, Mark.REMOVED),
        ("c.csv", None, "1 point", Mark.ADDED),
        ("d.csv", None, None, Mark.WARN),
    ]
    assert [bool(figure.spec) for figure in drawing.figures] == [True, True, True, False]
    assert drawing.figures[1].absent == ("working tree",)
    assert [row[0] for row in rows(draw(project, targets=["b.csv"]))] == ["b.csv"]


def test_a_plot_only_the_base_declares_is_still_drawn(project):
    project.commit({"mlgit.yaml": "plots: [a.csv]\n", "a.csv": "y\n1\n"})
    project.write({"mlgit.yaml": "plots: []\n", "a.csv": None})
    assert rows(draw(project)) == [("a.csv", "1 point", None, Mark.REMOVED)]


def test_lines_and_matrices_in_a_few_words(project):
    text = """
plots:
- one: {y: {a.csv: [u]}}
- two: {y: {a.csv: [u, v]}}
- cloud: {template: scatter, y: {a.csv: u}}
- words: {y: {w.csv: p}}
- matrix: {template: confusion, x: t, y: {w.csv: p}}
"""
    files = {"a.csv": "u,v\n0,7\n1,7\n2,7\n", "w.csv": "t,p\na,a\nb,a\nb,b\n"}
    project.commit({"mlgit.yaml": text, **files})
    project.write({"a.csv": "u,v\n7,7\n", "w.csv": "t,p\na,a\n"})
    assert [row[:3] for row in rows(draw(project))] == [
        ("one", "3 points ▁▂▃", "1 point"),
        ("two", "6 points u ▁▂▃ v ███", "2 points"),
        ("cloud", "3 points", "1 point"),
        ("words", "3 points", "1 point"),
        ("matrix", "3 points, 2 on the diagonal (66.7 %)", "1 point, 1 on the diagonal (100.0 %)"),
    ]


def test_axes_without_names(project):
    project.commit(
        {"mlgit.yaml": "plots: [a.csv, b.json]\n", "a.csv": "u,v\n5,1\n6,2\n", "b.json": '[{"step": 7, "v": 1}]'}
    )
    first, second = draw(project).figures
    head = project.side("HEAD").name
    assert points(first)[:2] == [
        {"u": 5, "v": 1, "rev": head, "step": 0},
        {**points(first)[1], "step": 1, "v": 2},
    ]
    assert points(second)[0]["step"] == 7


def test_several_columns_and_files_become_lines(project):
    text = """
plots:
- columns: {x: epoch, y: {loss.csv: [loss, val.loss]}}
- files: {x: {truth.csv: t}, y: {a.csv: p, b.csv: p}, title: Both, x_label: true value}
- mixed: {y: {loss.csv: [loss, epoch], a.csv: p}}
"""
    project.commit(
        {"mlgit.yaml": text, "loss.csv": LOSS, "truth.csv": "t\n1\n0\n", "a.csv": "p\n.9\n.1\n", "b.csv": "p\n.8\n"}
    )
    columns, files, mixed = draw(project, "HEAD", "HEAD").figures
    assert {row["series"] for row in points(columns)} == {"loss", "val.loss"}
    assert {(row["epoch"], row["y"]) for row in points(columns) if row["field"] == "loss"} == {
        (0, 0.9),
        (1, 0.5),
        (2, 0.4),
    }
    assert columns.spec["layer"][0]["encoding"]["strokeDash"]["scale"]["domain"] == ["loss", "val.loss"]
    assert [(row["filename"], row["t"], row["p"]) for row in points(files)] == [
        ("a.csv", 1, 0.9),
        ("a.csv", 0, 0.1),
        ("b.csv", 1, 0.8),
    ]
    assert files.spec["title"] == "Both"
    assert files.spec["layer"][0]["encoding"]["x"]["title"] == "true value"
    assert {row["series"] for row in points(mixed)} == {"loss.csv::loss", "loss.csv::epoch", "a.csv::p"}


def test_several_styles_of_one_output_and_no_header(project):
    text = """
stages:
  s:
    cmd: x
    plots:
    - p.csv:
      - {x: '0', y: '1', header: false, title: first}
      - {y: '2', header: false, template: scatter, cache: false}
"""
    project.commit({"mlgit.yaml": text, "p.csv": "1,2,3\n4,5,6\n"})
    first, second = draw(project, "HEAD", "HEAD").figures
    assert [first.id, second.id] == ["p.csv (first)", "p.csv (2)"]
    assert [(row["0"], row["1"]) for row in points(first)] == [(1, 2), (4, 5)]
    assert second.spec["mark"]["type"] == "point"


def test_pictures_stand_side_by_side(project):
    base = project.commit({"mlgit.yaml": "plots: [img]\n", "img/a.png": PNG, "img/notes.txt": "no plot"})[:7]
    project.write({"img/a.png": PNG + b"\0", "img/b.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>"})
    drawing = draw(project, base)
    assert [row[0] for row in rows(drawing)] == ["img/a.png", "img/b.svg"]
    page = render_html(drawing)
    assert re.findall(r'src="data:([\w/+]+);base64,', page) == ["image/png", "image/png", "image/svg+xml"]
    assert f"nothing to draw in {base}" in page
    assert "<script" not in page
    assert sorted(export(drawing, "png")) == [f"img_a.{base}.png", "img_a.working_tree.png", "img_b.working_tree.svg"]


def test_a_tracked_folder_of_plots(project):
    stages = "stages:\n  s:\n    cmd: x\n    plots: [plots]\n"
    project.write({"mlgit.yaml": stages, "plots/loss.csv": LOSS, "plots/deep/img.png": PNG, ".gitignore": "/plots\n"})
    folder = RelPath("plots")
    content = project.repo.workspace.save([folder])[folder]
    head = project.commit({"mlgit.lock": lock.encode(Lock({"s": StageLock("x", outs={folder: content})}))})
    project.write({"plots/loss.csv": LOSS + "3,1,1\n"})
    assert rows(draw(project, head)) == [
        ("plots/deep/img.png", "70 B", "70 B", Mark.SAME),
        ("plots/loss.csv", "3 points █▂▁", "4 points █▂▁█", Mark.CHANGED),
    ]


def test_show_takes_any_number_of_sides(project):
    shas = [project.commit({"mlgit.yaml": ONE_PLOT, "loss.csv": LOSS + f"3,0,{n}\n" * n}) for n in range(3)]
    drawing = plots_show(project.repo, [project.side(sha) for sha in shas])
    names = [sha[:7] for sha in shas]
    assert drawing.report.tables[0].columns == ("plot", *names)
    assert rows(drawing) == [("loss.csv", "3 points ▃▁▁", "4 points ▃▁▁▃", "5 points ▃▁▁██", Mark.INFO)]
    assert drawing.figures[0].spec["layer"][0]["encoding"]["color"]["scale"]["domain"] == names


# -- templates ---------------------------------------------------------------------------------------------------------

OURS = {
    "data": {"values": "<DVC_METRIC_DATA>"},
    "title": "plot of <DVC_METRIC_TITLE>",
    "usermeta": {"embedOptions": {"actions": True}},
    "params": ["<DVC_METRIC_UNKNOWN>"],
    "mark": "line",
    "encoding": {
        "x": {"field": "<DVC_METRIC_X>", "title": "<DVC_METRIC_X_LABEL>"},
        "y": {"field": "<DVC_METRIC_Y>"},
        "shape": "<DVC_METRIC_SHAPE>",
        "color": {"field": "rev"},
    },
}


@pytest.mark.parametrize("place", [".mlgit/plots/mine.json", "mine", "templates/mine.json"])
def test_a_template_with_dvc_anchors_is_filled(project, place):
    name = "mine" if place.startswith(".mlgit") else place
    text = ONE_PLOT.replace("y: val.loss", f"y: val.loss, template: {name}")
    project.commit({"mlgit.yaml": text, "loss.csv": LOSS, place: OURS})
    (figure,) = draw(project, "HEAD", "HEAD").figures
    assert figure.spec["title"] == "plot of loss.csv"
    assert figure.spec["params"] == []
    assert figure.spec["encoding"] == {
        "x": {"field": "epoch", "title": "epoch"},
        "y": {"field": r"val\.loss"},
        "color": {"field": "rev"},
    }
    assert "usermeta" not in figure.spec


def test_a_file_goes_before_a_built_in_template(project):
    project.commit({".mlgit/plots/linear.json": OURS})
    assert load_template(None, project.side())["mark"] == "line"


@pytest.mark.parametrize(
    ("template", "kind", "word"),
    [
        ([1], InvalidError, "mapping"),
        ({"mark": "bar"}, InvalidError, "no place for the data"),
        ({**OURS, "layer": [{"data": {"url": "file:///etc/passwd"}}]}, UnsafeError, "/etc/passwd"),
        ({**OURS, "encoding": {"url": {"field": "u"}}}, UnsafeError, "refused"),
        ("{", InvalidError, ".mlgit/plots/t.json"),
        ('{"a":' * 200 + '"<DVC_METRIC_DATA>"' + "}" * 200, InvalidError, "deep"),
        (None, InvalidError, "no plot template 't'"),
    ],
)
def test_a_bad_template_is_refused(project, template, kind, word):
    if template is not None:
        project.write({".mlgit/plots/t.json": template})
    with pytest.raises(kind) as caught:
        load_template("t", project.side())
    assert word in caught.value.message
    assert caught.value.hint


def test_a_template_outside_is_refused(project):
    with pytest.raises(UnsafeError):
        load_template("../t.json", project.side())


def test_a_value_never_becomes_an_anchor():
    filled = fill(
        {"title": "<DVC_METRIC_TITLE>", "data": "<DVC_METRIC_DATA>"}, {"title": "<DVC_METRIC_DATA>", "data": []}
    )
    assert filled == {"title": "<DVC_METRIC_DATA>", "data": []}


# -- rendering ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_template_draws(project, name):
    renderer = pytest.importorskip("vl_convert")
    fields = field_name("a.b['c\"]"), field_name("d\\[0]")
    records = [
        {fields[0]: number % 2, fields[1]: number % 3, "rev": rev, "series": series}
        for number in range(6)
        for rev in ("main", "head")
        for series in ("s", "t")
    ]
    for series in ([], ["s", "t"]):
        anchors = anchors_for(records, fields, {"title": "T"}, ["main", "head"], series)
        picture = renderer.vegalite_to_svg(
            fill(load_template(name, project.side()), anchors), vl_version="5.21", allowed_base_urls=[]
        )
        assert "undefined" not in picture
        assert picture.count("<path") > 8


HOSTILE = "x</script><script>alert(1)</script><!--"


def test_the_page_is_one_safe_offline_file(project):
    pytest.importorskip("vl_convert")
    first = f"- '{HOSTILE}': {{x: epoch, y: {{loss.csv: loss}}, title: '{HOSTILE}'}}\n"
    text = f"plots:\n{first}- other: {{y: {{loss.csv: loss}}}}\n"
    project.commit({"mlgit.yaml": text, "loss.csv": LOSS + f"{HOSTILE},inf,2\n"})
    page = render_html(draw(project))
    assert "<script>alert" not in page
    assert page.count("<script") == page.count("</script>") == 3
    assert page.count("window.vegaEmbed=") == 1
    assert "default-src 'none'" in page
    assert re.search(r'(?:src|href)="(?!data:)', page[: page.index("<script")]) is None
    specs = json.loads(re.search(r'id="specs">(.*?)</script>', page, re.DOTALL)[1])
    assert list(specs) == ["plot-0", "plot-1"]
    assert specs["plot-0"]["data"]["values"][3]["loss"] is None
    assert specs["plot-0"]["title"] == HOSTILE


def test_plots_as_files(project):
    pytest.importorskip("vl_convert")
    project.commit({"mlgit.yaml": "plots: [a/b.csv, a_b.csv]\n", "a/b.csv": LOSS, "a_b.csv": LOSS})
    drawing = draw(project)
    pictures = export(drawing, "png")
    assert sorted(pictures) == ["a_b.csv-2.png", "a_b.csv.png"]
    assert all(data.startswith(b"\x89PNG") for data in pictures.values())
    assert all(data.startswith(b"<svg") for data in export(drawing, "svg").values())


def test_a_template_that_cannot_be_drawn_is_named(project):
    pytest.importorskip("vl_convert")
    broken = {"data": {"values": "<DVC_METRIC_DATA>"}, "mark": "nonsense", "transform": [{"filter": "datum.("}]}
    project.commit({"mlgit.yaml": "plots:\n- p: {y: {a.csv: y}, template: t}\n", "a.csv": "y\n1\n"})
    project.write({".mlgit/plots/t.json": broken})
    with pytest.raises(InvalidError, match="plot 'p' cannot be drawn"):
        export(draw(project), "svg")


def test_without_the_extra_the_error_says_what_to_install(project, monkeypatch):
    project.commit({"mlgit.yaml": ONE_PLOT, "loss.csv": LOSS})
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    drawing = draw(project)
    for render in (render_html, lambda one: export(one, "png")):
        with pytest.raises(UsageError) as caught:
            render(drawing)
        assert "mlgit[plots]" in caught.value.hint
