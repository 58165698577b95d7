"""Attempts in processes of this host: a pipe and a sentinel each, one attempt at a time.

Processes come from a forkserver that has imported polars and never used it. The job file is not
imported by them: functions arrive pickled by value. What they print comes through a pipe of its own.
"""

from __future__ import annotations

import ctypes
import logging
import os
import selectors
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import ModuleType
from typing import Any

from mapreduce import codec
from mapreduce.errors import MapReduceError, NoWorkers, WorkerKilled, from_plain
from mapreduce.events import Event, Failed, Printed, Reported, Succeeded, WorkerGone, WorkerReady
from mapreduce.executors import child, descendants, output, warm_up
from mapreduce.executors.channel import Channel
from mapreduce.executors.endings import Ending, on_record, user_stack
from mapreduce.executors.memory import OutOfMemoryKills
from mapreduce.executors.slots import Share
from mapreduce.host import resident
from mapreduce.lastrecord import Noted, last_record
from mapreduce.model import Attempt, Result
from mapreduce.parameters import params
from mapreduce.store import layout

_LOG = logging.getLogger("mapreduce")
_LOG_BYTES = 64_000
_STACK_PATIENCE = 0.5
"""Seconds for a worker to write its stack: it only writes, whatever it does otherwise."""
_STACK_QUIET = 0.03
_START_WAITS = (0.02, 0.1)
"""Seconds."""
_UNKNOWN_CODE = 255
"""What multiprocessing tells when the forkserver did not."""
_SERVER_PATIENCE = 0.05
_END_PATIENCE = 5.0
"""Seconds for a killed process to end; one that waits for a dead disk may take longer, and is left alone."""
SECRETS = frozenset({"MAPREDUCE_KEY"})
"""Of the environment, what functions must not see."""
_MAIN = threading.Lock()
"""Held by who has put another module in the place of `__main__`."""


@dataclass(eq=False)
class _Worker:
    number: int
    process: ForkServerProcess
    channel: Channel
    printed: output.Printed
    log: Path
    last_record: Path
    server: int | None
    """Process id of the forkserver that it came from."""
    attempt: Attempt | None = None
    nonce: str = ""
    ready: bool = False

    @property
    def token(self) -> str:
        """What its answers must bear: no other attempt has it."""
        return f"{self.attempt}, {self.nonce}"


