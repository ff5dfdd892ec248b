"""The one table format of this project: a CSV whose first column is the label, the others are measures."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LABEL = "malignant"


@dataclass(frozen=True)
class Table:
    """`x` is (tumours, measures), `y` is (tumours,) with 1 for malignant, `names` has one name per measure."""

    names: list[str]
    x: NDArray[np.float64]
    y: NDArray[np.int64]

    def column(self, name: str) -> NDArray[np.float64]:
        return self.x[:, self.names.index(name)]

    def rows(self, index: NDArray[np.int64]) -> "Table":
        return Table(self.names, self.x[index], self.y[index])


def read(path: Path) -> Table:
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    values = np.array(rows, dtype=np.float64)
    return Table(header[1:], values[:, 1:], values[:, 0].astype(np.int64))


def write(table: Table, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([LABEL, *table.names])
        for label, measures in zip(table.y.tolist(), table.x.tolist(), strict=True):
            writer.writerow([label, *measures])
