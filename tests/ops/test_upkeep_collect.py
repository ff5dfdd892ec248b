"""gc: what each rule keeps, what is always kept, and when it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from health import assert_healthy

from mlgit.errors import MlgitError, RefusedError, UsageError
from mlgit.ops.upkeep.collect import Keep, collect, parse_moment, plan_collection
from mlgit.repo import Repo
from mlgit.store.hashing import hash_bytes

Mlgit = Callable[..., Any]


def git(folder: Path, *words: str, **environment: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=folder, check=True, capture_output=True, text=True, env={**os.environ, **environment}
    )
    return done.stdout.strip()


def save(repo: Repo, text: str) -> None:
    """Track a new version of `data.txt`, a file beside it that never changes, and stage the pointers."""
    (repo.root / "data.txt").write_text(text)
    (repo.root / "same").mkdir(exist_ok=True)
    (repo.root / "same/file.txt").write_text("same")
    from mlgit.work import add

    fresh = Repo(repo.root)
    paths = fresh.paths(["data.txt", "same"], fresh.root)
    with fresh.workspace.writing("add"):
        add.apply(fresh.workspace, add.plan(fresh.workspace, paths, fresh.tracked()))
    git(repo.root, "add", "-A")


def commit(repo: Repo, text: str, day: int) -> str:
    save(repo, text)
    date = f"2026-01-{day:02}T12:00:00+00:00"
    git(repo.root, "commit", "-q", "-m", text, GIT_COMMITTER_DATE=date, GIT_AUTHOR_DATE=date)
    return git(repo.root, "rev-parse", "HEAD")


@pytest.fixture
def project(repo: Repo) -> Repo:
    """Versions `one` to `four` on main, `side` on a branch, `trial` an experiment, all of one file."""
    first = commit(repo, "one", 1)
    git(repo.root, "tag", "light@1.0")
    second = commit(repo, "two", 2)
    git(repo.root, "tag", "-a", "-m", "x", "model@1.0")
    git(repo.root, "tag", "-a", "-m", "x", "zzz", second)
    git(repo.root, "checkout", "-q", "-b", "side", first)
    commit(repo, "side", 3)
    git(repo.root, "checkout", "-q", "--detach", second)
    trial = commit(repo, "trial", 4)
    git(repo.root, "update-ref", "refs/mlgit/exp/trial", trial)
    git(repo.root, "checkout", "-q", "main")
    commit(repo, "three", 5)
    commit(repo, "four", 6)
    return Repo(repo.root)


TEXTS = {"one", "two", "side", "trial", "three", "four", "staged", "stashed", "older", "present"}


def kept(repo: Repo, keep: Keep) -> set[str]:
    """The versions that a collection leaves, after doing it."""
    fresh = Repo(repo.root)
    with fresh.workspace.writing("gc", alone_in_cache=True):
        collect(fresh, plan_collection(fresh, keep, grace=-1))
    after = Repo(repo.root)
    assert after.workspace.store.has(hash_bytes("blake3", b"same"))
    return {text for text in TEXTS if after.workspace.store.has(hash_bytes("blake3", text.encode()))}


@pytest.mark.parametrize(
    ("keep", "also"),
    [
        (Keep(), set()),
        (Keep(branches=True), {"side"}),
        (Keep(tags=True), {"one", "two"}),
        (Keep(commits=True), {"one", "two", "side", "trial", "three"}),
        (Keep(experiments=True), {"trial"}),
        (Keep(registry=True), {"two"}),
        (Keep(since=parse_moment("2026-01-04")), {"trial", "three"}),
        (Keep(since=parse_moment("2026-01-05T12:00:01Z")), set()),
        (Keep(recent=2), {"three"}),
        (Keep(revs=("HEAD~1", "side")), {"three", "side"}),
        (Keep(experiments=True, registry=True), {"two", "trial"}),
    ],
)
def test_each_rule_keeps_what_it_says(project: Repo, keep: Keep, also: set[str]) -> None:
    assert kept(project, keep) == {"four"} | also
    assert_healthy(Repo(project.root), tidy=True)


@pytest.mark.parametrize("name", ["churn@1", "team/churn@v1.2.0-rc.1", "churn@production/3"])
def test_tags_of_the_registry(project: Repo, name: str) -> None:
    git(project.root, "tag", "-a", "-m", "x", name, "HEAD~1")
    assert "three" in kept(project, Keep(registry=True))


@pytest.mark.parametrize("name", ["v1", "churn@production/x", "a@b@c"])
def test_other_tags_are_not_of_the_registry(project: Repo, name: str) -> None:
    git(project.root, "tag", "-a", "-m", "x", name, "HEAD~1")
    assert "three" not in kept(project, Keep(registry=True))


def test_the_index_and_the_working_tree_are_always_kept(project: Repo) -> None:
    save(project, "staged")
    pointer = project.root / "data.txt.mlgit"
    staged = pointer.read_bytes()
    save(project, "present")
    present = pointer.read_bytes()
    pointer.write_bytes(staged)
    git(project.root, "add", "data.txt.mlgit")
    pointer.write_bytes(present)
    assert kept(project, Keep()) == {"staged", "present"}


def test_every_stash_is_always_kept(project: Repo) -> None:
    for text in ("older", "stashed"):
        save(project, text)
        git(project.root, "stash", "-q")
    save(project, "staged")
    (project.root / "x.txt.mlgit").write_bytes((project.root / "data.txt.mlgit").read_bytes().replace(b"data", b"x"))
    git(project.root, "reset", "-q", "--hard")
    (project.root / "data.txt").write_text("present")  # an untracked file that the stash holds too
    assert kept(project, Keep()) >= {"four", "stashed", "older"}


def test_what_a_rebase_put_away_is_always_kept(project: Repo) -> None:
    git(project.root, "checkout", "-q", "side")
    save(project, "stashed")
    edit = {"GIT_SEQUENCE_EDITOR": "sed -i '1i break'"}
    git(project.root, "rebase", "-q", "-i", "--autostash", "HEAD~1", **edit)
    assert "stashed" not in (project.root / "data.txt.mlgit").read_text()
    assert kept(project, Keep()) >= {"stashed"}


def test_an_announced_pointer_is_not_there_yet(project: Repo) -> None:
    git(project.root, "rm", "-q", "--cached", "data.txt.mlgit")
    git(project.root, "add", "-N", "data.txt.mlgit")
    assert kept(project, Keep()) == {"four"}


def test_tags_of_tags_and_of_files(project: Repo) -> None:
    git(project.root, "tag", "-a", "-m", "x", "outer", "model@1.0")
    git(project.root, "tag", "blob", "HEAD:data.txt.mlgit")
    assert kept(project, Keep(tags=True)) == {"four", "one", "two"}


def test_a_repository_that_was_moved_keeps_its_history(git_folder: Path) -> None:
    (git_folder / "old").mkdir()
    inner, _ = Repo.init(git_folder / "old")
    for day, text in enumerate(("one", "two"), 1):
        commit(inner, text, day)
    git(git_folder, "mv", "old/.mlgit/config.yaml", "old/.mlgitignore", "old/data.txt.mlgit", ".")
    (git_folder / "old").rename(git_folder / "new")
    (git_folder / "new" / ".mlgit" / "config.yaml").write_bytes((git_folder / "config.yaml").read_bytes())
    for name in (".mlgitignore", "data.txt.mlgit"):
        (git_folder / name).rename(git_folder / "new" / name)
    (git_folder / "config.yaml").unlink()
    git(git_folder, "add", "-A")
    git(git_folder, "commit", "-q", "-m", "moved")
    assert kept(Repo(git_folder / "new"), Keep(commits=True)) == {"one", "two"}


def test_a_repository_below_the_top_of_git(git_folder: Path) -> None:
    (git_folder / "a b").mkdir()
    (git_folder / "data.txt.mlgit").write_text("not ours\n")
    git(git_folder, "add", "-A")
    git(git_folder, "commit", "-q", "-m", "before")
    inner, _ = Repo.init(git_folder / "a b")
    for day, text in enumerate(("one", "two", "three"), 1):
        commit(inner, text, day)
    assert kept(inner, Keep(commits=True)) == {"one", "two", "three"}
    assert kept(inner, Keep(recent=2)) == {"two", "three"}


def test_stage_outputs_of_history_are_kept(project: Repo, mlgit: Mlgit) -> None:
    mlgit(
        "stage",
        "add",
        "-n",
        "copy",
        "-d",
        "data.txt",
        "-o",
        "out.txt",
        "tr a-z A-Z < data.txt > out.txt",
        cwd=project.root,
    )
    mlgit("repro", cwd=project.root)
    git(project.root, "add", "-A")
    git(project.root, "commit", "-q", "-m", "stage")
    (project.root / "data.txt").write_text("newer")
    mlgit("add", "data.txt", cwd=project.root)
    mlgit("repro", cwd=project.root)
    git(project.root, "commit", "-q", "-a", "-m", "again")
    upper = hash_bytes("blake3", b"FOUR")
    kept(project, Keep(recent=2))
    assert Repo(project.root).workspace.store.has(upper)
    kept(project, Keep())
    assert not Repo(project.root).workspace.store.has(upper)


def plan(repo: Repo, keep: Keep) -> None:
    plan_collection(Repo(repo.root), keep, grace=-1)


def test_it_refuses_when_a_pointer_of_a_kept_commit_is_malformed(project: Repo) -> None:
    good = (project.root / "data.txt.mlgit").read_text()
    (project.root / "data.txt.mlgit").write_text("out: data.txt\n")
    git(project.root, "commit", "-q", "-am", "broken")
    (project.root / "data.txt.mlgit").write_text(good)
    with pytest.raises(RefusedError, match="the index names is not known"):
        plan(project, Keep())
    git(project.root, "add", "-A")
    plan(project, Keep())
    with pytest.raises(RefusedError, match="is not known"):
        plan(project, Keep(commits=True))


def test_it_refuses_when_a_pointer_of_a_kept_commit_is_a_link(project: Repo) -> None:
    (project.root / "l.mlgit").symlink_to("data.txt.mlgit")
    git(project.root, "add", "-A")
    git(project.root, "commit", "-q", "-m", "link")
    git(project.root, "rm", "-q", "l.mlgit")
    with pytest.raises(RefusedError, match="no regular file"):
        plan(project, Keep(branches=True))


def test_it_refuses_when_trees_of_history_are_absent(project: Repo) -> None:
    (project.root / "same/file.txt").write_text("other")
    save(project, "older")
    pointer = project.root / "same.mlgit"
    text = pointer.read_text()
    oid = text.split("oid: ")[1].split("\n")[0]
    pointer.write_text(text.replace(oid, f"blake3:{'0' * 64}"))
    git(project.root, "commit", "-q", "-am", "unfetched")
    pointer.write_text(text)
    git(project.root, "add", "-A")
    with pytest.raises(RefusedError, match="not in the cache") as caught:
        plan(project, Keep(recent=1))
    assert "mlgit fetch" in (caught.value.hint or "")
    plan(project, Keep())


def test_it_refuses_in_a_shallow_clone(project: Repo, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{project.root}", "shallow")
    shallow = Repo(tmp_path / "shallow")
    for keep in (Keep(branches=True), Keep(since=0.0), Keep(registry=True), Keep(experiments=True), Keep(recent=1)):
        with pytest.raises(RefusedError, match="shallow"):
            plan(shallow, keep)


def test_it_refuses_during_a_merge(project: Repo) -> None:
    done = subprocess.run(["git", "merge", "-q", "side"], cwd=project.root, capture_output=True, check=False)
    assert done.returncode
    git(project.root, "checkout", "-q", "--ours", "data.txt.mlgit")
    with pytest.raises(RefusedError, match="merge"):
        plan(project, Keep())


def test_it_refuses_a_commit_that_does_not_exist(project: Repo) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        plan(project, Keep(revs=("HEAD", "nowhere")))


def test_it_refuses_when_git_lost_an_object(project: Repo) -> None:
    blob = git(project.root, "rev-parse", "HEAD~1:data.txt.mlgit")
    (project.root / ".git/objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(MlgitError, match="Git has no object"):
        plan(project, Keep(commits=True))


@pytest.mark.parametrize(
    "text", ["yesterday", "2026-13-01", "", "20:00", "0001-01-01T00:00+01:00", "9999-12-31T23:59-01:00"]
)
def test_what_is_no_date(text: str) -> None:
    with pytest.raises(UsageError):
        parse_moment(text)


def test_dates() -> None:
    assert parse_moment("1970-01-02") == 86400
    assert parse_moment("1970-01-01T02:00:00+01:00") == parse_moment("1970-01-01T01:00:00Z") == 3600


def test_leftovers_of_crashed_commands_go_even_if_nothing_else_does(project: Repo, mlgit: Mlgit) -> None:
    left = project.workspace.scratch / "crashed" / "file"
    left.parent.mkdir(parents=True)
    young = project.workspace.scratch / "young"
    for path in (left, young):
        path.write_text("x")
    os.utime(left, (1, 1))
    mlgit("gc", "-A", "--dry-run", cwd=project.root)
    assert left.exists()
    mlgit("gc", "-A", cwd=project.root)
    assert not left.parent.exists()
    assert young.exists()


def test_the_report(project: Repo, mlgit: Mlgit) -> None:
    words = ("gc", "-E", "--registry", "--date", "2026-01-05", "-n", "2", "--grace", "0")
    for path in project.config.cache_path(project.root).rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - 60,) * 2)
    found = json.loads(mlgit(*words, "--dry-run", "--json", cwd=project.root).out)
    (totals,) = found["totals"]
    assert (found["kind"], totals["deleted"], totals["objects"]) == ("gc", False, 2)
    assert {one["object"] for one in found["objects"]} == {str(hash_bytes("blake3", t)) for t in (b"one", b"side")}
    assert totals["size"] == sum(one["size"] for one in found["objects"]) == 7
    assert (
        "experiments, registered models, commits since 2026-01-05 00:00:00+00:00, the last 2 commits"
        in found["notes"][-1]
    )
    done = mlgit(*words, cwd=project.root, code=1)
    assert "blake3:" in done.out and "not deleted: 2 objects" in done.err
    found = json.loads(mlgit(*words, "--yes", "--json", cwd=project.root).out)
    assert found["totals"][0]["deleted"] is True
    assert "nothing to delete" in mlgit(*words, "--yes", cwd=project.root).err
    assert mlgit("gc", "-n", "-1", cwd=project.root, code=2)


def test_git_is_asked_as_often_for_many_commits_as_for_few(project: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    def count() -> int:
        calls = []
        real = subprocess.run
        with monkeypatch.context() as patch:
            patch.setattr(subprocess, "run", lambda *a, **k: (calls.append(a), real(*a, **k))[1])
            plan(project, Keep(commits=True))
        return len(calls)

    few = count()
    for day in range(7, 19):
        commit(project, "three" if day % 2 else "four", day)
    assert count() == few
