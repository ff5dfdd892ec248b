"""Files shared with the cache: read-only, found when edited all the same, and made one's own by unprotect."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from health import assert_healthy

from mlgit.errors import IntegrityError
from mlgit.fs.confine import Folder
from mlgit.model.tree import Content
from mlgit.repo import Repo
from mlgit.store import fsck

Save = Callable[..., Content]
Checkout = Callable[..., bool]


@pytest.fixture(params=["hardlink", "symlink"])
def kind(repo: Repo, request: pytest.FixtureRequest) -> str:
    (repo.root / ".mlgit" / "config.local.yaml").write_text(f"cache:\n  links: [{request.param}]\n")
    return str(request.param)


@pytest.fixture
def shared(repo: Repo, kind: str, large: bytes, save: Save) -> Path:
    """A tracked folder whose large file shares its bytes with the cache."""
    folder = repo.root / "data"
    folder.mkdir()
    (folder / "large").write_bytes(large)
    (folder / "small").write_text("small")
    save("data")
    return folder / "large"


def _is_shared(path: Path) -> bool:
    return path.is_symlink() or path.stat().st_nlink > 1


def test_large_files_are_linked_and_read_only(repo: Repo, shared: Path, kind: str, large: bytes, save: Save) -> None:
    assert _is_shared(shared)
    assert shared.is_symlink() == (kind == "symlink")
    assert stat.S_IMODE(shared.stat().st_mode) & 0o222 == 0
    assert shared.read_bytes() == large
    assert (shared.parent / "small").stat().st_nlink == 1
    again = save("data")
    assert save("data") == again
    assert_healthy(repo, bytes_of_user=[large], tidy=True)


def test_a_large_file_is_given_to_the_cache_and_not_copied(repo: Repo, kind: str, large: bytes, save: Save) -> None:
    folder = repo.root / "data"
    folder.mkdir()
    (folder / "large").write_bytes(large)
    before = (folder / "large").stat().st_ino
    save("data")
    assert (folder / "large").stat().st_ino == before
    assert_healthy(repo, bytes_of_user=[large], tidy=True)


def test_a_file_that_is_replaced_before_it_is_given_is_read_again(
    repo: Repo, kind: str, large: bytes, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 31: an editor renames its new file into place after the old one was hashed."""
    folder = repo.root / "data"
    folder.mkdir()
    (folder / "large").write_bytes(large)
    new = repo.root / "new"
    new.write_bytes(large[::-1])
    real = Folder.give

    def give(self: Folder, name: str, target: Path) -> None:
        if new.exists():
            new.rename(folder / name)
        real(self, name, target)

    monkeypatch.setattr(Folder, "give", give)
    save("data")
    assert (folder / "large").read_bytes() == large[::-1]
    assert_healthy(repo, bytes_of_user=[large[::-1]], tidy=True)


@pytest.mark.parametrize("why", ["it has another name", "it is executable", "the cache has the object"])
def test_a_file_that_may_not_be_given_is_copied(repo: Repo, kind: str, large: bytes, save: Save, why: str) -> None:
    folder = repo.root / "data"
    folder.mkdir()
    file, other = folder / "large", repo.root / "other"
    file.write_bytes(large)
    if why == "it has another name":
        os.link(file, other)
    elif why == "it is executable":
        file.chmod(0o755)
    else:
        save("data")
        file.unlink()
        file.write_bytes(large)
    mode, number = file.stat().st_mode, file.stat().st_ino
    save("data")
    assert file.read_bytes() == large
    assert (number in {path.stat().st_ino for path in (repo.root / ".mlgit/cache").rglob("*")}) is False
    if other.exists():
        assert (other.stat().st_ino, other.stat().st_mode) == (number, mode)
        other.write_bytes(b"written through its other name")
    assert_healthy(repo, bytes_of_user=[large], tidy=True)


def test_checkout_links_again(repo: Repo, shared: Path, large: bytes, save: Save, checkout: Checkout) -> None:
    content = save("data")
    shutil.rmtree(shared.parent)
    assert checkout("data", content)
    assert _is_shared(shared)
    assert shared.read_bytes() == large
    assert save("data") == content


def test_an_edit_through_the_link_is_found(
    repo: Repo, shared: Path, large: bytes, save: Save, checkout: Checkout
) -> None:
    """Row 18."""
    content = save("data")
    real = shared.resolve()
    real.chmod(0o644)
    with open(shared, "r+b") as file:
        file.write(b"scribble")
    real.chmod(0o444)
    fresh = Repo(repo.root)
    found = fsck.check(fresh.workspace.store, full=True)
    assert len(found.damaged) == 1
    assert fsck.set_aside(fresh.workspace.store, found)
    shared.unlink()
    shared.write_bytes(large)
    assert save("data") == content
    assert_healthy(repo, bytes_of_user=[large])


def test_a_damaged_link_source_is_refused(repo: Repo, shared: Path, save: Save, checkout: Checkout) -> None:
    content = save("data")
    shared.resolve().chmod(0o644)
    for path in (repo.root / ".mlgit" / "cache" / "objects").rglob("*"):
        if path.is_file():
            path.chmod(0o644)
            path.write_bytes(path.read_bytes()[::-1])
    shutil.rmtree(shared.parent)
    with pytest.raises(IntegrityError):
        checkout("data", content)


def test_unprotect_gives_writable_copies(
    repo: Repo, shared: Path, large: bytes, save: Save, checkout: Checkout
) -> None:
    before = save("data")
    fresh = Repo(repo.root)
    path = fresh.path("data", fresh.root)
    content = fresh.workspace.identify(path)
    assert content == before
    fresh.workspace.unprotect(path, content)
    assert not _is_shared(shared)
    with open(shared, "r+b") as file:
        file.write(b"mine now")
    assert_healthy(repo, bytes_of_user=[large, b"mine now" + large[8:]], tidy=True)
    after = save("data")
    assert after != before
    assert _is_shared(shared)
    assert checkout("data", before)
    assert shared.read_bytes() == large


def test_a_replaced_link_is_an_ordinary_edit(repo: Repo, shared: Path, large: bytes, save: Save) -> None:
    shared.unlink()
    shared.write_bytes(large[::-1])
    save("data")
    assert _is_shared(shared)
    assert_healthy(repo, bytes_of_user=[large, large[::-1]])


def test_a_link_whose_object_is_gone_can_be_replaced(
    repo: Repo, shared: Path, large: bytes, save: Save, checkout: Checkout, settle: Callable[[Path], None]
) -> None:
    content = save("data")
    settle(repo.root / "data")  # too young to be believed, it would be looked at anew, and that is a link to nothing
    data = repo.path("data", repo.root)
    assert Repo(repo.root).workspace.identify(data) == content
    others = repo.root / "keep"
    shutil.copytree(repo.root / ".mlgit" / "cache", others, symlinks=True)
    shutil.rmtree(repo.root / ".mlgit" / "cache")
    assert Repo(repo.root).workspace.identify(data) == content  # says what it was, and does not fail
    shutil.copytree(others, repo.root / ".mlgit" / "cache", symlinks=True)
    checkout("data", content)
    assert shared.read_bytes() == large


def test_links_are_refused_by_the_disk(
    repo: Repo, kind: str, large: bytes, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(os, "symlink", refuse)
    (repo.root / "file").write_bytes(large)
    content = save("file")
    assert (repo.root / "file").read_bytes() == large
    assert save("file") == content
    assert not (repo.root / "file").is_symlink()
