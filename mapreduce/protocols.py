"""Every extension point, on one page.

A *source* cuts an input into splits and reads one; an *output* writes records to a stream and
reads them back; a *sink* is told of a committed result; a *store* keeps whole objects under
names that are written once; an *executor* runs attempts somewhere; an *observer* watches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, Protocol, runtime_checkable

from mapreduce.errors import MapReduceError
from mapreduce.events import Event, Printed, Reported
from mapreduce.model import Attempt, AttemptRecord, Cut, InputFile, Location, Progress, SetJob, Split


class Block(Protocol):
    """Consecutive records of one split, read at once."""

    records: list[Any]

    @property
    def location(self) -> Location:
        """Of the whole block."""

    @property
    def size(self) -> int:
        """Bytes, after decompression."""

    def locate(self, index: int) -> Location:
        """Of the record at `index` in `records`."""


@runtime_checkable
class Source(Protocol):
    """An input. It is pickled with the job, so it holds paths and options, no open files."""

    def files(self) -> list[InputFile]:
        """What there is, in the order in which records count. Raises InputError."""

    def splits(self, files: Sequence[InputFile]) -> list[Cut]:
        """Cuts, in order. They depend on files and options alone."""

    def read(self, split: Split) -> Iterator[Block]:
        """The records of one split. Every record belongs to exactly one split.

        May be called any number of times. Raises InputError, naming file and offset.
        """


class FrameBlock(Protocol):
    """Consecutive records of one split as a polars DataFrame, a row each."""

    frame: Any

    @property
    def location(self) -> Location:
        """Of the whole block."""

    @property
    def size(self) -> int:
        """Bytes, after decompression."""

    def locate(self, index: int) -> Location:
        """Of the record of row `index`."""


@runtime_checkable
class FrameSource(Source, Protocol):
    """An input that can be read as frames too, for maps marked with `@frames`."""

    def read_frames(self, split: Split) -> Iterator[FrameBlock]:
        """The records of one split, the same that `read` gives, as frames of one schema.

        Raises InputError as `read` does, and JobError if a schema is missing.
        """


class RecordWriter(Protocol):
    """Writes the records of one part."""

    @property
    def records(self) -> int:
        """So far."""

    @property
    def pairs(self) -> bool:
        """Whether all so far were pairs."""

    def write(self, records: Iterable[Any]) -> None:
        """Append records, each before the next is asked for.

        Raises RecordError for one that the format can't hold.
        """

    def write_pairs(self, keys: Sequence[Any], values: Sequence[Any]) -> None:
        """Append pairs; the bytes are those of `write(list(zip(keys, values)))`."""

    def write_frame(self, frame: Any) -> bool:
        """Append the rows of a polars DataFrame, if columns give the very bytes of the records that the
        rows are; False, if nothing was written. Rows of the columns `key` and `value` are pairs.
        """

    def close(self) -> None:
        """Write what is left. The stream stays open."""


@runtime_checkable
class Output(Protocol):
    """A format to write parts in. It is pickled with the job."""

    suffix: str
    """Of part files, with the dot; the compression's is a part of it."""
    compression: str
    """That the engine applies to what the writer writes: "", "gzip", "bzip2", "xz" or "zstd"."""

    @property
    def path(self) -> str | None:
        """The directory to commit to; None keeps the result with the run."""

    def writer(self, stream: BinaryIO) -> RecordWriter:
        """A writer of one part: the same records give the same bytes."""

    def read_part(self, stream: BinaryIO, pairs: bool) -> Iterator[Any]:
        """The records of one part, in order."""


@runtime_checkable
class Sink(Protocol):
    """Somebody who is told of a committed result, at least once."""

    name: str
    """Unique among a job's sinks; it is a part of the idempotency key."""

    def deliver(self, result: Any, key: str) -> None:
        """Tell of a JobResult; `key` is the same at every repetition. May raise anything."""


@dataclass(frozen=True)
class Capabilities:
    """What a kind of store promises beyond the protocol, for those that wait on names of others."""

    kind: str
    """For messages: "folder", "memory", "S3"."""
    exclusive: bool = True
    """Of several that create one name exactly one wins, wherever they run. Without it a store can serve
    one coordinator at most."""
    listed_after: float = 0.0
    """Seconds after which a new name is in every list."""
    missing_for: float = 0.0
    """Seconds for which a name that was read too early may seem to be missing, though it is there."""
    wait_by: Literal["read", "list"] = "list"
    """How to wait for the next name in a row: `read` it until it is there, or `list` its directory."""
    largest_put: int | None = None
    """Bytes of an object that is sent as one; None where there is no limit."""
    paid: bool = False
    """Requests cost money: ask seldom, and put much into one object."""
    together: int = 1
    """So many requests may be on their way at once, because an answer takes long; 1: it doesn't."""


