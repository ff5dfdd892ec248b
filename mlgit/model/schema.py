"""The JSON Schema of a stage file, for editors: `docs/mlgit.schema.json` is what `python -m mlgit.model.schema` prints.

Keys and their meaning come from `stagekeys.py`, as the decoder's do; a test holds the two to the same answer for files
that are changed at random. What only the decoder can see (unsafe paths, undefined names, outputs that overlap, …) is
listed in that test. Wherever a value of another type may stand, so may a text with `${…}`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, get_args

from mlgit.model import stagekeys
from mlgit.model.quantity import SIZE_PATTERN, TIME_PATTERN
from mlgit.model.stage import Task
from mlgit.model.stageentry import ENV_NAME
from mlgit.model.stagefile import ARTIFACT_NAME

Schema = dict[str, Any]

ADDRESS: Final = "https://json-schema.org/draft/2020-12/schema"
_TEMPLATE: Final[Schema] = {"$ref": "#/$defs/template"}
_PATH: Final[Schema] = {"type": "string", "minLength": 1}
_ANY: Final[Schema] = {}
_NO_KEYS: Final[Mapping[str, str]] = {}


def schema() -> Schema:
    """The whole schema, as JSON values."""
    return {
        "$schema": ADDRESS,
        "title": "mlgit.yaml",
        "description": "The pipeline, plots, artifacts and gates of a folder.",
        **_mapping(stagekeys.FILE, _file_types()),
        "$defs": {
            "template": {
                "description": "A text with ${…}, which is filled in from params.yaml and vars.",
                "type": "string",
                "pattern": r"\$\{",
            },
            "stage": _stage(),
            "group": _group(),
            "gate": _gate(),
        },
    }


def text() -> str:
    """The file's text."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _file_types() -> dict[str, Schema]:
    # Which of the two an entry is, is told by its keys, so that an editor complains about one of them and not both.
    entry = {
        "if": {"anyOf": [{"required": ["foreach"]}, {"required": ["do"]}]},
        "then": {"$ref": "#/$defs/group"},
        "else": {"$ref": "#/$defs/stage"},
    }
    stages = {"propertyNames": _pattern(r"\w[\w.\-]*"), "additionalProperties": {"type": "object", **entry}}
    names = _pattern(ARTIFACT_NAME, r"\$\{")
    artifact = _mapping(stagekeys.ARTIFACT, {"path": _PATH, **_notes()}, required=("path",))
    artifacts = {"type": "object", "propertyNames": names, "additionalProperties": artifact}
    return {
        "vars": _maybe(_list({"anyOf": [_PATH, {"type": "object"}]}), template=False),
        "stages": {"type": ["object", "null"], **stages},
        "params": _maybe(_list(_PATH)),
        "metrics": _maybe(_list(_PATH)),
        "plots": _maybe(_list(_either(_PATH, _single(_maybe(_top_plot()))))),
        "artifacts": _maybe(artifacts),
        "gates": _gates(),
    }


def _stage() -> Schema:
    axes = {"type": "object", "additionalProperties": _either({"type": "array"}, _TEMPLATE)}
    described = {**stagekeys.STAGE, "matrix": stagekeys.GROUP["matrix"]}
    return _mapping(described, {**_stage_types(), "matrix": axes}, required=("cmd",))


def _group() -> Schema:
    types: dict[str, Schema] = {
        "foreach": {"type": ["array", "object", "string"], "pattern": r"\$\{"},
        "do": {"$ref": "#/$defs/stage", "properties": {"matrix": False}},
    }
    return _mapping({key: stagekeys.GROUP[key] for key in types}, types, required=("foreach", "do"))


def _stage_types() -> dict[str, Schema]:
    env = {"additionalProperties": {"type": ["string", "number", "boolean"]}}
    keys = _either({"type": "null"}, _list(_PATH), _TEMPLATE)
    program = {**_list({"type": "string"}), "minItems": 1, "prefixItems": [{"type": "string", "pattern": r"\S"}]}
    return {
        "cmd": _either({"type": "string", "pattern": r"\S"}, program),
        "wdir": _maybe(_PATH),
        "deps": _maybe(_list(_either(_PATH, _single(_maybe(_mapping(stagekeys.NOTES, _notes())))))),
        "params": _maybe(_list(_either(_PATH, {"type": "object", "additionalProperties": keys, **_names()}))),
        "outs": _outs(_flags()),
        "metrics": _outs(_flags() | _metric_flags(), keys=stagekeys.METRIC),
        "plots": _outs(_flags() | _style_types(), keys=stagekeys.STYLE, several=True),
        "vars": _maybe(_list({"anyOf": [_PATH, {"type": "object"}]}), template=False),
        "env": _maybe({"type": "object", "propertyNames": _pattern(ENV_NAME, r"\$\{"), **env}),
        "resources": _maybe(_mapping(stagekeys.RESOURCES, _resource_types())),
        "timeout": _maybe(_either({"type": "number", "exclusiveMinimum": 0}, _nonzero(TIME_PATTERN))),
        "retries": _maybe({"type": "integer", "minimum": 0}),
        "hermetic": _flag(),
        "frozen": _flag(),
        "always_changed": _flag(),
        "desc": _text(),
        "meta": _maybe({"type": "object"}),
    }


def _resource_types() -> dict[str, Schema]:
    return {
        "cpus": _maybe({"type": "number", "exclusiveMinimum": 0}),
        "memory": _maybe(_either({"type": "integer", "exclusiveMinimum": 0}, _nonzero(SIZE_PATTERN))),
        "gpus": _maybe({"type": "integer", "minimum": 0}),
    }


