"""What a JobSet came to: its manifest, and the results of its jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mapreduce.errors import ManifestError
from mapreduce.figures import grouped
from mapreduce.manifest import load_set
from mapreduce.model import Delivery, ErrorGroup, SetJob, SetManifest, Status
from mapreduce.result import JobResult
from mapreduce.store.urls import folder_or_url


class JobSetResult:
    """A committed result of a JobSet. Iterating it gives the JobResult of each job, in the set's order."""

    def __init__(
        self, place: Path | str, manifest: SetManifest, deliveries: tuple[Delivery, ...] = ()
    ) -> None:
        self.place = place
        """Where the manifest lies: a folder, or the URL of one in a bucket."""
        self.manifest = manifest
        self.deliveries = deliveries
        """What became of telling each of the set's sinks."""

    @classmethod
    def load(cls, place: str | Path) -> JobSetResult:
        """The result in a folder, or at a URL. Raises ManifestError, StorageError."""
        where = folder_or_url(place)
        return cls(where, load_set(where))

    def __repr__(self) -> str:
        return f"<JobSetResult {self.name} {self.status.value}: {len(self.manifest.jobs)} jobs>"

    @property
    def name(self) -> str:
        """The set's."""
        return self.manifest.jobset

    @property
    def status(self) -> Status:
        """How the set ended."""
        return self.manifest.status

    @property
    def counts(self) -> dict[Status, int]:
        """How many jobs ended in which way; all four, also those with 0."""
        found = [job.status for job in self.manifest.jobs]
        return {status: found.count(status) for status in Status}

    @property
    def errors(self) -> tuple[ErrorGroup, ...]:
        """What went wrong in all the jobs, by cause, the most frequent first."""
        return grouped(error for job in self.manifest.jobs for error in job.errors)

    @property
    def jobs(self) -> tuple[SetJob, ...]:
        """What the manifest says of each job, in the set's order."""
        return self.manifest.jobs

    def __getitem__(self, name: str) -> JobResult:
        """The result of one job. Raises KeyError, and ManifestError if it has none."""
        return self._result(next((job for job in self.jobs if job.name == name), None) or _missing(name))

    def __iter__(self) -> Iterator[JobResult]:
        return (self._result(job) for job in self.jobs if job.place)

    def __len__(self) -> int:
        return len(self.jobs)

    def _result(self, job: SetJob) -> JobResult:
        if not job.place:
            raise ManifestError(f"Job {job.name} was not run, so it has no result.")
        result = JobResult.load(job.place)
        if result.manifest.digest != job.digest:
            raise ManifestError(
                f"{job.place} holds another result than the one of job {job.name} in run "
                f"{self.manifest.run_id}.",
                hint="It was run again since.",
            )
        return result


def _missing(name: str) -> SetJob:
    raise KeyError(name)
