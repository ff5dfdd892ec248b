"""One output against another: what is found, where, and how far apart it lies."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import zipfile
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pyarrow import parquet

from mlgit.errors import InvalidError
from mlgit.model.metric import join_key
from mlgit.model.relpath import RelPath
from mlgit.model.stage import Tolerance
from mlgit.ops.verify import arrays, columns, nested, plainbytes, rows
from mlgit.ops.verify.bound import Bound, same
from mlgit.ops.verify.deviation import deviations
from mlgit.ops.verify.finding import Tally
from mlgit.ops.verify.hints import LAYOUT, ROUNDING, TIME, hint

STRICT = None


def run(compare, old, new, *path, tolerance=STRICT):
    tally = Tally(tolerance)
    compare(io.BytesIO(old), io.BytesIO(new), *path, tally)
    return tally.finding()


def as_json(value):
    return json.dumps(value).encode()


def as_csv(table):
    text = io.StringIO(newline="")
    csv.writer(text).writerows(table)
    return text.getvalue().encode()


def as_npy(array):
    data = io.BytesIO()
    np.save(data, array, allow_pickle=True)
    return data.getvalue()


def as_npz(**named):
    data = io.BytesIO()
    np.savez_compressed(data, **named)
    return data.getvalue()


def as_parquet(table, **options):
    data = io.BytesIO()
    parquet.write_table(pa.table(table) if isinstance(table, dict) else table, data, **options)
    return data.getvalue()


def place(finding):
    return finding.first.where, finding.first.recorded, finding.first.new


# -- the bound -------------------------------------------------------------------------------------------------------

CASES = [
    # recorded, new, abs, rel, passes
    (1.0, 1.5, 0.5, 0.0, True),
    (1.0, 1.5000001, 0.5, 0.0, False),
    (1.1, 1.0, 0.1, 0.0, True),  # as decimals, although 1.1 - 1.0 > 0.1 in floating point
    (1.0, 1.1, 0.0, 0.1, True),
    (-1.0, -1.1, 0.0, 0.1, True),
    (1.0, 1.2, 0.0, 0.1, False),
    (0.0, 1e-300, 0.0, 0.5, False),  # nothing is near zero in relation to it
    (1e-300, 0.0, 0.0, 1.0, True),
    (0.0, -0.0, 0.0, 0.0, True),
    (1, 1.0, 0.0, 0.0, True),
    (2**53, 2**53 + 1, 0.0, 0.0, False),
    (2**53, 2**53 + 1, 1.0, 0.0, True),
    (2**60, 2**60 + 3, 2.0, 0.0, False),
    (10**300, 10**300 + 1, 0.5, 0.0, False),
    (1e308, -1e308, 0.0, 1.9, False),
    (1e308, -1e308, 0.0, 2.0, True),
    (math.inf, -math.inf, 1e300, 1e300, False),
    (math.inf, 1.0, 1e300, 1e300, False),
    (1.0, math.inf, 1e300, 1e300, False),
    (math.nan, 1.0, 1e300, 1e300, False),
    (1.0, math.nan, 1e300, 1e300, False),
    (1.0, 1.05, 0.01, 0.1, True),  # either bound is enough
    (1.0, 1.05, 0.1, 0.01, True),
]


@pytest.mark.parametrize(("recorded", "new", "absolute", "relative", "passes"), CASES)
def test_bounds(recorded, new, absolute, relative, passes):
    assert Bound(Tolerance(absolute, relative)).judge(recorded, new)[2] is passes


ARRAY_CASES = [
    (1.0, 1.5, 0.5, 0.0, "f8", True),
    (1.0, 1.5, 0.4999999, 0.0, "f8", False),
    (8.0, 9.0, 0.0, 0.125, "f4", True),
    (8.0, 9.0, 0.0, 0.125, "f2", True),
    (-8.0, -9.0, 0.0, 0.125, "g", True),
    (0.0, -0.0, 0.0, 0.0, "f8", True),
    (2**53, 2**53 + 1, 0.5, 0.0, "i8", False),
    (2**53, 2**53 + 1, 1.0, 0.0, "u8", True),
    (2**62, 2**62 + 1, 0.0, 0.0, "i8", False),
    (-(2**63), 2**63 - 1, 0.0, 2.0, "i8", True),
    (-(2**63), 2**63 - 1, 2.0**63, 0.0, "i8", False),
    (-128, 127, 255.0, 0.0, "i1", True),
    (-128, 127, 254.0, 0.0, "i1", False),
    (1e308, -1e308, 0.0, 1.9, "f8", False),
    (1e308, -1e308, 0.0, 2.5, "f8", True),
    (math.inf, -math.inf, 1e300, 1e300, "f8", False),
    (math.inf, 1.0, 1e300, 1e300, "f8", False),
    (math.nan, 1.0, 1e300, 1e300, "f8", False),
    (1.0, math.nan, 1e300, 1e300, ">f4", False),
]


@pytest.mark.parametrize(("recorded", "new", "absolute", "relative", "kind", "passes"), ARRAY_CASES)
def test_bounds_of_arrays(recorded, new, absolute, relative, kind, passes):
    old, fresh = (as_npy(np.array([7, value], kind)) for value in (recorded, new))
    finding = run(arrays.compare, old, fresh, tolerance=Tolerance(absolute, relative))
    assert finding.first.where == "[1]"
    assert finding.differing == 1
    assert finding.within is passes


@pytest.mark.parametrize("limit", [-1.0, math.inf, math.nan])
def test_what_is_no_bound_is_refused(limit):
    with pytest.raises(InvalidError, match="not a bound"):
        Bound(Tolerance(abs=limit))


numbers = st.floats(width=64) | st.integers(-(2**70), 2**70)
limits = st.floats(0, 1e6)


@given(numbers, numbers, limits, limits)
def test_a_bound_is_reckoned_exactly(recorded, new, absolute, relative):
    _, _, inside = Bound(Tolerance(absolute, relative)).judge(recorded, new)
    if not (math.isfinite(recorded) and math.isfinite(new)):
        assert not inside
        return
    old, fresh, low, high = (Fraction(repr(one)) for one in (recorded, new, absolute, relative))
    assert inside == (abs(fresh - old) <= low or abs(fresh - old) <= high * abs(old))


@given(hnp.arrays("f8", 5), hnp.arrays("f8", 5), limits, limits)
def test_arrays_are_judged_as_binary_numbers(old, new, absolute, relative):
    inside = Bound(Tolerance(absolute, relative)).judge_arrays(old, new)[2]
    for one, other, passes in zip(old, new, inside, strict=True):
        if not (math.isfinite(one) and math.isfinite(other)):
            assert not passes
        else:
            gap = abs(Fraction(other) - Fraction(one))
            wanted = gap <= Fraction(absolute) or gap <= Fraction(relative) * abs(Fraction(one))
            assert passes == wanted


# -- nothing differs -------------------------------------------------------------------------------------------------

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=["Cs"]))
documents = st.recursive(
    scalars, lambda below: st.lists(below) | st.dictionaries(st.text("ab.[", max_size=3), below), max_leaves=20
)


@given(documents)
def test_a_document_equals_itself(value):
    assert run(nested.compare, as_json(value), as_json(value), "x.json").first is None


@given(hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, min_side=0)))
def test_an_array_equals_itself(array):
    assert run(arrays.compare, as_npy(array), as_npy(array)).first is None


@given(st.lists(st.lists(st.text('ab1.,"\n ', max_size=4), min_size=2, max_size=2)))
def test_a_table_equals_itself(table):
    assert run(rows.compare, as_csv(table), as_csv(table), "x.csv").first is None


@given(st.lists(st.floats() | st.none()), st.integers(1, 5))
def test_row_groups_and_compression_are_no_values(values, size):
    old = as_parquet({"a": pa.array(values, pa.float64())})
    new = as_parquet({"a": pa.array(values, pa.float64())}, row_group_size=size, compression="zstd")
    assert run(columns.compare, old, new).first is None


# -- a changed element is found --------------------------------------------------------------------------------------


def leaves(value, path=()):
    if isinstance(value, dict):
        return [leaf for name, below in value.items() for leaf in leaves(below, (*path, name))]
    if isinstance(value, list):
        return [leaf for at, below in enumerate(value) for leaf in leaves(below, (*path, at))]
    return [(path, value)]


def changed(value, path, new):
    if not path:
        return new
    first, *rest = path
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[first] = changed(value[first], rest, new)
    return copy


@given(documents, st.data())
def test_a_changed_value_is_found_at_its_key(value, data):
    found = leaves(value)
    if not found:
        return
    path, old = data.draw(st.sampled_from(found))
    new = data.draw(scalars.filter(lambda one: not same(old, one)))
    finding = run(nested.compare, as_json(value), as_json(changed(value, path, new)), "x.json")
    key = join_key(path)
    assert finding.first.where == (f"key {key}" if key else "value")
    assert finding.differing == 1


@given(hnp.arrays(st.sampled_from(["f8", "f4", "i8", "u1", ">i2", "?", "c16", "U3"]), hnp.array_shapes()), st.data())
def test_a_changed_element_is_found_at_its_index(array, data):
    index = tuple(data.draw(st.integers(0, side - 1)) for side in array.shape)
    new = array.copy(order=data.draw(st.sampled_from("CF")))
    new[index] = data.draw(hnp.from_dtype(array.dtype))
    order = "F" if new.flags.f_contiguous and not new.flags.c_contiguous else "C"
    old = np.array(array, order=order)
    finding = run(arrays.compare, as_npy(old), as_npy(new))
    if np.array_equal(old, new, equal_nan=array.dtype.kind in "fc") and finding.first is None:
        return
    assert finding.first.where.removesuffix(".r").removesuffix(".i") == str(list(map(int, index)))
    packed = run(arrays.compare_archives, as_npz(a=old, b=old), as_npz(a=old, b=new))
    assert packed.first.where.startswith(f"b[{index[0]}")


@given(st.integers(2, 40), st.integers(1, 4), st.data())
def test_a_changed_cell_is_found_at_its_row_and_column(height, width, data):
    names = [f"c{at}" for at in range(width)]
    table = [[str(row * width + at) for at in range(width)] for row in range(height)]
    row, at = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    new = [list(line) for line in table]
    new[row][at] = "-1"
    finding = run(rows.compare, as_csv([names, *table]), as_csv([names, *new]), "x.csv")
    assert place(finding) == (f"row {row + 1}, column c{at}", table[row][at], "-1")
    assert finding.absolute == int(table[row][at]) + 1
    headless = run(rows.compare, as_csv(table), as_csv(new), "x.csv")
    assert headless.first.where == f"row {row + 1}, column #{at + 1}"


@given(st.lists(st.integers(0, 9) | st.none(), min_size=1, max_size=30), st.integers(1, 7), st.data())
def test_a_changed_parquet_value_is_found_at_its_row(values, size, data):
    at = data.draw(st.integers(0, len(values) - 1))
    new = [*values[:at], 11, *values[at + 1 :]]
    old = as_parquet({"k": pa.array(["x"] * len(values)), "v": pa.array(values, pa.int64())}, row_group_size=size)
    fresh = as_parquet({"k": pa.array(["x"] * len(values)), "v": pa.array(new, pa.int64())})
    finding = run(columns.compare, old, fresh)
    recorded = "null" if values[at] is None else str(values[at])
    assert place(finding) == (f"row {at + 1}, column v", recorded, "11")


# -- formats ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ({"a": 1}, {}, ("key a", "1", "")),
        ({}, {"a": {"b": 1}}, ("key a", "", '{"b": 1}')),
        ([1, 2], [1, 2, 3], ("value", "2 items", "3 items")),
        ({"a": [1]}, {"a": [1, 2]}, ("key a", "1 items", "2 items")),
        ({"a": 1}, {"a": 1.0}, ("key a", "1", "1.0")),
        ({"a": 1}, {"a": True}, ("key a", "1", "true")),
        ({"a": 0.0}, {"a": -0.0}, ("key a", "0.0", "-0.0")),
        ({"a": "x"}, {"a": None}, ("key a", '"x"', "null")),
        ({"a": 1}, [1], ("value", '{"a": 1}', "[1]")),
        ({"a": math.inf}, {"a": 1.0}, ("key a", "inf", "1.0")),
        ({"a": "\ud800"}, {"a": "b" * 99}, ("key a", '"\\ud800"', '"' + "b" * 58 + "…")),
    ],
)
def test_documents(old, new, wanted):
    assert place(run(nested.compare, as_json(old), as_json(new), "x.json")) == wanted


def test_json_lines():
    old, new = b'{"a": 1}\n\n{"a": 2}\n', b'{"a": 1}\n{"a": 3}\n'
    assert place(run(nested.compare_lines, old, new, "x.jsonl")) == ("line 2, key a", "2", "3")
    assert place(run(nested.compare_lines, old, new + b"4\n", "x.jsonl", tolerance=Tolerance(1))) == ("lines", "2", "3")


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("a,b\n1,2\n", "a,c\n1,2\n", ("columns", "b", "c")),
        ("a,b\n1,2\n", "b,a\n1,2\n", ("order of columns", "a, b", "b, a")),
        ("a,b\n1,2\n", "a,b\n1,2\n3,4\n", ("rows", "1", "2")),
        ("a,b\n1,2\n", "a,b\n", ("rows", "1", "0")),
        ("a,b\n1,2\n", "a,b\n1,2,3\n", ("row 1", "2 cells", "3 cells")),
        ("a,b\n1,x\n", "a,b\n1,y\n", ("row 1, column b", '"x"', '"y"')),
        ("a,b\n1,1\n", "a,b\n1,1_0\n", ("row 1, column b", '"1"', '"1_0"')),
        ("a,b\n1,nan\n", "a,b\n1,2\n", ("row 1, column b", "nan", "2")),
    ],
)
def test_tables(old, new, wanted):
    assert place(run(rows.compare, old.encode(), new.encode(), "x.csv")) == wanted


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        (np.zeros(3), np.zeros(4), ("shape", "(3,)", "(4,)")),
        (np.zeros(3), np.zeros(3, "f4"), ("type", "float64", "float32")),
        (np.zeros((2, 3)), np.zeros((2, 3), order="F"), ("order", "row by row", "column by column")),
        (np.array(1), np.array(2), ("[]", "1", "2")),
        (np.array([0.0]), np.array([-0.0]), ("[0]", "0.0", "-0.0")),
        (np.array([1 + 2j]), np.array([1 + 3j]), ("[0].i", "2.0", "3.0")),
        (np.array(["a"]), np.array(["b"]), ("[0]", '"a"', '"b"')),
        (np.array(["2020-01-01"], "M8[D]"), np.array(["NaT"], "M8[D]"), ("[0]", "2020-01-01", "null")),
        (np.array([(1, 2)], "i4,i4"), np.array([(1, 3)], "i4,i4"), ("[0].f1", "2", "3")),
        (
            np.zeros(2, [("a", "i1", 2)]),
            np.array([([0, 0],), ([0, 9],)], [("a", "i1", 2)]),
            ("[1].a", '"0000"', '"0009"'),
        ),
    ],
)
def test_arrays(old, new, wanted):
    assert place(run(arrays.compare, as_npy(old), as_npy(new))) == wanted


def test_archives_name_what_came_and_went():
    finding = run(arrays.compare_archives, as_npz(a=np.zeros(1), b=np.zeros(1)), as_npz(a=np.zeros(1), c=np.zeros(1)))
    assert place(finding) == ("array b", "b", "")
    assert finding.differing == 2


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ({"a": [1]}, {"b": [1]}, ("columns", "a", "b")),
        ({"a": [1], "b": [1]}, {"b": [1], "a": [1]}, ("order of columns", "a, b", "b, a")),
        ({"a": [1]}, {"a": [1.0]}, ("type of column a", "int64", "double")),
        ({"a": [1]}, {"a": [1, 2]}, ("rows", "1", "2")),
        ({"a": [0.0]}, {"a": [-0.0]}, ("row 1, column a", "0.0", "-0.0")),
        ({"a": [[1.0, 2.0]]}, {"a": [[1.0, 2.5]]}, ("row 1, column a, key [1]", "2.0", "2.5")),
        ({"a": [{"x": "y"}]}, {"a": [{"x": "z"}]}, ("row 1, column a, key x", '"y"', '"z"')),
        ({"a": pa.array(["x", "y"]).dictionary_encode()}, {"a": pa.array(["x", "z"]).dictionary_encode()},
         ("row 2, column a", '"y"', '"z"')),
        ({"a": pa.array([1], pa.timestamp("ns"))}, {"a": pa.array([2], pa.timestamp("ns"))},
         ("row 1, column a", '"1970-01-01 00:00:00.000000001"', '"1970-01-01 00:00:00.000000002"')),
    ],
)  # fmt: skip
def test_parquet(old, new, wanted):
    assert place(run(columns.compare, as_parquet(old), as_parquet(new))) == wanted


def test_the_largest_deviation_and_the_first_that_fails():
    old, new = np.array([1.0, 100.0, 0.0, 4.0]), np.array([1.5, 101.0, math.nan, 4.0])
    finding = run(arrays.compare, as_npy(old), as_npy(new), tolerance=Tolerance(abs=0.5))
    assert place(finding) == ("[1]", "100.0", "101.0")
    assert (finding.differing, finding.absolute, finding.relative) == (3, math.inf, math.inf)
    finding = run(nested.compare, as_json([1.0, 100.0]), as_json([1.5, 101.0]), "x.json", tolerance=Tolerance(rel=0.5))
    assert finding.within
    assert (finding.absolute, finding.relative, finding.numeric) == (1.0, 0.5, True)


@given(st.binary(max_size=60), st.binary(max_size=60), st.integers(0, 3))
def test_the_first_byte(old, new, zeros):
    old, new = bytes(zeros) + old, bytes(zeros) + new
    if old == new:
        return
    at = next(
        (at for at, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), min(len(old), len(new))
    )
    where = plainbytes.compare(io.BytesIO(old), io.BytesIO(new)).first.where
    if b"\0" in old + new:
        assert where == f"byte {at}"
    else:
        assert where == f"line {old.count(bytes([10]), 0, at) + 1} (byte {at})"


def test_text_shows_its_line():
    finding = plainbytes.compare(io.BytesIO(b"one\ntwo words\n"), io.BytesIO(b"one\ntwo worms\nthree"))
    assert place(finding) == ("line 2 (byte 11)", "two words", "two worms")
    finding = plainbytes.compare(io.BytesIO(b"one\n"), io.BytesIO(b"one\ntwo"))
    assert place(finding) == ("line 2 (byte 4)", "end of file", "two")


def test_bytes_far_into_a_file():
    old = bytes(3 << 20)
    new = old[:-1] + b"x"
    assert place(plainbytes.compare(io.BytesIO(old), io.BytesIO(new))) == (f"byte {(3 << 20) - 1}", "0x00", "0x78")


# -- through the store -----------------------------------------------------------------------------------------------


@pytest.fixture
def held(project):
    """Content of the working tree, saved; and the store."""
    repo = project.repo

    def save(name, data):
        path = repo.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        with repo.workspace.writing("test"):
            return repo.workspace.save([RelPath(name.partition("/")[0])])[RelPath(name.partition("/")[0])]

    return repo, save


def one(held, name, old, new, tolerance=STRICT):
    repo, save = held
    found = deviations(repo, RelPath(name), save(name, old), save(name, new), tolerance)
    assert [one.path for one in found] == [name]
    return found[0].finding


HUGE = b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999,)}".ljust(127) + b"\n"
HOSTILE = {
    "empty.json": b"",
    "cut.json": b'{"a": ',
    "deep.json": b"[" * 100_000,
    "twice.json": b'{"a": 1, "a": 2}',
    "digits.json": b"1" * 5000,
    "latin.json": b'"\xff"',
    "quote.csv": b'a,b\n"x' + b"y" * 200_000,
    "latin.csv": b"a\n\xff\n",
    "cut.npy": as_npy(np.zeros(9))[:-3],
    "long.npy": as_npy(np.zeros(9)) + b"more",
    "huge.npy": HUGE,
    "code.npy": HUGE.replace(b"(99999999999999,)", b"(__import__('os'))"),
    "pickle.npy": as_npy(np.array([{}], dtype=object)),
    "wide.npy": b"\x93NUMPY\x01\x00v\x00{'descr': '<U99999999', 'fortran_order': False, 'shape': (1,)}".ljust(127)
    + b"\n",
    "short.npy": b"\x93NUM",
    "pickle.npz": as_npz(a=np.array([{}], dtype=object)),
    "cut.npz": as_npz(a=np.zeros(9))[:-9],
    "none.npz": b"PK",
    "cut.parquet": as_parquet({"a": [1, 2, 3]})[:-5],
    "none.parquet": b"PAR1PAR1",
    "odd.parquet": as_parquet({"a": [1, 2, 3]}).replace(b"\x15", b"\x99"),
    "deep.jsonl": b"[" * 100_000,
}
GOOD = {
    "json": b"1\n",
    "jsonl": b"1\n",
    "csv": b"a,b\n1,2\n",
    "npy": as_npy(np.zeros(9)),
    "npz": as_npz(a=np.zeros(9)),
    "parquet": as_parquet({"a": [1, 2, 3]}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_malformed_file_is_compared_by_bytes(held, name):
    good = HUGE + b"\0" if name == "huge.npy" else GOOD[name.rpartition(".")[2]]
    for sides in ((good, HOSTILE[name]), (HOSTILE[name], good)):
        finding = one(held, name, *sides, tolerance=Tolerance(1e9, 1e9))
        assert not finding.within
        assert finding.note.startswith("compared by bytes: ")


def test_pickles_are_never_loaded(held):
    trap = type("Trap", (), {"__reduce__": lambda self: (os.mkdir, ("sprung",))})
    evil = as_npy(np.array([trap()], dtype=object))
    finding = one(held, "x.npy", evil, evil.replace(b"sprung", b"SPRUNG"))
    assert "holds pickled objects, which are never loaded" in finding.note
    packed = [as_npz(a=np.array([trap(), number], dtype=object)) for number in (1, 2)]
    assert "never loaded" in one(held, "x.npz", *packed).note
    assert not os.path.exists("sprung")


def test_an_archive_with_a_name_twice(held):
    data = io.BytesIO()
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(data, "w") as archive:
        for _ in range(2):
            archive.writestr("a.npy", as_npy(np.zeros(1)))
    assert "a name twice" in one(held, "x.npz", as_npz(a=np.zeros(1)), data.getvalue()).note


STAMPED = as_npz(a=np.zeros(9))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("x.json", b'{"a": 1, "b": NaN}', b'{"b":NaN,"a":1}'),
        ("x.csv", b"a,b\n1,2\n", b'"a","b"\r\n1,2\r\n'),
        ("x.csv", b"a,b\n1,2.0\n", b"a,b\n1,2.00\n"),
        ("x.npz", STAMPED, STAMPED.replace(b"\x00\x00\x21\x00", b"\x00\x00\x22\x00")),  # another day in the archive
        ("x.parquet", as_parquet({"a": [1, 2]}), as_parquet({"a": [1, 2]}, compression="zstd")),
    ],
)  # fmt: skip
def test_the_same_values_written_differently(held, name, old, new):
    assert old != new
    finding = one(held, name, old, new)
    assert not finding.within
    assert finding.note == "every value is the same; only how they are written differs"
    assert hint(finding) == LAYOUT
    assert one(held, name, old, new, tolerance=Tolerance()).within


def test_a_folder(held):
    repo, save = held
    save("out/a/b.json", b"[1, 2]")
    save("out/gone.txt", b"gone")
    old = save("out/same.txt", b"same")
    (repo.root / "out/gone.txt").unlink()
    save("out/run.sh", b"x")
    new = save("out/a/b.json", b"[1, 3]")
    found = deviations(repo, RelPath("out"), old, new)
    assert [(str(one.path), *place(one.finding)) for one in found] == [
        ("out/a/b.json", "key [1]", "2", "3"),
        ("out/gone.txt", "file", "present", "absent"),
        ("out/run.sh", "file", "absent", "present"),
    ]


def test_an_executable_and_a_link(held):
    repo, save = held
    old = save("out/run.sh", b"x")
    (repo.root / "out/run.sh").chmod(0o755)
    new = save("out/run.sh", b"x")
    (found,) = deviations(repo, RelPath("out"), old, new)
    assert place(found.finding) == ("kind of file", "plain file", "executable file")


def test_large_objects_are_read_from_their_files(held):
    old = np.zeros(1 << 18)
    new = old.copy()
    new[200_000] = 1e-9
    finding = one(held, "x.npy", as_npy(old), as_npy(new), tolerance=Tolerance(abs=1e-9))
    assert place(finding) == ("[200000]", "0.0", "1e-09")
    assert finding.within


# -- hints -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ({"t": 1732170000.25}, {"t": 1732170009.5}, TIME),
        ({"t": 1732170000000}, {"t": 1732170000123}, TIME),
        ({"t": "2024-11-21T06:34:20Z"}, {"t": "2024-11-21T06:34:21Z"}, TIME),
        ({"t": 0.1}, {"t": 0.10000000000000002}, ROUNDING),
        ({"t": 0.1}, {"t": 0.2}, ""),
        ({"t": 5}, {"t": 1732170000}, ""),
    ],
)
def test_hints(old, new, wanted):
    assert hint(run(nested.compare, as_json(old), as_json(new), "x.json")) == wanted
