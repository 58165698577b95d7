"""One reduce attempt: a shard's segments, grouped in key order, through the reduce, to a part."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

from mapreduce.aggregates import Aggregate, Together, as_aggregate
from mapreduce.context import Context
from mapreduce.errors import KeyTypeError, MapReduceError, RecordError, UserFunctionError
from mapreduce.failures import located, safe_repr, user_error
from mapreduce.functions import function_name, set_up, takes_frames
from mapreduce.job import Job
from mapreduce.keys import order_bytes
from mapreduce.model import Segments, Work
from mapreduce.ordering import Range
from mapreduce.protocols import RecordWriter, Report, Store
from mapreduce.shuffle.columns import Pairs, concat, python_keys
from mapreduce.shuffle.frames import as_frame, frame_records, group_frames
from mapreduce.shuffle.groups import Values, grouped, ordered
from mapreduce.shuffle.placing import within
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
    wanted: Range | None,
    writer: RecordWriter,
    context: Context,
    report: Report,
) -> Work:
    """Reduce one shard. `inputs` are the maps' segments in map order; of them the keys in `wanted`."""
    parts: list[Pairs] = []
    size = rows = 0
    for segments in inputs:
        for stored in read_segments(store, segments):
            pairs = within(stored, wanted) if wanted else stored
            if len(pairs):
                parts.append(pairs)
                rows += len(pairs)
        size += sum(chunk.length for chunk in segments.chunks)
        report(size, 0, rows)
    with set_up("reduce", job.reduce, context):
        groups, user = _write(job, parts, writer, context) if parts else (0, 0.0)
    return Work(records=writer.records, pairs=rows, groups=groups, bytes_in=size, user_seconds=user)


def _write(job: Job, parts: list[Pairs], writer: RecordWriter, context: Context) -> tuple[int, float]:
    """The number of groups, and seconds in the reduce function."""
    aggregate = as_aggregate(job.reduce)
    if aggregate and job.combines:
        return _write_states(aggregate, parts, writer), 0.0
    pairs = concat(parts)
    if job.order_values is not None:
        pairs = ordered(pairs, _sort_key(job.order_values))
    if takes_frames(job.reduce):
        return _write_frames(job, pairs, writer, context)
    reduce: Reduce = _aggregating(aggregate) if aggregate else _Reduction(job, context)
    return _write_groups(reduce, function_name(job.reduce), pairs, writer)


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


def _write_frames(job: Job, pairs: Pairs, writer: RecordWriter, context: Context) -> tuple[int, float]:
    call = with_context(cast("Callable[..., Any]", job.reduce), context)
    where = f"reduce {function_name(job.reduce)} failed"
    groups = 0
    seconds = 0.0
    try:
        for frame, number in group_frames(pairs, job.key_names):
            start = time.perf_counter()
            given = as_frame(call(frame))
            seconds += time.perf_counter() - start
            groups += number
            if given is not None:
                writer.write(frame_records(given))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, MapReduceError) and not isinstance(error, UserFunctionError):
            raise located(error, where, None) from None
        raise user_error(error, where) from error
    return groups, seconds


def _aggregating(aggregate: Aggregate) -> Reduce:
    return lambda batch: (aggregate.record(key, aggregate.apply(values)) for key, values in batch)


def _sort_key(function: Callable[[Any], Any]) -> Callable[[Any], bytes]:
    """Bytes that compare as what the job's `order_values` gives, as keys compare."""

    def sort_key(value: Any) -> bytes:
        try:
            return order_bytes(function(value))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            where = f"order_values {function_name(function)} failed for the value {safe_repr(value)[:200]}"
            if isinstance(error, KeyTypeError):
                raise located(error, where, None) from None
            raise user_error(error, where) from error

    return sort_key


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
