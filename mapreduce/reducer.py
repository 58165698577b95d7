"""One reduce attempt: a shard's segments, grouped in key order, through the reduce, to a part."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, cast

import polars as pl

from mapreduce import chunks
from mapreduce.aggregates import Aggregate, Together, as_aggregate
from mapreduce.chunks import Chunk
from mapreduce.context import Context
from mapreduce.errors import KeyTypeError, MapReduceError, RecordError, UserFunctionError
from mapreduce.failures import interrupts, is_raised_by_user, located, safe_repr, user_error
from mapreduce.figures import count
from mapreduce.functions import function_name, set_up, takes_frames
from mapreduce.job import Job
from mapreduce.keys import order_bytes
from mapreduce.model import Segments, Work
from mapreduce.ordering import Range
from mapreduce.protocols import RecordWriter, Report, Store
from mapreduce.room import Room
from mapreduce.shuffle.columns import Pairs, concat, python_keys
from mapreduce.shuffle.folding import as_objects, folded
from mapreduce.shuffle.frames import REDUCE_HINT, as_frame, group_frames, pairs_frame, write_rows
from mapreduce.shuffle.groups import Values, grouped, ordered
from mapreduce.shuffle.placing import within
from mapreduce.shuffle.segments import read_chunk, read_segments
from mapreduce.shuffle.sorting import Piece, Slice, are_even, slices
from mapreduce.shuffle.states import finish_columns, join_states
from mapreduce.shuffle.streaming import (
    Alone,
    GroupSizes,
    StreamedValues,
    ordered_values,
    sorted_runs,
    stored_bytes,
)
from mapreduce.signatures import with_context
from mapreduce.timing import Timed

Group = tuple[Any, Any]
"""A key, and its values as a list, or, where they are streamed, as an iterator."""
Reduce = Callable[[list[Group]], Iterable[Any]]
SAMPLE_BATCHES = 8
COLLECTED = 2**16
"""New objects until cycles are searched for while groups are reduced: two batches of the shortest groups."""
SHOWN_KEY = 100
"""Characters of a key that are kept to name it."""


@dataclass(frozen=True)
class Shard:
    """What a reduce attempt reads, and what it may hold of that.

    inputs: parts of the maps' runs in input order; of them the keys in `wanted`. scratch: a directory
    for files without names.
    """

    index: int
    store: Store
    inputs: Sequence[Segments]
    wanted: Range | None
    room: Room
    scratch: Path

    @property
    def size(self) -> int:
        """Stored bytes."""
        return stored_bytes(self.inputs)

    def pairs(self, report: Report) -> Iterator[Pairs]:
        """Bit by bit, in input order."""
        size = rows = 0
        for segments in self.inputs:
            for stored in read_segments(self.store, segments):
                pairs = within(stored, self.wanted) if self.wanted else stored
                if len(pairs):
                    rows += len(pairs)
                    yield pairs
            size += chunks.stored_bytes(segments.index)
            report(size, 0, rows)

    def slices(self, report: Report) -> Iterator[Slice] | None:
        """Whole groups bit by bit, in key order, where that is the order in which the runs are stored.

        None if they are not, or if a chunk of each can't be held, or if a key may be too large to be held.
        """
        if self.wanted is None:
            return None
        size = rows = 0

        def read(segments: Segments, chunk: Chunk) -> Pairs:
            nonlocal size, rows
            size, rows = size + chunk.length, rows + chunk.rows
            report(size, 0, rows)
            return read_chunk(self.store, segments, chunk)

        def piece(segments: Segments, chunk: Chunk) -> Piece:
            return Piece(chunk.first, chunk.length, chunk.rows, partial(read, segments, chunk))

        runs = [[piece(one, chunk) for chunk in chunks.unpack(one.index)] for one in self.inputs]
        held = sum(max(piece.length for piece in run) for run in runs)
        slice_bytes = self.room.slice
        if held > self.room.at_once or not are_even(runs, slice_bytes):
            return None
        return slices(runs, slice_bytes, self.wanted)


def run_reduce(job: Job, shard: Shard, writer: RecordWriter, context: Context, report: Report) -> Work:
    """Reduce one shard: as a whole, or where it is larger than what may be held at once by way of a file."""
    size = shard.size
    with set_up("reduce", job.reduce, context):
        if size > shard.room.at_once:
            work = _Large(job, shard, writer, context).run(report)
        else:
            work = _reduce_whole(job, shard, writer, context, report)
    if context.last_record:
        context.last_record.clear()
    return replace(work, records=writer.records, bytes_in=size)


def _reduce_whole(job: Job, shard: Shard, writer: RecordWriter, context: Context, report: Report) -> Work:
    parts = list(shard.pairs(report))
    work = _write(job, parts, writer, context) if parts else Work()
    return replace(work, pairs=sum(map(len, parts)))


def _write(job: Job, parts: list[Pairs], writer: RecordWriter, context: Context) -> Work:
    aggregate = as_aggregate(job.reduce)
    if aggregate and job.combines:
        return Work(groups=_write_states(aggregate, parts, writer))
    pairs = concat(parts)
    if job.order_values is not None:
        pairs = ordered(pairs, _sort_key(job.order_values))
    if takes_frames(job.reduce):
        return _write_frames(job, [pairs], writer, context)
    sizes = GroupSizes()
    batches = grouped(pairs, sizes.add_batch)
    user = _write_groups(_reduction(job, context), function_name(job.reduce), batches, writer)
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
    _write_results(aggregate, python_keys(merged.frame, merged.keys), results, writer)
    return len(results)


def _write_results(
    aggregate: Aggregate, keys: Sequence[Any], results: Sequence[Any], writer: RecordWriter
) -> None:
    if isinstance(aggregate, Together):
        writer.write(map(aggregate.record, keys, results))
    else:
        writer.write_pairs(keys, results)


def _write_groups(reduce: Reduce, name: str, batches: Iterable[list[Group]], writer: RecordWriter) -> float:
    """Seconds in the reduce function. Of most batches they are not measured, which takes as long as a
    short function, but its share is taken to be the same.
    """
    seconds = total = 0.0
    with _rare_collection():
        for number, batch in enumerate(batches):
            start = time.perf_counter()
            try:
                if number % SAMPLE_BATCHES:
                    writer.write(reduce(batch))
                    seconds += (time.perf_counter() - start) * seconds / total
                else:
                    records = Timed(reduce(batch))
                    writer.write(records)
                    seconds += records.seconds
            except RecordError as error:
                raise located(error, f"reduce {name}", None) from None
            total += time.perf_counter() - start
    return seconds


@contextmanager
def _rare_collection() -> Iterator[None]:
    """The search for cycles comes once for many groups: each group is some objects that it would look at."""
    before = gc.get_threshold()
    gc.set_threshold(COLLECTED, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _write_frames(job: Job, parts: Iterable[Pairs], writer: RecordWriter, context: Context) -> Work:
    """`parts` are whole groups, in key order."""
    call = with_context(cast("Callable[..., Any]", job.reduce), context)
    where = f"reduce {function_name(job.reduce)} failed"
    groups = 0
    seconds = 0.0
    try:
        for frame, number in chain.from_iterable(group_frames(pairs, job.key_names) for pairs in parts):
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
        call, last_record = self._call, self._last_record
        try:
            for key, values in batch:
                if last_record:
                    last_record.note("a reduce", key)
                given = call(key, Values(iter(values)) if type(values) is list else values)
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


# ---------------------------------------------------------------- more than may be held at once


_STREAM_HINT = (
    "Reduce by a function (key, values): it gets the values one by one, from disk. Or give more memory "
    "(Job(memory=…), fewer --workers), or cut the key into several."
)
_FRAME_COPIES = 4
"""A frame of groups is made of its pairs by as many copies, about."""


class _Large:
    """Reduces a shard slice by slice."""

    def __init__(self, job: Job, shard: Shard, writer: RecordWriter, context: Context) -> None:
        self._job, self._shard, self._writer, self._context = job, shard, writer, context
        self._aggregate = as_aggregate(job.reduce)
        self._states = self._aggregate if job.combines else None
        self._sort_key = _sort_key(job.order_values) if job.order_values else None
        self._sizes = GroupSizes()
        self._rows = 0
        """In slices that were no key's alone."""

    def run(self, report: Report) -> Work:
        """Reduce the shard in key order, if need be after it was sorted."""
        if stored := self._shard.slices(report):
            return replace(self._reduce(stored), pairs=self._rows)
        rows = 0

        def counted() -> Iterator[Pairs]:
            nonlocal rows
            for pairs in self._shard.pairs(report):
                rows += len(pairs)
                yield pairs

        join = partial(join_states, self._states) if self._states else concat
        with sorted_runs(counted(), self._shard.scratch, self._shard.room, self._shard.size, join) as runs:
            return replace(self._reduce(runs.slices()), pairs=rows)

    def _reduce(self, slices: Iterator[Slice]) -> Work:
        if self._states:
            return Work(groups=self._write_states(self._states, slices))
        if takes_frames(self._job.reduce):
            return _write_frames(self._job, self._frames(slices), self._writer, self._context)
        return self._write_groups(slices)

    def _write_groups(self, slices: Iterator[Slice]) -> Work:
        reduce = _reduction(self._job, self._context)
        batches = chain.from_iterable(map(self._batches, slices))
        user = _write_groups(reduce, function_name(self._job.reduce), batches, self._writer)
        return _counted(self._sizes, user)

    def _batches(self, slice_: Slice) -> Iterator[list[Group]]:
        if slice_.alone:
            yield from self._alone(Alone(slice_))
        elif parts := self._parts(slice_):
            pairs = concat(parts)
            pairs = ordered(pairs, self._sort_key) if self._sort_key else pairs
            yield from grouped(pairs, self._sizes.add_batch)

    def _parts(self, slice_: Slice) -> list[Pairs]:
        parts = list(slice_.pairs())
        self._rows += sum(map(len, parts))
        return parts

    def _alone(self, alone: Alone) -> Iterator[list[Group]]:
        if self._aggregate:  # it needs a list
            needed = as_objects(alone.about_rows, alone.first)
            self._demand(alone, repr(self._aggregate), f"about {count(alone.about_rows, 'value')}", needed)
        values = alone.values()
        if self._sort_key:
            values = ordered_values(alone, self._sort_key, self._shard.scratch, self._shard.room)
        given = StreamedValues(values)
        yield [(alone.key, given)]
        given.pass_by()
        self._sizes.add_batch([alone.key], [alone.pass_by()])

    def _write_states(self, aggregate: Aggregate, slices: Iterator[Slice]) -> int:
        groups = 0
        for slice_ in slices:
            if slice_.alone:
                alone = Alone(slice_)
                refuse = partial(self._refuse, alone)
                result = folded(aggregate, alone, self._shard.scratch, self._shard.room, refuse)
                _write_results(aggregate, [alone.key], [result], self._writer)
                groups += 1
            elif parts := self._parts(slice_):
                groups += _write_states(aggregate, parts, self._writer)
        return groups

    def _frames(self, slices: Iterator[Slice]) -> Iterator[Pairs]:
        layouts = {segments.layout for segments in self._shard.inputs}
        for slice_ in slices:
            if slice_.alone:
                alone = Alone(slice_)
                held = _FRAME_COPIES * alone.about_bytes
                self._demand(alone, "A frame", f"about {count(alone.about_rows, 'value')}", held)
                parts = list(alone.pairs())
            else:
                parts = self._parts(slice_)
            if parts:
                pairs = concat(parts, layouts)
                yield ordered(pairs, self._sort_key) if self._sort_key else pairs

    def _refuse(self, alone: Alone, aggregate: Aggregate, rows: int, needed: int) -> None:
        self._demand(alone, repr(aggregate), f"{count(rows, 'value')} so far", needed)

    def _demand(self, alone: Alone, whole: str, values: str, needed: int) -> None:
        """Raise MemoryExceeded if what a reduce wants of a key at once takes more than is left."""
        key = safe_repr(alone.key)[:SHOWN_KEY]
        what = f"{whole} of the key {key}, {values} in shard {self._shard.index},"
        self._shard.room.demand(needed, what, _STREAM_HINT)
