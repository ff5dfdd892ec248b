from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mlgit.errors import MlgitError, UnsafeError
from mlgit.model import gatefile, schema, stagekeys
from mlgit.model.relpath import RelPath
from mlgit.model.stagefile import decode
from mlgit.model.text import load_yaml

DOCUMENT = Path(__file__).parents[2] / "docs" / "mlgit.schema.json"
FILE = RelPath("mlgit.yaml")
VALIDATOR = Draft202012Validator(schema.schema())

FULL = """
vars:
  - values.json
  - values.json:word
  - {flag: true, list: [a, b], deep: {number: 3}, size: 2}
params: [params.yaml, '${word}.yaml']
metrics: [m.json]
plots:
  - roc.csv
  - losses: {x: step, y: {a.csv: loss, b.csv: [loss, val], c.csv: null}, title: Losses, x_label: s, y_label: l}
  - other.csv: {x: {o.csv: step}, y: [a, b], template: linear}
  - bare.csv: null
artifacts:
  model: {path: model.pkl, type: model, desc: it, labels: [a], meta: {by: us}}
  team/data-2: {path: 'data/${word}'}
stages:
  train:
    cmd: python train.py --lr ${deep.number}
    wdir: .
    deps: [train.py, 'data/**/*.csv', {raw.csv: {desc: from the ward, labels: [x]}}, {other.csv: null}]
    params: [lr, {other.toml: [seed]}, {all.json: null}]
    outs:
      - model.pkl
      - kept: {persist: true, push: false, cache: '${flag}', remote: cold, desc: d, labels: [a], type: m, meta: {a: 1}}
      - close.csv: {tolerance: 0.1}
      - closer.csv: {tolerance: {abs: 0, rel: 1e-6}}
    metrics:
      - m.json: {cache: false, predictions: p/pred.csv, fixed: [test.csv]}
      - n.json: {predictions: {path: q.csv, task: ranking, id: i, label: l, prediction: p, score: s, group: g}}
    plots: [p.csv: {x: a, y: b, template: linear, header: false}, q.csv: [{x: a}, {x: b, title: t}]]
    vars: [{word2: x}]
    env: {A: text, B: 1, C: true, D: 1.5}
    resources: {cpus: 0.5, memory: 4GiB, gpus: 1}
    timeout: 10m
    retries: 2
    hermetic: true
    frozen: false
    always_changed: true
    desc: fit
    meta: {any: [1, 2]}
  list: {cmd: [python, -c, print(1)], timeout: 90, resources: {memory: 1000}, retries: '${size}'}
  each:
    foreach: {one: {n: 1}, two: {n: 2}}
    do: {cmd: 'echo ${key} ${item.n}', outs: ['${key}.txt'], timeout: '${item.n}m'}
  many:
    foreach: ${list}
    do: {cmd: 'echo ${item}'}
  grid:
    matrix: {os: [linux, mac], n: [1, 2], l: '${list}'}
    cmd: echo ${item.os} ${item.n}
    outs: ['${key}.bin']
gates:
  - {metric: m.json:auc, name: quality, direction: higher, min: 0.5, max: 1, max_drop_abs: 0.1, max_drop_rel: 0.2}
  - {metric: m.json:loss, required: false, level: warn, max: 3}
  - {metric: m.json:f1, direction: lower, max_drop_abs: 0, on_missing_base: fail, against: v1}
  - {metric: m.json:by.*.f1, direction: higher, max_drop_abs: 0, slices: worst, min_n: 30}
  - {metric: 'm.json:acc[*]', direction: higher, max_drop_rel: 0, test: rank, confidence: 0.9, on_inconclusive: pass}
  - name: either
    level: warn
    any:
      - {metric: m.json:auc, min: 1}
      - {name: both, all: [{metric: m.json:auc, min: 0}, {metric: m.json:f1, max: 1}]}
"""


def plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


VALID: dict[str, Any] = plain(load_yaml(FULL, FILE))


def read(path: RelPath) -> bytes | None:
    return {"values.json": b'{"word": "w", "more": [1]}'}.get(path)


def refusal(document: Any) -> MlgitError | None:
    try:
        file = decode(json.dumps(document), FILE, read)
        gatefile.decode(file.gates, FILE)
    except MlgitError as error:
        return error
    return None


# What a schema cannot say. Each refusal by the decoder alone must be one of these.
DECODER_ONLY = [
    r"is not defined|has no key|has no '|without an item|it is a list",  # names in templates
    r"cannot stand inside of text|cannot hold \$\{|cannot be made of others|`\|raw` is for",  # their values
    r"no such file: |(vars): '.*' is .* in .* and ",  # files and values of `vars`
    r"stands for the item here",
    r"the whole command is a value|cannot be quoted safely",
    r"makes the stage .* twice|two items are called|cannot be a part of a stage's name|an item is empty",
    r"this rule can never fail|no value can pass|which way is better|looks at the base|names another rule",  # gates
    r"needs a pattern and a direction|worst of several|without a test|several values a side|stands beside all",
    r"not a finite number|is empty, so --",
    r"behind a pattern|`\[` without|`\*\*` beside|not an? (file name|artifact)|a pattern in the file's name",
    r"gates: \$\{…\} is not filled in here",
    r"NUL character|file name of|file name is not UTF-8",
]


