"""Somebody who may write to the store, and has no key: no code of theirs runs, and no result is theirs."""

from __future__ import annotations

import pickle
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from mapreduce.codec import from_plain, seal, sha256, unseal
from mapreduce.hosts import messages
from mapreduce.hosts.jobs import Spec
from mapreduce.hosts.leadership import ENDED
from mapreduce.hosts.messages import Orders
from mapreduce.hosts.signing import new_key, signature
from mapreduce.store import layout

from .attempts import wait_for
from .clusters import FILES, LONG, Processes, assert_right, called, ended, kill_group

UNSIGNED = bytes(32)
"""In the place of a signature."""
AUDITED = """
import os, sys
process = os.getpid()

def noted(event, arguments):
    if event == "pickle.find_class" and os.getpid() == process:
        with open(f"unpickled-{sys.argv[1]}", "a") as stream:
            stream.write(f"{arguments}\\n")

sys.addaudithook(noted)
from mapreduce.cli.app import main
main(sys.argv[1:])
"""


@pytest.fixture
def key(own_folder: Path) -> str:
    """The file of the cluster's key."""
    path = own_folder / "key"
    path.write_text(new_key())
    path.chmod(0o600)
    return str(path)


class Evil:
    """Unpickling it makes a file."""

    def __reduce__(self) -> object:
        return open, ("owned", "w")


def lay_down(store: Path, payload: bytes, key: str | None) -> None:
    """Let the store's run have this payload, named by a spec that is signed with a key."""
    (path,) = store.glob("jobs/*/spec")
    plain = {**unseal(path.read_bytes()), "code": sha256(payload), "signature": ""}
    spec = from_plain(Spec, plain)
    if key is not None:
        plain["signature"] = signature(key.encode(), spec.content())
    path.write_bytes(seal(from_plain(Spec, plain)))
    (path.parent / layout.CODE).write_bytes(payload)


@pytest.mark.covers("Q1", "an audit hook for unpickling, in a coordinator and a host, over a whole run")
def test_coordinators_and_hosts_unpickle_nothing(cluster: Path, processes: Processes, key: str) -> None:
    processes.start("worker", "./store", "--processes", "1", program=AUDITED, MAPREDUCE_KEY_FILE=key)
    run = processes.start("run", "job.py", "--on", "./store", program=AUDITED, MAPREDUCE_KEY_FILE=key)
    code, told = ended(run)
    assert code == 0, told
    assert_right()
    assert not list(Path().glob("unpickled-*"))


@pytest.mark.covers(
    "Q1", "a payload that does harm when it is unpickled, in a spec with another key's signature"
)
@pytest.mark.parametrize("forged", [True, False])
def test_a_payload_is_not_unpickled_before_its_signature_is_checked(
    cluster: Path, processes: Processes, key: str, forged: bool
) -> None:
    processes.run(MAPREDUCE_KEY_FILE=key)
    wait_for(lambda: list(cluster.glob("open/*")), "it waits for hosts", LONG)
    lay_down(cluster, pickle.dumps(Evil()), new_key() if forged else Path(key).read_text())
    host = processes.start("worker", "./store", "--processes", "1", program=AUDITED, MAPREDUCE_KEY_FILE=key)
    assert host.stderr is not None
    if forged:
        while "left alone" not in (line := host.stderr.readline()):
            assert line
        assert "not signed with the key" in line
        assert not Path("owned").exists()
    else:
        wait_for(Path("owned").exists, "whoever has the key may run code", LONG)
    assert not Path("unpickled-worker").exists(), "only workers unpickle"


def held(cluster: Path, processes: Processes, key: str) -> tuple[Path, subprocess.Popen[str]]:
    """A run that has accepted something, and is held; its directory, and its coordinator."""
    Path("hold-n11").touch()
    processes.host(1, MAPREDUCE_KEY_FILE=key)
    run = processes.run("--no-backups", MAPREDUCE_KEY_FILE=key)
    wait_for(lambda: len(list(cluster.glob("jobs/*/log/0*"))) >= 3 and called()["n11"], "it is held", LONG)
    (directory,) = cluster.glob("jobs/*")
    return directory, run


