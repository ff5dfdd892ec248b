from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.model import stagefile
from mlgit.model.relpath import RelPath
from mlgit.model.stage import Out, ParamRef, Stage
from mlgit.pipeline import trace
from mlgit.pipeline.trace import Accesses
from mlgit.pipeline.undeclared import Finding, from_output, undeclared

P = RelPath
FILE = P("mlgit.yaml")
traced = pytest.mark.skipif(not trace.available(), reason="strace is not here, or may not trace")


def stage(cmd: str = "python src/train.py", **given: object) -> Stage:
    values = {"deps": (P("src/train.py"), P("data")), "outs": (Out(P("model.pkl")), Out(P("plots/all")))}
    return Stage("train", FILE, cmd, **{**values, **given})  # type: ignore[arg-type]


def everything(_: RelPath) -> bool:
    return True


def paths(found: tuple[Finding, ...]) -> list[tuple[str, str]]:
    return [(one.kind, str(one.path)) for one in found]


def test_what_is_declared_is_fine() -> None:
    one = stage(params=(ParamRef(P("params.yaml"), ("lr",)),), globs=("conf/*.yaml", "lib/**/*.R"))
    read = {"src/train.py", "src", "data/x/y.csv", "data", "params.yaml", "conf/a.yaml", "lib/a/b.R", "model.pkl"}
    read |= {"mlgit.yaml", "mlgit.lock", "plots"}
    written = {"model.pkl", "plots/all/one.svg", "plots"}
    assert undeclared(one, Accesses(frozenset(map(P, read)), frozenset(map(P, written))), everything) == ()


def test_the_rest_is_named() -> None:
    one = stage(params=(ParamRef(P("params.yaml"), ()),))
    read = {P("src/features.py"), P("database.csv"), P("conf/a.yaml")}
    written = {P("data/x.csv"), P("params.yaml"), P("plots/other.svg")}
    assert paths(undeclared(one, Accesses(frozenset(read), frozenset(written)), everything)) == [
        ("reads", "conf/a.yaml"),
        ("reads", "database.csv"),
        ("reads", "src/features.py"),
        ("writes", "data/x.csv"),
        ("writes", "params.yaml"),
        ("writes", "plots/other.svg"),
    ]


def test_only_what_matters_is_named() -> None:
    seen = Accesses(frozenset({P("a"), P(".venv/x.py")}), frozenset({P("cache.db")}), frozenset({P("b"), P("c")}))
    known = {P("a"), P("b")}
    assert paths(undeclared(stage(), seen, known.__contains__)) == [("reads", "a")]
    assert paths(undeclared(stage(), seen, known.__contains__, missing=True)) == [("reads", "a"), ("reads", "b")]


def test_a_file_behind_a_declared_link_is_fine() -> None:
    seen = Accesses(frozenset({P("data/now"), P("v/3"), P("v/2")}), links={P("data/now"): P("v/3")})
    assert paths(undeclared(stage(), seen, everything)) == [("reads", "v/2")]


def test_compiled_python_stands_for_its_source() -> None:
    names = ("src/__pycache__/util.cpython-311.pyc", "__pycache__/top.cpython-312.opt-2.pyc", "src/__pycache__/x")
    seen = Accesses(frozenset(map(P, names)))
    known = {P("src/util.py"), P("top.py")}
    assert paths(undeclared(stage(), seen, known.__contains__)) == [("reads", "src/util.py"), ("reads", "top.py")]


def test_many_files_of_a_folder_are_one_finding() -> None:
    seen = Accesses(frozenset(P(f"images/{n}.png") for n in range(900)) | {P(f"src/{n}.py") for n in range(6)})
    found = undeclared(stage(), seen, everything)
    assert (found[0].path, found[0].files, len(found)) == ("images", 900, 7)
    assert found[0].message == (
        "reads 900 files in images, which it does not declare; "
        "add `- images` under `deps:` of stage train in mlgit.yaml"
    )


