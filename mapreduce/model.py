"""The nouns of a run: what is planned, tried, accepted and committed.

All are frozen and hold plain data only, so each can be written to a manifest or sent
through a pipe by `codec.to_plain`. Sizes and offsets are bytes, times seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

FORMAT_VERSION = 1
"""Of the manifest. A reader refuses a higher one."""


class Status(StrEnum):
    """How a run ended."""

    SUCCEEDED = "SUCCEEDED"
    COMPLETED_WITH_ERRORS = "COMPLETED_WITH_ERRORS"
    """The result is committed, without the records that were set aside."""
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class Kind(StrEnum):
    """What a task does."""

    MAP = "map"
    REDUCE = "reduce"


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file of the input, as it was when the run was planned.

    `fingerprint` is compared for equality only. `compression` is what the content says:
    "", "gzip", "bzip2", "xz" or "zstd". A source in memory has one `InputFile` with the uri
    "records:".
    """

    uri: str
    size: int
    fingerprint: str
    compression: str = ""
    profile: str = ""
    """Name of the profile that the file's storage is opened with."""
    growing: bool = False
    """Others may append to the file: only its first `size` bytes are input."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of a gzip file that can be read by itself, as it was when the run was planned."""

    bit: int
    """Where its first block, or the member that begins it, begins: bits of the stored file, the lowest one of
    each byte first."""
    start: int
    """Its first plain byte, counted in the file."""
    stop: int
    crc: int
    """crc32 of all plain bytes before it."""
    crc_after: int
    """The same with those of the stretch."""
    before: int = -1
    """The plain byte before it; -1: none."""
    window: str = ""
    """Plain bytes before it that its data may copy from, by zlib and base64; "" where a member begins."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A range of a file, as a source proposes it: stored bytes, or what the format counts in.

    `more` are files that are read whole after it.
    """

    file: InputFile
    start: int
    stop: int
    more: tuple[InputFile, ...] = ()
    stretch: Stretch | None = None
    """Of a compressed file that is cut: what `start` and `stop` mean in it."""


@dataclass(frozen=True, slots=True)
class Split:
    """A part of the input: for lines, the records of `file` whose first byte lies in [start, stop).

    For a compressed file start and stop are stored bytes, and the range is the whole file, unless
    there is a `stretch`: then the first bytes of the split's records lie in that. For records in
    memory they are indexes. For Parquet they are stored bytes as well: the split has the row groups
    whose first byte lies in [start, stop). `records`, where it is set, is the number of records to
    read from the split's start.
    """

    index: int
    file: InputFile
    start: int
    stop: int
    records: int | None = None
    more: tuple[InputFile, ...] = ()
    """Files that are read whole after the range."""
    input: int = 0
    """Which of the job's inputs it belongs to."""
    stretch: Stretch | None = None

    @classmethod
    def of(cls, index: int, cut: Cut, *, records: int | None = None, input: int = 0) -> Split:
        """The split that a source has proposed."""
        return cls(index, cut.file, cut.start, cut.stop, records, cut.more, input, cut.stretch)

    @property
    def size(self) -> int:
        """Stored bytes of the split."""
        return self.stop - self.start + sum(file.size for file in self.more)


@dataclass(frozen=True, slots=True)
class Location:
    """Where a record, or a block of records, stands: bytes, after decompression.

    In Parquet, offset and length count rows of the file, in memory items of the list.
    """

    uri: str
    offset: int
    length: int
    unit: str = "byte"
    """What offset and length count: "byte", "row" or "item"."""

    def __str__(self) -> str:
        if self.uri == "records:":
            return f"Records, {self.unit} {self.offset}"
        return f"{self.uri}, {self.unit} {self.offset:,}"


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that decides the bytes of the result, fixed before the first task runs."""

    run_id: str
    job: str
    splits: tuple[Split, ...]
    inputs: tuple[InputFile, ...]
    shards: int
    """Number of reducers; 0 where the job has no reduce."""
    code: str
    """Hash of `functions`."""
    options: str
    """Hash of `settings`."""
    by_key: bool = False
    """Parts follow one another in key order."""
    combines: bool = False
    """The map side makes states of aggregates, so that map results depend on the reduce."""
    functions: dict[str, str] = field(default_factory=dict)
    """Fingerprints by role: "map" (of several inputs "map 0", "map 1", …), "reduce", "combine",
    "partition", "order_values"; those that the job has."""
    settings: dict[str, str] = field(default_factory=dict)
    """Everything else that was asked for, as text by name."""
    versions: dict[str, str] = field(default_factory=dict)
    """What the result's bytes may depend on besides."""

    @property
    def parts(self) -> int:
        """Number of part files that the result will have."""
        return self.shards or len(self.splits)


