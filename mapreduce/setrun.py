"""A run of a JobSet: jobs side by side within one pool of workers, in order where one reads another's output.

Its directory has what it is to do and a log of the jobs that have ended; whoever goes on with it runs the
others. A job's result counts as done only while it is the result of the job as it is now. When the last job
has ended, one exclusive create makes the set's manifest, and the sinks hear of it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mapreduce import host
from mapreduce import manifest as manifests
from mapreduce.account import failure, is_cancelled
from mapreduce.codec import seal
from mapreduce.errors import (
    Interrupted,
    JobChanged,
    JobError,
    ManifestError,
    OutputExists,
    StorageError,
    WorkDamaged,
)
from mapreduce.executors.slots import Share, Slots
from mapreduce.figures import count, error_groups
from mapreduce.job import Job
from mapreduce.jobset import JobSet, order, output_of, reads, sources_of, without
from mapreduce.model import FORMAT_VERSION, ErrorGroup, SetJob, SetManifest, SetPlan, Status
from mapreduce.onhost import run_on_host
from mapreduce.options import Begin, Options, is_place
from mapreduce.place import Place, only_one, place_of, place_to, run_directory
from mapreduce.plan import make_plan, new_run_id
from mapreduce.protocols import SetObserver
from mapreduce.result import JobResult
from mapreduce.resume import BegunSet, find_begun, find_begun_set, set_record
from mapreduce.setresult import JobSetResult
from mapreduce.signals import Asked, Signals
from mapreduce.sinks.alerts import Alerts
from mapreduce.sinks.delivery import deliver_all
from mapreduce.store import layout, open_store
from mapreduce.store.urls import folder_or_url
from mapreduce.telling import REFUSALS, forget_ends, origin_of, record_end, result_of, tell_end

logger = logging.getLogger("mapreduce.run")

HAS_RESULT = (Status.SUCCEEDED, Status.COMPLETED_WITH_ERRORS)


def run_set(
    jobset: JobSet,
    options: Options,
    begin: Begin,
    signals: Signals,
    observers: Sequence[SetObserver] = (),
    *,
    resume: bool | None = None,
    limit: int | None = None,
    work: Path | None = None,
    accept_new_code: bool = False,
) -> JobSetResult:
    """Run the jobs of a set and report them once, or go on with a run of the set that did not end.

    A run of a set whose last one ended with failures keeps the results that are still those of the jobs.
    Raises JobError, OutputExists, WorkDamaged, and what ends it; a job that fails is told in the result.
    """
    run_id = new_run_id(begin.date)
    path = None if jobset.output is None else str(jobset.output)
    place = place_to(path, f"@{jobset.name}", run_id, work)
    begun, done_before = None, dict[str, SetJob]()
    try:
        begun = find_begun_set(place)
    except WorkDamaged:
        if resume is not False:
            raise
    if begun is not None and resume is False:
        begun.lock.close()
        done_before, begun = {name: replace(job, kept=True) for name, job in begun.ended.items()}, None
    if resume and begun is None:
        raise JobError(
            f"There is no run of JobSet {jobset.name} that can go on.", hint="Run it without `resume`."
        )
    with closing(begun.lock) if begun else nullcontext(), only_one(place, f"JobSet {jobset.name}"):
        if begun is not None:
            _check_same(jobset, begun)
            place = begun.place
            logger.info("going on with run %s: %s", place.run_id, begun.done)
        how = _How(limit, work, goes_on=resume is not False, accept_new_code=accept_new_code)
        return _SetRun(jobset, place, options, begin, signals, observers, how, begun, done_before).run()


def _check_same(jobset: JobSet, begun: BegunSet) -> None:
    """Raise JobChanged unless the set has the jobs with which it was begun."""
    before, now = begun.plan.jobs, tuple(job.name for job in jobset.jobs)
    if before == now:
        return
    changes = [f"  {name} is new" for name in now if name not in before]
    changes += [f"  {name} is gone" for name in before if name not in now]
    raise JobChanged(
        f"JobSet {jobset.name} has other jobs since run {begun.place.run_id} was begun ({begun.done}):\n"
        + "\n".join(changes[:20] or ["  they stand in another order"]),
        hint="Undo that to go on with the run, or start afresh with --new (in Python: resume=False): what is "
        "done is kept then too.",
    )


@dataclass(frozen=True, slots=True)
class _How:
    """What all jobs of a set are run with."""

    limit: int | None
    """Only so many records of each input."""
    work: Path | None
    """Where runs keep what they need; None: beside their outputs."""
    goes_on: bool
    """Whether a job goes on with what it had accepted,"""
    accept_new_code: bool
    """also when only its reduce has changed."""


class _SetRun:
    """One session of a run of a set.

    begun: a run that it goes on with. done_before: results of runs that it does not go on with.
    """

    def __init__(
        self,
        jobset: JobSet,
        place: Place,
        options: Options,
        begin: Begin,
        signals: Signals,
        observers: Sequence[SetObserver],
        how: _How,
        begun: BegunSet | None,
        done_before: Mapping[str, SetJob],
    ) -> None:
        self.jobset, self.place, self.options, self.begin = jobset, place, options, begin
        self.signals, self.observers, self.how, self.begun = signals, observers, how, begun
        self.jobs = {job.name: job for job in jobset.jobs}
        self.needs = order(jobset)
        self.session = begun.sessions + 1 if begun else 1
        self.ended: dict[str, SetJob] = {}
        self.done_before = {**(begun.ended if begun else {}), **done_before}
        self.previous: SetManifest | None = None
        self._entries = 0
        self._changed = threading.Condition()
        self._trouble: BaseException | None = None
        """What ended a thread that led a job, and is no failure of the job."""

    def run(self) -> JobSetResult:
        with self._telling_end():
            if self.begun is None:
                self._look_at_previous()
            lock = self.begun.lock if self.begun else None
            with run_directory(self.place, lock, keep=self.options.keep):
                if self.begun is None:
                    self._write_plan()
                data = self.begun.committed if self.begun and self.begun.committed else self._commit()
                return self._publish_and_tell(data)

    # ------------------------------------------------------------ before it begins

    def _look_at_previous(self) -> None:
        """Learn what the last run of the set has done.

        Raises OutputExists if that was all of it, or if something else lies where its manifest is to be.
        """
        self.previous = _newest(self.place)
        there = not self.place.kept and manifests.is_there(self.place.output)
        is_ours = self.previous is not None and self.previous.jobset == self.jobset.name
        if there and not is_ours and not self.options.overwrite:
            raise OutputExists(
                f"{self.place.output} holds a manifest that is none of JobSet {self.jobset.name}, "
                "or is damaged.",
                hint="Give another output, or replace it with --overwrite.",
            )
        if self.previous is None or self.options.overwrite:
            return
        has_outputs = any(output_of(job) is not None for job in self.jobset.jobs)
        is_new = self.jobs.keys() - {job.name for job in self.previous.jobs}
        if self.previous.status is Status.SUCCEEDED and not is_new and (has_outputs or not self.place.kept):
            raise OutputExists(
                f"JobSet {self.jobset.name} has succeeded already, in run {self.previous.run_id}.",
                hint="Look at it with `mapreduce report`, or replace all its results with --overwrite.",
            )
        self.done_before = {
            **{job.name: replace(job, kept=True) for job in self.previous.jobs},
            **self.done_before,
        }

    def _write_plan(self) -> None:
        plan = SetPlan(self.place.run_id, self.jobset.name, tuple(self.jobs), str(self.jobset.on_failure))
        name = layout.plan_name(1)
        if not self.place.store().create(name, set_record(plan, self.options.invocation)):
            shown = layout.shown(str(self.place.directory), name)
            raise WorkDamaged(f"{shown} was written by another process.")

    # ------------------------------------------------------------ the jobs

    def _commit(self) -> bytes:
        """Run what is left to do, and make the set's manifest; its bytes."""
        store = self.place.store()
        alerts = Alerts(
            self.jobset.sinks, self.place.store, self.place.run_id, self.jobset.name, self.jobset.name
        )
        try:
            if self.options.on == "serial" or (self.options.on and is_place(self.options.on)):
                self._run_one_by_one(alerts)
            else:
                self._run_side_by_side(alerts)
        finally:
            alerts.close()
        _, data = manifests.seal(self._manifest())
        if not store.create(layout.COMMIT, data):
            raise StorageError(f"Run {self.place.run_id} was committed by somebody else.")
        return data

    def _run_one_by_one(self, alerts: Alerts) -> None:
        for name in self.needs:
            job = self._decide(name)
            if isinstance(job, Job):
                self._begun(name)
                self._take(name, self._do(name, job, alerts, self.signals, None), alerts)
            else:
                self._take(name, job, alerts)

    def _run_side_by_side(self, alerts: Alerts) -> None:
        """Each job that runs has a thread that leads it; one more than there are workers, so that one can
        plan or commit while the others work.
        """
        slots = Slots(self.options.workers or host.processors())
        asked = Asked(self._must_stop)
        waiting, running = list(self.needs), dict[str, threading.Thread]()
        with self.signals.draining(True):
            while (waiting and not self._must_stop()) or running:
                for name in self._free(waiting, slots.number + 1 - len(running)):
                    waiting.remove(name)
                    job = self._decide(name)
                    if isinstance(job, Job):
                        self._begun(name)
                        thread = threading.Thread(
                            target=self._lead, args=(name, job, alerts, asked, slots.join()), daemon=True
                        )
                        running[name] = thread
                        thread.start()
                    else:
                        self._take(name, job, alerts)
                with self._changed:
                    if all(thread.is_alive() for thread in running.values()) and (running or not waiting):
                        self._changed.wait(0.1)
                for name in [name for name, thread in running.items() if not thread.is_alive()]:
                    running.pop(name).join()
            if self._trouble is not None:
                raise self._trouble
            if waiting or self.signals.noted():
                raise Interrupted(
                    f"The run was stopped: {len(self.ended):,} of {count(len(self.jobs), 'job')} had ended.",
                    hint="Go on with it.",
                )

    def _must_stop(self) -> bool:
        return self.signals.noted() or self._trouble is not None

    def _free(self, waiting: Sequence[str], most: int) -> list[str]:
        """The next jobs that can run: what they read has ended."""
        if self._must_stop():
            return []
        free = [name for name in waiting if self.ended.keys() >= {*self.needs[name]}]
        return free[: max(0, most)]

    def _lead(self, name: str, job: Job, alerts: Alerts, signals: Signals, share: Share) -> None:
        try:
            ended = self._do(name, job, alerts, signals, share)
            if ended is not None:
                self._take(name, ended, alerts)
        except BaseException as error:  # noqa: BLE001 - the set's own trouble: the thread that runs it raises it
            self._trouble = self._trouble or error
        finally:
            share.leave()
            with self._changed:
                self._changed.notify_all()

    def _decide(self, name: str) -> Job | SetJob:
        """The job as it is to be run, or why it is not."""
        lost = [need for need in self.needs[name] if self.ended[need].status not in HAS_RESULT]
        if why := self._why_stopped():
            return self._not_run(name, why)
        job = self.jobs[name]
        if not lost:
            return job
        shown = ", ".join(lost[:3]) + (f" and {len(lost) - 3:,} more" if len(lost) > 3 else "")
        fewer = None
        if isinstance(self.jobset.on_failure, float):
            places = [place for need in lost if (place := output_of(self.jobs[need]))]
            fewer = without(job, places)
            if fewer is not None and (old := _old_result(fewer, places)):
                return self._not_run(name, f"It would read an older result in {old}: {shown} has no new one.")
        return fewer or self._not_run(name, f"It reads the output of {shown}, which has no result.")

    def _why_stopped(self) -> str:
        """Why no other job is begun; "" while others are."""
        failed = [job.name for job in self.ended.values() if job.status is Status.FAILED]
        allowed = self.jobset.on_failure
        if not failed or allowed == "continue":
            return ""
        if allowed == "stop":
            return f"{failed[0]} has failed, and on_failure says stop."
        if len(failed) > float(allowed) * len(self.jobs):
            jobs = count(len(self.jobs), "job")
            return f"{len(failed):,} of {jobs} have failed, more than {allowed:g} of all."
        return ""

    def _do(
        self, name: str, job: Job, alerts: Alerts, signals: Signals, share: Share | None
    ) -> SetJob | None:
        """Run a job, unless its result is there; None if it was stopped."""
        done, is_own = self._done(name, job)
        if done is not None:
            return done
        options = replace(
            self.options,
            overwrite=self.options.overwrite or is_own,
            observers=(alerts.of_job(name),),
            jobset=self._mark,
            share=share,
            review=False,
        )
        begin = Begin.now()
        try:
            if options.on and is_place(options.on):
                from mapreduce.onstore import lead_on_store

                result = lead_on_store(job, options.on, options, begin, signals, limit=self.how.limit)
            else:
                result = self._run_on_host(job, options, begin, signals)
        except BaseException as error:
            if is_cancelled(error) and signals.noted():
                if isinstance(error, Interrupted):
                    return None
                raise
            return self._failed(name, error, time.monotonic() - begin.seconds)
        return self._account(name, result)

    def _run_on_host(self, job: Job, options: Options, begin: Begin, signals: Signals) -> JobResult:
        """Go on with what the job had accepted, if it is still the same job; else begin afresh."""
        how = self.how
        run = partial(run_on_host, job, options, begin, signals, limit=how.limit, work=how.work)
        try:
            return run(resume=None if how.goes_on else False, accept_new_code=how.accept_new_code)
        except JobChanged as error:
            logger.info("%s begins afresh: %s", job.name, error.message.split("\n", 1)[0])
            return run(resume=False)

    def _done(self, name: str, job: Job) -> tuple[SetJob | None, bool]:
        """A result that a run of the set has made and that need not be made again; and whether what is there
        instead is the set's own, and may be replaced.
        """
        known = self.done_before.get(name)
        is_own = False
        for result in self._candidates(job, known):
            manifest = result.manifest
            of_this_run = manifest.jobset == self._mark
            if manifest.failure is not None or not manifest.jobset.startswith(f"{self.jobset.name}/"):
                continue
            is_own = True
            plan = make_plan(job, manifest.run_id, self.how.limit)
            same = (plan.code, plan.options, plan.inputs) == (
                manifest.code,
                manifest.options,
                manifest.inputs,
            )
            if same and not (self.options.overwrite and not of_this_run):
                if (known is None or manifest.digest != known.digest) and not self._is_told(job, result):
                    return None, True
                return replace(self._account(name, result), kept=not of_this_run), True
        return None, is_own

    @property
    def _mark(self) -> str:
        """What the manifests of the jobs bear that this run of the set has made."""
        return f"{self.jobset.name}/{self.place.run_id}"

    def _is_told(self, job: Job, result: JobResult) -> bool:
        """Whether the job's own sinks were told of a result, before or now; False: its run goes on, and does
        that. A coordinator may have been killed between.
        """
        if self.options.on and is_place(self.options.on):
            deliver_all(job.sinks, result, open_store(result.place, result.manifest.run_id))
            return True
        begun = find_begun(place_of(job, "", self.how.work))
        if begun is not None:
            begun.lock.close()
        return begun is None or begun.place.run_id != result.manifest.run_id

    def _candidates(self, job: Job, known: SetJob | None) -> Iterator[JobResult]:
        """Results that may be the job's: where it is known to lie, and where it would."""
        place = place_of(job, "", self.how.work)
        places: list[Path | str] = [place.output]
        if place.kept:
            places = sorted(place.root.glob(f"*/{layout.KEPT}"), reverse=True) if place.root.is_dir() else []
        if known is not None and known.place:
            places = [known.place, *places]
        for where in places:
            with suppress(ManifestError, StorageError):
                yield JobResult.load(where)

    def _account(self, name: str, result: JobResult) -> SetJob:
        manifest = result.manifest
        totals = manifest.totals
        reads, lost = self._reads(name)
        return SetJob(
            name=name,
            status=manifest.status,
            run_id=manifest.run_id,
            place=str(result.place),
            digest=manifest.digest,
            seconds=manifest.seconds.get("total", 0.0),
            records_in=totals.records_in,
            records_out=totals.records_out,
            bytes_in=totals.bytes_in,
            bytes_out=totals.bytes_out,
            parts=len(manifest.parts),
            set_aside=totals.set_aside,
            reads=reads,
            without=lost,
            errors=error_groups(manifest),
            untold=tuple(each.sink for each in result.deliveries if not each.delivered and each.error),
        )

    def _failed(self, name: str, error: BaseException, seconds: float = 0.0) -> SetJob:
        if (told := result_of(error)) is not None:
            return self._account(name, told)
        status = Status.CANCELLED if is_cancelled(error) else Status.FAILED
        reads, lost = self._reads(name)
        return SetJob(
            name, status, seconds=round(seconds, 6), reads=reads, without=lost, errors=(failure(error),)
        )

    def _not_run(self, name: str, why: str) -> SetJob:
        reads, lost = self._reads(name)
        error = ErrorGroup("NotRun", f"It was not run. {why}", hint="Run the set again when that is mended.")
        return SetJob(name, Status.CANCELLED, reads=reads, without=lost, errors=(error,))

    def _reads(self, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The jobs whose output it reads: those that have a result, and the others."""
        needs = self.needs[name]
        there = tuple(need for need in needs if need in self.ended and self.ended[need].status in HAS_RESULT)
        return there, tuple(need for need in needs if need not in there)

    def _begun(self, name: str) -> None:
        for observer in self.observers:
            observer.job_begun(name)

    def _take(self, name: str, ended: SetJob | None, alerts: Alerts) -> None:
        """Keep, and tell, how a job has ended."""
        if ended is None:
            raise Interrupted("The run was stopped.", hint="Go on with it.")
        with self._changed:
            if ended.status in HAS_RESULT:
                self._entries += 1
                self.place.store().create(layout.log_name(self.session, self._entries), seal(ended))
            self.ended[name] = ended
            for observer in self.observers:
                observer.job_ended(ended, len(self.ended), len(self.jobs))
        if ended.status is Status.FAILED and ended.errors:
            alerts.warn(ended.errors[0], name)

    # ------------------------------------------------------------ its end

    def _manifest(self, error: BaseException | None = None) -> SetManifest:
        jobs = tuple(
            self.ended.get(name) or self._not_run(name, "The set was stopped before.") for name in self.jobs
        )
        previous = self.previous.digest if self.previous and not self.place.kept else ""
        return SetManifest(
            version=FORMAT_VERSION,
            jobset=self.jobset.name,
            run_id=self.place.run_id,
            status=self._status(jobs) if error is None else _status_of(error),
            on_failure=str(self.jobset.on_failure),
            jobs=jobs,
            workers=self.options.workers or host.processors(),
            started=self.begin.date.isoformat(timespec="milliseconds"),
            seconds={"total": round(time.monotonic() - self.begin.seconds, 6)},
            versions=manifests.versions(),
            previous=previous,
            resumed=self.session - 1,
            failure=None if error is None else failure(error),
        )

    def _status(self, jobs: Sequence[SetJob]) -> Status:
        if self._why_stopped() or not any(job.status in HAS_RESULT for job in jobs):
            return Status.FAILED
        if all(job.status is Status.SUCCEEDED and not job.without for job in jobs):
            return Status.SUCCEEDED
        return Status.COMPLETED_WITH_ERRORS

    def _publish_and_tell(self, data: bytes) -> JobSetResult:
        manifest = manifests.parse_set(data, layout.COMMIT)
        store = self.place.output_store()
        is_there = False
        with suppress(ManifestError):
            is_there = manifests.load_set(self.place.output).digest == manifest.digest
        if not is_there:
            manifests.publish(store, data, overwrite=not self.place.kept)
        forget_ends(self.place)
        result = JobSetResult(self.place.output, manifest)
        result.deliveries = deliver_all(
            self.jobset.sinks,
            result,
            store,
            reviewed=self.options.review,
            origin=origin_of(self.options.invocation),
        )
        for observer in self.observers:
            observer.finished(result)
        return result

    @contextmanager
    def _telling_end(self) -> Iterator[None]:
        """Let the set's sinks hear of what ends it before its manifest is there."""
        try:
            yield
        except BaseException as error:
            if isinstance(error, REFUSALS) and not self.ended:
                raise
            jobs = count(len(self.jobs), "job")
            error.add_note(f"{len(self.ended):,} of {jobs} had ended; go on with the same set.")
            if self.jobset.sinks and not (self.place.directory / layout.COMMIT).exists():
                manifest, data = manifests.seal(self._manifest(error))
                try:
                    told = record_end(self.place.root, manifest, data)
                    tell_end(self.jobset.sinks, JobSetResult(told, manifest), error, self.options)
                except (StorageError, OSError) as another:
                    logger.warning("the end of the run can't be recorded: %s", another)
            raise


def _old_result(job: Job, places: Sequence[str]) -> str:
    """Which of these outputs, that got no result now, hold one that the job would read; "" for none."""
    for place in places:
        if any(reads(source, place) for source in sources_of(job)):
            with suppress(ManifestError, StorageError):
                manifests.load(folder_or_url(place))
                return place
    return ""


def _status_of(error: BaseException) -> Status:
    return Status.CANCELLED if is_cancelled(error) else Status.FAILED


def _newest(place: Place) -> SetManifest | None:
    """What the last run of the set to a place has committed; None if there is none that can be read."""
    places: list[Path | str] = [place.output]
    if place.kept:
        places = list(place.root.glob(f"*/{layout.KEPT}")) if place.root.is_dir() else []
    found = []
    for where in places:
        with suppress(ManifestError, StorageError):
            found.append(manifests.load_set(where))
    return max(found, key=lambda manifest: manifest.started, default=None)
