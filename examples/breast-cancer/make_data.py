"""Write the raw data once: scikit-learn's copy of the Wisconsin breast-cancer measurements, as `data/raw.csv`.

This is no stage. It stands for the download or the database export that your own project starts from;
its result is what `mlgit add data/raw.csv` tracks.
"""

import csv
from pathlib import Path

from sklearn.datasets import load_breast_cancer

RAW = Path("data/raw.csv")
DIAGNOSES = ("M", "B")  # scikit-learn's target 0 is malignant, 1 is benign


def main() -> None:
    bunch = load_breast_cancer()
    RAW.parent.mkdir(parents=True, exist_ok=True)
    with RAW.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["diagnosis", *(str(name).replace(" ", "_") for name in bunch.feature_names)])
        for measures, target in zip(bunch.data.tolist(), bunch.target, strict=True):
            writer.writerow([DIAGNOSES[target], *measures])
    print(f"wrote {RAW}: {len(bunch.target)} tumours, {len(bunch.feature_names)} measures each")


if __name__ == "__main__":
    main()
