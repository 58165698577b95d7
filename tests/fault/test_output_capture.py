"""What functions print is kept for each attempt, and never mixes with the engine's messages."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mapreduce import Job, Records, Sum, run
from mapreduce.errors import UserFunctionError
from mapreduce.events import Failed, Printed, Succeeded
from mapreduce.executors.output import KEPT_BYTES

from .attempts import attempts


def prints() -> None:
    print("one")
    print("two", file=sys.stderr)
    os.write(1, b"three\n")


def no_newline() -> None:
    sys.stdout.write("no end")


def library_of_c() -> None:
    ctypes.CDLL(None).printf(b"from C\n")  # waits in a buffer of C's own


def a_program() -> None:
    subprocess.run(["sh", "-c", "echo out; echo err >&2"], check=True)


def not_text() -> None:
    os.write(1, b"\xff\x00\x80\n")


def a_surrogate() -> None:
    print("\ud800")


def closes_one() -> None:
    print("before")
    os.close(1)


def closes_stdout() -> None:
    print("before")
    sys.stdout.close()


def replaces_stdout() -> None:
    print("before")
    sys.stdout = None  # type: ignore[assignment]


def takes_over_one() -> None:
    print("before")
    file = os.open("mine", os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.close(file)
    os.write(1, b"into a file of my own")


def default_sigpipe() -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    print("before")


def closes_all_low_ones() -> None:
    print("before", flush=True)
    os.closerange(0, 3)


PRINTED: list[tuple[Callable[[], None], str]] = [
    (prints, "one\ntwo\nthree\n"),
    (no_newline, "no end"),
    (library_of_c, "from C\n"),
    (a_program, "out\nerr\n"),
    (not_text, "\ufffd\0\ufffd\n"),
    (a_surrogate, "\\ud800\n"),
    (closes_one, "before\n"),
    (closes_stdout, "before\n"),
    (replaces_stdout, "before\n"),
    (takes_over_one, "before\n"),
    (default_sigpipe, "before\n"),
    (closes_all_low_ones, "before\n"),
]


def doing(does: Callable[[], None]) -> Job:
    """Its first map does that, its second prints a line."""

    def mapper(record: str) -> Any:
        if record == "first":
            does()
        else:
            print("as ever")
            print("on stderr", file=sys.stderr)
        yield record, 1

    return Job("prints", Records(["first", "second"], split_size=1), mapper, Sum())


def test_no_descriptor_of_polars_is_where_functions_close_and_take_some() -> None:
    """Its threads would fail when descriptor 1, which was closed when they began, is put right again."""

    def mapper(record: str) -> Any:
        if record == "first":
            os.close(1)
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):  # that of the list itself
                if "eventpoll" in os.readlink(f"/proc/self/fd/{name}"):
                    print(name, file=sys.stderr)
        yield record, 1

    job = Job("descriptors", Records(["first", "second"], split_size=1), mapper, Sum())
    with attempts(job) as tried:
        for number in range(2):
            attempt = tried.start(number)
            assert isinstance(tried.end_of(attempt), Succeeded)
            held = [int(name) for name in tried.printed_in(attempt).split()]
            assert held, "polars holds some"
            assert min(held) >= 64


@pytest.mark.covers(
    "U16", "print, no newline, C, a program, bytes that are no text, 1 closed or taken over, SIGPIPE"
)
@pytest.mark.parametrize(("does", "text"), PRINTED, ids=[does.__name__ for does, _ in PRINTED])
def test_what_an_attempt_prints_is_told_before_its_end(does: Callable[[], None], text: str) -> None:
    with attempts(doing(does)) as tried:
        attempt = tried.start(0)
        assert isinstance(tried.end_of(attempt), Succeeded)
        assert tried.printed_in(attempt) == text
        told = [event for event in tried.events if isinstance(event, Printed | Succeeded)]
        assert [type(event) for event in told if event.attempt == attempt] == [Printed, Succeeded]
        second = tried.start(1)
        assert isinstance(tried.end_of(second), Succeeded)
        assert tried.printed_in(second) == "as ever\non stderr\n", "its streams are as they were"


@pytest.mark.covers("U16", "100 MB in lines, and 100 MB without one")
@pytest.mark.parametrize("piece", [b"x" * 99 + b"\n", b"\0\xff" * 50], ids=["lines", "binary"])
def test_of_much_output_the_beginning_and_the_end_are_kept(piece: bytes) -> None:
    size = 100 * 2**20

    def flood() -> None:
        print("the beginning", flush=True)
        many = piece * 10_000
        for _ in range(size // len(many)):
            left = memoryview(many)
            while left:
                left = left[os.write(1, left) :]
        print("the end")

    with attempts(doing(flood)) as tried:
        attempt = tried.start(0)
        assert isinstance(tried.end_of(attempt), Succeeded)
        text = tried.printed_in(attempt)
        assert text.startswith("the beginning\n")
        assert text.endswith("the end\n")
        written = size // (len(piece) * 10_000) * len(piece) * 10_000 + len("the beginning\nthe end\n")
        assert f"\n… {written - 2 * KEPT_BYTES:,} bytes left out …\n" in text
        assert len(text) < 3 * KEPT_BYTES


def test_nothing_is_told_of_an_attempt_that_prints_nothing() -> None:
    with attempts(doing(lambda: None)) as tried:
        attempt = tried.start(0)
        assert isinstance(tried.end_of(attempt), Succeeded)
        assert not [event for event in tried.events if isinstance(event, Printed)]


def test_an_error_brings_along_what_its_attempt_printed() -> None:
    def fails() -> None:
        print("half way")
        raise ValueError

    with attempts(doing(fails)) as tried:
        event = tried.run(0)
        assert isinstance(event, Failed)
        assert isinstance(event.error, UserFunctionError)
        assert event.error.output.startswith("half way\n")


def test_what_is_printed_when_a_job_is_loaded_belongs_to_no_attempt() -> None:
    job = doing(prints)
    with attempts(Job("loud", job.source, job.map, Sum(), side={"loud": Loud()})) as tried:
        attempt = tried.start(1)
        assert isinstance(tried.end_of(attempt), Succeeded)
        assert tried.printed_in(attempt) == "as ever\non stderr\n"


class Loud:
    """Prints when it is unpickled."""

    def __reduce__(self) -> Any:
        return print, ("loaded",)


@pytest.mark.covers("U16", "print and write to 1: in a run")
def test_what_functions_print_does_not_mix_with_results(capfd: pytest.CaptureFixture[str]) -> None:
    def mapper(line: str) -> Any:
        prints()
        yield line, 1

    assert list(run(Job("chatty", Records(["a"]), mapper, Sum()), workers=1)) == [("a", 1)]
    told = capfd.readouterr()
    assert told.out == ""


def test_a_worker_that_prints_without_end_holds_nobody_up() -> None:
    def endless() -> None:
        Path("begun").touch()
        while True:
            os.write(1, b"x" * 2**16)

    with attempts(doing(endless), workers=2) as tried:
        stuck = tried.start(0)
        tried.until(lambda: Path("begun").exists(), "it prints")
        for _ in range(5):
            assert isinstance(tried.run(1), Succeeded)
        tried.executor.stop(stuck, None)
