from __future__ import annotations

from collections.abc import Mapping

import pytest

from mlgit.errors import InvalidError, UnsafeError
from mlgit.model.relpath import RelPath
from mlgit.model.stage import Artifact, Resources, StageFile, Tolerance
from mlgit.model.stagefile import decode

FILE = RelPath("mlgit.yaml")


def read_file(text: str, files: Mapping[str, str] | None = None, path: str = "mlgit.yaml") -> StageFile:
    texts = {name: content.encode() for name, content in (files or {}).items()}
    return decode(text, RelPath(path), texts.get)


def commands(text: str, files: Mapping[str, str] | None = None) -> dict[str, object]:
    return {name: stage.cmd for name, stage in read_file(text, files).stages.items()}


def test_params_yaml_beside_the_file_is_there_without_being_named() -> None:
    text = "stages: {a: {cmd: 'x ${lr}', deps: ['${m.files[1]}'], frozen: '${off}', desc: 'lr ${lr}'}}"
    params = "lr: 0.1\noff: false\nm: {files: [a, b]}\n"
    stage = read_file(text, {"params.yaml": params}).stages["a"]
    assert (stage.cmd, stage.deps, stage.frozen, stage.desc) == ("x 0.1", ("b",), False, "lr 0.1")
    assert read_file(text, {"sub/params.yaml": params}, "sub/mlgit.yaml").stages["a"].deps == ("sub/b",)


def test_no_file_is_read_where_nothing_is_filled_in() -> None:
    def refuse(path: RelPath) -> bytes | None:
        raise AssertionError(f"read {path}")

    assert len(decode("stages: {a: {cmd: x}, b: {foreach: [1], do: {cmd: y}}}", FILE, refuse).stages) == 2
    assert decode("stages: {a: {cmd: 'x \\${HOME}'}}", FILE, refuse).stages["a"].cmd == "x ${HOME}"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("v.json", '{"a": {"b": 1}, "c": 2}'),
        ("v.toml", "c = 2\n[a]\nb = 1\n"),
        ("v.yaml", "a: {b: 1}\nc: 2\n"),
        ("v.py", "import os\nclass a:\n    b = 1\nc: int = 2\nd = os.getcwd()\n"),
    ],
)
def test_variables_come_from_files_of_every_kind(name: str, content: str) -> None:
    assert commands(f"vars: [{name}]\nstages: {{s: {{cmd: 'x ${{a.b}} ${{c}}'}}}}", {name: content}) == {"s": "x 1 2"}
    assert commands(f"vars: ['{name}:a']\nstages: {{s: {{cmd: 'x ${{a.b}}'}}}}", {name: content}) == {"s": "x 1"}
    with pytest.raises(InvalidError, match="'c' is not defined"):
        commands(f"vars: ['{name}:a']\nstages: {{s: {{cmd: 'x ${{c}}'}}}}", {name: content})


def test_mappings_are_merged_and_values_are_not() -> None:
    text = "vars: [{m: {b: 2}}, {m: {a: 1}}]\nstages: {s: {cmd: '${m.a} ${m.b} ${m.c}'}}"
    assert commands(text, {"params.yaml": "m: {c: 3}"}) == {"s": "1 2 3"}
    with pytest.raises(InvalidError, match=r"mlgit\.yaml:1: vars: 'm\.b' is 2 in line 1 and 4 in params\.yaml"):
        commands(text, {"params.yaml": "m: {b: 4}"})


def test_a_stage_has_variables_of_its_own() -> None:
    text = "stages: {s: {cmd: 'x ${a} ${b}', wdir: '${w}', vars: [own.yaml, {b: 2}]}, t: {cmd: 'x ${b}'}}"
    with pytest.raises(InvalidError, match=r"stages\.t\.cmd: \$\{b\}: 'b' is not defined"):
        commands(text, {"w/own.yaml": "a: 1", "params.yaml": "w: w"})
    assert commands(text, {"w/own.yaml": "a: 1", "params.yaml": "w: w\nb: 2"}) == {"s": "x 1 2", "t": "x 2"}
    with pytest.raises(InvalidError, match="stands for the item"):
        commands("stages: {s: {foreach: [1], do: {cmd: x, vars: [{item: 2}]}}}")


def test_a_value_is_never_filled_in_again() -> None:
    params = "a: '${b}'\nb: '; touch x'\ncmd: '$(touch x)'\n"
    assert commands("stages: {s: {cmd: 'x ${a} ${b} ${cmd}'}}", {"params.yaml": params}) == {
        "s": "x '${b}' '; touch x' '$(touch x)'"
    }


@pytest.mark.parametrize("path", ["../../x", "/etc/passwd", ".git/config"])
def test_a_hostile_path_from_a_parameter_is_refused(path: str) -> None:
    for key in ("deps", "outs", "params"):
        item = "{'${p}': [a]}" if key == "params" else "'${p}'"
        with pytest.raises(UnsafeError):
            read_file(f"stages: {{s: {{cmd: x, {key}: [{item}]}}}}", {"params.yaml": f"p: {path}"})
    with pytest.raises(UnsafeError):
        read_file(f"vars: [{path}]\nstages: {{}}")


