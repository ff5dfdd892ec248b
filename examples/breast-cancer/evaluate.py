"""Judge the model on the held-out tumours: overall, by tumour size, one by one, and as two plots."""

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import yaml
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score, recall_score, roc_auc_score, roc_curve

import table

METRICS = Path("metrics/eval.json")
PREDICTIONS = Path("data/predictions.csv")
PLOTS = Path("plots")
NAMES = np.array(["benign", "malignant"])
DIGITS = 6  # more would make a diff of noise


def scores(y: NDArray[np.int64], predicted: NDArray[np.int64]) -> dict[str, float]:
    """Scores that hold for a slice of any mix; recall only where there is something to recall."""
    result = {"n": len(y), "accuracy": round(accuracy_score(y, predicted), DIGITS)}
    if y.any():
        result["recall"] = round(recall_score(y, predicted), DIGITS)
    return result


def by_size(area: NDArray[np.float64], cuts: list[float]) -> dict[str, NDArray[np.bool_]]:
    """Masks of the tumours whose mean area is below the first cut, between the two, and from the second on."""
    small, large = cuts
    return {"small": area < small, "medium": (small <= area) & (area < large), "large": area >= large}


def write_csv(path: Path, header: list[str], rows: Iterable[Iterable[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def main() -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())["evaluate"]
    test = table.read(Path("data/split/test.csv"))
    chance = joblib.load("models/model.joblib").predict_proba(test.x)[:, 1]
    predicted = (chance >= params["threshold"]).astype(np.int64)

    slices = by_size(test.column("mean_area"), params["size_cuts"])
    metrics = {
        **scores(test.y, predicted),
        "f1": round(f1_score(test.y, predicted), DIGITS),
        "roc_auc": round(roc_auc_score(test.y, chance), DIGITS),
        "by_size": {name: scores(test.y[mask], predicted[mask]) for name, mask in slices.items() if mask.any()},
    }
    METRICS.parent.mkdir(parents=True, exist_ok=True)
    METRICS.write_text(json.dumps(metrics, indent=2) + "\n")

    sizes = np.select(list(slices.values()), list(slices), "")
    scored = zip(range(len(test.y)), test.y, predicted, chance.round(DIGITS).tolist(), sizes, strict=True)
    write_csv(PREDICTIONS, ["id", "label", "prediction", "score", "size"], scored)
    write_csv(PLOTS / "confusion.csv", ["actual", "predicted"], zip(NAMES[test.y], NAMES[predicted], strict=True))
    false_alarms, hits, _ = roc_curve(test.y, chance)
    write_csv(PLOTS / "roc.csv", ["false_positive_rate", "true_positive_rate"],
              zip(false_alarms.round(DIGITS).tolist(), hits.round(DIGITS).tolist(), strict=True))  # fmt: skip
    print(f"accuracy {metrics['accuracy']:.4f}, ROC AUC {metrics['roc_auc']:.4f} on {metrics['n']} tumours")


if __name__ == "__main__":
    main()
