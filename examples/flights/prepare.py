"""Write one CSV a month with the flights whose arrival is known, labelled late or not."""

from pathlib import Path

import pandas as pd
import yaml

MONTHS = Path("data/months")
COLUMNS = ["month", "day", "sched_dep_time", "sched_arr_time", "carrier", "tailnum", "origin", "dest", "distance",
           "time_hour"]  # fmt: skip


def main() -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())["prepare"]
    flights = pd.read_csv("data/raw/flights.csv.zip")
    arrived = flights.dropna(subset=["arr_delay"])
    table = arrived[COLUMNS].assign(late=(arrived["arr_delay"] >= params["late_minutes"]).astype(int))

    MONTHS.mkdir(parents=True, exist_ok=True)
    for month, rows in table.groupby("month"):
        rows.to_csv(MONTHS / f"{month:02d}.csv", index=False, lineterminator="\n")
    print(f"{len(flights):,} flights, {len(flights) - len(arrived):,} never arrived, {table['late'].mean():.1%} late")


if __name__ == "__main__":
    main()
