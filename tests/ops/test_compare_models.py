import io
import json
import pickle
import struct
from pathlib import Path

import pytest

from mlgit.model import pointer
from mlgit.model.pointer import Pointer
from mlgit.model.relpath import RelPath
from mlgit.model.report import Mark, to_json
from mlgit.ops.compare import models as module
from mlgit.ops.compare.difference import declared_types
from mlgit.ops.compare.headers import PICKLED, Header, read_header
from mlgit.ops.compare.models import models_changes
from mlgit.work.outputs import pointer_path


def safetensors(**shapes):
    header = {name: {"dtype": "F16", "shape": shape, "data_offsets": [0, 0]} for name, shape in shapes.items()}
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    return struct.pack("<Q", len(text)) + text


def text(words):
    return struct.pack("<Q", len(words)) + words


def gguf(values=b"", number=0, version=3):
    tensor = text(b"w") + struct.pack("<I2QIQ", 2, 30, 4, 1, 0)
    return struct.pack("<4sIQQ", b"GGUF", version, 1, number) + values + tensor


def track(project, files, *paths):
    project.write(files)
    repo = project.repo
    with repo.workspace.writing("add"):
        for path, one in repo.workspace.save([RelPath(path) for path in paths]).items():
            made = Pointer(path.name, one.oid, one.type, one.size, one.files)
            (project.root / pointer_path(path)).write_text(pointer.encode(made))
        repo.workspace.ignore_in_git([RelPath(path) for path in paths])
    return project.commit({})


def compare(project, base, head=None):
    return models_changes(project.repo, project.side(base), project.side(head))


def rows(report):
    (table,) = report.tables
    return {row.cells[0]: (row.mark, *row.cells[1:], row.note) for row in table.rows}


def header(data, path):
    return read_header(io.BytesIO(data), path)


class Canary:
    def __reduce__(self):
        return Path.touch, (Path("canary"),)


def test_parameters_of_a_tracked_model(project, monkeypatch):
    files = {"m.safetensors": safetensors(a=[2, 3], b=[4]), "c.pkl": pickle.dumps(Canary()), "data/x.csv": "x\n"}
    base = track(project, files, "m.safetensors", "c.pkl", "data")
    files = {"m.safetensors": safetensors(a=[20, 3]), "c.pkl": pickle.dumps([Canary()]), "data/x.csv": "y\n"}
    head = track(project, files, "m.safetensors", "c.pkl", "data")
    monkeypatch.chdir(project.root)
    report = compare(project, base, head)
    found = rows(report)
    assert list(found) == ["c.pkl", "m.safetensors"]
    assert found["m.safetensors"] == (Mark.CHANGED, "safetensors (F16)", 167, 107, 10, 60, "")
    assert found["c.pkl"][1] == "pickle"
    assert found["c.pkl"][4:] == (None, None, PICKLED)
    assert not Path("canary").exists()
    assert (report.kind, report.notes) == ("models", ())
    project.write({"m.safetensors": safetensors(a=[5])})
    assert rows(compare(project, head))["m.safetensors"][4:6] == (60, 5)


def test_a_folder_is_one_model_and_a_model_in_a_folder_is_one_too(project):
    bert = {"models/bert/1.safetensors": safetensors(a=[2]), "models/bert/2.safetensors": safetensors(a=[3])}
    files = {**bert, "models/bert/config.json": "{}", "out/net.npy": b"", "out/p.csv": "x\n"}
    base = track(project, files, "models/bert", "out")
    head = track(
        project, {"models/bert/config.json": "[]", "out/net.onnx": "x", "out/p.csv": "y\n"}, "models/bert", "out"
    )
    assert rows(compare(project, base, head)) == {
        "models/bert": (Mark.CHANGED, "safetensors (F16)", 208, 208, 5, 5, ""),
        "out/net.onnx": (Mark.ADDED, "ONNX", None, 1, None, None, ""),
    }


def test_declared_types(project):
    stages = """
stages:
  s:
    cmd: x
    outs: [{weights: {type: model}}, {models/eval.pkl: {type: dataset}}, plain]
artifacts:
  net: {path: net, type: model}
  bare: {path: bare}
"""
    base = project.commit({"mlgit.yaml": stages, "net": "1", "bare": "1", "models/eval.pkl": "1"})
    head = project.commit({"net": "12", "bare": "2", "models/eval.pkl": "2"})
    assert rows(compare(project, base, head)) == {"net": (Mark.CHANGED, None, 1, 2, None, None, "")}
    assert declared_types(project.repo.project(project.side(head))) == {
        "weights": "model",
        "models/eval.pkl": "dataset",
        "net": "model",
    }


