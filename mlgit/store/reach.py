"""What is reachable from a set of contents: every object below them, level by level through the trees."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mlgit.errors import MissingError
from mlgit.model import tree as trees
from mlgit.model.oid import Oid
from mlgit.model.tree import Content
from mlgit.store.objects import Store


@dataclass(slots=True)
class Reach:
    """Objects found so far.

    Attributes:
        sizes: every file object, with its bytes.
        trees: every tree object, in the order found: parents first.
        absent: trees that could not be read, so that what is below them is unknown.
    """

    sizes: dict[Oid, int] = field(default_factory=dict)
    trees: dict[Oid, None] = field(default_factory=dict)
    absent: set[Oid] = field(default_factory=set)

    @property
    def oids(self) -> list[Oid]:
        """Files and trees."""
        return [*self.sizes, *self.trees]


def reach(contents: Iterable[Content], *stores: Store, strict: bool = True) -> Reach:
    """Every object below `contents`, each tree read from the first of `stores` that has it.

    Args:
        strict: raise when a tree is missing; otherwise note it in `absent`.

    Raises:
        MissingError: a tree is in none of `stores` (only if `strict`).
    """
    found = Reach()
    level: list[Oid] = []
    for content in contents:
        if content.type == "file":
            found.sizes[content.oid] = content.size
        elif content.oid not in found.trees:
            found.trees[content.oid] = None
            level.append(content.oid)
    while level:
        below: list[Oid] = []
        lacking = set(level)
        for store in stores:
            left = store.missing(lacking) if lacking else lacking
            below += _descend([oid for oid in level if oid in lacking and oid not in left], store, found)
            lacking = left
        if lacking and strict:
            places = ", ".join(store.backend.url for store in stores)
            raise MissingError(f"tree {min(lacking)} is not in {places}", hint="get it with `mlgit pull`")
        found.absent |= lacking
        level = below
    return found


def _descend(level: list[Oid], store: Store, found: Reach) -> list[Oid]:
    below: list[Oid] = []
    for oid in level:
        store.check_tree(oid)
    for _, data in store.read_many(level):
        for kind, oid, size in trees.children(bytes(data)):
            if kind != "tree":
                found.sizes[oid] = size
            elif oid not in found.trees:
                found.trees[oid] = None
                below.append(oid)
    return below
