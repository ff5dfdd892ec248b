"""Run records that travel: a colleague restores what was run elsewhere, and hostile remotes are inert."""

from __future__ import annotations

import shutil
import subprocess
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from mlgit.model import runrecord
from mlgit.model.lock import StageLock
from mlgit.model.oid import Oid
from mlgit.model.relpath import RelPath
from mlgit.model.runrecord import Environment, RunRecord
from mlgit.model.stage import Out, Stage
from mlgit.model.tree import Content
from mlgit.pipeline import runbundle, runcache
from mlgit.pipeline.key import stage_key
from mlgit.pipeline.runbundle import Bundles
from mlgit.pipeline.runshare import RemoteRuns
from mlgit.pipeline.status import Seen
from mlgit.repo import Repo
from mlgit.store.backend import Stat
from mlgit.store.local import LocalBackend

Mlgit = Callable[..., Any]
STAGES = """\
stages:
  train:
    cmd: echo ran >> ../log; sed s/c/model/ params.yaml > model
    params: [c]
    outs: [model]
  evaluate:
    cmd: echo ran >> ../log; mkdir score && wc -l < model > score/lines && cat model >> score/lines
    deps: [model]
    outs:
      - score: {cache: false}
  secret:
    cmd: sed s/model/secret/ model > secret
    deps: [model]
    outs:
      - secret: {push: false}
"""


class Team:
    """Two working trees of one project, and the remote between them."""

    def __init__(self, mlgit: Mlgit, project: Path) -> None:
        self._mlgit = mlgit
        self.mine = project
        self.theirs = project.with_name("theirs")
        self.remote = project.with_name("remote")

    def run(self, folder: Path, *words: str, code: int = 0) -> str:
        done = self._mlgit(*words, cwd=folder, code=code)
        return str(done.out + done.err)

    def set(self, folder: Path, value: object) -> None:
        (folder / "params.yaml").write_text(f"c: {value}\n")

    def commit(self) -> None:
        for words in (["add", "-A"], ["commit", "-q", "-m", "x"]):
            subprocess.run(["git", *words], cwd=self.mine, check=True)

    def clone(self) -> Path:
        self.run(self.mine.parent, "clone", str(self.mine), str(self.theirs))
        return self.theirs

    @property
    def runs(self) -> int:
        """How many commands ran, of those that say so."""
        log = self.mine.parent / "log"
        return len(log.read_text().splitlines()) if log.exists() else 0

    @property
    def records(self) -> list[RunRecord]:
        """All that the remote has."""
        lines = dict(Bundles(LocalBackend(self.remote), None))
        return [record for line in lines.values() if (record := runcache.decode(line))]


@pytest.fixture
def team(mlgit: Mlgit, repo: Repo) -> Team:
    """The stages ran with c = 1, then with c = 2; what stands now is committed."""
    team = Team(mlgit, repo.root)
    team.run(repo.root, "remote", "add", "-d", "store", "../remote")
    (repo.root / "mlgit.yaml").write_text(STAGES)
    for value in (1, 2):
        team.set(repo.root, value)
        team.run(repo.root, "repro")
    team.commit()
    return team


def test_what_was_pushed_is_restored_by_who_has_no_lock(team: Team) -> None:
    said = team.run(team.mine, "push")
    assert "2 run records" in said
    assert {str(path) for record in team.records for path in record.stage.outs} == {"model", "score"}
    theirs, ran = team.clone(), team.runs
    for name in ("mlgit.lock", "model"):
        (theirs / name).unlink()
    shutil.rmtree(theirs / "score")
    said = team.run(theirs, "fetch", "--run-cache")
    said = team.run(theirs, "repro")
    assert "train: restored" in said
    assert "evaluate: restored" in said
    assert team.runs == ran
    assert (theirs / "mlgit.lock").read_bytes() == (team.mine / "mlgit.lock").read_bytes()


def test_an_earlier_run_comes_with_run_cache_only(team: Team) -> None:
    team.run(team.mine, "push")
    theirs = team.clone()
    team.run(theirs, "fetch", "--run-cache")
    team.set(theirs, 1)
    assert "train: running" in team.run(theirs, "repro", "train")
    assert "2 run records" in team.run(team.mine, "push", "--run-cache")
    ran = team.runs
    team.set(theirs, 2)
    team.run(theirs, "repro", "train")
    shutil.rmtree(theirs / ".mlgit" / "cache")
    said = team.run(theirs, "pull", "--run-cache")
    assert "4 run records" in said
    team.set(theirs, 1)
    said = team.run(theirs, "repro", "evaluate")
    assert "train: restored" in said
    assert "evaluate: restored" in said
    assert team.runs == ran
    assert (theirs / "model").read_text() == "model: 1\n"
    again = team.run(theirs, "pull", "--run-cache")
    assert "nothing to do" in again


