"""A coordinator of hosts, as `mapreduce run --on` is one, that tells what its tasks took.

    python -m benchmarks.led FILE.py STORE [--set NAME=VALUE …]

Its last line is a JSON object: seconds of the map phase, tasks accepted a second in it, and for each task
the milliseconds from its assignment to its acceptance in the log, median and largest of 99 %.
"""

import argparse
import json
import time
from collections.abc import Sequence
from statistics import quantiles
from typing import Any

from mapreduce import run
from mapreduce.cli.jobfile import load_job
from mapreduce.coordinator.log import Acceptance, AcceptanceLog
from mapreduce.hosts.desk import Desk
from mapreduce.model import Attempt, Kind, TaskId


class Stamps:
    """When each map was first handed to a host, and when it was in the log."""

    def __init__(self) -> None:
        self.assigned: dict[TaskId, float] = {}
        self.accepted: dict[TaskId, float] = {}

    def put_in_place(self) -> None:
        """Have the desk and the log of this process tell."""
        submit, append = Desk.submit, AcceptanceLog.append

        def submitted(desk: Desk, attempt: Attempt, request: dict[str, Any]) -> None:
            self.assigned.setdefault(attempt.task, time.monotonic())
            submit(desk, attempt, request)

        def appended(log: AcceptanceLog, accepted: Sequence[Acceptance]) -> None:
            append(log, accepted)
            now = time.monotonic()
            self.accepted.update((each.task, now) for each in accepted)

        Desk.submit, AcceptanceLog.append = submitted, appended  # type: ignore[method-assign]

    def figures(self) -> dict[str, float]:
        took = [
            1000 * (when - self.assigned[task])
            for task, when in self.accepted.items()
            if task.kind is Kind.MAP and task in self.assigned
        ]
        cut = quantiles(took, n=100, method="inclusive")
        return {"p50 ms": round(cut[49], 1), "p99 ms": round(cut[98], 1)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.led", description=__doc__)
    parser.add_argument("file")
    parser.add_argument("store")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="NAME=VALUE")
    options = parser.parse_args()
    stamps = Stamps()
    stamps.put_in_place()
    job = load_job(options.file, settings=options.settings)
    before = time.process_time()
    result = run(job, on=options.store)
    tasks, seconds = result.manifest.tasks["map"], result.manifest.seconds["map"]
    cpu = round(time.process_time() - before, 3)
    told = {"tasks": tasks, "map s": seconds, "tasks/s": round(tasks / seconds, 1), "cpu s": cpu}
    print(json.dumps({**told, **stamps.figures()}))


if __name__ == "__main__":
    main()
