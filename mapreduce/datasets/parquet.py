"""Parquet: tables by columns, in groups of rows."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from mapreduce.datasets.base import FRAMES_BLOCK, RECORDS_BLOCK, FileDataset, Paths
from mapreduce.datasets.blocks import PlacedFrame, first_rows
from mapreduce.datasets.lines import read_fully
from mapreduce.datasets.parquetfooter import MAGIC, NoParquet, RowGroup, read_row_groups
from mapreduce.datasets.parquetwriter import ParquetWriter
from mapreduce.datasets.schema import checked_schema
from mapreduce.errors import InputCorrupt, InputError, JobError
from mapreduce.model import Cut, InputFile, Location, Split
from mapreduce.protocols import RecordWriter
from mapreduce.store import inputs
from mapreduce.units import parse_size

_COPY = 2**20


class Parquet(FileDataset):
    """A source of rows as dicts, and an output of rows.

    A frame has the columns of the file. Locations count rows. One task reads one or more whole row
    groups; a row group is decoded at once, so it must fit into memory.

    As an output, the columns are a dict's fields, in the order of the part's first record, or `key`
    and `value` of a pair; a tuple is a struct with the fields "0", "1", …. Without a schema a column
    has the one exact type that its values have, None aside: int (64 bits), float, str, bytes, bool,
    date, datetime, a list of one of these, or a dict, which becomes a struct. A part of
    more than 16 MB of columns waits in files until its end, when the types are known.

    paths: a path, glob, directory, URL, or a list of these; as an output one directory.
    columns: names of the columns to read; None: all.
    schema: of the output: a dict of name → str, int, float, bool, date, datetime or a polars type.
        Give it where parts might have no records, or only None in a column.
    row_group_size: rows in a group, as an output.
    split_size: stored bytes for each map task, rounded up to whole row groups.
    block_size: bytes given to a `@blocks` or `@frames` function (128 KB, for frames 4 MB).
    storage_options: as for `Text`.
    """

    format_suffix = ".parquet"

    def __init__(
        self,
        paths: Paths,
        *,
        columns: Sequence[str] | None = None,
        schema: dict[str, Any] | None = None,
        row_group_size: int = 131_072,
        split_size: int | str = "32MB",
        block_size: int | str | None = None,
        growing: None = None,
        storage_options: str | None = None,
    ) -> None:
        super().__init__(paths, storage_options=storage_options)
        if growing is not None:
            raise JobError("Parquet: a Parquet file can't grow.", hint="Leave growing out.")
        if type(row_group_size) is not int or row_group_size < 1:
            raise JobError(
                f"Parquet: row_group_size={row_group_size!r}.", hint="Give a number of rows, from 1."
            )
        self.columns = _checked_columns(columns)
        self.schema = checked_schema(schema, "Parquet")
        self.row_group_size = row_group_size
        self.split_size = parse_size("split_size", split_size)
        self.block_size = None if block_size is None else parse_size("block_size", block_size)

    # ------------------------------------------------------------ reading

    def splits(self, files: Sequence[InputFile]) -> list[Cut]:
        """Ranges of stored bytes that begin where row groups do. Raises InputError."""
        return [cut for file in files for cut in self._cuts(file)]

    def _cuts(self, file: InputFile) -> list[Cut]:
        with inputs.opened(file) as stream:
            groups = _row_groups(stream, file)
        if not groups:
            return []
        borders = [0]
        begun = groups[0].start
        for group in groups[1:]:
            if group.start - begun >= self.split_size:
                borders.append(group.start)
                begun = group.start
        return [Cut(file, *pair) for pair in zip(borders, [*borders[1:], file.size], strict=True)]

    def read(self, split: Split) -> Iterator[RowBlock]:
        """The rows of the row groups that begin in the split, as dicts."""
        for placed in first_rows(self._frames(split, RECORDS_BLOCK), split.records):
            yield RowBlock(placed)

    def read_frames(self, split: Split) -> Iterator[PlacedFrame]:
        """The same rows as frames with the columns of the file."""
        return first_rows(self._frames(split, FRAMES_BLOCK), split.records)

    def _frames(self, split: Split, default_size: int) -> Iterator[PlacedFrame]:
        size = self.block_size or default_size
        with inputs.opened(split.file) as stream:
            groups = _row_groups(stream, split.file)
            for group in groups:
                if not split.start <= group.start < split.stop:
                    continue
                with _local(stream, split.file, group, groups[-1].stop) as path:
                    frame = self._group(path, split.file, group)
                step = max(1, size * group.rows // max(group.size, 1))
                for start in range(0, group.rows, step):
                    part = frame.slice(start, step)
                    first = group.first_row + start
                    bytes_of = group.size * part.height // group.rows
                    yield PlacedFrame(part, _Rows(split.file.uri, first, part.height, bytes_of))

    def _group(self, path: str, file: InputFile, group: RowGroup) -> Any:
        import polars as pl

        rows = f"rows {group.first_row:,} to {group.first_row + group.rows - 1:,}"
        try:
            table = pl.scan_parquet(path, glob=False, hive_partitioning=False)
            if self.columns is not None:
                names = table.collect_schema().names()
                _check_columns(self.columns, names, file)
                table = table.select(self.columns)
            frame = table.slice(group.first_row, group.rows).collect()
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            why = str(error).partition("\n")[0]
            raise InputCorrupt(f"{file.uri}, {rows}: can't be read: {why}.", hint="Get it again.") from error
        if frame.height != group.rows:
            raise InputCorrupt(f"{file.uri}: of {rows} there are {frame.height:,}.", hint="Get it again.")
        return frame

    # ------------------------------------------------------------ writing

    def writer(self, stream: BinaryIO, scratch: Path | None = None) -> RecordWriter:
        """A writer of one part. scratch: a directory for files without names."""
        return ParquetWriter(stream, self.schema, self.row_group_size, scratch)

    def read_part(self, stream: BinaryIO, pairs: bool) -> Iterator[Any]:
        """Dicts; of pairs, (key, value), a key that was a tuple as one."""
        import polars as pl

        for row in pl.read_parquet(stream).iter_rows(named=True):
            yield (_tuples(row["key"]), row["value"]) if pairs else row


def _tuples(key: Any) -> Any:
    if isinstance(key, dict) and list(key) == [str(index) for index in range(len(key))]:
        return tuple(map(_tuples, key.values()))
    return key


def _checked_columns(columns: Any) -> list[str] | None:
    if columns is None:
        return None
    names = [] if isinstance(columns, str) else list(columns)
    if not names or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise JobError(f"Parquet: columns={columns!r}.", hint="Give a list of different names.")
    return names


def _check_columns(wanted: Sequence[str], names: Sequence[str], file: InputFile) -> None:
    if missing := [name for name in wanted if name not in names]:
        raise InputError(
            f"{file.uri} has no column {missing[0]!r}; it has {', '.join(names)[:200]}.",
            hint="Mend columns=.",
        )


def _row_groups(stream: BinaryIO, file: InputFile) -> list[RowGroup]:
    try:
        return read_row_groups(stream, file.size)
    except NoParquet as error:
        raise InputCorrupt(
            f"{file.uri} is no Parquet file: {error} ({file.size:,} bytes stored).",
            hint="Look whether it was written to its end, and is not compressed as a whole.",
        ) from error


@contextmanager
def _local(stream: BinaryIO, file: InputFile, group: RowGroup, data_end: int) -> Iterator[str]:
    """A path to a file with one row group in it at its place: polars reads no streams in part."""
    uri = file.uri
    if not inputs.is_url(uri) and uri.isprintable() and uri.isascii():
        yield os.path.abspath(uri)
        return
    import tempfile

    with tempfile.NamedTemporaryFile(prefix="mapreduce-", suffix=".parquet") as copy:
        copy.truncate(file.size)
        copy.write(MAGIC)
        for start, stop in ((group.start, group.stop), (data_end, file.size)):
            stream.seek(start)
            copy.seek(start)
            while start < stop and (data := read_fully(stream, min(_COPY, stop - start))):
                copy.write(data)
                start += len(data)
        copy.flush()
        yield copy.name


class _Rows:
    """Where consecutive rows of a file stand."""

    def __init__(self, uri: str, first: int, count: int, size: int) -> None:
        self._uri, self._first, self._count = uri, first, count
        self.size = size

    @property
    def location(self) -> Location:
        return Location(self._uri, self._first, self._count, "row")

    def locate(self, index: int) -> Location:
        return Location(self._uri, self._first + index, 1, "row")


class RowBlock:
    """Consecutive rows of a file as dicts."""

    def __init__(self, placed: PlacedFrame) -> None:
        self._placed = placed
        self.records: list[Any] = placed.frame.to_dicts()

    @property
    def size(self) -> int:
        """Bytes before compression, about."""
        return self._placed.size

    @property
    def location(self) -> Location:
        """First row and number of rows."""
        return self._placed.location

    def locate(self, index: int) -> Location:
        """The row's number in the file."""
        return self._placed.locate(index)
