"""Hosts and coordinators as processes that share a folder: killed, frozen, two at once, strangers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mapreduce import Job, Records, Sum, run
from mapreduce import manifest as manifests
from mapreduce.codec import from_plain, seal, unseal
from mapreduce.hosts.jobs import Spec
from mapreduce.hosts.signing import new_key
from mapreduce.store import layout

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
)
from .watching import calls


def test_two_hosts_do_what_one_loop_does(cluster: Path, processes: Processes) -> None:
    first, second = processes.host(), processes.host()
    code, told = ended(processes.run())
    assert code == 0, told
    assert_right()
    assert called() == {f"n{number}": 1 for number in range(FILES)}
    assert not list(cluster.glob("open/*")), "nobody looks for it any more"
    (job,) = cluster.glob("jobs/*")
    assert {path.name for path in job.iterdir()} >= {"result", "coord"}
    assert not list(job.glob("data/*")), "what nobody needs is gone"
    for host in (first, second):
        kill_group(host, signal.SIGTERM)
        code, told = ended(host)
        assert code == 0, told


@pytest.mark.covers("W1", "kill -9 of a host that is at it")
@pytest.mark.covers("W2", "one of three hosts at once")
def test_a_host_that_is_killed_is_done_without(cluster: Path, processes: Processes) -> None:
    Path("hold").touch()
    hosts = [processes.host() for _ in range(3)]
    run = processes.run()
    wait_for(lambda: len(callers()) >= 6, "all hosts are at it", LONG)
    kill_group(hosts[0])
    Path("hold").unlink()
    code, told = ended(run)
    assert code == 0, told
    assert_right()
    assert sum(called().values()) <= FILES + 8, "two that ran, and two for each that were at hand"


@pytest.mark.covers("W3", "SIGSTOP of a host for longer than it may be silent, then SIGCONT")
def test_a_host_that_was_frozen_does_no_harm(cluster: Path, processes: Processes) -> None:
    Path("hold-n0").touch()
    Path("hold-n11").touch()
    frozen = processes.host(1)
    run = processes.run("--no-backups")
    wait_for(lambda: called()["n0"], "it is at it", LONG)
    kill_group(frozen, signal.SIGSTOP)
    Path("hold-n0").unlink()
    processes.host(2)
    wait_for(lambda: called()["n0"] == 2, "it was silent for too long: another does its work", LONG)
    wait_for(lambda: "map 0" in accepted(cluster), "which is accepted", LONG)
    kill_group(frozen, signal.SIGCONT)
    assert run.poll() is None
    Path("hold-n11").unlink()
    code, told = ended(run)
    assert code == 0, told
    assert_right()
    attempts = manifests.load(Path("out")).attempts
    assert [attempt.outcome for attempt in attempts if attempt.task == "map 0"] == ["lost", "succeeded"]
    kill_group(frozen, signal.SIGTERM)
    code, told = ended(frozen)
    assert code == 0, told


@pytest.mark.covers("C1", "kill -9 of a coordinator of hosts")
def test_a_coordinator_that_was_killed_is_gone_on_with(cluster: Path, processes: Processes) -> None:
    Path("hold-n11").touch()
    processes.host(1)
    run = processes.run()
    wait_for(lambda: len(accepted(cluster)) >= 3, "some are accepted", LONG)
    kill_group(run)
    before = called()
    done = {f"n{task.split()[1]}" for task in accepted(cluster)}
    Path("hold-n11").unlink()
    code, told = ended(processes.run())
    assert code == 0, told
    assert_right()
    again = called() - before
    assert not done & set(again), "what was accepted did not run again"


@pytest.mark.covers("C3", "two coordinators of one run, started together")
def test_two_coordinators_give_one_result(cluster: Path, processes: Processes) -> None:
    Path("hold").touch()
    processes.host(2)
    first = processes.run()
    wait_for(callers, "the first leads", LONG)
    second = processes.run()
    wait_for(lambda: len(list(cluster.glob("jobs/*/coord/*"))) == 2, "the second leads", LONG)
    Path("hold").unlink()
    codes = [ended(first), ended(second)]
    assert codes[1][0] == 0, codes
    assert codes[0][0] == 0 or "leads the run now" in codes[0][1], codes
    assert len(list(cluster.glob("jobs/*"))) == 1
    assert_right()


@pytest.mark.covers("C4", "SIGSTOP of a coordinator, another one ends the run, SIGCONT")
def test_a_coordinator_that_wakes_up_late_changes_nothing(cluster: Path, processes: Processes) -> None:
    Path("hold").touch()
    processes.host(2)
    first = processes.run()
    wait_for(callers, "the first leads", LONG)
    kill_group(first, signal.SIGSTOP)
    Path("hold").unlink()
    code, told = ended(processes.run())
    assert code == 0, told
    manifest = Path("out/_manifest.json").read_bytes()
    kill_group(first, signal.SIGCONT)
    code, told = ended(first)
    assert code == 0 or "leads the run now" in told, told
    assert Path("out/_manifest.json").read_bytes() == manifest
    assert_right()


@pytest.mark.covers("W10", "SIGTERM of a host; its worker processes")
def test_a_host_that_is_asked_to_leave_ends_what_it_does(cluster: Path, processes: Processes) -> None:
    for number in range(FILES):
        Path(f"hold-n{number}").touch()
    leaving = processes.host(1)
    run = processes.run()
    (call,) = wait_for(lambda: list(calls()), "it is at it", LONG)
    number, worker = call.split()
    kill_group(leaving, signal.SIGTERM)
    Path(f"hold-{number}").unlink()
    code, told = ended(leaving)
    assert code == 0, told
    assert "this host leaves" in told
    assert not is_alive(int(worker))
    processes.host(1)
    for path in Path().glob("hold-*"):
        path.unlink()
    code, told = ended(run)
    assert code == 0, told
    assert_right()
    assert max(called().values()) == 1, "what ran there was accepted"


@pytest.mark.covers("W10", "kill -9 of a host: its worker processes end with it")
def test_workers_end_with_their_host(cluster: Path, processes: Processes) -> None:
    Path("hold").touch()
    host = processes.host(2)
    processes.run()
    workers = wait_for(lambda: len(callers()) == 2 and callers(), "two are at it", LONG)
    host.kill()
    wait_for(lambda: not any(map(is_alive, workers)), "they are gone")


# ---------------------------------------------------------------- strangers


def changed_spec(store: Path, change: Callable[[dict[str, object]], object]) -> None:
    """Change what the store says of its run."""
    (path,) = store.glob("jobs/*/spec")
    spec = unseal(path.read_bytes())
    change(spec)
    path.write_bytes(seal(from_plain(Spec, spec)))


@pytest.fixture
def signed(cluster: Path, processes: Processes) -> Path:
    """A run that was begun with a key and waits for hosts; the key's file."""
    key = Path("key")
    assert ended(processes.start("keygen", str(key)))[0] == 0
    assert key.stat().st_mode & 0o777 == 0o600
    processes.run(MAPREDUCE_KEY_FILE=str(key.resolve()))
    wait_for(lambda: list(cluster.glob("open/*")), "it waits for hosts", LONG)
    return key.resolve()


