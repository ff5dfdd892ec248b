"""The health check itself: it passes on what is sound and fails on every kind of damage."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from health import assert_healthy, files_below, violations

from mlgit.model import pointer
from mlgit.repo import Repo
from mlgit.work import add
from mlgit.work.outputs import Tracked

LARGE = os.urandom(1 << 20) * 2


@pytest.fixture
def filled(repo: Repo) -> Repo:
    folder = repo.root / "data"
    (folder / "sub").mkdir(parents=True)
    (folder / "one.txt").write_text("one")
    (folder / "sub" / "two.txt").write_text("two")
    (folder / "large.bin").write_bytes(LARGE)
    tracked: dict[object, Tracked] = {}
    add.apply(repo.workspace, add.plan(repo.workspace, [repo.path("data", repo.root)], tracked))
    return repo


def test_a_sound_repository_passes(filled: Repo) -> None:
    assert_healthy(filled, bytes_of_user=[b"one", b"two", LARGE], tidy=True)


def _only(folder: Path, pattern: str) -> Path:
    (found,) = [path for path in folder.rglob(pattern) if path.is_file()]
    found.chmod(0o644)
    return found


def _flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def _flip_in_pack(cache: Path) -> None:
    _flip(_only(cache / "packs", "*.pack"), 10)


def _flip_in_object(cache: Path) -> None:
    _flip(_only(cache / "objects", "*"), 1234)


def _flip_in_index(cache: Path) -> None:
    _flip(_only(cache / "index", "*.idx"), 60)


def _cut_pack(cache: Path) -> None:
    path = _only(cache / "packs", "*.pack")
    path.write_bytes(path.read_bytes()[:-1])


def _delete_index(cache: Path) -> None:
    _only(cache / "index", "*.idx").unlink()


def _delete_object(cache: Path) -> None:
    _only(cache / "objects", "*").unlink()


def _half_an_object(cache: Path) -> None:
    folder = cache / "objects" / "blake3" / "ab"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ("c" * 62)).write_bytes(b"half")


def _stray_under_a_final_name(cache: Path) -> None:
    (cache / "packs" / "x.tmp").write_bytes(b"")


def _pointer_to_nothing(cache: Path) -> None:
    file = cache.parent.parent / "data.mlgit"
    text = file.read_text()
    oid = pointer.decode(text, "data.mlgit").oid
    file.write_text(text.replace(oid[-4:], "0000" if oid[-4:] != "0000" else "1111"))


def _empty_pointer(cache: Path) -> None:
    (cache.parent.parent / "data.mlgit").write_text("")


DAMAGES = (
    (_flip_in_pack, "I1"),
    (_flip_in_object, "I1"),
    (_flip_in_index, "I1"),
    (_cut_pack, "I1"),
    (_half_an_object, "I1"),
    (_stray_under_a_final_name, "I1"),
    (_delete_object, "I4"),
    (_delete_index, "I2"),
    (_pointer_to_nothing, "I2"),
    (_empty_pointer, "I2"),
)


@pytest.mark.parametrize(("damage", "invariant"), DAMAGES, ids=[damage.__name__.strip("_") for damage, _ in DAMAGES])
def test_every_damage_is_seen(filled: Repo, damage: Callable[[Path], None], invariant: str) -> None:
    damage(filled.config.cache_path(filled.root))
    assert any(line.startswith(invariant) for line in violations(filled))
    with pytest.raises(AssertionError, match=invariant):
        assert_healthy(filled)


def test_lost_bytes_of_the_user_are_seen(filled: Repo) -> None:
    assert any("I3" in line for line in violations(filled, bytes_of_user=[b"never saved"]))


def test_a_write_outside_is_seen(filled: Repo, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    before = files_below(outside)
    (outside / "new").write_text("x")
    assert any("I5" in line for line in violations(filled, untouched={outside: before}))


def test_left_temporary_files_are_seen(filled: Repo) -> None:
    (filled.config.cache_path(filled.root) / "tmp" / "abc.tmp").write_bytes(b"")
    assert any("temporary" in line for line in violations(filled, tidy=True))
    assert not violations(filled)


def test_a_damaged_remote_is_seen(filled: Repo) -> None:
    cache = filled.config.cache_path(filled.root)
    assert not violations(filled, remotes=[cache])
    _delete_object(cache)
    assert any("I4" in line for line in violations(filled, remotes=[cache], complete=False))
