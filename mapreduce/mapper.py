"""One map attempt: records of a split, through the job's function, into a buffer of pairs."""

from __future__ import annotations

import gc
import inspect
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice, repeat
from operator import countOf
from typing import Any

from mapreduce.codec import MutableValues
from mapreduce.context import Context
from mapreduce.errors import MapReduceError, PairError, UserFunctionError
from mapreduce.failures import interrupts, located, user_error
from mapreduce.forks import end_in_child
from mapreduce.functions import (
    Identity,
    PassThrough,
    function_name,
    set_up,
    takes_blocks,
    takes_context,
    takes_frames,
)
from mapreduce.job import Job
from mapreduce.model import Location, Split, Work
from mapreduce.protocols import Block, FrameBlock, RecordWriter, Report, Source
from mapreduce.shuffle.buffer import Buffer, make_buffer
from mapreduce.shuffle.columns import Pairs
from mapreduce.shuffle.frames import as_frame, frame_pairs, write_rows
from mapreduce.signatures import with_context
from mapreduce.timing import Timed

BATCH = 1024
"""Pairs that exist as tuples at once: they stay in the processor's cache."""

SETTLE_PAIRS = 2**13
SETTLE_BLOCKS = 16
"""So many pairs become columns at once, and blocks wait for that at the most."""

SAMPLE_BLOCKS = 64

_HINT = "A map gives an iterable of 2-tuples (key, value), or None for nothing."


def run_map(
    job: Job, source: Source, split: Split, context: Context, report: Report
) -> tuple[Pairs | None, Work]:
    """Map a split; the pairs in emit order, combined where the job allows it."""

    def target(careful: bool) -> _PairTarget:
        return _PairTarget(make_buffer(job, _combiner(job, context)), careful)

    function = job.inputs[split.input].map
    mapping = _Mapping(function, context, target)
    try:
        with set_up("map", function, context):
            work = mapping.run(source, split, report)
    except MutableValues:
        context.counters.clear()
        mapping.target = target(True)
        with set_up("map", function, context):
            work = mapping.run(source, split, report)
    pairs = mapping.target.finish()
    return pairs, replace(work, pairs=work.pairs + mapping.target.streamed)


def run_map_only(
    job: Job, source: Source, split: Split, writer: RecordWriter, context: Context, report: Report
) -> Work:
    """Map a split of a job without reduce: what the function gives are records, written as they are."""
    function = job.inputs[split.input].map
    if isinstance(function, Identity):
        function = PassThrough()
    with set_up("map", function, context):
        return _Mapping(function, context, lambda _: _RecordTarget(writer)).run(source, split, report)


def _combiner(job: Job, context: Context) -> Callable[[Any, list[Any]], Any] | None:
    combine = job.combine
    if combine is None:
        return None

    def guarded(key: Any, values: list[Any]) -> Any:
        if context.last_record:
            context.last_record.note("a combine", key)
        try:
            return combine(key, iter(values))
        except interrupts():
            raise
        except BaseException as error:
            where = f"combine {function_name(combine)} failed for the key {repr(key)[:200]}"
            raise user_error(error, where) from error

    return guarded


