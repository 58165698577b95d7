"""What only a process of its own shows: signals, pipes, what is imported, workers that import nothing."""

import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "mapreduce"]

HELPER = "def upper(word):\n    return word.upper()\n"
JOB = """
from dataclasses import dataclass
from beside_the_job import upper
from mapreduce import Job, Records, Sum

@dataclass
class One:
    n: int = 1

def words(line):
    yield upper(line), One().n

job = Job("words", Records(["a", "b", "a"]), words, Sum(), "out")
"""
WAITING = """
import threading
from mapreduce import Job, Records

def wait(record):
    open("waits", "w").close()
    threading.Event().wait()

job = Job("waiting", Records([1]), wait, output="out")
"""


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command line to its end."""
    command = [*COMMAND, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, stdin=subprocess.DEVNULL)


def test_workers_get_functions_and_classes_by_value_and_find_modules_beside_the_file(own_folder: Path):
    (own_folder / "jobs").mkdir()
    (own_folder / "jobs" / "beside_the_job.py").write_text(HELPER)
    (own_folder / "jobs" / "job.py").write_text(JOB)
    done = call("run", "jobs/job.py", "--workers", "2", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(call("show", "out", "--json").stdout)["rows"]
    assert rows == [{"key": "A", "value": 2}, {"key": "B", "value": 1}]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_ended_says_so_and_leaves_nothing(own_folder: Path, number, code):
    (own_folder / "job.py").write_text(WAITING)
    command = [*COMMAND, "run", "job.py", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 30
        while not (own_folder / "waits").exists():
            assert time.monotonic() < deadline, "the map does not begin"
            time.sleep(0.01)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert json.loads(out)["error"]["kind"] == "Interrupted"
    assert "has left nothing behind" in err
    assert "Traceback" not in err
    assert sorted(os.listdir(own_folder)) == ["job.py", "waits"]


def test_a_reader_that_goes_away_is_no_error(own_folder: Path):
    (own_folder / "job.py").write_text(
        "from mapreduce import Job, Records\n"
        "job = Job('many', Records(range(20_000)), lambda n: [(f'key {n}', n)], output='out')\n"
    )
    assert call("run", "job.py", "--on", "serial").returncode == 0
    command = [*COMMAND, "show", "out", "--limit", "20000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (141, "")


def test_nothing_heavy_is_imported_before_it_is_needed():
    heavy = "{'polars', 'rich', 'fsspec', 'cloudpickle', 'multiprocessing'}"
    code = f"import sys, mapreduce.cli; sys.exit(str({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == "set()\n"


@pytest.mark.parametrize("columns", [80, 160])
def test_on_a_terminal_progress_is_drawn_and_erased(own_folder: Path, columns):
    """The map runs until progress has been seen: it reads a pipe that the test writes to then."""
    (own_folder / "job.py").write_text(
        "from mapreduce import Count, Job, Records\n\n"
        "def wait(record):\n"
        "    yield open('go').read(), record\n\n"
        "job = Job('seen', Records([1]), wait, Count(), 'out')\n"
    )
    os.mkfifo("go")
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, columns))
    environment = {**os.environ, "TERM": "xterm", "PYTHONIOENCODING": "utf-8"}
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        environment.pop(name, None)
    command = [*COMMAND, "run", "job.py"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=slave, env=environment) as process:
        os.close(slave)
        drawn = _read(master, until="reduce")
        (own_folder / "go").write_text("")
        drawn += _read(master)
        out = process.stdout.read().decode()
    assert process.returncode == 0
    assert out.startswith("seen succeeded in ")
    first = drawn.replace("\r", "").split("\n")[0]
    assert "map" in first
    assert "0/1" in first
    assert len(first.split("map", 1)[1]) > columns // 5
    assert drawn.endswith("\x1b[1A\x1b[2K" * 3)
    assert "\x1b[?25h" in drawn


def _read(terminal: int, until: str | None = None) -> str:
    """What is written to a terminal, up to a word or to its end."""
    seen = b""
    while until is None or until not in seen.decode("utf-8", "replace"):
        try:
            data = os.read(terminal, 4096)
        except OSError:  # Linux's way to say that the other side is closed
            break
        if not data:
            break
        seen += data
    return seen.decode("utf-8", "replace")
