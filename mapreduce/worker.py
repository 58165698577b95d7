"""Run one attempt: load nothing, decide nothing, leave nothing behind but what it hands in."""

from __future__ import annotations

import hashlib
import io
import os
import resource
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from mapreduce import errors
from mapreduce.codec import from_plain
from mapreduce.context import Context
from mapreduce.datasets import Kept, Parquet, as_output, as_source
from mapreduce.datasets.compression import compressing
from mapreduce.datasets.naming import KeyNaming
from mapreduce.errors import MapReduceError, MemoryExceeded, ValueTypeError, internal
from mapreduce.failures import interrupts
from mapreduce.forks import end_in_child
from mapreduce.job import Job
from mapreduce.lastrecord import LastRecord
from mapreduce.mapper import run_map, run_map_only
from mapreduce.model import Kind, Part, Result, Segments, Split, Work
from mapreduce.protocols import RecordWriter, Report
from mapreduce.reducer import Shard, run_reduce
from mapreduce.room import Room
from mapreduce.shuffle.segments import SegmentWriter, content_digest
from mapreduce.sifting import LISTED, Sieve
from mapreduce.store import layout, open_store
from mapreduce.store.local import storage_errors
from mapreduce.store.urls import folder_or_url


class Workbench:
    """What every attempt of one run needs: the job and the places to read from and write to.

    `setup` is plain data: run_id, run (a directory of this host: the run's own, unless there is a `store`,
    the place of one that hosts share), output (the result's), shards.
    `last_record` is the file in which a request that is `careful` notes every record before it is given
    to a function; without it none is.
    """

    def __init__(self, job: Job, setup: dict[str, Any], last_record: Path | None = None) -> None:
        self.job = job
        self.sources = [as_source(given.source) for given in job.inputs]
        self.output = as_output(job.output)
        self.run_id: str = setup["run_id"]
        self.shards: int = setup["shards"]
        self._folder = Path(setup["run"])
        self.store = open_store(setup.get("store") or self._folder, who="worker")
        self.parts = open_store(folder_or_url(setup["output"]), self.run_id, "worker")
        self._last_record = last_record

    def run(self, request: dict[str, Any], report: Report) -> Result:
        """Run an attempt. Raises MapReduceError, whatever went wrong."""
        start = time.perf_counter()
        last = None
        if self._last_record and request.get("careful"):
            last = LastRecord(self._last_record, range(*request.get("suspected", (0,))))
        context = Context(self.job.side, lambda: self._scratch(request["nonce"]), last)
        stage = self._stage(request)
        try:
            with storage_errors("write to", self.store.url):
                result = stage(request, context, report)
            counters = dict(context.counters)
        except MapReduceError:
            raise
        except interrupts():
            raise
        except MemoryError as error:
            raise MemoryExceeded(
                "There is not enough memory for the engine's own work.",
                hint="Give it more memory: fewer --workers, or smaller splits.",
                trace="".join(traceback.format_exception(error)),
            ) from error
        except BaseException as error:
            raise internal(error) from error
        finally:
            context.close()
            if last:
                last.clear()
        _check_counters(counters)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        work = replace(result.work, seconds=time.perf_counter() - start, peak_memory=peak)
        return replace(result, work=work, counters=counters)

    def _scratch(self, nonce: str) -> Path:
        path = self._folder / layout.scratch_name(nonce)
        path.mkdir(mode=0o700, parents=True)
        return path

    def _stage(self, request: dict[str, Any]) -> Callable[[dict[str, Any], Context, Report], Result]:
        if request["kind"] == Kind.REDUCE.value:
            return self._reduce
        return self._map if self.shards else self._map_only

    def _map(self, request: dict[str, Any], context: Context, report: Report) -> Result:
        split, sieve = self._asked(request)
        name = layout.map_name(split.index, request["nonce"])
        with ExitStack() as stack:

            def opened() -> BinaryIO:
                return stack.enter_context(self.store.new_file(name, durable=False))

            writer = SegmentWriter(opened, self.shards, self.job.partition)
            work = run_map(self.job, self.sources[split.input], split, context, report, writer, sieve)
            work = replace(work, bytes_out=writer.size, pairs_out=writer.rows)
            sample = writer.finish()
        runs = tuple(writer.runs)
        result = Result(work, {}, digest=content_digest(runs))
        if runs:
            result = replace(result, name=name, size=writer.size, runs=runs, sample=sample)
        return self._setting_aside(sieve, request, result)

    def _map_only(self, request: dict[str, Any], context: Context, report: Report) -> Result:
        split, sieve = self._asked(request)
        part, work = run_map_only(
            self.job,
            self.sources[split.input],
            split,
            lambda: self._part(split.index, request["nonce"]),
            lambda: self._writer(io.BytesIO()),
            context,
            report,
            sieve,
        )
        return self._setting_aside(sieve, request, self._handed_in(part, work, ""))

    def _asked(self, request: dict[str, Any]) -> tuple[Split, Sieve | None]:
        """What to map, and what becomes of bad records."""
        split: Split = from_plain(Split, request["split"])
        if self.job.quarantine is None:
            return split, None
        skip = {number: errors.from_plain(error) for number, error in request.get("skip", ())}
        return split, Sieve(self.job.quarantine, split.input, skip)

    def _setting_aside(self, sieve: Sieve | None, request: dict[str, Any], result: Result) -> Result:
        if sieve is None or not sieve.found:
            return result
        index = request["index"]
        name = layout.set_aside_name(index, self.run_id, request["nonce"])
        with self.parts.new_file(name) as stream:
            written = DigestingStream(stream)
            sieve.write(cast(BinaryIO, written))
        digest = written.hexdigest()
        part = Part(index, name, len(sieve.found), written.size, digest, written.size, digest, pairs=False)
        return replace(result, set_aside=part, bad=tuple(bad.described() for bad in sieve.found[:LISTED]))

    def _reduce(self, request: dict[str, Any], context: Context, report: Report) -> Result:
        inputs = [from_plain(Segments, segments) for segments in request["segments"]]
        wanted = tuple(request["range"]) if request["range"] else None
        with self._part(request["index"], request["nonce"]) as part:
            room = Room(request.get("memory"))
            shard = Shard(request["index"], self.store, inputs, wanted, room, self._folder)
            work = run_reduce(self.job, shard, part.writer, context, report)
        return self._handed_in(part, work, request["inputs"])

    @contextmanager
    def _part(self, index: int, nonce: str) -> Iterator[PartFile]:
        name = layout.part_name(index, self.run_id, nonce, self.output.suffix)
        with self.parts.new_file(name) as stream:
            stored = DigestingStream(stream)
            with compressing(cast(BinaryIO, stored), self.output.compression) as packing:
                plain = DigestingStream(packing) if self.output.compression else stored
                part = PartFile(index, name, stored, plain, self._writer(cast(BinaryIO, plain)))
                yield part
                part.writer.close()

    def _writer(self, stream: BinaryIO) -> RecordWriter:
        if isinstance(self.output, Parquet):
            writer = self.output.writer(stream, self._folder)
        else:
            writer = self.output.writer(stream)
        if not self.job.key_names:
            return writer
        return KeyNaming(writer, self.job.key_names, keep_pairs=isinstance(self.output, Kept))

    @staticmethod
    def _handed_in(part: PartFile, work: Work, inputs: str) -> Result:
        described = part.describe()
        work = replace(work, bytes_out=described.size)
        return Result(work, {}, digest=described.digest, part=described, inputs=inputs)


