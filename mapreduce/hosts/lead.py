"""A run on a store that hosts share, from its claim to its end.

Whoever claims the highest epoch leads. It begins with what the log says, and with what hosts have done and
nobody has acknowledged. When all is done one exclusive create decides; who loses it adopts what the winner
wrote. Nothing that a commit can name is deleted before it.
"""

from __future__ import annotations

import math
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from mapreduce import manifest as manifests
from mapreduce.account import account
from mapreduce.coordinator.log import Acceptance, AcceptanceLog, read_log
from mapreduce.coordinator.loop import Coordinator
from mapreduce.coordinator.state import Limits
from mapreduce.errors import Interrupted, ManifestError, OutputExists, StorageError, Superseded
from mapreduce.figures import causes
from mapreduce.host import process_name
from mapreduce.hosts.desk import PACE, Desk, Pace
from mapreduce.hosts.leadership import CLEANED, ENDED, LATE, claim, is_interruption, say_end
from mapreduce.job import Job
from mapreduce.model import AttemptRecord, Manifest, Plan
from mapreduce.observers.quiet import Quiet
from mapreduce.protocols import Observer, Store
from mapreduce.store import layout
from mapreduce.store.together import do_all

READS = 10
"""So often a name that was listed, or must be there, is read before it is taken for missing."""


@dataclass(frozen=True)
class Surroundings:
    """What a coordinator has besides its run: time, chance, and a name for messages."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    new_nonce: Callable[[], str] = lambda: secrets.token_hex(4)
    today: Callable[[], datetime] = lambda: datetime.now(UTC)
    name: Callable[[], str] = process_name


REAL = Surroundings()


def lead(
    job: Job,
    plan: Plan,
    store: Store,
    parts: Store,
    limits: Limits,
    *,
    pace: Pace = PACE,
    overwrite: bool = False,
    replaces: str | None = None,
    planned: float = 0.0,
    check: Callable[[dict[str, str]], str] = lambda _: "",
    observers: Sequence[Observer] = (),
    stop_requested: Callable[[], bool] = lambda: False,
    tell: Callable[[Manifest], None] = lambda _: None,
    hands_over: bool = False,
    jobset: str = "",
    lonely: float = math.inf,
    around: Surroundings = REAL,
) -> Manifest:
    """Lead a run until its result is published and told; what was committed, by whomever.

    store: the run's. parts: the output's. replaces: digest of the only manifest that it may replace; None:
    any, if `overwrite` allows that. planned: seconds that planning took. check: why a host of these
    versions can't take part, or "". tell: called when the result is published; until it has returned once,
    nothing is removed that the run is found by. hands_over: if `stop_requested` ends it, others may lead
    the run without being told to. jobset: the run of the JobSet that it is in. lonely: seconds without any
    host after which it ends by NoWorkers. May be called again, anywhere, after whatever ended it. Raises
    Superseded if another coordinator leads meanwhile or the run was removed, Interrupted if it was asked to
    stop, and the error that ended the job.
    """

    def end(manifest: Manifest) -> Manifest:
        tell(manifest)
        remove(store)
        return manifest

    begin = around.clock()
    reader = _Reader(store, around.sleep, pace.report)
    there = _Reader(parts, around.sleep, pace.report)
    publish = partial(_publish, store, parts, there, overwrite=overwrite)
    if committed := reader.manifest(layout.COMMIT):
        return end(publish(committed[1]))
    epoch = claim(store, around.new_nonce(), around.name())
    failures = _Failures()
    log = AcceptanceLog(store, epoch)
    desk = Desk(
        store,
        epoch,
        pace,
        check=check,
        clock=around.clock,
        sleep=around.sleep,
        standing=failures.told,
        lonely=lonely,
    )
    coordinator = Coordinator(
        plan,
        desk,
        limits,
        log,
        store,
        restored=_restored(store, log, desk, reader),
        observers=[*observers, failures],
        stop_requested=lambda: stop_requested() or desk.is_asked_to_stop,
        settled=desk.settle,
        clock=around.clock,
        new_nonce=around.new_nonce,
    )
    started = around.today()
    try:
        outcome = coordinator.run()
    except Superseded:
        if committed := reader.manifest(layout.COMMIT):
            return end(publish(committed[1]))
        raise
    except BaseException as error:
        with suppress(StorageError):  # hosts that hear nothing leave by themselves
            desk.close()
        if not (hands_over and is_interruption(error) and not desk.is_asked_to_stop):
            with suppress(StorageError):  # then nobody knows whether it may go on
                say_end(store, epoch, error)
        if isinstance(error, StorageError):  # perhaps because all is gone
            _check_is_there(store)
        if isinstance(error, Interrupted) and desk.is_asked_to_stop:
            raise Interrupted("The run was stopped by `mapreduce stop`.") from None
        raise
    outcome.seconds |= {"plan": planned, "total": planned + around.clock() - begin}
    replaced = there.manifest(layout.MANIFEST)
    if replaced and replaces is not None and replaced[0].digest != replaces:
        raise _late(store)
    previous = replaced[0].digest if replaced else ""
    _, data = account(job, plan, outcome, started, previous, desk.workers, resumed=epoch - 1, jobset=jobset)
    manifest = publish(_commit(store, reader, data))
    desk.close()
    return end(manifest)


def _restored(store: Store, log: AcceptanceLog, desk: Desk, reader: _Reader) -> list[Acceptance]:
    """What is accepted already, and what is as good: hosts have done it, and still tell of it."""
    accepted = read_log(store, reader.read).by_task
    adopted: dict[str, Acceptance] = {}
    for ended in desk.unacknowledged():
        attempt, result = ended.attempt, ended.result
        if attempt.task in accepted or result is None:
            continue
        record = AttemptRecord(
            str(attempt.task), attempt.number, attempt.worker, "succeeded", round(result.work.seconds, 6)
        )
        adopted.setdefault(str(attempt.task), Acceptance(attempt.task, result, record))
    log.append(list(adopted.values()))
    return [*accepted.values(), *adopted.values()]


def _removed() -> Superseded:
    return Superseded("The run was removed by `mapreduce clean`.", hint="Begin it afresh.")


def _check_is_there(store: Store) -> None:
    """Raise Superseded if the run was removed, as far as that can be known now."""
    with suppress(StorageError, FileNotFoundError):
        if store.read(layout.COMMIT) == CLEANED:
            raise _removed()


class _Failures(Quiet):
    """An observer that keeps why attempts failed, for those who ask."""

    def __init__(self) -> None:
        self._failed: deque[AttemptRecord] = deque(maxlen=100)

    def told(self) -> dict[str, Any]:
        """The causes of the last ones, the most frequent first: how many, and an example."""
        return {"causes": causes(self._failed)}

    def attempt_ended(self, attempt: AttemptRecord) -> None:
        if attempt.error:
            self._failed.append(attempt)


class _Reader:
    """Reads what must be there, though the store may say for a while that it is not."""

    def __init__(self, store: Store, sleep: Callable[[float], None], pause: float) -> None:
        self._store, self._sleep, self._pause = store, sleep, pause

    def read(self, name: str) -> bytes:
        for _ in range(READS - 1):
            try:
                return self._store.read(name)
            except FileNotFoundError:
                self._sleep(self._pause)
        try:
            return self._store.read(name)
        except FileNotFoundError as error:
            raise StorageError(f"{name} was listed, and can't be read.") from error

    def manifest(self, name: str) -> tuple[Manifest, bytes] | None:
        """A manifest and its bytes; None if there seems to be none. Raises ManifestError if it is damaged."""
        for _ in range(READS - 1):
            with suppress(ManifestError):  # half of it may have come
                return self._manifest(name)
            self._sleep(self._pause)
        return self._manifest(name)

    def _manifest(self, name: str) -> tuple[Manifest, bytes] | None:
        try:
            data = self._store.read(name)
        except FileNotFoundError:
            return None
        if data == CLEANED:
            raise _removed()
        return manifests.parse(data, name), data


def _commit(store: Store, reader: _Reader, data: bytes) -> bytes:
    """Make this the run's result, unless there is one already; what is."""
    if store.create(layout.COMMIT, data):
        return data
    reader.read(layout.COMMIT)
    found = reader.manifest(layout.COMMIT)
    if found is None:
        raise StorageError(f"{layout.COMMIT} is there, and can't be read.")
    return found[1]


