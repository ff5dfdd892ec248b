from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.errors import InvalidError
from mlgit.model.relpath import RelPath
from mlgit.model.stage import Stage
from mlgit.model.stagefile import decode
from mlgit.pipeline.graph import Graph, build
from mlgit.pipeline.plan import Options, select


def stages_of(text: str, path: str = "mlgit.yaml") -> dict[str, Stage]:
    return {stage.address: stage for stage in decode(text, RelPath(path)).stages.values()}


def graph_of(text: str) -> Graph:
    return build(stages_of(text), {})


DIAMOND = """
stages:
  evaluate: {cmd: e, deps: [model, test.csv], metrics: [m.json]}
  split: {cmd: s, deps: [raw.csv], outs: [train.csv, test.csv]}
  train: {cmd: t, deps: [train.csv], outs: [model]}
  other: {cmd: o}
"""


def test_order_follows_needs_and_then_the_file() -> None:
    graph = graph_of(DIAMOND)
    assert graph.order == ("split", "train", "evaluate", "other")
    assert graph.upstream["evaluate"] == ("split", "train")
    assert graph.downstream["split"] == ("evaluate", "train")
    assert graph.reach(["train"], up=False) == {"train", "evaluate"}
    assert graph.reach(["train"], up=True) == {"train", "split"}


@pytest.mark.parametrize("dep", ["data", "data/raw", "data/raw/x.csv"])
def test_a_folder_a_file_in_it_and_the_folder_around_it_connect(dep: str) -> None:
    graph = graph_of(f"stages: {{a: {{cmd: a, deps: [{dep}]}}, b: {{cmd: b, outs: [data/raw]}}}}")
    assert graph.order == ("b", "a")


def test_the_root_as_dependency_needs_every_maker() -> None:
    assert graph_of("stages: {a: {cmd: a, deps: [.]}, b: {cmd: b, outs: [x/y]}}").upstream["a"] == ("b",)


def test_a_parameter_file_that_a_stage_makes_connects() -> None:
    graph = graph_of("stages: {a: {cmd: a, params: [lr]}, b: {cmd: b, outs: [params.yaml]}}")
    assert graph.order == ("b", "a")


def test_a_name_that_only_begins_alike_does_not_connect() -> None:
    assert graph_of("stages: {a: {cmd: a, deps: [data2]}, b: {cmd: b, outs: [data]}}").upstream["a"] == ()


@pytest.mark.parametrize(
    ("glob", "out", "connected"),
    [
        ("data/*.csv", "data/a.csv", True),
        ("data/*.csv", "data", True),
        ("data/*.csv", "data/a.txt", False),
        ("data/*.csv", "data/deep/a.csv", False),
        ("data/**/*.csv", "data/deep", True),
        ("data/**/*.csv", "data2", False),
        ("*", "x", True),
        ("**/m.json", "a/b", True),
        ("da*/x", "data", True),
        ("out/m.bin/[a]*", "out/m.bin", True),
    ],
)
def test_a_pattern_connects_to_every_output_that_may_match(glob: str, out: str, connected: bool) -> None:
    graph = graph_of(
        f"stages: {{a: {{cmd: a, deps: ['{glob}']}}, b: {{cmd: b, outs: [{out}]}}, c: {{cmd: c, outs: [z]}}}}"
    )
    assert ("b" in graph.upstream["a"]) == connected


def test_a_stage_whose_pattern_matches_its_own_output_is_a_circle() -> None:
    with pytest.raises(InvalidError, match="circle: a → a"):
        graph_of("stages: {a: {cmd: a, deps: ['data/*'], outs: [data/all.csv]}}")


def test_pipelines_of_several_folders_are_one_graph() -> None:
    stages = stages_of("stages: {a: {cmd: a, outs: [x]}}", "one/mlgit.yaml")
    stages |= stages_of("stages: {b: {cmd: b, deps: [../one/x]}}", "two/mlgit.yaml")
    assert build(stages, {}).order == ("one/mlgit.yaml:a", "two/mlgit.yaml:b")


@pytest.mark.parametrize(
    ("text", "circle"),
    [
        ("{a: {cmd: a, deps: [x], outs: [x]}}", "a → a"),
        ("{a: {cmd: a, deps: [y], outs: [x]}, b: {cmd: b, deps: [x], outs: [y]}, c: {cmd: c, deps: [x]}}", "a → b → a"),
        ("{a: {cmd: a, deps: [data], outs: [data/x]}}", "a → a"),
    ],
)
def test_a_circle_is_printed(text: str, circle: str) -> None:
    with pytest.raises(InvalidError, match=f"circle: {circle}"):
        graph_of(f"stages: {text}")


@pytest.mark.parametrize("pair", [("x", "x"), ("d", "d/x"), ("d/e/f", "d")])
def test_overlapping_outputs_are_refused(pair: tuple[str, str]) -> None:
    first, second = pair
    one = f"stages: {{a: {{cmd: a, outs: [{first}]}}"
    for text in (
        f"{one}, b: {{cmd: b, metrics: [{second}]}}}}",
        f"stages: {{a: {{cmd: a, outs: [{first}, {second}]}}}}",
    ):
        with pytest.raises(InvalidError, match=r"output of stage '[ab]'"):
            graph_of(text)
    with pytest.raises(InvalidError, match=rf"{second}\.mlgit"):
        build(stages_of(one + "}"), {RelPath(second): RelPath(f"{second}.mlgit")})


def test_thousands_of_stages_in_a_row_need_no_recursion() -> None:
    rows = "".join(f"  s{n}: {{cmd: c, deps: [f{n}], outs: [f{n + 1}]}}\n" for n in reversed(range(2000)))
    graph = graph_of(f"stages:\n{rows}")
    assert graph.order == tuple(f"s{n}" for n in range(2000))
    assert len(graph.reach(["s1999"], up=True)) == 2000


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_every_stage_comes_after_all_it_needs(case: tuple[int, set[tuple[int, int]]]) -> None:
    count, pairs = case
    deps = {n: [m for m, k in pairs if k == n and m < n] for n in range(count)}
    stages = {
        f"s{n}": stages_of(f"stages: {{s{n}: {{cmd: c, deps: {[f'o{m}' for m in deps[n]]}, outs: [o{n}]}}}}")[f"s{n}"]
        for n in reversed(range(count))
    }
    order = build(stages, {}).order
    assert sorted(order) == sorted(stages)
    assert all(order.index(f"s{m}") < order.index(f"s{n}") for n in deps for m in deps[n])


def test_selecting() -> None:
    graph = graph_of(DIAMOND)
    assert select(graph, Options()) == graph.order
    assert select(graph, Options(("train",))) == ("split", "train")
    assert select(graph, Options(("train",), single=True)) == ("train",)
    assert select(graph, Options(("train",), downstream=True)) == ("train", "evaluate")
    frozen = graph_of(DIAMOND.replace("cmd: t,", "cmd: t, frozen: true,").replace("model, test.csv", "model"))
    assert select(frozen, Options(("evaluate",))) == ("train", "evaluate")
