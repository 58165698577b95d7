"""Tell every sink of a committed result, once a sink and independently of one another."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mapreduce.codec import canonical_json, sha256
from mapreduce.errors import JobError, MapReduceError
from mapreduce.model import Delivery, Manifest
from mapreduce.protocols import Sink, Store
from mapreduce.store import layout

if TYPE_CHECKING:
    from mapreduce.result import JobResult

logger = logging.getLogger("mapreduce.sinks")


class FunctionSink:
    """A function of one's own as a sink: it gets the JobResult."""

    def __init__(self, function: Callable[[Any], object]) -> None:
        self._function = function
        self.name = getattr(function, "__name__", type(function).__name__).strip("<>")

    def deliver(self, result: JobResult, key: str) -> None:
        self._function(result)


def named_sinks(sinks: Sequence[Any]) -> list[Sink]:
    """Sinks with functions wrapped. Raises JobError if two have one name."""
    found = [sink if isinstance(sink, Sink) else FunctionSink(sink) for sink in sinks]
    names = [sink.name for sink in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise JobError(f"Two sinks are called {twice!r}.", hint="Give one of them another name.")
    return found


def idempotency_key(manifest: Manifest, sink: str) -> str:
    """The same for every delivery of one manifest to one sink, and for no other."""
    return sha256(f"{manifest.run_id}\n{manifest.digest}\n{sink}".encode())


def deliver_all(
    sinks: Sequence[Any],
    result: JobResult,
    store: Store,
    today: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> tuple[Delivery, ...]:
    """Tell the sinks in order and leave a mark for each that was told. One that has its mark is not told
    again.

    store: the output's. A sink that raises does not keep the others from being told, nor touch the result.
    """
    marks = set(store.list(layout.SINKS))
    return tuple(_deliver(sink, result, store, marks, today) for sink in named_sinks(sinks))


def _deliver(
    sink: Sink, result: JobResult, store: Store, marks: set[str], today: Callable[[], datetime]
) -> Delivery:
    key = idempotency_key(result.manifest, sink.name)
    if layout.sink_mark(result.manifest.run_id, sink.name) in marks:
        return Delivery(sink.name, key, delivered=True)
    try:
        sink.deliver(result, key)
        _leave_mark(store, result, sink.name, key, today())
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a sink may raise anything; the others go on
        told = error.message if isinstance(error, MapReduceError) else f"{type(error).__name__}: {error}"
        logger.error("sink %s failed: %s", sink.name, told)
        return Delivery(sink.name, key, delivered=False, error=told)
    return Delivery(sink.name, key, delivered=True)


def _leave_mark(store: Store, result: JobResult, sink: str, key: str, when: datetime) -> None:
    mark = {"sink": sink, "key": key, "delivered": when.isoformat(timespec="seconds")}
    store.create(layout.sink_mark(result.manifest.run_id, sink), canonical_json(mark))
