"""What a run that fails says on the command line: every cause, and how to go on."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "mapreduce"]

# Each file is a map task. The first to fail waits until the others run, so that they fail, or end, while
# the run drains.
JOB = """
import time
from pathlib import Path
from mapreduce import Job, Sum, Text

def begin(name):
    Path(f"{name}.runs").touch()
    while len(list(Path().glob("*.runs"))) < len(list(Path().glob("*.txt"))):
        time.sleep(0.005)

def pages(line, ctx):
    begin(ctx.location.uri)
    if line == "no number":
        int(line)
    if line == "no such name":
        time.sleep(0.5)
        {}[line]
    yield line, 1

def total(key, values):
    yield key, sum(values)

job = Job("pages", Text("*.txt"), pages, total, "out")
"""
INTERRUPTED = """
import threading
from pathlib import Path
from mapreduce import Job, Text

def wait(line):
    if line == "b":
        Path("waits").touch()
        threading.Event().wait()
    yield line

job = Job("waiting", Text("*.txt"), wait, output=Text("out"))
"""


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command line to its end."""
    command = [*COMMAND, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, stdin=subprocess.DEVNULL)


def write(**files: str) -> None:
    """Files of input, a line each."""
    for name, line in files.items():
        Path(f"{name}.txt").write_text(f"{line}\n")


def test_three_files_that_fail_in_two_ways_are_two_causes():
    Path("job.py").write_text(JOB)
    write(a="no number", b="no number", c="no such name", d="fine")
    failed = call("run", "job.py", "--workers", "4")
    assert failed.returncode == 1
    told = failed.stderr[failed.stderr.index("\nerror: ") :]
    assert told.count("invalid literal for int()") == 1, "that two files have one cause is told once"
    assert "\n  Also, 1 attempt failed for another reason: map `pages` (job.py:" in told
    assert "failed on c.txt, byte 0: KeyError: 'no such name'." in told
    assert (
        "\n  What was done is kept for the functions as they are: go on with `mapreduce resume out`" in told
    )

    for name in "abc":
        Path(f"{name}.txt.runs").unlink()
    again = call("run", "job.py", "--workers", "4", "--json")
    error = json.loads(again.stdout)["error"]
    assert error["kind"] == "UserFunctionError"
    assert error["category"] == "code"
    assert sum(note.startswith("Also, ") for note in error["notes"]) == 1
    assert "1 of 4 map tasks and 0 of 1 reduce task done" in again.stderr, "the file that was fine is kept"


def test_a_job_that_has_changed_is_told_what_has_changed_and_what_can_be_done():
    Path("job.py").write_text(JOB)
    write(a="no such name", b="fine")
    call("run", "job.py", "--workers", "2")
    Path("job.py").write_text(JOB.replace("sum(values)", "max(values)"))
    changed = call("run", "job.py")
    assert changed.returncode == 1
    assert changed.stderr.startswith("error: The job has changed since run ")
    assert "(1 of 2 map tasks and 0 of 1 reduce task done):\n  reduce has changed\n" in changed.stderr
    assert "--accept-new-code (in Python: accept_new_code=True), undo that, or start" in changed.stderr

    Path("job.py").write_text(JOB.replace("{}[line]", "return"))
    write(c="new")
    mended = call("resume", "out")
    assert "\n  map has changed\n  c.txt is new\n  Undo all of that to go on" in mended.stderr
    assert call("run", "job.py", "--new", "--workers", "3").returncode == 0


def test_an_input_that_is_wrong_says_what_to_do_once_it_is_mended():
    Path("job.py").write_text(JOB)
    write(a="fine")
    Path("b.txt").write_bytes(b"caf\xe9\n")
    Path("b.txt.runs").touch()
    assert call("run", "job.py", "--workers", "1").returncode == 1
    failed = call("run", "job.py", "--workers", "1")
    assert "What was done is kept for the input as it is: go on with" in failed.stderr
    assert "If you mend the input, --new starts afresh." in failed.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_ended_says_how_to_go_on_with_it(number: signal.Signals, code: int):
    Path("job.py").write_text(INTERRUPTED)
    write(a="a", b="b")
    command = [*COMMAND, "run", "job.py", "--workers", "1"]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 60
    while not Path("waits").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == code
    assert "  What was done is kept. Go on with `mapreduce resume out`" in told
    assert "has left nothing behind" not in told


def test_a_place_where_no_folder_can_be_made_is_an_error():
    Path("job.py").write_text(JOB)
    write(a="fine")
    failed = call("run", "job.py", "--work", "/proc/nowhere")
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: Can't create /proc/nowhere/")
