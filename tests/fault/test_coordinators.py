"""Runs that are laid down and left: coordinators lead them, are killed, stopped, and followed by others."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from mapreduce.errors import Interrupted, StorageError
from mapreduce.hosts.jobs import Cluster
from mapreduce.hosts.leadership import claim, leader, newest, say_end
from mapreduce.store import layout

from .attempts import wait_for
from .clusters import (
    FILES,
    JOB,
    LONG,
    Processes,
    accepted,
    assert_right,
    called,
    ended,
    kill_group,
    told_until,
)

pytestmark = pytest.mark.timeout(3 * LONG)

TELLING = JOB.replace("shards=2)", "shards=2, sinks=[told])").replace(
    "job = Job",
    """
def told(result):
    with open("told", "a") as file:
        file.write(result.manifest.run_id + " ")

job = Job""",
)
FAILING = TELLING.replace("    for word", "    if not os.path.exists('mended'): 1 / 0\n    for word")


@pytest.fixture
def store(own_folder: Path) -> Path:
    Path("store").mkdir(mode=0o700)
    Path("job.py").write_text(TELLING)
    for number in range(FILES):
        Path(f"in-{number:02}.log").write_text(f"{number} a b c{number}\n")
    return Path("store")


@pytest.fixture
def processes() -> Iterator[Processes]:
    started = Processes()
    yield started
    started.end()


def submitted(processes: Processes, *options: str) -> str:
    code, said = ended(processes.start("submit", "job.py", "--on", "./store", "--json", *options))
    assert code == 0, said
    found = json.loads(said[said.index("{") :])
    assert found["maps"] == FILES
    return str(found["run_id"])


def led_by(run_id: str, after: int = 0) -> int:
    """The process that leads a run under a newer epoch than that."""

    def look() -> int:
        store = Cluster(os.path.abspath("store"), None).of_run(run_id)
        epoch = newest(store)
        return int(leader(store, epoch).rpartition(":")[2] or 0) if epoch > after else 0

    return wait_for(look, f"a coordinator newer than {after} leads {run_id}", LONG)


def some_accepted(store: Path) -> set[str]:
    return wait_for(lambda: accepted(store), "something is accepted", LONG)


def has_ended(run_id: str) -> bool:
    return not Path("store", layout.open_name(run_id)).exists()


def assert_told(run_id: str) -> None:
    wait_for(lambda: has_ended(run_id), "the run has ended", LONG)
    assert set(Path("told").read_text().split()) == {run_id}
    assert_right()


def test_a_run_that_was_left_is_led_and_its_sinks_are_told(store: Path, processes: Processes) -> None:
    run_id = submitted(processes)
    assert submitted(processes) == run_id, "it is the same run"
    processes.host()
    coordinator = processes.coordinator()
    wait_for(lambda: has_ended(run_id), "the run has ended", LONG)
    assert called() == {str(number): 1 for number in range(FILES)}
    assert_told(run_id)
    coordinator.terminate()
    code, said = ended(coordinator)
    assert code == 0, said
    code, said = ended(processes.start("submit", "job.py", "--on", "./store"))
    assert (code, "already holds a result" in said) == (1, True), said


@pytest.mark.covers("C1", "kill -9 of a coordinator that another process looks after")
def test_a_coordinator_that_was_killed_is_followed(store: Path, processes: Processes) -> None:
    Path("hold-7").touch()
    processes.host()
    run_id = submitted(processes)
    processes.coordinator()
    some_accepted(store)
    first = led_by(run_id)
    kept = accepted(store)
    os.kill(first, signal.SIGKILL)
    assert led_by(run_id, after=1) != first
    Path("hold-7").unlink()
    wait_for(lambda: has_ended(run_id), "the run has ended", LONG)
    redone = {f"map {number}" for number, times in called().items() if times > 1}
    assert not redone & kept
    assert_told(run_id)


def test_a_run_whose_own_coordinator_was_killed_is_led_by_another(store: Path, processes: Processes) -> None:
    Path("hold-7").touch()
    processes.host()
    run = processes.run()
    some_accepted(store)
    (run_id,) = os.listdir(store / layout.OPEN)
    processes.coordinator()
    kill_group(run)
    led_by(run_id, after=1)
    Path("hold-7").unlink()
    assert_told(run_id)


def test_a_coordinator_that_is_asked_to_leave_hands_its_runs_over(store: Path, processes: Processes) -> None:
    Path("hold-7").touch()
    processes.host()
    run_id = submitted(processes)
    first = processes.coordinator()
    some_accepted(store)
    led_by(run_id)
    first.terminate()
    code, said = ended(first)
    assert code == 0, said
    assert not has_ended(run_id)
    processes.coordinator()
    led_by(run_id, after=1)
    Path("hold-7").unlink()
    assert_told(run_id)


def test_a_run_that_was_stopped_stays_so_until_it_is_resumed(store: Path, processes: Processes) -> None:
    Path("hold-7").touch()
    processes.host()
    run_id = submitted(processes)
    processes.coordinator()
    some_accepted(store)
    code, said = ended(processes.start("stop", "./store"))
    assert (code, "was stopped" in said) == (0, True), said
    code, said = ended(processes.start("submit", "job.py", "--on", "./store"))
    assert (code, "was stopped" in said) == (2, True), said
    Path("hold-7").unlink()
    code, said = ended(processes.start("resume", "./store", run_id))
    assert code == 0, said
    assert newest(Cluster(os.path.abspath("store"), None).of_run(run_id)) == 2, "nobody else has led it"
    assert_told(run_id)


def test_a_run_that_fails_is_left_to_a_person(store: Path, processes: Processes) -> None:
    Path("job.py").write_text(FAILING)
    processes.host()
    run_id = submitted(processes)
    coordinator = processes.coordinator()
    folder = Cluster(os.path.abspath("store"), None).of_run(run_id)
    wait_for(lambda: layout.end_name(1) in folder.list(layout.EPOCHS), "it has failed", LONG)
    code, said = ended(processes.start("status", "./store", "--json"))
    assert json.loads(said)["facts"]["state"] == "failed"
    Path("mended").touch()
    code, said = ended(processes.start("resume", "./store"))
    assert code == 0, said
    coordinator.terminate()
    _, said = ended(coordinator)
    assert "ZeroDivisionError" in said
    assert_told(run_id)


def test_a_run_that_failed_is_led_again_when_a_person_has_mended_it(
    store: Path, processes: Processes
) -> None:
    Path("job.py").write_text(FAILING.replace("1 / 0", "line[0] == '7' and 1 / 0"))
    host = processes.host()
    run_id = submitted(processes)
    processes.coordinator()
    folder = Cluster(os.path.abspath("store"), None).of_run(run_id)
    wait_for(lambda: layout.end_name(1) in folder.list(layout.EPOCHS), "it has failed", LONG)
    kept = accepted(store)
    assert kept
    kill_group(host)
    code, said = ended(processes.start("submit", "job.py", "--on", "./store"))
    assert (code, f"mapreduce retry {store.resolve()} {run_id}" in said) == (2, True), said
    code, said = ended(processes.start("retry", "./store"))
    assert code == 0, said
    assert said.startswith(f"Run {run_id} (words) waits for a coordinator.\n"), said
    assert "\n  why        it failed: map `words`" in said
    led_by(run_id, after=1)
    code, said = ended(processes.start("retry", "./store", run_id))
    assert (code, "coordinator 2 (" in said, "leads it, or was killed" in said) == (2, True, True), said

    Path("mended").touch()
    processes.host()
    wait_for(lambda: has_ended(run_id), "the run has ended", LONG)
    redone = {f"map {number}" for number, times in called().items() if times > 1}
    assert not redone & kept
    assert_told(run_id)
    code, said = ended(processes.start("retry", "./store", run_id))
    assert (code, f"Run {run_id} has ended." in said) == (2, True), said


def test_many_that_have_failed_are_let_lead_again_together(store: Path, processes: Processes) -> None:
    runs = sorted(submitted(processes, "--output", f"out-{number}") for number in range(4))
    cluster = Cluster(os.path.abspath("store"), None)
    ends = (StorageError("Full."), StorageError("Full."), Interrupted(""), None)
    for run_id, error in zip(runs, ends, strict=True):
        epoch = claim(cluster.of_run(run_id), "nonce", "vm:1")
        if error:
            say_end(cluster.of_run(run_id), epoch, error)
    code, said = ended(processes.start("retry", "./store"))
    assert (code, "3 runs on" in said, f"{', '.join(runs[:3])}; or --all" in said) == (2, True, True), said
    code, said = ended(processes.start("retry", "./store", "--all", "--json"))
    assert code == 0, said
    found = json.loads(said)["runs"]
    assert [(run["run"], run["error"]["message"], run["is_new"]) for run in found] == [
        (run_id, "Full.", True) for run_id in runs[:2]
    ]
    code, said = ended(processes.start("jobs", "./store", "--json"))
    assert [run["state"] for run in json.loads(said)["runs"]] == ["queued", "queued", "stopped", "mapping"]
    code, said = ended(processes.start("status", "./store", runs[0]))
    assert "state        waits for a coordinator\n" in said
    assert "coordinator  1, vm:1, has ended\n" in said
    assert f"next         mapreduce coordinator {store.resolve()} {runs[0]}\n" in said
    code, said = ended(processes.start("retry", "./store", "--all"))
    assert (code, said.count("waits for a coordinator already")) == (0, 2), said
    assert "\n  see it     mapreduce jobs" in said


def test_two_that_look_after_one_store_do_no_harm(store: Path, processes: Processes) -> None:
    processes.host()
    both = [processes.coordinator() for _ in range(2)]
    runs = [submitted(processes), submitted(processes, "--output", "other")]
    wait_for(lambda: all(map(has_ended, runs)), "the runs have ended", LONG)
    assert set(Path("told").read_text().split()) == set(runs)
    assert_right()
    for coordinator in both:
        coordinator.terminate()
        assert ended(coordinator)[0] == 0


def test_what_is_wrong_is_told(store: Path, processes: Processes) -> None:
    expected = {
        ("coordinator", "./store", "2031"): (2, "There is no run '2031'"),
        ("coordinator", "./store", "--json"): (2, "--json tells the result of a RUN"),
        ("coordinator", "./nowhere"): (2, "There is no folder"),
        ("submit", "job.py"): (2, "Missing option '--on'"),
        ("retry", "./store"): (2, "has failed or was stopped"),
        ("retry", "./store", "--all", "2031"): (2, "Give RUN or --all"),
        ("submit", "job.py", "--on", "store"): (2, "is no store"),
        ("submit", "job.py", "--on", "./store", "--workers", "2"): (2, "Each host says how many"),
        ("submit", "job.py", "--on", "./store", "--source", "nothing-*"): (1, "nothing-*"),
    }
    for arguments, (code, text) in expected.items():
        found = ended(processes.start(*arguments))
        assert (found[0], text in found[1]) == (code, True), (arguments, found)
    assert not list(store.glob("jobs/*")), "nothing was laid down"


@pytest.mark.covers("Q2", "a run of another key is not led, and its code not loaded")
def test_a_run_of_another_key_is_not_led(store: Path, processes: Processes) -> None:
    for name in ("ours", "theirs"):
        Path(name).write_text(os.urandom(32).hex())
        Path(name).chmod(0o600)
    theirs = {"MAPREDUCE_KEY_FILE": os.path.abspath("theirs")}
    code, said = ended(processes.start("submit", "job.py", "--on", "./store", **theirs))
    assert code == 0, said
    (run_id,) = os.listdir(store / layout.OPEN)
    ours = {"MAPREDUCE_KEY_FILE": os.path.abspath("ours")}
    code, said = ended(processes.start("coordinator", "./store", run_id, **ours))
    assert (code, "is not signed with the key" in said) == (2, True), said
    assert not (store / "jobs" / run_id / layout.EPOCHS).exists()


def test_a_run_keeps_what_it_was_laid_down_with(store: Path, processes: Processes) -> None:
    """It may replace the result that is there, though whoever leads it was not told so."""
    Path("out").mkdir()
    Path("job.py").write_text(JOB)
    processes.host()
    code, said = ended(processes.start("run", "job.py", "--on", "serial"))
    assert code == 0, said
    run_id = submitted(processes, "--overwrite")
    code, said = ended(processes.run())
    assert (code, run_id in said) == (0, True), said
    assert_right()
    Path("hold").touch()
    submitted(processes, "--output", "other")
    code, said = ended(
        processes.start("submit", "job.py", "--on", "./store", "--output", "other", "--overwrite")
    )
    assert (code, "was laid down without --overwrite" in said) == (2, True), said


def test_a_result_that_came_meanwhile_is_not_replaced(store: Path, processes: Processes) -> None:
    """Leave to replace is for the result that was there when the run was laid down."""
    run_id = submitted(processes, "--overwrite")
    code, said = ended(processes.start("run", "job.py", "--on", "serial"))
    assert code == 0, said
    before = Path("out", layout.MANIFEST).read_bytes()
    processes.host()
    processes.coordinator()
    wait_for(lambda: has_ended(run_id), "the run has ended", LONG)
    assert Path("out", layout.MANIFEST).read_bytes() == before
    code, said = ended(processes.start("status", "./store", run_id, "--json"))
    assert json.loads(said)["facts"]["state"] == "late"
    code, said = ended(processes.start("coordinator", "./store", run_id))
    assert (code, "has ended without a result" in said) == (2, True), said


@pytest.mark.covers("U11", "a coordinator's host lacks a module that the job needs")
def test_a_coordinator_that_lacks_a_module_says_so(store: Path, processes: Processes) -> None:
    Path("here").mkdir()
    Path("here/helping.py").write_text("def told(result):\n    pass\n")
    Path("here/job.py").write_text(
        "import helping\n" + JOB.replace("shards=2)", "shards=2, sinks=[helping.told])")
    )
    for path in Path().glob("in-*.log"):
        path.rename(Path("here", path.name))
    code, said = ended(processes.start("submit", "job.py", "--on", "../store", "--json", folder="here"))
    assert code == 0, said
    Path("here").rename("gone")
    code, said = ended(processes.start("coordinator", "./store", "2"))
    assert (code, "can't be loaded in a coordinator" in said, "helping" in said) == (2, True, True), said


HUNG_UP = """
import signal, sys
signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
from mapreduce.cli.app import main
main(sys.argv[1:])
"""


def test_one_that_outlives_its_terminal_and_a_store_that_fails(store: Path, processes: Processes) -> None:
    fails = f"op=list path=open nth=2 do=eacces once={os.path.abspath('failed')}"
    coordinator = processes.start("coordinator", "./store", program=HUNG_UP, MAPREDUCE_FAULTS=fails)
    told_until(coordinator, "looking again later")
    os.kill(coordinator.pid, signal.SIGHUP)
    run_id = submitted(processes)
    processes.host()
    assert_told(run_id)
    coordinator.terminate()
    assert ended(coordinator)[0] == 0
