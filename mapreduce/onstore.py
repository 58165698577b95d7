"""Runs on a store that hosts share: laid down, led, and gone on with. The work is done by its hosts."""

from __future__ import annotations

import logging
import math
import os
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from mapreduce import manifest as manifests
from mapreduce.codec import load_code, loading_error
from mapreduce.coordinator.state import Limits
from mapreduce.errors import JobError, OutputExists, Superseded
from mapreduce.hosts import lead
from mapreduce.hosts.jobs import Cluster, Form, Spec, version_difference
from mapreduce.hosts.leadership import has_ended, is_interruption, is_retried, newest, said_end
from mapreduce.hosts.resuming import check_has_not_ended
from mapreduce.hosts.signing import read_key
from mapreduce.importpath import lead_path, load_deployed
from mapreduce.job import Job
from mapreduce.model import Manifest, Plan
from mapreduce.options import REVIEW, Begin, Options
from mapreduce.place import (
    Place,
    check_apart,
    check_output,
    claim_output,
    needs_parts,
    place_at,
    place_of,
    prepare_output,
    release_output,
    remove_garbage,
    replaced_at,
)
from mapreduce.plan import make_plan, new_run_id
from mapreduce.protocols import Observer, Store
from mapreduce.result import JobResult
from mapreduce.signals import Signals
from mapreduce.signatures import check_signatures
from mapreduce.sinks.delivery import named_sinks
from mapreduce.store.probe import check_store
from mapreduce.store.urls import folder_or_url
from mapreduce.telling import Story, alerting, telling_failure
from mapreduce.telling import tell as tell_result
from mapreduce.units import parse_size

logger = logging.getLogger("mapreduce.run")


@dataclass(frozen=True)
class Submitted:
    """A run that lies on a store, and that others lead."""

    run_id: str
    job: str
    store: str
    output: str
    maps: int
    reduces: int
    is_new: bool
    """False: the same job to the same output lay there already."""


def run_on_store(
    job: Job, on: str, options: Options, begin: Begin, *, limit: int | None, resume: bool | str | None
) -> JobResult:
    """Lead a run on a store, or go on with one of the same job to the same output."""
    with Signals() as signals:
        return lead_on_store(job, on, options, begin, signals, limit=limit, resume=resume)


def lead_on_store(
    job: Job,
    on: str,
    options: Options,
    begin: Begin,
    signals: Signals,
    *,
    limit: int | None = None,
    resume: bool | str | None = None,
) -> JobResult:
    """The same, where the signals are taken care of."""
    run_id = new_run_id(begin.date)
    with telling_failure(job, options, begin, run_id) as story:
        cluster = _cluster(on)
        story.place = place_of(job, run_id, store=cluster.place)
        run = _found_or_laid_down(job, run_id, cluster, options, limit=limit, resume=resume)
        story.place, story.plan = run.place, run.plan
        if run.is_new:
            logger.info(
                "run %s lies on %s for hosts: mapreduce worker %s", run.plan.run_id, cluster.place, on
            )
        else:
            logger.info("going on with run %s on %s", run.plan.run_id, cluster.place)
        return _lead(run, begin, signals, story)


def submit(
    job: Job, on: str, options: Options, *, limit: int | None = None, resume: bool | None = None
) -> Submitted:
    """Lay a run down for others to lead, unless the same job to the same output lies there already.

    resume: False lays down a new one in any case. Raises JobError if the one that is there has failed or was
    stopped, and what `run` raises before it begins.
    """
    check_signatures(job)
    named_sinks(job.sinks)
    cluster = _cluster(on)
    run_id = new_run_id(Begin.now().date)
    run = _found_or_laid_down(job, run_id, cluster, options, limit=limit, resume=resume, is_left=True)
    epoch = newest(run.store)
    if epoch and (error := said_end(run.store, epoch)) is not None and not is_retried(run.store, epoch):
        raise JobError(
            f"Run {run.plan.run_id} of this job lies on {cluster.place}, and "
            + (f"has failed: {error['message']}" if error else "was stopped."),
            hint=f"Go on with it, mapreduce retry {cluster.place} {run.plan.run_id}, or use --new.",
        )
    return Submitted(
        run.plan.run_id,
        run.plan.job,
        cluster.place,
        str(run.place.output),
        len(run.plan.splits),
        run.plan.shards,
        run.is_new,
    )


