"""Read months of features as the model sees them."""

from pathlib import Path

import pandas as pd

FEATURES = Path("data/features")
CATEGORIES = ["carrier", "origin", "dest"]


def read(months: list[int]) -> tuple[pd.DataFrame, pd.Series]:
    """Features (flights, columns) and whether each flight was late (flights,); the month only chooses the file."""
    table = pd.concat([pd.read_csv(FEATURES / f"{month:02d}.csv") for month in months], ignore_index=True)
    return table.drop(columns=["late", "month"]).astype(dict.fromkeys(CATEGORIES, "category")), table["late"]
