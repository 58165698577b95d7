"""The jobs as plain tasks of Ray, a chunk each: its advice against tasks that are too small.

    python -m benchmarks.competitors.ray_tasks JOB SOURCE OUTPUT [--workers N]

Counters are merged as they come (`ray.wait`, not `ray.get` in the order of submission). What is exchanged
goes through the object store: a map task returns an object for each part, a reduce task is called with those
of its part, as in Ray's own example of a shuffle. The functions are those of the pool written by hand.
"""

import argparse
import os
from collections import Counter
from pathlib import Path
from typing import Any

os.environ["RAY_AUTH_MODE"] = "disabled"  # nobody else can reach it, and no token is left in the home folder
os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")  # 30 are too few on a busy machine

import ray

from benchmarks.competitors.handwritten import CHUNK, COUNTING, EXCHANGING, Range, add_up, cut, parts_of


@ray.remote
def counted(job: str, task: Range) -> Counter[Any]:
    return COUNTING[job][0](task)


@ray.remote
def pieces(job: str, task: Range, parts: int) -> list[Any]:
    return [*EXCHANGING[job][0](task, parts)]


@ray.remote
def write_part(job: str, part: int, output: Path, *given: Any) -> None:
    with (output / f"part-{part:05d}").open("wb") as target:
        target.writelines(EXCHANGING[job][1](given))


def count(job: str, source: str, output: Path, workers: int) -> None:
    total: Counter[Any] = Counter()
    waiting = [counted.remote(job, task) for task in cut(source, CHUNK, workers)]
    while waiting:
        ready, waiting = ray.wait(waiting)
        total.update(ray.get(ready[0]))
    with output.open("w", encoding="ascii") as file:
        file.writelines(COUNTING[job][1](total))


def exchange(job: str, source: str, output: Path, workers: int) -> None:
    parts = parts_of(source, workers)
    output.mkdir()
    mapped = [
        pieces.options(num_returns=parts).remote(job, task, parts) for task in cut(source, CHUNK, workers)
    ]
    ray.get([write_part.remote(job, part, output, *(each[part] for each in mapped)) for part in range(parts)])
    if job == "sections":
        add_up(output)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("job", choices=[*COUNTING, *EXCHANGING])
    parser.add_argument("source")
    parser.add_argument("output", type=Path)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    ray.init(num_cpus=options.workers, include_dashboard=False, log_to_driver=False)
    try:
        work = count if options.job in COUNTING else exchange
        work(options.job, options.source, options.output, options.workers)
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main()
