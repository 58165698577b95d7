"""Tell every sink of a committed result, independently of one another, and keep a record of each.

The records lie under `_sinks/<run>` beside the manifest: who is to be told, how often each was tried, a mark
for each that was told, and what was decided about a result that is reviewed.
"""

from __future__ import annotations

import json
import logging
import random
import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mapreduce.codec import canonical_json, from_plain, sha256
from mapreduce.errors import JobError, MapReduceError, SinkRefused, StorageError
from mapreduce.figures import visible
from mapreduce.job import NAME
from mapreduce.model import Delivery, Manifest, SetManifest
from mapreduce.protocols import Sink, Store
from mapreduce.sinks.secret import scrubbed
from mapreduce.store import layout

if TYPE_CHECKING:
    from mapreduce.sinks.news import Result

logger = logging.getLogger("mapreduce.sinks")

FIRST_PAUSE = 0.5
"""Seconds until a delivery is tried again; twice as many each time, give or take a half."""
LONGEST_PAUSE = 30.0
OVERTIME = 45.0
"""Seconds that a last try may take when a sink's patience is over; it is left alone then."""


_UNUSUAL = re.compile(r"[^A-Za-z0-9._-]")


class FunctionSink:
    """A function of one's own as a sink: it gets the JobResult, or the JobSetResult."""

    def __init__(self, function: Callable[[Any], object]) -> None:
        self._function = function
        name = getattr(function, "__name__", type(function).__name__)
        self.name = _UNUSUAL.sub("-", name).strip("-._") or "function"

    def deliver(self, result: Result, key: str) -> None:
        self._function(result)


