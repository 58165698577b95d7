"""Runs on a store that are stopped, begun twice, changed, left without hosts: what is told, and kept."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from mapreduce import manifest as manifests

from .attempts import is_alive, wait_for
from .clusters import (
    FILES,
    LONG,
    Processes,
    accepted,
    assert_right,
    called,
    callers,
    ended,
    kill_group,
    told_until,
)

DRAINED = 5.0
"""Seconds within which a run that was asked to stop has ended."""


def lines_of(tasks: set[str]) -> set[str]:
    """The lines that these maps read."""
    return {f"n{task.split()[1]}" for task in tasks if task.startswith("map")}


# ---------------------------------------------------------------- asked to stop


@pytest.mark.covers("C5", "Ctrl-C, SIGTERM of a coordinator of hosts")
@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_run_that_is_stopped_says_how_to_go_on(
    cluster: Path, processes: Processes, number: str, code: int
) -> None:
    for line in range(4, FILES):
        Path(f"hold-n{line}").touch()
    host = processes.host(2)
    run = processes.run()
    wait_for(lambda: len(accepted(cluster)) >= 4 and len(called()) >= 6, "two are held", LONG)
    begin = time.monotonic()
    run.send_signal(signal.Signals[number])
    told_until(run, "stopping")
    held = sorted(called().keys() - lines_of(accepted(cluster)))
    for path in [Path(f"hold-{held[0]}")] if number == "SIGINT" else list(Path().glob("hold-*")):
        path.unlink()  # so that these end while the run is stopping
    stopped, told = ended(run)
    assert time.monotonic() - begin < DRAINED
    assert stopped == code, told
    assert "What was done is kept" in told
    assert "the same command" in told
    assert "Traceback" not in told
    assert held[0] in lines_of(accepted(cluster)), "what ended meanwhile is kept"
    assert not Path("out/_manifest.json").exists()
    told_until(host, "left run")
    wait_for(lambda: not any(map(is_alive, callers())), "the host is free")
    before, done = called(), lines_of(accepted(cluster))
    for path in list(Path().glob("hold-*")):
        path.unlink()
    again, told = ended(processes.run())
    assert again == 0, told
    assert_right()
    assert not done & set(called() - before), "what was accepted did not run again"


@pytest.mark.covers("C5", "Ctrl-C twice of a coordinator of hosts")
def test_a_run_that_is_stopped_twice_ends_at_once(cluster: Path, processes: Processes) -> None:
    Path("hold").touch()
    processes.host(1)
    run = processes.run()
    wait_for(callers, "a host is at it", LONG)
    run.send_signal(signal.SIGINT)
    told_until(run, "stopping")
    begin = time.monotonic()
    run.send_signal(signal.SIGINT)
    code, told = ended(run)
    assert time.monotonic() - begin < 2.0, "it did not wait for the attempt"
    assert code == 130, told
    assert "the same command" in told
    Path("hold").unlink()
    assert ended(processes.run())[0] == 0
    assert_right()


# ---------------------------------------------------------------- begun again


@pytest.mark.covers("C6", "the same command after the end of a run on a store")
def test_a_run_that_has_ended_is_not_run_again(cluster: Path, processes: Processes) -> None:
    processes.host(2)
    code, told = ended(processes.run())
    assert code == 0, told
    manifest, before = Path("out/_manifest.json").read_bytes(), called()
    code, told = ended(processes.run())
    assert code != 0
    assert "already holds a result" in told
    assert "--overwrite" in told
    assert Path("out/_manifest.json").read_bytes() == manifest
    assert called() == before
    assert len(list(cluster.glob("jobs/*"))) == 1
    assert not list(cluster.glob("open/*"))
    code, told = ended(processes.run("--overwrite"))
    assert code == 0, told
    assert Path("out/_manifest.json").read_bytes() != manifest, "it says which run made it"
    assert_right()


CHANGES = {
    "code": ("for word in line.split():", "for word in line.lower().split():"),
    "shards": ("shards=2", "shards=3"),
    "input": ('Text("in-*.log")', 'Text(["in-01.log", "in-02.log"])'),
}


@pytest.mark.covers("C7", "a run on a store goes on with other code, number of shards, input")
def test_a_changed_job_is_refused_with_what_has_changed(cluster: Path, processes: Processes) -> None:
    Path("hold-n11").touch()
    processes.host(1)
    run = processes.run()
    wait_for(lambda: len(accepted(cluster)) >= 3, "some are accepted", LONG)
    kill_group(run)
    run.wait()
    before, done = called(), lines_of(accepted(cluster))
    job = Path("job.py").read_text()
    for what, (old, new) in CHANGES.items():
        assert old in job
        Path("job.py").write_text(job.replace(old, new))
        code, told = ended(processes.run())
        assert code == 1, (what, told)
        assert "has changed since run" in told
        assert {"code": "map has changed", "shards": "shards", "input": "in-"}[what] in told, told
        assert "--new" in told
    assert len(list(cluster.glob("jobs/*"))) == 1
    Path("job.py").write_text(job)
    Path("hold-n11").unlink()
    code, told = ended(processes.run())
    assert code == 0, told
    assert_right()
    assert not done & set(called() - before)


@pytest.mark.covers("C9", "two runs of one name, started together on one store: to two outputs, and to one")
def test_two_runs_that_begin_together_are_two(cluster: Path, processes: Processes) -> None:
    processes.host(2)
    runs = [processes.run("--output", output) for output in ("out", "other", "same", "same")]
    told = [ended(run) for run in runs]
    assert [code for code, _ in told[:2]] == [0, 0], told
    assert_right()
    shutil.copytree("other", "copy")
    found = {}
    for output in ("out", "other", "same"):
        manifest, wrong = manifests.verify(Path(output))
        assert not wrong
        found[output] = manifest
    assert len({manifest.run_id for manifest in found.values()}) == 3
    bytes_of = {
        output: [(Path(output) / part.name).read_bytes() for part in manifest.parts]
        for output, manifest in found.items()
    }
    assert bytes_of["out"] == bytes_of["other"] == bytes_of["same"]
    lost = [text for code, text in told[2:] if code != 0]
    assert len(lost) < 2, told
    for text in lost:  # it led no more, or came too late with a run of its own
        assert "leads the run now" in text or "result of another run" in text or "already holds" in text, text


# ---------------------------------------------------------------- out of something

SHORT = """
import errno, glob, os, resource, sys
from mapreduce import run
from mapreduce.cli.jobfile import load_job
from mapreduce.errors import MapReduceError

