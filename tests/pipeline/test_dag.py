"""Drawings of a pipeline: as a tree, Mermaid, DOT, JSON and a page; names are hostile."""

from __future__ import annotations

import itertools
import json
import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from mlgit.model.lock import StageLock
from mlgit.model.relpath import RelPath
from mlgit.model.stage import Stage
from mlgit.model.stagefile import decode
from mlgit.pipeline import dag
from mlgit.pipeline.dag import Drawing, Fact, Node
from mlgit.pipeline.dagpage import duration, page
from mlgit.pipeline.graph import Graph, build
from mlgit.pipeline.layers import lay_out
from mlgit.pipeline.status import Change, StageStatus

DIAMOND = """
stages:
  evaluate: {cmd: e, deps: [model, test.csv], metrics: [m.json], desc: how good}
  split: {cmd: s, deps: [raw/a.csv], outs: [train.csv, test.csv]}
  train: {cmd: t, deps: [train.csv], outs: [model]}
  other: {cmd: o}
"""
HOSTILE = 'x"<b>`%%{init}%%\\n&amp;#\x1b\u202e'
FACTS = {
    "split": Fact("up to date", seconds=75.4, started="2026-01-02T03:04:05.000006Z"),
    "train": Fact("changed", "the command changed"),
    "evaluate": Fact("frozen"),
    "other": Fact("never run"),
}


def stages_of(text: str, path: str = "mlgit.yaml") -> dict[str, Stage]:
    return {stage.address: stage for stage in decode(text, RelPath(path)).stages.values()}


def graph_of(text: str) -> Graph:
    return build(stages_of(text), {})


def drawn(text: str, chosen: set[str] | None = None, facts: dict[str, Fact] | None = None) -> Drawing:
    graph = graph_of(text)
    return dag.of_stages(graph, chosen or set(graph.stages), facts)


def test_text_drawings_name_stages_and_nothing_else() -> None:
    assert dag.tree(drawn(DIAMOND)) == "split\n├── evaluate\n└── train\n    └── evaluate\nother\n"
    assert dag.tree(drawn(DIAMOND, {"train", "evaluate"})) == "train\n└── evaluate\n"
    two = drawn(DIAMOND, {"split", "train"})
    assert dag.mermaid(two) == 'flowchart TD\n    node1["split"]\n    node2["train"]\n    node1-->node2\n'
    assert dag.dot(two) == 'digraph mlgit {\n  "split";\n  "train";\n  "split" -> "train";\n}\n'
    assert dag.markdown(drawn(DIAMOND, {"other"})) == '```mermaid\nflowchart TD\n    node1["other"]\n```\n'


def test_a_branch_that_was_drawn_is_not_drawn_again() -> None:
    text = (
        "stages: {a: {cmd: a, outs: [a]}, b: {cmd: b, deps: [a], outs: [b]}, c: {cmd: c, deps: [a, b], outs: [c]},"
        " d: {cmd: d, deps: [c]}}"
    )
    assert dag.tree(drawn(text)) == "a\n├── b\n│   └── c\n│       └── d\n└── c (see above)\n"


def test_a_state_is_a_sign_and_a_word_and_on_a_terminal_a_colour() -> None:
    drawing = drawn(DIAMOND, facts=FACTS)
    assert dag.tree(drawing) == (
        "split  ✓ up to date\n├── evaluate  * frozen\n└── train  ~ changed\n    └── evaluate\nother  ○ never run\n"
    )
    assert "split  <up to date:✓ up to date>" in dag.tree(drawing, lambda text, state: f"<{state}:{text}>")


def test_markdown_has_descriptions_and_a_class_for_each_state() -> None:
    text = dag.markdown(drawn(DIAMOND, facts=FACTS))
    assert '["evaluate<br/>how good<br/>* frozen"]:::frozen' in text
    assert re.findall(r"classDef (\S+) fill:", text) == ["changed", "frozen", "never-run", "up-to-date"]


def test_states() -> None:
    stage = stages_of(DIAMOND)["train"]
    entry, change = StageLock("t"), (Change("command"),)
    assert dag.state_of(StageStatus("train", stage, ()), entry) == "up to date"
    assert dag.state_of(StageStatus("train", stage, change), entry) == "changed"
    assert dag.state_of(StageStatus("train", stage, change), None) == "never run"
    frozen = stages_of("stages: {a: {cmd: a, frozen: true}}")["a"]
    assert dag.state_of(StageStatus("a", frozen, change), entry) == "frozen"


def test_outputs_with_the_tracked_data_that_feeds_them() -> None:
    graph = graph_of(DIAMOND)
    drawing = dag.of_outs(graph, set(graph.stages), [RelPath("raw"), RelPath("unread")], FACTS)
    assert [(node.name, node.kind, node.stage) for node in drawing.nodes] == [
        ("raw", "data", None),
        ("train.csv", "output", "split"),
        ("test.csv", "output", "split"),
        ("model", "output", "train"),
        ("m.json", "output", "evaluate"),
    ]
    assert set(drawing.edges) == {
        ("raw", "train.csv"),
        ("raw", "test.csv"),
        ("train.csv", "model"),
        ("model", "m.json"),
        ("test.csv", "m.json"),
    }


