"""The façade: finding and making repositories, what a typed path means, what is tracked where."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mlgit.errors import InvalidError, MissingError, UsageError
from mlgit.model.relpath import RelPath
from mlgit.repo import Repo
from mlgit.work import add as adding

STAGES = "stages:\n  make:\n    cmd: x\n    outs: [out.csv, {kept.csv: {cache: false}}]\n"


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


def save(repo: Repo, *paths: str) -> Repo:
    adding.apply(repo.workspace, adding.plan(repo.workspace, map(RelPath, paths), repo.tracked()))
    return Repo(repo.root)


def test_find_looks_upward(repo: Repo) -> None:
    below = repo.root / "a/b"
    below.mkdir(parents=True)
    assert Repo.find(below).root == repo.root


def test_the_nearest_repository_wins(repo: Repo) -> None:
    inner = repo.root / "inner"
    inner.mkdir()
    Repo.init(inner)
    assert Repo.find(inner).root == inner
    assert Repo.find(repo.root).root == repo.root


def test_init_is_harmless_a_second_time(repo: Repo) -> None:
    (repo.root / ".mlgitignore").write_text("*.bak\n")
    again, made = Repo.init(repo.root)
    assert made == []
    assert again.config == repo.config
    assert (repo.root / ".mlgitignore").read_text() == "*.bak\n"


def test_init_needs_git(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not in a Git repository"):
        Repo.init(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_init_with_another_hash(git_folder: Path) -> None:
    made, _ = Repo.init(git_folder, hash_algorithm="sha256")
    (git_folder / "a").write_text("1")
    after = save(made, "a")
    content = after.tracked()[RelPath("a")].content
    assert content is not None
    assert content.oid.startswith("sha256:")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a", "sub/a"),
        ("./a/", "sub/a"),
        (".", "sub"),
        ("..", ""),
        ("../a", "a"),
        ("x/../y", "sub/y"),
        ("a b/ä", "sub/a b/ä"),
        ("-a", "sub/-a"),
    ],
)
def test_a_path_is_seen_from_where_one_stands(repo: Repo, text: str, found: str) -> None:
    (repo.root / "sub").mkdir()
    assert repo.path(text, repo.root / "sub") == found


def test_absolute_paths_and_links_to_the_repository(repo: Repo, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(repo.root)
    assert repo.path(str(repo.root / "a"), repo.root) == "a"
    assert repo.path(str(link / "a"), tmp_path) == "a"
    assert repo.path("a", link) == "a"


@pytest.mark.parametrize(
    "text", ["", "../x", "/etc/passwd", "sub/../../x", ".git", ".git/config", ".GIT/x", ".mlgit/tmp"]
)
def test_paths_that_are_refused(repo: Repo, text: str) -> None:
    with pytest.raises(UsageError):
        repo.path(text, repo.root)


def test_a_name_that_no_file_can_have(repo: Repo) -> None:
    with pytest.raises(InvalidError):
        repo.path("a" * 300, repo.root)


def test_globs_match_data_and_not_pointers(repo: Repo) -> None:
    for name in ("a.csv", "b.csv", "b.csv.mlgit", "c[1].csv"):
        (repo.root / name).write_text("1")
    assert repo.paths(["*.csv"], repo.root) == ["a.csv", "b.csv", "c[1].csv"]
    assert repo.paths(["b*"], repo.root) == ["b.csv"]
    assert repo.paths(["c[1].csv"], repo.root) == ["c[1].csv"]
    (repo.root / "b.csv.mlgit").unlink()
    with pytest.raises(MissingError):
        repo.paths(["*.txt"], repo.root)


def test_globs_match_tracked_paths_that_are_not_here(repo: Repo) -> None:
    (repo.root / "a.csv").write_text("1")
    after = save(repo, "a.csv")
    (repo.root / "a.csv").unlink()
    assert after.paths(["*.csv"], repo.root) == ["a.csv"]


def test_tracked_lists_pointers_and_cached_outputs(repo: Repo) -> None:
    (repo.root / "a.csv").write_text("1")
    (repo.root / "mlgit.yaml").write_text(STAGES)
    after = save(repo, "a.csv")
    assert list(after.tracked()) == ["a.csv", "out.csv"]
    assert after.tracked()[RelPath("out.csv")].content is None
    assert after.tracked()[RelPath("out.csv")].stage == "make"


def test_targets(repo: Repo) -> None:
    (repo.root / "d/e").mkdir(parents=True)
    (repo.root / "d/e/f").write_text("1")
    (repo.root / "a.csv").write_text("1")
    (repo.root / "mlgit.yaml").write_text(STAGES)
    after = save(repo, "d", "a.csv")

    def meant(*paths: str) -> list[tuple[str, str | None]]:
        return [(one.tracked.path, one.below) for one in after.targets(map(RelPath, paths))]

    assert meant() == [("a.csv", None), ("d", None), ("out.csv", None)]
    assert meant("d") == meant("d.mlgit") == [("d", None)]
    assert meant("d/e/f") == [("d", "d/e/f")]
    assert meant("make") == [("out.csv", None)]
    assert meant("") == meant()
    assert meant("d", "d") == [("d", None)]
    with pytest.raises(UsageError, match="nope is not tracked"):
        after.targets([RelPath("nope")])


def test_read_prefers_what_lies_there(repo: Repo) -> None:
    (repo.root / "d").mkdir()
    (repo.root / "d/f").write_text("1")
    after = save(repo, "d")
    git(repo.root, "add", "-A")
    git(repo.root, "commit", "-q", "-m", "d")
    path = RelPath("d/f")
    assert after.read(path) == b"1"
    (repo.root / "d/f").write_text("2")
    assert after.read(path) == b"2"
    assert after.read(path, after.snapshot("HEAD")) == b"1"
    (repo.root / "d/f").unlink()
    assert after.read(path) == b"1"
    assert after.read(RelPath("d")) is None
    assert after.read(RelPath("d/g")) is None
    assert after.read(RelPath("g")) is None


def test_trust_is_kept_on_this_machine(repo: Repo) -> None:
    assert not repo.workspace.trust.has("s3://a/b")
    repo.workspace.trust.add("s3://a/b")
    repo.workspace.trust.add("s3://a/b")
    assert Repo(repo.root).workspace.trust.has("s3://a/b")
    assert not repo.workspace.trust.has("s3://a")
    assert (repo.root / ".mlgit/trusted").read_text() == "s3://a/b\n"


def test_a_git_repository_with_sha256_names(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)

    git("init", "-q", "--object-format=sha256", "-b", "main")
    repo, _ = Repo.init(tmp_path)
    (tmp_path / "a.csv").write_text("1")
    save(repo, "a.csv")
    git("add", "-A")
    git("commit", "-qm", "data")
    repo = Repo(tmp_path)
    assert len(repo.git.head() or "") == 64
    assert repo.git.branch() == "main"
    assert repo.git.default_branches() == ["main"]
    assert list(repo.tracked(repo.snapshot("HEAD"))) == ["a.csv"]