class Watcher:
    def attempt_ended(self, attempt):
        if glob.glob("store/jobs/*/log/*") and not taken:
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
            try:
                while True:
                    taken.append(os.open(os.devnull, os.O_RDONLY))
            except OSError as error:
                assert error.errno == errno.EMFILE
    def progress(self, progress): pass
    def printed(self, task, text): pass
    def stalled(self, task, work, seconds): pass
    def finished(self, result): pass

taken = []
try:
    run(load_job("job.py"), on="./store", observers=[Watcher()])
except MapReduceError as error:
    os.close(taken.pop())
    print(type(error).__name__, error.message, error.__notes__)
    sys.exit(error.exit_code)
"""


@pytest.mark.covers("C10", "a coordinator of hosts has no descriptor left, in the middle of a run")
@pytest.mark.covers("C10", "the disk is full for a coordinator of hosts, in the middle of a run")
@pytest.mark.parametrize("of", ["descriptors", "disk"])
def test_a_coordinator_that_runs_out_of_something_stops_and_can_go_on(
    cluster: Path, processes: Processes, of: str
) -> None:
    Path("hold-n11").touch()
    processes.host(1)
    if of == "descriptors":
        Path("short.py").write_text(textwrap.dedent(SHORT))
        done = subprocess.run(
            [sys.executable, "short.py"], capture_output=True, text=True, timeout=LONG, check=False
        )
        code, told = done.returncode, done.stdout + done.stderr
        assert "Too many open files" in told
    else:
        full = "op=create path=log/ nth=3 times=always do=enospc"
        code, told = ended(processes.run(MAPREDUCE_FAULTS=full))
        assert "No space left on device" in told
    assert code == 1, told
    assert "What was done is kept" in told
    assert not Path("out/_manifest.json").exists()
    before, done_before = called(), lines_of(accepted(cluster))
    assert done_before
    Path("hold-n11").unlink()
    code, told = ended(processes.run())
    assert code == 0, told
    assert_right()
    assert not done_before & set(called() - before)


# ---------------------------------------------------------------- nobody is left


@pytest.mark.covers("W8", "kill -9 of all hosts, none returns: NoWorkers after the deadline, then resumed")
def test_a_run_ends_that_no_host_works_on(cluster: Path, processes: Processes) -> None:
    Path("hold-3").touch()
    host = processes.host(2)
    run = processes.run("--hosts-timeout", "2")
    wait_for(lambda: accepted(cluster), "something is accepted", LONG)
    kill_group(host)
    code, told = ended(run)
    assert code == 1, told
    assert "No host has worked on the run for 2 s" in told
    assert "mapreduce resume" in told
    kept, before = accepted(cluster), called()
    Path("hold-3").unlink()
    processes.host(2)
    code, told = ended(processes.start("resume", "./store"))
    assert code == 0, told
    assert not kept & {f"map {number}" for number in called() - before}, "what was accepted did not run again"
    assert_right()


@pytest.mark.covers("W8", "kill -9 of all hosts; the coordinator waits, until one comes")
def test_a_run_without_hosts_waits_for_one(cluster: Path, processes: Processes) -> None:
    Path("hold").touch()
    hosts = [processes.host(1), processes.host(1)]
    run = processes.run()
    wait_for(lambda: len(callers()) == 2, "both are at it", LONG)
    for host in hosts:
        kill_group(host)
    told_until(run, "has not been heard of")
    Path("hold").unlink()
    processes.host(2)
    code, told = ended(run)
    assert code == 0, told
    assert_right()
    assert called().total() <= FILES + 2, "what the two had begun ran again, and nothing else"
