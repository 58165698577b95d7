"""What can go wrong, told apart by what the reader must do about it.

MapReduceError
├── JobError                  mend the job, the command or an option
│   ├── SerializationError    take the named variable out of the function
│   ├── SignatureError        give all hosts one key
│   ├── OutputExists          choose another output, or overwrite
│   └── JobChanged            go back to the job that was begun, or start afresh
├── InputError                mend or replace the input
│   ├── InputMissing          nothing is there
│   ├── InputDenied           the file may not be read
│   ├── InputChanged          the file is not the one that was planned
│   ├── InputCorrupt          the file can't be decompressed, or is not of its format
│   ├── DecodeError           bytes that are not text in the given encoding
│   ├── RecordMalformed       a line or row that is not what the format asks for
│   └── RecordTooLarge        a record over `max_record`
├── QuarantineFull            mend what the bad records have in common, or allow more of them
├── UserCodeError             mend a function of the job
│   ├── UserFunctionError     it raised
│   ├── PairError             it gave something that is not a pair
│   ├── KeyTypeError          it gave a key of a type that can't be a key
│   ├── ValueTypeError        it gave a value that can't be shipped or aggregated
│   ├── RecordError           it gave a record that the output can't hold
│   ├── WorkerCrash           it ended its process
│   └── AttemptTimeout        it did not end within `timeout`
├── ResourceError             give the run more of the machine, or ask less of it
│   ├── MemoryExceeded        an attempt took more than its budget, also alone
│   ├── WorkerKilled          somebody ended a worker process from outside
│   ├── HostLost              a host has not been heard of for too long
│   └── NoWorkers             no worker process can be started
├── StorageError              mend the machine: disk, permissions, descriptors
│   ├── SegmentError          intermediate data is gone or damaged
│   ├── StoreNotSafe          take another store: this one breaks a promise
│   └── WorkDamaged           a run's plan can't be read: it can't be resumed
├── ManifestError             the output is not what its manifest says
├── SinkError                 the result stands; somebody was not told
│   └── SinkRefused           telling it again as it is would not help
├── Superseded                another coordinator leads the run
├── Interrupted               stopped from outside: resume it
└── InternalError             report it: a promise of the engine was broken
"""

from __future__ import annotations

import traceback
from enum import Enum
from typing import Any, ClassVar


class Retry(Enum):
    """What a failed attempt says about the next one."""

    NEVER = "never"
    """The same input gives the same error: the task has failed."""
    CONFIRM = "confirm"
    """Code may fail by chance: try again until it fails twice in the same place."""
    ALWAYS = "always"
    """The machine failed, not the task: try again, with a budget of its own."""
    ALONE = "alone"
    """It took too much memory: try again once, with nothing beside it."""


_FIELDS = ("message", "hint", "details", "trace", "place", "output")


class MapReduceError(Exception):
    """The root. `message` says where and why, `hint` what to do.

    `details` is text that helps to find the cause (a traceback of the user's own code),
    `trace` the whole traceback, `place` names the line that failed, so that two failures
    can be recognised as one. `output` is what the functions printed in the attempt that failed. All
    are plain text: an error crosses processes as data.

    The first line of a class's docstring says when it comes; docs/errors.md is made of these lines and of
    the class variables.
    """

    retry: ClassVar[Retry] = Retry.NEVER
    exit_code: ClassVar[int] = 1
    category: ClassVar[str] = "internal"
    """Whose turn it is: "job", "data", "code", "resource", "time-out", "storage", "input changed",
    "result", "sink", "stopped" or "internal"."""
    advice: ClassVar[str] = ""
    """What to do about such an error; `hint` is about the one at hand. "" if there are only kinds of it."""

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        details: str = "",
        trace: str = "",
        place: str = "",
        output: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details
        self.trace = trace
        self.place = place or message
        self.output = output
        self.records: range | None = None
        """Numbers, within its split, of the records that a careful attempt was at when it ended."""

    def __str__(self) -> str:
        return ("\n" if "\n" in self.message else " ").join(filter(None, (self.message, self.hint)))

    def to_plain(self) -> dict[str, str]:
        """The error as a dict of strings, for a pipe, a log or a manifest."""
        return {"kind": type(self).__name__, **{name: getattr(self, name) for name in _FIELDS}}


