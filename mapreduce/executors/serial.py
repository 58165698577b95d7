"""Attempts in this process, one after another: for debugging, and the tests' oracle."""

from __future__ import annotations

from typing import Any

from mapreduce.codec import pack, unpack
from mapreduce.errors import MapReduceError
from mapreduce.events import Event, Failed, Printed, Reported, Succeeded, WorkerReady
from mapreduce.job import Job
from mapreduce.model import Attempt


class SerialExecutor:
    """One worker, which is the caller. An attempt runs inside `poll`."""

    workers = 1
    queues = False

    def __init__(self, job: Job, setup: dict[str, Any]) -> None:
        self._job, self._setup = job, setup
        self._waiting: list[tuple[Attempt, dict[str, Any]]] = []
        self._events: list[Event | Printed | Reported] = []

    def start(self) -> None:
        from mapreduce.worker import Workbench

        self._bench = Workbench(self._job, self._setup)
        self._events.append(WorkerReady(0))

    def submit(self, attempt: Attempt, request: dict[str, Any]) -> None:
        self._waiting.append((attempt, unpack(pack(request))))  # as any worker gets it

    def poll(self, timeout: float) -> list[Event | Printed | Reported]:
        if self._waiting:
            self._run(*self._waiting.pop())
        events, self._events = self._events, []
        return events

    def _run(self, attempt: Attempt, request: dict[str, Any]) -> None:
        def report(size: int, records: int, pairs: int) -> None:
            self._events.append(Reported(attempt, size, records, pairs))

        try:
            ended: Event = Succeeded(attempt, self._bench.run(request, report))
        except MapReduceError as error:
            ended = Failed(attempt, error)
        self._events += [ended, WorkerReady(attempt.worker)]

    def stop(self, attempt: Attempt, error: MapReduceError | None) -> None:
        """Does nothing: whoever calls this is not inside of an attempt."""

    def memory(self) -> dict[int, int]:
        return {}

    def close(self) -> None:
        self._waiting.clear()
