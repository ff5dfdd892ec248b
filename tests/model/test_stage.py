from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.errors import InvalidError, MlgitError, UnsafeError, UsageError
from mlgit.model.relpath import RelPath
from mlgit.model.stage import Out, ParamRef, Plot, PlotStyle, Predictions, Resources, Stage, StageFile, Tolerance
from mlgit.model.stagefile import decode
from mlgit.model.stagetext import append, compose, set_frozen

FILE = RelPath("mlgit.yaml")

FULL = """\
params: [params.yaml]
metrics: [m.json]
plots:
  - roc.csv
  - losses: {x: step, y: {a.csv: loss, b.csv: [loss, val]}, title: Losses}
stages:
  train:
    cmd: python ../src/train.py
    wdir: work
    deps:
      - ../src/train.py
      - raw.csv: {desc: from the ward}
    params:
      - lr
      - model.depth
      - ../other.toml: [seed]
      - all.json:
    outs:
      - model.pkl
      - data: {persist: true, push: false, remote: cold, desc: kept, labels: [a], type: model, meta: {by: us}}
    metrics:
      - m.json: {cache: false}
    plots:
      - p.csv: {x: a, y: b, template: linear, header: false}
      - q.csv: [{x: a}, {x: b}]
    frozen: true
    always_changed: true
    desc: fit
    meta: {any: [1, 2]}
  list:
    cmd: [python, -c, print(1)]
gates:
  accuracy: {min: 0.9}
"""


def test_every_part_of_the_schema_is_read() -> None:
    file = decode(FULL, FILE)
    train = file.stages["train"]
    assert train.cmd == "python ../src/train.py"
    assert train.wdir == "work"
    assert train.deps == ("src/train.py", "work/raw.csv")
    assert train.params == (
        ParamRef(RelPath("work/params.yaml"), ("lr", "model.depth")),
        ParamRef(RelPath("other.toml"), ("seed",)),
        ParamRef(RelPath("work/all.json"), ()),
    )
    assert train.outs == (
        Out(RelPath("work/model.pkl")),
        Out(
            RelPath("work/data"),
            persist=True,
            push=False,
            remote="cold",
            desc="kept",
            labels=("a",),
            type="model",
            meta={"by": "us"},
        ),
        Out(RelPath("work/m.json"), "metric", cache=False),
        Out(RelPath("work/p.csv"), "plot", styles=(PlotStyle(x="a", y="b", template="linear", header=False),)),
        Out(RelPath("work/q.csv"), "plot", styles=(PlotStyle(x="a"), PlotStyle(x="b"))),
    )
    assert (train.frozen, train.always_changed, train.desc, train.meta) == (True, True, "fit", {"any": [1, 2]})
    assert file.stages["list"].cmd == ("python", "-c", "print(1)")
    assert file.params == ("params.yaml",)
    assert file.metrics == ("m.json",)
    assert file.plots[0] == Plot("roc.csv", {RelPath("roc.csv"): ()})
    assert file.plots[1].y == {"a.csv": ("loss",), "b.csv": ("loss", "val")}
    assert file.plots[1].x == "step"
    assert file.gates == {"accuracy": {"min": 0.9}}
    assert file.gates.lines == {"accuracy": 33}


def test_a_stage_in_a_folder_has_a_long_address_and_root_relative_paths() -> None:
    stage = decode("stages: {a: {cmd: x, deps: [../shared.py, own.py]}}", RelPath("sub/mlgit.yaml")).stages["a"]
    assert stage.address == "sub/mlgit.yaml:a"
    assert (stage.wdir, stage.deps) == ("sub", ("shared.py", "sub/own.py"))


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "stages:\n", "stages: {}"])
def test_a_file_without_stages_is_fine(text: str) -> None:
    assert decode(text, FILE) == StageFile(FILE)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("stages:\n  a: {comd: x}", 2),
        ("stages:\n  a: {deps: [x]}", None),
        ("stages:\n  a:\n    cmd: 3", 3),
        ("stages:\n  a:\n    cmd: []", 3),
        ("stages:\n  a:\n    cmd: [1]", 3),
        ("stages:\n  a:\n    cmd: x\n    deps: y", 4),
        ("stages:\n  a:\n    cmd: x\n    deps: [3]", 4),
        ("stages:\n  a:\n    cmd: x\n    outs: [{y: {cash: true}}]", 4),
        ("stages:\n  a:\n    cmd: x\n    outs: [{y: {x: col}}]", 4),
        ("stages:\n  a:\n    cmd: x\n    outs: [{y: {cache: 1}}]", 4),
        ("stages:\n  a:\n    cmd: x\n    outs: [{y: {}, z: {}}]", 4),
        ("stages:\n  a:\n    cmd: x\n    params: [{p.yaml: 3}]", 4),
        ("stages:\n  a:\n    cmd: x\n  a:\n    cmd: y", 4),
        ("stages:\n  a/b:\n    cmd: x", 2),
        ("stages: [a]", 1),
        ("stage: {}", 1),
        ("a", None),
        ("vars: [params.yaml]", 1),
        ("checks: []", 1),
        ("stages:\n  a:\n    cmd: echo ${x}", 3),
        ("stages:\n  a:\n    cmd: x\n    deps: ['${d}']", 4),
    ],
)
def test_a_malformed_file_is_refused_naming_the_line(text: str, line: int | None) -> None:
    with pytest.raises(InvalidError) as caught:
        decode(text, FILE)
    assert caught.value.message.startswith(f"mlgit.yaml:{line}:" if line else "mlgit.yaml")


