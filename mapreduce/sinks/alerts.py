"""Sinks that hear of failures while a run goes on: of the first, and of each new cause, once each."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from mapreduce.codec import sha256
from mapreduce.errors import StorageError
from mapreduce.figures import cause_of, visible
from mapreduce.model import AttemptRecord, ErrorGroup
from mapreduce.observers.quiet import Quiet
from mapreduce.protocols import Store
from mapreduce.sinks.delivery import named_sinks, what_it_said
from mapreduce.store import layout

if TYPE_CHECKING:
    from mapreduce.sinks.news import Alert

logger = logging.getLogger("mapreduce.sinks")

PATIENCE = 10.0
"""Seconds that the end of a run waits for alerts that are on their way; what comes later is in the report."""


class Alerts(Quiet):
    """An observer that warns the sinks with `alert`. Any thread may call it; warnings go out in its own.

    store: the run's, which keeps what was warned of. job, jobset: names; a set's warnings name the job that
    each is of.
    """

    def __init__(
        self,
        sinks: Sequence[Any],
        store: Callable[[], Store],
        run_id: str,
        job: str,
        jobset: str = "",
        today: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._sinks = [sink for sink in named_sinks(sinks) if getattr(sink, "alert", False)]
        self._store, self._run_id, self._job, self._jobset = store, run_id, job, jobset
        self._today = today
        self._causes: set[str] = set()
        self._lock = threading.Lock()
        self._waiting: SimpleQueue[Alert | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def attempt_ended(self, attempt: AttemptRecord) -> None:
        """Warn, if it failed for a new reason."""
        if attempt.error:
            self.warn(ErrorGroup(attempt.kind, attempt.error, place=attempt.place))

    def of_job(self, job: str) -> Quiet:
        """An observer of one job of a set: what was warned of is shared."""
        return _OfJob(self, job)

    def warn(self, error: ErrorGroup, job: str = "") -> None:
        """Warn of an error, unless there was one of its cause."""
        if not self._sinks:
            return
        cause = cause_of(error)
        with self._lock:
            if cause in self._causes:
                return
            self._causes.add(cause)
            if self._thread is None:
                self._thread = threading.Thread(target=self._send_all, name="alerts", daemon=True)
                self._thread.start()
        from mapreduce.sinks.news import Alert  # with the reports, which most runs don't need

        when = self._today().isoformat(timespec="seconds")
        self._waiting.put(Alert(job or self._job, self._run_id, self._jobset, error, when))

    def close(self) -> None:
        """Wait a moment for what is on its way. May be called twice."""
        thread = self._thread
        if thread is not None:
            self._waiting.put(None)
            thread.join(PATIENCE)

    def _send_all(self) -> None:
        while (alert := self._waiting.get()) is not None:
            for sink in self._sinks:
                self._send(sink, alert)

    def _send(self, sink: Any, alert: Alert) -> None:
        cause = sha256(cause_of(alert.error).encode())[:16]
        mark = layout.alert_mark(sink.name, cause)
        key = sha256(f"{alert.run_id}\n{cause}\n{sink.name}".encode())
        store = self._store()
        with suppress(StorageError, FileNotFoundError):
            store.read(mark)
            return
        try:
            sink.warn(alert, key)
            store.create(mark, b"")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a sink may raise anything; the run goes on
            told = visible(what_it_said(sink, error))
            logger.error("sink %s could not be warned: %s", visible(sink.name), told)


class _OfJob(Quiet):
    def __init__(self, alerts: Alerts, job: str) -> None:
        self._alerts, self._job = alerts, job

    def attempt_ended(self, attempt: AttemptRecord) -> None:
        if attempt.error:
            self._alerts.warn(ErrorGroup(attempt.kind, attempt.error, place=attempt.place), self._job)
