"""Hold out a test set with the same share of malignant tumours as the rest."""

from pathlib import Path

import numpy as np
import yaml
from sklearn.model_selection import train_test_split

import table

SPLIT = Path("data/split")


def main() -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())["split"]
    everything = table.read(Path("data/prepared.csv"))
    train, test = train_test_split(
        np.arange(len(everything.y)),
        test_size=params["test_size"],
        random_state=params["seed"],
        stratify=everything.y,
    )
    table.write(everything.rows(np.sort(train)), SPLIT / "train.csv")
    table.write(everything.rows(np.sort(test)), SPLIT / "test.csv")
    print(f"{len(train)} tumours to train on, {len(test)} to test on")


if __name__ == "__main__":
    main()
