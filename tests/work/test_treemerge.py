"""Merging folders path by path: against a model that knows only flat files, and through a real cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.errors import MissingError
from mlgit.model import tree as trees
from mlgit.model.oid import Oid
from mlgit.model.relpath import RelPath
from mlgit.model.tree import Content, Entry, Kind
from mlgit.repo import Repo
from mlgit.store.hashing import hash_bytes
from mlgit.work.treemerge import Merged, merge, merge_folders

TOP = RelPath("data")
Files = dict[str, str]
"""Path → the file's text."""


class Objects:
    """Trees in memory; counts what is read."""

    def __init__(self) -> None:
        self.trees: dict[Oid, bytes] = {}
        self.read: list[str] = []

    def save(self, data: bytes) -> Oid:
        oid = hash_bytes("blake3", data)
        self.trees[oid] = data
        return oid

    def load(self, oid: Oid, path: RelPath) -> trees.Tree:
        self.read.append(path)
        return trees.decode(self.trees[oid], path)

    def make(self, files: Files, executable: str = "") -> Content:
        """The content of a folder with `files`."""
        entries: dict[str, Entry] = {}
        folders: dict[str, Files] = {}
        for path, text in files.items():
            name, slash, below = path.partition("/")
            if slash:
                folders.setdefault(name, {})[below] = text
            else:
                kind: Kind = "exec" if name == executable else "file"
                entries[name] = Entry(name, kind, hash_bytes("blake3", text.encode()), len(text))
        for name, below in folders.items():
            made = self.make(below, executable)
            entries[name] = Entry(name, "tree", made.oid, made.size, made.files or 0)
        tree = trees.Tree(tuple(entries.values()))
        return Content(self.save(trees.encode(tree.entries)), "tree", tree.size, tree.files)

    def merge(self, base: Content | None, ours: Content, theirs: Content) -> Merged:
        return merge(TOP, base, ours, theirs, self.load, self.save)


def flat(objects: Objects, content: Content) -> dict[str, Oid]:
    """Path → id of every file."""
    found: dict[str, Oid] = {}
    pending = [("", content.oid)]
    while pending:
        at, oid = pending.pop()
        for entry in trees.decode(objects.trees[oid], at).entries:
            if entry.kind == "tree":
                pending.append((f"{at}{entry.name}/", entry.oid))
            else:
                found[at + entry.name] = entry.oid
    return found


paths = st.sampled_from(["a", "b", "d/a", "d/b", "d/e/a", "f/g/h", "f/g/i"])
files = st.dictionaries(paths, st.sampled_from("12"), max_size=6)


@given(st.none() | files, files, files)
def test_it_agrees_with_a_merge_of_flat_files(base: Files | None, ours: Files, theirs: Files) -> None:
    objects = Objects()
    start = None if base is None else objects.make(base)
    found = objects.merge(start, objects.make(ours), objects.make(theirs))
    expected: tuple[Files, Files] = ({}, {})
    conflicts = set()
    for path in {*(base or {}), *ours, *theirs}:
        old, left, right = (base or {}).get(path), ours.get(path), theirs.get(path)
        if left != right and old not in (left, right):
            conflicts.add(f"data/{path}")
        sides = (left, right) if old not in (left, right) else (left, left) if old == right else (right, right)
        for side, text in zip(expected, sides, strict=True):
            if text is not None:
                side[path] = text
    assert {one.path for one in found.conflicts} == conflicts
    for content, model in zip((found.ours, found.theirs), expected, strict=True):
        assert flat(objects, content) == flat(objects, objects.make(model))
        assert (content.files, content.size) == (len(model), len(model))
    assert (found.ours == found.theirs) == (not conflicts)


@given(st.none() | files, files, files)
def test_the_other_way_round_is_the_same(base: Files | None, ours: Files, theirs: Files) -> None:
    objects = Objects()
    start, first, last = (None if one is None else objects.make(one) for one in (base, ours, theirs))
    assert first is not None and last is not None
    one, other = objects.merge(start, first, last), objects.merge(start, last, first)
    assert (one.ours, one.theirs) == (other.theirs, other.ours)
    assert [each.path for each in one.conflicts] == [each.path for each in other.conflicts]


@given(st.none() | files, files)
def test_one_changed_side_is_taken_as_it_is(base: Files | None, other: Files) -> None:
    objects = Objects()
    changed, same = objects.make(other), objects.make(base or {})
    for sides in ((same, changed), (changed, same), (changed, changed)):
        assert objects.merge(same, *sides) == Merged(changed, changed, ())


