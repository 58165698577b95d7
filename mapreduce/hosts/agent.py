"""A host's side of the store: does what the newest orders say, by an executor of its own.

The host decides nothing. It runs what it is told to run, tells what became of it until that is acknowledged,
and drops what newer orders don't name. Of coordinators it obeys the one with the highest epoch.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from mapreduce.coordinator.policy import too_large
from mapreduce.errors import MapReduceError, StorageError, from_plain
from mapreduce.events import Failed, Printed, Reported, Succeeded, WorkerGone, WorkerReady
from mapreduce.hosts import messages
from mapreduce.hosts.desk import PACE, Pace
from mapreduce.hosts.leadership import has_ended
from mapreduce.hosts.messages import Ended, Going, HostReport, Order, Orders
from mapreduce.model import Attempt, Result
from mapreduce.protocols import Executor, Store
from mapreduce.shuffle.objects import read_stage
from mapreduce.store import layout
from mapreduce.store.together import do_all

_LOG = logging.getLogger("mapreduce.host")

EAGER = 4
"""A host that has nothing to do looks so many times as often for orders."""
IDLE = 10
"""A host that has had nothing to do for so many times `Pace.dead` leaves the run."""


@dataclass(slots=True)
class _Begun:
    """An attempt that the executor runs."""

    order: Order
    attempt: Attempt
    """As the executor knows it: on a worker of this host."""
    going: Going
    printed: str = ""
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a host is: an id that no other has, not even itself after a restart; and what others are told."""

    id: str
    name: str = ""
    versions: dict[str, str] = field(default_factory=dict)