@pytest.mark.parametrize(
    ("path", "wdir", "line"),
    [
        ("src/a.py", "", "- src/a.py"),
        ("src/a.py", "src", "- a.py"),
        ("conf/a.yaml", "src/deep", "- ../../conf/a.yaml"),
        ("a b: c #d", "", None),
        ("${x}.csv", "", None),
        ("yes", "", None),
        ("- x", "", None),
        ("x[1]*.csv", "", None),
    ],
)
def test_the_line_can_be_pasted(path: str, wdir: str, line: str | None) -> None:
    one = Finding(stage(wdir=P(wdir), deps=(), outs=()), P(path), "reads")
    assert line is None or one.line == line
    text = f"stages:\n  train:\n    cmd: x\n    wdir: {wdir or '.'}\n    deps:\n    {one.line}\n"
    read = stagefile.decode(text.encode(), FILE).stages["train"]
    assert len(read.deps) + len(read.globs) == 1
    assert undeclared(read, Accesses(frozenset({P(path)})), everything) == ()


def test_a_stage_of_a_matrix_is_named_as_in_its_file() -> None:
    one = Finding(Stage("train@2", P("sub/mlgit.yaml"), "x", P("sub")), P("sub/a.txt"), "writes")
    assert one.message.endswith("add `- a.txt` under `outs:` of stage train in sub/mlgit.yaml")


