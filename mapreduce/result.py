"""What a run came to: the manifest, and its records."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mapreduce.codec import sha256
from mapreduce.datasets import Csv, JsonLines, Kept, Parquet, Text
from mapreduce.datasets.compression import compression_of_suffix
from mapreduce.datasets.decompression import decompress
from mapreduce.datasets.naming import unnamed, with_tuple_keys
from mapreduce.errors import JobError, ManifestError
from mapreduce.manifest import load
from mapreduce.model import Delivery, Manifest, Part, Status
from mapreduce.protocols import Output
from mapreduce.store import open_store
from mapreduce.store.urls import folder_or_url
from mapreduce.tabular import data_frame, demand

if TYPE_CHECKING:
    import polars as pl

_READERS: dict[str, type[Csv] | type[JsonLines] | type[Parquet] | type[Text]] = {
    "Csv": Csv,
    "JsonLines": JsonLines,
    "Parquet": Parquet,
    "Text": Text,
}


def _reader(manifest: Manifest) -> Output:
    """The dataset that reads a result's parts. Raises ManifestError for one of the user's own."""
    if manifest.output == Kept.__name__:
        return Kept()
    if manifest.output not in _READERS:
        raise ManifestError(
            f"Run {manifest.run_id} was written as {manifest.output}, which is not known here.",
            hint="Read the parts that the manifest names with that dataset.",
        )
    return _READERS[manifest.output](".", **json.loads(manifest.output_options or "{}"))


class JobResult:
    """A committed result. Iterating it gives the records in part order, as often as one likes.

    Pairs stay pairs, and tuple keys are rebuilt; without an output all types are kept. Of a run that failed
    or was cancelled there is the manifest alone: iterating raises ManifestError.
    """

    def __init__(
        self,
        place: Path | str,
        manifest: Manifest,
        output: Output | None = None,
        deliveries: tuple[Delivery, ...] = (),
    ) -> None:
        self.place = place
        """Where manifest and parts lie: a folder, or the URL of one in a bucket."""
        self.manifest = manifest
        self.deliveries = deliveries
        """What became of telling each sink."""
        self._output = output

    @classmethod
    def load(cls, place: str | Path) -> JobResult:
        """The result in a folder, or at a URL. Raises ManifestError, StorageError."""
        where = folder_or_url(place)
        return cls(where, load(where))

    def __repr__(self) -> str:
        return f"<JobResult {self.manifest.job} {self.status.value}: {len(self.parts)} parts in {self.place}>"

    @property
    def path(self) -> Path:
        """The folder of manifest and parts. Raises JobError for a result in a bucket."""
        if isinstance(self.place, Path):
            return self.place
        raise JobError(
            f"The result lies in a bucket, at {self.place}, and has no path.",
            hint="Iterate it, take part_bytes() of its parts, or open its `place` with fsspec.",
        )

    @property
    def name(self) -> str:
        """The job's."""
        return self.manifest.job

    @property
    def status(self) -> Status:
        """How the run ended."""
        return self.manifest.status

    @property
    def counters(self) -> dict[str, int]:
        """What `ctx.count` added up to."""
        return self.manifest.counters

    @property
    def parts(self) -> tuple[Part, ...]:
        """The files of the result, in order."""
        return self.manifest.parts

    @property
    def errors(self) -> tuple[str, ...]:
        """What went wrong on the way: attempts that failed and were redone, and records that were set aside,
        of those the first thousand."""
        attempts = (attempt.error for attempt in self.manifest.attempts if attempt.error)
        failure = self.manifest.failure
        ended = () if failure is None else (failure.message,)
        return (*ended, *attempts, *(bad.error for bad in self.manifest.bad))

    def __iter__(self) -> Iterator[Any]:
        if failure := self.manifest.failure:
            raise ManifestError(
                f"Run {self.manifest.run_id} of {self.name} has no result: {failure.message}",
                hint=failure.hint,
            )
        output = self._output or _reader(self.manifest)
        names = self.manifest.key_names
        for part in self.parts:
            plain = decompress(self.part_bytes(part), compression_of_suffix(part.name), part.name)
            if names and part.pairs and not isinstance(output, Kept):
                yield from unnamed(output.read_part(io.BytesIO(plain), False), names)
            elif self.manifest.keyed and not isinstance(output, Kept):
                yield from with_tuple_keys(output.read_part(io.BytesIO(plain), False))
            else:
                yield from output.read_part(io.BytesIO(plain), part.pairs)

    def to_polars(self) -> pl.DataFrame:
        """All records as a polars DataFrame: the columns key and value, or the records' fields.

        The elements of a tuple key are columns under the job's `key_names`, else a struct. Raises
        RecordError for a column whose values have no one type.
        """
        return data_frame(self, self.manifest.key_names)

    def to_arrow(self) -> Any:
        """The same as a pyarrow Table. Raises JobError where pyarrow is not installed."""
        demand("pyarrow", "arrow", "to_arrow")
        return self.to_polars().to_arrow()

    def to_pandas(self) -> Any:
        """The same as a pandas DataFrame. Raises JobError where pandas or pyarrow is not installed."""
        demand("pandas", "pandas", "to_pandas")
        demand("pyarrow", "pandas", "to_pandas")
        return self.to_polars().to_pandas()

    def part_bytes(self, part: Part) -> bytes:
        """The verified bytes of one part, as they are stored. Raises ManifestError, StorageError."""
        name = Path(part.name).name
        try:
            if isinstance(self.place, Path):
                data = (self.place / name).read_bytes()
            else:
                data = open_store(self.place).read(name)
        except OSError as error:
            raise ManifestError(
                f"{part.name} can't be read: {error.strerror or 'it is missing'}.",
                hint=f"Run `mapreduce verify {self.place}`.",
            ) from error
        if sha256(data) != part.digest:
            raise ManifestError(f"{part.name} has changed.", hint=f"Run `mapreduce verify {self.place}`.")
        return data