class _Mapping:
    """Calls the function block by block; when a block fails, finds the record that did it."""

    def __init__(
        self, function: Callable[..., Any], context: Context, make_target: Callable[[bool], Any]
    ) -> None:
        self._function = function
        self._make_target = make_target
        self.target = make_target(False)
        self._unsettled: list[Any] = []
        self._process = os.getpid()
        self._last_record = context.last_record
        self._frames = takes_frames(function)
        self._call: Callable[[Any], Any] = (
            _framer(function, context) if self._frames else _streamer(function, context)
        )

    def run(self, source: Source, split: Split, report: Report) -> Work:
        records = size = pairs = 0
        user = 0.0
        self._unsettled.clear()
        undecodable = getattr(source, "undecodable", 0)
        reported = time.perf_counter()
        for block in self._blocks(source, split):
            spent, made = self._take(block)
            end_in_child(self._process)
            records += block.frame.height if self._frames else len(block.records)
            size += block.size
            pairs += made
            user += spent
            now = time.perf_counter()
            if now - reported > 0.2:
                report(size, records, pairs)
                reported = now
        self._take(None)
        if self._last_record:
            self._last_record.clear()
        return Work(
            records=records,
            pairs=pairs,
            bytes_in=size,
            user_seconds=user,
            undecodable=getattr(source, "undecodable", 0) - undecodable,
        )

    def _blocks(self, source: Any, split: Split) -> Iterator[Any]:
        return source.read_frames(split) if self._frames else source.read(split)  # type: ignore[no-any-return]

    def _give(self, target: Any, block: Any) -> tuple[float, int]:
        """Let the function work on a block, and the target take what it gives."""
        if not self._frames:
            return target.take(self._call(block))  # type: ignore[no-any-return]
        start = time.perf_counter()
        frame = self._call(block)
        return time.perf_counter() - start, target.take_frame(frame)

    def _take(self, block: Any) -> tuple[float, int]:
        """Map a block; None: the end. Blocks are small, to stay in the processor's cache, and
        columns are made of several: their pairs may be refused only then.
        """
        gc.disable()  # a block makes no cycles, but many tuples that the collector would visit
        try:
            done = (0.0, 0)
            if block:
                self._unsettled.append(block)
                done = self._give(self.target, block)
            if self.target.settle(now=not block or len(self._unsettled) >= SETTLE_BLOCKS):
                self._unsettled.clear()
            return done
        except MutableValues:
            raise
        except interrupts():
            raise
        except BaseException as error:
            raise self._culprit(error) from error
        finally:
            gc.enable()

    def _culprit(self, error: BaseException) -> MapReduceError:
        """Run the last blocks again a record at a time, to name the one that fails."""
        for block in self._unsettled:
            if self._frames:
                if found := self._failure(block):
                    return self._frame_error(block, found)
                continue
            for index, record in enumerate(block.records):
                if found := self._failure(_Single(block, index)):
                    return self._error(found, block.locate(index), record)
        if isinstance(error, MapReduceError):
            return error
        return self._error(error, self._unsettled[-1].location, None)

    def _failure(self, block: Any) -> BaseException | None:
        """What goes wrong with a block alone, if anything does."""
        target = self._make_target(True)
        try:
            self._give(target, block)
            target.settle(now=True)
        except interrupts():
            raise
        except BaseException as found:  # noqa: BLE001 - it is returned
            return found
        return None

    def _frame_error(self, block: FrameBlock, error: BaseException) -> MapReduceError:
        """Halve the frame for as long as one of its halves fails by itself."""
        start, stop = 0, block.frame.height
        while stop - start > 1:
            middle = (start + stop) // 2
            if found := self._failure(_Rows(block, start, middle)):
                error, stop = found, middle
            elif found := self._failure(_Rows(block, middle, stop)):
                error, start = found, middle
            else:
                return self._error(error, block.location, None)
        return self._error(error, block.locate(start), block.frame.row(start, named=True))

    def _error(self, error: BaseException, location: Location, record: object) -> MapReduceError:
        where = f"map {function_name(self._function)} failed on {location}"
        if isinstance(error, MapReduceError) and not isinstance(error, UserFunctionError):
            return located(error, f"map {function_name(self._function)}, {location}", record)
        return located(user_error(error, where), "", record)


class _Single:
    """One record of a block, as a block."""

    def __init__(self, block: Block, index: int) -> None:
        self.records = [block.records[index]]
        self.location = block.locate(index)
        self.size = self.location.length

    def locate(self, index: int) -> Location:
        return self.location


