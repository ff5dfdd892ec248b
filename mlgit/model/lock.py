"""The lock file, `mlgit.lock`: what each stage of the stage file beside it last produced, and from what.

It holds content only: the same run twice, anywhere, gives the same bytes. When, by whom and with which Python is in the
run record. Paths are relative to the repository's root, everything is sorted, and a content is one line, written as in
a tree object: `file <oid> <bytes>` or `tree <oid> <bytes> <files>`, so a diff names exactly what changed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

from mlgit.errors import InvalidError
from mlgit.model.fields import Fields, describe
from mlgit.model.oid import Oid
from mlgit.model.relpath import RelPath
from mlgit.model.text import MAX_DEPTH, dump_yaml, load_yaml
from mlgit.model.tree import Content

NAME: Final = "mlgit.lock"
VERSION: Final = 1
MAX_BYTES: Final = 64 << 20
"""Written by mlgit, a lock grows with the pipeline; what is written must be readable."""
_ROOT: Final = RelPath("")
_MEND: Final = "restore the file from Git, or delete the stage's entry and run `mlgit repro`"
_CONTENT: Final = re.compile(
    r"(?:(file)|tree) ((?:blake3|sha256):[0-9a-f]{64}) (0|[1-9][0-9]{0,18})(?(1)| (0|[1-9][0-9]{0,18}))"
)


@dataclass(frozen=True, slots=True)
class StageLock:
    """What one stage last ran with and produced.

    Attributes:
        params: file → dotted key → value.
        wdir: the folder the command ran in.
        env: the variables that the stage declares.
    """

    cmd: str | tuple[str, ...]
    deps: dict[RelPath, Content] = field(default_factory=dict)
    params: dict[RelPath, dict[str, Any]] = field(default_factory=dict)
    outs: dict[RelPath, Content] = field(default_factory=dict)
    wdir: RelPath = _ROOT
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lock:
    """One lock file: entries by the names that the stage file beside it gives."""

    stages: dict[str, StageLock] = field(default_factory=dict)


def encode(lock: Lock) -> str:
    """The file's text."""
    return assemble({name: encode_entry(name, entry) for name, entry in lock.stages.items()})


def encode_entry(name: str, entry: StageLock) -> str:
    """The lines of one stage, indented as they stand in the file."""
    text = dump_yaml({"stages": {name: entry_value(entry)}})
    return text.partition("\n")[2]


def assemble(entries: dict[str, str]) -> str:
    """The file's text from the encoded entries of its stages.

    Kept apart from `encode_entry` so that a run of many stages encodes each of them once.
    """
    body = "".join(entries[name] for name in sorted(entries))
    return f"mlgit: {VERSION}\nstages:\n{body}" if body else f"mlgit: {VERSION}\nstages: {{}}\n"


def entry_value(entry: StageLock) -> dict[str, Any]:
    """`entry` as plain values, sorted, empty parts left out; also what a run record holds."""
    value: dict[str, Any] = {"cmd": entry.cmd if isinstance(entry.cmd, str) else list(entry.cmd)}
    if entry.wdir:
        value["wdir"] = str(entry.wdir)
    if entry.env:
        value["env"] = {name: entry.env[name] for name in sorted(entry.env)}
    if entry.deps:
        value["deps"] = _content_values(entry.deps)
    if entry.params:
        value["params"] = {str(file): _sorted(entry.params[file]) for file in sorted(entry.params)}
    if entry.outs:
        value["outs"] = _content_values(entry.outs)
    return value


def decode(data: bytes | str, where: str) -> Lock:
    """Parse a lock file; `where` is its path, for errors.

    Raises:
        InvalidError: malformed, or of a version this mlgit does not know.
        UnsafeError: a path leaves the repository or reaches a control folder.
    """
    fields = Fields(load_yaml(data, where, MAX_BYTES), where, ("mlgit", "stages"))
    if fields.whole("mlgit") != VERSION:
        fields.fail("mlgit", f"version {fields.block['mlgit']} is not known to this mlgit", "upgrade mlgit")
    stages = fields.mapping("stages")
    return Lock({name: decode_entry(value, f"{where}: stages.{name}") for name, value in stages.items()})


def decode_entry(value: object, where: str) -> StageLock:
    """Parse one stage's entry.

    Raises:
        InvalidError: malformed.
        UnsafeError: a path leaves the repository or reaches a control folder.
    """
    fields = Fields(value, where, ("cmd", "wdir", "env", "deps", "params", "outs"))
    cmd = fields.block.get("cmd")
    if isinstance(cmd, list) and cmd and all(isinstance(word, str) for word in cmd):
        words: str | tuple[str, ...] = tuple(cmd)
    else:
        words = fields.text("cmd")
    return StageLock(
        cmd=words,
        deps=_decode_contents(fields, "deps"),
        params=_decode_params(fields),
        outs=_decode_contents(fields, "outs"),
        wdir=RelPath.parse(fields.text("wdir", ""), fields.at("wdir")),
        env=_decode_env(fields),
    )


def same(first: object, second: object) -> bool:
    """Whether two parameter values are the same; unlike `==` it tells 1, 1.0 and true apart, and NaN equals itself."""
    return canonical(first) == canonical(second)


def canonical(value: object) -> str:
    """`value` as JSON with one spelling: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _sorted(value: Any) -> Any:
    """`value` with the keys of its mappings in order, so that equal parameters have one spelling."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _content_values(contents: dict[RelPath, Content]) -> dict[str, str]:
    return {str(path): _encode_content(contents[path]) for path in sorted(contents)}


def _encode_content(content: Content) -> str:
    files = "" if content.files is None else f" {content.files}"
    return f"{content.type} {content.oid} {content.size}{files}"


def _decode_contents(fields: Fields, key: str) -> dict[RelPath, Content]:
    contents = {}
    for name, value in fields.mapping(key, {}).items():
        match = _CONTENT.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            fields.fail(key, f"{name}: expected `file <oid> <bytes>`, found {describe(value)}", _MEND)
        kind, oid, size, files = match.groups()
        path = RelPath.parse(name, fields.at(key))
        if not path:
            fields.fail(key, "names the repository's root", _MEND)
        contents[path] = Content(Oid(oid), "file" if kind else "tree", int(size), None if kind else int(files))
    return contents


def _decode_env(fields: Fields) -> dict[str, str]:
    env = Fields(fields.mapping("env", {}), fields.at("env"), fields.mapping("env", {}))
    return {name: env.text(name) for name in env.block}


def _decode_params(fields: Fields) -> dict[RelPath, dict[str, Any]]:
    params = {}
    for file, values in fields.mapping("params", {}).items():
        if not isinstance(values, dict):
            raise InvalidError(
                f"{fields.at('params')}.{file}: expected a mapping, found {describe(values)}", hint=_MEND
            )
        params[RelPath.parse(file, fields.at("params"))] = plain(values, fields.at("params"))
    return params


def plain(value: Any, where: str, depth: int = 0) -> Any:
    """A parsed value without the parser's own mapping type; `where` names the file in errors.

    Raises:
        InvalidError: nested deeper than any YAML file may be.
    """
    if depth > MAX_DEPTH:
        raise InvalidError(f"{where}: nested too deeply", hint=f"{MAX_DEPTH} levels is the limit")
    if isinstance(value, dict):
        return {str(key): plain(item, where, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item, where, depth + 1) for item in value]
    return value
