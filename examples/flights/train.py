"""Fit gradient-boosted trees to the chance that a flight arrives late."""

from pathlib import Path

import joblib
import yaml
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder
from threadpoolctl import threadpool_limits

import table

MODEL = Path("models/model.joblib")


def main() -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    x, y = table.read(params["months"]["train"])
    encode = make_column_transformer(
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=float("nan")), table.CATEGORIES),
        remainder="passthrough",
        verbose_feature_names_out=False,
    )
    trees = HistGradientBoostingClassifier(
        categorical_features=list(range(len(table.CATEGORIES))), early_stopping=False, **params["train"]
    )
    with threadpool_limits(limits=1):  # sums in one order: the same model whatever the number of cores
        model = make_pipeline(encode, trees).fit(x, y)
    MODEL.parent.mkdir(parents=True, exist_ok=True)
    joblib.dump(model, MODEL)
    print(f"trained {trees.n_iter_} trees on {len(y):,} flights")


if __name__ == "__main__":
    main()
