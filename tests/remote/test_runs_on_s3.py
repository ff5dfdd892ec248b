"""Run records on S3: thousands of them cost a handful of requests, and the whole way works there."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mlgit.model import runrecord
from mlgit.model.config import Layer
from mlgit.model.lock import StageLock
from mlgit.model.oid import Oid
from mlgit.model.relpath import RelPath
from mlgit.model.runrecord import Environment, RunRecord
from mlgit.model.stage import Out, Stage
from mlgit.model.tree import Content
from mlgit.pipeline import runcache
from mlgit.pipeline.key import stage_key
from mlgit.pipeline.runbundle import Bundles
from mlgit.pipeline.runshare import RemoteRuns, Sharing, declared
from mlgit.pipeline.status import Seen
from mlgit.remote.filesystem import FsspecBackend
from mlgit.repo import Repo
from mlgit.store.hashing import hash_bytes

RUNS = 1000
PARAMS = RelPath("params.yaml")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts the requests to S3, by the folder of the store that they are about."""
    s3fs = pytest.importorskip("s3fs")
    asked: Counter[str] = Counter()
    call = s3fs.S3FileSystem._call_s3

    async def counted(self: Any, method: str, *arguments: Any, **options: Any) -> Any:
        named = re.search(r"/store/(\w+)", f"{arguments} {options}")
        asked[named[1] if named else method] += 1
        return await call(self, method, *arguments, **options)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", counted)
    return asked


def record(stage: Stage, number: int, content: Content) -> RunRecord:
    """A run with the parameter `number` that gave `content`."""
    params = {PARAMS: {"c": number}}
    entry = StageLock(stage.cmd, {}, params, {stage.outs[0].path: content})
    environment = Environment("3.11", "Linux", "1", tuple(f"package{one}==1" for one in range(100, 300)), "0" * 64)
    return RunRecord(stage_key(stage, {}, params), entry, "2024-01-01", 1.0, 0, environment)


def test_a_thousand_records_in_few_requests(
    s3_url: str, s3_options: dict[str, Any], asked: Counter[str], tmp_path: Path
) -> None:
    stage = Stage("train", RelPath("mlgit.yaml"), "fit", outs=(Out(RelPath("model")),))
    lines = {}
    for number in range(RUNS):
        content = Content(Oid(f"blake3:{number:064x}"), "file", 1)
        data = runrecord.encode(record(stage, number, content)).encode()
        lines[runcache.name_of(data) or ""] = data
    Bundles(FsspecBackend(s3_url, s3_options), None).add(lines)
    assert asked.total() <= 4, "s3fs asks three times about a folder that is empty"
    asked.clear()
    bundles = Bundles(FsspecBackend(s3_url, s3_options), tmp_path)
    keys = [name.split("/")[2] for name in lines]
    assert all(bundles.records(key) for key in keys)
    assert asked.total() <= 3
    asked.clear()
    assert len(dict(Bundles(FsspecBackend(s3_url, s3_options), tmp_path))) == RUNS
    assert asked.total() == 1, "the copies that were kept are enough"


def test_push_and_fetch_with_the_run_cache(
    repo: Repo, s3_url: str, s3_options: dict[str, Any], asked: Counter[str], tmp_path: Path
) -> None:
    (repo.root / "mlgit.yaml").write_text("stages:\n  train:\n    cmd: fit\n    params: [c]\n    outs: [model]\n")
    (repo.root / "params.yaml").write_text("c: 1\n")
    remote = {"url": s3_url, **s3_options}
    fresh = with_remote(repo, remote)
    stage = fresh.project().stages["train"]
    runs = [run(fresh, stage, number) for number in range(50)]
    asked.clear()
    done = sharing(fresh).push([])
    assert (done.records, done.moved.objects) == (50, 50)
    assert asked["runs"] <= 4, asked
    asked.clear()
    assert sharing(fresh).push([]).records == 0
    assert asked["runs"] == 1, asked
    assert asked.total() <= 6, asked

    (tmp_path / "other").mkdir()
    fresh.git.run("worktree", "add", "-q", "--detach", str(tmp_path / "other" / "tree"))
    other = tmp_path / "other" / "tree"
    for name in ("mlgit.yaml", "params.yaml"):
        (other / name).write_bytes((repo.root / name).read_bytes())
    theirs = with_remote(Repo(other), remote)
    asked.clear()
    found = RemoteRuns(theirs.workspace, None)
    assert asked.total() == 0, "nothing is asked before the first lookup"
    for number in range(50):
        assert found.lookup(stage, Seen(params={PARAMS: {"c": number}})) == runs[number]
    assert asked.total() <= 8, asked
    with theirs.workspace.using_cache("test"):
        found.bring(stage, runs[7])
    assert theirs.workspace.store.read(runs[7].stage.outs[RelPath("model")].oid) == b"model 7"
    assert len(list(theirs.workspace.store.catalog)) == 1
    with theirs.workspace.using_cache("test"):
        done = sharing(theirs).fetch([], [])
    assert (done.records, done.moved.objects) == (49, 49)


def with_remote(repo: Repo, remote: dict[str, Any]) -> Repo:
    """The repository with `remote` as its default, named on this machine."""
    (repo.root / ".mlgit").mkdir(exist_ok=True)
    local = repo.layer(shared=False)
    repo.write_layer(Layer(local.where, {"core": {"remote": "store"}, "remotes": {"store": remote}}))
    return Repo(repo.root)


def run(repo: Repo, stage: Stage, number: int) -> RunRecord:
    """Save what a run of `stage` with `number` would have produced."""
    (repo.root / "model").write_text(f"model {number}")
    content = repo.workspace.save([RelPath("model")])[RelPath("model")]
    assert content.oid == hash_bytes("blake3", f"model {number}".encode())
    made = record(stage, number, content)
    runcache.save(repo.workspace.store.backend, made)
    return made


def sharing(repo: Repo) -> Sharing:
    return Sharing(repo.workspace, lambda: declared([repo.project()]), None, every=True)
