"""What the header of a model file tells: its number of parameters, without running or even loading anything.

A file comes from whoever opened the pull request, and loading a pickle runs what its author wrote, so no format that
may hold one is opened at all. Headers are read within bounds; one that lies about itself gives a `problem` in words.

Sources: safetensors' format description (an 8-byte length, then JSON); NumPy's NEP 1 for `.npy`; the GGUF
specification, versions 2 and 3.
"""

from __future__ import annotations

import json
import math
import re
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

MAX_HEADER: Final = 32 << 20
MAX_ITEMS: Final = 200_000
PICKLED: Final = "not opened: loading a pickle can run code"
_PICKLES: Final = {
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".bin", ".torchscript"), "PyTorch"),
    ".joblib": "joblib",
    **dict.fromkeys((".pkl", ".pickle"), "pickle"),
}
_NAMES: Final = {
    **{".onnx": "ONNX", ".h5": "HDF5", ".hdf5": "HDF5", ".keras": "Keras", ".tflite": "TensorFlow Lite"},
    **{".pb": "TensorFlow", ".cbm": "CatBoost", ".xgb": "XGBoost", ".ubj": "XGBoost", ".lgb": "LightGBM"},
    **{".skops": "skops", ".mlmodel": "Core ML", ".mlpackage": "Core ML", ".pmml": "PMML", ".json": "JSON"},
}
_SHAPE: Final = re.compile(rb"'shape'\s*:\s*\(([0-9, ]*)\)")
_TYPE: Final = re.compile(rb"'descr'\s*:\s*'([^']{1,16})'")
_FIXED: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_TEXT: Final = 8
_ARRAY: Final = 9
_DEPTH: Final = 4
_LONGEST: Final = 5_000_000
"""Texts in one list: vocabularies have a tenth of that."""
_MOST: Final = 10**18


@dataclass(frozen=True, slots=True)
class Header:
    """What is known of one model file.

    Attributes:
        format: such as `safetensors (F16)`; empty if its name does not say.
        parameters: numbers that the model consists of; None where the format does not tell without running it.
    """

    format: str
    parameters: int | None = None
    problem: str = ""


def name_of(path: str) -> str:
    """The format that a file's name says; empty if none."""
    end = _end(path)
    return _PICKLES.get(end) or _NAMES.get(end) or _READERS.get(end, ("",))[0]


def has_header(path: str) -> bool:
    """Whether a file with this name tells its parameters."""
    return _end(path) in _READERS


def is_pickle(path: str) -> bool:
    """Whether a file with this name may be a pickle."""
    return _end(path) in _PICKLES


def read_header(file: BinaryIO, path: str) -> Header:
    """The header of the open `file`, which is called `path`; `has_header` says of which names there is one to read."""
    name, read = _READERS[_end(path)]
    try:
        parameters, types = read(file)
        if not 0 <= parameters <= _MOST:
            raise ValueError("it claims more parameters than there can be")
    except Exception as error:  # whatever a parser makes of bytes that are no such file
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        return Header(
            name, problem=f"not readable as {name}: {reason.encode(errors='backslashreplace').decode()[:120]}"
        )
    words = ", ".join(sorted(types)[:4]) + (", …" if len(types) > 4 else "")
    return Header(f"{name} ({words})" if words else name, parameters)


def _end(path: str) -> str:
    dot = path.rfind(".")
    return path[dot:].lower()


def _exactly(file: BinaryIO, size: int) -> bytes:
    if not 0 <= size <= MAX_HEADER:
        raise ValueError(f"a header of {size} bytes")
    data = file.read(size)
    if len(data) != size:
        raise ValueError("it is cut short")
    return data


def _safetensors(file: BinaryIO) -> tuple[int, set[str]]:
    (size,) = struct.unpack("<Q", _exactly(file, 8))
    value = json.loads(_exactly(file, size))
    if not isinstance(value, dict):
        raise TypeError("its header is no mapping")
    tensors = [one for name, one in value.items() if name != "__metadata__"]
    return sum(_volume(one["shape"]) for one in tensors), {str(one["dtype"])[:16] for one in tensors}


def _volume(shape: Any) -> int:
    listed = shape if isinstance(shape, list) and len(shape) <= 64 else [None]
    if not all(isinstance(one, int) and 0 <= one <= _MOST for one in listed):
        raise ValueError("a shape that is none")
    return math.prod(listed)


def _npy(file: BinaryIO) -> tuple[int, set[str]]:
    start = _exactly(file, 8)
    if not start.startswith(b"\x93NUMPY"):
        raise ValueError("it does not begin as one")
    length = "<H" if start[6] == 1 else "<I"
    (size,) = struct.unpack(length, _exactly(file, struct.calcsize(length)))
    text = _exactly(file, min(size, 1 << 16))
    shape, kind = _SHAPE.search(text), _TYPE.search(text)
    if shape is None:
        raise ValueError("its header tells no shape")
    parameters = _volume([int(one) for one in shape[1].split(b",") if one.strip()])
    return parameters, {kind[1].decode(errors="replace")} if kind else set()


def _npz(file: BinaryIO) -> tuple[int, set[str]]:
    total, types = 0, set()
    with zipfile.ZipFile(file) as archive:
        names = [one for one in archive.namelist() if one.endswith(".npy")]
        if len(names) > MAX_ITEMS:
            raise ValueError("too many arrays")
        for name in names:
            with archive.open(name) as one:
                number, found = _npy(one)  # type: ignore[arg-type]
            total += number
            types |= found
    return total, types


def _gguf(file: BinaryIO) -> tuple[int, set[str]]:
    magic, version, tensors, values = struct.unpack("<4sIQQ", _exactly(file, 24))
    if magic != b"GGUF" or version not in (2, 3):
        raise ValueError("not GGUF of version 2 or 3")
    if tensors > MAX_ITEMS or values > MAX_ITEMS:
        raise ValueError("too many tensors or values")
    for _ in range(values):
        _skip_text(file)
        _skip_value(file, _whole(file), 0)
    total = 0
    for _ in range(tensors):
        _skip_text(file)
        dimensions = _whole(file)
        if dimensions > 8:
            raise ValueError("a tensor of too many dimensions")
        total += math.prod(struct.unpack(f"<{dimensions}Q", _exactly(file, 8 * dimensions)))
        _exactly(file, 12)  # its type and place
    return total, set()


def _whole(file: BinaryIO, form: str = "<I") -> int:
    (number,) = struct.unpack(form, _exactly(file, struct.calcsize(form)))
    return int(number)


def _skip_text(file: BinaryIO) -> None:
    _exactly(file, _whole(file, "<Q"))


def _skip_value(file: BinaryIO, kind: int, depth: int) -> None:
    if kind == _TEXT:
        _skip_text(file)
    elif kind == _ARRAY and depth < _DEPTH:
        kind, number = _whole(file), _whole(file, "<Q")
        if kind in _FIXED:
            _exactly(file, number * _FIXED[kind])
            return
        if number > _LONGEST:
            raise ValueError("a list that is too long")
        for _ in range(number):
            _skip_value(file, kind, depth + 1)
    else:
        _exactly(file, _FIXED[kind])


_READERS: Final[dict[str, tuple[str, Callable[[BinaryIO], tuple[int, set[str]]]]]] = {
    ".safetensors": ("safetensors", _safetensors),
    ".npy": ("NumPy", _npy),
    ".npz": ("NumPy", _npz),
    ".gguf": ("GGUF", _gguf),
}
