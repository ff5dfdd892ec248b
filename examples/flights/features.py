"""Add the calendar, the weather at the airport in the hour of departure, and the plane's age and size."""

from pathlib import Path

import pandas as pd

MONTHS = Path("data/months")
FEATURES = Path("data/features")
YEAR = 2013
WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib"]


def minutes(clock: pd.Series) -> pd.Series:
    """Minutes since midnight of a time written as 1745 for 17:45."""
    return clock // 100 * 60 + clock % 100


def main() -> None:
    weather = pd.read_csv("data/raw/weather.csv").drop_duplicates(["origin", "time_hour"])
    planes = pd.read_csv("data/raw/planes.csv").assign(plane_age=lambda plane: YEAR - plane["year"])
    FEATURES.mkdir(parents=True, exist_ok=True)
    for path in sorted(MONTHS.glob("*.csv")):
        flights = pd.read_csv(path)
        joined = flights.merge(
            weather[["origin", "time_hour", *WEATHER]], how="left", on=["origin", "time_hour"], validate="m:1"
        ).merge(planes[["tailnum", "plane_age", "seats"]], how="left", on="tailnum", validate="m:1")
        weekday = pd.to_datetime(flights[["month", "day"]].assign(year=YEAR)).dt.day_of_week
        table = joined.assign(
            weekday=weekday,
            departure=minutes(flights["sched_dep_time"]),
            arrival=minutes(flights["sched_arr_time"]),
        ).drop(columns=["sched_dep_time", "sched_arr_time", "day", "time_hour", "tailnum"])
        table.to_csv(FEATURES / path.name, index=False, lineterminator="\n")
        print(f"{path.stem}: {len(table):,} flights, weather known for {table['temp'].notna().mean():.1%}")


if __name__ == "__main__":
    main()
