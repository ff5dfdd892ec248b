"""One stage of a stage file, decoded: strict about keys and types, paths made root-relative.

Templates are filled in and groups taken apart before, see `expand.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeVar, get_args

from mlgit.errors import InvalidError, UnsafeError
from mlgit.model import lock, pointer
from mlgit.model.expand import Entry
from mlgit.model.fields import Fields, describe
from mlgit.model.quantity import parse_size, parse_time
from mlgit.model.relpath import RelPath
from mlgit.model.stage import (
    DEFAULT_PARAMS,
    KINDS,
    NAME,
    Out,
    OutKind,
    ParamRef,
    PlotStyle,
    Predictions,
    Resources,
    Stage,
    Task,
    Tolerance,
)
from mlgit.model.stagekeys import METRIC, NOTES, OUT, PREDICTIONS, RESOURCES, STYLE, TOLERANCE
from mlgit.model.stagepath import is_glob, resolve_glob, resolve_path

ENV_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_OWN: Final = frozenset({NAME, lock.NAME, ".gitignore", ".gitattributes", ".mlgitignore"})
_KEYS: Final[dict[OutKind, tuple[str, ...]]] = {"out": (*OUT,), "metric": (*OUT, *METRIC), "plot": (*OUT, *STYLE)}
_Item = TypeVar("_Item")


def decode_entry(entry: Entry, path: RelPath) -> Stage:
    """The stage that `entry` of the stage file at `path` declares.

    Raises:
        InvalidError: a key is missing or of the wrong type.
        UnsafeError: a path leaves the repository, or an output would replace what must stay.
    """
    fields = entry.fields
    wdir = path.parent
    if fields.text("wdir", None) is not None:
        wdir = resolve_path(fields.block["wdir"], path.parent, fields.at("wdir"))
    deps, globs = _decode_deps(fields, wdir)
    outs = tuple(
        out
        for key, kind in KINDS
        for out in each(fields, key, lambda item, at, kind=kind: _decode_out(item, at, wdir, kind))  # type: ignore[misc]
    )
    return Stage(
        name=entry.name,
        file=path,
        cmd=_decode_cmd(fields),
        wdir=wdir,
        deps=deps,
        globs=globs,
        params=_decode_params(fields, wdir),
        outs=_checked_outs(outs, path, wdir, fields.where),
        frozen=fields.flag("frozen", False),
        always_changed=fields.flag("always_changed", False),
        desc=fields.text("desc", None),
        meta=dict(fields.mapping("meta", {})),
        env=_decode_env(fields),
        resources=_decode_resources(fields),
        timeout=_optional(fields, "timeout", parse_time),
        retries=fields.whole("retries", 0),
        hermetic=fields.flag("hermetic", False),
        line=entry.line,
    )


def each(fields: Fields, key: str, decode_item: Callable[[object, str], _Item]) -> list[_Item]:
    """What `decode_item` makes of each item of the list under `key`."""
    items = fields.items(key, [])
    where = fields.at(key) if items else ""
    return [decode_item(item, where) for item in items]


def only_entry(item: dict[str, Any], where: str) -> tuple[str, Any]:
    """The name and value of a list item such as `path: {…}`."""
    if len(item) != 1:
        raise InvalidError(f"{where}: expected one `path: …` entry, found {len(item)}", hint="one path a list item")
    return next(iter(item.items()))


def decode_notes(fields: Fields) -> dict[str, Any]:
    """`desc`, `type`, `labels` and `meta`, for whoever has them."""
    labels = fields.items("labels", [])
    for label in labels:
        if not isinstance(label, str):
            fields.fail("labels", f"expected text, found {describe(label)}", "quote it")
    return {
        "desc": fields.text("desc", None),
        "type": fields.text("type", None),
        "labels": tuple(labels),
        "meta": dict(fields.mapping("meta", {})),
    }


def _decode_cmd(fields: Fields) -> str | tuple[str, ...]:
    cmd = fields.block.get("cmd")
    if isinstance(cmd, list):
        if not cmd or not all(isinstance(part, str) for part in cmd):
            fields.fail("cmd", "a list must hold the program and its arguments as texts", "quote the numbers")
        words = tuple(str(part) for part in cmd)
    elif cmd is None:
        fields.fail("cmd", "empty" if "cmd" in fields.block else "missing", "say what to run: `cmd: python train.py`")
    else:
        words = (fields.text("cmd"),)
    if not words[0].strip() or any("\0" in word for word in words):
        fields.fail("cmd", "empty, or holds a NUL character", "write the command to run")
    return words if isinstance(cmd, list) else words[0]


def _decode_deps(fields: Fields, wdir: RelPath) -> tuple[tuple[RelPath, ...], tuple[str, ...]]:
    """Paths, and patterns; each a text, or `path: {desc: …}` with nothing that a run reads."""
    paths, globs = [], []
    items = fields.items("deps", [])
    where = fields.at("deps") if items else ""
    for item in items:
        if isinstance(item, dict):
            item, props = only_entry(item, where)
            decode_notes(Fields({} if props is None else props, f"{where}.{item}", NOTES))
        if isinstance(item, str) and is_glob(item):
            globs.append(resolve_glob(item, wdir, where))
        else:
            paths.append(resolve_path(item, wdir, where))
    return tuple(paths), tuple(globs)


def _decode_params(fields: Fields, wdir: RelPath) -> tuple[ParamRef, ...]:
    """References merged by file, in the order in which the files occur."""
    merged: dict[RelPath, list[str]] = {}
    whole: set[RelPath] = set()
    for item in fields.items("params", []):
        if not isinstance(item, (str, dict)):
            _no_params(fields, item)
        entries: dict[str, Any] = item if isinstance(item, dict) else {DEFAULT_PARAMS: [item]}
        for name, keys in entries.items():
            file = resolve_path(name, wdir, fields.at("params"))
            keys = [] if keys is None else keys
            if not isinstance(keys, list) or not all(isinstance(key, str) and key for key in keys):
                _no_params(fields, keys)
            known = merged.setdefault(file, [])
            known += dict.fromkeys(key for key in keys if key not in known)
            if not keys:
                whole.add(file)
    return tuple(ParamRef(file, () if file in whole else tuple(keys)) for file, keys in merged.items())


def _no_params(fields: Fields, found: object) -> NoReturn:
    fields.fail("params", f"expected keys, found {describe(found)}", "write `- key` or `- file: [key, …]`")


def _decode_env(fields: Fields) -> dict[str, str]:
    given = fields.mapping("env", {})
    names = Fields(given, fields.at("env"), given) if given else fields
    env = {}
    for name, value in given.items():
        if not re.fullmatch(ENV_NAME, name):
            names.fail(name, "not the name of a variable", "letters, digits and `_`, no digit first")
        if not isinstance(value, (str, int, float)) or "\0" in str(value):
            names.fail(name, f"expected text, a number, true or false, found {describe(value)}", "quote it")
        env[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return env


def _decode_resources(fields: Fields) -> Resources:
    given = fields.mapping("resources", None)
    if given is None:
        return Resources()
    inner = Fields(given, fields.at("resources"), RESOURCES)
    cpus = inner.number("cpus", 1.0)
    if not 0 < cpus < math.inf:
        inner.fail("cpus", f"not a number of processors: {cpus}", "write a number above 0, such as 2 or 0.5")
    return Resources(cpus, _optional(inner, "memory", parse_size) or 0, inner.whole("gpus", 0))


def _optional(fields: Fields, key: str, read: Callable[[object, str], _Item]) -> _Item | None:
    value = fields.block.get(key)
    return None if value is None else read(value, fields.at(key))


def _decode_out(item: object, where: str, wdir: RelPath, kind: OutKind) -> Out:
    """A path, or `path: {flags}`; for plots also `path: [{flags and style}, …]`."""
    if not isinstance(item, dict):
        return Out(resolve_path(item, wdir, where), kind)
    path, props = only_entry(item, where)
    several: list[object] = props if isinstance(props, list) and kind == "plot" else [{} if props is None else props]
    blocks = [_keys_of(one, f"{where}.{path}", kind) for one in several]
    fields = blocks[0] if blocks else Fields({}, where, ())
    flags = [_decode_flags(block) for block in blocks]
    styles = tuple(_decode_style(block) for block in blocks) if kind == "plot" else ()
    return Out(
        path=resolve_path(path, wdir, where),
        kind=kind,
        **(flags[0] if flags else _decode_flags(fields)),
        styles=tuple(style for style in styles if style != PlotStyle()),
        predictions=_decode_predictions(fields, wdir),
        fixed=_decode_fixed(fields, wdir),
    )


def _keys_of(value: object, where: str, kind: OutKind) -> Fields:
    """The keys below an output's path; what only metrics have is refused as that elsewhere."""
    misplaced = [key for key in METRIC if kind != "metric" and isinstance(value, dict) and key in value]
    if misplaced:
        fields = Fields(value, where, (*_KEYS[kind], *METRIC))
        fields.fail(misplaced[0], "only a metric has this", "list the file under `metrics`, or take the key away")
    return Fields(value, where, _KEYS[kind])


