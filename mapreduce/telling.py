"""The end of a run: those are told who want to hear of it, whatever it is."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mapreduce import manifest as manifests
from mapreduce.account import Ended, account_of_end, is_cancelled
from mapreduce.datasets import as_output
from mapreduce.errors import JobChanged, MapReduceError, OutputExists, StorageError, Superseded
from mapreduce.job import Job
from mapreduce.model import AttemptRecord, Delivery, Manifest, Plan, SetManifest
from mapreduce.observers.quiet import Quiet
from mapreduce.options import Begin, Options
from mapreduce.packed import PackedList
from mapreduce.place import Place, has_work
from mapreduce.protocols import Observer, Store
from mapreduce.result import JobResult
from mapreduce.resume import Invocation
from mapreduce.sinks.alerts import Alerts
from mapreduce.sinks.delivery import Origin, deliver_all, deliveries_of
from mapreduce.store import layout, open_store
from mapreduce.store.local import make_directory, storage_errors

logger = logging.getLogger("mapreduce.run")

HURRY = 5.0
"""Seconds that sinks have for the news that a run was stopped: somebody waits for its end."""
RECORDS = 20
"""Records of runs that ended without a result which are kept for one output."""


REFUSALS = (OutputExists, JobChanged)
"""What is raised where a run is not begun, or not gone on with: only who wanted it need hear of that."""


def tell(job: Job, place: Place, manifest: Manifest, options: Options) -> JobResult:
    """Tell sinks and observers of a result that is published."""
    result = JobResult(place.output, manifest, as_output(job.output))
    result.deliveries = deliver_all(
        job.sinks,
        result,
        place.output_store(),
        reviewed=options.review,
        origin=origin_of(options.invocation),
    )
    forget_ends(place)
    for observer in options.observers:
        observer.finished(result)
    return result


def origin_of(invocation: Invocation | None) -> Origin | None:
    """How the command line began a run, as it is kept with the records of its sinks."""
    return None if invocation is None else Origin(invocation.directory, invocation.arguments)


# ---------------------------------------------------------------- a run that ends without a result


@dataclass
class Story(Quiet):
    """An observer that keeps what a run has come to so far, in case that it fails."""

    attempts: PackedList[AttemptRecord] = field(default_factory=lambda: PackedList(AttemptRecord))
    plan: Plan | None = None
    place: Place | None = None
    workers: int = 0
    committed: bool = False
    """There is a result: whatever happens now is no failure of the run."""

    def attempt_ended(self, attempt: AttemptRecord) -> None:
        self.attempts.append(attempt)


@contextmanager
def telling_failure(
    job: Job, options: Options, begin: Begin, run_id: str, *, hands_over: bool = False
) -> Iterator[Story]:
    """Let the sinks hear of the error that ends the block, by a record that stays beside the runs.

    The story's place must be set before anybody can be told. hands_over: that this process is asked to leave
    is no end: others go on.
    """
    story = Story()
    try:
        yield story
    except Superseded:
        raise
    except BaseException as error:
        place = story.place
        refused = isinstance(error, REFUSALS) and not story.attempts and not options.jobset
        if story.committed or refused or (hands_over and isinstance(error, (KeyboardInterrupt, SystemExit))):
            raise
        if place is not None and (job.sinks or options.jobset or has_work(place)):
            ended = Ended(
                job,
                place.run_id or run_id,
                error,
                story.plan,
                story.attempts,
                begin.date,
                time.monotonic() - begin.seconds,
                story.workers,
                options.jobset,
            )
            manifest, data = account_of_end(ended)
            try:
                told = record_end(place.root, manifest, data)
                result = JobResult(told, manifest, as_output(job.output))
                tell_end(job.sinks, result, error, options)
                error.__dict__["told"] = result
            except (StorageError, OSError) as another:
                logger.warning("the end of the run can't be recorded: %s", another)
        raise


def result_of(error: BaseException) -> JobResult | None:
    """The record that `telling_failure` has made of an error; None if it has made none."""
    found: JobResult | None = getattr(error, "told", None)
    return found


def record_end(root: Path, manifest: Manifest | SetManifest, data: bytes) -> Path:
    """Keep the manifest of an end without a result; the folder where it lies. Raises StorageError.

    root: the directory of all runs to the output. Of many records the oldest go.
    """
    folder = root / layout.FAILED
    with storage_errors("create", folder, missing=False):
        make_directory(folder, 0o700)
        there = sorted(name for name in os.listdir(folder) if layout.failure_of(name))
        for name in there[: max(0, len(there) + 1 - RECORDS)]:
            shutil.rmtree(folder / name, ignore_errors=True)
    numbers = [
        found[1] for name in there if (found := layout.failure_of(name)) and found[0] == manifest.run_id
    ]
    target = folder / layout.failure_name(manifest.run_id, max(numbers, default=0) + 1)
    try:
        manifests.publish(open_store(target, manifest.run_id), data, overwrite=False)
    except StorageError:
        shutil.rmtree(target, ignore_errors=True)
        with suppress(OSError):
            folder.rmdir()
        raise
    return target


def tell_end(sinks: Sequence[Any], result: Any, error: BaseException, options: Options) -> None:
    """Tell the sinks of an end without a result."""
    result.deliveries = deliver_all(
        sinks,
        result,
        open_store(result.place),
        origin=origin_of(options.invocation),
        patience=HURRY if is_cancelled(error) else None,
    )
    if missing := not_told(result.deliveries):
        error.add_note(
            f"Not everybody was told of it: {missing} `mapreduce sinks retry {result.place}` tells them."
        )


def not_told(deliveries: Sequence[Delivery]) -> str:
    """Which sinks have failed, and why; "" for none."""
    failed = [delivery for delivery in deliveries if not delivery.delivered and delivery.error]
    return "; ".join(f"{delivery.sink}: {delivery.error.rstrip('.')}" for delivery in failed) + (
        "." if failed else ""
    )


def forget_ends(place: Place) -> None:
    """Remove what is recorded of runs to a place without a result, now that there is one, but for those of
    which somebody has not heard.
    """
    folder = place.root / layout.FAILED
    with suppress(OSError):
        for name in os.listdir(folder):
            with suppress(StorageError, MapReduceError):
                told = deliveries_of(open_store(folder / name), manifests.load(folder / name))
                if all(delivery.delivered for delivery in told):
                    shutil.rmtree(folder / name, ignore_errors=True)
        folder.rmdir()


# ---------------------------------------------------------------- while it goes on


@contextmanager
def alerting(job: Job, run_id: str, store: Store, options: Options) -> Iterator[Sequence[Observer]]:
    """The observers, and one that warns the sinks with `alert` while the block runs."""
    alerts = Alerts(job.sinks, lambda: store, run_id, job.name)
    try:
        yield [*options.observers, alerts]
    finally:
        alerts.close()
