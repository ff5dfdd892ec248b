"""Editing a stage file that a person wrote: add a stage, freeze one, thaw one.

Only lines are put in, changed or taken out; every other byte, comments included, stays. What the edit did is proven by
decoding the result, templates filled in, and comparing it with what was meant; where a file is written in a way that
cannot be edited so (flow style), the caller is told to do it by hand. Nothing here reads or writes a disk.
"""

from __future__ import annotations

import glob
import posixpath
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import yaml

from mlgit.errors import InvalidError, UsageError
from mlgit.model.expand import GROUP_SIGN
from mlgit.model.quantity import format_size, format_time
from mlgit.model.relpath import RelPath
from mlgit.model.stage import DEFAULT_PARAMS, KINDS, Out, PlotStyle, Predictions, Resources, Stage, StageFile, Tolerance
from mlgit.model.stagefile import decode
from mlgit.model.template import escape
from mlgit.model.text import dump_yaml, load_yaml
from mlgit.model.variables import Read

_Loader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_FLAGS: Final = (("cache", True), ("persist", False), ("push", True))
_NOTES: Final = ("remote", "desc", "type")


def append(text: str, stage: Stage, read: Read | None = None, entry: Mapping[str, Any] | None = None) -> str:
    """`text`, the content of `stage.file` ("" for a new file), with `stage` added after the others.

    Args:
        read: as for `stagefile.decode`.
        entry: how to write the stage, where that has templates; it must decode to `stage`.

    Raises:
        UsageError: the file has a stage of that name.
        InvalidError: the file is malformed, or must be edited by hand.
    """
    before = decode(text, stage.file, read)
    if stage.name in before.stages:
        raise UsageError(
            f"{stage.file}: there is a stage {stage.name!r} already, in line {before.stages[stage.name].line}",
            hint="edit it there, or choose another name",
        )
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.splitlines(keepends=True)
    stages = _entry(yaml.compose(text, Loader=_Loader), "stages")
    if lines and not lines[-1].endswith(("\n", "\r")):
        lines[-1] += newline
    if stages is None:
        at, indent, head = len(lines), 2, "stages:\n"
    elif isinstance(stages, yaml.MappingNode) and stages.value and not stages.flow_style:
        at, indent, head = _end_of_block(lines, stages), stages.value[0][0].start_mark.column, ""
    elif isinstance(stages, yaml.ScalarNode) and not stages.value:
        at, indent, head = stages.start_mark.line + 1, 2, ""
    else:
        raise _by_hand(stage.file, "`stages` is not in block style")
    block = dump_yaml({stage.name: to_value(stage) if entry is None else entry})
    added = head + "".join(f"{' ' * indent}{line}" for line in block.splitlines(keepends=True))
    lines.insert(at, added.replace("\n", newline))
    return _proven("".join(lines), before, stage, read)


def compose(text: str, name: str, entry: Mapping[str, Any], path: RelPath, read: Read | None = None) -> Stage:
    """The stage that `entry` would declare as `name` in `text`, the stage file at `path`; its templates see the `vars`.

    Raises:
        InvalidError, UnsafeError: as `stagefile.decode`.
    """
    found = load_yaml(text, path)
    given = {"vars": found["vars"]} if isinstance(found, dict) and found.get("vars") is not None else {}
    return decode(dump_yaml({**given, "stages": {name: entry}}), path, read).stages[name]


def set_frozen(text: str, path: RelPath, name: str, frozen: bool, read: Read | None = None) -> str:
    """`text`, the stage file at `path`, with the stage `name` frozen or not.

    Args:
        read: as for `stagefile.decode`.

    Raises:
        UsageError: there is no such stage, or it is one of a group, which are frozen together.
        InvalidError: the file is malformed, or must be edited by hand.
    """
    before = decode(text, path, read)
    if name not in before.stages:
        raise UsageError(f"{path}: no stage {name!r}", hint="`mlgit stage list` shows the stages")
    if before.stages[name].frozen == frozen:
        return text
    lines = text.splitlines(keepends=True)
    stages = _entry(yaml.compose(text, Loader=_Loader), "stages")
    stage = _entry(stages, name)
    if stage is None and name.partition(GROUP_SIGN)[1]:
        raise _one_of_many(path, before.stages[name], stages, frozen)
    if not isinstance(stage, yaml.MappingNode) or stage.flow_style:
        raise _by_hand(path, f"stage {name!r} is not in block style")
    first, value = stage.value[0][0].start_mark, _entry(stage, "frozen")
    newline = "\r\n" if "\r\n" in text else "\n"
    if value is None:
        lines.insert(first.line, f"{' ' * first.column}frozen: true{newline}")
    elif not frozen and lines[value.start_mark.line].strip() == "frozen: true" and len(stage.value) > 1:
        del lines[value.start_mark.line]
    else:
        line, start, end = value.start_mark.line, value.start_mark.column, value.end_mark.column
        lines[line] = lines[line][:start] + str(frozen).lower() + lines[line][end:]
    return _proven("".join(lines), before, replace(before.stages[name], frozen=frozen), read)