def forge(path: Path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data + UNSIGNED)


def newest(directory: Path) -> bytes:
    """What the object holds whose name is the last one in a folder of a run."""
    while True:
        path = max(path for path in directory.iterdir() if not layout.is_unfinished(path.name))
        with suppress(FileNotFoundError):  # it was not needed any more
            return path.read_bytes()


def number_of(directory: Path, host: str) -> int:
    """Of the newest true report of a host."""
    return max(int(path.name.rpartition(".")[2]) for path in directory.glob(f"out/{host}.000*"))


@pytest.mark.covers("Q5", "forged orders, reports, log, epoch, end, open run; true ones under other names")
@pytest.mark.parametrize("again", [False, True], ids=["one coordinator", "another one goes on"])
def test_forged_records_are_ignored(cluster: Path, processes: Processes, key: str, again: bool) -> None:
    directory, run = held(cluster, processes, key)
    (inbox,) = (directory / layout.ORDERS).iterdir()
    host, report = inbox.name, newest(directory / layout.REPORTS)
    forge(inbox / "000001.00900000", messages.write(Orders(ended=True)))
    forge(inbox / "000900.00000001", messages.write(Orders(ended=True)))
    forge(directory / layout.report_name(host, 900_000), report[:-32])
    (directory / layout.report_name(host, 900_001)).write_bytes(report)
    forge(directory / layout.report_name("stranger-00000000", 1), report[:-32])
    (directory / layout.log_name(1, 900)).write_bytes(newest(directory / layout.LOG))
    forge(directory / layout.epoch_name(900), seal({"nonce": "forged"}))
    forge(directory / layout.ENDED, ENDED)
    (cluster / layout.open_name("29991231T235959-00000000")).write_bytes(b"29991231T235959-00000000")
    before = called()
    if again:
        kill_group(run)
        run.wait()
        run = processes.run("--no-backups", MAPREDUCE_KEY_FILE=key)
        wait_for(lambda: len(list(directory.glob("coord/*"))) == 3, "another coordinator leads", LONG)
    last = number_of(directory, host)
    wait_for(lambda: number_of(directory, host) >= last + 4, "both had the time to obey", LONG)
    Path("hold-n11").unlink()
    code, told = ended(run)
    assert code == 0, told
    assert_right()
    assert set(called() - before) <= ({"n11"} if again else set()), "what was accepted did not run again"


@pytest.mark.covers("Q5", "a forged commit: the run fails, and goes on when that is gone")
def test_a_forged_commit_is_nobodys_result(cluster: Path, processes: Processes, key: str) -> None:
    directory, run = held(cluster, processes, key)
    forge(directory / layout.COMMIT, b'{"parts": []}')
    Path("hold-n11").unlink()
    code, told = ended(run)
    assert code == 1, told
    assert "_COMMIT" in told
    assert not Path("out/_manifest.json").exists()
    (directory / layout.COMMIT).unlink()
    code, told = ended(processes.run(MAPREDUCE_KEY_FILE=key))
    assert code == 0, told
    assert_right()
    assert max(called().values()) == 1


@pytest.mark.covers("Q5", "accepted map data is replaced by other data of the same job")
def test_forged_map_data_is_not_taken(cluster: Path, processes: Processes, key: str) -> None:
    directory, run = held(cluster, processes, key)
    first, second, *_ = sorted(path for path in directory.glob("data/map-*") if "map-00011" not in path.name)
    first.write_bytes(second.read_bytes())
    Path("hold-n11").unlink()
    code, told = ended(run)
    assert code == 0, told
    assert_right()
    assert called().total() == FILES + 1