@dataclass(frozen=True, slots=True)
class SortedRun:
    """Pairs of a map attempt in the order of their places; with all its runs, in that of emission.

    A map that gave more than fits into memory has several.
    """

    layout: str
    """Types of the columns of every chunk."""
    index: bytes
    """Of its chunks, as `chunks` packs it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Where a map's sample of keys, as `ordering` says, lies in its data object."""

    offset: int
    length: int
    digest: bytes
    """xxh3_128 of the bytes."""


@dataclass(frozen=True, slots=True)
class Part:
    """One file of the result. `name` is relative to the output directory."""

    index: int
    name: str
    records: int
    size: int
    """Stored bytes."""
    digest: str
    """sha256 of the stored bytes."""
    plain_size: int
    plain_digest: str
    """sha256 of the bytes before compression."""
    pairs: bool
    """Every record is a (key, value) pair, and is read back as one."""


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that was set aside, and why."""

    location: Location
    kind: str
    """Class of the error."""
    error: str
    record: str
    """Its beginning, as text."""
    place: str = ""
    """What failed: equal for errors that have one cause."""


@dataclass(frozen=True, slots=True)
class Work:
    """What an attempt did and what it cost."""

    records: int = 0
    """Records read by a map, or given by a reduce."""
    pairs: int = 0
    """Pairs given by a map's function, or read by a reduce."""
    pairs_out: int = 0
    """Pairs, or states of aggregates, that a map stored."""
    groups: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    user_seconds: float = 0.0
    """Time inside the job's functions; where keys are counted as they are given, by samples."""
    seconds: float = 0.0
    """Time of the whole attempt."""
    peak_memory: int = 0
    largest_key: str = ""
    """The key with the most pairs, as text, of a reduce that saw all pairs of its keys."""
    largest_key_pairs: int = 0
    undecodable: int = 0
    """Lines with bytes that are no text, which `errors=` let pass."""
    set_aside: int = 0
    """Records, among `records`, that were bad."""


@dataclass(frozen=True, slots=True)
class TaskId:
    """A task of a run: one map of a split, or one reduce of a shard."""

    kind: Kind
    index: int

    def __str__(self) -> str:
        return f"{self.kind.value} {self.index}"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a task, in one worker. `number` counts from 1 within the task."""

    task: TaskId
    number: int
    worker: int

    def __str__(self) -> str:
        return f"{self.task}, attempt {self.number}"


@dataclass(frozen=True, slots=True)
class Segments:
    """Where a reduce finds its part of one run of a map attempt."""

    map_index: int
    name: str
    layout: str
    index: bytes
    """Of the chunks, as `chunks` packs it."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a successful attempt hands in. A map has `runs`, the last stage a `part`."""

    work: Work
    counters: dict[str, int]
    name: str = ""
    """The data object of a map attempt."""
    size: int = 0
    """Bytes of the data object."""
    runs: tuple[SortedRun, ...] = ()
    digest: str = ""
    """Of the content: equal for attempts that made equal data, whatever their names."""
    part: Part | None = None
    inputs: str = ""
    """For a reduce: the digest of all the map results that were current when it was sent."""
    sample: Sample | None = None
    """For a map whose parts follow the key order."""
    set_aside: Part | None = None
    """The file of a map's bad records."""
    bad: tuple[BadRecord, ...] = ()
    """The first of them."""


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """A line of the manifest's account of attempts."""

    task: str
    attempt: int
    worker: int
    outcome: str
    """"succeeded", "failed", "lost" with its worker, or "stopped" because another attempt was first."""
    seconds: float
    error: str = ""
    kind: str = ""
    """Class of the error."""
    place: str = ""
    """What failed: equal for errors that have one cause."""
    began: float = 0.0
    """Seconds after the run began; where it was gone on with, its sessions follow one another."""


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Errors of one cause: how many, and an example."""

    kind: str
    """Class of the error."""
    message: str
    number: int = 1
    hint: str = ""
    """What to do."""
    details: str = ""
    """The traceback of the user's own code, where there is one."""
    place: str = ""
    """What failed: equal for errors that have one cause."""