@pytest.mark.parametrize(
    ("items", "names"),
    [
        ("[a, b]", ["a", "b"]),
        ("[1, 2.5, true]", ["1", "2.5", "true"]),
        ("[a, {x: 1}]", ["0", "1"]),
        ("{k: 1, l: 2}", ["k", "l"]),
        ("'${list}'", ["x", "y"]),
        ("['${list[0]}', z]", ["x", "z"]),
        ("[]", []),
    ],
)
def test_foreach_names_its_stages(items: str, names: list[str]) -> None:
    found = commands(f"stages: {{s: {{foreach: {items}, do: {{cmd: x}}}}}}", {"params.yaml": "list: [x, y]"})
    assert list(found) == [f"s@{name}" for name in names]


def test_foreach_gives_item_and_key() -> None:
    assert commands("stages: {s: {foreach: {a: {n: 1}}, do: {cmd: '${key} ${item.n}'}}}") == {"s@a": "a 1"}
    with pytest.raises(InvalidError, match="'key' is not defined"):
        commands("stages: {s: {foreach: [a], do: {cmd: 'x ${key}'}}}")


def test_matrix_makes_every_combination() -> None:
    text = "stages: {s: {matrix: {os: [l, w], n: [1, {a: 2}]}, cmd: 'x ${item.os} ${item.n} ${key}', outs: ['${key}']}}"
    assert commands(text) == {
        "s@l-1": "x l 1 l-1",
        "s@l-n1": "x l --a 2 l-n1",
        "s@w-1": "x w 1 w-1",
        "s@w-n1": "x w --a 2 w-n1",
    }


def test_a_stage_of_a_group_stands_where_the_group_does() -> None:
    stage = read_file("stages:\n  a: {cmd: x}\n  s:\n    foreach: [1]\n    do: {cmd: x}\n").stages["s@1"]
    assert (stage.line, stage.address) == (3, "s@1")


def test_top_level_sections_are_filled_in() -> None:
    text = "params: ['${d}/p.yaml']\nmetrics: ['${d}/m.json']\nplots: [{'${d}/p.csv': {title: 'in ${d}'}}]\n"
    text += "artifacts: {'m-${d}': {path: '${d}/m', type: model, labels: [a], meta: {x: '${d}'}}}"
    file = read_file(text, {"params.yaml": "d: out"})
    assert (file.params, file.metrics, file.plots[0].title) == (("out/p.yaml",), ("out/m.json",), "in out")
    assert file.artifacts == (Artifact("m-out", RelPath("out/m"), "model", None, ("a",), {"x": "out"}),)


def test_keys_that_mlgit_adds_are_read() -> None:
    text = """
stages:
  s:
    cmd: x
    env: {A: text, B: 1, C: true, PATH: /bin}
    resources: {cpus: 2, memory: 4GiB, gpus: 1}
    timeout: 10m
    retries: 2
    hermetic: true
    deps: [a.py, 'data/**/[a-c]*.csv', {'x?': {desc: d}}]
    outs: [{a: {tolerance: 0.5}}, {b: {tolerance: {rel: 0.1}}}, c]
"""
    stage = read_file(text, path="sub/mlgit.yaml").stages["s"]
    assert stage.env == {"A": "text", "B": "1", "C": "true", "PATH": "/bin"}
    assert stage.resources == Resources(2.0, 4 << 30, 1)
    assert (stage.timeout, stage.retries, stage.hermetic) == (600.0, 2, True)
    assert (stage.deps, stage.globs) == (("sub/a.py",), ("sub/data/**/[a-c]*.csv", "sub/x?"))
    assert [out.tolerance for out in stage.outs] == [Tolerance(0.5), Tolerance(0.0, 0.1), None]


@pytest.mark.parametrize("dep", ["../../*.csv", "/data/*.csv", ".git/*", "a/.mlgit/*"])
def test_a_hostile_pattern_is_refused(dep: str) -> None:
    with pytest.raises(UnsafeError):
        read_file(f"stages: {{s: {{cmd: x, deps: ['{dep}']}}}}", path="sub/mlgit.yaml")


def test_a_pattern_is_seen_from_the_folder_the_stage_runs_in() -> None:
    text = "stages: {s: {cmd: x, wdir: 'a[1]', deps: ['../*.csv', '*.txt']}}"
    assert read_file(text).stages["s"].globs == ("*.csv", "a[[]1]/*.txt")


@pytest.mark.parametrize(
    "text",
    [
        "stages: {s: {matrix: {" + ", ".join(f"a{n}: [1, 2, 3, 4, 5, 6, 7, 8, 9]" for n in range(20)) + "}, cmd: x}}",
        "stages: {s: {foreach: '${many}', do: {cmd: x, deps: [" + ", ".join(f"d{n}" for n in range(3000)) + "]}}}",
        "stages: {s: {foreach: '${many}', do: {cmd: 'x ${long}'}}}",
        "stages: {s: {foreach: '${many}', do: {cmd: x, desc: '${long}'}}}",
        "stages: {s: {cmd: 'x " + "${long} " * 1000 + "'}}",
        "stages: {s: {cmd: x, desc: 'x " + "${long} " * 1000 + "'}}",
    ],
)
def test_a_small_file_does_not_fill_the_memory(text: str) -> None:
    params = "many: [" + ", ".join(str(n) for n in range(2000)) + "]\nlong: " + "x" * 100_000
    with pytest.raises(InvalidError, match=r"makes the file larger than|filled in"):
        read_file(text, {"params.yaml": params})
