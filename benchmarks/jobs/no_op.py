"""Tasks that do nothing: what a task costs.

`SHAPE` says what a map gives: nothing, a pair, or no reduce; or that it sleeps for `SECONDS`.
"""

import time
from collections.abc import Iterator

from mapreduce import Job, Records, Sum, params

SHAPE = params.get("SHAPE", "nothing")


def nothing(record: int) -> None:
    """Give no pair."""


def sleep(_record: int) -> None:
    """Give no pair, and take a while."""
    time.sleep(float(params["SECONDS"]))


def pair(record: int) -> Iterator[tuple[int, int]]:
    yield record % 10, 1


job = Job(
    name="no-op",
    source=Records(range(int(params.get("TASKS", "10000"))), split_size=1),
    map={"pair": pair, "sleep": sleep}.get(SHAPE, nothing),
    reduce=None if SHAPE == "map only" else Sum(),
    output=params["OUTPUT"],
)
