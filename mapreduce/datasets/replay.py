"""Records that a run has set aside, as the input of another: those of one of its inputs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mapreduce import manifest as manifests
from mapreduce.datasets.blocks import PlacedFrame, SpanBlock
from mapreduce.datasets.schema import polars_schema
from mapreduce.datasets.text import Text
from mapreduce.errors import InputCorrupt, InputMissing, ManifestError
from mapreduce.model import Cut, InputFile, Location, Split
from mapreduce.setaside import content_of, location_of
from mapreduce.store import inputs


class Replay:
    """A source of the bad records of a committed result, at their places in the first input.

    A line that was no record is read again as `source` reads it, and fails as it did if that is as before.

    source: what the records are of. directory: of the result. number: of the input there, from 0.
    """

    def __init__(self, source: Any, directory: str | os.PathLike[str], number: int) -> None:
        self._source = source
        self._directory = os.path.abspath(directory)
        self._number = number

    def __repr__(self) -> str:
        return f"Replay({self._directory})"

    def files(self) -> list[InputFile]:
        """The files of bad records, which are as the manifest says. Raises InputError, ManifestError."""
        manifest = manifests.load(Path(self._directory))
        if not manifest.set_aside:
            raise InputMissing(
                f"{self._directory} holds no records that were set aside.",
                hint="Records are set aside by jobs with on_error=Quarantine(…).",
            )
        for file in manifest.set_aside:
            if problem := manifests.check_part(Path(self._directory), file):
                raise ManifestError(f"{file.name}: {problem}.", hint="Run the first job again.")
        return [inputs.describe(os.path.join(self._directory, file.name), "") for file in manifest.set_aside]

    def splits(self, files: Sequence[InputFile]) -> list[Cut]:
        """One a file."""
        return [Cut(file, 0, file.size) for file in files]

    def read(self, split: Split) -> Iterator[_Replayed]:
        """The records as the source gave them."""
        block = self._block(split, self._record)
        if block.records:
            yield block

    def read_frames(self, split: Split) -> Iterator[PlacedFrame]:
        """The records as rows."""
        import polars as pl

        block = self._block(split, self._row)
        schema = getattr(self._source, "schema", None)
        if isinstance(self._source, Text):
            schema = {"line": str}
        if block.records:
            yield PlacedFrame(pl.DataFrame(block.records, polars_schema(schema) if schema else None), block)

    def _block(self, split: Split, shape: Any) -> _Replayed:
        with inputs.opened(split.file) as stream:
            lines = [json.loads(line) for line in stream.read().splitlines()]
        found = [line for line in lines if line["input"] == self._number][: split.records]
        records = [shape(content_of(line, self._parse)) for line in found]
        return _Replayed(records, list(map(location_of, found)))

    def _parse(self, data: bytes, place: Location) -> Any:
        parse = getattr(self._source, "parse", None)
        if parse is None:
            raise InputCorrupt(f"{place}: a {type(self._source).__name__} can't read a record by itself.")
        return parse(data, place)

    def _record(self, content: Any) -> Any:
        return content["line"] if isinstance(self._source, Text) and type(content) is dict else content

    def _row(self, content: Any) -> Any:
        return {"line": content} if isinstance(self._source, Text) and type(content) is str else content


class _Replayed(SpanBlock):
    """Records that may be of several files."""

    __slots__ = ("_places",)

    def __init__(self, records: list[Any], places: list[Location]) -> None:
        super().__init__("", records, [], sum(place.length for place in places))
        self._places = places

    @property
    def location(self) -> Location:
        """Of the first record."""
        return self._places[0]

    def locate(self, index: int) -> Location:
        """Of one record, in the file where it came from."""
        return self._places[index]
