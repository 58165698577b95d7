"""Attempts in processes of this host: a pipe and a sentinel each, one attempt at a time.

Processes come from a forkserver that has imported polars and never used it. The job file is not
imported by them: functions arrive pickled by value.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection, get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import ModuleType
from typing import Any

from mapreduce import codec
from mapreduce.errors import MapReduceError, WorkerCrash, from_plain
from mapreduce.events import Event, Failed, Reported, Succeeded, WorkerGone, WorkerReady
from mapreduce.executors import child, warm_up
from mapreduce.model import Attempt, Result
from mapreduce.store import layout

_CRASH_LOG_BYTES = 4000


@dataclass
class _Worker:
    number: int
    process: ForkServerProcess
    pipe: connection.Connection
    crash_log: Path
    attempt: Attempt | None = None
    ready: bool = False


class ProcessExecutor:
    """`workers` processes; one that ends is replaced."""

    def __init__(self, payload: bytes, setup: dict[str, Any], workers: int) -> None:
        self.workers = workers
        self._hello = codec.pack({**setup, "job": payload, "environment": dict(os.environ)})
        self._context = get_context("forkserver")
        self._alive: dict[int, _Worker] = {}
        self._numbers = iter(range(sys.maxsize))
        self._events: list[Event | Reported] = []
        self._failed_starts = 0
        self._logs = Path(setup["run"]) / layout.CRASHES

    def start(self) -> None:
        self._logs.mkdir(parents=True, exist_ok=True)
        warm_up()
        for _ in range(self.workers):
            self._add_worker()

    def _add_worker(self) -> None:
        number = next(self._numbers)
        here, there = self._context.Pipe()
        log = self._logs / str(number)
        process = self._context.Process(
            target=child.main, args=(there, str(log)), name=f"mapreduce-worker-{number}", daemon=True
        )
        with _without_main():
            process.start()
        there.close()
        worker = _Worker(number, process, here, log)
        self._alive[number] = worker
        self._tell(worker, self._hello)

    def submit(self, attempt: Attempt, request: dict[str, Any]) -> None:
        worker = self._alive.get(attempt.worker)
        if worker is None:  # it ended after it was idle; its end has been, or will be, told
            return
        worker.attempt = attempt
        self._tell(worker, codec.pack(request))

    def _tell(self, worker: _Worker, message: bytes) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # the sentinel tells of its end
            worker.pipe.send_bytes(message)

    def poll(self, timeout: float) -> list[Event | Reported]:
        waiting: dict[Any, _Worker] = {}
        for worker in self._alive.values():
            waiting[worker.pipe] = waiting[worker.process.sentinel] = worker
        for item in connection.wait(list(waiting), 0 if self._events else timeout):
            worker = waiting[item]
            if worker.number in self._alive:
                self._hear(worker)
                if item is not worker.pipe:
                    self._ended(worker)
        events, self._events = self._events, []
        return events

    def _hear(self, worker: _Worker) -> None:
        try:
            while worker.pipe.poll():
                self._take(worker, codec.unpack(worker.pipe.recv_bytes()))
        except (EOFError, OSError):  # OSError: it ended in the middle of a message
            self._ended(worker)

    def _take(self, worker: _Worker, message: list[Any]) -> None:
        kind, *content = message
        if kind == "report" and worker.attempt:
            self._events.append(Reported(worker.attempt, *content))
        elif kind == "broken":
            raise from_plain(content[0])
        elif kind == "ready":
            worker.ready = True
            self._failed_starts = 0
            self._events.append(WorkerReady(worker.number))
        elif worker.attempt:
            attempt, worker.attempt = worker.attempt, None
            if kind == "done":
                self._events.append(Succeeded(attempt, codec.from_plain(Result, content[0])))
            else:
                self._events.append(Failed(attempt, from_plain(content[0])))
            self._events.append(WorkerReady(worker.number))

    def _ended(self, worker: _Worker) -> None:
        if self._alive.pop(worker.number, None) is None:
            return
        worker.process.join(1)  # it has closed its pipe, so it is about to end
        worker.process.kill()
        worker.process.join()
        error = _crash(worker)
        worker.pipe.close()
        self._events.append(WorkerGone(worker.number, error))
        self._failed_starts += not worker.ready
        if self._failed_starts > 2 * self.workers:
            raise error
        self._add_worker()

    def close(self) -> None:
        workers, self._alive = list(self._alive.values()), {}
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            worker.process.join()
            worker.pipe.close()


@contextmanager
def _without_main() -> Iterator[None]:
    """Start a process that does not import the caller's `__main__`.

    multiprocessing sends its path along; with an empty module in its place there is none.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _crash(worker: _Worker) -> MapReduceError:
    """The error that says how a worker ended, with the Python stack if it left one."""
    code = worker.process.exitcode
    if code is not None and code < 0:
        how = f"was ended by {_signal_name(-code)}"
    else:
        how = f"ended with exit code {code} and without a result"
    details = ""
    with suppress(OSError):
        details = worker.crash_log.read_bytes()[:_CRASH_LOG_BYTES].decode("utf-8", "replace")
    doing = f" while it ran {worker.attempt}" if worker.attempt else ""
    return WorkerCrash(
        f"Worker process {worker.process.pid} {how}{doing}.",
        hint=_crash_hint(code),
        details=_user_stack(details),
        place=f"crash:{code}",
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _crash_hint(code: int | None) -> str:
    if code == -signal.SIGKILL:
        return "Somebody killed it, or the machine ran out of memory (see dmesg): try fewer --workers."
    if code is not None and code >= 0:
        return "A function of the job may call os._exit."
    return "A function of the job, or a C library that it uses, crashed."


def _user_stack(text: str) -> str:
    """A faulthandler trace without the engine's own frames."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    lines = [line for line in text.splitlines() if package not in line and "multiprocessing" not in line]
    return "\n".join(line for line in lines if "Extension modules" not in line)