class ProcessExecutor:
    """`workers` processes; one that ends is replaced. With a `share` they are as many as it gets, at most
    `workers`, and as tasks wait for.

    `payload` is the job, pickled; or by import path, if `setup` says under `deployed` what it must mean: its
    functions and settings, and the folder that modules are looked for in first. Else `setup` is the
    workbench's; with `fresh_process` in it every attempt gets a process of its own.
    """

    queues = False

    def __init__(
        self, payload: bytes, setup: dict[str, Any], workers: int, share: Share | None = None
    ) -> None:
        self.workers = workers
        self._share = share
        self._held = 0
        """Slots that it has of its share."""
        self._waiting = workers
        environment = {name: value for name, value in os.environ.items() if name not in SECRETS}
        hello = {**setup, "job": payload, "environment": environment, "params": dict(params)}
        self._hello = codec.pack(hello)
        self._context = get_context("forkserver")
        self._alive: dict[int, _Worker] = {}
        self._numbers = iter(range(sys.maxsize))
        self._events: list[Event | Printed | Reported] = []
        self._failed_starts = 0
        self._run = Path(setup["run"])
        self._selector = selectors.DefaultSelector()
        self._kills = OutOfMemoryKills()

    def start(self) -> None:
        (self._run / layout.CRASHES).mkdir(parents=True, exist_ok=True)
        warm_up()
        if self._share is None:
            for _ in range(self.workers):
                self._add_worker()
        else:
            self._take_share(self._share)

    def expect(self, waiting: int) -> None:
        """So many tasks have no worker."""
        self._waiting = waiting

    def _take_share(self, share: Share) -> None:
        """Begin workers for tasks that wait, and end those that are idle if another job wants them."""
        idle = [worker for worker in self._alive.values() if worker.ready and worker.attempt is None]
        coming = sum(not worker.ready for worker in self._alive.values())
        most = self.workers - len(self._alive)
        taken = share.take(max(0, min(most, self._waiting - len(idle) - coming)))
        self._held += taken
        for _ in range(taken):
            self._add_worker()
        for worker in idle[min(self._waiting, len(idle)) :]:
            if share.is_wanted():
                self._end(worker)
                worker.printed.close()
                self._held -= 1
                share.give()
                self._events.append(WorkerGone(worker.number, _lent(worker), begun=False))

    def submit(self, attempt: Attempt, request: dict[str, Any]) -> None:
        worker = self._alive.get(attempt.worker)
        if worker is None:  # it ended after it was idle; its end has been, or will be, told
            return
        worker.printed.take()  # between attempts nobody prints but what an attempt has left running
        worker.attempt, worker.nonce = attempt, request["nonce"]
        self._tell(worker, codec.pack([worker.token, request]))

    def poll(self, timeout: float) -> list[Event | Printed | Reported]:
        if self._share is not None:
            self._take_share(self._share)
            if not self._alive and not self._events:
                self._share.wait(timeout)
                return []
        for key, mask in self._selector.select(0 if self._events else timeout):
            worker, heard = key.data
            if mask & selectors.EVENT_WRITE and worker.number in self._alive:
                self._flush(worker)
            if mask & selectors.EVENT_READ and worker.number in self._alive:
                heard(worker)
        self._kills.look()
        events, self._events = self._events, []
        return events

    def memory(self) -> dict[int, int]:
        held = {
            worker.number: resident(worker.process.pid)
            for worker in self._alive.values()
            if worker.attempt and worker.process.pid
        }
        return {number: size for number, size in held.items() if size is not None}

    def stop(self, attempt: Attempt, error: MapReduceError | None) -> None:
        worker = self._alive.get(attempt.worker)
        if worker is None or worker.attempt != attempt:
            return
        noted = last_record(worker.last_record)  # the signal for the stack may wake the function
        stack = _stack_of(worker) if error else ""
        self._end(worker)
        if error:
            error.trace, error.details = stack, user_stack(stack)
            if noted.where:
                error.message = error.message.removesuffix(".") + on_record(noted.where, noted.record)
                error.place = f"{error.place}:{noted.where}"
            error.records = noted.records
            self._failed(attempt, error, worker.printed.take())
        worker.printed.close()
        self._add_worker()

    def close(self) -> None:
        workers, self._alive = list(self._alive.values()), {}
        for worker in workers:
            if worker.process.pid:
                descendants.end_group(worker.process.pid)
        for worker in workers:
            worker.process.join(_END_PATIENCE)
            worker.channel.close()
            worker.printed.close()
        self._selector.close()
        if self._share is not None:
            self._share.give(self._held)
            self._share.leave()
            self._held = 0

    # ------------------------------------------------------------ workers come

    def _add_worker(self) -> None:
        number = next(self._numbers)
        log = self._run / layout.CRASHES / str(number)
        last = log.with_name(f"{number}.record")
        here, there = self._context.Pipe()
        reading, writing = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=child.main,
            args=(there, writing, str(log), str(last)),
            name=f"mapreduce-worker-{number}",
            daemon=True,
        )
        try:
            with _without_main():
                _start(process)
        except (OSError, EOFError) as error:
            for pipe in (here, reading):
                pipe.close()
            raise _no_workers(f"A worker process can't be started: {error}.", "") from error
        finally:
            there.close()
            writing.close()
        server = vars(forkserver._forkserver)["_forkserver_pid"]
        worker = _Worker(number, process, Channel(here), output.Printed(reading), log, last, server)
        self._alive[number] = worker
        self._listen(worker.channel.fileno(), worker, self._hear)
        self._listen(worker.printed.fileno(), worker, self._read_output)
        self._listen(process.sentinel, worker, self._hear_the_end)
        self._tell(worker, self._hello)

    def _listen(self, descriptor: int, worker: _Worker, heard: Callable[[_Worker], None]) -> None:
        self._selector.register(descriptor, selectors.EVENT_READ, (worker, heard))

    # ------------------------------------------------------------ what they are told and tell

    def _tell(self, worker: _Worker, message: bytes) -> None:
        worker.channel.send(message)
        self._flush(worker)

    def _flush(self, worker: _Worker) -> None:
        key = self._selector.get_key(worker.channel.fileno())
        wanted = (
            selectors.EVENT_READ if worker.channel.flush() else selectors.EVENT_READ | selectors.EVENT_WRITE
        )
        if key.events != wanted:
            self._selector.modify(key.fd, wanted, key.data)

    def _read_output(self, worker: _Worker) -> None:
        if not worker.printed.read():
            self._selector.unregister(worker.printed.fileno())

    def _hear(self, worker: _Worker) -> None:
        try:
            for message in worker.channel.receive():
                self._take(worker, message)
                if worker.number not in self._alive:
                    return
        except (EOFError, OSError):  # OSError: it ended before it had read all
            self._ended(worker)
        except (ValueError, TypeError) as error:
            _LOG.warning("Worker process %s wrote what is no message: %s", worker.process.pid, error)
            self._ended(worker)

    def _hear_the_end(self, worker: _Worker) -> None:
        self._hear(worker)  # what it said before
        if worker.number in self._alive:
            self._ended(worker)

    def _take(self, worker: _Worker, message: Any) -> None:
        kind, *content = message
        if kind == "broken":
            error = from_plain(content[0])
            error.output = worker.printed.take()
            raise error
        if kind == "ready":
            worker.ready = True
            self._failed_starts = 0
            self._events.append(WorkerReady(worker.number))
        elif worker.attempt is None or content[0] != worker.token:
            _LOG.warning("Refused a %s that does not belong to %s", kind, worker.attempt)
        elif kind == "report":
            self._events.append(Reported(worker.attempt, *content[1:]))
        else:
            self._answered(worker, kind, content[1], leaving=content[2])

    def _answered(self, worker: _Worker, kind: str, content: Any, *, leaving: bool) -> None:
        attempt, worker.attempt = worker.attempt, None
        if attempt is None:
            return
        text = worker.printed.take()
        if kind == "done":
            self._add_printed(attempt, text)
            self._events.append(Succeeded(attempt, codec.from_plain(Result, content)))
        else:
            self._failed(attempt, from_plain(content), text)
        if leaving:
            self._end(worker)
            worker.printed.close()
            self._add_worker()
        else:
            self._events.append(WorkerReady(worker.number))

    def _failed(self, attempt: Attempt, error: MapReduceError, text: str) -> None:
        error.output = text
        self._add_printed(attempt, text)
        self._events.append(Failed(attempt, error))

    def _add_printed(self, attempt: Attempt, text: str) -> None:
        if text:
            self._events.append(Printed(attempt, text))

    # ------------------------------------------------------------ workers go

    def _end(self, worker: _Worker) -> None:
        """End a worker and all that it has started; what it printed can still be taken."""
        del self._alive[worker.number]
        for descriptor in (worker.channel.fileno(), worker.printed.fileno(), worker.process.sentinel):
            with suppress(KeyError):
                self._selector.unregister(descriptor)
        if worker.process.pid:
            descendants.end_group(worker.process.pid)
        worker.process.join(_END_PATIENCE)
        worker.channel.close()
        if worker.attempt:
            shutil.rmtree(self._run / layout.scratch_name(worker.nonce), ignore_errors=True)

    def _ended(self, worker: _Worker) -> None:
        worker.process.join(1)  # it has closed its pipe, so as a rule it is about to end
        cut_off = worker.process.exitcode is None
        self._end(worker)
        error = replace(self._ending(worker), cut_off=cut_off).error()
        worker.printed.close()
        if worker.attempt:
            self._add_printed(worker.attempt, error.output)
        self._events.append(WorkerGone(worker.number, error))
        self._failed_starts += not worker.ready
        if self._failed_starts > 2 * self.workers:
            raise _no_workers(f"{error.message} So did {2 * self.workers} before it.", error.output)
        self._add_worker()

    def _ending(self, worker: _Worker) -> Ending:
        return Ending(
            process=worker.process.pid,
            code=_exit_code(worker),
            attempt=str(worker.attempt) if worker.attempt else "",
            noted=last_record(worker.last_record) if worker.attempt else Noted(),
            stack=_log_of(worker),
            output=worker.printed.take(),
            out_of_memory=self._kills.happened(),
        )


