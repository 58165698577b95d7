"""From a job to a plan: what will be read, in which cuts, by how many reducers."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from mapreduce.codec import canonical_json, dump_code, sha256
from mapreduce.datasets import FileDataset, Parquet, as_output, as_source
from mapreduce.errors import InputMissing, JobError
from mapreduce.job import Job
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
        cuts = _split(source, found, number)
        splits += cuts if limit is None else _first_records(source, cuts, limit)
    shards = _shards(job, files)
    _demand_schema(job, shards or len(splits))
    return Plan(
        run_id=run_id,
        job=job.name,
        splits=tuple(replace(split, index=index) for index, split in enumerate(splits)),
        inputs=tuple(files),
        shards=shards,
        code=sha256(dump_code(_code(job))),
        options=sha256(canonical_json(_options(job, limit))),
        by_key=isinstance(job.partition, TotalOrder),
    )


def _split(source: Source, files: Sequence[InputFile], number: int) -> list[Split]:
    return [
        Split(index, cut.file, cut.start, cut.stop, more=cut.more, input=number)
        for index, cut in enumerate(source.splits(files))
    ]


def _demand_schema(job: Job, parts: int) -> None:
    """A part is written by itself: one without records, or with only None, could not tell its columns."""
    output = as_output(job.output)
    if isinstance(output, Parquet) and output.schema is None and parts > 1:
        raise JobError(
            f"The output {output!r} will have {parts:,} parts, which have one schema only if it is given.",
            hint='Write Parquet(path, schema={"key": str, "value": int}), with your columns; or shards=1.',
        )


def _code(job: Job) -> dict[str, object]:
    several = len(job.inputs) > 1
    maps = {f"map {number}" if several else "map": given.map for number, given in enumerate(job.inputs)}
    return {
        **maps,
        "reduce": job.reduce,
        "combine": job.combine,
        "partition": job.partition,
        "order_values": job.order_values,
    }


def _shards(job: Job, files: Sequence[InputFile]) -> int:
    if job.reduce is None:
        return 0
    if job.shards != "auto":
        return job.shards
    stored = sum(file.size for file in files if file.uri != "records:")
    return max(1, -(-stored // SHARD_BYTES))


def _options(job: Job, limit: int | None) -> dict[str, object]:
    return {
        "name": job.name,
        "source": [_described(as_source(given.source)) for given in job.inputs],
        "output": _described(as_output(job.output)),
        "shards": job.shards,
        "limit": limit,
        "by_key": isinstance(job.partition, TotalOrder),
        "key_names": list(job.key_names or ()),
        "side": sha256(dump_code({"side": dict(job.side)})),
    }


def _described(dataset: object) -> dict[str, str]:
    """A dataset with all its options, if it is one of ours: another's may have other texts elsewhere."""
    described = {"": repr(dataset)}
    if isinstance(dataset, FileDataset):
        described |= {name: repr(value) for name, value in vars(dataset).items() if not name.startswith("_")}
        described |= {"reading": repr(dataset.reading)}
    return described


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