@pytest.mark.parametrize("key", ["deps", "outs", "metrics", "plots"])
@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", ".git/config", "a/.MLGIT/x", "C:/x", "\\\\h\\x"])
def test_a_hostile_path_is_refused(key: str, path: str) -> None:
    with pytest.raises(UnsafeError, match=r"mlgit\.yaml"):
        decode(f"stages:\n  a:\n    cmd: x\n    {key}: ['{path}']", FILE)


@pytest.mark.parametrize("path", [".", "..", "../../sub", "../work", "../.."])
def test_an_output_that_holds_the_stage_file_or_the_folder_is_refused(path: str) -> None:
    with pytest.raises(UnsafeError):
        decode(f"stages: {{a: {{cmd: x, wdir: work, outs: ['{path}']}}}}", RelPath("sub/mlgit.yaml"))


def test_a_template_in_a_comment_is_no_template() -> None:
    assert decode("# ${x}\nstages: {a: {cmd: x, desc: 'uses \\${y}'}}", FILE).stages["a"].desc == "uses ${y}"


@given(st.text(max_size=60) | st.binary(max_size=60))
def test_only_known_errors_come_out(data: str | bytes) -> None:
    try:
        decode(data, FILE)
    except MlgitError as error:
        assert error.code in (10, 14)


HAND_WRITTEN = """\
# our pipeline
stages:   # all of it

    first:
        cmd: "echo  1"   # quoted
        outs: [a.txt]
        # the end of first

# gates follow
gates:
    accuracy: {min: 0.5}   # low
"""

SAMPLE = Stage(
    "second",
    FILE,
    "echo 2 > b.txt",
    deps=(RelPath("a.txt"),),
    params=(ParamRef(RelPath("params.yaml"), ("lr",)), ParamRef(RelPath("p.toml"), ())),
    outs=(Out(RelPath("b.txt")), Out(RelPath("m.json"), "metric", cache=False)),
)


def test_adding_a_stage_keeps_every_other_byte() -> None:
    text = append(HAND_WRITTEN, SAMPLE)
    added = (
        "    second:\n      cmd: echo 2 > b.txt\n      deps:\n      - a.txt\n      params:\n      - lr\n"
        "      - p.toml: null\n      outs:\n      - b.txt\n      metrics:\n      - m.json:\n"
        "          cache: false\n"
    )
    assert text == HAND_WRITTEN.replace("# the end of first\n", "# the end of first\n" + added)
    assert decode(text, FILE).stages["second"] == SAMPLE


@pytest.mark.parametrize(
    "text", ["", "stages:\n", "stages:\ngates: {}\n", "gates: {}", "stages:\n  a: {cmd: x}", "# c\n"]
)
def test_adding_works_for_every_beginning_of_a_file(text: str) -> None:
    edited = append(text, SAMPLE)
    assert decode(edited, FILE).stages["second"] == SAMPLE
    assert set(text.splitlines()) <= set(edited.splitlines())


def test_crlf_stays_crlf() -> None:
    edited = append(HAND_WRITTEN.replace("\n", "\r\n"), SAMPLE)
    assert "\n" not in edited.replace("\r\n", "")
    assert decode(edited, FILE).stages["second"] == SAMPLE


@pytest.mark.parametrize("text", ["stages: {a: {cmd: x}}\n", "{stages: {a: {cmd: x}}}\n", "{}"])
def test_flow_style_is_left_to_the_user(text: str) -> None:
    with pytest.raises(InvalidError):
        append(text, SAMPLE)


def test_a_name_that_is_taken_is_refused() -> None:
    with pytest.raises(UsageError, match="line 4"):
        append(HAND_WRITTEN, Stage("first", FILE, "x"))


def test_freezing_and_thawing_gives_the_old_bytes() -> None:
    frozen = set_frozen(HAND_WRITTEN, FILE, "first", True)
    assert decode(frozen, FILE).stages["first"].frozen
    assert frozen.replace("        frozen: true\n", "") == HAND_WRITTEN
    assert set_frozen(frozen, FILE, "first", True) == frozen
    assert set_frozen(frozen, FILE, "first", False) == HAND_WRITTEN


def test_a_comment_beside_frozen_stays() -> None:
    text = "stages:\n  a:\n    cmd: x\n    frozen: true  # until June\n"
    assert set_frozen(text, FILE, "a", False) == text.replace("true", "false")


def test_freezing_what_is_not_there_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        set_frozen(HAND_WRITTEN, FILE, "nope", True)
    with pytest.raises(InvalidError):
        set_frozen("stages: {a: {cmd: x}}", FILE, "a", True)