class JobError(MapReduceError):
    """The job, the command or an option is not valid; nothing ran."""

    exit_code = 2
    category = "job"
    advice = "Mend what the message names."


class SerializationError(JobError):
    """A function refers to something that can't be sent to a worker."""

    advice = "Make the variable inside of the function or in `setup`, or pass plain data with `side=`."


class SignatureError(JobError):
    """A job on a store that hosts share is not signed with the cluster's key, or can't be checked."""

    advice = "Give all hosts one key (`mapreduce keygen`), and let nobody else write to the store."


class OutputExists(JobError):
    """The output holds a result, or files that no run of this engine wrote."""

    exit_code = 1
    advice = "Give another output, or replace the result with `--overwrite`."


class JobChanged(JobError):
    """A run that was begun can't go on: the job, its input or the versions are others now."""

    exit_code = 1
    advice = (
        "Undo the change; or keep the map results with `--accept-new-code`, where only the reduce "
        "has changed; or start afresh with `--new`."
    )


class InputError(MapReduceError):
    """The input can't be read as the job asks."""

    category = "data"
    advice = (
        "Mend what the message names: a pattern, a URL, a package that a format or scheme needs, a profile."
    )


class InputMissing(InputError):
    """No file is there, or no file matches."""

    advice = "Check the path; `allow_empty=True` if there may be nothing."


class InputDenied(InputError):
    """The file exists and may not be read."""

    advice = "Give read permission, or run as a user who has it."


class InputChanged(InputError):
    """The file differs from the one that was planned, or went away."""

    category = "input changed"
    advice = (
        "Let nobody write to the input while the job runs, and run it again; `Text(…, "
        'growing="snapshot")` for logs that are being written.'
    )


class InputCorrupt(InputError):
    """The file is truncated or damaged, expands beyond all measure, or is not of its format."""

    advice = "Get the file again, or leave it out."


class DecodeError(InputError):
    """Bytes that the encoding does not allow."""

    advice = 'Give the `encoding=` of the file, or `errors="replace"`.'


class RecordMalformed(InputError):
    """A line is no JSON, or a row does not fit the table."""

    advice = "Mend the file, or set such records aside with `on_error=Quarantine(…)`."


class RecordTooLarge(InputError):
    """A record is longer than `max_record`."""

    advice = "Raise `max_record`, or give the right record separator."


class QuarantineFull(MapReduceError):
    """More records were set aside than `on_error=Quarantine(…)` allows."""

    category = "data"
    advice = "Mend what the causes name, or allow more: `Quarantine(max_records=…, max_fraction=…)`."


class UserCodeError(MapReduceError):
    """A function of the job did something it must not."""

    category = "code"


class UserFunctionError(UserCodeError):
    """A function raised an exception."""

    retry = Retry.CONFIRM
    advice = "Mend the function, or let it skip such input."


class PairError(UserCodeError):
    """A map gave something that is not a 2-tuple."""

    advice = "Let the map give an iterable of 2-tuples, or None."


class KeyTypeError(UserCodeError):
    """A key is of a type that can't be a key."""

    advice = "Give a key of another type, such as a tuple instead of a list."


class ValueTypeError(UserCodeError):
    """A value can't be shipped, or the aggregate does not take it."""

    advice = "Give plain data, or what the aggregate takes."


class RecordError(UserCodeError):
    """The output's format can't hold a record."""

    advice = "Give records that the format can hold, or choose another format."


class WorkerCrash(UserCodeError):
    """The process that ran an attempt ended by itself, without a result."""

    retry = Retry.CONFIRM
    advice = "Mend the function, or the library that it calls; the stack tells where it was."


class AttemptTimeout(UserCodeError):
    """An attempt ran longer than the job's `timeout`."""

    retry = Retry.CONFIRM
    category = "time-out"
    advice = "Mend what hangs, which the stack tells; or raise `timeout`."


class ResourceError(MapReduceError):
    """The machine has too little of something."""

    category = "resource"


class MemoryExceeded(ResourceError):
    """An attempt took more memory than a worker may have."""

    retry = Retry.ALONE
    advice = (
        "Let the functions hold less at once, hand them less (smaller `split_size`, more `shards`), "
        "or give more (`memory=`, fewer `--workers`)."
    )