def lead_submitted(on: str, run_id: str, observers: Sequence[Observer] = ()) -> JobResult:
    """Lead a run that lies on a store, with the functions that lie there.

    They are loaded only after their signature was checked. Relative paths of sinks begin in the folder where
    the run was laid down, if there is one here. Raises JobError if this host has other versions than the run
    was planned with, and what `run` raises.
    """
    begin, cluster = Begin.now(), _cluster(on)
    spec = cluster.spec(run_id)
    check_has_not_ended(cluster, spec)
    if why := version_difference(spec.versions, manifests.versions()):
        raise JobError(f"This host can't lead run {run_id}: {why}.", hint="Lead it on a host like its own.")
    with Signals() as signals:
        lead_path(os.getcwd())
        if os.path.isdir(spec.directory):
            os.chdir(spec.directory)
        job = _job_of(cluster, spec)
        invocation = cluster.invocation(run_id)
        options = Options(
            on,
            overwrite=spec.overwrite,
            backups=spec.backups,
            observers=observers,
            invocation=invocation,
            review=invocation is not None and REVIEW in invocation.arguments,
        )
        place = place_at(folder_or_url(spec.output), run_id)
        logger.info("leading run %s (%s) on %s", run_id, spec.job, cluster.place)
        run = _OnStore(job, cluster, options, cluster.plan(run_id), place)
        with telling_failure(job, options, begin, run_id, hands_over=True) as story:
            story.place, story.plan = place, run.plan
            return _lead(run, begin, signals, story, hands_over=True, replaces=spec.replaces)


def _cluster(on: str) -> Cluster:
    cluster = Cluster(on, read_key())
    check_store(cluster.store)
    return cluster


def _job_of(cluster: Cluster, spec: Spec) -> Job:
    payload = cluster.payload(spec)
    if spec.form is Form.IMPORT:
        return load_deployed(payload, spec.functions, spec.settings)
    try:
        job: Job = load_code(payload)
    except Exception as error:  # whatever a job does when it is loaded
        raise loading_error(error, "coordinator") from error
    return job


def _lead(
    run: _OnStore,
    begin: Begin,
    signals: Signals,
    story: Story,
    *,
    hands_over: bool = False,
    replaces: str | None = None,
) -> JobResult:
    job, cluster, options = run.job, run.cluster, run.options
    if options.overwrite:
        run.replaced = replaced_at(run.place.output).run_id
    claim_output(run.place)
    prepare_output(run.place)
    budget = None if job.memory is None else parse_size("memory", job.memory)

    def tell(manifest: Manifest) -> None:
        story.committed = True
        run.tell(manifest)

    where = f"{shlex.quote(cluster.place)} {run.plan.run_id}"
    try:
        with (
            _telling_how_to_go_on(where, options, hands_over=hands_over),
            signals.draining(True),
            alerting(job, run.plan.run_id, run.store, options) as told,
        ):
            lead.lead(
                job,
                run.plan,
                run.store,
                run.place.output_store(),
                Limits(job.max_attempts, job.timeout, budget, budget, options.backups, job.quarantine),
                pace=cluster.pace(),
                overwrite=options.overwrite,
                replaces=replaces,
                planned=time.monotonic() - begin.seconds,
                check=partial(version_difference, manifests.versions()),
                observers=[*told, story],
                stop_requested=signals.noted,
                tell=tell,
                hands_over=hands_over,
                jobset=options.jobset,
                lonely=math.inf if options.hosts_timeout is None else options.hosts_timeout,
            )
    except OutputExists:  # another run was first, for good
        lead.remove(run.store)
        run.remove_garbage()
        run.forget()
        raise
    run.forget()
    return run.results[0]


