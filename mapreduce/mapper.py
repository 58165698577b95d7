"""One map attempt: records of a split, through the job's function, into a buffer of pairs."""

from __future__ import annotations

import gc
import inspect
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import chain, islice, repeat
from operator import countOf
from typing import Any, Protocol, TypeVar

from mapreduce.codec import MutableValues
from mapreduce.context import Context
from mapreduce.datasets.blocks import Selection, record_of, size_of
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
from mapreduce.shuffle.buffer import Buffer, Keep, make_buffer
from mapreduce.shuffle.columns import Pairs
from mapreduce.shuffle.frames import as_frame, frame_pairs, write_rows
from mapreduce.shuffle.segments import SegmentWriter
from mapreduce.sifting import Sieve, is_of_a_record
from mapreduce.signatures import with_context
from mapreduce.timing import Timed

BATCH = 1024
"""Pairs that exist as tuples at once: they stay in the processor's cache."""

SETTLE_PAIRS = 2**13
SETTLE_BLOCKS = 16
"""So many pairs become columns at once, and blocks wait for that at the most."""

BLOCK_PAIRS = 2**16
"""Pairs of one block that wait at the most: a record may give any number of them."""

SAMPLE_BLOCKS = 64

_HINT = "A map gives an iterable of 2-tuples (key, value), or None for nothing."


class Part(Protocol):
    """Where the records of a job without reduce go."""

    @property
    def writer(self) -> RecordWriter: ...


P = TypeVar("P", bound=Part)


def run_map(
    job: Job,
    source: Source,
    split: Split,
    context: Context,
    report: Report,
    writer: SegmentWriter,
    sieve: Sieve | None = None,
) -> Work:
    """Map a split; the pairs go to the writer in emit order, combined where the job allows it.

    sieve: bad records are marked in it and left out, instead of failing the attempt.
    """

    def target(careful: bool, keep: Keep) -> _PairTarget:
        return _PairTarget(make_buffer(job, _combiner(job, context), keep), careful)

    function = job.inputs[split.input].map
    mapping = _Mapping(function, context, lambda careful: target(careful, _keep_nothing), sieve)
    careful = False
    while True:
        mapping.target = target(careful, mapping.keeping(writer.add))
        try:
            with set_up("map", function, context):
                work = mapping.run(source, split, report)
            break
        except MutableValues:
            if careful:
                raise
            careful = True
        except MapReduceError as error:
            mapping.sift(error, source, split)
        context.counters.clear()
        writer.restart()
    mapping.target.finish()
    return replace(work, pairs=work.pairs + mapping.target.streamed)


def _keep_nothing(pairs: Pairs) -> None:
    """For a search: the pairs are given a second time."""


