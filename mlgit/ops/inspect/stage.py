"""`stage show`: one stage in full, its templates filled in, paths from the root."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Final

from mlgit.model.lock import plain
from mlgit.model.relpath import RelPath
from mlgit.model.stage import Out, Predictions, Stage
from mlgit.model.text import dump_yaml

VERSION: Final = 1


def to_value(stage: Stage) -> dict[str, Any]:
    """All that `stage` declares as plain values, defaults too; times in seconds, sizes in bytes."""
    return {
        "cmd": stage.cmd if isinstance(stage.cmd, str) else list(stage.cmd),
        "wdir": str(stage.wdir),
        "desc": stage.desc,
        "deps": [*map(str, stage.deps), *stage.globs],
        "params": {str(ref.file): list(ref.keys) for ref in stage.params},
        **{
            f"{kind}s": [_out_value(out) for out in stage.outs if out.kind == kind]
            for kind in ("out", "metric", "plot")
        },
        "env": dict(stage.env),
        "resources": dataclasses.asdict(stage.resources),
        "timeout": stage.timeout,
        "retries": stage.retries,
        "hermetic": stage.hermetic,
        "frozen": stage.frozen,
        "always_changed": stage.always_changed,
        "meta": plain(stage.meta, stage.file),
    }


def _out_value(out: Out) -> dict[str, Any]:
    value = {one.name: getattr(out, one.name) for one in dataclasses.fields(out) if one.name != "kind"}
    value["path"] = str(out.path)
    value["labels"], value["meta"] = list(out.labels), plain(out.meta, out.path)
    value["styles"] = [dataclasses.asdict(style) for style in out.styles]
    value["tolerance"] = dataclasses.asdict(out.tolerance) if out.tolerance else None
    value["predictions"] = _plain_columns(out.predictions) if out.predictions else None
    value["fixed"] = None if out.fixed is None else [str(path) for path in out.fixed]
    return value


def _plain_columns(predictions: Predictions) -> dict[str, str | None]:
    return {**dataclasses.asdict(predictions), "path": str(predictions.path)}


def to_json(stage: Stage) -> str:
    """The stage as one JSON object: `stage` (its address), `file`, `line`, and all that it declares."""
    head = {"version": VERSION, "kind": "stage", "stage": stage.address, "file": str(stage.file), "line": stage.line}
    return json.dumps({**head, **to_value(stage)}, indent=2, ensure_ascii=False)


def to_text(stage: Stage) -> str:
    """The stage as YAML below a line that says where it stands; what is as by default is left out."""
    default = to_value(Stage("", stage.file, ""))
    value = {key: item for key, item in to_value(stage).items() if item != default[key]}
    value = {key: _brief_outs(item) if key in ("outs", "metrics", "plots") else item for key, item in value.items()}
    if "resources" in value:
        standard = default["resources"]
        value["resources"] = {key: item for key, item in value["resources"].items() if item != standard[key]}
    return f"# {stage.file}:{stage.line}\n{dump_yaml({stage.name: value})}"


def _brief_outs(outs: list[dict[str, Any]]) -> list[Any]:
    """A path where there is nothing else to say, else the path with its flags."""
    default = _out_value(Out(RelPath("")))
    brief: list[Any] = []
    for out in outs:
        flags = {key: item for key, item in out.items() if key != "path" and item != default[key]}
        if "styles" in flags:
            flags["styles"] = [
                {key: item for key, item in style.items() if item is not None} for style in out["styles"]
            ]
        brief.append({out["path"]: flags} if flags else out["path"])
    return brief