def to_value(stage: Stage) -> dict[str, Any]:
    """`stage` as the plain values of its entry, paths as seen from its `wdir`, defaults left out."""
    value: dict[str, Any] = {"cmd": stage.cmd if isinstance(stage.cmd, str) else list(stage.cmd)}
    if stage.wdir != stage.file.parent:
        value["wdir"] = _seen_from(stage.file.parent, stage.wdir)
    value["desc"] = stage.desc
    value["deps"] = [_seen_from(stage.wdir, dep) for dep in stage.deps]
    value["deps"] += [posixpath.relpath(pattern, glob.escape(stage.wdir or ".")) for pattern in stage.globs]
    value["params"] = _params_value(stage)
    for key, kind in KINDS:
        value[key] = [_out_value(out, stage.wdir) for out in stage.outs if out.kind == kind]
    value["env"], value["resources"] = stage.env, _resources_value(stage.resources)
    value["timeout"] = format_time(stage.timeout) if stage.timeout else None
    for key in ("retries", "hermetic", "frozen", "always_changed", "meta"):
        value[key] = getattr(stage, key)
    return {key: _escaped(item) for key, item in value.items() if item}


def _resources_value(resources: Resources) -> dict[str, Any]:
    default = Resources()
    values = {"cpus": resources.cpus, "memory": format_size(resources.memory), "gpus": resources.gpus}
    return {key: value for key, value in values.items() if getattr(resources, key) != getattr(default, key)}


def _escaped(value: Any) -> Any:
    """`value` so that nothing in it is taken for a template."""
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    if isinstance(value, dict):
        return {escape(key): _escaped(item) for key, item in value.items()}
    return value


def _params_value(stage: Stage) -> list[Any]:
    default = posixpath.join(stage.wdir, DEFAULT_PARAMS)
    items: list[Any] = []
    for ref in stage.params:
        if ref.file == default and ref.keys:
            items += ref.keys
        else:
            items.append({_seen_from(stage.wdir, ref.file): list(ref.keys) or None})
    return items


def _out_value(out: Out, wdir: RelPath) -> Any:
    value: dict[str, Any] = {key: getattr(out, key) for key, default in _FLAGS if getattr(out, key) != default}
    value |= {key: getattr(out, key) for key in _NOTES if getattr(out, key) is not None}
    value |= {"tolerance": _tolerance_value(out.tolerance)} if out.tolerance else {}
    value |= {"predictions": _predictions_value(out.predictions, wdir)} if out.predictions else {}
    value |= {"fixed": [_seen_from(wdir, path) for path in out.fixed]} if out.fixed is not None else {}
    value |= {"labels": list(out.labels)} if out.labels else {}
    value |= {"meta": out.meta} if out.meta else {}
    path = _seen_from(wdir, out.path)
    if len(out.styles) > 1:
        first, *rest = [_style_value(style) for style in out.styles]
        return {path: [value | first, *rest]}
    value |= _style_value(out.styles[0]) if out.styles else {}
    return {path: value} if value else path


def _tolerance_value(tolerance: Tolerance) -> Any:
    return {"abs": tolerance.abs, "rel": tolerance.rel} if tolerance.rel else tolerance.abs


def _predictions_value(predictions: Predictions, wdir: RelPath) -> Any:
    path, default = _seen_from(wdir, predictions.path), Predictions(predictions.path)
    keys = [key for key in Predictions.__slots__ if getattr(predictions, key) != getattr(default, key)]
    return {"path": path, **{key: getattr(predictions, key) for key in keys}} if keys else path


def _style_value(style: PlotStyle) -> dict[str, Any]:
    values = {key: getattr(style, key) for key in PlotStyle.__slots__}
    return {key: value for key, value in values.items() if value is not None}


def _seen_from(folder: RelPath, path: RelPath) -> str:
    return posixpath.relpath(path or ".", folder or ".")


def _entry(node: Any, key: str) -> Any:
    """The node under `key` of a mapping node; None where there is none."""
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _end_of_block(lines: list[str], node: Any) -> int:
    """The line after a block mapping's last; blank lines and unindented comments below belong to what follows."""
    end: int = min(node.end_mark.line + (node.end_mark.column > 0), len(lines))
    while end and (not lines[end - 1].strip() or lines[end - 1].startswith("#")):
        end -= 1
    return end


def _one_of_many(path: RelPath, stage: Stage, stages: Any, frozen: bool) -> UsageError:
    group = stage.name.partition(GROUP_SIGN)[0]
    place = "below its `do`" if _entry(_entry(stages, group), "do") is not None else "in it"
    return UsageError(
        f"{path}:{stage.line}: {stage.name!r} is one of the stages that {group!r} makes; they are frozen together",
        hint=f"edit {group!r} in the file: `frozen: {str(frozen).lower()}` {place} holds for all of them",
    )


def _proven(text: str, before: StageFile, stage: Stage, read: Read | None) -> str:
    """`text`, if it says what `before` said with `stage` put in or replaced, and nothing else."""
    if decode(text, before.path, read) != replace(before, stages={**before.stages, stage.name: stage}):
        raise _by_hand(before.path, "an edit would change more than the stage")
    return text


def _by_hand(path: RelPath, reason: str) -> InvalidError:
    return InvalidError(f"{path}: cannot be edited without touching the rest: {reason}", hint="edit the file by hand")
