"""Attempts that are stopped, whatever they do: the stack is told, nothing of them is left, others go on."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mapreduce import Job, Records, Sum
from mapreduce.errors import AttemptTimeout
from mapreduce.events import Failed, Succeeded

from .attempts import Attempts, attempts, is_alive, wait_for


def endless_loop() -> None:
    Path("begun").touch()
    while True:
        pass


def loop_in_c() -> None:
    Path("begun").touch()
    ctypes.PyDLL(None).sleep(600)  # holds the interpreter lock


def catastrophic_expression() -> None:
    Path("begun").touch()
    re.match(r"(a+)+$", "a" * 60 + "b")  # holds the lock too


def blocked_accept() -> None:
    Path("begun").touch()
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.accept()


def blocked_lock() -> None:
    Path("begun").touch()
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def ignoring_signals() -> None:
    Path("begun").touch()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    while True:
        time.sleep(600)


def stopping_itself() -> None:
    Path("begun").touch()
    os.kill(os.getpid(), signal.SIGSTOP)


STUCK = [endless_loop, loop_in_c, catastrophic_expression, blocked_accept, blocked_lock, ignoring_signals]


def job_that(does: Callable[[], None]) -> Job:
    """Its map does that on the record "bad"; what is done says first that it has begun."""

    def mapper(record: str) -> Any:
        if record == "bad":
            print("about to begin")
            does()
        yield record, 1

    return Job("stuck", Records(["bad", "good"], split_size=1), mapper, Sum())


def stopped(tried: Attempts, *, careful: bool = False) -> tuple[AttemptTimeout, int, float]:
    """Stop the map of "bad" when it has begun: the error as it came out, the process, and seconds."""
    attempt = tried.start(0, careful=careful)
    tried.until(lambda: Path("begun").exists(), "the function has begun")
    process = tried.process_of(attempt.worker)
    begin = time.monotonic()
    tried.executor.stop(attempt, AttemptTimeout("Too long.", place="time-out"))
    seconds = time.monotonic() - begin
    event = tried.end_of(attempt)
    assert isinstance(event, Failed)
    assert isinstance(event.error, AttemptTimeout)
    return event.error, process, seconds


@pytest.mark.parametrize("does", STUCK, ids=lambda does: does.__name__)
def test_an_attempt_that_does_not_end_is_stopped_and_its_stack_is_told(does: Callable[[], None]) -> None:
    with attempts(job_that(does)) as tried:
        error, process, seconds = stopped(tried)
        assert f"in {does.__name__}" in error.details
        assert "in mapper" in error.details
        assert "mapreduce/worker.py" not in error.details
        assert "worker.py" in error.trace
        assert error.output == "about to begin\n"
        assert error.message == "Too long."
        assert not is_alive(process)
        assert seconds < 5
        assert isinstance(tried.run(1), Succeeded), "a new worker has taken its place"


def test_a_worker_that_was_stopped_by_a_signal_is_stopped_for_good() -> None:
    with attempts(job_that(stopping_itself)) as tried:
        error, process, _ = stopped(tried)
        assert not is_alive(process)
        assert "in mapper" in error.details
        assert isinstance(tried.run(1), Succeeded)


def test_a_careful_attempt_that_is_stopped_names_its_record() -> None:
    with attempts(job_that(endless_loop)) as tried:
        error, _, _ = stopped(tried, careful=True)
        assert error.message == "Too long, on Records, item 0.\n  record: 'bad'"
        assert error.place == "time-out:Records, item 0"


def test_nobody_is_told_of_an_attempt_that_is_stopped_without_an_error() -> None:
    with attempts(job_that(endless_loop)) as tried:
        attempt = tried.start(0)
        tried.until(lambda: Path("begun").exists(), "the function has begun")
        tried.executor.stop(attempt, None)
        tried.executor.stop(attempt, AttemptTimeout("It has ended."))
        assert isinstance(tried.run(1), Succeeded)
        assert [event for event in tried.events if getattr(event, "attempt", None) == attempt] == []


def test_an_attempt_that_has_ended_can_t_be_stopped() -> None:
    with attempts(job_that(endless_loop)) as tried:
        attempt = tried.start(1)
        assert isinstance(tried.end_of(attempt), Succeeded)
        tried.executor.stop(attempt, AttemptTimeout("Too late."))
        process = tried.process_of(attempt.worker)
        assert isinstance(tried.run(1), Succeeded)
        assert tried.process_of(attempt.worker) == process, "its worker was left alone"


def test_stopping_ends_what_the_function_has_started_too() -> None:
    def start_and_wait() -> None:
        child = subprocess.Popen(["sleep", "600"])
        strayed = subprocess.Popen(["sleep", "600"], start_new_session=True)
        Path("started").write_text(f"{child.pid} {strayed.pid}")
        child.wait()

    with attempts(job_that(start_and_wait)) as tried:
        attempt = tried.start(0)
        started = [int(pid) for pid in tried.until(_started, "two processes are started").split()]
        assert all(map(is_alive, started))
        tried.executor.stop(attempt, None)
        wait_for(lambda: not any(map(is_alive, started)), "both have ended")


def _started() -> str:
    text = Path("started").read_text() if Path("started").exists() else ""
    return text if " " in text else ""


def test_the_memory_of_running_attempts_is_told() -> None:
    held = bytearray()

    def hold() -> None:
        held.extend(bytes(100 * 2**20))
        Path("held").touch()
        endless_loop()

    with attempts(job_that(hold), workers=2) as tried:
        tried.until(lambda: len(tried.ready) == 2, "both are ready")
        assert tried.executor.memory() == {}, "no attempt runs"
        attempt = tried.start(0)
        tried.until(lambda: Path("held").exists(), "the function holds much")
        held_now = tried.executor.memory()
        assert list(held_now) == [attempt.worker]
        assert 100 * 2**20 < held_now[attempt.worker] < 2**30
