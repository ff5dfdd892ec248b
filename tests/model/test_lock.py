from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.errors import InvalidError, MlgitError, UnsafeError
from mlgit.model import lock, runrecord
from mlgit.model.lock import Lock, StageLock
from mlgit.model.oid import Oid
from mlgit.model.relpath import RelPath
from mlgit.model.runrecord import Environment, RunRecord
from mlgit.model.tree import Content

OID = Oid("blake3:" + "ab" * 32)

oids = st.binary(min_size=32, max_size=32).map(lambda digest: Oid.from_digest("blake3", digest))
sizes = st.integers(0, 10**15)
contents = st.builds(Content, oids, st.just("file"), sizes) | st.builds(Content, oids, st.just("tree"), sizes, sizes)
names = st.text("abcXYZ0123456789_- éñ#:'\"", min_size=1, max_size=8).filter(lambda name: ":" not in name[:3])
paths = st.lists(names, min_size=1, max_size=3).map(lambda parts: RelPath("/".join(parts)))
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
scalars = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
commands = texts.filter(bool) | st.lists(texts, min_size=1, max_size=4).map(tuple)
entries = st.builds(
    StageLock,
    cmd=commands,
    deps=st.dictionaries(paths, contents, max_size=3),
    params=st.dictionaries(paths, st.dictionaries(texts, values, max_size=3), max_size=2),
    outs=st.dictionaries(paths, contents, max_size=3),
    wdir=st.just(RelPath("")) | paths,
)


@given(st.dictionaries(names, entries, max_size=3))
def test_a_lock_survives_encoding(stages: dict[str, StageLock]) -> None:
    text = lock.encode(Lock(stages))
    again = lock.decode(text, "mlgit.lock")
    assert again == Lock(stages)
    assert lock.encode(again) == text
    assert lock.decode(text.encode(), "mlgit.lock") == again


@given(entries, st.floats(0, 1e9), st.none() | st.just("c" * 40))
def test_a_run_record_survives_encoding(entry: StageLock, seconds: float, commit: str | None) -> None:
    record = RunRecord(
        "ab" * 32, entry, "2024-01-01T00:00:00.000000Z", seconds, 0, Environment("3.11", "x", "1"), commit
    )
    assert runrecord.decode(runrecord.encode(record).encode(), "run") == record


def test_the_order_of_building_does_not_show() -> None:
    one, two = StageLock("a", {RelPath("x"): Content(OID, "file", 1)}), StageLock("b")
    assert lock.encode(Lock({"p": one, "q": two})) == lock.encode(Lock({"q": two, "p": one}))


def test_the_text_is_what_the_documentation_shows() -> None:
    entry = StageLock(
        "python train.py",
        {RelPath("b.py"): Content(OID, "file", 10), RelPath("a"): Content(OID, "tree", 20, 3)},
        {RelPath("params.yaml"): {"train.lr": 0.1, "seed": 1}},
        {RelPath("model.pkl"): Content(OID, "file", 5)},
    )
    assert lock.encode(Lock({"train": entry})) == (
        "mlgit: 1\nstages:\n  train:\n    cmd: python train.py\n    deps:\n"
        f"      a: tree {OID} 20 3\n      b.py: file {OID} 10\n"
        "    params:\n      params.yaml:\n        seed: 1\n        train.lr: 0.1\n"
        f"    outs:\n      model.pkl: file {OID} 5\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "stages: {}",
        "mlgit: 2\nstages: {}",
        "mlgit: 1\nstages: {}\nextra: 1",
        "mlgit: 1\nstages:\n  a: {}",
        "mlgit: 1\nstages:\n  a: {cmd: x, outs: {m: file blake3:00 1}}",
        "mlgit: 1\nstages:\n  a: {cmd: x, outs: {m: 3}}",
        "mlgit: 1\nstages:\n  a: {cmd: x, params: {p: 3}}",
        f"mlgit: 1\nstages:\n  a: {{cmd: x, outs: {{m: file {OID} 1 1}}}}",
        f"mlgit: 1\nstages:\n  a: {{cmd: x, outs: {{.: tree {OID} 1 1}}}}",
        "mlgit: 1\nstages:\n  a: {cmd: x}\n  a: {cmd: y}",
        "<<<<<<< HEAD\nmlgit: 1\n=======\n",
    ],
)
def test_a_malformed_lock_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match=r"mlgit\.lock"):
        lock.decode(text, "mlgit.lock")


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", ".git/hooks/x", "a/.GIT/x", "C:\\x"])
def test_a_hostile_path_is_refused(path: str) -> None:
    with pytest.raises(UnsafeError, match=r"mlgit\.lock"):
        lock.decode(f"mlgit: 1\nstages:\n  a: {{cmd: x, outs: {{'{path}': file {OID} 1}}}}", "mlgit.lock")


@given(st.text(max_size=80) | st.binary(max_size=80))
def test_only_known_errors_come_out(data: str | bytes) -> None:
    try:
        lock.decode(data, "mlgit.lock")
    except MlgitError as error:
        assert error.code in (10, 14)


GOOD = runrecord.encode(RunRecord("ab" * 32, StageLock("x"), "2024", 1.0, 0, Environment("3", "x", "1")))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{", "["),
        ('"mlgit":2', '"mlgit":3'),
        ('"seconds":1.0', '"seconds":' + "9" * 400),
        ('"seconds":1.0', '"seconds":"1"'),
        ('"commit":null,', '"commit":3,'),
        ('"commit":null,', '"user":"me",'),
        ('"cmd":"x"', '"cmd":"x","outs":{"../x":"file blake3:' + "0" * 64 + ' 1"}'),
        ('"cmd":"x"', '"cmd":"x","params":{"p":{"k":' + "[" * 600 + "]" * 600 + "}}"),
        ('"cmd":"x"', '"cmd":"x","params":{"p":' + '{"k":' * 5000),
    ],
)
def test_a_hostile_record_is_refused(old: str, new: str) -> None:
    assert old in GOOD
    with pytest.raises(MlgitError) as caught:
        runrecord.decode(GOOD.replace(old, new, 1).encode(), "runs/x.json")
    assert caught.value.code in (10, 14)


def test_a_lock_of_thousands_of_stages_can_be_read_again() -> None:
    deps = {RelPath(f"data/part-{n:03}.csv"): Content(OID, "file", n) for n in range(40)}
    big = Lock({f"stage-{n:04}": StageLock("x", deps) for n in range(400)})
    text = lock.encode(big)
    assert len(text) > 1 << 20
    assert lock.decode(text.encode(), "mlgit.lock") == big


def test_values_that_python_takes_for_equal_are_told_apart() -> None:
    assert not lock.same(1, True)
    assert not lock.same(1, 1.0)
    assert lock.same(float("nan"), float("nan"))
    assert lock.same({"a": 1, "b": 2}, {"b": 2, "a": 1})