def _lent(worker: _Worker) -> MapReduceError:
    return WorkerKilled(f"Worker process {worker.process.pid} was idle, and another job wanted its place.")


def _no_workers(message: str, text: str) -> NoWorkers:
    printed = "\n".join(text.strip().splitlines()[-10:])
    return NoWorkers(
        message + (f"\n  it printed: {printed}" if printed else ""),
        hint="Look at the limits of processes, memory and open files (ulimit -a), and run it again: "
        "what was done is kept.",
        output=text,
        place="no workers",
    )


@contextmanager
def _without_main() -> Iterator[None]:
    """Start a process that does not import the caller's `__main__`.

    multiprocessing sends its path along; with an empty module in its place there is none. One thread
    at a time: another would take that for the caller's.
    """
    with _MAIN:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def _start(process: ForkServerProcess) -> None:
    """Start a process; once more if the forkserver has just been killed, which is noticed by starting it."""
    for wait in _START_WAITS:
        try:
            return process.start()
        except (OSError, EOFError):
            time.sleep(wait)
    return process.start()


def _exit_code(worker: _Worker) -> int | None:
    """Of a worker whose forkserver has ended nobody tells it: the kernel killed it then."""
    code = worker.process.exitcode
    if code != _UNKNOWN_CODE:
        return code
    time.sleep(_SERVER_PATIENCE)  # an ending process closes its pipes first
    return -signal.SIGKILL if _has_ended(worker.server) else code


