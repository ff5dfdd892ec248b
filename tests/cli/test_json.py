"""docs/json.md names every key that the commands about stages print, and what they print is one object."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlgit.repo import Repo

DOCUMENT = Path(__file__).parents[2] / "docs" / "json.md"
ANSWER = DOCUMENT.with_name("determinism.md")
STAGES = """
stages:
  prepare:
    cmd: cp raw.txt data.txt
    deps: [raw.txt]
    outs: [data.txt]
  train:
    cmd: cp data.txt model.txt
    deps: [data.txt]
    outs: [model.txt]
"""


def _keys(value: dict[str, Any]) -> set[str]:
    """Those of an object and of the rows below it."""
    rows = [row for part in value.values() if isinstance(part, list) for row in part if isinstance(row, dict)]
    return {*value, *(key for row in rows for key in row)}


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("status", "status"),
        ("stage list", "stages"),
        ("verify", "verify"),
        ("why train prepare", "why"),
        ("dag", "dag"),
        ("repro -f", "repro"),
    ],
)
def test_every_key_is_documented(repo: Repo, cli: Any, command: str, kind: str) -> None:
    root = repo.root
    (root / "raw.txt").write_text("1\n")
    (root / "mlgit.yaml").write_text(STAGES)
    cli("repro", cwd=root)
    if kind == "why":
        (root / "raw.txt").write_text("2\n")
    value = json.loads(cli(*command.split(), "--json", cwd=root).out)
    text = DOCUMENT.read_text() + (ANSWER.read_text() if kind == "verify" else "")
    assert (value["version"], value["kind"]) == (1, kind)
    assert {key for key in _keys(value) if f"`{key}`" not in text} == set()


def test_a_stage_in_full_is_documented(repo: Repo, cli: Any) -> None:
    (repo.root / "mlgit.yaml").write_text(STAGES)
    value = json.loads(cli("stage", "show", "train", "--json", cwd=repo.root).out)
    assert {key for key in value if f"`{key}`" not in DOCUMENT.read_text()} == set()


def test_the_tables_of_a_lineage_are_documented(repo: Repo, cli: Any) -> None:
    root = repo.root
    (root / "raw.txt").write_text("1\n")
    (root / "mlgit.yaml").write_text(STAGES)
    cli("repro", cwd=root)
    value = json.loads(cli("lineage", "model.txt", "--json", cwd=root).out)
    assert {key for key in value if f"`{key}`" not in DOCUMENT.read_text()} == set()


def test_a_failure_before_there_is_an_answer_prints_no_object(repo: Repo, cli: Any) -> None:
    assert cli("why", "nope", "--json", cwd=repo.root, code=2).out == ""
