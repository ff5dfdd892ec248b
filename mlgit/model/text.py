"""YAML in and out, strictly: one dialect for every text file that mlgit reads or writes.

The dialect is YAML 1.2's core schema (`yes` is a string, `1e-3` is a number) with duplicate keys, tags, deep nesting
and alias bombs refused. Every mapping remembers the lines of its keys, so that an error can point at one.
Nothing here knows what the values mean; see `fields.py` for decoding them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlgit.model.block import MAX_BYTES, MAX_DEPTH, Block
from mlgit.model.plain import emit_plain, parse_plain

__all__ = ["MAX_BYTES", "MAX_DEPTH", "Block", "dump_yaml", "load_yaml"]


def load_yaml(data: bytes | str, where: str, limit: int = MAX_BYTES) -> Any:
    """Parse one YAML document from `data`; `where` names the file in errors.

    Args:
        limit: bytes allowed; the number of nodes is bounded in proportion.

    Returns:
        Plain Python values, with `Block` for mappings; `None` for an empty document.

    Raises:
        InvalidError: not UTF-8, not YAML, too large, too deep, tagged, aliased beyond bounds, or a key given twice.
    """
    if not data.strip():
        return None
    found = parse_plain(data, limit)
    if found is not None:
        return found
    from mlgit.model.dialect import parse

    return parse(data, where, limit)


def dump_yaml(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """`value` as block YAML in the order given; `load_yaml(dump_yaml(x)) == x` for plain values."""
    text = emit_plain(value)
    if text is not None:
        return text
    from mlgit.model.dialect import emit

    return emit(value)