def test_only_folders_that_differ_on_both_sides_are_read() -> None:
    objects = Objects()
    base = {"same/x": "1", "left/x": "1", "right/x": "1", "both/x": "1", "both/y": "1"}
    sides = [{**base, "left/x": "2", "both/x": "2"}, {**base, "right/x": "2", "both/y": "2"}]
    made = [objects.make(one) for one in (base, *sides)]
    found = objects.merge(*made)
    assert not found.conflicts
    assert set(objects.read) == {"data", "data/both"}
    assert found.ours == objects.make({**dict.fromkeys(base, "2"), "same/x": "1"})


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "words"),
    [
        ({"x": "1"}, {"x": "2"}, {"x": "3"}, {"data/x": "changed on both sides"}),
        ({}, {"x": "2"}, {"x": "3"}, {"data/x": "added on both sides"}),
        ({"x": "1"}, {}, {"x": "3"}, {"data/x": "deleted on our side, changed on theirs"}),
        ({"d/x": "1"}, {"d/x": "2"}, {}, {"data/d/x": "changed on our side, deleted on theirs"}),
        ({}, {"x": "1"}, {"x/y": "1"}, {"data/x": "a file on our side, a folder on theirs"}),
        ({"x/y": "1"}, {"x/y": "2"}, {"x": "1"}, {"data/x": "a folder on our side, a file on theirs"}),
    ],
)
def test_each_conflict_says_what_happened(base: Files, ours: Files, theirs: Files, words: dict[str, str]) -> None:
    objects = Objects()
    found = objects.merge(*(objects.make(one) for one in (base, ours, theirs)))
    assert {one.path: one.words for one in found.conflicts} == words
    assert flat(objects, found.ours) == flat(objects, objects.make(ours))


@pytest.mark.parametrize(("first", "last"), [("Readme", "README"), ("caf\u00e9", "cafe\u0301"), ("D/x", "d/y")])
def test_names_that_some_disk_takes_for_one_conflict(first: str, last: str) -> None:
    objects = Objects()
    found = objects.merge(objects.make({"z": "1"}), objects.make({"z": "1", first: "1"}), objects.make({last: "1"}))
    assert len(found.conflicts) == 2
    assert "one name on some systems" in found.conflicts[0].words
    assert set(flat(objects, found.ours)) == {first}
    assert set(flat(objects, found.theirs)) == {last}


def test_a_renaming_of_case_on_one_side_meets_an_edit() -> None:
    objects = Objects()
    found = objects.merge(objects.make({"a": "1"}), objects.make({"A": "1"}), objects.make({"a": "2"}))
    assert {one.path for one in found.conflicts} == {"data/a", "data/A"}
    assert set(flat(objects, found.ours)) == {"A"}
    assert set(flat(objects, found.theirs)) == {"a"}


def test_new_bytes_and_a_new_mode_go_together() -> None:
    objects = Objects()
    base, ours = objects.make({"run": "1"}), objects.make({"run": "2"})
    found = objects.merge(base, ours, objects.make({"run": "1"}, executable="run"))
    assert found == Merged(objects.make({"run": "2"}, "run"), objects.make({"run": "2"}, "run"), ())


def test_a_deleted_folder_stays_away_and_an_emptied_one_stays() -> None:
    objects = Objects()
    base = objects.make({"d/x": "1", "d/y": "1", "k": "1"})
    gone = objects.merge(base, objects.make({"k": "1"}), objects.make({"d/y": "1", "k": "1"}))
    assert gone.ours == objects.make({"k": "1"})
    emptied = objects.merge(base, objects.make({"d/x": "1", "k": "1"}), objects.make({"d/y": "1", "k": "1"}))
    assert [entry.name for entry in trees.decode(objects.trees[emptied.ours.oid], "t").entries] == ["d", "k"]
    added = objects.merge(base, objects.make({"k": "1"}), objects.make({"d/x": "1", "d/y": "1", "d/z": "1", "k": "1"}))
    assert set(flat(objects, added.ours)) == {"k", "d/z"}
    assert not added.conflicts


def test_folders_deeper_than_the_stack() -> None:
    objects = Objects()

    def deep(*leaves: str) -> Content:
        content = objects.make(dict.fromkeys(leaves, "1"))
        for _ in range(3000):
            entry = Entry("d", "tree", content.oid, content.size, content.files or 0)
            content = Content(objects.save(trees.encode([entry])), "tree", content.size, content.files)
        return content

    assert objects.merge(deep("a"), deep("a", "b"), deep("a", "c")).ours == deep("a", "b", "c")


def test_a_missing_tree_saves_nothing(repo: Repo, save: Callable[..., Content]) -> None:
    sides: list[Any] = []
    for number in range(3):
        (repo.root / "data/sub").mkdir(parents=True, exist_ok=True)
        (repo.root / f"data/sub/{number}").write_text(str(number))
        sides.append(save("data"))
    workspace = Repo(repo.root).workspace
    merged = merge_folders(workspace, TOP, *sides)
    assert Repo(repo.root).workspace.has(merged.ours)
    absent = Content(Oid("blake3:" + "00" * 32), "tree", 0, 0)
    before = sorted((repo.root / ".mlgit/cache").rglob("*"))
    with pytest.raises(MissingError):
        merge_folders(workspace, TOP, absent, sides[0], sides[1])
    assert sorted((repo.root / ".mlgit/cache").rglob("*")) == before
