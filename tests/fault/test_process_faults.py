"""Real processes, really killed: workers, and the coordinator at any moment."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mapreduce import Job, Sum, Text, run
from mapreduce.manifest import verify
from mapreduce.testing import run_sequential

GRACE = 5.0
"""Seconds within which everything must have ended."""

# The job reports its workers, and waits in its map for the file `go`, so that a test can act
# at a known moment.
# Signals have their default meaning in it, also where the tests run under nohup.
SCRIPT = """
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
from mapreduce import Job, JsonLines, Sum, Text, run

def words(line, ctx):
    here = f"started-{os.getpid()}"
    if not os.path.exists(here):
        open(here, "w").close()
    while not os.path.exists("go"):
        time.sleep(0.005)
    for word in line.split():
        yield word, 1

def total(key, values):
    yield key, sum(values)

job = Job("killed", Text("in.log", split_size=3000, block_size=1000), words, total, "out", shards=3)
run(job, workers=2)
"""


@pytest.fixture
def lines(tmp_path: Path) -> list[str]:
    rng = random.Random(7)
    found = [" ".join(f"w{rng.randrange(500)}" for _ in range(8)) for _ in range(400)]
    (tmp_path / "in.log").write_text("".join(line + "\n" for line in found))
    (tmp_path / "job.py").write_text(textwrap.dedent(SCRIPT))
    return found


def wait_for(condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    """Poll until something holds; the deadline is for a broken engine only."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.005)


