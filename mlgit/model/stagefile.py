"""Reading a stage file, `mlgit.yaml`.

The schema is that of DVC 3's `dvc.yaml`, so that what its users know carries over. Paths in a file are relative to the
file's folder (in a stage: to its `wdir`); in the values they are relative to the repository's root.
Nothing here reads a disk; the files that `vars` names are asked for. Writing into a stage file that a person wrote is
the work of `stagetext.py`.
"""

from __future__ import annotations

import re
from typing import Any, Final

from mlgit.errors import InvalidError
from mlgit.model.expand import Expander
from mlgit.model.fields import Fields, describe
from mlgit.model.relpath import RelPath
from mlgit.model.stage import Artifact, Plot, Stage, StageFile
from mlgit.model.stageentry import decode_entry, decode_notes, each, only_entry
from mlgit.model.stagekeys import ARTIFACT, FILE, LATER, PLOT
from mlgit.model.stagepath import resolve_path
from mlgit.model.template import OPEN
from mlgit.model.text import Block, load_yaml
from mlgit.model.variables import Read, scope_of

ARTIFACT_NAME: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_./\-]*[A-Za-z0-9_])?"
_TEMPLATED: Final = ("params", "metrics", "plots", "artifacts")


def decode(data: bytes | str, path: RelPath, read: Read | None = None) -> StageFile:
    """Parse the stage file that stands at `path`.

    Args:
        read: for parameter files that templates draw on; without it there are none.

    Raises:
        InvalidError: malformed, or a key unknown, missing or of the wrong type; a name in a template is undefined.
        UnsafeError: a path leaves the repository or reaches a control folder.
    """
    value = _load(data, path)
    if value is None:
        return StageFile(path)
    _refuse_later(value, path)
    fields = Fields(value, path, FILE)
    text = data if isinstance(data, str) else data.decode()
    templates = OPEN in text or "vars" in text
    read = read or _no_file
    expander = Expander(path.parent, scope_of(fields, path.parent, read), read, templates)
    if templates:
        fields = _filled(fields, expander)
    return StageFile(
        path=path,
        stages=_decode_stages(fields, expander, path),
        params=_paths(fields, "params", path.parent),
        metrics=_paths(fields, "metrics", path.parent),
        plots=tuple(each(fields, "plots", lambda item, where: _decode_plot(item, where, path.parent))),
        artifacts=_decode_artifacts(fields, path.parent),
        gates=fields.block.get("gates"),
    )


def _no_file(_: RelPath) -> bytes | None:
    return None


def _load(data: bytes | str, path: RelPath) -> Any:
    try:
        return load_yaml(data, path)
    except InvalidError as error:
        line = _line_of(data, error.message.removeprefix(path))
        if error.hint != "mend the YAML there":
            raise
        if re.search(r"[\[{,:]\s*\$\{", line):
            raise InvalidError(error.message, hint="between […] or {…} quote the expression: '${name}'") from error
        if re.match(r"\s*\t", line):
            raise InvalidError(error.message, hint="a tab stands there: indent with spaces") from error
        raise


def _line_of(data: bytes | str, message: str) -> str:
    """The line that a message which begins with `:number` is about."""
    found = re.match(r":([0-9]+)", message)
    lines = (data if isinstance(data, str) else data.decode(errors="replace")).splitlines()
    number = int(found[1]) if found else 0
    return lines[number - 1] if 0 < number <= len(lines) else ""


def _refuse_later(value: object, where: str) -> None:
    """Say plainly which parts of the language this version does not know."""
    for key in value if isinstance(value, Block) else ():
        if key in LATER:
            raise InvalidError(
                f"{where}:{value.lines[key]}: {key}: this version of mlgit does not know it",  # type: ignore[attr-defined]
                hint="take it out, or use a newer mlgit",
            )


def _filled(fields: Fields, expander: Expander) -> Fields:
    """`fields` with the templates outside of stages filled in."""
    gates = fields.block.get("gates")
    if gates is not None and OPEN in str(gates):
        fields.fail("gates", "${…} is not filled in here", "write the limits out: a gate must not move with parameters")
    for key in _TEMPLATED:
        if key in fields.block:
            fields.block[key] = expander.fill_value(fields, key)
    return fields


def _decode_stages(fields: Fields, expander: Expander, path: RelPath) -> dict[str, Stage]:
    names = Fields({}, fields.at("stages"), ())
    names.block = fields.mapping("stages", {})
    return {entry.name: decode_entry(entry, path) for entry in expander.entries(names)}


def _decode_artifacts(fields: Fields, folder: RelPath) -> tuple[Artifact, ...]:
    given = fields.mapping("artifacts", {})
    names = Fields(given, fields.at("artifacts"), given)
    found = []
    for name, value in given.items():
        if not re.fullmatch(ARTIFACT_NAME, name) or ".." in name or "//" in name:
            names.fail(name, "not a name for an artifact", "letters, digits, `_`, `-`, `.` and `/`")
        inner = Fields(value, names.at(name), ARTIFACT)
        where = inner.at("path")
        found.append(Artifact(name, resolve_path(inner.text("path"), folder, where), **decode_notes(inner)))
    return tuple(found)


def _decode_plot(item: object, where: str, folder: RelPath) -> Plot:
    """A path, or `id: {x, y, …}`, where the id is the file unless `y` names files."""
    name, props = only_entry(item, where) if isinstance(item, dict) else (item, None)
    if not isinstance(name, str):
        raise InvalidError(f"{where}: expected a path, found {describe(name)}", hint="write a path, or `name: {y: …}`")
    fields = Fields({} if props is None else props, f"{where}.{name}", PLOT)
    x, y = fields.block.get("x"), fields.block.get("y")
    by_file = y if isinstance(y, dict) else {name: y}
    return Plot(
        id=name,
        y={resolve_path(file, folder, fields.at("y")): _columns(columns, fields) for file, columns in by_file.items()},
        x={resolve_path(file, folder, fields.at("x")): _column(column, fields) for file, column in x.items()}
        if isinstance(x, dict)
        else fields.text("x", None),
        x_label=fields.text("x_label", None),
        y_label=fields.text("y_label", None),
        title=fields.text("title", None),
        template=fields.text("template", None),
    )


def _columns(value: object, fields: Fields) -> tuple[str, ...]:
    columns = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(column, str) for column in columns):
        fields.fail("y", f"expected column names, found {describe(value)}")
    return tuple(columns)


def _column(value: object, fields: Fields) -> str:
    if not isinstance(value, str):
        fields.fail("x", f"expected the name of a column, found {describe(value)}")
    return value


def _paths(fields: Fields, key: str, folder: RelPath) -> tuple[RelPath, ...]:
    return tuple(each(fields, key, lambda item, where: resolve_path(item, folder, where)))