@dataclass(frozen=True, slots=True)
class SkewedShard:
    """A shard with several times as many pairs as the others have."""

    shard: int
    pairs: int
    bytes_in: int
    key: str
    """The key with the most pairs, as text, and how many it has; "" where that is not known."""
    key_pairs: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the accepted attempts of a run."""

    records_in: int = 0
    pairs: int = 0
    groups: int = 0
    records_out: int = 0
    bytes_in: int = 0
    bytes_shuffled: int = 0
    bytes_out: int = 0
    user_seconds: float = 0.0
    engine_seconds: float = 0.0
    slowest_task: str = ""
    slowest_seconds: float = 0.0
    largest_shard: int = -1
    largest_shard_pairs: int = 0
    largest_key: str = ""
    """The key with the most pairs, as text, where pairs are not combined before the reduce."""
    largest_key_pairs: int = 0
    undecodable: int = 0
    """Lines with bytes that are no text, which `errors=` let pass."""
    skewed: tuple[SkewedShard, ...] = ()
    """The largest of those that were much larger than the mean."""
    set_aside: int = 0
    """Bad records, which contributed nothing."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a run did, written once when it committed; it makes the output visible.

    Readers follow `parts` and look at nothing else in the directory. `digest` is the sha256
    of the canonical JSON of all other fields. `previous` is the digest of the manifest that
    this one replaced, or "".
    """

    version: int
    job: str
    run_id: str
    status: Status
    output: str
    """The dataset class that the parts are written with."""
    code: str
    options: str
    inputs: tuple[InputFile, ...]
    parts: tuple[Part, ...]
    counters: dict[str, int]
    totals: Totals
    tasks: dict[str, int]
    """Number of map and of reduce tasks."""
    workers: int
    """Attempts that could run at once."""
    attempts: tuple[AttemptRecord, ...]
    started: str
    """UTC, ISO 8601."""
    seconds: dict[str, float]
    """Wall time: plan, map, reduce, total."""
    versions: dict[str, str]
    previous: str = ""
    key_names: tuple[str, ...] = ()
    """Fields that a pair's key was written as."""
    keyed: bool = False
    """Records are dicts whose field `key` is a group's key: those of a dict of aggregates."""
    output_options: str = ""
    """What reading the parts needs, as a JSON object of the dataset's options; "" for nothing."""
    set_aside: tuple[Part, ...] = ()
    """Files of bad records, in input order, relative to the output."""
    bad: tuple[BadRecord, ...] = ()
    """The first bad records, in input order."""
    resumed: int = 0
    """How often the run had ended before its end, and was gone on with."""
    failure: ErrorGroup | None = None
    """What ended a run that failed or was cancelled; such a manifest names no parts."""
    jobset: str = ""
    """Name and run of the JobSet that this one is a part of: "night/20260101T000000-00000000"."""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class SetPlan:
    """What a run of a JobSet is to do, written before its first job is begun."""

    run_id: str
    jobset: str
    jobs: tuple[str, ...]
    on_failure: str


@dataclass(frozen=True, slots=True)
class SetJob:
    """What became of one job of a JobSet."""

    name: str
    status: Status
    run_id: str = ""
    """"" if it was not run."""
    place: str = ""
    """Where its result lies, or the record of its failure: a folder or a URL."""
    digest: str = ""
    """Of its manifest."""
    seconds: float = 0.0
    records_in: int = 0
    records_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    parts: int = 0
    set_aside: int = 0
    reads: tuple[str, ...] = ()
    """Jobs of the set whose output it reads, as far as they were there."""
    without: tuple[str, ...] = ()
    """Jobs of the set whose output it should have read, and that failed."""
    errors: tuple[ErrorGroup, ...] = ()
    """The causes of what went wrong, those that ended it first."""
    kept: bool = False
    """It was done in an earlier run of the set."""
    untold: tuple[str, ...] = ()
    """Sinks of the job itself that could not be told."""


@dataclass(frozen=True, slots=True)
class SetManifest:
    """What a run of a JobSet did, written once when its last job had ended. `digest` as in `Manifest`."""

    version: int
    jobset: str
    run_id: str
    status: Status
    on_failure: str
    jobs: tuple[SetJob, ...]
    """In the order in which the set names them."""
    workers: int
    started: str
    """UTC, ISO 8601."""
    seconds: dict[str, float]
    """Wall time: total."""
    versions: dict[str, str]
    previous: str = ""
    resumed: int = 0
    failure: ErrorGroup | None = None
    """What ended a set that was cancelled."""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of telling one sink."""

    sink: str
    key: str
    """Idempotency key: the same for every delivery of one manifest to one sink."""
    delivered: bool
    error: str = ""
    """The last one."""
    attempts: int = 0
    """So far, of all who tried."""
    when: str = ""
    """Of the last attempt: UTC, ISO 8601."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is; sums over accepted and running attempts."""

    phase: str = "plan"
    maps: int = 0
    maps_done: int = 0
    reduces: int = 0
    reduces_done: int = 0
    bytes_total: int = 0
    bytes_done: int = 0
    records: int = 0
    pairs: int = 0
    pairs_reduced: int = 0
    pairs_shuffled: int = 0
    bytes_shuffled: int = 0
    retries: int = 0
    workers: int = 0