def processes_of_session(session: int) -> list[int]:
    """Live processes of a session: every worker leads a group of its own in it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, _, found_in = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(found_in) == session and state != "Z":
                found.append(int(entry.name))
    return found


@contextmanager
def coordinator() -> Iterator[subprocess.Popen[bytes]]:
    """The job's process, leader of a session of its own that all its workers share."""
    process = subprocess.Popen([sys.executable, "job.py"], start_new_session=True, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        for pid in processes_of_session(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.communicate()


def workers() -> list[int]:
    return [int(path.name.removeprefix("started-")) for path in Path().glob("started-*")]


def expected(lines: list[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for line in lines:
        for word in line.split():
            counts[word] = counts.get(word, 0) + 1
    return counts


def assert_right(lines: list[str]) -> None:
    """The output is complete, as its manifest says, and nothing else lies about."""
    from mapreduce import JobResult

    manifest, findings = verify(Path("out"))
    assert findings == []
    assert manifest.totals.records_in == len(lines)
    assert dict(JobResult.load("out")) == expected(lines)
    assert list(Path().glob(".*")) == []


def finish_again(lines: list[str]) -> None:
    """A second run of the same job is right, and removes what the killed one left."""
    Path("go").touch()
    subprocess.run([sys.executable, "job.py"], check=True, timeout=60)
    assert_right(lines)


def test_a_worker_that_is_killed_is_replaced_and_its_attempt_redone(lines: list[str]) -> None:
    with coordinator() as process:
        wait_for(lambda: len(workers()) == 2, "two workers are mapping")
        first = workers()
        os.kill(first[0], signal.SIGKILL)
        wait_for(lambda: len(workers()) == 3, "the killed worker is replaced")
        Path("go").touch()
        assert process.wait(60) == 0
        wait_for(lambda: not processes_of_session(process.pid), "no process is left", GRACE)
    assert_right(lines)


def test_all_workers_killed_at_once(lines: list[str]) -> None:
    with coordinator() as process:
        wait_for(lambda: len(workers()) == 2, "two workers are mapping")
        for pid in workers():
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: len(workers()) == 4, "both are replaced")
        Path("go").touch()
        assert process.wait(60) == 0
    assert_right(lines)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["SIGINT", "SIGTERM", "SIGHUP"],
)
@pytest.mark.parametrize("whole_group", [True, False], ids=["group", "coordinator"])
def test_signals_end_everything_and_leave_nothing(
    lines: list[str], number: signal.Signals, code: int, whole_group: bool
) -> None:
    with coordinator() as process:
        wait_for(lambda: len(workers()) == 2, "two workers are mapping")
        if whole_group and number is signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)
        assert process.wait(GRACE) in (code, 130 if number is signal.SIGINT else code)
        wait_for(lambda: not processes_of_session(process.pid), "no process is left", GRACE)
    assert not Path("out").exists()
    assert list(Path().glob(".*")) == [], "no temporary file is left"
    finish_again(lines)


def test_the_coordinator_killed_while_its_maps_run(lines: list[str]) -> None:
    with coordinator() as process:
        wait_for(lambda: len(workers()) == 2, "two workers are mapping")
        process.kill()
        process.wait(GRACE)
        wait_for(lambda: not processes_of_session(process.pid), "no orphan is left", GRACE)
    assert not Path("out/_manifest.json").exists()
    finish_again(lines)


HALF_A_MESSAGE = """
import os
from mapreduce import Job, Records, Sum, run

def half(line):
    # What a worker that is killed while it answers leaves in the pipe: a length, and too few bytes.
    if not os.path.exists("once"):
        open("once", "w").close()
        for fd in map(int, os.listdir("/proc/self/fd")):
            try:
                if fd > 2 and os.readlink(f"/proc/self/fd/{fd}").startswith("socket"):
                    os.write(fd, (1000).to_bytes(4, "big") + b"half")
            except OSError:
                pass
        os.kill(os.getpid(), 9)
    yield line, 1

print(list(run(Job("half", Records(["a"]), half, Sum()), workers=1)))
"""


def test_a_worker_killed_while_it_answers(tmp_path: Path) -> None:
    Path("job.py").write_text(HALF_A_MESSAGE)
    done = subprocess.run([sys.executable, "job.py"], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "[('a', 1)]\n", done.stderr


HOLDS_THE_LOCK = """
import ctypes, os
from mapreduce import Job, Records, Sum, run

def stuck(line):
    open(f"started-{os.getpid()}", "w").close()
    ctypes.PyDLL(None).sleep(600)  # holds the interpreter lock
    yield line, 1

run(Job("stuck", Records(["a", "b"], split_size=1), stuck, Sum(), "out"), workers=2)
"""


def test_workers_that_hold_the_interpreter_lock_end_with_the_coordinator(tmp_path: Path) -> None:
    Path("job.py").write_text(HOLDS_THE_LOCK)
    with coordinator() as process:
        wait_for(lambda: len(workers()) == 2, "two workers are stuck")
        process.kill()
        process.wait(GRACE)
        wait_for(lambda: not processes_of_session(process.pid), "no orphan is left", GRACE)


MOMENT = """
import os, sys
moment = int(sys.argv[1])
count = 0
def hook(event, args):
    # The coordinator's own file operations are the moments at which it can be killed.
    global count
    if armed and event in ("open", "os.link", "os.rename", "os.remove", "os.mkdir", "os.rmdir"):
        if any(str(a).find("out") >= 0 for a in args[:2]):
            count += 1
            if count == moment:
                os.kill(os.getpid(), 9)
armed = False
import job_module
sys.addaudithook(hook)
armed = True
job_module.main()
open("moments", "w").write(str(count))
"""


def kill_at(moment: int) -> int:
    """Run the job, killed at its n-th file operation on the output; the exit code."""
    text = textwrap.dedent(SCRIPT).replace("run(job, workers=2)", "def main():\n    run(job, workers=2)")
    Path("job_module.py").write_text(text)
    Path("go").touch()
    done = subprocess.run([sys.executable, "-c", MOMENT, str(moment)], check=False, timeout=60)
    return done.returncode


@pytest.mark.sweep
@pytest.mark.timeout(300)
def test_the_coordinator_killed_at_every_third_file_operation(lines: list[str]) -> None:
    assert kill_at(0) == 0
    moments = int(Path("moments").read_text())
    assert moments >= 10
    shutil.rmtree("out")
    for moment in range(1, moments + 1, 3):
        code = kill_at(moment)
        # Two acceptances at once are one entry of the log, so how many operations there are varies a little.
        assert code == -signal.SIGKILL or (code == 0 and moment > moments - 20), (
            f"moment {moment} of {moments}"
        )
        if not Path("out/_manifest.json").exists():
            assert kill_at(0) == 0, f"a rerun after moment {moment}"
        assert_committed(lines, moment)
        shutil.rmtree("out")
        shutil.rmtree(".out.mapreduce", ignore_errors=True)


def assert_committed(lines: list[str], moment: int) -> None:
    from mapreduce import JobResult

    assert dict(JobResult.load("out")) == expected(lines), f"moment {moment}"


def test_the_bytes_do_not_depend_on_faults_or_workers(lines: list[str]) -> None:
    def words(line: str) -> Iterator[tuple[str, int]]:
        for word in line.split():
            yield word, 1

    job = Job("plain", Text("in.log", split_size=3000), words, Sum(), "result", shards=3)
    reference = run_sequential(job).parts
    for count in (1, 2, 4):
        result = run(job, workers=count, overwrite=True)
        assert [(result.path / part.name).read_bytes() for part in result.parts] == reference
