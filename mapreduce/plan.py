"""From a job to a plan: what will be read, in which cuts, by how many reducers."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from mapreduce.codec import canonical_json, dump_value, sha256
from mapreduce.datasets import FileDataset, LineDataset, Parquet, as_output, as_source
from mapreduce.errors import InputMissing, JobError, ValueTypeError
from mapreduce.fingerprint import fingerprint
from mapreduce.job import Job
from mapreduce.manifest import versions
from mapreduce.model import InputFile, Plan, Split
from mapreduce.ordering import TotalOrder
from mapreduce.protocols import Source

SHARD_BYTES = 128 * 2**20


def new_run_id(now: datetime) -> str:
    """An id that sorts by time and is unique, also for runs that start at once."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"


def make_plan(job: Job, run_id: str, limit: int | None = None) -> Plan:
    """Look at the input and fix everything that decides the result's bytes. Raises InputError.

    limit: read the first records of each input only.
    """
    if limit is not None and (type(limit) is not int or limit < 1):
        raise JobError(f"limit={limit!r}.", hint="Give a number of records, from 1.")
    functions, settings = meaning(job, limit)  # before reading: a source may remember what it did
    files: list[InputFile] = []
    splits: list[Split] = []
    for number, given in enumerate(job.inputs):
        source = as_source(given.source)
        found = source.files()
        if not found and not job.allow_empty:
            raise InputMissing(
                f"No file matches {source!r}.",
                hint="Check the pattern; an empty input is fine with allow_empty=True.",
            )
        files += found
        cuts = _split(source, found, number, read_ahead=limit is None)
        splits += cuts if limit is None else _first_records(source, cuts, limit)
    shards = _shards(job, files)
    _demand_schema(job, shards or len(splits))
    return Plan(
        run_id=run_id,
        job=job.name,
        splits=tuple(
            split if split.index == index else replace(split, index=index)
            for index, split in enumerate(splits)
        ),
        inputs=tuple(files),
        shards=shards,
        code=sha256(canonical_json(functions)),
        options=sha256(canonical_json(settings)),
        by_key=isinstance(job.partition, TotalOrder),
        combines=job.combines,
        functions=functions,
        settings=settings,
        versions=versions(),
    )


def meaning(job: Job, limit: int | None = None) -> tuple[dict[str, str], dict[str, str]]:
    """Fingerprints of the job's functions by role, and all else that was asked for: `Plan` says more."""
    functions = {role: fingerprint(function) for role, function in functions_of(job).items()}
    return functions, _settings(job, limit)


def _split(source: Source, files: Sequence[InputFile], number: int, *, read_ahead: bool) -> list[Split]:
    if isinstance(source, LineDataset):
        cuts = source.splits(files, read_ahead=read_ahead)
    else:
        cuts = source.splits(files)
    return [Split.of(index, cut, input=number) for index, cut in enumerate(cuts)]


def _demand_schema(job: Job, parts: int) -> None:
    """A part is written by itself: one without records, or with only None, could not tell its columns."""
    output = as_output(job.output)
    if isinstance(output, Parquet) and output.schema is None and parts > 1:
        raise JobError(
            f"The output {output!r} will have {parts:,} parts, which have one schema only if it is given.",
            hint='Write Parquet(path, schema={"key": str, "value": int}), with your columns; or shards=1.',
        )


def functions_of(job: Job) -> dict[str, object]:
    """By role, what the job has."""
    several = len(job.inputs) > 1
    maps = {f"map {number}" if several else "map": given.map for number, given in enumerate(job.inputs)}
    others = {
        "reduce": job.reduce,
        "combine": job.combine,
        "partition": job.partition,
        "order_values": job.order_values,
    }
    return {**maps, **{role: function for role, function in others.items() if function is not None}}


def _shards(job: Job, files: Sequence[InputFile]) -> int:
    if job.reduce is None:
        return 0
    if job.shards != "auto":
        return job.shards
    stored = sum(file.size for file in files if file.uri != "records:")
    return max(1, -(-stored // SHARD_BYTES))


def _settings(job: Job, limit: int | None) -> dict[str, str]:
    """All that was asked for besides functions, as text that is the same in every process."""
    several = len(job.inputs) > 1
    settings = {
        "name": job.name,
        "shards": _text(job.shards),
        "limit": _text(limit),
        "by_key": _text(isinstance(job.partition, TotalOrder)),
        "key_names": _text(job.key_names),
        "side": fingerprint(job.side),
        "on_error": "quarantine" if job.quarantine else "fail",
        **_described("output", as_output(job.output)),
    }
    for number, given in enumerate(job.inputs):
        settings |= _described(f"source {number}" if several else "source", as_source(given.source))
    return settings


def _described(role: str, dataset: object) -> dict[str, str]:
    """A dataset of files with all its options; of others, which may hold anything, the fingerprint."""
    kind = type(dataset)
    if not isinstance(dataset, FileDataset):
        return {role: f"{kind.__name__} {fingerprint(dataset)}"}
    options = {name: value for name, value in vars(dataset).items() if not name.startswith("_")}
    described = {f"{role} {name}": _text(value) for name, value in {**options, **dataset.reading}.items()}
    described[role] = kind.__name__
    if kind.__module__.partition(".")[0] != __name__.partition(".")[0]:
        described[f"{role} class"] = fingerprint(kind)
    return described


def _text(value: object) -> str:
    """A value as people write it, if its text is the same everywhere; else its fingerprint."""
    if isinstance(value, dict):  # a schema: names and types
        return "{" + ", ".join(f"{_text(name)}: {_text(item)}" for name, item in value.items()) + "}"
    if isinstance(value, type):
        return value.__qualname__
    try:
        dump_value(value)
    except ValueTypeError:
        return fingerprint(value)
    return fingerprint(value) if isinstance(value, (set, frozenset)) else repr(value)


def _first_records(source: Source, splits: Sequence[Split], limit: int) -> list[Split]:
    """The splits of one input that hold the first `limit` records, the last one cut short."""
    chosen: list[Split] = []
    for split in splits:
        wanted = replace(split, records=limit)
        found = sum(len(block.records) for block in source.read(wanted))
        chosen.append(wanted)
        limit -= found
        if limit <= 0:
            break
    return chosen