# -- what real programs say -------------------------------------------------------------------------------------------


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Where a hermetic stage runs; only its declared inputs are there."""
    folder = tmp_path / "tree"
    (folder / "src").mkdir(parents=True)
    return folder


def missed(scratch: Path, words: list[str], known: set[str], start: str = "", dep: str = "src/train.py") -> list[str]:
    done = subprocess.run(words, cwd=scratch / start, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode != 0, done.stdout
    one = stage(("python", *words[1:]), wdir=P(start), deps=(P(dep),))
    return [str(path) for path in from_output(done.stdout, one, scratch, lambda path: path in known)]


@pytest.mark.parametrize(
    ("code", "known", "found"),
    [
        ("import features", {"src/features.py"}, ["src/features.py"]),
        ("import pkg.inner", {"src/pkg/__init__.py", "src/pkg/inner.py"}, ["src/pkg/__init__.py"]),
        ("from lib import x", {"src/lib/__init__.py"}, ["src/lib/__init__.py"]),
        ("import sys; sys.path.insert(0, '.'); import tools.x", {"tools", "tools/x.py"}, ["tools"]),
        ("open('conf/a.yaml')", {"conf/a.yaml"}, ["conf/a.yaml"]),
        ("import os; open(os.path.abspath('conf/b c.yaml'))", {"conf/b c.yaml"}, ["conf/b c.yaml"]),
        ("import os; os.listdir('images')", {"images", "images/1.png"}, ["images"]),
        ("import pathlib; pathlib.Path(__file__).with_name('w.txt').read_text()", {"src/w.txt"}, ["src/w.txt"]),
        ("raise SystemExit('config conf/a.yaml is needed')", {"conf/a.yaml"}, ["conf/a.yaml"]),
        ("raise SystemExit('boom')", {"boom", "conf/a.yaml"}, []),
        ("1 / 0", {"src/other.py"}, []),
        ("import no_such_module_at_all", {"src/other.py"}, []),
    ],
)
def test_python_missed(scratch: Path, code: str, known: set[str], found: list[str]) -> None:
    (scratch / "src/train.py").write_text(code + "\n")
    assert missed(scratch, [sys.executable, "src/train.py"], known | {"src/train.py"}) == found


def test_python_missed_a_part_of_a_package(scratch: Path) -> None:
    (scratch / "src/pkg").mkdir()
    (scratch / "src/pkg/__init__.py").write_text("from pkg import inner\n")
    (scratch / "src/train.py").write_text("import pkg\n")
    known = {"src/pkg/__init__.py", "src/pkg/inner.py"}
    assert missed(scratch, [sys.executable, "src/train.py"], known, dep="src/pkg/__init__.py") == ["src/pkg/inner.py"]
    assert missed(scratch, [sys.executable, "-m", "jobs.run"], {"jobs", "jobs/run.py"}) == ["jobs"]
    assert missed(scratch, [sys.executable, "run.py"], {"src/run.py"}, start="src") == ["src/run.py"]


@traced
def test_python_lists_folders_so_its_output_is_the_only_sign(scratch: Path, tmp_path: Path) -> None:
    (scratch / "src/train.py").write_text("import features\n")
    log = tmp_path / "log"
    subprocess.run(trace.wrap([sys.executable, "src/train.py"], log), cwd=scratch, capture_output=True)
    assert "src/features.py" not in trace.read(log, scratch, scratch).missing
    assert missed(scratch, [sys.executable, "src/train.py"], {"src/features.py"}) == ["src/features.py"]


@traced
def test_a_whole_run_with_compiled_modules(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "src").mkdir(parents=True)
    (root / "data").mkdir()
    (root / "src/helper.py").write_text("X = open('conf.ini').read()\n")
    (root / "src/train.py").write_text(
        "import helper; open('data/x').read(); open('model.pkl', 'w'); open('junk', 'w')"
    )
    for name in ("conf.ini", "data/x"):
        (root / name).write_text("1")
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(2):  # the second run opens the compiled module only
        subprocess.run(trace.wrap([sys.executable, "src/train.py"], tmp_path / "log"), cwd=root, check=True, env=env)
        seen = trace.read(tmp_path / "log", root, root)
        found = undeclared(stage(), seen, lambda path: (root / path).is_file())
        assert paths(found) == [("reads", "conf.ini"), ("reads", "src/helper.py"), ("writes", "junk")]


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("cat conf/a.yaml", ["conf/a.yaml"]),
        ("wc -l < conf/a.yaml", ["conf/a.yaml"]),
        ("sh tools/run.sh", ["tools/run.sh"]),
        ("./tools/run.sh", ["tools/run.sh"]),
        ("cp ./conf/../conf/a.yaml x", ["conf/a.yaml"]),
        ("cd src && . ../conf/a.yaml", ["conf/a.yaml"]),
        ("grep x conf/a.yaml tools/run.sh", ["conf/a.yaml", "tools/run.sh"]),
        ("ls README", ["README"]),
        ("echo README; exit 1", []),
    ],
)
def test_a_shell_missed(scratch: Path, script: str, found: list[str]) -> None:
    assert missed(scratch, ["/bin/sh", "-c", script], {"conf/a.yaml", "tools/run.sh", "README"}) == found


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not here")
@pytest.mark.parametrize(
    ("name", "code", "found"),
    [
        ("main.js", "require('./lib/io')", ["src/lib/io.js"]),
        ("main.js", "require('fs').readFileSync('conf/a.json')", ["conf/a.json"]),
        ("main.mjs", "import './lib/io.js'", ["src/lib/io.js"]),
        ("main.js", "require('./table')", ["src/table.json"]),
    ],
)
def test_node_missed(scratch: Path, name: str, code: str, found: list[str]) -> None:
    (scratch / "src" / name).write_text(code)
    known = {"src/lib/io.js", "conf/a.json", "src/table.json"}
    assert missed(scratch, [str(shutil.which("node")), f"src/{name}"], known) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("cannot open file 'in/x.csv': No such file or directory", ["in/x.csv"]),
        ("Fatal error: cannot open file 'R/fit.R': No such file or directory", ["R/fit.R"]),
        ('ERROR: LoadError: SystemError: opening file "{root}/jl/fit.jl": No such file or directory', ["jl/fit.jl"]),
        ("ERROR: could not open file {root}/jl/fit.jl", ["jl/fit.jl"]),
        ("Error: 'in/x.csv' does not exist in current working directory ('{root}').", ["in/x.csv"]),
        ("main.c:1:10: fatal error: in/x.csv: No such file or directory", ["in/x.csv"]),
        ("Error: ENOENT: no such file or directory, open 'in/x.csv'", ["in/x.csv"]),
        ("OSError: in/x.csv not found.", ["in/x.csv"]),
        ("reading in/x.csv ... failed\n\x1b[31mpanic\x1b[0m", ["in/x.csv"]),
        ("No such file or directory: '../../etc/passwd' /etc/passwd .git/config", []),
    ],
)
def test_messages_of_other_programs(scratch: Path, text: str, found: list[str]) -> None:
    known = {"in/x.csv", "R/fit.R", "jl/fit.jl"}
    tail = b"\xff\xfe noise\n" * 9000 + text.format(root=scratch).encode()
    assert from_output(tail, stage(), scratch, lambda path: path in known) == found


@given(
    st.binary(max_size=200) | st.text(max_size=200).map(lambda text: f"No such file: {text}".encode("utf-8", "replace"))
)
def test_any_output_is_survived(tail: bytes) -> None:
    assert all(isinstance(path, RelPath) and path for path in from_output(tail, stage(), Path("/r"), everything))
