from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mlgit.model.lock import StageLock
from mlgit.model.oid import Oid
from mlgit.model.relpath import RelPath
from mlgit.model.runrecord import Environment, RunRecord
from mlgit.model.stage import Out, Stage
from mlgit.model.tree import Content
from mlgit.pipeline import runcache
from mlgit.pipeline.key import stage_key
from mlgit.pipeline.status import Seen
from mlgit.store.local import LocalBackend

DEP, OUT = RelPath("raw"), RelPath("model")
STAGE = Stage("train", RelPath("mlgit.yaml"), "fit", deps=(DEP,), outs=(Out(OUT),))


def content(digit: str) -> Content:
    return Content(Oid(f"blake3:{digit * 64}"), "file", 1)


SEEN = Seen({DEP: content("a")})
KEY = stage_key(STAGE, {DEP: content("a")}, {})


def record(out: str, started: str = "2024-01-01") -> RunRecord:
    entry = StageLock("fit", {DEP: content("a")}, {}, {OUT: content(out)})
    return RunRecord(KEY, entry, started, 1.5, 0, Environment("3.11", "Linux", "1"), None)


@pytest.fixture
def backend(tmp_path: Path) -> LocalBackend:
    return LocalBackend(tmp_path / "store")


def found(backend: LocalBackend, *present: str) -> StageLock | None:
    record = runcache.lookup(backend, STAGE, SEEN, lambda one: one.oid.hex[0] in present)
    return record.stage if record is not None else None


def test_the_newest_whose_outputs_are_there_wins(backend: LocalBackend) -> None:
    for out, started in (("b", "2024-01-02"), ("c", "2024-01-03"), ("d", "2024-01-01")):
        runcache.save(backend, record(out, started))
    assert found(backend, "b", "c", "d") == record("c").stage
    assert found(backend, "b", "d") == record("b").stage
    assert found(backend) is None


def test_an_input_that_is_not_there_has_no_result(backend: LocalBackend) -> None:
    runcache.save(backend, record("b"))
    assert runcache.lookup(backend, STAGE, Seen({DEP: None}), lambda one: True) is None


@pytest.mark.parametrize(
    "forged",
    [
        replace(record("b"), exit=1),
        replace(record("b"), stage=replace(record("b").stage, cmd="other")),
        replace(record("b"), stage=replace(record("b").stage, wdir=RelPath("w"))),
        replace(record("b"), stage=replace(record("b").stage, deps={DEP: content("e")})),
        replace(record("b"), stage=replace(record("b").stage, outs={RelPath("src"): content("b")})),
        replace(record("b"), stage=replace(record("b").stage, outs={})),
        replace(record("b"), stage=replace(record("b").stage, params={RelPath("p.yaml"): {"x": 1}})),
        replace(record("b"), stage=replace(record("b").stage, env={"HOME": "/tmp"})),
    ],
)
def test_a_record_that_does_not_fit_is_passed_over(backend: LocalBackend, forged: RunRecord) -> None:
    runcache.save(backend, forged)
    assert found(backend, "b") is None
    runcache.save(backend, record("b"))
    assert found(backend, "b") == record("b").stage


def test_a_record_must_match_its_name_and_its_place(backend: LocalBackend) -> None:
    name = runcache.save(backend, record("b"))
    data = backend.read(name)
    backend.put_bytes(name.replace(name[-10:-5], "00000"), data)
    backend.put_bytes(f"runs/{KEY[:2]}/{KEY}/junk", b"junk")
    other = "0" * 64
    backend.put_bytes(name.replace(KEY, other).replace(f"runs/{KEY[:2]}", "runs/00"), data)
    assert runcache.records(backend, KEY) == [record("b")]
    assert runcache.records(backend, other) == []
