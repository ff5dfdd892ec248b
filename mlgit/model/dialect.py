"""The YAML dialect itself, on top of PyYAML; `text.py` is the way in and loads this only when there is text to read.

Loading PyYAML takes a tenth of a whole `mlgit status`, so nothing here is imported before it is needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

import yaml

from mlgit.errors import InvalidError
from mlgit.model.block import MAX_BYTES, MAX_DEPTH, MAX_NODES, Block
from mlgit.model.yamlbuild import build

_MOST_DIGITS: Final = 4000
_CONFLICT: Final = re.compile(r"^<{7} ", re.MULTILINE)

_Reader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Writer: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Loader(_Reader):  # type: ignore[misc]
    """PyYAML's safe loader with YAML 1.2's scalars and no duplicate keys."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}


class _Dumper(_Writer):  # type: ignore[misc]
    """PyYAML's safe dumper; it quotes whatever either YAML 1.1 or 1.2 would misread."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {
        first: list(resolvers) for first, resolvers in _Writer.yaml_implicit_resolvers.items()
    }

    def ignore_aliases(self, data: object) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        return super().increase_indent(flow, False)


_SCALARS: Final = (
    ("tag:yaml.org,2002:bool", re.compile(r"true|True|TRUE|false|False|FALSE"), "tTfF"),
    ("tag:yaml.org,2002:null", re.compile(r"~|null|Null|NULL|"), "~nN\0"),
    ("tag:yaml.org,2002:int", re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"), "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        re.compile(
            r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
        ),
        "-+.0123456789",
    ),
    ("tag:yaml.org,2002:merge", re.compile(r"<<"), "<"),
)
for _tag, _pattern, _firsts in _SCALARS:
    _exact = re.compile(f"(?:{_pattern.pattern})$")
    for _first in _firsts:
        _key = "" if _first == "\0" else _first
        _Loader.yaml_implicit_resolvers.setdefault(_key, []).append((_tag, _exact))
        _Dumper.yaml_implicit_resolvers.setdefault(_key, []).append((_tag, _exact))


def _construct_int(loader: Any, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    if len(text) > _MOST_DIGITS:
        raise yaml.constructor.ConstructorError(None, None, "integer with too many digits", node.start_mark)
    return _to_int(text)


def _construct_float(loader: Any, node: yaml.ScalarNode) -> float:
    return _to_float(loader.construct_scalar(node))


def _to_int(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError("integer with too many digits")
    return int(text, 8) if text.startswith("0o") else int(text, 16) if text.startswith("0x") else int(text)


def _to_float(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


_MEANINGS: Final[dict[str, Callable[[str], Any]]] = {
    "tag:yaml.org,2002:bool": lambda text: text.lower() == "true",
    "tag:yaml.org,2002:null": lambda text: None,
    "tag:yaml.org,2002:int": _to_int,
    "tag:yaml.org,2002:float": _to_float,
}


def _construct_map(loader: Any, node: yaml.MappingNode) -> Block:
    own = {id(key) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"}
    loader.flatten_mapping(node)
    block = Block()
    block.line, block.lines = node.start_mark.line + 1, {}
    owned: set[str] = set()
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(None, None, "a key must be a scalar", key_node.start_mark)
        key = str(key_node.value)
        if id(key_node) in own and key in owned:
            raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", key_node.start_mark)
        if id(key_node) in own:
            owned.add(key)
        block.lines[key] = key_node.start_mark.line + 1
        block[key] = loader.construct_object(value_node, deep=True)
    return block


_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)
_Loader.add_constructor("tag:yaml.org,2002:map", _construct_map)
_Dumper.add_multi_representer(str, lambda dumper, text: dumper.represent_str(str(text)))
_Dumper.add_multi_representer(dict, lambda dumper, block: dumper.represent_dict(block.items()))


def parse(data: bytes | str, where: str, limit: int) -> Any:
    """As `text.load_yaml`."""
    if isinstance(data, bytes):
        if len(data) > limit:
            raise InvalidError(f"{where}: {len(data)} bytes of YAML", hint=f"{limit} bytes is the limit")
        try:
            data = data.decode()
        except UnicodeDecodeError as error:
            raise InvalidError(f"{where}: not UTF-8 at byte {error.start}", hint="save the file as UTF-8") from error
    try:
        built = build(yaml.parse(data, Loader=_Reader), _plain, MAX_NODES * limit // MAX_BYTES)
        if built is not None:
            return built
        _check_shape(data, where, MAX_NODES * limit // MAX_BYTES)
        return yaml.load(data, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        merge = _merge_line(data)
        if merge is not None:
            raise InvalidError(
                f"{where}:{merge}: a merge left a conflict here",
                hint=_merge_hint(where),
            ) from error
        if error.context_mark and "end of stream" in str(error.problem) and "quoted" in str(error.context):
            said = f"{where}:{error.context_mark.line + 1}: a quote begins here and is not closed"
            raise InvalidError(said, hint="close it with the same quote") from error
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        twice = "keep one of the two" if "duplicate key" in str(error.problem) else "mend the YAML there"
        raise InvalidError(f"{where}{line}: {error.problem or error.context}", hint=twice) from error
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidError(f"{where}: {str(error).splitlines()[0]}", hint="mend the YAML") from error


def _plain(text: str) -> Any:
    """What a scalar without quotes means.

    Raises:
        ValueError: it has no meaning, or one that only the long way can word.
    """
    for tag, pattern in _Loader.yaml_implicit_resolvers.get(text[:1], ()):
        if pattern.match(text):
            if tag not in _MEANINGS:
                raise ValueError(text)
            return _MEANINGS[tag](text)
    return text


def _merge_line(data: str) -> int | None:
    """The line (from 1) where a merge left both sides in the text, or None."""
    start = _CONFLICT.search(data)
    if start is None or data.find("\n>>>>>>> ", data.find("\n=======\n", start.end())) < 0:
        return None
    return data.count("\n", 0, start.start()) + 1


def _merge_hint(where: str) -> str:
    """How to end a merge that Git stopped in; with its drivers, mlgit merges its own files better than as text."""
    sides = f"take one side: git checkout --ours '{where}' (or --theirs)"
    if where.endswith((".lock", ".mlgit")):
        return f"merge it anew: `mlgit hooks install && git checkout --merge '{where}'`; or {sides}; then git add it"
    return f"{sides}, or mend it by hand; then git add it"


def _check_shape(data: str, where: str, max_nodes: int) -> None:
    """Bound depth and expanded size before anything is built; the C parser recurses and would crash."""
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []
    total = 0
    for event in yaml.parse(data, Loader=_Reader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        anchor = getattr(event, "anchor", None)
        tag = getattr(event, "tag", None)
        if tag is not None and tag != "!":
            raise InvalidError(f"{where}:{line}: tag {tag!r} refused", hint="write plain YAML without tags")
        if isinstance(event, yaml.AliasEvent):
            total += sizes.get(str(anchor), max_nodes)
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if anchor:
                sizes[anchor] = 1
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            open_nodes.append((anchor, total))
            total += 1
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            name, before = open_nodes.pop()
            if name:
                sizes[name] = total - before
        if len(open_nodes) > MAX_DEPTH or total > max_nodes:
            raise InvalidError(f"{where}:{line}: nested too deeply or too large", hint="simplify the file")


def emit(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """As `text.dump_yaml`."""
    text = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=1 << 20
    )
    return str(text)