class WorkerKilled(ResourceError):
    """Somebody ended the process that ran an attempt: a person, a supervisor, or the kernel."""

    retry = Retry.ALWAYS
    advice = "Find out who did it. If it was for its memory, give fewer `--workers`; then go on with the run."


class HostLost(ResourceError):
    """A host that ran an attempt has not been heard of for too long, or has left."""

    retry = Retry.ALWAYS
    advice = "Its work is done by other hosts. Look whether it lives, and whether it still sees the store."


class NoWorkers(ResourceError):
    """No worker process can be started, or all end before they are ready; or no host works on a run."""

    advice = "Look at the limits of processes, memory and open files (`ulimit -a`), and go on with the run."


class StorageError(MapReduceError):
    """A disk, a folder or a descriptor failed."""

    retry = Retry.ALWAYS
    category = "storage"
    advice = (
        "Free some space, mend the disk or the permissions, and go on with the run; or give another "
        "place (`--work`, `--output`)."
    )


class SegmentError(StorageError):
    """Intermediate data of one map is missing or damaged; `map_index` says whose.

    The coordinator runs that map again.
    """

    advice = (
        "Look at the disk that holds the run's directory: the map was run again, and its data got lost again."
    )

    def __init__(self, message: str, *, map_index: int = -1, **text: str) -> None:
        super().__init__(message, **text)
        self.map_index = map_index

    def to_plain(self) -> dict[str, str]:
        """The fields of the root, and the map's index."""
        return {**super().to_plain(), "map_index": str(self.map_index)}


class StoreNotSafe(StorageError):
    """A store that several hosts are to share lets two of them win one name, or breaks another promise."""

    retry = Retry.NEVER
    advice = "Take a store that obeys conditional writes, or a shared folder."


class WorkDamaged(StorageError):
    """What a run left behind can't be read, or is of a newer version: it can't go on."""

    retry = Retry.NEVER
    advice = "Start afresh with `--new`, or go on with the version that began the run."


class ManifestError(MapReduceError):
    """A manifest is missing or damaged, or its parts are not what it says."""

    category = "result"
    advice = "Run the job again, and don't change files in an output."


class SinkError(MapReduceError):
    """A sink failed. The committed result is not touched by it."""

    exit_code = 4
    category = "sink"
    advice = "Mend the sink, and tell it again with `mapreduce sinks retry`; don't run the job again."
    retry_after: float | None = None
    """Seconds that the sink's target asked to wait before it is told again."""


class SinkRefused(SinkError):
    """A sink's target said that it won't take this, or a sink may not do what it was told: trying again would
    not help.
    """

    advice = "Mend what it names, and tell it again with `mapreduce sinks retry`."


class Superseded(MapReduceError):
    """Another coordinator leads the run, or it was removed: this one has stopped, and touches nothing."""

    category = "stopped"
    advice = "Nothing: the run goes on. Wait for it with the other coordinator, or read its result."


class Interrupted(MapReduceError):
    """The run was stopped from outside: Ctrl-C, SIGTERM, SIGHUP or a closed terminal."""

    exit_code = 130
    category = "stopped"
    advice = "Go on with the run: `mapreduce resume`, or the same command."


class InternalError(MapReduceError):
    """A promise of the engine was broken."""

    retry = Retry.CONFIRM
    advice = "Report it, with `--traceback`."


def _tree(cls: type[MapReduceError]) -> dict[str, type[MapReduceError]]:
    found = {cls.__name__: cls}
    for child in cls.__subclasses__():
        found |= _tree(child)
    return found


def from_plain(fields: dict[str, Any]) -> MapReduceError:
    """The error that `to_plain` described; of an unknown kind, an InternalError."""
    text = {name: str(value) for name, value in fields.items()}
    cls = _tree(MapReduceError).get(text.pop("kind", ""), InternalError)
    if cls is SegmentError:
        return SegmentError(text.pop("message"), map_index=int(text.pop("map_index", "-1")), **text)
    text.pop("map_index", None)
    return cls(text.pop("message", "unknown error"), **text)


def internal(error: BaseException) -> InternalError:
    """Wrap an exception that the engine did not expect."""
    return InternalError(
        f"The engine itself failed: {type(error).__name__}: {error}.",
        hint="Please report it with the traceback (--traceback).",
        trace="".join(traceback.format_exception(error)),
        place=f"{type(error).__name__}:{error}",
    )