def refused(processes: Processes, **environment: str) -> str:
    """What a host says that leaves the run alone."""
    host = processes.host(1, **environment)
    assert host.stderr is not None
    told = ""
    deadline = time.monotonic() + LONG
    while "left alone" not in told and time.monotonic() < deadline:
        told += host.stderr.readline()
    assert not callers(), "none of its code ran"
    return told


@pytest.mark.covers("W9", "a host with another key")
@pytest.mark.covers("Q2", "wrong key")
def test_a_host_with_another_key_leaves_the_run_alone(signed: Path, processes: Processes) -> None:
    assert "not signed with the key" in refused(processes, MAPREDUCE_KEY=new_key())


@pytest.mark.covers("Q2", "no key")
def test_a_host_without_a_key_leaves_a_signed_run_alone(signed: Path, processes: Processes) -> None:
    assert "there is no key here" in refused(processes)


@pytest.mark.covers("Q2", "each of: another payload, another name, another output")
@pytest.mark.parametrize("what", ["code", "name", "output"])
def test_a_run_that_was_tampered_with_is_left_alone(
    cluster: Path, signed: Path, processes: Processes, what: str
) -> None:
    if what == "code":
        (path,) = cluster.glob("jobs/*/code")
        path.write_bytes(path.read_bytes() + b".")
    else:
        changed_spec(cluster, lambda spec: spec.update({what if what == "output" else "job": "/other"}))
    told = refused(processes, MAPREDUCE_KEY_FILE=str(signed))
    assert "not what was signed" in told if what == "code" else "not signed with the key" in told


