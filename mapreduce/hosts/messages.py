"""What a coordinator and a host write to each other: each time the whole of what they know.

A message that is lost, late, repeated or torn does no harm: the next one says it all again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mapreduce.codec import from_plain, seal, unseal
from mapreduce.errors import InternalError
from mapreduce.model import Attempt, Result
from mapreduce.protocols import Store
from mapreduce.store import layout
from mapreduce.store.together import together

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Order:
    """An attempt that a host shall begin, or go on with."""

    attempt: Attempt
    request: dict[str, Any]
    stop: dict[str, str] | None = None
    """End it with this error."""

    @property
    def key(self) -> str:
        """Tells it from every other order of the run."""
        return f"{self.attempt.task} {self.request['nonce']}"


@dataclass(frozen=True, slots=True)
class Orders:
    """All that a coordinator wants of a host now. What it runs besides, it drops."""

    orders: tuple[Order, ...] = ()
    ack: int = 0
    """The host may forget what has ended up to this number."""
    seen: int = 0
    """Number of the host's report that was read last."""
    ended: bool = False
    """The run is over."""
    refusal: str = ""
    """Why the host gets no work."""


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt that has ended on a host."""

    number: int
    """Counts from 1 within the host."""
    key: str
    """Of its order."""
    attempt: Attempt
    """As it was ordered."""
    result: Result | None = None
    """None: it failed."""
    error: dict[str, str] | None = None
    records: tuple[int, ...] = ()
    """First number, and the one after the last, of the records that it failed on, where they are known."""
    lost: bool = False
    """It failed with its process."""
    printed: str = ""


@dataclass(frozen=True, slots=True)
class Going:
    """An attempt that runs on a host, and how far it is."""

    key: str
    bytes: int = 0
    records: int = 0
    pairs: int = 0
    memory: int = 0
    """Resident bytes of its process, where that is known."""


@dataclass(frozen=True, slots=True)
class HostReport:
    """All that a host knows. A newer one also says that it lives."""

    slots: int
    """Attempts that it can run at once; 0: it is about to leave."""
    epoch: int
    """Of the newest orders that it has read,"""
    seen: int
    """and their number; 0 and 0: it has read none."""
    ended: tuple[Ended, ...] = ()
    """What is not acknowledged, in the order of the numbers."""
    going: tuple[Going, ...] = ()
    name: str = ""
    """Of the host, and its process, for messages."""
    versions: dict[str, str] = field(default_factory=dict)


UNFIT = "unfit"
"""Among a host's versions: why it can't take part, whatever versions it has."""


def write(message: Any) -> bytes:
    """A message's bytes."""
    return seal(message)


def post(store: Store, name: str, message: Any) -> None:
    """Lay a message down, under a name that nobody else writes. Raises StorageError.

    It need not outlive a power failure: whoever misses it, or finds it torn, waits for the next one.
    """
    if not store.create(name, write(message), durable=False):
        raise InternalError(f"{layout.shown(store.url, name)} was written by another process.")


def parse(kind: type[T], data: bytes) -> T:
    """A message from its bytes. Raises ValueError or TypeError if they are not what was written."""
    made: T = from_plain(kind, unseal(data))
    return made


def all_reports(store: Store) -> dict[str, list[int]]:
    """Numbers of the reports of each host of a run. Raises StorageError."""
    found: dict[str, list[int]] = {}
    for host, number in filter(None, map(layout.report_of, store.list(layout.REPORTS))):
        found.setdefault(host, []).append(number)
    return found


def newest_reports(store: Store) -> dict[str, tuple[int, HostReport]]:
    """The newest report of each host of a run, and its number, as `newest_report` gives it."""
    return dict(newer_reports(store, all_reports(store), {}))


def newer_reports(
    store: Store, reports: Mapping[str, Iterable[int]], read: Mapping[str, int]
) -> Iterator[tuple[str, tuple[int, HostReport]]]:
    """Of each host that has one the newest report after the one that was read, as `newest_report` gives it.

    reports: numbers of each host's. read: number of the one that was read, where one was.
    """
    newer = {
        host: [number for number in numbers if number > read.get(host, 0)]
        for host, numbers in reports.items()
    }
    hosts = [host for host, numbers in newer.items() if numbers]
    found = together(store, lambda host: newest_report(store, host, newer[host]), hosts)
    return ((host, newest) for host, newest in zip(hosts, found, strict=True) if newest is not None)


def newest_report(store: Store, host: str, numbers: Iterable[int]) -> tuple[int, HostReport] | None:
    """The newest report of these numbers, and its own. What holds nothing is passed over.

    None: there is none, or it can't be read now; a newer one will say the same. Raises StorageError.
    """
    for number in sorted(numbers, reverse=True):
        with suppress(FileNotFoundError, ValueError, TypeError):
            return number, parse(HostReport, store.read(layout.report_name(host, number)))
    return None