def test_outputs_connect_through_folders_and_patterns() -> None:
    text = (
        "stages: {a: {cmd: a, outs: [out/x.csv, out/y.txt]}, b: {cmd: b, deps: [out], outs: [b]},"
        " c: {cmd: c, deps: ['out/*.csv', 'data/*.csv'], outs: [c]}}"
    )
    graph = graph_of(text)
    edges = dag.of_outs(graph, set(graph.stages), [RelPath("data/z.csv")]).edges
    assert set(edges) == {("out/x.csv", "b"), ("out/y.txt", "b"), ("out/x.csv", "c"), ("data/z.csv", "c")}


def test_json_has_nodes_edges_and_states() -> None:
    graph = graph_of(DIAMOND)
    value = json.loads(dag.to_json(drawn(DIAMOND, facts=FACTS), graph.stages))
    assert (value["version"], value["kind"]) == (1, "dag")
    assert {"from": "split", "to": "train"} in value["edges"]
    train = next(node for node in value["nodes"] if node["name"] == "train")
    assert (train["state"], train["why"], train["file"], train["line"]) == (
        "changed",
        "the command changed",
        "mlgit.yaml",
        5,
    )


def test_names_are_quoted_in_every_format() -> None:
    stages = stages_of(f"stages: {{a: {{cmd: a, desc: {json.dumps(HOSTILE)}}}}}", f"{HOSTILE}/mlgit.yaml")
    drawing = dag.of_stages(build(stages, {}), stages)
    texts = [dag.mermaid(drawing, rich=True), dag.dot(drawing), dag.tree(drawing), page(drawing, stages, HOSTILE)]
    assert not any(bad in text for text in texts for bad in ("\x1b", "\u202e"))
    assert "#quot;#lt;b#gt;#96;#37;#37;{init}#37;#37;#92;n#amp;amp;#35;" in texts[0]
    assert 'x\\"<b>`' in texts[1]


class Seen(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        assert not any(name.startswith("on") or name == "src" for name in values)
        self.ids += [values["id"] or ""] if "id" in values else []
        self.links += [values["href"] or ""] if "href" in values else []

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_closed_escaped_and_every_link_leads_somewhere() -> None:
    stages = stages_of(
        f"stages: {{a: {{cmd: '</style><script>alert(1)</script>', desc: {json.dumps(HOSTILE)}, outs: [o]}},"
        " b: {cmd: b, deps: [o]}}"
    )
    text = page(dag.of_stages(build(stages, {}), stages, {"a": FACTS["split"]}), stages, "<project>")
    seen = Seen(text)
    assert "default-src 'none'" in text
    assert not {"script", "b", "link", "img", "iframe", "init"} & set(seen.tags)
    assert "</style><script>alert(1)</script>" in seen.text
    assert "1 min 15 s" in seen.text and "✓ up to date" in seen.text and "2026-01-02 03:04:05 UTC" in seen.text
    assert set(seen.links) == {"#n1", "#n2"} and {"n1", "n2"} <= set(seen.ids)


def test_durations() -> None:
    assert [duration(s) for s in (0.04, 59.94, 185, 7800)] == ["0.0 s", "59.9 s", "3 min 5 s", "2 h 10 min"]


def test_thousands_of_stages_are_drawn_without_recursion() -> None:
    rows = "".join(f"  s{n}: {{cmd: c, deps: [f{n}], outs: [f{n + 1}]}}\n" for n in reversed(range(2000)))
    drawing = drawn(f"stages:\n{rows}")
    assert dag.tree(drawing).count("\n") == 2000
    assert page(drawing, {}, "long").count("<article") == 2000


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_boxes_do_not_overlap_and_arrows_lead_down(case: tuple[int, set[tuple[int, int]]]) -> None:
    count, pairs = case
    names = [f"n{n}" for n in range(count)]
    edges = sorted((f"n{a}", f"n{b}") for a, b in pairs if a < b)
    layout = lay_out(names, edges)
    rows: dict[int, list[float]] = {}
    for across, down in layout.boxes.values():
        assert -1e-9 <= across <= layout.width - 1 + 1e-9 and 0 <= down < layout.layers
        rows.setdefault(down, []).append(across)
    for row in rows.values():
        row.sort()
        assert all(second - first >= 1 - 1e-9 for first, second in itertools.pairwise(row))
    for (first, second), points in layout.arrows.items():
        assert points[0] == layout.boxes[first] and points[-1] == layout.boxes[second]
        assert [down for _, down in points] == list(range(points[0][1], points[-1][1] + 1))


def test_an_empty_pipeline_is_a_page_too() -> None:
    text = page(Drawing((), ()), {}, "empty")
    assert "0 stages" in text
    assert 'height="-' not in text
    assert dag.tree(Drawing((Node("a"),), ())) == "a\n"