def _check_counters(counters: Mapping[str, int]) -> None:
    wrong = next((name for name, count in counters.items() if not -(2**63) <= count < 2**63), None)
    if wrong is not None:
        raise ValueTypeError(
            f"The counter {wrong!r} does not fit into 64 bits.", hint="Count in larger units."
        )


class DigestingStream:
    """A stream that counts and digests what is written to it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self._process = os.getpid()
        self.size = 0

    def write(self, data: bytes) -> int:
        """Write all of `data`. A forked child ends here: the file is its parent's."""
        end_in_child(self._process)
        self._digest.update(data)
        self.size += len(data)
        return self._stream.write(data)

    def hexdigest(self) -> str:
        """sha256 of everything written."""
        return self._digest.hexdigest()


class PartFile:
    """A part that is being written."""

    def __init__(
        self, index: int, name: str, stored: DigestingStream, plain: DigestingStream, writer: RecordWriter
    ) -> None:
        self.index, self.name, self.writer = index, name, writer
        self.stored, self.plain = stored, plain

    def describe(self) -> Part:
        """The part as the manifest names it."""
        pairs = self.writer.pairs and self.writer.records > 0
        return Part(
            self.index,
            self.name,
            self.writer.records,
            self.stored.size,
            self.stored.hexdigest(),
            self.plain.size,
            self.plain.hexdigest(),
            pairs,
        )
