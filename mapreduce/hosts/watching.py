"""Who is at work on a run, found out by asking and watching: no clock of another host is compared.

A coordinator may have nothing to write, so it is asked, and answers when it looks for newer ones. Hosts
report by themselves. Silence proves nothing: who is silent may be frozen, or behind a store that is slow.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from mapreduce.hosts.desk import Pace
from mapreduce.hosts.leadership import Asking, newest, said_end
from mapreduce.hosts.messages import HostReport, all_reports, newer_reports
from mapreduce.protocols import Capabilities, Store


@dataclass
class Seen:
    """What was seen of a run while it was watched."""

    epoch: int
    """The newest one when it began; 0: nobody has led yet."""
    hosts: dict[str, HostReport] = field(default_factory=dict)
    """What each host said last."""
    seconds: float = 0.0
    """It was watched for."""
    answer: dict[str, Any] | None = None
    """What the coordinator of that epoch said; None: nothing."""
    answered: float = 0.0
    """Seconds until it did."""
    wrote: dict[str, float] = field(default_factory=dict)
    """Hosts that reported meanwhile, and after how many seconds."""

    @property
    def is_alive(self) -> bool:
        """Whether anybody is at work on it for certain."""
        return self.answer is not None or bool(self.wrote)


def enough(pace: Pace, able: Capabilities) -> float:
    """Seconds after which who is alive has been seen, if nothing is slow: several reports."""
    return 4 * pace.report + max(able.listed_after, able.missing_for)


def watch(
    store: Store,
    pace: Pace,
    seconds: float,
    *,
    whole: bool = False,
    hosts: bool = True,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Seen:
    """Ask the coordinator of a run, and watch its hosts: for so long, or until all of them were seen.

    store: the run's. whole: watch to the end. hosts: whether they count. If nobody can answer, because the
    coordinator has said how it ended, it is not waited for. Raises StorageError.
    """
    seen = Seen(newest(store))
    read: dict[str, int] = {}
    """Number of what each host said last."""
    waits = bool(seen.epoch) and said_end(store, seen.epoch) is None
    look = max(pace.look, pace.report / 5)
    with ExitStack() as stack:
        asking = stack.enter_context(Asking(store, seen.epoch)) if waits else None
        _hear_hosts(store, seen, read)
        seen.wrote.clear()  # that was before
        begin = clock()
        while True:
            sleep(look)
            seen.seconds = clock() - begin
            if asking and seen.answer is None and (answer := asking.answer()) is not None:
                seen.answer, seen.answered = answer, seen.seconds
            _hear_hosts(store, seen, read)
            is_all = (seen.answer is not None or not waits) and (
                not hosts or seen.hosts.keys() <= seen.wrote.keys()
            )
            if seen.seconds >= seconds or (is_all and not whole):
                return seen


def _hear_hosts(store: Store, seen: Seen, read: dict[str, int]) -> None:
    """Take in what hosts have written since the last time."""
    for host, found in newer_reports(store, all_reports(store), read):
        read[host], seen.hosts[host] = found
        seen.wrote.setdefault(host, seen.seconds)
