"""The public Python API: at a revision, from the working tree, inside folders, from the cache and from a remote."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import mlgit
from mlgit.model.relpath import RelPath
from mlgit.work import add as adding
from mlgit.work import sync


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


def save(repo: mlgit.Repo, *paths: str) -> None:
    fresh = mlgit.Repo(repo.root)
    adding.apply(fresh.workspace, adding.plan(fresh.workspace, map(RelPath, paths), fresh.tracked()))
    git(repo.root, "add", "-A")
    git(repo.root, "commit", "-q", "-m", "data")


@pytest.fixture
def project(repo: mlgit.Repo) -> Path:
    """Two versions of a file and of a folder; the first is tagged v1. A remote has both."""
    root = repo.root
    (root / "data").mkdir()
    (root / "code.py").write_text("pass\n")
    with open(root / ".mlgit/config.yaml", "a") as file:
        file.write(f"remotes:\n  store: {{url: {root.parent / 'store'}}}\n")
    for version in ("one", "two"):
        (root / "table.csv").write_text(f"{version}\n")
        (root / "data/ä.txt").write_text(f"ä {version}\n", encoding="utf-8")
        save(repo, "table.csv", "data")
        git(root, "tag", {"one": "v1", "two": "v2"}[version])
    fresh = mlgit.Repo(root)
    for rev in ("v1", "v2"):
        sync.push(fresh.workspace, fresh.targets([], fresh.snapshot(rev)), None)
    return root


def test_the_working_tree_and_revisions(project: Path) -> None:
    assert mlgit.read("table.csv", repo=project) == b"two\n"
    assert mlgit.read("table.csv", repo=project, rev="v1") == b"one\n"
    assert mlgit.read("table.csv", repo=str(project), rev="HEAD~1") == b"one\n"
    (project / "table.csv").write_text("edited\n")
    assert mlgit.read("table.csv", repo=project) == b"edited\n"
    assert mlgit.read("table.csv", repo=project, rev="main") == b"two\n"


def test_inside_a_tracked_folder(project: Path) -> None:
    assert mlgit.read("data/ä.txt", repo=project, rev="v1").decode() == "ä one\n"


def test_a_file_that_git_keeps(project: Path) -> None:
    assert mlgit.read("code.py", repo=project, rev="v2") == b"pass\n"


def test_the_current_folder_is_the_default(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project / "data")
    assert mlgit.read("data/ä.txt").decode() == "ä two\n"


def test_open_as_text_and_as_bytes(project: Path) -> None:
    with mlgit.open("data/ä.txt", repo=project) as text:
        assert list(text) == ["ä two\n"]
    assert text.closed
    with mlgit.open(Path("data/ä.txt"), "rb", repo=project, rev="v1") as data:
        assert data.read() == "ä one\n".encode()
    assert mlgit.open("data/ä.txt", encoding="latin-1", repo=project).read() == "Ã¤ two\n"


def test_from_the_remote_when_not_cached(project: Path) -> None:
    shutil.rmtree(project / ".mlgit/cache/packs")
    shutil.rmtree(project / ".mlgit/cache/index")
    (project / "table.csv").unlink()
    assert mlgit.read("table.csv", repo=project) == b"two\n"
    assert mlgit.read("data/ä.txt", repo=project, rev="v1").decode() == "ä one\n"


def test_nothing_is_checked_out(project: Path) -> None:
    (project / "table.csv").unlink()
    before = subprocess.run(["git", "status", "--porcelain"], cwd=project, capture_output=True, text=True).stdout
    mlgit.read("table.csv", repo=project)
    after = subprocess.run(["git", "status", "--porcelain"], cwd=project, capture_output=True, text=True).stdout
    assert before == after
    assert not (project / "table.csv").exists()


@pytest.mark.parametrize("make", [lambda root: f"file://{root}", lambda root: f"file://{root}/.git"])
def test_a_git_address(project: Path, make: object, tmp_path: Path) -> None:
    git(project, "branch", "side", "v1")
    address = make(project)  # type: ignore[operator]
    assert mlgit.read("table.csv", repo=address) == b"two\n"
    assert mlgit.read("table.csv", repo=address, rev="v1") == b"one\n"
    assert mlgit.read("table.csv", repo=address, rev="side") == b"one\n"


def test_a_bare_repository(project: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(project), "bare.git")
    assert mlgit.read("data/ä.txt", repo=tmp_path / "bare.git", rev="v1").decode() == "ä one\n"


@pytest.mark.parametrize(
    ("path", "options", "code", "words"),
    [
        ("nope.csv", {}, 12, "nope.csv is not a file in the working tree"),
        ("nope.csv", {"rev": "v1"}, 12, "nope.csv is not a file in v1"),
        ("data", {}, 12, "data is not a file"),
        ("data", {"rev": "v1"}, 12, "data is not a file"),
        ("data/b.txt", {"rev": "v1"}, 12, "data/b.txt is not a file"),
        ("table.csv", {"rev": "nope"}, 2, "no such revision: 'nope'"),
        ("../x", {}, 2, "outside the repository"),
        ("/etc/passwd", {}, 2, "outside the repository"),
        (".git/config", {}, 2, "belongs to Git"),
        ("table.csv", {"mode": "w"}, 2, "mode 'w'"),
        ("table.csv", {"repo": "/nowhere"}, 2, "no such folder: /nowhere"),
        ("table.csv", {"repo": "/"}, 2, "not an mlgit repository"),
        ("table.csv", {"repo": "ext::sh -c x"}, 2, "no such folder"),
        ("table.csv", {"repo": "ext://sh -c x"}, 14, "could run a command"),
        ("table.csv", {"repo": "file:///nowhere"}, 10, "cannot clone"),
    ],
)
def test_errors(project: Path, path: str, options: dict[str, str], code: int, words: str) -> None:
    with pytest.raises(mlgit.MlgitError) as caught:
        mlgit.open(path, **{"repo": str(project), **options})  # type: ignore[call-overload]
    assert caught.value.code == code
    assert words in caught.value.message
    assert caught.value.hint


def test_bytes_that_are_nowhere(project: Path) -> None:
    shutil.rmtree(project / ".mlgit/cache/packs")
    shutil.rmtree(project / ".mlgit/cache/index")
    shutil.rmtree(project.parent / "store")
    with pytest.raises(mlgit.MlgitError) as caught:
        mlgit.read("table.csv", repo=project, rev="v1")
    assert caught.value.code in (12, 15)


def test_the_module_tells_what_it_has() -> None:
    assert {"open", "read", "Repo", "MlgitError", "__version__"} <= set(dir(mlgit))
    with pytest.raises(AttributeError):
        _ = mlgit.nonsense  # type: ignore[attr-defined]


def test_types_are_shipped() -> None:
    folder = Path(os.fspath(mlgit.__file__)).parent
    assert (folder / "py.typed").exists()
    assert (folder / "__init__.pyi").exists()
