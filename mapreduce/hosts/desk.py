"""The coordinator's side of the store: an executor whose workers are slots of hosts.

A worker is a number that stands for a slot, or for a place in the queue before it, so that a host has the
next attempt at hand. A host that is silent for too long is taken for dead: its workers are gone, and if it
comes back it gets new ones. It may have been alive; what it still does is not asked for.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from mapreduce.codec import to_plain
from mapreduce.coordinator.policy import may_be_the_hosts
from mapreduce.errors import HostLost, MapReduceError, NoWorkers, Superseded, from_plain
from mapreduce.events import Event, Failed, Printed, Reported, Succeeded, WorkerGone, WorkerReady
from mapreduce.hosts import messages
from mapreduce.hosts.blame import Blame
from mapreduce.hosts.leadership import attend, has_ended, superseded
from mapreduce.hosts.messages import Ended, HostReport, Order, Orders
from mapreduce.model import Attempt, Kind
from mapreduce.protocols import Store
from mapreduce.store import layout
from mapreduce.store.together import do_all

_LOG = logging.getLogger("mapreduce.run")


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the store is asked, and how long silence may last. Seconds."""

    look: float = 0.02
    """Between two looks at what the other side has written."""
    report: float = 0.5
    """A host reports at least as often, and looks for newer coordinators."""
    dead: float = 5.0
    """A host that was silent for so long is taken for dead: several times `report`, and as long as a new
    name may stay unseen."""
    rest: float = 0.2
    """Between two looks for runs, of a host that has none."""


INSTANT = 0.001
"""Seconds that are not worth waiting for."""
LONELY = 10.0
"""Seconds without any host after which that is told."""
QUICK = 0.5
"""Seconds. Of attempts that take longer a host has none at hand but those that run: others may be idle."""
REACH = 5
"""For so many looks a host has work at hand: until its report is read, and the orders that follow are."""
LEAST = 0.001
"""Seconds that an attempt is taken to last at least."""
MOST = 200
"""Attempts at hand for a slot."""


PACE = Pace()


def at_hand(seconds: float, look: float) -> int:
    """Attempts that a host has for each slot, the one that runs among them, where each takes so long.

    look: seconds between two looks at what the other side has written.
    """
    reach = REACH * look
    if seconds >= max(QUICK, reach):
        return 1
    return min(MOST, 1 + math.ceil(reach / max(seconds, LEAST)))


@dataclass(eq=False, slots=True)
class _Host:
    id: str
    name: str = ""
    read: int = 0
    """Number of the newest report that was read."""
    heard: float = 0.0
    alive: bool = False
    slots: int = 0
    took: dict[Kind, float] = field(default_factory=dict)
    """Seconds of an attempt there: of the slowest, and after quicker ones less and less."""
    workers: set[int] = field(default_factory=set)
    orders: dict[str, Order] = field(default_factory=dict)
    told: int = 0
    """What has ended up to this number has been told to the coordinator,"""
    settled: int = 0
    """and up to this one it is taken care of."""
    sent: int = 0
    """Number of the newest orders."""
    said: tuple[int, int] = (0, 0)
    """`ack` and `seen` in them."""
    removed: int = 0
    changed: bool = True
    """The newest orders are not what is wanted now."""
    refusal: str = ""
    """Why it gets no work,"""
    blamed: str = ""
    """and why it gets none any more, whatever it says."""


KEPT_REPORTS = 16
"""So many reports of a host may lie there before it is told that they were read."""


