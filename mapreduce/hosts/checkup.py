"""What a host finds when it looks at itself, the store, and what open runs need of it."""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from mapreduce import host as machine
from mapreduce import manifest as manifests
from mapreduce.errors import InputError, MapReduceError, StorageError
from mapreduce.hosts.jobs import Cluster, Spec, version_difference
from mapreduce.model import InputFile
from mapreduce.protocols import Capabilities, Store
from mapreduce.store import inputs, layout, open_store
from mapreduce.store.probe import Finding, check_store, probe
from mapreduce.store.urls import folder_or_url

SAMPLE = 16
"""So many files of a run's input are looked at, the first and the last among them."""
TRIES = 3
"""How often each operation is timed."""


@dataclass(frozen=True)
class RunCheck:
    """What an open run needs, and whether this host has it."""

    run: str
    job: str = ""
    files: int = 0
    """Of the input,"""
    looked_at: int = 0
    """and those among them that were looked at."""
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Checkup:
    """What a host finds. Plain data: it is an answer to others."""

    host: str
    """Its host name and process."""
    store: str
    """As this host names it."""
    capabilities: Capabilities
    has_key: bool
    versions: dict[str, str]
    processors: int
    findings: tuple[Finding, ...]
    """Of the probe."""
    seconds: dict[str, float] = field(default_factory=dict)
    """What one call of each operation takes."""
    free: dict[str, int] = field(default_factory=dict)
    """Bytes that are free in the store's folder, and where temporary files lie."""
    runs: tuple[RunCheck, ...] = ()
    at_work: bool = False
    """On a run, not waiting for one."""
    began: float = 0.0
    """Seconds since 1970, by this host, when it began to look,"""
    ended: float = 0.0
    """and when it had all of that."""

    @property
    def broken(self) -> list[Finding]:
        """Promises that the store does not keep here."""
        return [finding for finding in self.findings if not finding.kept]

    @property
    def problems(self) -> list[str]:
        """All that is wrong here, in words."""
        told = [f"{finding.check}: {finding.seen} {finding.advice}".rstrip() for finding in self.broken]
        return told + [f"run {run.run}: {problem}" for run in self.runs for problem in run.problems]


def check_up(cluster: Cluster, name: str, *, at_work: bool = False) -> Checkup:
    """Look at everything. What fails is a part of what is found; a mount that hangs makes this hang."""
    began = time.time()
    findings = probe(cluster.store)
    return Checkup(
        name,
        cluster.place,
        cluster.store.capabilities,
        cluster.has_key,
        manifests.versions(),
        machine.processors(),
        findings,
        {} if any(not finding.kept for finding in findings) else round_trips(cluster.store),
        _free(cluster.folder),
        _runs(cluster),
        at_work,
        began,
        time.time(),
    )


def round_trips(store: Store, clock: Callable[[], float] = time.perf_counter) -> dict[str, float]:
    """Seconds that each operation takes on a small object: the median of a few tries. Raises StorageError."""
    found: dict[str, list[float]] = {}
    data = b"x" * 100
    for _ in range(TRIES):
        name = layout.probe_name(os.urandom(8).hex())
        calls: dict[str, Callable[[], object]] = {
            "create": partial(store.create, name, data),
            "read": partial(store.read, name),
            "list": partial(store.list, layout.PROBES),
            "put": partial(store.put, name, data),
            "delete": partial(store.delete, name),
        }
        for operation, call in calls.items():
            begin = clock()
            with suppress(FileNotFoundError):  # a young name may seem to be missing
                call()
            found.setdefault(operation, []).append(clock() - begin)
    return {operation: round(statistics.median(times), 6) for operation, times in found.items()}


def _free(folder: Path | None) -> dict[str, int]:
    found = {}
    for place in filter(None, (folder, Path(tempfile.gettempdir()))):
        with suppress(OSError):  # a finding of the probe says more
            found[str(place)] = shutil.disk_usage(place).free
    return found


# ---------------------------------------------------------------- what runs need


def _runs(cluster: Cluster) -> tuple[RunCheck, ...]:
    try:
        return tuple(_run(cluster, run_id) for run_id in cluster.open_runs())
    except StorageError:  # a finding of the probe says so
        return ()


def _run(cluster: Cluster, run_id: str) -> RunCheck:
    try:
        spec = cluster.spec(run_id)
        plan = cluster.plan(run_id)
    except MapReduceError as error:
        return RunCheck(run_id, problems=(str(error),))
    files = [file for file in plan.inputs if file.uri != "records:"]
    looked_at = sample(files)
    problems = [
        version_difference(spec.versions, manifests.versions()),
        *(source_problem(file, spec) for file in looked_at),
        output_problem(folder_or_url(spec.output)),
    ]
    return RunCheck(run_id, spec.job, len(files), len(looked_at), tuple(filter(None, problems)))


def sample(files: Sequence[InputFile]) -> list[InputFile]:
    """Some of the files: the first, the last, and others at equal distances."""
    last = len(files) - 1
    places = range(len(files)) if last < SAMPLE else {last * i // (SAMPLE - 1) for i in range(SAMPLE)}
    return [files[place] for place in sorted(places)]


def source_problem(file: InputFile, spec: Spec) -> str:
    """Why a planned file can't be read here, or is another one; ""."""
    uri = file.uri
    if not inputs.is_url(uri) and os.path.isdir(spec.directory):
        uri = os.path.join(spec.directory, uri)
    there = replace(file, uri=uri)
    try:
        size = inputs.describe(uri, file.profile, file.growing).size
        if size != file.size and not (file.growing and size > file.size):
            return f"{uri} has {size:,} bytes, and {file.size:,} are planned."
        inputs.check_unchanged(there)
    except InputError as error:
        return error.message
    return ""


def output_problem(output: Path | str) -> str:
    """Why nothing can be written to an output here; ""."""
    if not isinstance(output, Path):
        try:
            check_store(open_store(output))
        except MapReduceError as error:
            return f"The output {output} can't be written to: {error.message}"
        return ""
    try:
        with tempfile.TemporaryFile(dir=output):
            return ""
    except OSError as error:
        return f"Nothing can be written to the output {output}: {error.strerror}."
