"""`mapreduce run`: run a job of a file, show how far it is, tell what it came to."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any, TextIO

import click

from mapreduce.cli import importing, options

if TYPE_CHECKING:
    from mapreduce.protocols import Observer, SetObserver
    from mapreduce.result import JobResult
    from mapreduce.setresult import JobSetResult


GO_ON = "mapreduce.go_on"
"""In a context's `meta`: how the run was begun that is to go on,"""
GO_ON_WITH = "mapreduce.go_on_with"
"""and, if it is on a store, its id."""


@click.command(short_help="Run a job.")
@options.job
@click.option(
    "--on",
    metavar="[processes|serial|STORE]",
    help="Worker processes (default), this process, or the hosts of a store: a folder (/… or ./…) or a URL.",
)
@click.option(
    "--overwrite", is_flag=True, help="Replace the result that is there, once this one is complete."
)
@options.work
@click.option("--replay", metavar="DIR", help="Read the records that were set aside in this result instead.")
@click.option("--new", is_flag=True, help="Start afresh, where a run that did not end could go on.")
@click.option(
    "--accept-new-code",
    is_flag=True,
    help="Go on with a run though the reduce function has changed: its map results are kept.",
)
@click.option("--keep", is_flag=True, help="Leave what the run needed while it ran.")
@click.option("--no-backups", is_flag=True, help="Give stragglers no second attempt.")
@click.option(
    "--hosts-timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="On a STORE: end when no host has worked on the run for so long, to go on with it later.",
)
@click.option("--fresh-process", is_flag=True, help="A process of its own for each attempt.")
@click.option("--review", is_flag=True, help="Tell no sink of the result before `mapreduce approve`.")
@options.as_json
@options.traceback
@click.pass_context
def run(
    context: click.Context,
    file: str,
    source: tuple[str, ...],
    output: str | None,
    shards: int | None,
    workers: int | None,
    limit: int | None,
    settings: tuple[str, ...],
    on: str | None,
    overwrite: bool,
    work: str | None,
    replay: str | None,
    new: bool,
    accept_new_code: bool,
    keep: bool,
    no_backups: bool,
    hosts_timeout: float | None,
    fresh_process: bool,
    review: bool,
    as_json: bool,
) -> int:
    """Run a job, or all jobs of a JobSet; or go on with a run of it that did not end.

    FILE.py is a Python file with a Job or a JobSet at its top level; :JOB names it where there are several
    and none is called job.
    Modules beside the file can be imported by it.
    package.module, or MODULE:JOB, is imported instead; the hosts of a STORE import it too, from where they
    have it, and are sent its name only.
    """
    if on in (None, "processes"):
        from mapreduce.executors import warm_up

        warm_up()
    with importing():
        from mapreduce import engine
        from mapreduce.cli.jobfile import import_path, load_job
        from mapreduce.job import Job
        from mapreduce.options import is_place
        from mapreduce.resume import Invocation

        if on == "serial":
            import mapreduce.worker  # noqa: F401 - the executor needs it in any case

    again = context.meta.get(GO_ON)
    with ExitStack() as stack:
        watching = _Watching(stack, sys.stderr, None if as_json else sys.stdout)
        observers = stack.enter_context(reporting(sys.stderr, None if as_json else sys.stdout))
        job = load_job(file, settings=settings, source=source, output=output, shards=shards)
        by_path = import_path(file, settings=settings, source=source, output=output, shards=shards)
        result = engine.run(
            job,
            on=on,
            import_path=by_path if on and is_place(on) and isinstance(job, Job) else None,
            workers=workers,
            limit=limit,
            overwrite=overwrite,
            work=work,
            replay=replay,
            resume=context.meta.get(GO_ON_WITH, True) if again else False if new else None,
            accept_new_code=accept_new_code,
            keep=keep,
            backups=not no_backups,
            fresh_process=fresh_process,
            review=review,
            observers=observers if isinstance(job, Job) else watching.of_set(),
            hosts_timeout=hosts_timeout,
            invocation=again or Invocation(os.getcwd(), tuple(context.obj[1:])),
        )
    return told(result, as_json)


