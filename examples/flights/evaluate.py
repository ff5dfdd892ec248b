"""Judge the model on later months: overall, by carrier, and by how far its chances can be trusted."""

import json
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import yaml
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

import table

METRICS = Path("metrics/eval.json")
PLOTS = Path("plots")
DIGITS = 5  # more would make a diff of noise


def scores(late: pd.Series, chance: pd.Series) -> dict[str, float]:
    """Ranking (ROC AUC, average precision), accuracy of the chances (Brier), and bias: mean chance - share late."""
    return {
        "n": len(late),
        "late": round(float(late.mean()), DIGITS),
        "roc_auc": round(float(roc_auc_score(late, chance)), DIGITS),
        "average_precision": round(float(average_precision_score(late, chance)), DIGITS),
        "brier": round(float(brier_score_loss(late, chance)), DIGITS),
        "bias": round(float(chance.mean() - late.mean()), DIGITS),
    }


def by_carrier(carriers: pd.Series, late: pd.Series, chance: pd.Series, min_n: int) -> dict[str, Any]:
    """Scores of each carrier with at least `min_n` flights; the others are named with their count, not scored."""
    sizes = carriers.value_counts().sort_index()
    enough = {
        str(name): scores(late[carriers == name], chance[carriers == name]) for name in sizes.index[sizes >= min_n]
    }
    too_few = {str(name): int(n) for name, n in sizes[sizes < min_n].items()}
    return {"by_carrier": enough, "too_few_flights": too_few}


def main() -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    x, late = table.read(params["months"]["test"])
    chance = pd.Series(joblib.load("models/model.joblib").predict_proba(x)[:, 1], index=late.index)

    metrics = {**scores(late, chance), **by_carrier(x["carrier"], late, chance, params["evaluate"]["min_n"])}
    METRICS.parent.mkdir(parents=True, exist_ok=True)
    METRICS.write_text(json.dumps(metrics, indent=2) + "\n")

    actual, predicted = calibration_curve(late, chance, n_bins=10, strategy="quantile")
    PLOTS.mkdir(parents=True, exist_ok=True)
    curve = pd.DataFrame({"predicted": predicted, "actual": actual}).round(DIGITS)
    curve.to_csv(PLOTS / "calibration.csv", index=False, lineterminator="\n")
    print(f"ROC AUC {metrics['roc_auc']:.4f}, Brier score {metrics['brier']:.4f} on {metrics['n']:,} flights")


if __name__ == "__main__":
    main()