def test_nothing_that_is_never_pushed_leaves(team: Team) -> None:
    said = team.run(team.mine, "push", "--run-cache")
    assert "4 run records" in said
    assert all(RelPath("secret") not in record.stage.outs for record in team.records)
    assert all(b"secret" not in path.read_bytes() for path in team.remote.rglob("*") if path.is_file())
    assert "nothing to do" in team.run(team.mine, "push", "--run-cache")
    assert "set not to be (push: false): secret" in team.run(team.mine, "push", "secret")
    theirs = team.clone()
    assert "everything but what is never pushed: secret" in team.run(theirs, "fetch")
    said = team.run(theirs, "pull", "secret", code=12)
    assert "never pushed (push: false)" in said
    assert "mlgit repro secret" in said


def test_what_no_stage_declares_any_more_stays(team: Team) -> None:
    (team.mine / "mlgit.yaml").write_text(STAGES.replace("evaluate:", "other:").replace("score", "points"))
    team.run(team.mine, "push", "--run-cache")
    assert {str(path) for record in team.records for path in record.stage.outs} == {"model"}


def test_a_push_of_data_alone_asks_nothing_about_runs(repo: Repo, mlgit: Mlgit) -> None:
    (repo.root / "data").write_text("x")
    for words in (["add", "data"], ["remote", "add", "-d", "store", "../remote"], ["push"]):
        mlgit(*words, cwd=repo.root)
    assert not (repo.root.parent / "remote" / "runs").exists()


def test_gc_drops_records_of_what_is_gone(team: Team) -> None:
    runs = team.mine / ".mlgit" / "cache" / "runs"
    before = sorted(runs.rglob("*.json"))
    assert len(before) == 6
    said = team.run(team.mine, "gc", "-w", "--grace", "0", "--dry-run")
    assert "3 run records" in said
    assert sorted(runs.rglob("*.json")) == before
    said = team.run(team.mine, "gc", "-w", "--grace", "0", "--yes")
    assert "3 run records" in said
    assert len(list(runs.rglob("*.json"))) == 3
    assert "nothing to delete" in team.run(team.mine, "gc", "-w", "--grace", "0", "--yes")
    assert '"records": 0' in team.run(team.mine, "gc", "-w", "--json", "--yes")


def test_young_records_are_left_alone(team: Team) -> None:
    assert "run record" not in team.run(team.mine, "gc", "-w", "--yes")


def test_a_stage_is_looked_up_and_only_its_outputs_come(team: Team) -> None:
    team.run(team.mine, "push", "--run-cache")
    theirs = Repo(team.clone())
    shutil.rmtree(theirs.root / ".mlgit" / "cache")
    theirs = Repo(theirs.root)
    stage = theirs.project().stages["train"]
    runs = RemoteRuns(theirs.workspace, None)
    assert runs.lookup(stage, Seen(params={RelPath("params.yaml"): {"c": 3}})) is None
    record = runs.lookup(stage, Seen(params={RelPath("params.yaml"): {"c": 1}}))
    assert record is not None
    with theirs.workspace.using_cache("test"):
        runs.bring(stage, record)
    store = theirs.workspace.store
    assert store.read(record.stage.outs[RelPath("model")].oid) == b"model: 1\n"
    assert len(list(store.catalog)) == 1
    seen = Seen(params={RelPath("params.yaml"): {"c": 1}})
    assert runcache.lookup(store.backend, stage, seen, theirs.workspace.has) == record


def test_repro_restores_what_others_ran_from_the_remote(team: Team) -> None:
    team.run(team.mine, "push", "--run-cache")
    theirs, ran = team.clone(), team.runs
    team.set(theirs, 1)
    said = team.run(theirs, "repro", "--pull", "evaluate")
    assert "train: restored" in said
    assert "evaluate: restored" in said
    assert team.runs == ran
    assert (theirs / "score" / "lines").read_text() == "1\nmodel: 1\n"


# -- bundles -------------------------------------------------------------------------------------------------------


DEP, OUT = RelPath("raw"), RelPath("model")
STAGE = Stage("train", RelPath("mlgit.yaml"), "fit", deps=(DEP,), outs=(Out(OUT),))


def content(number: int) -> Content:
    return Content(Oid(f"blake3:{number:064x}"), "file", 1)