rel = st.lists(st.text("abc._ é#", min_size=1, max_size=4).filter(lambda t: t.strip(". ")), min_size=1, max_size=3).map(
    lambda parts: RelPath("/".join(parts))
)
flags = st.booleans()
plain_text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12) | st.text(
    "${}\\a", min_size=1, max_size=6
)
numbers = st.floats(0, 1e6)
outs = st.builds(
    Out,
    rel,
    st.sampled_from(["out", "metric"]),
    flags,
    flags,
    flags,
    desc=st.none() | plain_text,
    tolerance=st.none() | st.builds(Tolerance, numbers, numbers),
)
metrics = st.builds(
    Out,
    rel,
    st.just("metric"),
    flags,
    predictions=st.none()
    | st.builds(Predictions, rel, st.sampled_from([None, "ranking"]), label=plain_text, group=plain_text),
    fixed=st.none() | st.lists(rel, max_size=2).map(tuple),
)
stages = st.builds(
    Stage,
    name=st.from_regex(r"[a-z][a-z0-9_.\-]{0,6}", fullmatch=True),
    file=st.sampled_from([FILE, RelPath("sub/mlgit.yaml")]),
    cmd=plain_text.filter(str.strip) | st.lists(plain_text.filter(str.strip), min_size=1, max_size=3).map(tuple),
    wdir=st.just(RelPath("w")),
    deps=st.lists(rel, max_size=3).map(tuple),
    params=st.lists(
        st.builds(ParamRef, rel, st.lists(plain_text, max_size=2, unique=True).map(tuple)),
        max_size=2,
        unique_by=lambda ref: ref.file,
    ).map(tuple),
    outs=st.lists(outs | metrics, max_size=3).map(lambda many: tuple(sorted(many, key=lambda out: out.kind != "out"))),
    frozen=flags,
    desc=st.none() | plain_text,
    globs=st.lists(st.sampled_from(["*", "w/**/x?", "../a*", "data/[ab].csv"]), max_size=2).map(
        lambda globs: tuple(glob.removeprefix("../") for glob in globs)
    ),
    env=st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,3}", fullmatch=True), plain_text, max_size=2),
    resources=st.builds(Resources, st.floats(0.1, 64), st.integers(0, 1 << 45), st.integers(0, 8)),
    timeout=st.none() | st.integers(1, 10**6).map(float) | st.floats(0.001, 1e5),
    retries=st.integers(0, 3),
    hermetic=flags,
)


@given(stages)
def test_a_stage_survives_encoding(stage: Stage) -> None:
    try:
        assert decode(append("", stage), stage.file).stages == {stage.name: stage}
    except UnsafeError as error:  # an output that is the folder `w` or holds it
        assert "holds the stage file" in error.message


@pytest.mark.parametrize("name", ["mlgit.lock", "deep/mlgit.yaml", "data.mlgit", "deep/.gitignore", ".mlgitignore"])
def test_an_output_that_says_what_is_tracked_is_refused(name: str) -> None:
    with pytest.raises(UnsafeError, match="says what is tracked"):
        decode(f"stages: {{a: {{cmd: x, outs: [{name}]}}}}", FILE)


TEMPLATED = """\
vars: [{name: m}]   # ours
stages:
  each:
    foreach: [a, b]
    do:
      cmd: echo ${item} ${lr}   # all of it
      outs: ["${name}-${item}.bin"]
  grid:
    matrix: {n: [1, 2]}
    cmd: echo ${item.n}
  alone:
    cmd: echo ${lr}
"""


def read(path: RelPath) -> bytes | None:
    return {"params.yaml": b"lr: 0.1\n"}.get(path)


def test_files_with_templates_are_edited_and_proven() -> None:
    text = append(TEMPLATED, SAMPLE, read)
    assert decode(text, FILE, read).stages["second"] == SAMPLE
    frozen = set_frozen(TEMPLATED, FILE, "alone", True, read)
    assert decode(frozen, FILE, read).stages["alone"].frozen
    assert frozen == TEMPLATED.replace("    cmd: echo ${lr}\n", "    frozen: true\n    cmd: echo ${lr}\n")


def test_a_stage_is_added_with_its_templates() -> None:
    entry = {"cmd": "echo ${name} ${lr}", "outs": ["${name}.out"]}
    stage = compose(TEMPLATED, "new", entry, FILE, read)
    assert (stage.cmd, stage.outs) == ("echo m 0.1", (Out(RelPath("m.out")),))
    text = append(TEMPLATED, stage, read, entry)
    assert "cmd: echo ${name} ${lr}" in text
    assert decode(text, FILE, read).stages["new"] == stage


def test_what_looks_like_a_template_in_a_stage_is_kept() -> None:
    stage = Stage("s", FILE, "echo ${HOME} \\${x}", desc="${y}")
    assert decode(append("", stage), FILE).stages["s"] == stage


@pytest.mark.parametrize(("name", "place"), [("each@a", "below its `do`"), ("grid@2", "in it")])
def test_one_of_a_group_is_not_frozen_alone(name: str, place: str) -> None:
    with pytest.raises(UsageError, match="frozen together") as caught:
        set_frozen(TEMPLATED, FILE, name, True, read)
    assert place in str(caught.value.hint)
