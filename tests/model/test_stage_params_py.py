from __future__ import annotations

import pytest

from mlgit.errors import InvalidError
from mlgit.model import paramfile, pyparams
from mlgit.model.relpath import RelPath
from mlgit.model.stage import ParamRef
from mlgit.pipeline.params import ParamFiles

SOURCE = b'''
"""Settings."""
import os

LR = 1e-3
NAMES: list[str] = ["a", "b"]
PAIR = (1, -2)
KINDS = {"b", "a"}
A = B = 3
HOME = os.environ["HOME"]
os.system("touch x")
TABLE = {"depth": 3, "inner": {"x": [1, {"y": None}]}, 5: "five"}


class Train:
    epochs = 10
    computed = LR * 2

    def __init__(self, seed):
        self.optimizer = "adam"
        self.seed = seed
        local = 1
        self.deep.value = 2

    def other(self):
        self.hidden = 1

    class Inner:
        size = 4


def function():
    inside = 1
'''


def test_assignments_are_read_and_nothing_is_run() -> None:
    assert pyparams.parse(SOURCE, "p.py") == {
        "LR": 0.001,
        "NAMES": ["a", "b"],
        "PAIR": [1, -2],
        "KINDS": ["a", "b"],
        "A": 3,
        "B": 3,
        "TABLE": {"depth": 3, "inner": {"x": [1, {"y": None}]}, "5": "five"},
        "Train": {"epochs": 10, "optimizer": "adam", "Inner": {"size": 4}},
    }


@pytest.mark.parametrize(
    "source", [b"x = (", b"x = 1\0", b"\xff\xfe", b"x = " + b"(" * 5000, b"x = " + b"-" * 99999 + b"1"]
)
def test_what_cannot_be_read_as_python_is_refused(source: bytes) -> None:
    with pytest.raises(InvalidError, match=r"p\.py"):
        pyparams.parse(source, "p.py")


def test_values_that_json_has_not_are_passed_over() -> None:
    assert pyparams.parse(b"a = b'bytes'\nb = 1j\nc = ...\nd = {1: 2, '1': 3}\ne = {}[0]\nf = {[]: 1}\n", "p.py") == {
        "d": {"1": 3}
    }


def test_a_stage_names_them_at_any_depth() -> None:
    files = {
        "p.py": SOURCE,
        "p.yaml": b"a: {b: [1, {c: 2}], 'x.y': 3}\n'x.y': 4\n",
        "p.json": b'{"a": {"b": [1, {"c": 2}]}}',
        "p.toml": b"[a]\nb = [1, {c = 2}]\n",
    }
    read = ParamFiles(files.get)
    python = ParamRef(RelPath("p.py"), ("Train.epochs", "TABLE.inner.x[1].y", "PAIR[1]", "Train"))
    assert read.values([python], "test")[RelPath("p.py")] == {
        "Train.epochs": 10,
        "TABLE.inner.x[1].y": None,
        "PAIR[1]": -2,
        "Train": {"epochs": 10, "optimizer": "adam", "Inner": {"size": 4}},
    }
    for name in ("p.yaml", "p.json", "p.toml"):
        ref = ParamRef(RelPath(name), ("a.b[1].c", "a.b.0"))
        assert read.values([ref], "test")[RelPath(name)] == {"a.b[1].c": 2, "a.b.0": 1}
    assert read.values([ParamRef(RelPath("p.yaml"), ("x.y",))], "test")[RelPath("p.yaml")] == {"x.y": 4}
    with pytest.raises(InvalidError, match=r"no parameter 'Train\.hidden'"):
        read.values([ParamRef(RelPath("p.py"), ("Train.hidden",))], "test")


@pytest.mark.parametrize(("file", "text"), [("a.py", "n = 0x"), ("a.toml", "n = 0x")])
def test_a_number_that_python_does_not_write_is_refused(file: str, text: str) -> None:
    with pytest.raises(InvalidError, match="too many digits"):
        paramfile.parse((text + "f" * 9000).encode(), file)