def test_a_signed_run_is_done_by_hosts_with_its_key(signed: Path, processes: Processes) -> None:
    processes.host(2, MAPREDUCE_KEY_FILE=str(signed))
    code, told = ended(processes.all[1])
    assert code == 0, told
    assert_right()


@pytest.mark.covers("W9", "a host with another version of a package")
def test_a_host_of_another_version_takes_no_part(cluster: Path, processes: Processes) -> None:
    run = processes.run()
    wait_for(lambda: list(cluster.glob("open/*")), "it waits for hosts", LONG)
    changed_spec(cluster, lambda spec: spec["versions"].update(polars="0.1"))  # type: ignore[attr-defined]
    told = refused(processes)
    assert "polars" in told
    assert "0.1" in told
    assert is_alive(run.pid)


@pytest.mark.covers("Q3", "a key that others may read, and one that is short")
def test_a_key_that_is_none_is_refused(cluster: Path, processes: Processes) -> None:
    Path("key").write_text(new_key())
    Path("key").chmod(0o644)
    code, told = ended(processes.run(MAPREDUCE_KEY_FILE="key"))
    assert code == 2
    assert "Others may read the key" in told
    code, told = ended(processes.run(MAPREDUCE_KEY="short"))
    assert code == 2
    assert "fewer than 32" in told
    assert "short" not in told


@pytest.mark.covers("Q3", "a function that looks for the key in its environment")
def test_functions_do_not_find_the_key_in_their_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAPREDUCE_KEY", new_key())
    monkeypatch.setenv("MAPREDUCE_OTHER", "1")

    def found(record: str) -> list[tuple[str, int]]:
        return [(name, 1) for name in os.environ if name in ("MAPREDUCE_KEY", "MAPREDUCE_OTHER")]

    assert list(run(Job("looks", Records(["a"]), found, Sum()), workers=1)) == [("MAPREDUCE_OTHER", 1)]


@pytest.mark.covers("Q2", "a folder that others may write to, and no key")
def test_a_folder_of_others_needs_a_key(cluster: Path, processes: Processes) -> None:
    cluster.chmod(0o777)
    code, told = ended(processes.run())
    assert code == 2
    assert "Others may write to" in told
    assert "mapreduce keygen" in told


def test_a_run_of_one_host_leaves_the_parts_of_a_run_on_a_store_alone(
    cluster: Path, processes: Processes
) -> None:
    Path("hold").touch()
    processes.host(1)
    begun = processes.run("--overwrite")
    wait_for(callers, "it is at it", LONG)
    (run_id,) = [path.name for path in cluster.glob("jobs/*")]
    part = Path("out") / layout.part_name(0, run_id, "0" * 8, ".jsonl")
    part.write_text("of a reduce that has ended a moment ago")
    run(Job("other", Records(["a"]), lambda record: [(record, 1)], Sum(), "out"), workers=1)
    assert part.exists()
    Path("hold").unlink()
    code, told = ended(begun)
    assert code == 0, told
    assert_right()
    assert {path.name for path in Path("out").iterdir()} == named(Path("out")), "nothing else is left"
    assert not Path(".out.mapreduce").exists()


def named(output: Path) -> set[str]:
    """The manifest and what it names."""
    return {layout.MANIFEST, *(part.name for part in manifests.load(output).parts)}