class Agent:
    """One host in one run.

    store: the run's. executor: of this host, not yet started. leaving: asked whether the host is to take
    nothing more, and to leave when what runs has ended. memory: bytes that the attempts of this host may hold
    together, where the job does not say. beside: called at each step, for what else the host does; it returns
    at once.
    """

    def __init__(
        self,
        store: Store,
        identity: Identity,
        executor: Executor,
        pace: Pace = PACE,
        *,
        leaving: Callable[[], bool] = lambda: False,
        memory: int | None = None,
        beside: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._identity, self._executor, self._pace = store, identity, executor, pace
        self._leaving, self._memory, self._clock = leaving, memory, clock
        self._beside = beside
        self.epoch = self._seen = 0
        """Of the newest orders, and their number."""
        self.why = ""
        """Why it is over,"""
        self.is_done = False
        """and whether there can be nothing more to do under this coordinator."""
        self._queue: deque[Order] = deque()
        self._begun: dict[str, _Begun] = {}
        self._keys: dict[Attempt, str] = {}
        """Of attempts as the executor knows them."""
        self._ended: dict[int, Ended] = {}
        self._numbers = 0
        self._idle: deque[int] = deque()
        self._reports = self._removed = 0
        self._reported = self._asked = clock() - pace.dead
        self._listed = clock() - pace.dead
        self._tried = self._busy = self._weighed = clock()
        self._reads_next = store.capabilities.wait_by == "read"
        self._changed = True
        self._refusal = ""

    def serve(self) -> None:
        """Work until the run is over, or this host has left. Raises what the executor and the store raise."""
        self._executor.start()
        try:
            while self.step():
                pass
        finally:
            self._executor.close()

    def refuse(self, why: str) -> None:
        """Tell that this host can't work on the run: what it had to do is for others. Raises StorageError."""
        self._queue.clear()
        self._begun.clear()
        self._identity = replace(self._identity, versions={**self._identity.versions, messages.UNFIT: why})
        self._report(leaving=True)

    def step(self) -> bool:
        """Take in what has happened, and act; False: it is over."""
        for event in self._executor.poll(self._look()):
            self._hear(event)
        self._beside()
        orders = self._newest_orders()
        if orders is not None:
            self._changed = True
            if orders.ended:
                return self._over("its coordinator has ended", done=True)
            self._obey(orders)
        if self._has_ended():
            return self._over("it has ended", done=True)
        self._begin()
        self._stop_too_large()
        leaving = self._leaving() or self._is_idle() or bool(self._refusal)
        if leaving:
            self._changed |= bool(self._queue)
            self._queue.clear()
        if self._clock() - self._reported >= self._patience(leaving=leaving):
            self._report(leaving=leaving)
        if leaving and not self._begun and not self._ended:
            if self._refusal:
                return self._over("it gets no work", done=True)
            return self._over("there is nothing to do" if self._is_idle() else "this host leaves")
        return True

    def _look(self) -> float:
        """Seconds until the next look for orders: few if this host does nothing else, and a look is free."""
        is_free = not self._begun and not self._queue and not self._store.capabilities.paid
        return self._pace.look / EAGER if is_free else self._pace.look

    def _patience(self, *, leaving: bool) -> float:
        """Seconds after the last report until the next: a host with work at hand need not hurry."""
        if not self._changed:
            return self._pace.report
        return 0.0 if leaving or (self._idle and not self._queue) else self._pace.look

    def _over(self, why: str, *, done: bool = False) -> bool:
        self.why, self.is_done = why, done
        return False

    def _is_idle(self) -> bool:
        """Whether there has been nothing to do for so long that there may be more to do elsewhere."""
        if self._begun or self._queue or self._ended:
            self._busy = self._clock()
        return self._clock() - self._busy > IDLE * self._pace.dead

    # ------------------------------------------------------------ orders

    def _newest_orders(self) -> Orders | None:
        """Orders that are newer than those that were read last; None if there are none, or not yet."""
        now = self._clock()
        wait = self._pace.report if self._reads_next and self.epoch else self._look()
        if now - self._listed >= wait:
            self._listed = now
            names = self._store.list(f"{layout.ORDERS}/{self._identity.id}")
            newer = (
                each for each in map(layout.orders_numbers, names) if each and each > (self.epoch, self._seen)
            )
            found = (self._read(*each) for each in sorted(newer, reverse=True))
            return next(filter(None, found), None)
        if self._reads_next and self.epoch and now - self._tried >= self._pace.look:
            self._tried = now
            return self._read(self.epoch, self._seen + 1)
        return None

    def _read(self, epoch: int, number: int) -> Orders | None:
        try:
            data = self._store.read(layout.orders_name(self._identity.id, epoch, number))
            orders = messages.parse(Orders, data)
        except (FileNotFoundError, ValueError, TypeError):
            return None
        self.epoch, self._seen = epoch, number
        return orders

    def _has_ended(self) -> bool:
        """Whether the run has ended without a word to this host; asked now and then."""
        now = self._clock()
        if now - self._asked < (self._pace.dead if self._begun else self._pace.report):
            return False
        self._asked = now
        return has_ended(self._store)

    def _obey(self, orders: Orders) -> None:
        if orders.refusal != self._refusal:
            self._refusal = orders.refusal
            _LOG.warning("this host gets no work: %s", orders.refusal)
        self._ended = {number: ended for number, ended in self._ended.items() if number > orders.ack}
        read = range(self._removed + 1, orders.seen)
        names = [layout.report_name(self._identity.id, number) for number in read]
        do_all(self._store, self._store.delete, names)
        self._removed = max(self._removed, orders.seen - 1)
        wanted = {order.key: order for order in orders.orders}
        self._queue = deque(order for order in self._queue if order.key in wanted)
        for key, begun in list(self._begun.items()):
            if key not in wanted:
                self._stop(key, begun, None)
            elif (error := wanted[key].stop) and not begun.stopped:
                self._stop(key, begun, from_plain(error))
        known = {order.key for order in self._queue} | self._begun.keys()
        known |= {ended.key for ended in self._ended.values()}
        self._queue += [order for key, order in wanted.items() if key not in known]

    def _stop(self, key: str, begun: _Begun, error: MapReduceError | None) -> None:
        begun.stopped = True
        self._executor.stop(begun.attempt, error)
        if error is None:
            self._forget(key)

    def _begin(self) -> None:
        while self._idle and self._queue:
            order = self._queue.popleft()
            if order.stop:
                self._end(order, error=from_plain(order.stop))
                continue
            try:
                request = self._whole(order.request)
            except StorageError as error:
                self._end(order, error=error)
                continue
            attempt = replace(order.attempt, worker=self._idle.popleft())
            self._begun[order.key] = _Begun(order, attempt, Going(order.key))
            self._keys[attempt] = order.key
            self._executor.submit(attempt, request)
            self._changed = True

    def _whole(self, request: dict[str, Any]) -> dict[str, Any]:
        """The request with what a reduce reads, which was laid down elsewhere. Raises StorageError."""
        own = self._memory and self._memory // self._executor.workers
        whole = {**request, "memory": request.get("memory") or own}
        if "segments" in request:
            whole["segments"] = read_stage(self._store, request["segments"])
        return whole

    def _stop_too_large(self) -> None:
        """Before this host runs out of memory: where the job says what an attempt may hold, others look."""
        now = self._clock()
        if self._memory is None or now - self._weighed < self._pace.look:
            return
        self._weighed = now
        held = self._executor.memory()
        running = [(key, begun) for key, begun in self._begun.items() if not begun.stopped]
        alone = len(running) == 1
        most = self._memory if alone else self._memory // self._executor.workers
        for key, begun in running:
            takes = 0 if begun.order.request.get("memory") else held.get(begun.attempt.worker, 0)
            if error := too_large(begun.order.attempt, takes, most, alone=alone):
                self._stop(key, begun, error)
                return  # the others have more room then

    # ------------------------------------------------------------ events

    def _hear(self, event: object) -> None:
        if isinstance(event, WorkerReady):
            self._idle.append(event.worker)
        elif isinstance(event, WorkerGone):
            self._worker_gone(event)
        elif isinstance(event, (Succeeded, Failed, Printed, Reported)) and event.attempt in self._keys:
            key = self._keys[event.attempt]
            if isinstance(event, Succeeded):
                self._end(self._begun[key].order, result=event.result)
            elif isinstance(event, Failed):
                self._end(self._begun[key].order, error=event.error)
            elif isinstance(event, Printed):
                self._begun[key].printed += event.text
            else:
                self._begun[key].going = Going(key, event.bytes, event.records, event.pairs)

    def _worker_gone(self, event: WorkerGone) -> None:
        if event.worker in self._idle:
            self._idle.remove(event.worker)
        for begun in list(self._begun.values()):
            if begun.attempt.worker == event.worker:
                self._end(begun.order, error=event.error, lost=True)

    def _end(
        self,
        order: Order,
        *,
        result: Result | None = None,
        error: MapReduceError | None = None,
        lost: bool = False,
    ) -> None:
        printed = self._begun[order.key].printed if order.key in self._begun else ""
        self._forget(order.key)
        self._numbers += 1
        records = (error.records.start, error.records.stop) if error and error.records is not None else ()
        plain = error.to_plain() if error else None
        self._ended[self._numbers] = Ended(
            self._numbers, order.key, order.attempt, result, plain, records, lost, printed
        )
        self._changed = True

    def _forget(self, key: str) -> None:
        begun = self._begun.pop(key, None)
        if begun:
            del self._keys[begun.attempt]

    # ------------------------------------------------------------ reports

    def _report(self, *, leaving: bool) -> None:
        memory = self._executor.memory()
        going = tuple(
            replace(begun.going, memory=memory.get(begun.attempt.worker, 0)) for begun in self._begun.values()
        )
        report = HostReport(
            0 if leaving else self._executor.workers,
            self.epoch,
            self._seen,
            tuple(self._ended.values()),
            going,
            self._identity.name,
            self._identity.versions,
        )
        self._reports += 1
        messages.post(self._store, layout.report_name(self._identity.id, self._reports), report)
        self._reported, self._changed = self._clock(), False