def line(number: int, **changes: Any) -> tuple[str, bytes]:
    """The record of a run on input `number`."""
    key = stage_key(STAGE, {DEP: content(number)}, {})
    entry = StageLock("fit", {DEP: content(number)}, {}, {OUT: content(number + 1)})
    environment = Environment("3.11", "Linux", "1", ("a==1", "b==2"), "0" * 64)
    record = replace(RunRecord(key, entry, "2024-01-01", 1.5, 0, environment), **changes)
    data = runrecord.encode(record).encode()
    name = runcache.name_of(data)
    assert name is not None
    return name, data


def publish(root: Path, data: bytes, name: str | None = None) -> None:
    """Put a bundle into the remote at `root`, rightly named by default."""
    (root / "runs").mkdir(parents=True, exist_ok=True)
    (root / (name or f"runs/{blake3(data).hexdigest()}.runs")).write_bytes(data)


def found(root: Path, number: int, kept: Path | None = None) -> list[RunRecord]:
    key = stage_key(STAGE, {DEP: content(number)}, {})
    return list(Bundles(LocalBackend(root), kept).records(key).values())


def test_many_pushes_leave_few_bundles_and_every_record(tmp_path: Path) -> None:
    lines = dict(map(line, range(200)))
    for name, data in lines.items():
        assert Bundles(LocalBackend(tmp_path), None).add({name: data}) == 1
    bundles = Bundles(LocalBackend(tmp_path), None)
    assert dict(bundles) == lines
    assert len(bundles.files) <= 9
    assert bundles.add(lines) == 0


def test_large_bundles_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runbundle, "_PART", 4000)
    lines = dict(map(line, range(40)))
    bundles = Bundles(LocalBackend(tmp_path), None)
    bundles.add(lines)
    first = set(bundles.files)
    assert len(first) > 3
    bundles.add(dict([line(50)]))
    assert len(first - set(bundles.files)) <= 1
    assert dict(Bundles(LocalBackend(tmp_path), None)) == lines | dict([line(50)])


def test_two_at_once_lose_nothing(tmp_path: Path) -> None:
    Bundles(LocalBackend(tmp_path), None).add(dict([line(0)]))
    first, second = (Bundles(LocalBackend(tmp_path), None) for _ in range(2))
    assert len(first.files) == len(second.files) == 1
    first.add(dict([line(1)]))
    second.add(dict([line(2)]))
    assert dict(Bundles(LocalBackend(tmp_path), None)) == dict(map(line, range(3)))


class Merging(LocalBackend):
    """A remote whose bundles somebody merges between the list and the read."""

    def list(self, prefix: str) -> Any:
        stats = [*super().list(prefix)]
        if len(stats) > 1:
            lines = dict(Bundles(LocalBackend(self.root), None))
            publish(self.root, runbundle.encode(lines))
            for stat in stats:
                (self.root / stat.name).unlink()
        return iter(stats)


def test_a_merge_between_list_and_read_is_no_loss(tmp_path: Path) -> None:
    for number in (0, 1):
        publish(tmp_path, runbundle.encode(dict([line(number)])))
    assert dict(Bundles(Merging(tmp_path), None)) == dict(map(line, range(2)))


