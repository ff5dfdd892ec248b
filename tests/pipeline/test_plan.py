from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.errors import InvalidError
from mlgit.model.lock import StageLock
from mlgit.model.oid import Oid
from mlgit.model.relpath import RelPath
from mlgit.model.runrecord import Environment, RunRecord
from mlgit.model.stage import Out, ParamRef, Stage
from mlgit.model.tree import Content
from mlgit.pipeline.key import stage_key
from mlgit.pipeline.params import ParamFiles
from mlgit.pipeline.plan import Step, decide, decide_blind
from mlgit.pipeline.status import Seen

FILE, DEP, OUT, PARAMS = RelPath("mlgit.yaml"), RelPath("raw.csv"), RelPath("model"), RelPath("params.yaml")


def content(digit: str) -> Content:
    return Content(Oid(f"blake3:{digit * 64}"), "file", 1)


STAGE = Stage("train", FILE, "fit", deps=(DEP,), params=(ParamRef(PARAMS, ("lr",)),), outs=(Out(OUT),))
LOCK = StageLock("fit", {DEP: content("a")}, {PARAMS: {"lr": 0.1}}, {OUT: content("b")})
SEEN = Seen({DEP: content("a")}, {PARAMS: {"lr": 0.1}}, {OUT: content("b")})


def record_of(entry: StageLock) -> RunRecord:
    return RunRecord("0" * 64, entry, "2026-01-01T00:00:00.000000Z", 2.5, 0, Environment("3", "x", "1"))


def step(
    stage: Stage = STAGE,
    locked: StageLock | None = LOCK,
    seen: Seen = SEEN,
    *,
    force: bool = False,
    cached: bool = True,
    entry: StageLock | None = None,
) -> Step:
    return decide(stage, locked, seen, force=force, has=lambda _: cached, remembered=lambda: entry and record_of(entry))


def test_nothing_changed_is_skipped() -> None:
    assert step() == Step("train", "skip", "nothing changed")


@pytest.mark.parametrize(
    ("stage", "locked", "seen", "reason"),
    [
        (STAGE, None, SEEN, "has no entry in the lock"),
        (replace(STAGE, cmd="fit -v"), LOCK, SEEN, "the command changed"),
        (replace(STAGE, cmd=("fit",)), LOCK, SEEN, "the command changed"),
        (replace(STAGE, wdir=RelPath("w")), LOCK, SEEN, "runs in another folder: . → w"),
        (replace(STAGE, always_changed=True), LOCK, SEEN, "is set to run always"),
        (Stage("train", FILE, "fit"), StageLock("fit"), Seen(), "declares neither inputs nor outputs"),
        (STAGE, LOCK, replace(SEEN, deps={DEP: content("c")}), "dependency raw.csv changed"),
        (STAGE, LOCK, replace(SEEN, deps={DEP: None}), "dependency raw.csv is missing"),
        (STAGE, LOCK, replace(SEEN, deps={}), "dependency raw.csv is no longer declared"),
        (STAGE, replace(LOCK, deps={}), SEEN, "dependency raw.csv is new"),
        (STAGE, LOCK, replace(SEEN, params={PARAMS: {"lr": 1}}), "parameter params.yaml:lr changed: 0.1 → 1"),
        (STAGE, LOCK, replace(SEEN, params={}), "parameter params.yaml:lr is no longer declared"),
        (STAGE, replace(LOCK, params={}), SEEN, "parameter params.yaml:lr is new"),
        (STAGE, replace(LOCK, outs={}), SEEN, "output model is new"),
    ],
)
def test_every_change_runs_the_stage_and_is_named(
    stage: Stage, locked: StageLock | None, seen: Seen, reason: str
) -> None:
    found = step(stage, locked, seen)
    assert (found.action, found.reason) == ("run", reason)


@pytest.mark.parametrize(("now", "reason"), [(None, "output model is missing"), (content("c"), "output model changed")])
def test_an_output_that_is_off_is_restored_and_only_run_if_it_is_gone(now: Content | None, reason: str) -> None:
    seen = replace(SEEN, outs={OUT: now})
    assert step(seen=seen) == Step("train", "restore", reason, step(seen=seen).changes, entry=LOCK)
    assert step(seen=seen, cached=False).action == "run"


def test_a_run_that_is_remembered_is_restored() -> None:
    seen = replace(SEEN, params={PARAMS: {"lr": 1}})
    entry = replace(LOCK, params={PARAMS: {"lr": 1}})
    found = step(seen=seen, entry=entry)
    assert (found.action, found.entry) == ("restore", entry)
    assert step(seen=seen, entry=entry, force=True).action == "run"
    assert step(replace(STAGE, always_changed=True), entry=entry).action == "run"
    assert step(replace(STAGE, outs=(Out(OUT, persist=True),)), seen=seen, entry=entry).action == "run"


