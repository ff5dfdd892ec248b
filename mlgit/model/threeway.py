"""The rule of every merge: what only one side changed is taken from it, what both changed alike is taken as it is."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TypeVar

_Value = TypeVar("_Value")


def pick(
    base: _Value, ours: _Value, theirs: _Value, same: Callable[[_Value, _Value], bool] = operator.eq
) -> tuple[_Value] | None:
    """The value that two sides which began at `base` lead to, in a tuple; None if each made something else of it."""
    if same(ours, theirs) or same(base, theirs):
        return (ours,)
    return (theirs,) if same(base, ours) else None
