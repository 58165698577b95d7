"""The sinks of a run that has ended: those of the command that began it, as it is now."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mapreduce.errors import JobError

if TYPE_CHECKING:
    from mapreduce.ended import Ended
    from mapreduce.job import Job
    from mapreduce.jobset import JobSet
    from mapreduce.sinks.delivery import Origin


def sinks_of(ended: Ended) -> Sequence[Any]:
    """Whom the job or set names now; none where nobody was to be told.

    Raises JobError if that is not known.
    """
    from mapreduce.jobset import JobSet

    if not ended.deliveries():
        return ()
    origin = ended.origin
    if origin is None:
        raise JobError(
            f"Run {ended.run_id} was not begun by a command, so its sinks are not known here.",
            hint="Tell them from Python: mapreduce.ended.find(PLACE).tell(job.sinks).",
        )
    found = _job_of(origin)
    if isinstance(found, JobSet) and found.name != ended.name:
        found = next((job for job in found.jobs if job.name == ended.name), found)
    if found.name != ended.name:
        raise JobError(
            f"The command that began run {ended.run_id} runs {found.name} now, not {ended.name}.",
            hint=f"It was, in {origin.directory}: mapreduce run {shlex.join(origin.arguments)}",
        )
    return found.sinks


def _job_of(origin: Origin) -> Job | JobSet:
    """The job or set that the command runs now; the current folder becomes its folder."""
    from mapreduce.cli.jobfile import load_job
    from mapreduce.cli.run import run

    os.chdir(origin.directory)
    arguments = [argument for argument in origin.arguments if argument not in ("--json", "--traceback")]
    with run.make_context("mapreduce run", arguments, obj=["run"]) as context:
        given = context.params
    return load_job(
        given["file"],
        settings=given["settings"],
        source=given["source"],
        output=given["output"],
        shards=given["shards"],
    )
