"""One reduce attempt: a shard's segments, grouped in key order, through the reduce, to a part."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mapreduce.aggregates import Aggregate, Together, as_aggregate
from mapreduce.context import Context
from mapreduce.errors import MapReduceError, RecordError, UserFunctionError
from mapreduce.failures import located, user_error
from mapreduce.job import Job, function_name
from mapreduce.model import Segments, Work
from mapreduce.protocols import RecordWriter, Report, Store
from mapreduce.shuffle.columns import Pairs, concat, python_keys
from mapreduce.shuffle.groups import Values, grouped
from mapreduce.shuffle.segments import read_segments
from mapreduce.shuffle.states import finish_states
from mapreduce.signatures import with_context
from mapreduce.timing import Timed

Group = tuple[Any, list[Any]]
Reduce = Callable[[list[Group]], Iterable[Any]]


def run_reduce(
    job: Job,
    store: Store,
    inputs: Iterable[Segments],
    writer: RecordWriter,
    context: Context,
    report: Report,
) -> Work:
    """Reduce one shard. `inputs` are the maps' segments in map order."""
    parts: list[Pairs] = []
    size = rows = 0
    for segments in inputs:
        for pairs in read_segments(store, segments):
            parts.append(pairs)
            rows += len(pairs)
        size += sum(chunk.length for chunk in segments.chunks)
        report(size, 0, rows)
    if not parts:
        return Work()
    aggregate = as_aggregate(job.reduce)
    if aggregate and aggregate.combines:
        groups, user = _write_states(aggregate, parts, writer), 0.0
    else:
        reduce: Reduce = _aggregating(aggregate) if aggregate else _Reduction(job, context)
        groups, user = _write_groups(reduce, function_name(job.reduce), concat(parts), writer)
    return Work(records=writer.records, pairs=rows, groups=groups, bytes_in=size, user_seconds=user)


def _write_states(aggregate: Aggregate, parts: list[Pairs], writer: RecordWriter) -> int:
    merged, results = finish_states(aggregate, parts)
    keys = python_keys(merged.frame, merged.keys)
    if isinstance(aggregate, Together):
        writer.write(map(aggregate.record, keys, results))
    else:
        writer.write_pairs(keys, results)
    return len(results)


def _write_groups(reduce: Reduce, name: str, pairs: Pairs, writer: RecordWriter) -> tuple[int, float]:
    groups = 0
    records = Timed([])
    for batch in grouped(pairs):
        gc.disable()
        try:
            records = Timed(reduce(batch), records.seconds)
            writer.write(records)
        except RecordError as error:
            raise located(error, f"reduce {name}", None) from None
        finally:
            gc.enable()
        groups += len(batch)
    return groups, records.seconds


def _aggregating(aggregate: Aggregate) -> Reduce:
    return lambda batch: (aggregate.record(key, aggregate.apply(values)) for key, values in batch)


class _Reduction:
    """Calls the job's reduce group by group, and says which group failed.

    A record is taken by the writer before the function goes on, and may change it.
    """

    def __init__(self, job: Job, context: Context) -> None:
        function: Any = job.reduce
        self._function = function
        self._call = with_context(function, context)

    def __call__(self, batch: list[Group]) -> Iterator[Any]:
        key: Any = None
        try:
            for key, values in batch:
                given = self._call(key, Values(values))
                if type(given) in (tuple, dict, str, bytes):
                    raise TypeError(
                        f"it returned a {type(given).__name__}; yield the record, or return a list"
                    )
                if given is not None:
                    yield from given
        except (GeneratorExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            where = f"reduce {function_name(self._function)} failed for the key {repr(key)[:200]}"
            if isinstance(error, MapReduceError) and not isinstance(error, UserFunctionError):
                raise located(error, where, None) from None
            raise user_error(error, where) from error
