import io
import json
import struct
import sys
import zlib

import pytest

from mlgit.model.report import Mark, to_json
from mlgit.ops.compare import data as module
from mlgit.ops.compare.data import data_changes
from mlgit.ops.compare.difference import find_differences
from mlgit.ops.compare.tables import MAX_LINE, Facts, read_facts
from mlgit.work import outputs


def png(width, height):
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def track(project, files, *paths):
    """Write files, put `paths` into the cache with their pointers, and commit."""
    from mlgit.model import pointer
    from mlgit.model.pointer import Pointer
    from mlgit.model.relpath import RelPath

    project.write(files)
    repo = project.repo
    with repo.workspace.writing("add"):
        for path, one in repo.workspace.save([RelPath(path) for path in paths]).items():
            made = Pointer(path.name, one.oid, one.type, one.size, one.files)
            (project.root / outputs.pointer_path(path)).write_text(pointer.encode(made))
        repo.workspace.ignore_in_git([RelPath(path) for path in paths])
    return project.commit({})


def compare(project, base, head=None):
    return data_changes(project.repo, project.side(base), project.side(head))


def rows(report):
    (table,) = report.tables
    return {row.cells[0]: (row.mark, *row.cells[1:], row.note) for row in table.rows}


def facts(data, path):
    data = data.encode() if isinstance(data, str) else data
    return read_facts(io.BytesIO(data), path, len(data))


def test_rows_and_columns_of_a_tracked_table(project):
    base = track(project, {"d.csv": "id,x,old\n1,2,a\n2,3,b\n"}, "d.csv")
    head = track(project, {"d.csv": "id,x,new\n1,2.5,a\n2,3,b\n3,4,c\n"}, "d.csv")
    note = "columns added: new; columns removed: old; types changed: x int → float"
    report = compare(project, base, head)
    assert rows(report) == {"d.csv": (Mark.CHANGED, 21, 29, None, None, None, 2, 3, note)}
    assert report.tables[0].rows[0].where == "d.csv.mlgit"
    assert report.notes == ()
    assert (report.kind, report.exit_code) == ("data", 0)
    project.write({"d.csv": "id,x\n1,2.5\n"})  # the working tree's is not in the cache
    assert rows(compare(project, head))["d.csv"][-3:] == (3, 1, "columns removed: new")
    assert not compare(project, head, head).tables[0].rows


def test_outputs_that_appear_and_vanish(project):
    base = track(project, {"a.csv": "x\n1\n"}, "a.csv")
    project("rm", "-q", "a.csv.mlgit")
    head = track(project, {"b.tsv": "x\ty\n1\t2\n"}, "b.tsv")
    assert rows(compare(project, base, head)) == {
        "a.csv": (Mark.REMOVED, 4, None, None, None, None, 1, None, ""),
        "b.tsv": (Mark.ADDED, None, 8, None, None, None, None, 1, "2 columns"),
    }


def test_a_folder_is_counted_and_its_tables_follow(project):
    many = {f"data/img/{number}.png": png(4, 4) for number in range(12)}
    base = track(project, {**many, "data/t.csv": "x\n1\n", "data/gone.txt": "a", "data/moved.txt": "moved"}, "data")
    (project.root / "data/gone.txt").unlink()
    (project.root / "data/moved.txt").rename(project.root / "data/elsewhere.txt")
    changed = {"data/img/1.png": png(8, 4), "data/img/2.png": png(4, 4) + b"x", "data/t.csv": "x\n1\n2\n"}
    head = track(project, {**changed, "data/new": "1"}, "data")
    found = rows(compare(project, base, head))
    assert list(found) == ["data", "data/t.csv"]
    words = (
        "files by kind: 2 .png, 2 .txt, 1 .csv, 1 others; 1 file renamed; "
        "2 pictures changed, 1 in size, such as 1.png 4×4 → 8×4"
    )
    assert found["data"][0] is Mark.CHANGED
    assert found["data"][3:] == (1, 1, 3, None, None, words)
    assert found["data/t.csv"] == (Mark.CHANGED, 4, 6, None, None, None, 1, 2, "")


def test_many_tables_are_listed_within_bounds(project, monkeypatch):
    base = track(project, {f"data/{number:02}.csv": "x\n1\n" for number in range(14)}, "data")
    head = track(project, {f"data/{number:02}.csv": "x\n1\n2\n" for number in range(14)}, "data")
    monkeypatch.setattr(module, "MAX_TOTAL", 20)
    assert compare(project, base, head).notes == ("rows and columns of 8 more files not read: a report has its bounds",)
    monkeypatch.setattr(module, "MAX_TOTAL", 1000)
    monkeypatch.setattr(module, "MAX_FILES", 3)
    report = compare(project, base, head)
    assert len(report.tables[0].rows) == 11
    assert rows(report)["data"][-1] == "files by kind: 14 .csv; 4 more tables not listed"
    assert [row.cells[-1] for row in report.tables[0].rows] == [None, 2, 2, 2, *[None] * 7]
    assert report.notes == ("rows and columns of 7 more files not read: a report has its bounds",)