class Distant(LocalBackend):
    """A folder that counts what is asked of it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked: list[str] = []

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        self.asked.append(name)
        return super().read(name, offset, length)

    def list(self, prefix: str) -> Any:
        self.asked.append(prefix)
        return super().list(prefix)


def test_a_bundle_is_downloaded_once_and_its_copy_goes_with_it(tmp_path: Path) -> None:
    remote, kept = Distant(tmp_path / "remote"), tmp_path / "kept"
    Bundles(remote, None).add(dict(map(line, range(100))))
    remote.asked.clear()
    bundles = Bundles(remote, kept)
    assert all(bundles.records(stage_key(STAGE, {DEP: content(number)}, {})) for number in range(100))
    assert len(remote.asked) == 2
    assert len(dict(Bundles(remote, kept))) == 100
    assert len(remote.asked) == 3
    (copy,) = (kept / "runs").iterdir()
    copy.write_bytes(b"spoiled")
    assert len(dict(Bundles(remote, kept))) == 100
    Bundles(remote, None).add(dict(map(line, range(100, 200))))
    assert len(dict(Bundles(remote, kept))) == 200
    assert copy not in (kept / "runs").iterdir()


def test_hostile_bundles_are_inert(tmp_path: Path) -> None:
    good, data = line(0)
    publish(tmp_path, runbundle.encode({good: data}))
    publish(tmp_path, b"garbage")
    publish(tmp_path, zlib.compress(b"\0" * (64 << 20)))  # unpacks to more than any bundle
    publish(tmp_path, zlib.compress(data)[:-3])
    publish(tmp_path, runbundle.encode({good: data}), f"runs/{'0' * 64}.runs")
    publish(tmp_path, b"x" * 100, f"runs/{'1' * 64}.runs")
    publish(tmp_path, b"x", "runs/junk")
    publish(tmp_path, zlib.compress(b'{"key":"' + b"0" * 64 + b'"}\n{"key":"../../x"}\n[]\n\xff\n'))
    publish(tmp_path, runbundle.encode(dict([line(0, key="0" * 64)])))  # another run's result under a wrong key
    evil = line(0)[1].replace(b'"model":"file', b'"../../m":"file')
    publish(tmp_path, zlib.compress(evil))
    with open(tmp_path / "runs" / f"{'2' * 64}.runs", "wb") as file:
        file.truncate(1 << 40)
    (only,) = found(tmp_path, 0, tmp_path / "kept")
    assert only == runcache.decode(data)
    forged = replace(only, stage=replace(only.stage, cmd="other"), started="2999")
    publish(tmp_path, runbundle.encode(dict([line(0, stage=forged.stage, started="2999")])))
    key = stage_key(STAGE, {DEP: content(0)}, {})
    best = runcache.newest(found(tmp_path, 0), STAGE, key, lambda _: True)
    assert best == only


def test_there_are_bounds_on_what_is_taken_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        publish(tmp_path, runbundle.encode(dict([line(number)])))
    one = len(line(0)[1])
    monkeypatch.setattr(runbundle, "_MOST_BUNDLES", 5)
    assert len(dict(Bundles(LocalBackend(tmp_path), None))) == 5
    monkeypatch.setattr(runbundle, "_MOST_BYTES", 3 * one + 3)
    assert len(dict(Bundles(LocalBackend(tmp_path), None))) == 3


def test_a_hostile_remote_stops_nobody(team: Team) -> None:
    """Names of records that lead elsewhere, and outputs that no object stands behind."""
    team.run(team.mine, "push")
    (record,) = (one for one in team.records if RelPath("model") in one.stage.outs)
    absent = replace(record, stage=replace(record.stage, outs={RelPath("model"): content(7)}), started="2999")
    data = runrecord.encode(absent).encode()
    publish(team.remote, zlib.compress(data))
    publish(team.remote, zlib.compress(data.replace(b'"model":"file', b'".git/x":"file')))
    publish(team.remote, b"garbage")
    theirs = team.clone()
    team.run(theirs, "pull", "--run-cache")
    assert not any(b"2999" in path.read_bytes() for path in (theirs / ".mlgit" / "cache" / "runs").rglob("*.json"))
    runs = RemoteRuns(Repo(theirs).workspace, None)
    stage = Repo(theirs).project().stages["train"]
    assert runs.lookup(stage, Seen(params={RelPath("params.yaml"): {"c": 2}})) == record


def test_outputs_with_a_remote_of_their_own_go_there_and_records_go_home(team: Team) -> None:
    text = STAGES.replace("[model]\n  eval", "[model: {remote: cold}]\n  eval").replace(
        "{cache: false", "{cache: false, remote: nowhere"
    )
    (team.mine / "mlgit.yaml").write_text(text)
    team.run(team.mine, "remote", "add", "cold", "../cold")
    team.run(team.mine, "push", "--run-cache")
    assert len(team.records) == 4
    assert (team.remote.with_name("cold") / "packs").is_dir()
    team.commit()
    theirs = Repo(team.clone())
    shutil.rmtree(theirs.root / ".mlgit" / "cache")
    theirs = Repo(theirs.root)
    stages, runs = theirs.project().stages, RemoteRuns(theirs.workspace, None)
    record = runs.lookup(stages["train"], Seen(params={RelPath("params.yaml"): {"c": 1}}))
    assert record is not None
    with theirs.workspace.using_cache("test"):
        runs.bring(stages["train"], record)
    assert theirs.workspace.has(record.stage.outs[RelPath("model")])
    evaluated = runs.lookup(stages["evaluate"], Seen(deps=record.stage.outs))
    assert evaluated is not None
    with theirs.workspace.using_cache("test"):
        runs.bring(stages["evaluate"], evaluated)


def test_records_that_cannot_be_had_stop_no_pull(team: Team) -> None:
    team.run(team.mine, "push")
    shutil.rmtree(team.remote / "runs")
    (team.remote / "runs").write_text("in the way")
    theirs = team.clone()
    assert (theirs / "model").read_text() == "model: 2\n"
    team.run(theirs, "pull", "--run-cache", code=10)


def test_stats_of_local_records_only(tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path)
    name, data = line(0)
    backend.put_bytes(name, data)
    publish(tmp_path, runbundle.encode({name: data}))
    (stat,) = runcache.every(backend)
    assert isinstance(stat, Stat)
    assert stat.name == name
    assert runcache.read(backend, stat) == data
