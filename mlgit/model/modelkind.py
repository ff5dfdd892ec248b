"""Which paths hold a trained model, as opposed to data, by what is declared of them and by their names.

A model is a result and data is evidence: two evaluations are comparable though the model differs, and not if the data
does. So where a name can mean either, a folder called `data` decides against the model. No file is opened here.
"""

from __future__ import annotations

from typing import Final

from mlgit.model.relpath import RelPath

MODEL: Final = "model"
_FORMATS: Final = (
    *(".pt", ".pth", ".ckpt", ".safetensors", ".onnx", ".keras", ".tflite", ".gguf", ".ggml", ".mlmodel"),
    *(".mlpackage", ".cbm", ".xgb", ".ubj", ".lgb", ".skops", ".joblib", ".torchscript", ".caffemodel", ".pmml"),
)
_EITHER: Final = (".pkl", ".pickle", ".h5", ".hdf5", ".pb")
_WEIGHTS: Final = (".bin",)
_NEVER: Final = (
    *(".py", ".ipynb", ".r", ".jl", ".sh", ".md", ".rst", ".yaml", ".yml", ".toml", ".cfg", ".ini"),
    *(".csv", ".tsv", ".parquet", ".jsonl", ".mlgit"),
)
_MODEL_FOLDERS: Final = frozenset({"model", "models"})
_DATA_FOLDERS: Final = frozenset({"data", "dataset", "datasets"})


def is_model(path: RelPath, declared: str | None = None) -> bool:
    """Whether the file or folder at `path` is a model, or a part of one.

    Args:
        declared: the `type` that a stage's output or an artifact gives it; it goes before any guess.
    """
    if declared is not None:
        return declared.lower() == MODEL
    name, folders = path.lower(), {part.lower() for part in path.parent.parts}
    if name.endswith(_FORMATS):
        return True
    if name.endswith(_EITHER):
        return not folders & _DATA_FOLDERS
    if name.endswith(_WEIGHTS):
        return bool(folders & _MODEL_FOLDERS)
    return name.partition("/")[0] in _MODEL_FOLDERS and not name.endswith(_NEVER)