def _has_ended(process: int | None) -> bool:
    """Whether a child of this process has."""
    if process is None:
        return False
    try:
        return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


# ---------------------------------------------------------------- stacks


def _log_of(worker: _Worker, start: int = 0) -> str:
    with suppress(OSError), open(worker.log, "rb") as log:
        log.seek(start)
        return log.read(_LOG_BYTES).decode("utf-8", "replace")
    return ""


def _stack_of(worker: _Worker) -> str:
    """The stacks of all threads of a worker, as its signal handler writes them.

    The handler runs at once, also in a loop of C and in a system call that waits; and in a process that
    was stopped as soon as it is continued.
    """
    start = before = _size(worker.log)
    _ask_main_thread(worker, signal.SIGQUIT)
    deadline = time.monotonic() + _STACK_PATIENCE
    while time.monotonic() < deadline:
        if before == start:
            _signal(worker, signal.SIGCONT)  # it may stop itself only now
        time.sleep(_STACK_QUIET)
        if start < before == _size(worker.log):
            break
        before = _size(worker.log)
    return _log_of(worker, start)


def _ask_main_thread(worker: _Worker, number: signal.Signals) -> None:
    """Another thread of the process might take the signal when the function has gone on already."""
    try:
        ask = ctypes.CDLL(None, use_errno=True).tgkill
    except AttributeError:  # not of this system's C library
        _signal(worker, number)
    else:
        if worker.process.pid:
            ask(worker.process.pid, worker.process.pid, number)


def _signal(worker: _Worker, number: signal.Signals) -> None:
    with suppress(OSError):
        if worker.process.pid:
            os.kill(worker.process.pid, number)


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0
