"""Editing a stage file that a person wrote: add a stage, freeze one, thaw one.

Only lines are put in, changed or taken out; every other byte, comments included, stays. What the edit did is proven by
decoding the result and comparing it with what was meant; where a file is written in a way that cannot be edited so
(flow style), the caller is told to do it by hand. Nothing here reads or writes a disk.
"""

from __future__ import annotations

import posixpath
from dataclasses import replace
from typing import Any, Final

import yaml

from mlgit.errors import InvalidError, UsageError
from mlgit.model.relpath import RelPath
from mlgit.model.stage import DEFAULT_PARAMS, KINDS, Out, PlotStyle, Stage, StageFile
from mlgit.model.stagefile import decode
from mlgit.model.text import dump_yaml

_Loader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_FLAGS: Final = (("cache", True), ("persist", False), ("push", True))
_NOTES: Final = ("remote", "desc", "type")


def append(text: str, stage: Stage) -> str:
    """`text`, the content of `stage.file` ("" for a new file), with `stage` added after the others.

    Raises:
        UsageError: the file has a stage of that name.
        InvalidError: the file is malformed, or must be edited by hand.
    """
    before = decode(text, stage.file)
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
    block = dump_yaml({stage.name: to_value(stage)})
    added = head + "".join(f"{' ' * indent}{line}" for line in block.splitlines(keepends=True))
    lines.insert(at, added.replace("\n", newline))
    return _proven("".join(lines), before, stage)


def set_frozen(text: str, path: RelPath, name: str, frozen: bool) -> str:
    """`text`, the stage file at `path`, with the stage `name` frozen or not.

    Raises:
        UsageError: there is no such stage.
        InvalidError: the file is malformed, or must be edited by hand.
    """
    before = decode(text, path)
    if name not in before.stages:
        raise UsageError(f"{path}: no stage {name!r}", hint="`mlgit stage list` shows the stages")
    if before.stages[name].frozen == frozen:
        return text
    lines = text.splitlines(keepends=True)
    stage = _entry(_entry(yaml.compose(text, Loader=_Loader), "stages"), name)
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
    return _proven("".join(lines), before, replace(before.stages[name], frozen=frozen))


def to_value(stage: Stage) -> dict[str, Any]:
    """`stage` as the plain values of its entry, paths as seen from its `wdir`, defaults left out."""
    value: dict[str, Any] = {"cmd": stage.cmd if isinstance(stage.cmd, str) else list(stage.cmd)}
    if stage.wdir != stage.file.parent:
        value["wdir"] = _seen_from(stage.file.parent, stage.wdir)
    value["desc"] = stage.desc
    value["deps"] = [_seen_from(stage.wdir, dep) for dep in stage.deps]
    value["params"] = _params_value(stage)
    for key, kind in KINDS:
        value[key] = [_out_value(out, stage.wdir) for out in stage.outs if out.kind == kind]
    value["frozen"], value["always_changed"] = stage.frozen, stage.always_changed
    value["meta"] = stage.meta
    return {key: item for key, item in value.items() if item}


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
    value |= {"labels": list(out.labels)} if out.labels else {}
    value |= {"meta": out.meta} if out.meta else {}
    path = _seen_from(wdir, out.path)
    if len(out.styles) > 1:
        first, *rest = [_style_value(style) for style in out.styles]
        return {path: [value | first, *rest]}
    value |= _style_value(out.styles[0]) if out.styles else {}
    return {path: value} if value else path


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


def _proven(text: str, before: StageFile, stage: Stage) -> str:
    """`text`, if it says what `before` said with `stage` put in or replaced, and nothing else."""
    if decode(text, before.path) != replace(before, stages={**before.stages, stage.name: stage}):
        raise _by_hand(before.path, "an edit would change more than the stage")
    return text


def _by_hand(path: RelPath, reason: str) -> InvalidError:
    return InvalidError(f"{path}: cannot be edited without touching the rest: {reason}", hint="edit the file by hand")