def run_map_only(
    job: Job,
    source: Source,
    split: Split,
    parts: Callable[[], AbstractContextManager[P]],
    trial: Callable[[], RecordWriter],
    context: Context,
    report: Report,
    sieve: Sieve | None = None,
) -> tuple[P, Work]:
    """Map a split of a job without reduce: what the function gives are records, written as they are.

    parts: opens a part, anew if bad records were found in the middle. trial: a writer of nothing.
    """
    function = job.inputs[split.input].map
    if isinstance(function, Identity):
        function = PassThrough()
    mapping = _Mapping(function, context, lambda _: _RecordTarget(trial()), sieve)
    while True:
        try:
            with parts() as part, set_up("map", function, context):
                mapping.target = _RecordTarget(part.writer)
                return part, mapping.run(source, split, report)
        except MapReduceError as error:
            mapping.sift(error, source, split)
        context.counters.clear()


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
        self,
        function: Callable[..., Any],
        context: Context,
        make_target: Callable[[bool], Any],
        sieve: Sieve | None = None,
    ) -> None:
        self._function = function
        self._context = context
        self._make_target = make_target
        self._sieve = sieve
        self._unkept: BaseException | None = None
        self.target: Any = None
        self._unsettled: list[Any] = []
        self._process = os.getpid()
        self._last_record = context.last_record
        self._frames = takes_frames(function)
        self._call: Callable[[Any], Any] = (
            _framer(function, context) if self._frames else _streamer(function, context)
        )

    def keeping(self, keep: Keep) -> Keep:
        """The same, where what goes wrong is no fault of the records that are at hand."""

        def kept(pairs: Pairs) -> None:
            try:
                keep(pairs)
            except BaseException as error:
                self._unkept = error
                raise

        return kept

    def run(self, source: Source, split: Split, report: Report) -> Work:
        records = size = pairs = 0
        user = 0.0
        self._unsettled.clear()
        undecodable = getattr(source, "undecodable", 0)
        reported = time.perf_counter()
        with self._sieve.passing(source) if self._sieve else nullcontext():
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
        set_aside = len(self._sieve.found) if self._sieve else 0
        return Work(
            records=records + set_aside,
            pairs=pairs,
            bytes_in=size,
            user_seconds=user,
            undecodable=getattr(source, "undecodable", 0) - undecodable,
            set_aside=set_aside,
        )

    def _blocks(self, source: Any, split: Split) -> Iterator[Any]:
        blocks: Iterator[Any] = source.read_frames(split) if self._frames else source.read(split)
        asked = self._last_record or (self._sieve and self._sieve.marked)
        return self._numbered(blocks) if asked else blocks

    def _numbered(self, blocks: Iterable[Any]) -> Iterator[Selection]:
        """Blocks that know the numbers of their records within the split, without the bad ones."""
        number = 0
        for block in blocks:
            height = size_of(block)
            chosen = Selection(block, range(height), number)
            number += height
            if self._sieve:
                chosen = self._sieve.rest(chosen)
            if self._frames and self._last_record and self._last_record.suspects(chosen):
                yield from (Selection(chosen, [index]) for index in range(size_of(chosen)))
            elif size_of(chosen):
                yield chosen

    # ------------------------------------------------------------ bad records

    def sift(self, error: MapReduceError, source: Source, split: Split) -> None:
        """Mark all bad records of the split. Raises `error` if it is of no record that fails by itself."""
        if self._sieve is None or not is_of_a_record(error):
            raise error
        before = self._sieve.marked
        with set_up("map", self._function, self._context), self._sieve.passing(source):
            read = source.read_frames(split) if self._frames else source.read(split)  # type: ignore[attr-defined]
            for block in self._numbered(read):
                self._sift_block(self._sieve, block)
        if self._sieve.marked == before:
            raise error

    def _sift_block(self, sieve: Sieve, block: Selection) -> None:
        """Halve the block for as long as it fails, down to the records that fail alone."""
        found = self._failure(block)
        if found is None:
            return
        height = size_of(block)
        if height > 1:
            self._sift_block(sieve, Selection(block, range(height // 2)))
            self._sift_block(sieve, Selection(block, range(height // 2, height)))
            return
        error = self._error(found, block.location, record_of(block, 0))
        if not is_of_a_record(error):
            raise error
        sieve.mark(block.number(0), error)

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
            if error is self._unkept:
                raise
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
                if found := self._failure(Selection(block, [index])):
                    return self._error(found, block.locate(index), record)
        if isinstance(error, MapReduceError):
            return error
        return self._error(error, self._unsettled[-1].location, None)

    def _failure(self, block: Any) -> BaseException | None:
        """What goes wrong with a block alone, if anything does."""
        for careful in (False, True):
            target = self._make_target(careful)
            try:
                self._give(target, block)
                target.settle(now=True)
            except interrupts():
                raise
            except MutableValues:
                continue
            except BaseException as found:  # noqa: BLE001 - it is returned
                return found
            return None
        return None

    def _frame_error(self, block: FrameBlock, error: BaseException) -> MapReduceError:
        """Halve the frame for as long as one of its halves fails by itself."""
        start, stop = 0, block.frame.height
        while stop - start > 1:
            middle = (start + stop) // 2
            if found := self._failure(Selection(block, range(start, middle))):
                error, stop = found, middle
            elif found := self._failure(Selection(block, range(middle, stop))):
                error, start = found, middle
            else:
                return self._error(error, block.location, None)
        return self._error(error, block.locate(start), block.frame.row(start, named=True))

    def _error(self, error: BaseException, location: Location, record: object) -> MapReduceError:
        where = f"map {function_name(self._function)} failed on {location}"
        if isinstance(error, MapReduceError) and not isinstance(error, UserFunctionError):
            return located(error, f"map {function_name(self._function)}, {location}", record)
        return located(user_error(error, where), "", record)


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


def _noted(block: Any, context: Context) -> Iterator[Any]:
    for index, record in enumerate(_located(block, context)):
        if context.last_record:
            context.last_record.note(block.locate(index), record, block.number(index))
        yield record


def _framer(function: Callable[..., Any], context: Context) -> Callable[[FrameBlock], Any]:
    """How the function is called for a frame."""
    call = with_context(function, context)

    def framed(block: Any) -> Any:
        context.at(block)
        if context.last_record:
            height = size_of(block)
            row = record_of(block, 0) if height == 1 else None
            context.last_record.note(block.location, row, block.number(0), height)
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
            if self._buffer.waiting() >= BLOCK_PAIRS:
                self._buffer.settle()

    def _take_carefully(self, stream: Iterator[Any]) -> tuple[float, int]:
        timed = Timed(stream)
        keys: list[Any] = []
        packed: list[bytes] = []
        made = 0
        for pair in timed:
            (key,), (value,) = _unzipped([pair])
            keys.append(key)
            packed.append(self._buffer.pack(value))
            made += 1
            if len(keys) == BLOCK_PAIRS:
                self._buffer.add_packed(keys, packed)
                self._buffer.settle()
                keys, packed = [], []
        self._buffer.add_packed(keys, packed)
        return timed.seconds, made

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

    def finish(self) -> None:
        """Hand over what is left."""
        self._buffer.finish()

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
