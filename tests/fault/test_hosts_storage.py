"""A store that fails hosts and their coordinator, loses or damages what they wrote, or is cleaned up."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .attempts import wait_for
from .clusters import FILES, LONG, Processes, accepted, assert_right, called, callers, ended, kill_group
from .watching import segments_of

PRIMES = [n for n in range(5, 600) if all(n % smaller for smaller in range(2, n))]
"""Operations that fail: often, and in no rhythm that attempts could have too."""


def now_and_then(*kinds: str) -> str:
    """Rules by which operations fail in these ways, one after another."""
    return "; ".join(
        f"nth={nth} do={kind}" for nth, kind in zip(PRIMES, itertools.cycle(kinds), strict=False)
    )


@pytest.mark.covers("S1", "EIO, ESTALE and time-outs now and then, in a coordinator, hosts and their workers")
@pytest.mark.covers("S2", "answers that are lost now and then, in a coordinator, hosts and their workers")
@pytest.mark.covers("S3", "503 and resets now and then, in a coordinator, hosts and their workers")
def test_operations_that_fail_now_and_then(cluster: Path, processes: Processes) -> None:
    job = Path("job.py").read_text()
    Path("job.py").write_text(job.replace("shards=2", "shards=2, max_attempts=20"))
    kinds = ("eio", "lost_reply", "ebusy", "timeout", "lost_reply", "reset", "estale")
    hosts = [processes.host(1, MAPREDUCE_FAULTS=now_and_then(*kinds[shift:])) for shift in range(2)]
    code, told = ended(processes.run(MAPREDUCE_FAULTS=now_and_then(*kinds)))
    assert code == 0, told
    assert "It is tried again" in told
    assert_right()
    for host in hosts:
        kill_group(host, signal.SIGTERM)
        code, told = ended(host)
        assert code == 0, told
        assert "It is tried again" in told


@pytest.mark.covers(
    "S1", "EIO and ENOSPC of every operation of a coordinator of hosts from one on, then no more"
)
@pytest.mark.parametrize("kind", ["eio", "enospc"])
def test_a_coordinator_whose_store_goes_away_stops_and_can_go_on(
    cluster: Path, processes: Processes, kind: str
) -> None:
    Path("hold-n11").touch()
    processes.host(1)
    begin = time.monotonic()
    code, told = ended(processes.run(MAPREDUCE_FAULTS=f"nth=60 times=always do={kind}"))
    assert time.monotonic() - begin < 30
    assert code == 1, told
    assert {"eio": "Input/output error", "enospc": "No space left on device"}[kind] in told
    assert "What was done is kept" in told
    assert "Traceback" not in told
    assert not Path("out/_manifest.json").exists()
    Path("hold-n11").unlink()
    done, before = accepted(cluster), called()
    code, told = ended(processes.run())
    assert code == 0, told
    assert_right()
    assert not {f"n{task.split()[1]}" for task in done} & set(called() - before)


# ---------------------------------------------------------------- what comes back is not what was written


@pytest.mark.covers("S5", "a host reads half of map data, or a flipped bit: once, and until it gives up")
@pytest.mark.parametrize(("how", "times", "again"), [("short", 1, 0), ("flip", 4, 1)])
def test_data_that_is_read_wrong_is_read_again_and_then_made_again(
    cluster: Path, processes: Processes, how: str, times: int, again: int
) -> None:
    rules = "; ".join(f"op=read path=data/ nth={n} do={how} once=fault-{n}" for n in range(1, times + 1))
    processes.host(1, MAPREDUCE_FAULTS=rules)
    code, told = ended(processes.run("--no-backups"))
    assert code == 0, told
    assert_right()
    assert Path(f"fault-{times}").exists()
    assert called().total() == FILES + again


def flipped(path: Path) -> None:
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def another(path: Path) -> None:
    """It gets what a sibling holds."""
    path.write_bytes(segments_of(path.parents[1])[-1].read_bytes())


@pytest.mark.covers("S7", "accepted map data on a store: a flipped bit, cut, replaced by a sibling's")
@pytest.mark.covers("S9", "accepted map data on a store is deleted before the reduce")
def test_map_data_that_is_lost_or_damaged_is_made_again(cluster: Path, processes: Processes) -> None:
    Path("hold-n11").touch()
    processes.host(2)
    run = processes.run("--no-backups")
    wait_for(lambda: len(accepted(cluster)) == FILES - 1, "all but one are accepted", LONG)
    damages: list[Callable[[Path], None]] = [Path.unlink, flipped, cut, another]
    damaged = segments_of(cluster)[: len(damages)]
    for path, damage in zip(damaged, damages, strict=True):
        damage(path)
    Path("hold-n11").unlink()
    code, told = ended(run)
    assert code == 0, told
    assert_right()
    again = {f"n{int(path.name.split('-')[1])}" for path in damaged}
    assert {line for line, times in called().items() if times > 1} == again


@pytest.mark.covers(
    "C8", "entries of the log on a store: a flipped bit, and a missing one, between two coordinators"
)
def test_entries_of_the_log_that_are_lost_are_done_again(cluster: Path, processes: Processes) -> None:
    Path("hold-n11").touch()
    processes.host(1)
    run = processes.run()
    wait_for(lambda: len(accepted(cluster)) == FILES - 1, "all but one are accepted", LONG)
    kill_group(run)
    run.wait()
    first, second, *_ = sorted(cluster.glob("jobs/*/log/*"))
    flipped(first)
    second.unlink()
    kept, before = accepted(cluster), called()
    Path("hold-n11").unlink()
    code, told = ended(processes.run())
    assert code == 0, told
    assert_right()
    again = set(called() - before)
    assert len(kept) < FILES - 1
    assert not {f"n{task.split()[1]}" for task in kept} & again


# ---------------------------------------------------------------- cleaned up


@pytest.mark.covers(
    "S12", "a run ends and removes its data while a frozen host is in a map of it, and beside another run"
)
def test_the_end_of_a_run_harms_no_other_and_no_late_attempt_harms_it(
    cluster: Path, processes: Processes
) -> None:
    Path("hold-n0").touch()
    late = processes.host(1)
    first = processes.run()
    wait_for(callers, "it is in a map", LONG)
    kill_group(late, signal.SIGSTOP)
    processes.host(1)
    other = processes.run("--output", "other")
    wait_for(lambda: len(list(cluster.glob("open/*"))) == 2, "both are open", LONG)
    Path("hold-n0").unlink()
    assert ended(first)[0] == 0
    manifest = Path("out/_manifest.json").read_bytes()
    kill_group(late, signal.SIGCONT)
    code, told = ended(other)
    assert code == 0, told
    kill_group(late, signal.SIGTERM)
    code, told = ended(late)
    assert code == 0, told
    assert_right()
    assert Path("out/_manifest.json").read_bytes() == manifest
    assert sorted(path.read_bytes() for path in Path("other").glob("part-*")) == sorted(
        path.read_bytes() for path in Path("out").glob("part-*")
    )
