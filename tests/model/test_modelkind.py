import pytest

from mlgit.model.modelkind import is_model
from mlgit.model.relpath import RelPath


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("model.safetensors", True),
        ("out/Net.ONNX", True),
        ("data/net.pt", True),
        ("clf.joblib", True),
        ("clf.pkl", True),
        ("data/test.pkl", False),
        ("src/Data/test.h5", False),
        ("weights.bin", False),
        ("project/models/weights.bin", True),
        ("models", True),
        ("models/net/config.json", True),
        ("model", True),
        ("models/train.py", False),
        ("models/predictions.csv", False),
        ("src/models/config.json", False),
        ("data", False),
        ("metrics.json", False),
        ("modelling/x", False),
        ("pt", False),
        ("", False),
    ],
)
def test_names(path, expected):
    assert is_model(RelPath(path)) is expected


def test_what_is_declared_goes_first():
    assert is_model(RelPath("data/weights"), "model")
    assert is_model(RelPath("data/weights"), "Model")
    assert not is_model(RelPath("models/eval.pkl"), "dataset")
