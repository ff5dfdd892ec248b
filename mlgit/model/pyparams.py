"""Parameters that a Python file assigns, taken from its syntax tree: the file is never run.

What counts is written as plain literals: assignments at the top of the module, attributes of classes, and `self.x = …`
in a class's `__init__`, which stand under the class's name. Everything else in the file is passed over.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from mlgit.errors import InvalidError


def parse(data: bytes, where: str) -> dict[str, Any]:
    """Name → value; classes are mappings, tuples lists, sets sorted lists.

    Raises:
        InvalidError: not Python, or too deep to read.
    """
    try:
        body = ast.parse(data, filename=where).body
        return _read(body)
    except SyntaxError as error:
        raise InvalidError(f"{where}:{error.lineno or 1}: not Python: {error.msg}", hint="mend the file") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise InvalidError(f"{where}: not Python that can be read: {error}", hint="mend the file") from error


def _read(body: list[ast.stmt], *, in_init: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for statement in body:
        if isinstance(statement, (ast.Assign, ast.AnnAssign)):
            found.update(_assigned(statement, in_init))
        elif isinstance(statement, ast.ClassDef) and not in_init:
            found[statement.name] = _read(statement.body)
        elif isinstance(statement, ast.FunctionDef) and statement.name == "__init__" and not in_init:
            found.update(_read(statement.body, in_init=True))
    return found


def _assigned(statement: ast.Assign | ast.AnnAssign, in_init: bool) -> Iterator[tuple[str, Any]]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    for target in targets:
        name = _own_attribute(target) if in_init else target.id if isinstance(target, ast.Name) else None
        if name is None or statement.value is None:
            continue
        try:
            yield name, _plain(ast.literal_eval(statement.value))
        except (ValueError, TypeError, SyntaxError):
            continue  # computed, so not a parameter


def _own_attribute(target: ast.expr) -> str | None:
    """`x` of `self.x`."""
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
        return target.attr
    return None


def _plain(value: Any) -> Any:
    """`value` as JSON has it; `ValueError` for what it has not."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return [_plain(item) for item in sorted(value, key=repr)]
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise ValueError("no such value in JSON")
