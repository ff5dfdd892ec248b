from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.errors import StageError
from mlgit.model.relpath import RelPath
from mlgit.model.stage import Out, Resources, Stage
from mlgit.pipeline.graph import Graph, build
from mlgit.pipeline.schedule import Capacity, Schedule


def graph_of(needs: dict[str, list[str]]) -> Graph:
    stages = {
        name: Stage(
            name,
            RelPath("mlgit.yaml"),
            "x",
            deps=tuple(RelPath(f"{one}.out") for one in near),
            outs=(Out(RelPath(f"{name}.out")),),
        )
        for name, near in needs.items()
    }
    return build(stages, {})


def test_without_weights_the_order_of_the_files_holds() -> None:
    graph = graph_of({"a": [], "b": [], "c": ["a"], "d": ["b", "c"]})
    schedule = Schedule(graph, graph.order, None)
    assert (schedule.next(), schedule.next(), schedule.next()) == ("a", "b", None)
    schedule.done("b")
    assert schedule.next() is None
    schedule.done("a")
    assert (schedule.next(), schedule.next()) == ("c", None)
    schedule.done("c")
    assert schedule.next() == "d"


def test_the_longest_way_to_the_end_goes_first() -> None:
    graph = graph_of({"short": [], "first": [], "second": ["first"], "third": ["second"]})
    assert Schedule(graph, graph.order, lambda one: 1.0).next() == "first"
    assert Schedule(graph, graph.order, lambda one: 9.0 if one == "short" else 1.0).next() == "short"


def test_stages_outside_the_choice_are_not_waited_for() -> None:
    graph = graph_of({"a": [], "b": ["a"], "c": ["b"]})
    schedule = Schedule(graph, ("b", "c"), None)
    assert (schedule.next(), schedule.next()) == ("b", None)


@given(st.lists(st.lists(st.integers(0, 30), max_size=4), min_size=1, max_size=12), st.randoms())
def test_every_stage_comes_once_and_after_all_it_needs(near: list[list[int]], random: object) -> None:
    needs = {f"s{at}": sorted({f"s{one % at}" for one in ones}) if at else [] for at, ones in enumerate(near)}
    graph = graph_of(needs)
    schedule = Schedule(graph, graph.order, lambda one: float(len(one)))
    done: list[str] = []
    open_: list[str] = []
    while len(done) < len(needs):
        while (found := schedule.next()) is not None:
            assert set(needs[found]) <= set(done)
            open_.append(found)
        one = open_.pop(random.randrange(len(open_)))  # type: ignore[attr-defined]
        done.append(one)
        schedule.done(one)
    assert sorted(done) == sorted(needs)


def test_resources_are_shared_out_and_given_back() -> None:
    capacity = Capacity(3, 4.0, 1000, ["0", "1"])
    assert capacity.take("a", Resources(cpus=3, memory=600)) == []
    assert capacity.take("b", Resources(cpus=2)) is None
    assert capacity.take("c", Resources(memory=500)) is None
    assert capacity.take("d", Resources(gpus=1)) == ["0"]
    capacity.give_back("a")
    assert capacity.take("e", Resources(cpus=2, gpus=1)) == ["1"]
    assert capacity.take("f", Resources(gpus=1, cpus=0)) is None
    capacity.give_back("d")
    assert capacity.take("f", Resources(gpus=1, cpus=0)) == ["0"]
    assert capacity.take("g", Resources(cpus=0)) == []
    assert capacity.take("h", Resources(cpus=0)) is None, "no job is left"


def test_what_wants_more_than_there_is_gets_all_of_it() -> None:
    capacity = Capacity(2, 2.0, 1000, [])
    assert capacity.take("a", Resources(cpus=64, memory=1 << 40)) == []
    assert capacity.take("b", Resources()) is None
    capacity.give_back("a")
    assert capacity.take("b", Resources()) == []


def test_parts_of_processors_add_up_again() -> None:
    capacity = Capacity(8, 3.0, 0, [])
    parts = {f"s{number}": Resources(cpus=number / 10) for number in range(1, 8)}
    for address, wanted in parts.items():
        assert capacity.take(address, wanted) == []
    for address in parts:
        capacity.give_back(address)
    assert capacity.take("all", Resources(cpus=3)) == []


def test_a_device_that_is_not_there_is_an_error() -> None:
    stage = Stage("train", RelPath("mlgit.yaml"), "x", resources=Resources(gpus=2))
    with pytest.raises(StageError, match="needs 2 GPUs, and this machine has 1"):
        Capacity(1, 1.0, 0, ["0"]).check(stage)