class Desk:
    """An `Executor` for the coordinator of an epoch.

    store: the run's. check: why a host of these versions can't take part, or "". standing: what those are
    told who ask whether the coordinator is there. lonely: seconds without any host after which `poll` raises
    NoWorkers. Raises Superseded from `poll` when another one leads.
    """

    queues = True

    def __init__(
        self,
        store: Store,
        epoch: int,
        pace: Pace = PACE,
        *,
        check: Callable[[dict[str, str]], str] = lambda _: "",
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        standing: Callable[[], dict[str, Any]] = dict,
        lonely: float = math.inf,
    ) -> None:
        self._store, self.epoch, self._pace = store, epoch, pace
        self._check, self._clock, self._sleep = check, clock, sleep
        self._standing, self._answered = standing, set[str]()
        self.is_asked_to_stop = False
        self._hosts: dict[str, _Host] = {}
        self._at: dict[int, _Host] = {}
        """Whose each worker is."""
        self._running: dict[Attempt, str] = {}
        """Key of the order of each attempt that has not ended."""
        self._memory: dict[int, int] = {}
        self._events: list[Event | Printed | Reported] = []
        self._blame = Blame()
        self._stages: dict[str, Any] = {}
        """What reduces read that are to be ordered, by name."""
        self._unneeded: list[str] = []
        """Names of orders that are to be deleted."""
        self._idle: set[int] = set()
        """Workers that were told to be ready, and have got nothing."""
        self._kind = Kind.MAP
        """Of what was submitted last."""
        self._is_asked = self._are_waiting = True
        """Whether something was submitted since the last poll; whether, when that was so, every worker got
        something, so that more attempts may wait."""
        self._numbers = 0
        self._most = 1
        self._before: dict[str, int] = {}
        """Number of the newest report of each host when this desk was opened."""
        self._lonely = lonely
        self._alone_since, self._told_alone = clock(), False
        self._looked = self._led = self._asked = clock()

    @property
    def workers(self) -> int:
        """The most that could run at once so far."""
        return self._most

    def start(self) -> None:
        """Hosts come by themselves. What they told a coordinator before does not say who is there now."""
        self._before = {host: number for host, (number, _) in messages.newest_reports(self._store).items()}

    def unacknowledged(self) -> list[Ended]:
        """What hosts have done, and no coordinator has acknowledged."""
        reports = [report for _, report in messages.newest_reports(self._store).values()]
        return [ended for report in reports for ended in report.ended if ended.result is not None]

    # ------------------------------------------------------------ what the coordinator wants

    def submit(self, attempt: Attempt, request: dict[str, Any]) -> None:
        host = self._at.get(attempt.worker)
        if host is None:  # it was lost a moment ago, which has been, or will be, told
            return
        self._idle.discard(attempt.worker)
        self._kind, self._is_asked = attempt.task.kind, True
        order = Order(attempt, self._staged(attempt, request))
        host.orders[order.key] = order
        host.changed = True
        self._running[attempt] = order.key

    def _staged(self, attempt: Attempt, request: dict[str, Any]) -> dict[str, Any]:
        """The request, with what a reduce reads in an object of its own: orders are written often."""
        plain: dict[str, Any] = to_plain(request)
        if "segments" in plain:
            name = layout.stage_name(self.epoch, attempt.task.index, request["nonce"])
            self._stages[name] = plain["segments"]
            plain["segments"] = name
        return plain

    def _lay_stages(self) -> None:
        """Before any orders that name them."""
        do_all(self._store, lambda stage: messages.post(self._store, *stage), self._stages.items())
        self._stages.clear()

    def stop(self, attempt: Attempt, error: MapReduceError | None) -> None:
        key = self._running.get(attempt)
        host = self._at.get(attempt.worker)
        if key is None or host is None:
            return
        host.changed = True
        if error is None:
            self._forget(host, key)
            self._replace_worker(host, attempt.worker)
        elif host.orders[key].stop is None:
            host.orders[key] = replace(host.orders[key], stop=error.to_plain())

    def settle(self) -> None:
        """All that `poll` has told is taken care of: hosts may forget it."""
        for host in self._hosts.values():
            host.settled = host.told

    def memory(self) -> dict[int, int]:
        return dict(self._memory)

    def close(self) -> None:
        """Tell every host that the run is over."""
        for host in self._hosts.values():
            host.orders.clear()
        self._send(self._hosts.values(), ended=True)

    # ------------------------------------------------------------ what hosts tell

    def poll(self, timeout: float) -> list[Event | Printed | Reported]:
        deadline = self._clock() + timeout
        self._take_back()
        while True:
            self._lay_stages()
            hosts = [each for each in self._hosts.values() if each.alive]
            self._send([host for host in hosts if host.changed or self._is_owed(host)])
            if self._looked + self._pace.look - self._clock() < INSTANT:
                self._look()
            now = self._clock()
            if self._events or now >= deadline:
                events, self._events = self._events, []
                return events
            self._sleep(max(INSTANT, min(self._looked + self._pace.look, deadline) - now))

    def _take_back(self) -> None:
        """When nothing waits, leave no place in a queue: what comes next shall find slots that are free."""
        if self._idle:
            self._are_waiting = False
        elif self._is_asked:
            self._are_waiting = True
        self._is_asked = False
        for worker in sorted(self._idle):
            host = self._at[worker]
            if len(host.workers) > self._wanted(host):
                self._drop_worker(host, worker, "Nothing waits for it.")

    def _is_owed(self, host: _Host) -> bool:
        """Whether it should be told that what it has written may go."""
        ack, seen = host.said
        return host.settled > ack or host.read - seen >= KEPT_REPORTS

    def _send(self, hosts: Iterable[_Host], *, ended: bool = False) -> None:
        do_all(self._store, partial(self._send_to, ended=ended), hosts)

    def _send_to(self, host: _Host, *, ended: bool) -> None:
        host.sent += 1
        orders = Orders(tuple(host.orders.values()), host.settled, host.read, ended, host.refusal)
        messages.post(self._store, layout.orders_name(host.id, self.epoch, host.sent), orders)
        host.said, host.changed = (host.settled, host.read), False

    def _look(self) -> None:
        """Read new reports; whoever has been silent for too long is lost."""
        now = self._clock()
        asleep = now - self._looked > self._pace.dead / 3  # it was this process that was silent
        self._looked = now
        if now - self._led >= self._pace.report:
            self._led = now
            self.is_asked_to_stop |= attend(self._store, self.epoch, self._answered, self._standing)
        if now - self._asked >= self._pace.dead:
            self._asked = now
            if has_ended(self._store):
                raise Superseded(f"Another coordinator has ended the run; this was coordinator {self.epoch}.")
        for host in self._hosts.values():
            if asleep:
                host.heard = now
        read = self._before | {host.id: host.read for host in self._hosts.values()}
        reports = messages.all_reports(self._store)
        for id_, (number, report) in messages.newer_reports(self._store, reports, read):
            host = self._hosts.setdefault(id_, _Host(id_, heard=now))
            host.read = number
            self._hear(host, report)
        do_all(self._store, self._store.delete, self._unneeded)
        self._unneeded.clear()
        self._note_whether_alone(now, asleep=asleep)
        for host in self._hosts.values():
            if host.alive and self._clock() - host.heard > self._pace.dead:
                self._lose(host, f"{host.name or host.id} has not been heard of for {self._pace.dead:g} s.")

    def _note_whether_alone(self, now: float, *, asleep: bool) -> None:
        """Say that no host works on the run; after a while give up. Raises NoWorkers."""
        if asleep or any(host.alive for host in self._hosts.values()):
            self._alone_since, self._told_alone = now, False
            return
        alone = now - self._alone_since
        if alone > self._lonely:
            raise NoWorkers(
                f"No host has worked on the run for {self._lonely:g} s.",
                hint="Start one, `mapreduce worker STORE`, and go on with the run.",
            )
        if alone > LONELY and not self._told_alone:
            self._told_alone = True
            _LOG.warning("no host works on the run: start one with `mapreduce worker STORE`")

    def _hear(self, host: _Host, report: HostReport) -> None:
        if report.epoch > self.epoch:
            raise superseded(self.epoch, report.epoch)
        host.heard, host.name = self._clock(), report.name
        refusal = host.blamed or self._check(report.versions)
        if refusal != host.refusal:
            self._refuse(host, refusal)
        host.slots = report.slots
        self._note_times(host, report.ended)
        self._hear_ended(host, report.ended)
        for going in report.going:
            order = host.orders.get(going.key)
            if order:
                self._memory[order.attempt.worker] = going.memory
                self._events.append(Reported(order.attempt, going.bytes, going.records, going.pairs))
        if report.epoch == self.epoch:
            self._remove_read(host, report.seen)
        self._most = max(self._most, sum(other.slots for other in self._hosts.values() if other.alive))
        if not host.alive and (report.slots or host.refusal):
            host.alive = host.changed = True
        while len(host.workers) < self._wanted(host):
            self._add_worker(host)
        if host.alive and not report.slots:
            self._let_go(host, {going.key for going in report.going})
            host.alive = bool(host.workers or report.ended)  # it waits until what has ended is acknowledged

    def _refuse(self, host: _Host, why: str) -> None:
        """It gets no work; what it runs it may end."""
        host.refusal, host.changed = why, True
        if why:
            _LOG.warning("host %s takes no part: %s", host.name or host.id, why)
        busy = {order.attempt.worker for order in host.orders.values()}
        for worker in sorted(host.workers - busy):
            self._drop_worker(host, worker, f"{host.name or host.id} takes no part: {why}")

    def _set_aside(self, host: _Host) -> None:
        """Give it no more of this run: others finish what it fails. The last one that works is kept."""
        if host.blamed or not any(
            other.alive and other.slots and not other.refusal
            for other in self._hosts.values()
            if other is not host
        ):
            return
        host.blamed = self._blame.why(host.id)
        self._refuse(host, host.blamed)

    def _wanted(self, host: _Host) -> int:
        """How many workers a host has, if it is up to us."""
        if host.refusal:
            return 0
        took = host.took.get(self._kind, math.inf) if self._are_waiting else math.inf
        return host.slots * at_hand(took, self._pace.look)

    def _hear_ended(self, host: _Host, all_ended: Iterable[Ended]) -> None:
        for ended in all_ended:
            if ended.number <= host.told:
                continue
            host.told = ended.number
            order = host.orders.get(ended.key)
            if order is None:  # of another coordinator, or not wanted any more
                continue
            self._forget(host, ended.key)
            attempt = order.attempt
            if ended.printed:
                self._events.append(Printed(attempt, ended.printed))
            if ended.result is not None:
                self._events.append(Succeeded(attempt, ended.result))
                self._free(host, attempt.worker)
                for id_ in self._blame.succeeded(host.id, attempt.task):
                    self._set_aside(self._hosts[id_])
                continue
            error = from_plain(ended.error or {})
            if may_be_the_hosts(error) and "\n" not in error.message:
                error.message += f" It was on host {host.name or host.id}."
            self._blame.failed(host.id, attempt.task, error)
            error.records = range(*ended.records) if ended.records else None
            if ended.lost:
                self._events.append(WorkerGone(attempt.worker, error))
                self._replace_worker(host, attempt.worker)
            else:
                self._events.append(Failed(attempt, error))
                self._free(host, attempt.worker)

    @staticmethod
    def _note_times(host: _Host, all_ended: Iterable[Ended]) -> None:
        """How long attempts took there that it tells of for the first time."""
        for ended in all_ended:
            if ended.number > host.told and ended.result is not None:
                kind, seconds = ended.attempt.task.kind, ended.result.work.seconds
                before = host.took.get(kind, QUICK)
                host.took[kind] = max(seconds, before - (before - seconds) / 4)

    def _forget(self, host: _Host, key: str) -> None:
        attempt = host.orders.pop(key).attempt
        self._running.pop(attempt, None)
        self._memory.pop(attempt.worker, None)

    def _remove_read(self, host: _Host, seen: int) -> None:
        """The orders before those that the host has read may go."""
        numbers = range(max(1, host.removed), min(seen, host.sent))
        self._unneeded += [layout.orders_name(host.id, self.epoch, number) for number in numbers]
        host.removed = max(host.removed, min(seen, host.sent))

    # ------------------------------------------------------------ workers come and go

    def _add_worker(self, host: _Host) -> None:
        self._numbers += 1
        host.workers.add(self._numbers)
        self._at[self._numbers] = host
        self._tell_ready(host, self._numbers)

    def _tell_ready(self, host: _Host, worker: int) -> None:
        self._idle.add(worker)
        self._events.append(WorkerReady(worker, host.id))

    def _free(self, host: _Host, worker: int) -> None:
        """A worker has nothing to do; it goes if there are more than there should be."""
        if len(host.workers) > self._wanted(host):
            self._drop_worker(host, worker, f"{host.name or host.id} has no more room.")
        else:
            self._tell_ready(host, worker)

    def _drop_worker(self, host: _Host, worker: int, why: str, *, begun: bool = False) -> None:
        host.workers.discard(worker)
        del self._at[worker]
        if worker in self._idle:
            self._idle.discard(worker)
            ready = WorkerReady(worker, host.id)
            self._events = [event for event in self._events if event != ready]
        self._events.append(WorkerGone(worker, HostLost(why, place=f"host {host.id}"), begun))

    def _replace_worker(self, host: _Host, worker: int) -> None:
        host.workers.discard(worker)
        self._at.pop(worker, None)
        self._idle.discard(worker)
        if len(host.workers) < self._wanted(host):
            self._add_worker(host)

    def _let_go(self, host: _Host, going: set[str]) -> None:
        """The host is about to leave: it begins nothing more, and is gone when what runs has ended."""
        busy = {order.attempt.worker: key for key, order in host.orders.items()}
        for worker in sorted(host.workers):
            key = busy.get(worker)
            if key in going:
                continue
            if key is not None:
                self._forget(host, key)
            self._drop_worker(host, worker, f"{host.name or host.id} has left.")

    def _lose(self, host: _Host, why: str) -> None:
        """Its workers are gone, and what they had to do. It began things in the order that it got them in."""
        host.alive = False
        host.changed = True
        begun = {order.attempt.worker for order in list(host.orders.values())[: host.slots or None]}
        for key in list(host.orders):
            self._forget(host, key)
        for worker in sorted(host.workers):
            self._drop_worker(host, worker, why, begun=worker in begun)