def test_a_frozen_stage_never_runs() -> None:
    frozen = replace(STAGE, frozen=True)
    assert step(frozen).action == "frozen"
    assert step(frozen, force=True).action == "frozen"
    assert (
        step(frozen, seen=replace(SEEN, deps={DEP: None})).reason
        == "it is frozen, though dependency raw.csv is missing"
    )
    assert step(frozen, seen=replace(SEEN, outs={OUT: None})).action == "restore"


def test_many_reasons_are_cut() -> None:
    deps = {RelPath(f"d{n}"): content("a") for n in range(9)}
    stage = replace(STAGE, deps=tuple(deps))
    assert step(stage, seen=replace(SEEN, deps=deps)).reason.endswith("7 more")


def test_behind_a_stage_that_runs_nothing_is_certain() -> None:
    assert not decide_blind(STAGE, LOCK, SEEN, force=False, behind=["split"]).certain
    assert decide_blind(STAGE, None, SEEN, force=False, behind=["split"]).certain
    assert decide_blind(replace(STAGE, frozen=True), LOCK, SEEN, force=True, behind=["split"]).action == "frozen"


def test_the_key_depends_on_everything_that_matters_and_nothing_else() -> None:
    def key(stage: Stage = STAGE, dep: Content = LOCK.deps[DEP], lr: Any = 0.1) -> str:
        return stage_key(stage, {DEP: dep}, {PARAMS: {"lr": lr}})

    keys = {
        key(),
        key(replace(STAGE, cmd="fit -v")),
        key(replace(STAGE, cmd=("fit",))),
        key(replace(STAGE, wdir=RelPath("w"))),
        key(replace(STAGE, outs=(Out(RelPath("other")),))),
        key(replace(STAGE, outs=(Out(OUT, cache=False),))),
        key(replace(STAGE, outs=(Out(OUT, persist=True),))),
        key(dep=content("c")),
        key(lr=1),
        key(lr=True),
        key(lr="0.1"),
    }
    assert len(keys) == 11
    assert key(replace(STAGE, name="fit", desc="x", frozen=True)) == key()
    assert key(dep=replace(content("a"), size=99)) == key()


@given(st.permutations(["a", "b", "c", "d"]))
def test_the_key_does_not_depend_on_order(order: list[str]) -> None:
    deps = {RelPath(name): content(name) for name in order}
    assert stage_key(STAGE, deps, {}) == stage_key(STAGE, dict(sorted(deps.items())), {})


FILES = {
    "params.yaml": b"lr: 0.1\nmodel: {depth: 3, sizes: [8, 16]}\n'dotted.key': 5\n",
    "p.json": b'{"a": {"b": null}}',
    "p.toml": b"when = 2024-01-02\n[t]\nx = 1.5\n",
    "list.yaml": b"- 1",
    "bad.json": b"{",
    "p.ini": b"",
    "deep.json": b'{"x":' + b"[" * 600 + b"]" * 600 + b"}",
    "deeper.json": b'{"x":' * 100_000,
    "surrogate.json": b'{"x": "\\ud800"}',
    "digits.json": b'{"x": ' + b"1" * 5000 + b"}",
}


def values(file: str, *keys: str) -> Any:
    return ParamFiles(FILES.get).values([ParamRef(RelPath(file), keys)], "stage 'train'")[RelPath(file)]


def test_values_come_from_every_format_and_depth() -> None:
    assert values("params.yaml", "lr", "model.depth", "model.sizes.1", "dotted.key") == {
        "lr": 0.1,
        "model.depth": 3,
        "model.sizes.1": 16,
        "dotted.key": 5,
    }
    assert values("p.json", "a.b") == {"a.b": None}
    assert values("p.toml", "t.x", "when") == {"t.x": 1.5, "when": "2024-01-02"}
    assert values("p.toml") == {"when": "2024-01-02", "t": {"x": 1.5}}


@pytest.mark.parametrize(
    ("file", "key"),
    [
        ("params.yaml", "lrr"),
        ("params.yaml", "model.sizes.2"),
        ("params.yaml", "lr.x"),
        ("nope.yaml", "x"),
        ("list.yaml", "x"),
        ("bad.json", "x"),
        ("p.ini", "x"),
        ("deep.json", "x"),
        ("deeper.json", "x"),
        ("surrogate.json", "x"),
        ("digits.json", "x"),
    ],
)
def test_a_value_that_cannot_be_read_is_named(file: str, key: str) -> None:
    with pytest.raises(InvalidError, match=file.replace(".", r"\.")) as caught:
        values(file, key)
    assert caught.value.hint


def test_a_file_is_read_once_until_a_stage_writes_it() -> None:
    reads: list[str] = []

    def read(path: RelPath) -> bytes | None:
        reads.append(path)
        return b"a: 1"

    files = ParamFiles(read)
    ref = ParamRef(RelPath("d/p.yaml"), ("a",))
    files.values([ref], "x")
    files.values([ref], "x")
    files.forget([RelPath("other")])
    files.values([ref], "x")
    assert len(reads) == 1
    files.forget([RelPath("d")])
    files.values([ref], "x")
    assert len(reads) == 2
