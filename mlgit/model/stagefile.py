"""Reading a stage file, `mlgit.yaml`.

The schema is that of DVC 3's `dvc.yaml`, so that what its users know carries over. Paths in a file are relative to the
file's folder (in a stage: to its `wdir`); in the values they are relative to the repository's root.
Nothing here reads a disk. Writing into a stage file that a person wrote is the work of `stagetext.py`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

from mlgit.errors import InvalidError, UnsafeError
from mlgit.model import lock, pointer
from mlgit.model.fields import Fields, describe
from mlgit.model.relpath import RelPath
from mlgit.model.stage import DEFAULT_PARAMS, KINDS, NAME, Out, OutKind, ParamRef, Plot, PlotStyle, Stage, StageFile
from mlgit.model.text import Block, load_yaml

_FILE_KEYS: Final = ("stages", "params", "metrics", "plots", "gates")
_STAGE_KEYS: Final = (
    *("cmd", "wdir", "deps", "params", "outs", "metrics", "plots", "frozen", "always_changed", "desc", "meta"),
)
_OUT_KEYS: Final = ("cache", "persist", "push", "remote", "desc", "type", "labels", "meta")
_STYLE_KEYS: Final = ("x", "y", "x_label", "y_label", "title", "template", "header")
_PLOT_KEYS: Final = ("x", "y", "x_label", "y_label", "title", "template")
_LATER: Final = frozenset(
    {"vars", "foreach", "do", "matrix", "env", "resources", "timeout", "retries", "hermetic", "checks", "artifacts"}
)
_OWN: Final = frozenset({NAME, lock.NAME, ".gitignore", ".mlgitignore"})
_STAGE_NAME: Final = re.compile(r"\w[\w.\-]*")

_Item = TypeVar("_Item")

Read = Callable[[RelPath], bytes | None]
"""Gives a file of the same snapshot, None where there is none."""


def decode(data: bytes | str, path: RelPath, read: Read | None = None) -> StageFile:
    """Parse the stage file that stands at `path`.

    Args:
        read: for the files that `vars` names; without it there are none.

    Raises:
        InvalidError: malformed, or a key unknown, missing or of the wrong type.
        UnsafeError: a path leaves the repository or reaches a control folder.
    """
    value = load_yaml(data, path)
    if value is None:
        return StageFile(path)
    _refuse_later(value, path)
    fields = Fields(value, path, _FILE_KEYS)
    if "${" in (data if isinstance(data, str) else data.decode()):
        _refuse_templates(fields)
    stages = fields.mapping("stages", {})
    names = Fields({}, fields.at("stages"), ())
    names.block = stages
    return StageFile(
        path=path,
        stages={name: _decode_stage(name, names, path) for name in stages},
        params=_paths(fields, "params", path.parent),
        metrics=_paths(fields, "metrics", path.parent),
        plots=tuple(_each(fields, "plots", lambda item, where: _decode_plot(item, where, path.parent))),
        gates=fields.block.get("gates"),
    )


def resolve_path(text: object, folder: str, where: str) -> RelPath:
    """`text`, a path seen from `folder`, as a path from the repository's root; `..` is fine while it stays inside.

    Raises:
        UnsafeError: it is absolute, leaves the repository or reaches a control folder.
        InvalidError: it is no path.
    """
    if not isinstance(text, str) or not text:
        raise InvalidError(f"{where}: expected a path, found {describe(text)}", hint="write a path")
    if text.startswith(("/", "\\")) or ":" in text[:3]:
        RelPath.parse(text, where)
    joined = posixpath.normpath(posixpath.join(folder, text))
    if joined == ".." or joined.startswith("../"):
        raise UnsafeError(f"{where}: path leaves the repository: {text!r}", hint="keep it below the repository's root")
    return RelPath.parse(joined, where)


def _refuse_later(value: object, where: str) -> None:
    """Say plainly which parts of the stage language this version does not know."""
    if not isinstance(value, Block):
        return
    for key in value:
        if key in _LATER:
            raise InvalidError(
                f"{where}:{value.lines[key]}: {key}: this version of mlgit does not know it",
                hint="write the stages out one by one, or use a newer mlgit",
            )


def _refuse_templates(fields: Fields) -> None:
    """Refuse `${…}`: left in a command, the shell would read it as something else."""
    open_values: list[tuple[str, object]] = [(fields.at(key), fields.block[key]) for key in fields.block]
    while open_values:
        where, item = open_values.pop()
        if isinstance(item, Block):
            inner = Fields(item, where, item)
            open_values += [(inner.at(key), item[key]) for key in item if key not in ("desc", "meta")]
        elif isinstance(item, list):
            open_values += [(where, part) for part in item]
        elif isinstance(item, str) and "${" in item:
            raise InvalidError(
                f"{where}: this version of mlgit does not substitute ${{…}}: {item!r:.80}",
                hint="write the value out; for a variable of the shell write $NAME without braces",
            )


def _decode_stage(name: str, names: Fields, path: RelPath) -> Stage:
    where = names.at(name)
    if not _STAGE_NAME.fullmatch(name):
        raise InvalidError(f"{where}: not a stage name", hint="letters, digits, `_`, `-` and `.`")
    _refuse_later(names.block[name], path)
    fields = Fields(names.block[name], where, _STAGE_KEYS)
    wdir = path.parent
    if fields.text("wdir", None) is not None:
        wdir = resolve_path(fields.block["wdir"], path.parent, fields.at("wdir"))
    outs = tuple(
        out
        for key, kind in KINDS
        for out in _each(fields, key, lambda item, at, kind=kind: _decode_out(item, at, wdir, kind))  # type: ignore[misc]
    )
    return Stage(
        name=name,
        file=path,
        cmd=_decode_cmd(fields),
        wdir=wdir,
        deps=tuple(_each(fields, "deps", lambda item, at: _decode_dep(item, at, wdir))),
        params=_decode_params(fields, wdir),
        outs=_checked_outs(outs, path, wdir, where),
        frozen=fields.flag("frozen", False),
        always_changed=fields.flag("always_changed", False),
        desc=fields.text("desc", None),
        meta=dict(fields.mapping("meta", {})),
        line=names.block.lines[name] if isinstance(names.block, Block) else 0,
    )


def _decode_cmd(fields: Fields) -> str | tuple[str, ...]:
    cmd = fields.block.get("cmd")
    if isinstance(cmd, list):
        if not cmd or not all(isinstance(part, str) for part in cmd):
            fields.fail("cmd", "a list must hold the program and its arguments as texts", "quote the numbers")
        words = tuple(str(part) for part in cmd)
    else:
        words = (fields.text("cmd"),)
    if not words[0].strip() or any("\0" in word for word in words):
        fields.fail("cmd", "empty, or holds a NUL character", "write the command to run")
    return words if isinstance(cmd, list) else words[0]


def _decode_dep(item: object, where: str, wdir: RelPath) -> RelPath:
    """A path, or `path: {}` with nothing that this version reads."""
    if isinstance(item, dict):
        path, props = _only_entry(item, where)
        if props is not None:
            Fields(props, f"{where}.{path}", ("desc", "type", "labels", "meta"))
        item = path
    return resolve_path(item, wdir, where)


def _decode_params(fields: Fields, wdir: RelPath) -> tuple[ParamRef, ...]:
    """References merged by file, in the order in which the files occur."""
    merged: dict[RelPath, list[str]] = {}
    whole: set[RelPath] = set()
    for item in fields.items("params", []):
        where = fields.at("params")
        entries: dict[str, Any] = item if isinstance(item, dict) else {DEFAULT_PARAMS: [item]}
        for name, keys in entries.items():
            file = resolve_path(name, wdir, where)
            if not isinstance(keys or [], list) or not all(isinstance(key, str) and key for key in keys or []):
                fields.fail("params", f"expected keys, found {describe(keys)}", "write `- key` or `- file: [key, …]`")
            merged.setdefault(file, []).extend(key for key in keys or [] if key not in merged[file])
            if not keys:
                whole.add(file)
    return tuple(ParamRef(file, () if file in whole else tuple(keys)) for file, keys in merged.items())


def _decode_out(item: object, where: str, wdir: RelPath, kind: OutKind) -> Out:
    """A path, or `path: {flags}`; for plots also `path: [{flags and style}, …]`."""
    path, props = _only_entry(item, where) if isinstance(item, dict) else (item, None)
    several: list[object] = props if isinstance(props, list) and kind == "plot" else [props or {}]
    at = f"{where}.{path}" if isinstance(item, dict) else where
    blocks = [Fields(one, at, _OUT_KEYS + _STYLE_KEYS * (kind == "plot")) for one in several]
    fields = blocks[0] if blocks else Fields({}, at, ())
    labels = fields.items("labels", [])
    styles = tuple(_decode_style(block) for block in blocks) if kind == "plot" else ()
    return Out(
        path=resolve_path(path, wdir, where),
        kind=kind,
        cache=fields.flag("cache", True),
        persist=fields.flag("persist", False),
        push=fields.flag("push", True),
        remote=fields.text("remote", None),
        desc=fields.text("desc", None),
        type=fields.text("type", None),
        labels=tuple(str(label) for label in labels),
        meta=dict(fields.mapping("meta", {})),
        styles=tuple(style for style in styles if style != PlotStyle()),
    )


def _decode_style(fields: Fields) -> PlotStyle:
    texts = {key: fields.text(key, None) for key in _STYLE_KEYS if key != "header"}
    return PlotStyle(**texts, header=fields.flag("header", None))


def _checked_outs(outs: tuple[Out, ...], file: RelPath, wdir: RelPath, where: str) -> tuple[Out, ...]:
    """Outputs are removed before a run, so none may hold what the run needs."""
    for out in outs:
        if not out.path or file.within(out.path) or wdir.within(out.path):
            raise UnsafeError(
                f"{where}: the output {str(out.path) or '.'!r} holds the stage file or the folder the stage runs in",
                hint="an output is removed before its stage runs: name a file or folder of its own",
            )
        if out.path.name in _OWN or out.path.endswith(pointer.SUFFIX):
            raise UnsafeError(
                f"{where}: the output {str(out.path)!r} would replace a file that says what is tracked",
                hint="an output is removed before its stage runs: give it another name",
            )
    return outs


def _decode_plot(item: object, where: str, folder: RelPath) -> Plot:
    """A path, or `id: {x, y, …}`, where the id is the file unless `y` names files."""
    name, props = _only_entry(item, where) if isinstance(item, dict) else (item, None)
    fields = Fields(props or {}, f"{where}.{name}", _PLOT_KEYS)
    x, y = fields.block.get("x"), fields.block.get("y")
    by_file = y if isinstance(y, dict) else {name: y}
    return Plot(
        id=str(name),
        y={resolve_path(file, folder, fields.at("y")): _columns(columns, fields) for file, columns in by_file.items()},
        x={resolve_path(file, folder, fields.at("x")): str(column) for file, column in x.items()}
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


def _paths(fields: Fields, key: str, folder: RelPath) -> tuple[RelPath, ...]:
    return tuple(_each(fields, key, lambda item, where: resolve_path(item, folder, where)))


def _each(fields: Fields, key: str, decode_item: Callable[[object, str], _Item]) -> list[_Item]:
    return [decode_item(item, fields.at(key)) for item in fields.items(key, [])]


def _only_entry(item: dict[str, Any], where: str) -> tuple[str, Any]:
    if len(item) != 1:
        raise InvalidError(f"{where}: expected one `path: …` entry, found {len(item)}", hint="one path a list item")
    return next(iter(item.items()))
