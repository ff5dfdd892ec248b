"""Naming stages that `foreach` and `matrix` made."""

from __future__ import annotations

import pytest

from mlgit.errors import UsageError
from mlgit.model.relpath import RelPath
from mlgit.model.stagefile import decode
from mlgit.pipeline.load import Project, find

TEXT = """
stages:
  train: {foreach: [a, b], do: {cmd: x, outs: ['${item}.bin']}}
  training: {cmd: x}
"""


@pytest.fixture
def project() -> Project:
    files = [decode(TEXT, RelPath(path)) for path in ("mlgit.yaml", "sub/mlgit.yaml")]
    stages = {stage.address: stage for file in files for stage in file.stages.values()}
    return Project({file.path: file for file in files}, stages)


@pytest.mark.parametrize(
    ("target", "folder", "found"),
    [
        ("train", "", ("train@a", "train@b")),
        ("train@a", "", ("train@a",)),
        ("train", "sub", ("sub/mlgit.yaml:train@a", "sub/mlgit.yaml:train@b")),
        ("sub/mlgit.yaml:train", "", ("sub/mlgit.yaml:train@a", "sub/mlgit.yaml:train@b")),
        ("mlgit.yaml:train@b", "sub", ("sub/mlgit.yaml:train@b",)),
        ("training", "", ("training",)),
        ("b.bin", "", ("train@b",)),
    ],
)
def test_a_group_is_named_as_a_whole_or_one_by_one(
    project: Project, target: str, folder: str, found: tuple[str, ...]
) -> None:
    assert find(project, target, RelPath(folder)) == found


def test_what_is_not_in_the_group_is_refused_with_the_nearest(project: Project) -> None:
    with pytest.raises(UsageError) as caught:
        find(project, "train@c", RelPath(""))
    assert "train@" in str(caught.value.hint)
