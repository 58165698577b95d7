"""What the commands for a store rest on: names, clocks, samples, who is heard, by stores in memory."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mapreduce import Job, Records, Sum, run
from mapreduce import manifest as manifests
from mapreduce.cli.app import main
from mapreduce.coordinator.state import Limits
from mapreduce.errors import (
    Interrupted,
    JobError,
    OutputExists,
    StorageError,
    Superseded,
    UserFunctionError,
)
from mapreduce.hosts import lead, messages
from mapreduce.hosts.asking import Answering, ask, compared
from mapreduce.hosts.checkup import (
    SAMPLE,
    Checkup,
    check_up,
    output_problem,
    round_trips,
    sample,
    source_problem,
)
from mapreduce.hosts.cleaning import clean, erase, fence
from mapreduce.hosts.desk import PACE
from mapreduce.hosts.jobs import Cluster, Spec, is_store, runs_of
from mapreduce.hosts.leadership import (
    CLEANED,
    ENDED,
    LATE,
    Asking,
    attend,
    claim,
    leader,
    request_stop,
    said_end,
    say_end,
)
from mapreduce.hosts.messages import HostReport
from mapreduce.hosts.resuming import invocation_of
from mapreduce.hosts.signed import SignedStore
from mapreduce.hosts.status import State, facts, status
from mapreduce.hosts.stopping import Outcome, stop
from mapreduce.hosts.watching import watch
from mapreduce.model import InputFile, Plan
from mapreduce.plan import make_plan
from mapreduce.protocols import Capabilities
from mapreduce.store import layout
from mapreduce.store.local import LocalStore, remove_empty, unfinished_files
from mapreduce.store.opening import describe
from mapreduce.testing import MemoryStore

RUN = "20261126T145923-d8282743"
JOB = Job("job", Records([]), lambda word: [(word, 1)], Sum(), "out")


@pytest.fixture
def store() -> MemoryStore:
    found = MemoryStore()
    assert claim(found, "nonce", "vm:1") == 1
    return found


# ---------------------------------------------------------------- names


def test_names_are_recognised_and_no_others() -> None:
    assert layout.asked_of(layout.ask_name(3, "ab12")) == (3, "ab12")
    assert layout.asked_of(layout.here_name(3, "ab12")) is None
    assert layout.question_of(layout.question_name("0123456789abcdef")) == "0123456789abcdef"
    assert layout.question_of(layout.open_name(RUN)) is None
    assert layout.name_in_job(layout.in_job(RUN, layout.COMMIT)) == (RUN, layout.COMMIT)
    assert layout.name_in_job(layout.open_name(RUN)) is None
    for name in (
        layout.stop_name(1),
        layout.end_name(1),
        layout.ask_name(1, "ab"),
        layout.here_name(1, "ab"),
    ):
        assert layout.epoch_of(name) is None, "it is no epoch"


def test_a_question_is_no_run() -> None:
    names = [layout.open_name(RUN), layout.question_name("0123456789abcdef")]
    assert runs_of(names) == [RUN]


# ---------------------------------------------------------------- what a coordinator hears


def test_a_coordinator_answers_once_and_hears_that_it_shall_stop(store: MemoryStore) -> None:
    answered: set[str] = set()
    with Asking(store, 1) as asking:
        assert asking.answer() is None
        assert not attend(store, 1, answered, lambda: {"causes": [(2, "why")]})
        assert asking.answer() == {"causes": [[2, "why"]]}
        assert not attend(store, 1, answered, dict)
    assert store.list("coord") == [layout.epoch_name(1)], "nothing is left"
    request_stop(store, 1)
    assert attend(store, 1, answered, dict)
    assert leader(store, 1) == "vm:1"


def test_a_request_to_stop_is_for_one_epoch(store: MemoryStore) -> None:
    request_stop(store, 1)
    assert claim(store, "other", "vm:2") == 2
    assert not attend(store, 2, set(), dict)
    with pytest.raises(Superseded):
        attend(store, 1, set(), dict)


def test_what_is_not_signed_is_not_heard(store: MemoryStore) -> None:
    signed = SignedStore(store, b"k" * 32, RUN)
    request_stop(store, 1)
    with Asking(store, 1) as asking:
        assert not attend(signed, 1, set(), dict)
        assert asking.answer() is None
    store.delete(layout.stop_name(1))
    request_stop(signed, 1)
    assert attend(signed, 1, set(), dict)


def test_a_coordinator_leaves_word_how_it_ended(store: MemoryStore) -> None:
    assert said_end(store, 1) is None
    say_end(store, 1, UserFunctionError("map raised", hint="mend it", trace="long"))
    assert said_end(store, 1) == {"kind": "UserFunctionError", "message": "map raised", "hint": "mend it"}
    for epoch, error in enumerate((Interrupted("stop"), KeyboardInterrupt(), SystemExit(143)), 2):
        say_end(store, epoch, error)
        assert said_end(store, epoch) == {}
    say_end(store, 9, ValueError("a bug"))
    assert (said_end(store, 9) or {})["kind"] == "InternalError"


# ---------------------------------------------------------------- watching


class Hours:
    """A clock that goes on while somebody sleeps, and what happens then."""

    def __init__(self, happens: Callable[[float], None] = lambda now: None) -> None:
        self.now = 0.0
        self._happens = happens

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self._happens(self.now)


def report(store: MemoryStore, host: str, number: int) -> None:
    store.put(layout.report_name(host, number), messages.write(HostReport(1, 1, 0)))


def test_who_writes_or_answers_is_alive_and_who_does_not_may_be(store: MemoryStore) -> None:
    report(store, "a", 3)
    report(store, "b", 7)

    def happens(now: float) -> None:
        if now >= 0.5:
            report(store, "a", 4)

    hours = Hours(happens)
    seen = watch(store, PACE, 2.0, clock=hours.clock, sleep=hours.sleep)
    assert (seen.epoch, seen.answer) == (1, None)
    assert list(seen.wrote) == ["a"]
    assert 0.5 <= seen.wrote["a"] < 1
    assert set(seen.hosts) == {"a", "b"}
    assert seen.seconds >= 2.0, "b and the coordinator were waited for"
    assert seen.is_alive


def test_nobody_is_waited_for_who_was_seen_or_has_said_goodbye(store: MemoryStore) -> None:
    report(store, "a", 3)

    def happens(now: float) -> None:
        report(store, "a", 4)
        attend(store, 1, set(), dict)

    hours = Hours(happens)
    seen = watch(store, PACE, 60.0, clock=hours.clock, sleep=hours.sleep)
    assert (seen.answer, list(seen.wrote)) == ({}, ["a"])
    assert seen.seconds < 1
    say_end(store, 1, Interrupted("stop"))
    hours = Hours()
    assert watch(store, PACE, 60.0, hosts=False, clock=hours.clock, sleep=hours.sleep).seconds < 1
    assert watch(store, PACE, 3.0, whole=True, clock=hours.clock, sleep=hours.sleep).seconds >= 3


# ---------------------------------------------------------------- cleaning


def test_a_fence_and_a_commit_exclude_one_another(store: MemoryStore) -> None:
    store.create(layout.COMMIT, b"a manifest")
    assert not fence(store)
    assert layout.ENDED not in store.list()
    store.delete(layout.COMMIT)
    assert fence(store)
    assert fence(store), "it may be repeated"
    assert not store.create(layout.COMMIT, b"a manifest")


def test_what_guards_the_end_of_a_run_stays(store: MemoryStore) -> None:
    for name in (layout.SPEC, layout.CODE, layout.plan_name(1), layout.log_name(1, 1), layout.stop_name(1)):
        store.put(name, b"x")
    store.create(layout.COMMIT, b"a manifest of megabytes")
    store.create(layout.ENDED, ENDED)
    erase(store)
    assert store.list() == [layout.epoch_name(1), layout.COMMIT, layout.ENDED]
    assert store.read(layout.COMMIT) == CLEANED


def test_what_a_submitter_that_was_killed_has_left_goes(own_folder: Path) -> None:
    cluster_folder = own_folder / "cluster"
    cluster_folder.mkdir(mode=0o700)
    cluster = Cluster(str(cluster_folder), None)
    killed, at_it = cluster.of_run(RUN), cluster.of_run(other := RUN.replace("4", "5"))
    for half in (killed, at_it):
        half.put(layout.CODE, b"x")
        half.put(layout.plan_name(1), b"x")
    found = clean(cluster, sleep=lambda _: at_it.put(layout.SPEC, b"x"))
    assert {left.run: (left.objects, bool(left.stays)) for left in found.runs} == {
        RUN: (2, False),
        other: (3, True),
    }
    assert killed.list() == [layout.COMMIT, layout.ENDED]
    assert at_it.read(layout.CODE) == b"x"
    killed.put(layout.SPEC, b"x")  # it was only slow
    with pytest.raises(Superseded, match="removed by `mapreduce clean`"):
        lead.lead(JOB, made("second", "elsewhere"), killed, killed, Limits())


def test_a_submitter_that_was_slower_than_the_cleaning_hears_of_it(own_folder: Path) -> None:
    cluster_folder = own_folder / "cluster"
    cluster_folder.mkdir(mode=0o700)
    cluster = Cluster(str(cluster_folder), None)
    fence(cluster.of_run(RUN))
    with pytest.raises(Superseded, match="removed by `mapreduce clean` while it was laid down"):
        cluster.submit(made("second", "elsewhere"), own_folder / "out", JOB)
    assert cluster.open_runs() == []


@pytest.mark.parametrize(
    ("overwrite", "replaces", "ended"),
    [
        pytest.param(False, None, LATE, id="without leave"),
        pytest.param(True, "first", LATE, id="the other replaced what this one replaces"),
        pytest.param(True, "other", ENDED, id="a later one's"),
    ],
)
def test_who_comes_too_late_for_its_output_publishes_nothing(
    own_folder: Path, overwrite: bool, replaces: str | None, ended: bytes
) -> None:
    """The output holds a result of another run; what this one has committed replaces something else."""
    made("first", "out")
    made("second", "second")
    run(replace(JOB, output="second", shards=2), on="serial", overwrite=True)
    parts, mine = LocalStore(own_folder / "out"), manifests.load(Path("second"))
    there = replace(
        manifests.load(Path("out")), previous=mine.previous if replaces == "first" else mine.digest
    )
    parts.put(layout.MANIFEST, before := manifests.seal(there)[1])
    store = MemoryStore()
    with pytest.raises(OutputExists) if ended == LATE else nullcontext():
        lead._publish(
            store,
            parts,
            lead._Reader(parts, time.sleep, 0.0),
            Path("second/_manifest.json").read_bytes(),
            overwrite=overwrite,
        )
    assert store.read(layout.ENDED) == ended
    assert parts.read(layout.MANIFEST) == before


def test_unfinished_files_and_empty_folders_are_found(own_folder: Path) -> None:
    root = own_folder / "store"
    LocalStore(root).put("a/b/object", b"x")
    half = root / "a" / layout.unfinished_name("object", RUN, "12345678")
    half.write_bytes(b"half")
    assert unfinished_files(root) == [half]
    assert unfinished_files(own_folder / "none") == []
    half.unlink()
    (root / "a" / "b" / "object").unlink()
    (root / "c").mkdir()
    (root / "d").mkdir()
    (root / "d" / "kept").touch()
    remove_empty(root)
    assert sorted(path.name for path in root.iterdir()) == ["d"]


# ---------------------------------------------------------------- finding a run


def test_a_folder_is_a_store_by_what_lies_there(own_folder: Path) -> None:
    assert not is_store(own_folder)
    (own_folder / "jobs").mkdir()
    (own_folder / "jobs" / "words.py").touch()
    assert not is_store(own_folder), "it holds somebody's jobs"
    (own_folder / "jobs" / RUN).mkdir()
    assert is_store(own_folder)


def test_a_run_is_named_by_its_beginning(own_folder: Path) -> None:
    own_folder.chmod(0o700)
    cluster = Cluster(str(own_folder), None)
    other = RUN.replace("4", "5")
    for run_id in (RUN, other):
        cluster.store.put(layout.open_name(run_id), b"")
    cluster.store.put(layout.in_job("20270101T000000-00000000", layout.SPEC), b"")
    assert cluster.named("20261126T14") == RUN
    assert cluster.named("2027") == "20270101T000000-00000000", "one that has ended"
    for begin, message in (("2026", "may be any of"), ("2028", "There is no run")):
        with pytest.raises(JobError, match=message):
            cluster.named(begin)


# ---------------------------------------------------------------- a run that came too late


def made(name: str, output: str) -> Plan:
    job = Job(name, Records(["a", "b"]), lambda word: [(word, 1)], Sum(), output)
    run(job, on="serial")
    return make_plan(job, RUN)


def test_a_run_whose_output_got_another_result_says_so(own_folder: Path) -> None:
    made("first", "out")
    plan = made("second", "elsewhere")
    cluster_folder = own_folder / "cluster"
    cluster_folder.mkdir(mode=0o700)
    cluster = Cluster(str(cluster_folder), None)
    cluster.submit(plan, own_folder / "out", JOB)
    store, parts = cluster.of_run(RUN), LocalStore(own_folder / "out")
    claim(store, "nonce", "vm:1")
    with pytest.raises(OutputExists):
        lead._publish(
            store,
            parts,
            lead._Reader(parts, time.sleep, 0.0),
            Path("elsewhere/_manifest.json").read_bytes(),
            overwrite=False,
        )
    assert facts(cluster, RUN).state is State.LATE
    assert "ended without a result" in status(cluster, RUN).phase
    assert stop(cluster, RUN).outcome is Outcome.LATE
    store.delete(layout.plan_name(1))
    with pytest.raises(JobError, match="has ended without a result"):
        invocation_of(cluster, RUN)
    for command in ("status", "stop"):
        told = CliRunner().invoke(main, [command, str(cluster_folder), RUN])
        assert "without a result" in " ".join(told.output.split())
        assert "mapreduce show" not in told.output


# ---------------------------------------------------------------- checking


def test_a_clock_is_compared_as_ntp_does() -> None:
    checkup = Checkup(
        "vm:2", "/store", Capabilities("folder"), False, {}, 2, (), began=1_105.0, ended=1_107.0
    )
    answer = compared(checkup, asked=1_000.0, read=1_012.0)
    # It is 100 s ahead: the question came at 1,005 of ours, and the answer left at 1,007.
    assert answer.offset == 100.0
    assert answer.uncertainty == 5.0
    assert answer.seconds == 12.0


@pytest.mark.parametrize("number", [0, 1, 2, SAMPLE - 1, SAMPLE, SAMPLE + 1, 1_000])
def test_a_sample_has_both_ends(number: int) -> None:
    files = [InputFile(f"in-{i}", 1, "") for i in range(number)]
    found = sample(files)
    assert len(found) == len(set(found)) == min(number, SAMPLE)
    assert found == sorted(found, key=files.index)
    if number:
        assert (found[0], found[-1]) == (files[0], files[-1])


def test_what_is_wrong_with_a_source_is_told(own_folder: Path) -> None:
    spec = Spec(RUN, "words", str(own_folder / "out"), 1, "", directory=str(own_folder))
    path = own_folder / "in.log"
    path.write_text("a b\n")
    planned = describe("in.log")
    assert source_problem(planned, spec) == ""
    os.utime(path, ns=(1, 1))
    assert "changed" in source_problem(planned, spec)
    path.write_text("a b c\n")
    assert source_problem(planned, spec) == f"{path} has 6 bytes, and 4 are planned."
    path.unlink()
    assert str(path) in source_problem(planned, spec)
    assert "No such file or directory" in output_problem(Path(spec.output))


def test_operations_are_timed_and_leave_nothing(store: MemoryStore) -> None:
    before = store.list()
    assert set(round_trips(store)) == {"create", "read", "list", "put", "delete"}
    assert store.list() == before


def test_a_store_that_can_not_be_written_to_is_told(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_folder.chmod(0o700)
    cluster = Cluster(str(own_folder), None)

    def denied(*_: object, **__: object) -> bool:
        raise StorageError("Can't write: Permission denied.", hint="Change permissions.")

    monkeypatch.setattr(cluster.store, "create", denied)
    found = check_up(cluster, "vm:1")
    assert found.seconds == {}
    assert found.problems == [
        "every operation may be used: Can't write: Permission denied. Change permissions."
    ]


@pytest.mark.covers("W9", "a host with another version answers a question")
def test_a_host_of_another_version_is_told_apart(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mapreduce import manifest as manifests
    from mapreduce.cli.doctor import different_versions

    own_folder.chmod(0o700)
    cluster = Cluster(str(own_folder), b"k" * 32)
    ours = manifests.versions()
    here = check_up(cluster, "vm:1")
    theirs = {**ours, "polars": "0.1"}
    monkeypatch.setattr("mapreduce.hosts.checkup.manifests.versions", lambda: theirs)
    host = Answering(cluster, "vm-2-12345678", "vm:2")

    hours = Hours()

    def attend_once(_: float) -> None:
        host.attend(cluster.store.list(layout.OPEN), at_work=False)
        time.sleep(0.02)
        hours.now += sum(layout.begun_of(name) is None for name in cluster.store.list(layout.ANSWERS))

    (answer,) = ask(cluster, 1.0, clock=hours.clock, sleep=attend_once)
    assert answer.checkup.host == "vm:2"
    assert different_versions(here, answer.checkup) == [f"polars 0.1 (here {ours['polars']})"]
    assert cluster.store.list() == []


@pytest.mark.parametrize("longer", [0.0, 5.0])
def test_who_has_begun_to_look_is_waited_for_longer(
    longer: float, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_folder.chmod(0o700)
    cluster, go_on, look = Cluster(str(own_folder), b"k" * 32), threading.Event(), check_up

    def slow(*arguments: Any, **options: Any) -> Checkup:
        go_on.wait(60)
        return look(*arguments, **options)

    monkeypatch.setattr("mapreduce.hosts.asking.check_up", slow)
    host, hours = Answering(cluster, "vm-2-12345678", "vm:2"), Hours()

    def attend_once(_: float) -> None:
        host.attend(cluster.store.list(layout.OPEN), at_work=False)
        time.sleep(0.02)
        names = cluster.store.list(layout.ANSWERS)
        hours.now = 1.0 if names else 0.0  # it has begun, and it is late
        if longer and names:
            go_on.set()

    answers = ask(cluster, 1.0, longer=longer, clock=hours.clock, sleep=attend_once)
    go_on.set()
    assert [answer.checkup.host for answer in answers] == (["vm:2"] if longer else [])
    if longer:
        assert cluster.store.list() == []