class Store(Protocol):
    """Whole objects under names with one writer each. Names are relative and use "/".

    No part of a name is empty, "." or ".."; others raise StorageError. Every write is durable when it
    returns, unless it is said to be otherwise. All but `new_file` may be repeated after an error. All raise
    StorageError, whose cause is the OSError where there is one; a missing object is FileNotFoundError from
    `read` and nothing else: an answer that may be wrong, or none, never counts as missing.
    """

    @property
    def url(self) -> str:
        """Where it is, for messages and for `open_store`: a folder, or a URL without any secret."""

    @property
    def capabilities(self) -> Capabilities:
        """What it promises, and how others are to be waited for."""

    def put(self, name: str, data: bytes) -> None:
        """Write an object whole: readers see all of it or nothing."""

    def create(self, name: str, data: bytes, *, durable: bool = True) -> bool:
        """Write unless the name exists. True exactly if the object holds `data` afterwards.

        Without `durable` a power failure may lose or tear it.
        """

    def new_file(self, name: str, *, durable: bool = True) -> AbstractContextManager[BinaryIO]:
        """A stream whose bytes appear under `name`, all at once, when the block ends well.

        An existing name raises StorageError with FileExistsError as its cause. Without `durable` a
        power failure may lose or tear the object; the end of the process never does.
        """

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """Bytes [start, start + length); an object that is shorter raises StorageError."""

    def list(self, prefix: str = "") -> list[str]:
        """Names below a directory, sorted."""

    def delete(self, name: str) -> None:
        """Remove an object; a missing one is no error."""


class Observer(Protocol):
    """Watches a run. Called from the coordinator's thread; must return at once."""

    def progress(self, progress: Progress) -> None:
        """The state of the run, several times a second."""

    def attempt_ended(self, attempt: AttemptRecord) -> None:
        """An attempt succeeded, failed, was lost or was stopped."""

    def printed(self, task: str, text: str) -> None:
        """What the functions printed in an attempt that has ended, as far as it was kept."""

    def stalled(self, task: str, work: str, seconds: float) -> None:
        """A running attempt has not moved for a while; it has run for so many seconds on `work`."""

    def finished(self, result: Any) -> None:
        """The run has committed, and its sinks were told: a JobResult."""


class SetObserver(Protocol):
    """Watches a run of a JobSet. Called by one thread at a time; must return at once."""

    def job_begun(self, name: str) -> None:
        """A job is being run, or its result looked for."""

    def job_ended(self, job: SetJob, ended: int, jobs: int) -> None:
        """A job has ended, as one of so many that have, of all."""

    def finished(self, result: Any) -> None:
        """The set's manifest is there, and its sinks were told: a JobSetResult."""


class Executor(Protocol):
    """Runs one attempt at a time on each of its workers. Decides nothing.

    `start` before `submit`, `close` always. Events come out of `poll`. An attempt that was submitted
    has one end: Succeeded, Failed, or WorkerGone for its worker; none if it was stopped without an error.
    """

    queues: bool
    """An attempt may wait after `submit`: it has begun when it is first Reported."""

    @property
    def workers(self) -> int:
        """How many attempts it can run at once."""

    def start(self) -> None:
        """Make workers ready, or begin to."""

    def submit(self, attempt: Attempt, request: dict[str, Any]) -> None:
        """Run an attempt on `attempt.worker`, which must be idle."""

    def poll(self, timeout: float) -> list[Event | Printed | Reported]:
        """Wait up to `timeout` seconds for events."""

    def stop(self, attempt: Attempt, error: MapReduceError | None) -> None:
        """End a running attempt at once, its worker with it; a new worker takes its place.

        With `error` the attempt ends as Failed with that error, to which the stack of the worker and
        what it printed are added. Without, nobody is told. Does nothing if the attempt has ended.
        """

    def memory(self) -> dict[int, int]:
        """Resident bytes of each worker that runs an attempt, where that can be known."""

    def close(self) -> None:
        """End every worker, at once. May be called twice."""


Report = Callable[[int, int, int], None]
"""Called by a running attempt with (bytes read, records, pairs) so far."""
