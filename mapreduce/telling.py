"""The end of a run: those are told who want to hear of its result."""

from __future__ import annotations

from collections.abc import Sequence

from mapreduce.datasets import as_output
from mapreduce.job import Job
from mapreduce.model import Manifest
from mapreduce.place import Place
from mapreduce.protocols import Observer
from mapreduce.result import JobResult
from mapreduce.sinks.delivery import deliver_all


def tell(job: Job, place: Place, manifest: Manifest, observers: Sequence[Observer]) -> JobResult:
    """Tell sinks and observers of a result that is published."""
    result = JobResult(place.output, manifest, as_output(job.output))
    result.deliveries = deliver_all(job.sinks, result, place.output_store())
    for observer in observers:
        observer.finished(result)
    return result