def is_decoder_only(error: MlgitError) -> bool:
    return isinstance(error, UnsafeError) or any(re.search(known, error.message) for known in DECODER_ONLY)


def agree(document: Any, *, templates: bool = False) -> None:
    """Fail unless both take `document` or both refuse it.

    A schema does not know what a template stands for: with `templates` the decoder may refuse its value.
    """
    error = refusal(document)
    taken = VALIDATOR.is_valid(document)
    if error is None:
        assert taken, "the decoder takes it, the schema does not"
    elif taken and not templates:
        assert is_decoder_only(error), f"only the decoder refuses it: {error.message}"


def test_the_published_schema_is_that_of_this_version() -> None:
    mend = "run: python -m mlgit.model.schema > docs/mlgit.schema.json"
    assert DOCUMENT.read_text(encoding="utf-8") == schema.text(), mend


def test_the_schema_is_one_and_takes_a_file_with_every_key() -> None:
    Draft202012Validator.check_schema(schema.schema())
    assert refusal(VALID) is None
    assert not list(VALIDATOR.iter_errors(VALID))
    tables = [table for name, table in vars(stagekeys).items() if name.isupper() and isinstance(table, dict)]
    told = {key for table in tables for key in table}
    assert told <= {key for key, _ in places(VALID)} | {"vars", *stagekeys.GATES}


def test_gates_may_be_a_mapping() -> None:
    short = {
        "gates": {
            "rules": VALID["gates"],
            "acknowledge": {"data/test.csv": "blake3:012345678901", "params.yaml:seed": 1},
        }
    }
    agree(short)
    assert refusal(short) is None
    for wrong in ({"rules": 3}, {"rule": []}, {"acknowledge": ["a"]}, {"acknowledge": {"a": [1]}}):
        agree({"gates": wrong})
        assert refusal({"gates": wrong})


def places(document: Any) -> list[tuple[Any, tuple[Any, ...]]]:
    """Every place in `document`: its last key, and the way to it."""
    found: list[tuple[Any, tuple[Any, ...]]] = []
    waiting: list[tuple[Any, tuple[Any, ...]]] = [(document, ())]
    while waiting:
        value, way = waiting.pop()
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, item in items:
            found.append((key, (*way, key)))
            waiting.append((item, (*way, key)))
    return found


PLACES = sorted((way for _, way in places(VALID)), key=str)
JUNK: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2.5,
    "",
    "x",
    "10m",
    "0s",
    "5 GB",
    "${flag}",
    "${list}",
    "${deep}",
    "a/b",
]
JUNK += [[], ["x"], [1], [None], {}, {"x": "y"}, {"x": None}, {"unknown": {}}, [{"x": {}}], [[]], [{"a": {}, "b": {}}]]


def without_free_text(way: tuple[Any, ...]) -> bool:
    """Whether the place is one that has a meaning: not inside of `meta`, and not a value in `vars`."""
    return "meta" not in way[:-1] and "vars" not in way[:-1]


def around(way: tuple[Any, ...]) -> Any:
    """The part of the file that a change at `way` can matter to."""
    part = {key: VALID[key] for key in {"vars", way[0]}}
    if way[0] == "stages" and len(way) > 1:
        part["stages"] = {way[1]: VALID["stages"][way[1]]}
    return copy.deepcopy(part)


def changed(way: tuple[Any, ...], value: Any, how: str) -> Any:
    document = around(way)
    holder = document
    for key in way[:-1]:
        holder = holder[key]
    if how == "drop":
        del holder[way[-1]]
    elif how == "replace":
        holder[way[-1]] = value
    elif isinstance(holder, dict):
        holder[str(value)] = value
    else:
        holder.append(value)
    return document


def is_filled_in(way: tuple[Any, ...], value: Any) -> bool:
    """Whether `value` at `way` is a template, or something that templates put elsewhere."""
    return "${" in str(value) or bool({"foreach", "matrix", "vars"} & set(way))


@pytest.mark.parametrize("how", ["drop", "replace", "add"])
def test_decoder_and_schema_agree_on_a_file_with_one_change(how: str) -> None:
    ways = PLACES if how != "add" else list({way[:-1]: way for way in PLACES}.values())
    for number, way in enumerate(ways):
        for value in JUNK[number % 2 :: 2] if how != "drop" else [None]:
            if how != "drop" and not without_free_text(way):
                continue
            try:
                agree(changed(way, value, how), templates=is_filled_in(way, value))
            except AssertionError as error:
                raise AssertionError(f"{how} {way} {value!r}: {error}") from None


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(JUNK)), min_size=2, max_size=4))
def test_decoder_and_schema_agree_on_a_file_with_several_changes(changes: list[tuple[Any, Any]]) -> None:
    document = copy.deepcopy(VALID)
    for way, value in changes:
        holder = document
        for key in way[:-1]:
            known = isinstance(holder, dict) and key in holder
            known = known or (isinstance(holder, list) and isinstance(key, int) and key < len(holder))
            if not known:
                break
            holder = holder[key]
        else:
            if isinstance(holder, dict):
                holder[str(way[-1])] = value
    agree(document, templates=any(is_filled_in(*change) for change in changes))
