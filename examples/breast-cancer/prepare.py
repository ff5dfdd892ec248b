"""Check the raw measurements and turn the diagnosis into a number."""

import csv
from pathlib import Path

import numpy as np

import table

RAW = Path("data/raw.csv")
PREPARED = Path("data/prepared.csv")
LABELS = {"B": 0, "M": 1}


def main() -> None:
    with RAW.open(newline="") as file:
        header, *rows = csv.reader(file)
    unique = list(dict.fromkeys(map(tuple, rows)))
    y = np.array([LABELS[row[0]] for row in unique])
    x = np.array([row[1:] for row in unique], dtype=np.float64)
    if not np.isfinite(x).all():
        raise SystemExit(f"{RAW}: a measure is missing or not finite")
    table.write(table.Table(header[1:], x, y), PREPARED)
    print(f"{len(y)} tumours, {y.sum()} malignant, {len(rows) - len(unique)} repeated rows dropped")


if __name__ == "__main__":
    main()
