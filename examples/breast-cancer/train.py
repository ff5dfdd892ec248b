"""Fit a regularised logistic regression on standardised measures."""

from pathlib import Path

import joblib
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import table

MODEL = Path("models/model.joblib")


def main() -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())["train"]
    train = table.read(Path("data/split/train.csv"))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=params["c"], max_iter=params["max_iter"]))
    model.fit(train.x, train.y)
    MODEL.parent.mkdir(parents=True, exist_ok=True)
    joblib.dump(model, MODEL)
    print(f"trained on {len(train.y)} tumours in {model[-1].n_iter_[0]} iterations, C = {params['c']}")


if __name__ == "__main__":
    main()