def _outs(flags: dict[str, Schema], *, keys: Mapping[str, str] = _NO_KEYS, several: bool = False) -> Schema:
    """A list of outputs with `flags`; `keys` are those that not every output has."""
    one = _mapping({**stagekeys.OUT, **keys}, flags)
    return _maybe(_list(_either(_PATH, _single(_maybe(_either(one, _list(one)) if several else one)))))


def _flags() -> dict[str, Schema]:
    bounds = dict.fromkeys(stagekeys.TOLERANCE, _maybe({"type": "number", "minimum": 0}))
    tolerance = _either({"type": "number", "minimum": 0}, _mapping(stagekeys.TOLERANCE, bounds))
    flags = {"cache": _flag(), "persist": _flag(), "push": _flag(), "remote": _text(), "tolerance": _maybe(tolerance)}
    return {**flags, **_notes()}


def _metric_flags() -> dict[str, Schema]:
    columns = dict.fromkeys(stagekeys.PREDICTIONS, _maybe(_PATH))
    tasks = _maybe({"enum": list(get_args(Task))})
    table = _mapping(stagekeys.PREDICTIONS, {**columns, "path": _PATH, "task": tasks}, required=("path",))
    return {"predictions": _maybe(_either(_PATH, table)), "fixed": _maybe(_list(_PATH))}


def _notes() -> dict[str, Schema]:
    labels = _maybe(_list({"type": "string"}))
    return {"desc": _text(), "type": _text(), "labels": labels, "meta": _maybe({"type": "object"})}


def _style_types() -> dict[str, Schema]:
    return {key: _flag() if key == "header" else _text() for key in stagekeys.STYLE}


def _top_plot() -> Schema:
    columns = _either({"type": ["string", "null"]}, _list({"type": "string"}))
    x = _either({"type": "string"}, {"type": "object", "additionalProperties": {"type": "string"}, **_names()})
    y = _either(columns, {"type": "object", "additionalProperties": columns, **_names()})
    types = {key: _text() for key in stagekeys.PLOT} | {"x": _maybe(x), "y": _maybe(y)}
    return _mapping(stagekeys.PLOT, types)


def _gates() -> Schema:
    rules = _list({"$ref": "#/$defs/gate"})
    plain = {"type": ["string", "number", "boolean"]}
    acknowledge = _maybe({"type": "object", "additionalProperties": plain}, template=False)
    whole = _mapping(stagekeys.GATES, {"rules": _maybe(rules, template=False), "acknowledge": acknowledge})
    return _maybe(_either(rules, whole), template=False)


def _gate() -> Schema:
    # As with stages, the keys tell a group from a rule.
    group = {"anyOf": [{"required": ["all"]}, {"required": ["any"]}]}
    return {"if": group, "then": _gate_group(), "else": _gate_rule()}


def _gate_group() -> Schema:
    members = {**_list({"$ref": "#/$defs/gate", "properties": {"level": False}}), "minItems": 2}
    types = {"all": members, "any": members, "name": {"type": "string"}, "level": _level()}
    return _mapping(stagekeys.GATE_GROUP, types, required=("name",))


def _gate_rule() -> Schema:
    number = {"type": ["number", "null"]}
    types = {
        "metric": _PATH,
        "name": {"type": ["string", "null"]},
        "direction": {"enum": ["higher", "lower", "none", None]},
        "min": number,
        "max": number,
        "max_drop_abs": {**number, "minimum": 0},
        "max_drop_rel": {**number, "minimum": 0},
        "required": {"type": ["boolean", "null"]},
        "level": _level(),
        "on_missing_base": {"enum": ["neutral", "fail", None]},
        "slices": {"enum": ["each", "worst", None]},
        "min_n": {"type": ["integer", "null"], "minimum": 0},
        "against": {"type": ["string", "null"], "pattern": "^[^-]"},
        "test": {"enum": ["bootstrap", "mcnemar", "rank", None]},
        "confidence": {**number, "minimum": 0.5, "exclusiveMaximum": 1},
        "on_inconclusive": {"enum": ["pass", "warn", "fail", None]},
    }
    return _mapping(stagekeys.GATE, types, required=("metric",))


def _level() -> Schema:
    return {"enum": ["error", "warn", "info", None]}


def _mapping(described: Mapping[str, str], types: Mapping[str, Schema], required: tuple[str, ...] = ()) -> Schema:
    """A mapping with the keys `described` and no others."""
    properties = {key: {"description": description, **types[key]} for key, description in described.items()}
    made: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**made, "required": list(required)} if required else made


def _single(value: Schema) -> Schema:
    """A list item such as `path: …`."""
    return {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": value, **_names()}


def _names() -> Schema:
    return {"propertyNames": {"minLength": 1}}


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def _either(*options: Schema) -> Schema:
    return {"anyOf": list(options)}


def _maybe(value: Schema, *, template: bool = True) -> Schema:
    """`value`, nothing, or a template that gives one of the two."""
    return _either(value, {"type": "null"}, *([_TEMPLATE] if template else []))


def _flag() -> Schema:
    return _maybe({"type": "boolean"})


def _text() -> Schema:
    return {"type": ["string", "null"]}


def _pattern(*patterns: str) -> Schema:
    first, *others = patterns
    return {"pattern": "|".join([f"^(?:{first})$", *others])}


def _nonzero(pattern: str) -> Schema:
    return {"type": "string", "pattern": f"^(?=.*[1-9])(?:{pattern})$"}


if __name__ == "__main__":
    import sys

    sys.stdout.write(text())