def _decode_fixed(fields: Fields, wdir: RelPath) -> tuple[RelPath, ...] | None:
    if fields.items("fixed", None) is None:
        return None
    return tuple(each(fields, "fixed", lambda item, where: resolve_path(item, wdir, where)))


def _decode_predictions(fields: Fields, wdir: RelPath) -> Predictions | None:
    """A path, or a mapping that names columns."""
    value = fields.block.get("predictions")
    if value is None:
        return None
    where = fields.at("predictions")
    if not isinstance(value, dict):
        return Predictions(resolve_path(value, wdir, where))
    inner = Fields(value, where, PREDICTIONS)
    if inner.block.get("path") is None:
        inner.fail("path", "missing", "name the file: `path: data/predictions.csv`")
    columns = {key: inner.text(key, key) for key in PREDICTIONS if key not in ("path", "task")}
    for key, column in columns.items():
        if not column:
            inner.fail(key, "empty", "name a column, or leave the key out")
    return Predictions(
        path=resolve_path(inner.block["path"], wdir, inner.at("path")),
        task=inner.choice("task", get_args(Task), None),
        **columns,
    )


def _decode_flags(fields: Fields) -> dict[str, Any]:
    return {
        "cache": fields.flag("cache", True),
        "persist": fields.flag("persist", False),
        "push": fields.flag("push", True),
        "remote": fields.text("remote", None),
        "tolerance": _decode_tolerance(fields),
        **decode_notes(fields),
    }


def _decode_style(fields: Fields) -> PlotStyle:
    texts = {key: fields.text(key, None) for key in STYLE if key != "header"}
    return PlotStyle(**texts, header=fields.flag("header", None))


def _decode_tolerance(fields: Fields) -> Tolerance | None:
    """A number is the absolute one."""
    value = fields.block.get("tolerance")
    if value is None:
        return None
    inner = Fields(value if isinstance(value, dict) else {}, fields.at("tolerance"), TOLERANCE)
    bounds = {key: inner.number(key, 0.0) for key in TOLERANCE} if isinstance(value, dict) else {}
    if not isinstance(value, dict):
        bounds = {"abs": fields.number("tolerance")}
    if not all(0 <= bound < math.inf for bound in bounds.values()):
        fields.fail("tolerance", "must be 0 or more, and finite", "write a number, or {abs: …, rel: …}")
    return Tolerance(**bounds)


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
