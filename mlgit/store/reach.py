"""What is reachable from a set of contents: every object below them, level by level through the trees."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from mlgit.errors import MissingError
from mlgit.model import tree as trees
from mlgit.model.oid import Oid
from mlgit.model.tree import Content
from mlgit.store.objects import LARGE, Store


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

    @property
    def large(self) -> list[Oid]:
        """Files at or above the packing limit."""
        return [oid for oid, size in self.sizes.items() if size >= LARGE]


def reach(
    contents: Iterable[Content], store: Store, *, fetch: Callable[[list[Oid]], None] | None = None, strict: bool = True
) -> Reach:
    """Every object below `contents`, reading trees from `store`.

    Args:
        fetch: called with each level's trees before they are read, to bring them into `store`.
        strict: raise when a tree is missing; otherwise note it in `absent`.

    Raises:
        MissingError: a tree is not in `store` (only if `strict`).
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
        if fetch is not None:
            fetch(level)
        level = _descend(level, store, found, strict)
    return found


def _descend(level: list[Oid], store: Store, found: Reach, strict: bool) -> list[Oid]:
    lacking = store.missing(level)
    if lacking and strict:
        raise MissingError(f"tree {min(lacking)} is not in {store.backend.url}", hint="get it with `mlgit pull`")
    found.absent |= lacking
    below: list[Oid] = []
    here = [oid for oid in level if oid not in lacking]
    for oid in here:
        store.check_tree(oid)
    for _, data in store.read_many(here):
        for kind, oid, size in trees.children(bytes(data)):
            if kind != "tree":
                found.sizes[oid] = size
            elif oid not in found.trees:
                found.trees[oid] = None
                below.append(oid)
    return below
