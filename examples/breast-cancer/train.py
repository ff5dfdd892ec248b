"""Fit a random forest: the vote of many trees, each grown on a sample of the tumours."""

from pathlib import Path

import joblib
import numpy as np
import yaml
from sklearn.ensemble import RandomForestClassifier

import table

MODEL = Path("models/model.joblib")


def main() -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())["train"]
    train = table.read(Path("data/split/train.csv"))
    labels = train.y
    if params["shuffle_labels"]:
        labels = np.random.default_rng(params["seed"]).permutation(labels)
    model = RandomForestClassifier(n_estimators=params["trees"], random_state=params["seed"], n_jobs=1)
    model.fit(train.x, labels)
    MODEL.parent.mkdir(parents=True, exist_ok=True)
    joblib.dump(model, MODEL)
    print(f"trained {len(model.estimators_)} trees on {len(labels)} tumours")


if __name__ == "__main__":
    main()
