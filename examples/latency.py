"""Quantiles of latency by path from JSON lines: as a job of records, and as one of frames.

python examples/latency.py
mapreduce run examples/latency.py:job --source 'logs/requests-*.jsonl' --output reports/latency
mapreduce run examples/latency.py:frames_job --source 'logs/requests-*.jsonl' --output reports/latency
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from mapreduce import Job, JsonLines, Quantiles, Sum, frames, params, run

SCHEMA = {"path": str, "seconds": float, "bytes": int}  # what frames need to know about JSON
PATHS = ["/", "/cart", "/docs", "/help", "/jobs", "/login", "/map", "/news", "/search", "/shop", "/team"]


def requests(record: dict[str, Any]) -> Iterator[tuple[str, tuple[float, int]]]:
    """The path of a request, with its seconds and bytes."""
    yield record["path"], (record["seconds"], record["bytes"])


@frames
def request_frames(records: pl.DataFrame) -> pl.DataFrame:
    """The same of many requests at once."""
    return records.select(key="path", value=pl.struct("seconds", "bytes"))


job = Job(
    name="latency",
    source=JsonLines(params.get("SOURCE", "requests.jsonl"), schema=SCHEMA),
    map=requests,
    reduce={"seconds": Quantiles([0.5, 0.9, 0.99], of=0), "bytes": Sum(of=1)},
    output=params.get("OUTPUT"),
)
frames_job = replace(job, map=request_frames)

if __name__ == "__main__":
    random = Random(1)
    with TemporaryDirectory() as folder:
        path = Path(folder, "requests.jsonl")
        with path.open("w") as log:
            for _ in range(20_000):
                seconds, size = random.lognormvariate(-3, 1), random.randrange(10_000)
                print(json.dumps({"path": random.choice(PATHS), "seconds": seconds, "bytes": size}), file=log)
        result = run(replace(job, source=JsonLines(path)))
    for record in result:
        median, most, nearly_all = record["seconds"]
        print(f"{record['key']:<8}  50 % {median:.3f} s  90 % {most:.3f} s  99 % {nearly_all:.3f} s")