def test_nothing_is_downloaded(project):
    base = track(project, {"d.csv": "x\n1\n", "f/a.csv": "x\n1\n"}, "d.csv", "f")
    head = track(project, {"d.csv": "x\n1\n2\n", "f/a.csv": "x\n1\n2\n"}, "d.csv", "f")
    for folder in ("packs", "index", "objects"):
        cache = project.root / ".mlgit/cache" / folder
        for path in sorted(cache.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    report = compare(project, base, head)
    assert rows(report)["d.csv"] == (Mark.CHANGED, 4, 6, None, None, None, None, None, "")
    assert rows(report)["f"][-1].startswith("its files are not listed: ")
    assert report.notes == ("rows and columns not read: 1 file is not in the cache; `mlgit pull` first",)


def test_models_metrics_and_unchanged_outputs_are_left_out(project):
    stages = "stages:\n  s:\n    cmd: x\n    outs: [{w: {type: model}}]\n    metrics: [m.csv]\n"
    files = {"mlgit.yaml": stages, "m.pkl": "a", "same.csv": "x\n", "out/net.pt": "a", "out/p.csv": "x\n1\n"}
    base = track(project, files, "m.pkl", "same.csv", "out")
    head = track(project, {"m.pkl": "b", "out/net.pt": "b"}, "m.pkl", "out")
    assert rows(compare(project, base, head)) == {}
    later = track(project, {"out/net.pt": "c", "out/p.csv": "x\n1\n2\n"}, "out")
    assert list(rows(compare(project, head, later))) == ["out", "out/p.csv"]
    assert rows(compare(project, head, later))["out"][3:6] == (0, 0, 1)


def test_tables_that_git_holds(project):
    stages = "metrics: [m.csv]\nplots: [p.csv, folder]\n"
    base = project.commit(
        {
            "mlgit.yaml": stages,
            "a.csv": "x\n1\n",
            "b.csv": "y,z,w\n1,2,3\n" * 9,
            "m.csv": "x\n1\n",
            "folder/q.csv": "x\n",
        }
    )
    project("mv", "b.csv", "c.csv")
    project.write({"a.csv": "x\n1\n2\n", "m.csv": "x\n2\n", "p.csv": "x\n1\n", "folder/q.csv": "x\n2\n"})
    head = project.commit({})
    assert rows(compare(project, base, head)) == {
        "a.csv": (Mark.CHANGED, 4, 6, None, None, None, 1, 2, ""),
        "c.csv": (Mark.CHANGED, 108, 108, None, None, None, 17, 17, "renamed from b.csv"),
    }
    project.write({"new.csv": "x\n1\n", "a.csv": None})
    (project.root / "link.csv").symlink_to("/etc/passwd")
    assert rows(compare(project, head)) == {
        "a.csv": (Mark.REMOVED, 6, None, None, None, None, 2, None, ""),
        "link.csv": (Mark.ADDED, None, 0, None, None, None, None, None, ""),
        "new.csv": (Mark.ADDED, None, 4, None, None, None, None, 1, "1 column"),
    }
    assert compare(project, head).notes == ()


def test_hostile_files_give_words_and_readable_json(project):
    key = json.dumps({"\ud800": 1})
    base = track(project, {"a.csv": "x\n1\n", "b.jsonl": "{}", "c.parquet": b"PAR1", "i.png": png(1, 1)}, "a.csv")
    base = track(project, {}, "b.jsonl", "c.parquet", "i.png")
    files = {"a.csv": b"x,y\n\xff,1\n", "b.jsonl": key, "c.parquet": b"PAR1" * 9, "i.png": b"<svg/>"}
    report = compare(project, base, track(project, files, "a.csv", "b.jsonl", "c.parquet", "i.png"))
    found = rows(report)
    assert found["a.csv"][-1] == "head: not readable as CSV: not UTF-8"
    assert found["b.jsonl"][-1] == "columns added: \\ud800"
    assert "not readable as Parquet" in found["c.parquet"][-1]
    assert found["i.png"][-1] == "1×1; head: not readable as a picture: it does not begin as one"
    assert to_json(report).encode()


def test_an_output_whose_stage_never_ran(project):
    from mlgit.model import lock
    from mlgit.model.lock import Lock, StageLock
    from mlgit.model.relpath import RelPath

    track(project, {"made.csv": "x\n1\n"}, "made.csv")
    content = outputs.read_pointers(project.side("HEAD"))[RelPath("made.csv")].content
    text = lock.encode(Lock({"s": StageLock("x", outs={RelPath("made.csv"): content})}))
    project("rm", "-q", "made.csv.mlgit")
    base = project.commit({"mlgit.yaml": "stages: {s: {cmd: x, outs: [made.csv]}}\n", "mlgit.lock": text})
    head = project.commit({"mlgit.lock": None})
    assert rows(compare(project, base, head))["made.csv"] == (
        *(Mark.REMOVED, 4, None, None, None, None, 1, None),
        "declared, but its stage has not run",
    )


def test_numeric_libraries_wait_for_parquet(project):
    base = project.commit({"a.csv": "x\n1\n", "b.py": "1"})
    head = project.commit({"a.csv": "x\n1\n2\n", "b.py": "2"})
    code = (
        "import sys; from pathlib import Path; from mlgit.repo import Repo\n"
        "from mlgit.ops.compare import data, models, code, difference\n"
        f"r = Repo(Path({str(project.root)!r})); b, h = r.snapshot({base!r}), r.snapshot({head!r})\n"
        "found = difference.find_differences(r, b, h)\n"
        "for f in (data.data_changes, models.models_changes, code.code_changes): f(r, b, h, found)\n"
        "print({'numpy', 'pyarrow', 'pandas', 'imagesize'} & set(sys.modules))"
    )
    import subprocess

    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
    assert find_differences(project.repo, project.side(base), project.side(head)).git("data")


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("", "a.csv", Facts(0, ())),
        ("x,y\n", "a.csv", Facts(0, (("x", "empty"), ("y", "empty")))),
        ("\ufeffx,y\r\n1,\r\n\r\n2,true\r\n", "a.CSV", Facts(2, (("x", "int"), ("y", "bool")))),
        ('a\n"1\n2"\nb\n', "a.csv", Facts(2, (("a", "text"),))),
        ("a\n1\nx\n", "a.csv", Facts(2, (("a", "text"),))),
        ("a,a\n1,2\n", "a.csv", Facts(1, (("a", "int"), ("a", "int")))),
        ("a\tb\n1\tnan\n", "a.tsv", Facts(1, (("a", "int"), ("b", "float")))),
        ("a,b\n1\n", "a.csv", Facts(problem="not readable as CSV: rows of 1 cells under 2 columns (1 of them)")),
        ('a\n"x', "a.csv", Facts(problem="not readable as CSV: line 2: unexpected end of data")),
        ('{"a": 1}\n\n{"a": null, "b": [1]}\n', "a.jsonl", Facts(2, (("a", "int"), ("b", "list")))),
        ('{"a": 1}\n{"a": 1.5}\n{"a": "x"}', "a.ndjson", Facts(3, (("a", "float | text"),))),
        ("1\n2\n", "a.jsonl", Facts(2, (("(value)", "int"),))),
        ('{"a": null}', "a.jsonl", Facts(1, (("a", "null"),))),
        ("", "a.jsonl", Facts(0, ())),
        ("x", "a.txt", Facts()),
    ],
)
def test_facts(text, path, expected):
    assert facts(text, path) == expected


