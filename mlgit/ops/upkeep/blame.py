"""Which commits name an object that is damaged or lost: from the object up through the trees to pointers and locks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from mlgit.errors import MlgitError
from mlgit.model import tree as trees
from mlgit.model.oid import Oid
from mlgit.repo import Repo
from mlgit.store.objects import Store
from mlgit.work.history import Recorded, texts_of, units_of

SHOWN: Final = 3


def commits_naming(repo: Repo, lost: set[Oid]) -> dict[Oid, str]:
    """The commits that need each of `lost`, the newest first: a few short ids, and how many more.

    History and trees are read once for all of `lost`. What cannot be read is passed over: this is for people who want
    to know what a loss means, and the loss itself may be what cannot be read.
    """
    if not lost:
        return {}
    order = {commit: at for at, commit in enumerate(repo.git.commits(every=True))}
    tops = _tops(repo, order)
    above = _above(tops, repo.workspace.store, lost)
    found = {}
    for oid in lost:
        commits = {commit for top in _climb(oid, above) for commit in tops.get(top, ())}
        if commits:
            found[oid] = _shown(sorted(commits, key=order.__getitem__))
    return found


def _tops(repo: Repo, commits: Iterable[str]) -> dict[Oid, set[str]]:
    """What pointers and locks of history name → the commits that have them."""
    units = units_of(repo.git, commits)
    texts = texts_of(repo.git, units)
    tops: dict[Oid, set[str]] = {}
    for unit, having in units.items():
        try:
            contents = list(repo.contents([Recorded(repo.git, unit, texts, having[0], having[0])]))
        except MlgitError:
            continue
        for content in contents:
            tops.setdefault(content.oid, set()).update(having)
    return tops


def _above(tops: Iterable[Oid], store: Store, lost: set[Oid]) -> dict[Oid, list[Oid]]:
    """Objects of interest → the trees that hold them: every tree below `tops`, and `lost`."""
    above: dict[Oid, list[Oid]] = {}
    seen = set(tops)
    level = list(seen)
    while level:
        below: set[Oid] = set()
        for tree, data in _readable(level, store):
            for kind, oid, _ in trees.children(data):
                if kind == "tree" or oid in lost:
                    above.setdefault(oid, []).append(tree)
                if kind == "tree":
                    below.add(oid)
        level = list(below - seen)
        seen |= below
    return above


def _readable(oids: list[Oid], store: Store) -> Iterator[tuple[Oid, bytes]]:
    """Those of `oids` that are trees which can be read."""
    for oid in set(oids) - store.missing(oids):
        try:
            store.check_tree(oid)
            data = store.read(oid)
        except MlgitError:
            continue
        if data.startswith(trees.HEADER):
            yield oid, data


def _climb(oid: Oid, above: dict[Oid, list[Oid]]) -> set[Oid]:
    """An object and every tree that it is below of."""
    found = {oid}
    pending = [oid]
    while pending:
        new = set(above.get(pending.pop(), ())) - found
        found |= new
        pending += new
    return found


def _shown(commits: list[str]) -> str:
    more = len(commits) - SHOWN
    return ", ".join(commit[:7] for commit in commits[:SHOWN]) + (f" and {more} more" if more > 0 else "")