def named_sinks(sinks: Sequence[Any]) -> list[Sink]:
    """Sinks with functions wrapped. Raises JobError if two have one name, or one's can be no file's."""
    found = [sink if isinstance(sink, Sink) else FunctionSink(sink) for sink in sinks]
    names = [sink.name for sink in found]
    wrong = next((name for name in names if type(name) is not str or not NAME.match(name)), None)
    if wrong is not None:
        raise JobError(
            f"A sink is called {wrong!r}.",
            hint="Use 1 to 100 letters, digits, '.', '_' or '-', beginning with a letter or a digit.",
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise JobError(f"Two sinks are called {twice!r}.", hint="Give one of them another name.")
    return found


def idempotency_key(manifest: Manifest | SetManifest, sink: str) -> str:
    """The same for every delivery of one manifest to one sink, and for no other."""
    return sha256(f"{manifest.run_id}\n{manifest.digest}\n{sink}".encode())


# ---------------------------------------------------------------- who is to be told, and what was decided


@dataclass(frozen=True)
class Origin:
    """How the command line began a run, so that its sinks can be told by a later command."""

    directory: str = ""
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Review:
    """What somebody decided about a result that was to be reviewed."""

    approved: bool
    by: str
    note: str
    when: str
    """UTC, ISO 8601."""


@dataclass(frozen=True)
class Told:
    """Who is to be told of a result, written before anybody is."""

    sinks: tuple[str, ...]
    reviewed: bool = False
    """Nobody is told before somebody has approved."""
    origin: Origin | None = None


def told_of(store: Store, run_id: str) -> Told | None:
    """Who is to be told; None if nobody was to be yet. Raises StorageError."""
    found: Told | None = _read(store, layout.told_name(run_id), Told)
    return found


def review_of(store: Store, run_id: str) -> Review | None:
    """What was decided; None: nothing yet. Raises StorageError."""
    found: Review | None = _read(store, layout.review_name(run_id), Review)
    return found


def decide(store: Store, run_id: str, review: Review) -> Review:
    """Record a decision, unless there is one; what counts. Raises StorageError."""
    store.create(layout.review_name(run_id), canonical_json(review))
    return review_of(store, run_id) or review


def _read(store: Store, name: str, kind: Any) -> Any:
    try:
        return from_plain(kind, json.loads(store.read(name)))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StorageError(f"{layout.shown(store.url, name)} is damaged: {error}.") from None


def deliveries_of(store: Store, manifest: Manifest | SetManifest) -> tuple[Delivery, ...]:
    """What became of telling each sink so far, by what is recorded. Raises StorageError."""
    told = told_of(store, manifest.run_id)
    records = _Records(store, manifest)
    return tuple(records.of(name) for name in (told.sinks if told else ()))


class _Records:
    """What is recorded of the deliveries of one manifest."""

    def __init__(self, store: Store, manifest: Manifest | SetManifest) -> None:
        self._store, self._manifest = store, manifest
        self._there = {*store.list(layout.sinks_of(manifest.run_id))}

    def of(self, sink: str) -> Delivery:
        """The last record of a sink; one without attempts if there is none. A mark counts by its name, also
        if it can't be read now.
        """
        run_id, key = self._manifest.run_id, idempotency_key(self._manifest, sink)
        marked = layout.sink_mark(run_id, sink) in self._there
        unknown = Delivery(sink, key, delivered=marked)
        name = layout.sink_mark(run_id, sink) if marked else layout.sink_tried(run_id, sink)
        if name not in self._there:
            return unknown
        found: Delivery | None = None
        with suppress(StorageError):
            found = _read(self._store, name, Delivery)
        if found is None:
            return unknown
        return found if found.key == key else Delivery(sink, key, delivered=False)

    def mark(self, delivery: Delivery) -> None:
        """Record a sink as told."""
        self._store.create(layout.sink_mark(self._manifest.run_id, delivery.sink), canonical_json(delivery))

    def tried(self, delivery: Delivery) -> None:
        """Record a sink as tried."""
        with suppress(StorageError):  # the next one tells
            self._store.put(layout.sink_tried(self._manifest.run_id, delivery.sink), canonical_json(delivery))


# ---------------------------------------------------------------- telling


def deliver_all(
    sinks: Sequence[Any],
    result: Result,
    store: Store,
    today: Callable[[], datetime] = lambda: datetime.now(UTC),
    *,
    reviewed: bool = False,
    origin: Origin | None = None,
    patience: float | None = None,
) -> tuple[Delivery, ...]:
    """Tell the sinks, and leave a mark for each that was told. One that has its mark is not told again.

    store: where the manifest lies. reviewed: tell nobody before somebody has approved. patience: seconds
    after which no sink is tried again, where a sink would be for longer. Sinks that wait for other machines
    are told side by side, and tried again; all others once, in order. A sink that raises does not keep the
    others from being told, nor touch the result.
    """
    named = named_sinks(sinks)
    if not named:
        return ()
    manifest = result.manifest
    names = tuple(sink.name for sink in named)
    told = Told(names, reviewed, origin)
    if not store.create(layout.told_name(manifest.run_id), canonical_json(told)):
        told = _told_before(store, manifest.run_id) or told
    records = _Records(store, manifest)
    before = {sink.name: records.of(sink.name) for sink in named}
    if told.reviewed:
        review = review_of(store, manifest.run_id)
        if review is None or not review.approved:
            return tuple(before.values())
    round_ = _Round(result, records, today, patience)
    left = [sink for sink in named if not before[sink.name].delivered]
    return round_.tell(left, before, names)


_READS = 10
"""So often a record is read that seems to be damaged: a store may give half of it."""


def _told_before(store: Store, run_id: str) -> Told | None:
    """Who is to be told, as it was recorded first.

    Raises StorageError for what stays damaged: it may say that somebody must approve.
    """
    for _ in range(_READS - 1):
        with suppress(StorageError):
            return told_of(store, run_id)
    return told_of(store, run_id)


class _Round:
    """Telling some sinks of one result."""

    def __init__(
        self, result: Result, records: _Records, today: Callable[[], datetime], patience: float | None
    ) -> None:
        self._result, self._records, self._today, self._patience = result, records, today, patience
        self._over = threading.Event()
        self._ended: dict[str, Delivery] = {}

    def tell(
        self, left: Sequence[Sink], before: dict[str, Delivery], names: Sequence[str]
    ) -> tuple[Delivery, ...]:
        remote = [sink for sink in left if getattr(sink, "remote", False)]
        threads = [
            threading.Thread(
                target=self._tell, args=(sink, before[sink.name]), name=f"sink {sink.name}", daemon=True
            )
            for sink in remote
        ]
        try:
            for thread in threads:
                thread.start()
            for sink in left:
                if sink not in remote:
                    self._tell(sink, before[sink.name])
            self._wait(remote, threads)
        finally:
            self._over.set()
        return tuple(self._ended.get(name) or self._unended(before[name]) for name in names)

    def _wait(self, sinks: Sequence[Sink], threads: Sequence[threading.Thread]) -> None:
        begin = time.monotonic()
        for sink, thread in zip(sinks, threads, strict=True):
            end = begin + self._patience_of(sink) + OVERTIME
            thread.join(max(0.0, end - time.monotonic()))

    @staticmethod
    def _unended(before: Delivery) -> Delivery:
        """Of a sink that was told before, or whose last try does not end."""
        if before.delivered:
            return before
        return replace(before, error="It has not answered for too long.", attempts=before.attempts + 1)

    def _patience_of(self, sink: Sink) -> float:
        own: float = getattr(sink, "patience", 0.0) if getattr(sink, "remote", False) else 0.0
        return own if self._patience is None else min(own, self._patience)

    def _tell(self, sink: Sink, delivery: Delivery) -> None:
        """Try until it is told, it refuses, or its patience is over."""
        end = time.monotonic() + self._patience_of(sink)
        pause = FIRST_PAUSE
        while True:
            delivery, error = self._try(sink, delivery)
            self._ended[sink.name] = delivery
            if delivery.delivered or isinstance(error, SinkRefused):
                return
            wait = max(getattr(error, "retry_after", None) or 0.0, pause * random.uniform(0.5, 1.5))
            if time.monotonic() + wait > end or self._over.wait(wait):
                return
            pause = min(2 * pause, LONGEST_PAUSE)

    def _try(self, sink: Sink, before: Delivery) -> tuple[Delivery, BaseException | None]:
        when = self._today().isoformat(timespec="seconds")
        tried = replace(before, attempts=before.attempts + 1, when=when, error="")
        try:
            sink.deliver(self._result, tried.key)
            done = replace(tried, delivered=True)
            self._records.mark(done)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a sink may raise anything; the others go on
            failed = replace(tried, error=what_it_said(sink, error))
            logger.error("sink %s failed: %s", visible(sink.name), visible(failed.error))
            self._records.tried(failed)
            return failed, error
        return done, None


def what_it_said(sink: Sink, error: BaseException) -> str:
    """A sink's error as text, without the sink's secrets."""
    if isinstance(error, MapReduceError):
        told = " ".join(filter(None, (error.message, error.hint)))
    else:
        told = f"{type(error).__name__}: {error}"
    return scrubbed(told, getattr(sink, "secrets", ()))
