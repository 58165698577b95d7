"""Whose run gets a coordinator, and when: a table, by a store in a folder and a clock that is set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from mapreduce import Job, Records, Sum
from mapreduce.codec import seal
from mapreduce.errors import Interrupted, UserFunctionError
from mapreduce.hosts.jobs import Cluster, Spec
from mapreduce.hosts.leadership import ENDED, LATE, attend, claim, request_retry, say_end
from mapreduce.hosts.retrying import retry
from mapreduce.hosts.stopping import Outcome, stop
from mapreduce.hosts.supervising import TELLING, Supervisor
from mapreduce.hosts.watching import enough
from mapreduce.plan import make_plan
from mapreduce.store import layout

RUN = "20261126T145923-d8282743"
JOB = Job("job", Records(["a"]), lambda word: [(word, 1)], Sum(), "out")


@dataclass
class Process:
    code: int | None = None

    def poll(self) -> int | None:
        return self.code

    def send_signal(self, number: int) -> None:
        raise AssertionError(number)


class World:
    """A cluster with one run, and a supervisor that is looked at in steps of a tenth of a second."""

    def __init__(self, folder: Path) -> None:
        (folder / "cluster").mkdir(mode=0o700)
        self.cluster = Cluster(str(folder / "cluster"), None)
        self.store = self.cluster.of_run(RUN)
        self.now = 100.0
        self.started: list[tuple[str, Process]] = []
        self.supervisor = Supervisor(self.cluster, self._start, clock=lambda: self.now)
        pace = self.cluster.pace()
        self.patience = max(pace.dead, enough(pace, self.cluster.store.capabilities))
        self.dead = pace.dead

    def _start(self, run_id: str) -> Process:
        self.started.append((run_id, Process()))
        return self.started[-1][1]

    def submit(self, *, is_left: bool) -> None:
        self.cluster.submit(make_plan(JOB, RUN), Path("out").resolve(), JOB, is_left=is_left)

    def after(self, seconds: float, then: Callable[[], object] = lambda: None) -> float | None:
        """Seconds until a coordinator is started, of so many; None: none is."""
        begin, before = self.now, len(self.started)
        while self.now <= begin + seconds:
            self.supervisor.look()
            if len(self.started) > before:
                return self.now - begin
            then()
            self.now += 0.1
        return None


@pytest.fixture
def world(own_folder: Path) -> World:
    return World(own_folder)


def test_a_run_that_was_left_to_others_is_led_at_once(world: World) -> None:
    world.submit(is_left=True)
    assert world.after(60) == 0
    assert world.after(60) is None, "it is led"
    assert [run for run, _ in world.started] == [RUN]


def test_a_run_whose_submitter_may_lead_it_is_led_when_that_has_not_come(world: World) -> None:
    world.submit(is_left=False)
    assert world.after(60) == pytest.approx(world.dead, abs=0.2)


def test_a_coordinator_that_answers_is_left_alone_and_one_that_is_silent_is_followed(world: World) -> None:
    world.submit(is_left=True)
    epoch = claim(world.store, "nonce", "vm:1")
    answered: set[str] = set()
    assert world.after(60, lambda: attend(world.store, epoch, answered, dict)) is None
    assert len(answered) > 5, "it was asked again and again"
    silent = world.after(60)
    assert silent is not None
    assert world.patience - 0.2 < silent < world.dead + world.patience + 0.2
    assert questions(world) == [], "nothing is left"


def questions(world: World) -> list[str]:
    return [name for name in world.store.list(layout.EPOCHS) if "ask" in name or "here" in name]


def test_nothing_is_left_of_a_question_when_the_run_fails_meanwhile(world: World) -> None:
    world.submit(is_left=True)
    epoch = claim(world.store, "nonce", "vm:1")
    world.after(0)
    assert questions(world)
    say_end(world.store, epoch, UserFunctionError("It raised."))
    world.after(0)
    assert questions(world) == []


def test_a_newer_coordinator_is_asked_anew(world: World) -> None:
    world.submit(is_left=True)
    claim(world.store, "one", "vm:1")
    assert world.after(world.patience / 2) is None
    claim(world.store, "two", "vm:2")
    assert world.after(60) == pytest.approx(world.patience, abs=0.3)


@pytest.mark.parametrize("code", [0, 3, 4])
def test_who_has_ended_well_is_no_reason_to_wait(
    world: World, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    world.submit(is_left=True)
    world.after(0)
    world.started[0][1].code = code
    world.supervisor.look()
    assert caplog.messages[1] == f"run {RUN} is led no more: exit code {code}"


@pytest.mark.parametrize(
    "error", [UserFunctionError("It raised."), Interrupted("Stopped.")], ids=["failed", "stopped"]
)
def test_how_a_run_ended_is_for_a_person_to_look_at(world: World, error: Exception) -> None:
    world.submit(is_left=True)
    say_end(world.store, claim(world.store, "nonce", "vm:1"), error)
    assert world.after(60) is None
    assert [retry(world.cluster, RUN).is_new for _ in range(2)] == [True, False]
    assert world.after(60) == 0, "a person has looked"


def test_a_run_that_fails_again_and_again_is_led_at_once_whenever_that_is_asked_for(world: World) -> None:
    world.submit(is_left=True)
    world.after(0)
    for number in range(6):
        say_end(world.store, claim(world.store, f"nonce-{number}", "vm:1"), UserFunctionError("It raised."))
        world.started[-1][1].code = 1
        assert world.after(60) is None
        retry(world.cluster, RUN)
        assert world.after(60) == 0


def test_who_ends_badly_before_it_leads_what_was_asked_for_is_followed_after_a_pause(world: World) -> None:
    world.submit(is_left=True)
    say_end(world.store, claim(world.store, "nonce", "vm:1"), UserFunctionError("It raised."))
    retry(world.cluster, RUN)
    for pause in (0, world.dead, 2 * world.dead):
        assert world.after(60) == pytest.approx(pause, abs=0.2)
        world.started[-1][1].code = 2


def test_what_was_asked_for_is_taken_back_by_stop(world: World) -> None:
    world.submit(is_left=True)
    say_end(world.store, claim(world.store, "nonce", "vm:1"), UserFunctionError("It raised."))
    retry(world.cluster, RUN)
    assert stop(world.cluster, RUN).outcome is Outcome.FAILED
    assert world.after(60) is None


@pytest.mark.covers("Q5", "a request to lead a failed run again, written without the key")
def test_what_was_asked_for_without_the_key_holds_nothing(world: World) -> None:
    unsigned = world.store
    world.cluster = Cluster(world.cluster.place, b"k" * 32)
    world.store = world.cluster.of_run(RUN)
    world.supervisor = Supervisor(world.cluster, world._start, clock=lambda: world.now)
    world.submit(is_left=True)
    epoch = claim(world.store, "nonce", "vm:1")
    say_end(world.store, epoch, UserFunctionError("It raised."))
    request_retry(unsigned, epoch)
    assert world.after(60) is None
    assert retry(world.cluster, RUN).is_new
    assert world.after(60) == 0


def test_a_run_that_has_ended_is_not_led(world: World) -> None:
    world.submit(is_left=True)
    world.store.create(layout.ENDED, ENDED)
    world.store.delete(layout.plan_name(1))
    assert world.after(10 * TELLING) is None


def test_a_run_whose_sinks_may_not_have_been_told_is_led_when_its_coordinator_is_silent(world: World) -> None:
    world.submit(is_left=True)
    claim(world.store, "nonce", "vm:1")
    world.store.create(layout.ENDED, ENDED)
    assert world.after(10 * TELLING) == pytest.approx(TELLING, abs=0.3)


def test_a_run_that_came_too_late_is_not_led(world: World) -> None:
    world.submit(is_left=True)
    claim(world.store, "nonce", "vm:1")
    world.store.create(layout.ENDED, LATE)
    assert world.after(10 * TELLING) is None


def test_what_is_damaged_is_not_led_and_hides_no_other(world: World) -> None:
    other = "20200101T000000-00000000"
    world.cluster.store.put(layout.open_name(other), b"")
    world.cluster.of_run(other).put(layout.SPEC, b"x")
    world.submit(is_left=True)
    assert world.after(60) == 0
    assert [run for run, _ in world.started] == [RUN]


@pytest.mark.covers("Q5", "an unsigned spec, also one whose signature is no text, and an open run")
@pytest.mark.parametrize("signed", ["", "\udc80"])
def test_what_is_not_signed_is_not_led_and_hides_no_other(world: World, signed: str) -> None:
    world.cluster = Cluster(world.cluster.place, b"k" * 32)
    world.store = world.cluster.of_run(RUN)
    world.supervisor = Supervisor(world.cluster, world._start, clock=lambda: world.now)
    forged = "20200101T000000-00000000"
    spec = Spec(forged, "job", "/etc", 1, "", signature=signed)
    world.cluster.store.put(layout.in_job(forged, layout.SPEC), seal(spec))
    world.cluster.store.put(layout.open_name(forged), b"")
    world.submit(is_left=True)
    assert world.after(60) == 0
    assert [run for run, _ in world.started] == [RUN]


def test_a_process_that_has_ended_is_followed_unless_the_run_has(world: World) -> None:
    world.submit(is_left=True)
    world.after(0)
    world.started[0][1].code = -9
    assert world.after(60) == pytest.approx(world.dead, abs=0.2), "it had not led yet"
    world.started[1][1].code = -9
    assert world.after(60) == pytest.approx(2 * world.dead, abs=0.2), "it may end badly again"
    world.started[2][1].code = 1
    say_end(world.store, claim(world.store, "nonce", "vm:1"), UserFunctionError("It raised."))
    assert world.after(60) is None


def test_who_leaves_takes_back_its_questions_and_starts_nothing(world: World) -> None:
    world.submit(is_left=True)
    claim(world.store, "nonce", "vm:1")
    world.after(0)
    assert any(map(layout.asked_of, world.store.list(layout.EPOCHS)))
    world.supervisor.close()
    assert not any(map(layout.asked_of, world.store.list(layout.EPOCHS)))
    world.now += 60
    world.supervisor.look(starts=False)
    assert world.started == []
