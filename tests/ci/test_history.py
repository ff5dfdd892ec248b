"""Mending shallow clones: the merge base is the one that a full clone gives, whatever CI has fetched."""

from __future__ import annotations

import itertools
import random
import subprocess
from pathlib import Path

import pytest

from mlgit.errors import NotEvaluableError, UsageError
from mlgit.git import Git
from mlgit.ops.ci.history import bring, mend


def git(folder: Path, *words: str, data: str | None = None) -> str:
    done = subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True, input=data)
    return done.stdout.strip()


class Origin:
    """A host's repository: commits are made without a working tree, each a second after the one before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        git(folder, "init", "-q", "--bare", "-b", "main")
        self.clock = itertools.count(1_700_000_000)
        self.tree = git(
            folder, "mktree", data=f"100644 blob {git(folder, 'hash-object', '-w', '--stdin', data='x')}\tx\n"
        )

    def commit(self, *parents: str, at: int | None = None) -> str:
        date = f"{next(self.clock) if at is None else at} +0000"
        words = [word for parent in parents for word in ("-p", parent)]
        variables = ["env", f"GIT_COMMITTER_DATE={date}", f"GIT_AUTHOR_DATE={date}"]
        return subprocess.run(
            [*variables, "git", "commit-tree", self.tree, "-m", f"at {date}", *words],
            cwd=self.folder, check=True, capture_output=True, text=True,
        ).stdout.strip()  # fmt: skip

    def chain(self, parent: str | None, number: int) -> list[str]:
        """That many commits, one upon the other, in one process."""
        lines, mark = [], 0
        for mark in range(1, number + 1):
            stamp = f"Test <test@example.org> {next(self.clock)} +0000"
            lines += ["commit refs/heads/chain", f"mark :{mark}", f"committer {stamp}", "data 1", "c"]
            if mark == 1 and parent:
                lines.append(f"from {parent}")
            lines.append(f"M 100644 inline f{mark % 7}\ndata 2\n{mark % 10}\n")
        marks = self.folder / "marks"
        git(self.folder, "update-ref", "-d", "refs/heads/chain")
        text = "\n".join(lines) + "\n"
        git(self.folder, "fast-import", "--quiet", f"--export-marks={marks}", data=text)
        git(self.folder, "update-ref", "-d", "refs/heads/chain")
        found = dict(line.split(" ") for line in marks.read_text().splitlines())
        return [found[f":{one}"] for one in range(1, number + 1)]

    def point(self, **refs: str) -> None:
        for name, commit in refs.items():
            full = f"refs/pull/{name[4:]}/merge" if name.startswith("pull") else f"refs/heads/{name}"
            git(self.folder, "update-ref", full, commit)

    def best(self, first: str, second: str) -> str | None:
        done = subprocess.run(["git", "merge-base", first, second], cwd=self.folder, capture_output=True, text=True)
        return done.stdout.strip() or None


@pytest.fixture
def origin(tmp_path):
    return Origin(tmp_path / "origin.git")


@pytest.fixture
def checkout(tmp_path, origin):
    """As actions/checkout makes it: one commit, by its id, and no branch."""

    def make(commit: str, *, depth: int = 1, ref: str = "refs/remotes/pull/1/merge") -> Git:
        folder = tmp_path / f"clone{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        git(folder, "init", "-q")
        git(folder, "remote", "add", "origin", origin.folder.as_uri())
        limit = [f"--depth={depth}"] if depth else []
        git(folder, "fetch", "-q", "--no-tags", "--prune", *limit, "origin", f"+{commit}:{ref}")
        git(folder, "checkout", "-q", "--force", ref)
        return Git(folder, "")

    return make


def mended(clone: Git, *bases: str, head: str = "HEAD") -> tuple[str | None, list[str]]:
    said: list[str] = []
    return mend(clone, bases, head, say=said.append), said


def commits_here(clone: Git) -> int:
    return len(clone.run("rev-list", "--all").split())


# -- the usual -------------------------------------------------------------------------------------


def test_a_trial_merge_at_depth_one_needs_one_fetch(origin, checkout):
    line = origin.chain(None, 10)
    feature = origin.chain(line[-1], 3)
    merge = origin.commit(line[-1], feature[-1])
    origin.point(main=line[-1], feature=feature[-1], pull1=merge)
    clone = checkout(merge)
    found, said = mended(clone, "origin/main", line[0])
    assert (found, said) == (line[-1], ["fetching origin/main"])
    assert clone.is_shallow()
    assert clone.resolve("origin/main") == line[-1]
    assert mended(clone, "origin/main") == (found, [])


def test_the_base_moved_on_after_the_trial_merge(origin, checkout):
    line = origin.chain(None, 30)
    feature = origin.chain(line[9], 3)
    merge = origin.commit(line[19], feature[-1])
    origin.point(main=line[-1], pull1=merge)
    assert mended(checkout(merge), "origin/main")[0] == line[19] == origin.best(merge, line[-1])


def test_a_base_far_behind_is_found_in_growing_steps(origin, checkout):
    line = origin.chain(None, 900)
    feature = origin.chain(line[299], 2)
    origin.point(main=line[-1], feature=feature[-1])
    clone = checkout(feature[-1])
    found, said = mended(clone, "origin/main")
    assert found == line[299]
    assert [words.rpartition(" fetching ")[2] for words in said[1:]] == [f"{n} more commits" for n in (50, 200, 800)]


def test_a_pull_requests_own_commit_that_is_not_here_is_fetched(origin, checkout):
    line = origin.chain(None, 5)
    feature = origin.chain(line[2], 2)
    origin.point(main=line[-1], feature=feature[-1])
    assert mended(checkout(line[-1]), "origin/main", head=feature[-1])[0] == line[2]
    full = checkout(line[-1], depth=0)
    assert mended(full, "origin/main", head=feature[-1])[0] == line[2]
    assert not full.is_shallow()


@pytest.mark.parametrize("depth", [0, 1])
def test_a_head_is_brought_here_alone(origin, checkout, depth):
    line = origin.chain(None, 5)
    feature = origin.chain(line[2], 2)
    origin.point(main=line[-1], feature=feature[-1])
    clone = checkout(line[-1], depth=depth)
    said: list[str] = []
    assert bring(clone, "HEAD", say=said.append) == line[-1]
    assert bring(clone, feature[-1], say=said.append) == feature[-1] == bring(clone, feature[-1], say=said.append)
    assert said == [f"fetching {feature[-1][:12]}"]
    assert clone.resolve(feature[-1]) == feature[-1]
    with pytest.raises(NotEvaluableError, match=r"cannot be fetched: git fetch: .*not our ref"):
        bring(clone, "1" * 40, say=said.append)
    with pytest.raises(UsageError):
        bring(clone, "nowhere", say=said.append)


def test_a_full_clone_fetches_only_a_base_that_it_lacks(origin, checkout):
    line = origin.chain(None, 5)
    feature = origin.chain(line[2], 2)
    origin.point(main=line[-1], feature=feature[-1])
    clone = checkout(feature[-1], depth=0)
    assert mended(clone, "origin/main") == (line[2], ["fetching origin/main"])
    assert not clone.is_shallow()
    assert mended(clone, "origin/main") == (line[2], [])
    assert mended(clone, line[1]) == (line[1], [])


@pytest.mark.parametrize("depth", [20, 3])
def test_a_clone_of_some_depth_keeps_what_it_has(origin, checkout, depth):
    line = origin.chain(None, 100)
    feature = origin.chain(line[-10], 5)
    origin.point(main=line[-1], feature=feature[-1])
    clone = checkout(feature[-1], depth=depth, ref="refs/pipelines/7")
    before = commits_here(clone)
    assert mended(clone, "origin/main")[0] == line[-10]
    assert commits_here(clone) > before


def test_a_base_that_the_head_has_already_cuts_nothing_off(origin, checkout):
    line = origin.chain(None, 100)
    feature = origin.chain(line[-1], 5)
    origin.point(main=line[-1], feature=feature[-1])
    clone = checkout(feature[-1], depth=20)
    assert mended(clone, "origin/main")[0] == line[-1]
    assert commits_here(clone) >= 20


def test_a_clone_of_one_branch(origin, tmp_path):
    line = origin.chain(None, 100)
    feature = origin.chain(line[-10], 5)
    origin.point(main=line[-1], feature=feature[-1])
    git(tmp_path, "clone", "-q", "--depth=50", "--branch=feature", origin.folder.as_uri(), "one")
    assert mended(Git(tmp_path / "one", ""), "origin/main", line[-1][:12])[0] == line[-10]


def test_a_merge_made_here_on_top_of_a_shallow_clone(origin, tmp_path):
    line = origin.chain(None, 100)
    feature = origin.chain(line[10], 5)
    origin.point(main=line[-1], feature=feature[-1])
    git(tmp_path, "clone", "-q", "--depth=2", "--branch=feature", origin.folder.as_uri(), "one")
    git(tmp_path / "one", "commit", "-q", "--allow-empty", "-m", "made here")
    assert mended(Git(tmp_path / "one", ""), "origin/main")[0] == line[10]


@pytest.mark.parametrize("version", ["0", "1", "2"])
def test_every_version_of_gits_protocol(origin, checkout, version):
    line = origin.chain(None, 100)
    feature = origin.chain(line[-70], 5)
    merge = origin.commit(line[-1], feature[-1])
    later = origin.chain(line[-1], 3)
    origin.point(main=later[-1], pull1=merge)
    clone = checkout(merge)
    clone.run("config", "protocol.version", version)
    assert mended(clone, "origin/main")[0] == line[-1]


def test_a_partial_clone_gets_no_files(origin, checkout):
    git(origin.folder, "config", "uploadpack.allowFilter", "true")
    line = origin.chain(None, 100)
    feature = origin.chain(line[-70], 5)
    origin.point(main=line[-1], feature=feature[-1])
    clone = checkout(feature[-1])
    for key, value in (("promisor", "true"), ("partialclonefilter", "blob:none")):
        clone.run("config", f"remote.origin.{key}", value)
    clone.run("config", "extensions.partialClone", "origin")
    found, _ = mended(clone, "0" * 39 + "1", "origin/main")
    assert found == line[-70]
    lacking = clone.run("rev-list", "--objects", "--missing=print", "--all").split("\n")
    assert any(line.startswith("?") for line in lacking)
    assert mended(clone, "origin/main") == (found, [])


def test_a_full_clone_without_files_is_not_asked_for_an_absent_commit_in_secret(origin, tmp_path):
    git(origin.folder, "config", "uploadpack.allowFilter", "true")
    line = origin.chain(None, 20)
    feature = origin.chain(line[5], 2)
    origin.point(main=line[-1])
    git(tmp_path, "clone", "-q", "--filter=blob:none", origin.folder.as_uri(), "part")
    origin.point(feature=feature[-1])
    found, said = mended(Git(tmp_path / "part", ""), "origin/main", head=feature[-1])
    assert (found, said) == (line[5], [f"fetching {feature[-1][:12]}"])


# -- which base ------------------------------------------------------------------------------------


def test_the_first_base_that_exists_counts(origin, checkout):
    line = origin.chain(None, 10)
    origin.point(main=line[-1])
    clone = checkout(line[-1])
    found, said = mended(clone, "origin/gone", line[4], "origin/main")
    assert found == line[4]
    assert "couldn't find remote ref refs/heads/gone" in " ".join(said)


def test_a_branch_that_was_force_pushed(origin, checkout):
    line = origin.chain(None, 10)
    old = origin.chain(line[4], 3)
    origin.point(main=line[-1])  # the branch pointed to old[-1] before; nothing names that any more
    clone = checkout(line[-1])
    assert mended(clone, old[-1])[0] == line[4]
    git(origin.folder, "reflog", "expire", "--expire=now", "--all")
    git(origin.folder, "gc", "-q", "--prune=now")
    clone = checkout(line[-1])
    with pytest.raises(NotEvaluableError, match="the base is not in this clone"):
        mend(clone, (old[-1],), "HEAD", say=[].append)
    assert mended(clone, old[-1], "origin/main")[0] == line[-1]


def test_a_base_branch_that_was_force_pushed_under_a_trial_merge(origin, checkout):
    line = origin.chain(None, 60)
    feature = origin.chain(line[40], 3)
    merge = origin.commit(line[-1], feature[-1])
    rewritten = origin.chain(line[20], 5)
    origin.point(main=rewritten[-1], pull1=merge)
    assert mended(checkout(merge), "origin/main")[0] == line[20]


@pytest.mark.parametrize("depth", [0, 1, 40])
def test_a_runner_that_keeps_its_clone_has_an_old_branch(origin, checkout, depth):
    line = origin.chain(None, 60)
    feature = origin.chain(line[40], 2)
    origin.point(main=line[30])
    clone = checkout(feature[-1], depth=depth)
    limit = [f"--depth={depth}"] if depth else []
    clone.run("fetch", "-q", "--no-tags", *limit, "origin", "+refs/heads/main:refs/remotes/origin/main")
    origin.point(main=line[-1])
    assert mended(clone, "origin/main", line[50])[0] == line[40]
    assert clone.resolve("origin/main") == line[-1]
    assert mended(clone, "origin/main", line[50])[1] == []


def test_an_old_branch_is_better_than_none(origin, checkout):
    line = origin.chain(None, 9)
    origin.point(main=line[4])
    clone = checkout(line[4], depth=0)
    clone.run("update-ref", "refs/remotes/origin/main", line[3])
    clone.run("remote", "set-url", "origin", "file:///nowhere")
    found, said = mended(clone, "origin/main", line[8])
    assert found == line[3]
    assert "nowhere" in said[1]


def test_the_parent_of_the_head_is_a_base(origin, checkout):
    line = origin.chain(None, 10)
    origin.point(main=line[-1])
    assert mended(checkout(line[-1]), "HEAD^")[0] == line[-2]


def test_unrelated_histories_have_no_merge_base(origin, checkout):
    ours, theirs = origin.chain(None, 70), origin.chain(None, 60)
    origin.point(main=ours[-1], feature=theirs[-1])
    assert mended(checkout(theirs[-1]), "origin/main")[0] is None
    assert mended(checkout(theirs[-1], depth=0), "origin/main")[0] is None


# -- which merge base ------------------------------------------------------------------------------


def test_a_merge_base_that_only_looks_like_one_is_not_believed(origin, checkout):
    """Head and base both hold `near`, the head by a path that the clone does not show."""
    root = origin.chain(None, 1)[0]
    near = origin.chain(root, 1)[0]
    deep = origin.chain(near, 30)
    head = origin.commit(root, deep[-1])
    base = origin.commit(near)
    origin.point(main=base, feature=head)
    clone = checkout(head, depth=2)
    clone.run("fetch", "-q", "--no-tags", "--depth=3", "origin", "+refs/heads/main:refs/remotes/origin/main")
    assert clone.merge_base(head, base) == root != near
    assert mended(clone, "origin/main")[0] == near == origin.best(head, base)


def test_criss_cross_histories_agree_with_a_full_clone(origin, checkout):
    left, right = origin.chain(None, 40), []
    right = origin.chain(left[9], 40)
    one, other = origin.commit(left[-1], right[-1]), origin.commit(right[-1], left[-1])
    head, base = origin.chain(one, 3)[-1], origin.chain(other, 3)[-1]
    origin.point(main=base, feature=head)
    assert set(git(origin.folder, "merge-base", "--all", head, base).split()) == {left[-1], right[-1]}
    assert mended(checkout(head), "origin/main")[0] == origin.best(head, base)


def test_an_octopus(origin, checkout):
    line = origin.chain(None, 80)
    arms = [origin.chain(line[at], 4)[-1] for at in (3, 30, 70)]
    head = origin.commit(line[40], *arms)
    origin.point(main=line[-1], feature=head)
    assert mended(checkout(head), "origin/main")[0] == line[70] == origin.best(head, line[-1])


@pytest.mark.parametrize("seed", range(8))
def test_random_histories_at_any_depth_agree_with_a_full_clone(origin, checkout, seed):
    chance = random.Random(seed)
    made = [origin.commit()]
    for number in range(45):
        parents = chance.sample(made[-8:], k=min(len(made), chance.choice((1, 1, 1, 2, 2, 3))))
        made.append(origin.commit(*parents, at=1_700_000_000 + chance.choice((number, 0, 99))))
    for _ in range(3):
        head, base = chance.sample(made[15:], k=2)
        origin.point(main=base, feature=head)
        clone = checkout(head, depth=chance.choice((1, 2, 5)))
        assert mended(clone, "origin/main")[0] == origin.best(head, base)


# -- what cannot be had, and what nobody should ask for --------------------------------------------


def test_no_network_is_told_with_a_hint(origin, checkout):
    line = origin.chain(None, 10)
    origin.point(main=line[-1])
    clone = checkout(line[-1])
    clone.run("remote", "set-url", "origin", "https://user:hunter2@127.0.0.1:1/x.git")
    said: list[str] = []
    with pytest.raises(NotEvaluableError) as caught:
        mend(clone, ("origin/main",), "HEAD", say=said.append)
    assert "127.0.0.1" in caught.value.message
    assert "fetch-depth: 0" in caught.value.hint
    assert "hunter2" not in caught.value.message + " ".join(said)


def test_the_network_goes_away_between_two_fetches(origin, checkout):
    line = origin.chain(None, 300)
    feature = origin.chain(line[0], 1)
    origin.point(main=line[-1], feature=feature[-1])
    clone = checkout(feature[-1])
    clone.run("fetch", "-q", "--no-tags", "--depth=1", "origin", "+refs/heads/main:refs/remotes/origin/main")
    clone.run("remote", "set-url", "origin", "file:///nowhere")
    with pytest.raises(NotEvaluableError, match="nowhere"):
        mend(clone, ("origin/main",), "HEAD", say=[].append)


def test_no_remote_at_all(origin, checkout):
    line = origin.chain(None, 3)
    origin.point(main=line[-1])
    clone = checkout(line[-1])
    clone.run("remote", "remove", "origin")
    with pytest.raises(NotEvaluableError, match="'origin' does not appear to be a git repository"):
        mend(clone, ("origin/main",), "HEAD", say=[].append)


def test_a_host_whose_own_history_is_cut_off(origin, checkout, tmp_path):
    line = origin.chain(None, 300)
    feature = origin.chain(line[0], 1)
    origin.point(main=line[-1], feature=feature[-1])
    git(tmp_path, "clone", "-q", "--mirror", "--no-single-branch", "--depth=2", origin.folder.as_uri(), "mirror")
    git(tmp_path, "clone", "-q", "--depth=1", "--branch=feature", (tmp_path / "mirror").as_uri(), "one")
    with pytest.raises(NotEvaluableError) as caught:
        mend(Git(tmp_path / "one", ""), ("origin/main",), "HEAD", say=[].append)
    assert caught.value.hint


HOSTILE = [
    "--upload-pack=touch hit",
    "-o",
    "origin/--upload-pack=touch hit",
    "origin/-x",
    "origin/a:refs/heads/b",
    "origin/a b",
    "origin/a\nb",
    "origin/a\x00b",
    "origin/" + "a" * 10_000,
    "origin/*",
    "origin/..",
    "origin/",
    "",
    "ext::touch hit",
    "\ud800",
    "origin/\ud800",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_only_a_name_that_does_not_exist(origin, checkout, name):
    line = origin.chain(None, 3)
    origin.point(main=line[-1])
    for clone in (checkout(line[-1]), checkout(line[-1], depth=0)):
        before = clone.run("for-each-ref")
        with pytest.raises(NotEvaluableError):
            mend(clone, (name,), "HEAD", say=[].append)
        with pytest.raises(UsageError):
            mend(clone, ("origin/main",), name, say=[].append)
        assert mended(clone, name, "origin/main")[0] == line[-1]
        assert "hit" not in {path.name for path in clone.root.iterdir()}
        assert set(clone.run("for-each-ref").split()) - set(before.split()) == {"refs/remotes/origin/main"} - {before}


def test_a_remote_that_runs_a_program_is_refused(origin, checkout, tmp_path):
    line = origin.chain(None, 3)
    origin.point(main=line[-1])
    clone = checkout(line[-1])
    clone.run("config", "protocol.ext.allow", "always")
    clone.run("remote", "set-url", "origin", f"ext::touch {tmp_path}/hit")
    with pytest.raises(NotEvaluableError, match="transport 'ext' not allowed"):
        mend(clone, ("origin/main",), "HEAD", say=[].append)
    assert not (tmp_path / "hit").exists()


def test_neither_hooks_nor_monitors_run_and_tags_stay_away(origin, checkout, tmp_path):
    line = origin.chain(None, 5)
    origin.point(main=line[-1])
    git(origin.folder, "update-ref", "refs/tags/v1", line[-1])
    clone = checkout(line[-2])
    script = tmp_path / "canary"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/hit\n")
    script.chmod(0o755)
    for hook in ("reference-transaction", "post-checkout", "post-merge"):
        (clone.root / ".git/hooks").mkdir(exist_ok=True)
        (clone.root / ".git/hooks" / hook).symlink_to(script)
    clone.run("config", "core.fsmonitor", str(script))
    clone.run("config", "core.askPass", str(script))
    clone.run("config", "remote.origin.tagOpt", "--tags")
    assert mended(clone, "origin/main")[0] == line[-2]
    assert not (tmp_path / "hit").exists()
    assert clone.run("tag") == ""
    assert not (clone.root / ".git/FETCH_HEAD").exists() or "main" not in (clone.root / ".git/FETCH_HEAD").read_text()
