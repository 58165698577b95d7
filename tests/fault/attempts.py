"""Attempts of a job in worker processes, one by one, without a coordinator: what is told of each."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from mapreduce import Job
from mapreduce.codec import dump_job, to_plain
from mapreduce.errors import MapReduceError
from mapreduce.events import Failed, Printed, Succeeded, WorkerGone, WorkerReady
from mapreduce.executors.processes import ProcessExecutor
from mapreduce.model import Attempt, Kind, TaskId
from mapreduce.plan import make_plan, new_run_id

PATIENCE = 30.0
"""Seconds; the deadline is for a broken engine only."""
T = TypeVar("T")


def wait_for(condition: Callable[[], T], what: str, seconds: float = PATIENCE) -> T:
    """Poll until something is true, and give it."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.005)
    return found


def is_alive(process: int) -> bool:
    """Whether a process runs: one that waits to be reaped doesn't."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@dataclass
class Attempts:
    """Runs maps of a job on an executor; keeps everything that it was told."""

    executor: ProcessExecutor
    requests: list[dict[str, Any]]
    ready: list[int] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)
    tried: int = 0

    def poll(self) -> None:
        """Take in what the executor tells."""
        for event in self.executor.poll(0.02):
            self.events.append(event)
            if isinstance(event, WorkerReady):
                self.ready.append(event.worker)
            elif isinstance(event, WorkerGone) and event.worker in self.ready:
                self.ready.remove(event.worker)

    def until(self, condition: Callable[[], T], what: str) -> T:
        """Poll the executor until something is true, and give it."""
        deadline = time.monotonic() + PATIENCE
        while not (found := condition()):
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {PATIENCE} s: {what}; heard {self.events}")
            self.poll()
        return found

    def start(self, index: int = 0, *, careful: bool = False) -> Attempt:
        """Begin an attempt of a map on a worker that is ready."""
        self.until(lambda: self.ready, "a worker is ready")
        self.tried += 1
        attempt = Attempt(TaskId(Kind.MAP, index), self.tried, self.ready.pop(0))
        request = {**self.requests[index], "nonce": secrets.token_hex(4), "careful": careful}
        self.executor.submit(attempt, request)
        return attempt

    def end_of(self, attempt: Attempt) -> Any:
        """The event that ends an attempt."""

        def ended() -> Any:
            for event in self.events:
                if isinstance(event, (Succeeded, Failed)) and event.attempt == attempt:
                    return event
                if isinstance(event, WorkerGone) and event.worker == attempt.worker:
                    return event
            return None

        return self.until(ended, f"{attempt} ends")

    def run(self, index: int = 0, *, careful: bool = False) -> Any:
        """Run an attempt; the event that ends it."""
        return self.end_of(self.start(index, careful=careful))

    def error_of(self, index: int = 0, *, careful: bool = False) -> MapReduceError:
        """Run an attempt that fails; its error."""
        error: MapReduceError = self.run(index, careful=careful).error
        return error

    def counters_of(self, index: int = 0) -> dict[str, int]:
        """Run an attempt that succeeds; what it counted."""
        event = self.run(index)
        assert isinstance(event, Succeeded), event
        return event.result.counters

    def printed_in(self, attempt: Attempt) -> str:
        """What was told of an attempt's output."""
        return "".join(
            event.text for event in self.events if isinstance(event, Printed) and event.attempt == attempt
        )

    def process_of(self, worker: int) -> int:
        """The process id of a worker."""
        process = self.executor._alive[worker].process.pid
        assert process
        return process


@contextmanager
def attempts(job: Job, *, workers: int = 1, **setup: Any) -> Iterator[Attempts]:
    """Workers for a job whose run is in the folder `run`; afterwards no process of them is left."""
    plan = make_plan(job, new_run_id(datetime.now(UTC)))
    places = {
        "run_id": plan.run_id,
        "run": str(Path("run").resolve()),
        "output": str(Path("parts").resolve()),
    }
    executor = ProcessExecutor(dump_job(job), {**places, "shards": plan.shards, **setup}, workers)
    requests = [{"kind": "map", "index": split.index, "split": to_plain(split)} for split in plan.splits]
    try:
        executor.start()
        yield Attempts(executor, requests)
    finally:
        processes = [worker.process.pid for worker in executor._alive.values()]
        for process in processes:
            if process and is_alive(process):
                os.kill(process, signal.SIGCONT)
        executor.close()
    assert not [process for process in processes if process and is_alive(process)]