@contextmanager
def reporting(progress: TextIO, summary: TextIO | None) -> Iterator[Sequence[Observer]]:
    """Observers for a run: progress to one stream, the summary to the other.

    What the job prints meanwhile goes to the stream of progress, as it does in workers.
    """
    from mapreduce.cli import console

    with ExitStack() as stack:
        observers: list[Any] = []
        if console.is_terminal(progress):
            from mapreduce.observers.terminal import Terminal

            terminal = stack.enter_context(Terminal(progress))
            observers.append(terminal)
            stack.enter_context(logged(progress, terminal.close))
        else:
            from mapreduce.observers.log import LogLines

            observers.append(LogLines())
            stack.enter_context(logged(progress))
        if summary is not None:
            from mapreduce.observers.summary import Summary

            observers.append(Summary(console.writer(summary)))
        stack.enter_context(redirect_stdout(progress))
        yield observers


class _Watching:
    """Observers for a run of a set: as `reporting` gives them for one of a job."""

    def __init__(self, stack: ExitStack, progress: TextIO, summary: TextIO | None) -> None:
        self._stack, self._progress, self._summary = stack, progress, summary

    def of_set(self) -> list[SetObserver]:
        """Progress to one stream, the summary to the other."""
        from mapreduce.cli import console
        from mapreduce.observers.ofset import SetLines, SetSummary, SetTerminal

        observers: list[SetObserver] = []
        if console.is_terminal(self._progress):
            observers.append(self._stack.enter_context(SetTerminal(self._progress)))
        else:
            observers.append(SetLines())
        if self._summary is not None:
            observers.append(SetSummary(console.writer(self._summary)))
        return observers


@contextmanager
def logged(stream: TextIO, before: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Show what the package logs, unless the job file has made arrangements of its own.

    before: called before a line is written.
    """
    logger = logging.getLogger("mapreduce")
    handler = _Handler(stream, before)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _Handler(logging.StreamHandler[TextIO]):
    """Silent where the root logger has handlers: a line is not shown twice."""

    def __init__(self, stream: TextIO, before: Callable[[], None]) -> None:
        super().__init__(stream)
        self._before = before

    def emit(self, record: logging.LogRecord) -> None:
        if not _is_arranged():
            self._before()
            super().emit(record)


def _is_arranged() -> bool:
    return bool(logging.getLogger().handlers)


def told(result: JobResult | JobSetResult, as_json: bool) -> int:
    """Tell what the observers did not: the document, and sinks that failed. The exit code."""
    from mapreduce.cli import console, failure
    from mapreduce.errors import SinkError
    from mapreduce.figures import count
    from mapreduce.model import Status
    from mapreduce.observers.summary import shown_path
    from mapreduce.result import JobResult
    from mapreduce.telling import not_told

    if as_json:
        console.say_json(document(result))
    untold = [] if isinstance(result, JobResult) else [job for job in result.jobs if job.untold]
    if untold and not not_told(result.deliveries):
        places = ", ".join(shown_path(job.place) for job in untold[:3]) + (", …" if len(untold) > 3 else "")
        error = SinkError(
            f"The results are committed, but sinks of {count(len(untold), 'job')} were not told: {places}.",
            hint="Mend that, and tell them with: mapreduce sinks retry RESULT",
        )
        code = failure.tell(error, [])
    elif missing := not_told(result.deliveries):
        error = SinkError(
            f"The result is committed, but not everybody was told of it: {missing}",
            hint=f"Mend that, and tell them with: mapreduce sinks retry {shown_path(result.place)}",
        )
        code = failure.tell(error, [])
    elif result.deliveries and not all(delivery.delivered for delivery in result.deliveries):
        approve = f"mapreduce approve {shown_path(result.place)} --by NAME"
        console.say(f"Nobody is told before somebody has looked at it: {approve}", sys.stderr)
        code = 0
    else:
        code = 0
    if result.status in (Status.FAILED, Status.CANCELLED):
        return 1
    return code or (3 if result.status is Status.COMPLETED_WITH_ERRORS else 0)


def document(result: JobResult | JobSetResult) -> dict[str, Any]:
    """The facts of a run: where the result is, the manifest's fields, and who was told."""
    from mapreduce.codec import to_plain

    return {"path": str(result.place), "deliveries": to_plain(result.deliveries), **to_plain(result.manifest)}
