"""The plain part of the YAML dialect, without PyYAML: mappings and lists of simple words and whole numbers.

Pointers, locks, most configuration files and many stage files are nothing else, and loading PyYAML takes longer than
the rest of a no-op `mlgit status`. Whatever is not as plain as that, or not right, is left to `dialect.py`, which alone
words errors. A property test holds the two to the same result.
"""

from __future__ import annotations

import re
from typing import Any, Final

from mlgit.model.block import MAX_BYTES, MAX_DEPTH, MAX_NODES, Block

# Printable words, the first of which begins with a letter or digit. A colon stands only inside a word, and a sign for a
# comment does not begin one.
_VALUE: Final = r"(?!.*:(?: |$))([A-Za-z0-9_][!-~]*(?: [!-\"$-~][!-~]*)*)"
_LINE: Final = re.compile(rf"( *)([A-Za-z_][A-Za-z0-9_./@-]*):(?: {_VALUE})?")
_ITEM: Final = re.compile(rf"( *)- {_VALUE}")
_NOTHING: Final = re.compile(r"(?: *#[ -~]*)?")
_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./@-]{0,99}")
_WORDS: Final = re.compile(rf"(?=[A-Za-z]){_VALUE}")
_MEANT: Final = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
_CONSTANTS: Final = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL"), None),
}
_NODES_OF_A_LINE: Final = 3
_LONGEST_LINE: Final = 1000
_MOST_DIGITS: Final = 18


def parse_plain(data: bytes | str, limit: int) -> Block | None:
    """What `data` means; None if it is not plain YAML, or too large to be sure of.

    Args:
        limit: as `text.load_yaml`.
    """
    if len(data) > limit:
        return None
    try:
        lines = (data if isinstance(data, str) else data.decode("ascii")).split("\n")
    except UnicodeDecodeError:
        return None
    if lines and not lines[-1]:
        lines.pop()
    if len(lines) * _NODES_OF_A_LINE > MAX_NODES * limit // MAX_BYTES:
        return None
    return _mapping(lines)


def _mapping(lines: list[str]) -> Block | None:
    top = Block()
    top.line, top.lines = 1, {}
    open_blocks = [(0, top)]  # with their indentation, the innermost last
    waiting: tuple[int, Block, str] | None = None  # a key without a value: a mapping or a list may follow
    items: tuple[int, list[Any]] | None = None  # a list that may go on
    for number, line in enumerate(lines, 1):
        if len(line) >= _LONGEST_LINE:
            return None
        if _NOTHING.fullmatch(line):
            continue
        item = _ITEM.fullmatch(line)
        if item is not None:
            items = _list(items, waiting, len(item[1]))
            value = _scalar(item[2])
            if items is None or value is _scalar:
                return None
            items[1].append(value)
            waiting = None
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            return None
        indent, key, text = len(found[1]), found[2], found[3]
        if waiting is not None and indent > waiting[0]:
            block = Block()
            block.line, block.lines = number, {}
            waiting[1][waiting[2]] = block
            open_blocks.append((indent, block))
        while indent < open_blocks[-1][0]:
            open_blocks.pop()
        depth, block = open_blocks[-1]
        value = None if text is None else _scalar(text)
        if indent != depth or key in block or len(open_blocks) > MAX_DEPTH or value is _scalar:
            return None
        if not top:
            top.line = number
        block[key], block.lines[key] = value, number
        waiting, items = (indent, block, key) if text is None else None, None
    return top or None


def _list(
    items: tuple[int, list[Any]] | None, waiting: tuple[int, Block, str] | None, indent: int
) -> tuple[int, list[Any]] | None:
    """The list that an item at `indent` belongs to: the one under way, or a new one under the key that waits."""
    if items is not None:
        return items if items[0] == indent else None
    if waiting is None or indent < waiting[0]:
        return None
    made: list[Any] = []
    waiting[1][waiting[2]] = made
    return indent, made


def _scalar(text: str) -> Any:
    """A value as the core schema of YAML 1.2 has it; this function itself where that needs a closer look."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if not "0" <= text[0] <= "9":
        return text
    return int(text) if text.isdigit() and len(text) <= _MOST_DIGITS else _scalar


def emit_plain(value: object) -> str | None:
    """The text of a mapping of words, whole numbers and such mappings; None if it holds anything else."""
    lines: list[str] = []
    return "".join(lines) if _emit(value, "", lines) else None


def _emit(value: object, indent: str, lines: list[str]) -> bool:
    if not isinstance(value, dict) or not value or len(indent) > MAX_DEPTH:
        return False
    for key, item in value.items():
        if not isinstance(key, str) or not _KEY.fullmatch(key) or key.lower() in _MEANT:
            return False
        if isinstance(item, dict):
            lines.append(f"{indent}{key}:\n")
            if not _emit(item, f"{indent}  ", lines):
                return False
        elif _means_itself(item):
            lines.append(f"{indent}{key}: {item}\n")
        else:
            return False
    return True


def _means_itself(item: object) -> bool:
    """Whether a value can be written without quotes and read back as what it is."""
    if isinstance(item, str):
        return _WORDS.fullmatch(item) is not None and item.lower() not in _MEANT
    return type(item) is int and item >= 0