def _found_or_laid_down(
    job: Job,
    run_id: str,
    cluster: Cluster,
    options: Options,
    *,
    limit: int | None,
    resume: bool | str | None,
    is_left: bool = False,
) -> _OnStore:
    """A run that hosts know of: one that was begun and can go on, or one that is laid down now."""
    plan = make_plan(job, run_id, limit)
    place = place_of(job, plan.run_id, store=cluster.place)
    wanted = resume if isinstance(resume, str) else None
    begun = None
    if resume is not False:
        begun = cluster.find(plan, place, options.invocation, wanted, options.deployed)
    if begun is not None:
        spec = cluster.spec(begun.run_id)
        if is_left:
            _check_allowed(spec, options)
        overwrite, backups = options.overwrite or spec.overwrite, options.backups and spec.backups
        options = replace(options, overwrite=overwrite, backups=backups)
        return _OnStore(job, cluster, options, begun, place.of(begun.run_id))
    if resume:
        raise JobError(f"There is no run to {place.output} on {cluster.place} that can go on.")
    replaced = check_output(place, overwrite=options.overwrite)
    check_apart(place, plan)
    cluster.submit(
        plan,
        place.output,
        options.deployed or job,
        options.invocation,
        is_left=is_left,
        overwrite=options.overwrite,
        replaces=replaced.digest,
        backups=options.backups,
    )
    return _OnStore(job, cluster, options, plan, place, is_new=True)


def _check_allowed(spec: Spec, options: Options) -> None:
    """Raise JobError if a run was laid down that may not do what is wanted now."""
    if options.overwrite and not spec.overwrite:
        raise JobError(
            f"Run {spec.run_id} to {spec.output} lies there, and was laid down without --overwrite.",
            hint="Go on with it without that, or start afresh with --new.",
        )


@dataclass
class _OnStore:
    """A run on a store that hosts share: who is told of its result, and what goes when it has ended."""

    job: Job
    cluster: Cluster
    options: Options
    plan: Plan
    place: Place
    replaced: str = ""
    """The run whose result this one replaces, as far as that is known."""
    is_new: bool = False
    """It was laid down just now."""
    results: list[JobResult] = field(default_factory=list)

    @property
    def store(self) -> Store:
        """The run's part of the store."""
        return self.cluster.of_run(self.plan.run_id)

    def tell(self, manifest: Manifest) -> None:
        """Its result is published."""
        self.remove_garbage()
        self.results.append(tell_result(self.job, self.place, manifest, self.options))

    def remove_garbage(self) -> None:
        """Remove from the output what no manifest names, and no run needs any more."""
        is_folder = isinstance(self.place.output, Path)

        def needs_nothing(run_id: str) -> bool:
            if has_ended(self.cluster.of_run(run_id)):
                return True
            return not needs_parts(self.place, run_id) if is_folder else run_id == self.replaced

        remove_garbage(self.place.output, needs_nothing)

    def forget(self) -> None:
        """Nobody goes on with it."""
        self.cluster.close(self.plan.run_id)
        release_output(self.place)


@contextmanager
def _telling_how_to_go_on(where: str, options: Options, *, hands_over: bool) -> Iterator[None]:
    """Add to what ends a run on a store a note that says how to go on with it, unless somebody else does.

    where: store and run, as one types them.
    """
    again = f"`mapreduce resume {where}`"
    try:
        yield
    except (OutputExists, Superseded):
        raise
    except BaseException as error:
        if hands_over:
            others = "coordinator" if is_interruption(error) else f"retry {where}"
            error.add_note(f"What was done is kept. Go on with `mapreduce {others}`, or {again}.")
            raise
        if options.invocation:
            how, afresh = f"{again}, or the same command", "--new"
        else:
            how, afresh = "the same job again", "resume=False"
        error.add_note(f"What was done is kept. Go on with {how}; {afresh} starts afresh.")
        raise
