"""CSV to Parquet, with types: without a reduce the map's records are written as they are.

python examples/csv_to_parquet.py
mapreduce run examples/csv_to_parquet.py:job --source 'sales-*.csv' --output tables/sales
mapreduce run examples/csv_to_parquet.py:frames_job --source 'sales-*.csv' --output tables/sales
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from mapreduce import Csv, Job, Parquet, frames, params, run

SCHEMA = {"day": date, "shop": str, "items": int, "price": float}


def sales(row: dict[str, str]) -> Iterator[dict[str, Any]]:
    """A row with types: the fields of a CSV record are text."""
    yield {
        "day": date.fromisoformat(row["day"]),
        "shop": row["shop"],
        "items": int(row["items"]),
        "price": float(row["price"]),
    }


@frames
def sales_frames(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows as they are: the columns of a frame have the types of the schema."""
    return rows


job = Job(
    name="csv-to-parquet",
    source=Csv(params.get("SOURCE", "sales.csv"), schema=SCHEMA),
    map=sales,
    output=Parquet(params.get("OUTPUT", "tables/sales"), schema=SCHEMA),
)
frames_job = replace(job, map=sales_frames)

if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        path = Path(folder, "sales.csv")
        with path.open("w") as file:
            print("day,shop,items,price", file=file)
            for n in range(20_000):
                day, shop = date(2024, 1, 1) + timedelta(n // 60), f"shop {n % 60}"
                print(day, shop, n * 7 % 11, n * 13 % 997 / 10, sep=",", file=file)
        print(run(replace(job, source=Csv(path), output=Parquet(f"{folder}/table"))).to_polars())