class _Rows:
    """Some rows of a frame, as a block."""

    def __init__(self, block: FrameBlock, start: int, stop: int) -> None:
        self.frame = block.frame.slice(start, stop - start)
        self.location = block.location
        self._block, self._start = block, start

    def locate(self, index: int) -> Location:
        return self._block.locate(self._start + index)


# ---------------------------------------------------------------- calling the function


def _streamer(function: Callable[..., Any], context: Context) -> Callable[[Block], Iterator[Any]]:
    """How the function's results for a block become one iterator."""
    call = with_context(function, context)
    if context.last_record:
        return _careful(function, call, context)
    if takes_blocks(function):

        def whole(block: Block) -> Iterator[Any]:
            context.at(block)
            return _iterator(call(block.records))

        return whole
    if takes_context(function):
        return lambda block: chain.from_iterable(_results(call, _located(block, context)))
    if _is_generator(function):
        return lambda block: chain.from_iterable(map(function, block.records))
    return lambda block: chain.from_iterable(_results(function, block.records))


def _careful(
    function: Callable[..., Any], call: Callable[..., Any], context: Context
) -> Callable[[Block], Iterator[Any]]:
    """The same for an attempt whose process may be ended by a record: it is noted before it is given.

    A `@blocks` function gets one record at a time.
    """
    if not takes_blocks(function):
        return lambda block: chain.from_iterable(_results(call, _noted(block, context)))

    def singly(block: Block) -> Iterator[Any]:
        for record in _noted(block, context):
            yield from _iterator(call([record]))

    return singly


def _noted(block: Block, context: Context) -> Iterator[Any]:
    for index, record in enumerate(_located(block, context)):
        if context.last_record:
            context.last_record.note(block.locate(index), record)
        yield record


def _framer(function: Callable[..., Any], context: Context) -> Callable[[FrameBlock], Any]:
    """How the function is called for a frame."""
    call = with_context(function, context)

    def framed(block: FrameBlock) -> Any:
        context.at(block)
        if context.last_record:
            context.last_record.note(block.location, None)
        return as_frame(call(block.frame))

    return framed


def _is_generator(function: Callable[..., Any]) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isgeneratorfunction(type(function).__call__)


def _located(block: Block, context: Context) -> Iterator[Any]:
    for index, record in enumerate(block.records):
        context.at(block, index)
        yield record


def _results(function: Callable[..., Any], records: Iterable[Any]) -> Iterator[Any]:
    """What a plain function gives, one record after another: it may use one list for all its calls.

    A StopIteration that it raises is an error here, where in `map` it would be an end.
    """
    for record in records:
        given = function(record)
        if given is not None:
            yield given


def _iterator(given: Any) -> Iterator[Any]:
    return iter(()) if given is None else iter(given)


# ---------------------------------------------------------------- taking what it gives


