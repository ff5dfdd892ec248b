"""Patterns, whole pipelines and the stage file one stands beside, told from stage files alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlgit.errors import UnsafeError, UsageError
from mlgit.model.relpath import RelPath
from mlgit.pipeline import targets
from mlgit.pipeline.pipeline import Pipeline
from mlgit.repo import Repo

TOP = """\
stages:
  train-a: {cmd: x, deps: [raw], outs: [a]}
  train-b: {cmd: x, deps: [raw], outs: [b]}
  test-a: {cmd: x, deps: [a], outs: [c]}
  alone: {cmd: x, outs: [d]}
"""
BELOW = """\
stages:
  train-c: {cmd: x, deps: [../b], outs: [e]}
  deploy: {cmd: x, deps: [e], outs: [f]}
"""
ROOT, SUB, EMPTY = RelPath(""), RelPath("sub"), RelPath("empty")


@pytest.fixture
def pipeline(repo: Repo) -> Pipeline:
    for file, text in (("mlgit.yaml", TOP), ("sub/mlgit.yaml", BELOW), ("empty/mlgit.yaml", "gates: []\n")):
        Path(repo.root / file).parent.mkdir(exist_ok=True)
        (repo.root / file).write_text(text)
    return repo.pipeline


@pytest.mark.parametrize(
    ("pattern", "folder", "found"),
    [
        ("train-*", ROOT, {"train-a", "train-b"}),
        ("train-*", SUB, {"sub/mlgit.yaml:train-c"}),
        ("train-[!a]", ROOT, {"train-b"}),
        ("t*-a", EMPTY, {"train-a", "test-a"}),
        ("dep*", ROOT, {"sub/mlgit.yaml:deploy"}),
        ("sub/mlgit.yaml:*", ROOT, {"sub/mlgit.yaml:train-c", "sub/mlgit.yaml:deploy"}),
        ("../mlgit.yaml:train-?", SUB, {"train-a", "train-b"}),
        ("alone", ROOT, {"alone"}),
    ],
)
def test_patterns(pattern: str, folder: RelPath, found: set[str], pipeline: Pipeline) -> None:
    assert set(targets.matching(pipeline.project, [pattern], folder)) == found


def test_a_stage_that_two_patterns_match_is_named_once(pipeline: Pipeline) -> None:
    assert targets.matching(pipeline.project, ["train-*", "*-a"], ROOT) == ("train-a", "train-b", "test-a")


@pytest.mark.parametrize("pattern", ["Train-*", "sub/mlgit.yaml:alone", "nowhere/mlgit.yaml:*", ""])
def test_a_pattern_that_matches_nothing(pattern: str, pipeline: Pipeline) -> None:
    with pytest.raises(UsageError, match="no stage matches") as caught:
        targets.matching(pipeline.project, [pattern], ROOT)
    assert caught.value.hint


def test_a_pattern_outside_the_repository(pipeline: Pipeline) -> None:
    with pytest.raises(UnsafeError):
        targets.matching(pipeline.project, ["../../mlgit.yaml:*"], SUB)


def test_beside(pipeline: Pipeline) -> None:
    project = pipeline.project
    assert targets.beside(project, ROOT) == ("train-a", "train-b", "test-a", "alone")
    assert targets.beside(project, SUB) == ("sub/mlgit.yaml:train-c", "sub/mlgit.yaml:deploy")
    assert targets.beside(project, EMPTY) == tuple(project.stages)
    assert targets.beside(project, RelPath("other")) == tuple(project.stages)


def test_whole_pipelines(pipeline: Pipeline) -> None:
    below = ("train-b", "sub/mlgit.yaml:train-c", "sub/mlgit.yaml:deploy")
    for one in below:
        assert set(targets.whole(pipeline.graph, [one])) == set(below)
    assert targets.whole(pipeline.graph, ["alone"]) == ("alone",)
    assert targets.whole(pipeline.graph, ["test-a", "alone"]) == ("train-a", "test-a", "alone")
    assert targets.whole(pipeline.graph, []) == ()