def _publish(store: Store, parts: Store, there: _Reader, data: bytes, *, overwrite: bool) -> Manifest:
    """Make the result visible, and say that the run has ended. May be repeated.

    there: reads the output. Where that holds what neither this run has written nor this result replaces, it
    is a later one's; or, if it replaces the same, of a run that was first. Raises OutputExists.
    """
    manifest = manifests.parse(data, layout.COMMIT)
    found, _ = there.manifest(layout.MANIFEST) or (None, b"")
    if found is None or (overwrite and found.digest == manifest.previous):
        manifests.publish(parts, data, overwrite=overwrite)
    elif found.digest != manifest.digest and (not overwrite or found.previous == manifest.previous):
        raise _late(store)
    store.create(layout.ENDED, ENDED)
    return manifest


def _late(store: Store) -> OutputExists:
    """Say that the run has ended without publishing; what to raise."""
    store.create(layout.ENDED, LATE)
    return OutputExists("The output got a result of another run meanwhile.")


def remove(store: Store) -> None:
    """Delete all of a run that has ended but its plan, that it has ended, and who led it. May be repeated.

    A coordinator that is late finds the commit, so it can neither make another result nor publish one.
    """
    for prefix in (layout.ORDERS, layout.REPORTS, layout.STAGE, layout.LOG, layout.DATA):
        do_all(store, store.delete, store.list(prefix))
    store.delete(layout.CODE)