def test_facts_are_bounded():
    assert facts("[" * 100_000, "a.jsonl").problem == "not readable as JSON lines: nested too deeply"
    assert "JSON lines: line 2: " in facts('{"a": 1}\n{a}\n', "a.jsonl").problem
    assert "a line of more than 16 MiB" in facts(b"x" * (MAX_LINE + 1), "a.jsonl").problem
    assert "field larger than field limit" in facts(b"x" * 200_000, "a.csv").problem
    assert read_facts(io.BytesIO(b""), "a.csv", 1 << 40).problem == "larger than 256 MiB, so its rows are not counted"
    wide = ",".join("abc" for _ in range(60_000)) + "\n"
    assert facts(wide * 2, "a.csv").columns[0] == ("abc", "empty")
    assert facts('{"a": 1}\n' * 5000, "a.jsonl").rows == 5000
    assert facts("a\n" + "1\n" * 5000 + "x\n", "a.csv") == Facts(5001, (("a", "int"),))


def test_parquet_and_pictures(tmp_path, monkeypatch):
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]}).to_parquet(tmp_path / "t.parquet")
    found = facts((tmp_path / "t.parquet").read_bytes(), "t.parquet")
    assert (found.rows, found.columns[0]) == (2, ("a", "int64"))
    gif = b"GIF89a" + struct.pack("<HH", 7, 9) + b"\0" * 8
    jpeg = b"\xff\xd8\xff\xc0\0\x11\x08" + struct.pack(">HH", 5, 6) + b"\0" * 20
    assert facts(png(3, 2), "a.png") == Facts(pixels=(3, 2))
    assert facts(gif, "a.gif") == Facts(pixels=(7, 9))
    assert facts(jpeg, "a.jpg") == Facts(pixels=(6, 5))
    for data in (png(3, 2), gif, jpeg, b"RIFF\0\0\0\0WEBPVP8 ", b"II*\0", b"MM\0*\0\0\0\x08\xff\xff", b"BM"):
        for end in range(len(data)):
            assert isinstance(facts(data[:end] + b"\xff" * 9, "a.png"), Facts)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "need pyarrow" in facts(b"PAR1", "t.parquet").problem