class _PairTarget:
    """Takes pairs into a buffer: in batches, or, where a function may still change a value that it
    gave, carefully: every value is packed before the function goes on.
    """

    def __init__(self, buffer: Buffer, careful: bool) -> None:
        self._buffer = buffer
        self._careful = careful and buffer.keeps_values
        self._streams = not careful
        self._blocks = 0
        self._user = self._total = 0.0

    def take(self, stream: Iterator[Any]) -> tuple[float, int]:
        """Seconds inside the function, and the number of pairs."""
        if not self._careful and (repeated := _repeated(stream)):
            spent, made = self._take_repeated(*repeated)
        elif self._careful:
            spent, made = self._take_carefully(stream)
        else:
            spent, made = self._take_pairs(stream)
        return spent, made

    def take_frame(self, frame: Any) -> int:
        """The number of pairs."""
        if frame is None or not frame.height:
            return 0
        self._buffer.add_frame(frame_pairs(frame))
        return int(frame.height)

    def settle(self, *, now: bool) -> bool:
        """Make columns of what was taken, if it is enough or must be; True if nothing is left over."""
        if now or self._buffer.waiting() >= SETTLE_PAIRS:
            self._buffer.settle()
        return not self._buffer.waiting()

    def _take_pairs(self, stream: Iterator[Any]) -> tuple[float, int]:
        spent, made, clock = 0.0, 0, time.perf_counter
        while True:
            start = clock()
            batch = list(islice(stream, BATCH))
            spent += clock() - start
            if not batch:
                return spent, made
            made += len(batch)
            self._buffer.add(*_unzipped(batch))

    def _take_carefully(self, stream: Iterator[Any]) -> tuple[float, int]:
        timed = Timed(stream)
        keys: list[Any] = []
        packed: list[bytes] = []
        for pair in timed:
            (key,), (value,) = _unzipped([pair])
            keys.append(key)
            packed.append(self._buffer.pack(value))
        self._buffer.add_packed(keys, packed)
        return timed.seconds, len(keys)

    def _take_repeated(self, keys: Iterator[Any], value: Any) -> tuple[float, int]:
        """Most blocks are counted as the keys are given, which leaves the processor's cache alone.

        Then the function's share of the time is that of every 64th block, which is taken in
        batches and measured.
        """
        self._blocks += 1
        start = time.perf_counter()
        if self._streams and self._blocks % SAMPLE_BLOCKS != 1 and self._buffer.count_stream(keys, value):
            return (time.perf_counter() - start) * self._user / self._total, 0
        spent, made = self._take_keys(keys, value)
        self._user += spent
        self._total += time.perf_counter() - start
        return spent, made

    def _take_keys(self, keys: Iterator[Any], value: Any) -> tuple[float, int]:
        spent, made, clock = 0.0, 0, time.perf_counter
        while True:
            start = clock()
            batch = list(islice(keys, BATCH))
            spent += clock() - start
            if not batch:
                return spent, made
            made += len(batch)
            self._buffer.add_repeated(batch, value)

    def finish(self) -> Pairs | None:
        return self._buffer.finish()

    @property
    def streamed(self) -> int:
        """After `finish`: pairs that `take` has not told, because they were counted as they came."""
        return self._buffer.streamed


def _unzipped(batch: list[Any]) -> tuple[list[Any], list[Any]]:
    if countOf(map(type, batch), tuple) != len(batch):
        raise _no_pair(next(item for item in batch if type(item) is not tuple))
    try:
        return [key for key, _ in batch], [value for _, value in batch]
    except ValueError:
        raise _no_pair(next(item for item in batch if len(item) != 2)) from None


def _repeated(stream: Iterator[Any]) -> tuple[Iterator[Any], Any] | None:
    """The parts of `zip(keys, repeat(value))`, which are taken without a tuple a pair."""
    if type(stream) is not zip:
        return None
    state: Any = stream.__reduce__()
    parts = state[1]
    if len(state) != 2 or len(parts) != 2 or type(parts[1]) is not repeat:
        return None
    try:
        parts[1].__length_hint__()
    except TypeError:  # without an end, as it should be
        return parts[0], next(parts[1])
    return None


def _no_pair(given: object) -> PairError:
    what = f"a tuple of {len(given)}" if type(given) is tuple else f"a {type(given).__qualname__}"
    return PairError(f"it gave {what} where a pair belongs: {repr(given)[:200]}.", hint=_HINT)


class _RecordTarget:
    """Takes records into a part, each before the function goes on and may change it."""

    def __init__(self, writer: RecordWriter) -> None:
        self._writer = writer

    def take(self, stream: Iterable[Any]) -> tuple[float, int]:
        timed = Timed(stream)
        before = self._writer.records
        self._writer.write(timed)
        return timed.seconds, self._writer.records - before

    def take_frame(self, frame: Any) -> int:
        """The number of records."""
        if frame is None or not frame.height:
            return 0
        write_rows(self._writer, frame)
        return int(frame.height)

    def settle(self, *, now: bool) -> bool:
        """Records are settled when they are taken."""
        return True