def test_what_is_not_here_is_said(project, monkeypatch):
    base = track(project, {"m.safetensors": safetensors(a=[2]), "f/w.npz": "x", "f/x.pt": "x"}, "m.safetensors")
    head = track(project, {"m.safetensors": safetensors(a=[3])}, "m.safetensors")
    for folder in ("packs", "index", "objects"):
        for path in sorted((project.root / ".mlgit/cache" / folder).rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    report = compare(project, base, head)
    assert rows(report)["m.safetensors"][1:6] == ("safetensors", 103, 103, None, None)
    assert report.notes == ("parameters not read: 2 files are not in the cache; `mlgit pull` first",)
    monkeypatch.setattr(module, "MAX_FILES", 1)
    report = compare(project, base, head)
    assert "parameters of 1 more file not read: a report has its bounds" in report.notes


def test_models_that_git_holds(project):
    base = project.commit({"a.onnx": "1", "models/b.npy": b"x" * 200})
    project("mv", "models/b.npy", "models/c.npy")
    head = project.commit({"a.onnx": None})
    report = compare(project, base, head)
    found = rows(report)
    assert found["a.onnx"] == (Mark.REMOVED, "ONNX", 1, None, None, None, "")
    assert found["models/c.npy"][-1] == "renamed from models/b.npy; not readable as NumPy: it does not begin as one"
    assert to_json(report).encode()


def test_numpy_headers(tmp_path):
    numpy = pytest.importorskip("numpy")
    numpy.save(tmp_path / "a.npy", numpy.zeros((3, 4), numpy.float32))
    numpy.savez_compressed(tmp_path / "a.npz", a=numpy.zeros((2, 2)), b=numpy.zeros(()), c=numpy.zeros(5, numpy.int8))
    numpy.save(tmp_path / "o.npy", numpy.array([Canary()], dtype=object), allow_pickle=True)
    assert header((tmp_path / "a.npy").read_bytes(), "a.npy") == Header("NumPy (<f4)", 12)
    assert header((tmp_path / "a.npz").read_bytes(), "a.npz") == Header("NumPy (<f8, |i1)", 10)
    assert header((tmp_path / "o.npy").read_bytes(), "o.npy") == Header("NumPy (|O)", 1)


def test_gguf_headers():
    assert header(gguf(), "a.gguf") == Header("GGUF", 120)
    array = struct.pack("<IIQ", 9, 8, 2) + text(b"one") + text(b"two")
    fixed = struct.pack("<IIQ", 9, 4, 3) + b"\0" * 12
    values = text(b"a") + array + text(b"b") + fixed + text(b"c") + struct.pack("<I", 8) + text(b"x")
    assert header(gguf(values + text(b"d") + struct.pack("<Id", 12, 0.5), 4), "a.gguf") == Header("GGUF", 120)


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (b"", "a.safetensors"),
        (struct.pack("<Q", 1 << 60), "a.safetensors"),
        (struct.pack("<Q", 2) + b"[]", "a.safetensors"),
        (safetensors(a=[-1]), "a.safetensors"),
        (safetensors(a=[True, "x"]), "a.safetensors"),
        (safetensors(a=[10**15] * 60), "a.safetensors"),
        (safetensors(a=[1] * 1000), "a.safetensors"),
        (safetensors(a={}), "a.safetensors"),
        (b"\x93NUMPY\1\0\xff\xff", "a.npy"),
        (b"\x93NUMPY\1\0\4\0    ", "a.npy"),
        (b"PK\3\4", "a.npz"),
        (gguf(version=1), "a.gguf"),
        (gguf(number=1 << 40), "a.gguf"),
        (gguf(text(b"a") + struct.pack("<I", 99), 1), "a.gguf"),
        (gguf(text(b"a") + struct.pack("<IIQ", 9, 4, 1 << 60), 1), "a.gguf"),
        (gguf(text(b"a") + struct.pack("<IIQ", 9, 9, 1) * 9, 1), "a.gguf"),
        (gguf()[:-1], "a.gguf"),
    ],
)
def test_hostile_headers_give_words(data, path):
    found = header(data, path)
    assert found.problem.startswith(f"not readable as {found.format}: ")
    assert found.parameters is None


def test_a_deep_header_gives_words():
    assert header(struct.pack("<Q", 200_000) + b"[" * 200_000, "a.safetensors").problem


def test_cut_headers_give_words():
    whole = gguf(text(b"a") + struct.pack("<IIQ", 9, 8, 1) + text(b"one"), 1)
    for end in range(len(whole)):
        assert header(whole[:end], "a.gguf").problem
    whole = safetensors(a=[1])
    for end in range(len(whole)):
        assert header(whole[:end], "a.safetensors").problem
