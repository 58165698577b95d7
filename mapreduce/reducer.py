"""One reduce attempt: a shard's segments, grouped in key order, through the reduce, to a part."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import polars as pl

from mapreduce.aggregates import Aggregate, Together, as_aggregate
from mapreduce.context import Context
from mapreduce.errors import KeyTypeError, MapReduceError, RecordError, UserFunctionError
from mapreduce.failures import interrupts, is_raised_by_user, located, safe_repr, user_error
from mapreduce.functions import function_name, set_up, takes_frames
from mapreduce.job import Job
from mapreduce.keys import order_bytes
from mapreduce.model import Segments, Work
from mapreduce.ordering import Range
from mapreduce.protocols import RecordWriter, Report, Store
from mapreduce.shuffle.columns import Pairs, concat, python_keys
from mapreduce.shuffle.frames import REDUCE_HINT, as_frame, group_frames, pairs_frame, write_rows
from mapreduce.shuffle.groups import Values, grouped, ordered
from mapreduce.shuffle.placing import within
from mapreduce.shuffle.segments import read_segments
from mapreduce.shuffle.states import finish_columns
from mapreduce.shuffle.streaming import GroupSizes, StreamedValues, is_large, streamed
from mapreduce.signatures import with_context
from mapreduce.timing import Timed

Group = tuple[Any, Any]
"""A key, and its values as a list, or, where they are streamed, as an iterator."""
Reduce = Callable[[list[Group]], Iterable[Any]]
SHOWN_KEY = 100
"""Characters of a key that are kept to name it."""


def run_reduce(
    job: Job,
    store: Store,
    inputs: Sequence[Segments],
    wanted: Range | None,
    writer: RecordWriter,
    context: Context,
    report: Report,
) -> Work:
    """Reduce one shard. `inputs` are the maps' segments in map order; of them the keys in `wanted`.

    A shard that is larger than a range of it may be is streamed, unless its states or its groups are
    taken as columns.
    """
    by_columns = job.combines or takes_frames(job.reduce)
    with set_up("reduce", job.reduce, context):
        if is_large(inputs) and not by_columns:
            work = _reduce_streamed(job, store, inputs, wanted, writer, context)
        else:
            work = _reduce_whole(job, store, inputs, wanted, writer, context, report)
    if context.last_record:
        context.last_record.clear()
    size = sum(chunk.length for segments in inputs for chunk in segments.chunks)
    return replace(work, records=writer.records, bytes_in=size)


def _reduce_streamed(
    job: Job,
    store: Store,
    inputs: Sequence[Segments],
    wanted: Range | None,
    writer: RecordWriter,
    context: Context,
) -> Work:
    sizes = GroupSizes()
    sort_key = _sort_key(job.order_values) if job.order_values else None

    def batches() -> Iterator[list[Group]]:
        for key, values in streamed(store, inputs, wanted, store.root, sizes):
            given = StreamedValues(iter(sorted(values, key=sort_key)) if sort_key else values)
            yield [(key, given)]
            given.pass_by()

    user = _write_groups(_reduction(job, context), function_name(job.reduce), batches(), writer)
    return _counted(sizes, user)


def _reduce_whole(
    job: Job,
    store: Store,
    inputs: Sequence[Segments],
    wanted: Range | None,
    writer: RecordWriter,
    context: Context,
    report: Report,
) -> Work:
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
    work = _write(job, parts, writer, context) if parts else Work()
    return replace(work, pairs=rows)


def _write(job: Job, parts: list[Pairs], writer: RecordWriter, context: Context) -> Work:
    aggregate = as_aggregate(job.reduce)
    if aggregate and job.combines:
        return Work(groups=_write_states(aggregate, parts, writer))
    pairs = concat(parts)
    if job.order_values is not None:
        pairs = ordered(pairs, _sort_key(job.order_values))
    if takes_frames(job.reduce):
        return _write_frames(job, pairs, writer, context)
    sizes = GroupSizes()

    def batches() -> Iterator[list[Group]]:
        for batch in grouped(pairs):
            sizes.add_batch([key for key, _ in batch], [len(values) for _, values in batch])
            yield batch

    user = _write_groups(_reduction(job, context), function_name(job.reduce), batches(), writer)
    return _counted(sizes, user)


def _counted(sizes: GroupSizes, user_seconds: float) -> Work:
    largest = safe_repr(sizes.key)[:SHOWN_KEY] if sizes.largest else ""
    return Work(
        pairs=sizes.rows,
        groups=sizes.groups,
        user_seconds=user_seconds,
        largest_key=largest,
        largest_key_pairs=sizes.largest,
    )


def _reduction(job: Job, context: Context) -> Reduce:
    aggregate = as_aggregate(job.reduce)
    return _aggregating(aggregate) if aggregate else _Reduction(job, context)


def _write_states(aggregate: Aggregate, parts: list[Pairs], writer: RecordWriter) -> int:
    merged, results = finish_columns(aggregate, parts)
    if isinstance(results, pl.Series):
        frame = pairs_frame(merged, results)
        if frame is not None and writer.write_frame(frame):
            return len(results)
        results = results.to_list()
    keys = python_keys(merged.frame, merged.keys)
    if isinstance(aggregate, Together):
        writer.write(map(aggregate.record, keys, results))
    else:
        writer.write_pairs(keys, results)
    return len(results)


def _write_groups(reduce: Reduce, name: str, batches: Iterable[list[Group]], writer: RecordWriter) -> float:
    """Seconds in the reduce function."""
    records = Timed([])
    for batch in batches:
        gc.disable()
        try:
            records = Timed(reduce(batch), records.seconds)
            writer.write(records)
        except RecordError as error:
            raise located(error, f"reduce {name}", None) from None
        finally:
            gc.enable()
    return records.seconds


def _write_frames(job: Job, pairs: Pairs, writer: RecordWriter, context: Context) -> Work:
    call = with_context(cast("Callable[..., Any]", job.reduce), context)
    where = f"reduce {function_name(job.reduce)} failed"
    groups = 0
    seconds = 0.0
    try:
        for frame, number in group_frames(pairs, job.key_names):
            start = time.perf_counter()
            if context.last_record:
                context.last_record.note("a reduce of a frame", None)
            given = as_frame(call(frame), REDUCE_HINT)
            seconds += time.perf_counter() - start
            groups += number
            if given is not None:
                write_rows(writer, given)
    except interrupts():
        raise
    except BaseException as error:
        if isinstance(error, MapReduceError) and not isinstance(error, UserFunctionError):
            raise located(error, where, None) from None
        raise user_error(error, where) from error
    return Work(groups=groups, user_seconds=seconds)


def _aggregating(aggregate: Aggregate) -> Reduce:
    return lambda batch: (aggregate.record(key, aggregate.apply(values)) for key, values in batch)


def _sort_key(function: Callable[[Any], Any]) -> Callable[[Any], bytes]:
    """Bytes that compare as what the job's `order_values` gives, as keys compare."""

    def sort_key(value: Any) -> bytes:
        try:
            return order_bytes(function(value))
        except interrupts():
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
        self._last_record = context.last_record

    def __call__(self, batch: list[Group]) -> Iterator[Any]:
        key: Any = None
        try:
            for key, values in batch:
                if self._last_record:
                    self._last_record.note("a reduce", key)
                given = self._call(key, Values(values) if type(values) is list else values)
                if type(given) in (tuple, dict, str, bytes):
                    raise TypeError(
                        f"it returned a {type(given).__name__}; yield the record, or return a list"
                    )
                if given is not None:
                    yield from given
        except interrupts():
            raise
        except BaseException as error:
            if isinstance(error, GeneratorExit) and not is_raised_by_user(error):
                raise  # this generator is closed
            where = f"reduce {function_name(self._function)} failed for the key {repr(key)[:200]}"
            if isinstance(error, MapReduceError) and not isinstance(error, UserFunctionError):
                raise located(error, where, None) from None
            raise user_error(error, where) from error
