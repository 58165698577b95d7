"""Functions on their way to the workers: what can't go, what is too large, what the workers lack."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
import types
from pathlib import Path
from typing import Any

import pytest

from mapreduce import Job, JobResult, Records, Sum, codec, run
from mapreduce.errors import SerializationError, UserFunctionError
from mapreduce.events import Succeeded

from .attempts import attempts


def job_with(thing: Any) -> Job:
    """Its map takes `thing` along."""

    def mapper(record: str) -> Any:
        Path("ran").touch()
        yield record, len(str(thing))

    return Job("captured", Records(["a"]), mapper, Sum(), "out")


@pytest.mark.covers("U9", "a lock, a socket, a generator")
@pytest.mark.parametrize("kind", ["lock", "socket", "generator"])
def test_what_can_t_be_pickled_is_named_before_anything_runs(kind: str) -> None:
    with socket.socket() as unused:
        thing = {"lock": threading.Lock(), "socket": unused, "generator": (n for n in range(3))}[kind]
        with pytest.raises(SerializationError) as caught:
            run(job_with(thing), workers=1)
    assert f"the variable `thing` ({kind}) of map function `mapper`" in caught.value.message
    assert "Make it inside the function" in caught.value.hint
    assert not Path("ran").exists()
    assert not Path("out").exists()


@pytest.mark.covers("U10", "2 MB captured: a warning that names it")
def test_a_large_job_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "mapreduce"):
        codec.dump_job(job_with("small"))
        assert caplog.messages == []
        codec.dump_job(job_with(b"x" * 2**21))
    (message,) = caplog.messages
    assert "most of them the variable `thing` (bytes) of map function `mapper`" in message
    assert "2,0" in message


@pytest.mark.covers("U10", "1 GB captured: refused")
def test_a_huge_job_is_refused_before_anything_runs() -> None:
    with pytest.raises(SerializationError) as caught:
        run(job_with(bytes(2**30)), workers=1)
    assert "over 268,435,456 bytes" in caught.value.message
    assert "the variable `thing` (bytes) of map function `mapper`" in caught.value.message
    assert "Put large data into a file" in caught.value.hint
    assert not Path("ran").exists()
    assert not Path("out").exists()


class CountsItsLoads:
    """Says how often it was unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __setstate__(self, state: dict[str, str]) -> None:
        self.__dict__.update(state)
        with open(self.path, "a") as file:
            file.write("x")


@pytest.mark.covers("U10", "what is captured is sent once a worker, not once a task")
def test_a_job_is_sent_once_a_worker() -> None:
    loads = Path("loads").resolve()
    with attempts(job_with(CountsItsLoads(str(loads))), workers=2) as tried:
        tried.until(lambda: len(tried.ready) == 2, "both are ready")
        for _ in range(5):
            assert isinstance(tried.run(0), Succeeded)
    assert loads.read_text() == "xx"


MAIN = """
import mapreduce
from mapreduce import Job, Records, Sum, run

SCALE = 2

class Helper:
    def __call__(self, n):
        return n * SCALE

def named(record):
    def nested(n):
        return Helper()(n)
    yield "named", nested(record)

for function in (named, lambda record: [("lambda", record * SCALE)]):
    print(list(run(Job("main", Records([1, 2, 3]), function, Sum()), workers=1)))
"""


@pytest.mark.covers("U11", "__main__: a script without a guard, python -c, standard input, a cell")
@pytest.mark.parametrize("how", ["script", "-c", "-", "cell"])
def test_functions_of_main_work_however_it_was_started(how: str) -> None:
    Path("job.py").write_text(MAIN)
    cell = f"exec(compile({MAIN!r}, '<ipython-input-1>', 'exec'))"
    arguments = {"script": ["job.py"], "-c": ["-c", MAIN], "-": ["-"], "cell": ["-c", cell]}[how]
    done = subprocess.run(
        [sys.executable, *arguments], input=MAIN, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "[('named', 12)]\n[('lambda', 12)]\n", done.stderr


@pytest.mark.covers("U11", "a module that only the coordinator has: when the job is loaded")
def test_a_function_of_a_module_that_workers_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("only_here")
    exec("def mapper(record):\n    yield record, 1", module.__dict__)
    monkeypatch.setitem(sys.modules, "only_here", module)
    with pytest.raises(SerializationError, match="No module named 'only_here'") as caught:
        run(Job("lacks", Records(["a"]), module.mapper, Sum(), "out"), workers=1)
    assert os.uname().nodename in caught.value.message
    assert "PYTHONPATH" in caught.value.hint
    assert not Path("out").exists()


@pytest.mark.covers("U11", "a module that nobody has: when the function runs")
def test_a_function_that_imports_a_module_that_workers_lack() -> None:
    def mapper(record: str) -> Any:
        import nowhere_to_be_found  # type: ignore[import-not-found]

        yield record, nowhere_to_be_found

    with pytest.raises(UserFunctionError, match="No module named 'nowhere_to_be_found'") as caught:
        run(Job("lacks", Records(["a"]), mapper, Sum(), "out"), workers=1)
    assert os.uname().nodename in caught.value.hint
    assert "PYTHONPATH" in caught.value.hint
    assert str(sys.path[-1]) in caught.value.hint


CACHED = """
from functools import cache, lru_cache
from mapreduce import Job, Records, Sum

@lru_cache(maxsize=2, typed=True)
def doubled(number):
    return 2 * number

def local():
    @cache
    def tripled(number):
        return 3 * number
    return tripled

tripled = local()

def mapper(number):
    yield str(doubled.cache_parameters()), doubled(number) + tripled(number)

job = Job("cached", Records([1, 2, 3], split_size=1), mapper, Sum(), "out")
"""


def test_functions_with_a_cache_travel_with_the_job_file() -> None:
    Path("job.py").write_text(CACHED)
    words = [sys.executable, "-m", "mapreduce", "run", "job.py", "--workers", "2"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert dict(JobResult.load("out")) == {"{'maxsize': 2, 'typed': True}": 30}
