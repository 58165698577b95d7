"""Writing Parquet: records as columns of exact types."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, BinaryIO

from mapreduce.datasets.fields import fields, in_order
from mapreduce.datasets.kinds import Conflict, Kind, Unsupported, kind_of_all, merged, polars_type, shown
from mapreduce.datasets.schema import Misfit, column, polars_schema
from mapreduce.errors import RecordError

_BATCH = 16_384
SPOOL_BYTES = 16 * 2**20
"""Of columns that are held; more go to a file."""
_COPY = 2**20
_DESCRIPTORS = "/proc/self/fd"
"""Where open files without names have one."""
_SCALARS = frozenset((bool, int, float, str, bytes, date, type(None)))


class ParquetWriter:
    """The rows of one part. They wait in columns until `close`, when their types are known: in memory,
    and where they are many in files without names.

    scratch: a directory for these; None: the one for temporary files.
    """

    def __init__(
        self,
        stream: BinaryIO,
        schema: dict[str, Any] | None,
        row_group_size: int,
        scratch: Path | None = None,
    ) -> None:
        self._stream = stream
        self._scratch = scratch
        self._schema = None if schema is None else polars_schema(schema)
        self._row_group_size = row_group_size
        self._names: list[str] | None = None if schema is None else list(schema)
        self._kinds: list[Kind] = []
        self._waiting: list[list[Any]] = []
        self._frames: list[Any] = []
        self._held = 0
        self._spools: list[Any] = []
        self.records = 0
        self.pairs = True

    def write(self, records: Iterable[Any]) -> None:
        """Append records. A type that does not fit may be found later than its record."""
        for record in records:
            if type(record) is not tuple:
                self.pairs = False
            names, values = fields(record, "Parquet")
            if self._names is None:
                self._names = names
            elif names != self._names:
                values = in_order(self._names, names, values)
            self._waiting.append([_own(value) for value in values])
            self.records += 1
            if len(self._waiting) == _BATCH:
                self._settle()

    def write_pairs(self, keys: Sequence[Any], values: Sequence[Any]) -> None:
        """Append pairs."""
        self.write(zip(keys, values, strict=True))

    def write_frame(self, frame: Any) -> bool:
        """Types are found by records."""
        return False

    def close(self) -> None:
        """Write the part."""
        import polars as pl

        self._settle()
        schema = self._final_schema()
        if self._spools:
            self._write_spooled(schema)
            return
        if self._frames:
            frame = pl.concat([frame.cast(schema) for frame in self._frames], rechunk=True)
        else:
            frame = pl.DataFrame(schema=schema)
        data = io.BytesIO()
        frame.write_parquet(data, **self._options)
        self._stream.write(data.getvalue())

    @property
    def _options(self) -> dict[str, Any]:
        return {
            "compression": "zstd",
            "compression_level": 3,
            "statistics": True,
            "row_group_size": self._row_group_size,
        }

    def _spool(self) -> None:
        """Put the rows so far into a file, from which polars can read them bit by bit."""
        import polars as pl

        spool = tempfile.TemporaryFile(dir=self._scratch)  # noqa: SIM115 - it lives until `close`
        self._spools.append(spool)
        schema = self._final_schema()
        pl.concat([frame.cast(schema) for frame in self._frames]).write_ipc(spool, compression="uncompressed")
        spool.flush()
        self._frames, self._held = [], 0

    def _write_spooled(self, schema: dict[str, Any]) -> None:
        """The same bytes as from memory."""
        import polars as pl

        if self._frames:
            self._spool()
        rows = pl.concat([pl.scan_ipc(_path(spool)).cast(pl.Schema(schema)) for spool in self._spools])
        with tempfile.TemporaryFile(dir=self._scratch) as part:
            rows.sink_parquet(_path(part), maintain_order=True, **self._options)
            shutil.copyfileobj(part, self._stream, _COPY)
        for spool in self._spools:
            spool.close()

    def _final_schema(self) -> dict[str, Any]:
        if self._schema is not None:
            return self._schema
        return {name: polars_type(kind) for name, kind in zip(self._names or [], self._kinds, strict=False)}

    def _settle(self) -> None:
        """Make a frame of the records that wait."""
        import polars as pl

        if not self._waiting:
            return
        names = self._names or []
        columns = list(zip(*self._waiting, strict=True))
        self._waiting = []
        if self._schema is None:
            self._infer(names, columns)
        schema = self._final_schema()
        make = _column if self._schema is not None else _exact_column
        made = [make(name, values, schema[name]) for name, values in zip(names, columns, strict=True)]
        frame = pl.DataFrame(made)
        self._frames.append(frame)
        self._held += int(frame.estimated_size())
        if self._held > SPOOL_BYTES and os.path.isdir(_DESCRIPTORS):
            self._spool()

    def _infer(self, names: list[str], columns: list[tuple[Any, ...]]) -> None:
        known = self._kinds or [None] * len(names)
        try:
            for place, values in enumerate(columns):
                name = names[place]
                known[place] = merged(known[place], kind_of_all(values))
        except Conflict as error:
            raise RecordError(
                f"Parquet: the column {name!r} has values of the types {shown(error.one)} and "
                f"{shown(error.other)}.",
                hint=f"Give them one type, or say which: Parquet(…, schema={{{name!r}: …}}).",
            ) from None
        except Unsupported as error:
            raise RecordError(
                f"Parquet: the column {name!r} can't hold a {error}.",
                hint="Convert it in the function that gives it, or write JsonLines.",
            ) from None
        self._kinds = known


def _path(file: Any) -> str:
    return f"{_DESCRIPTORS}/{file.fileno()}"


def _column(name: str, values: Sequence[Any], kind: Any) -> Any:
    try:
        return column(name, values, kind)
    except Misfit as error:
        raise RecordError(f"Parquet: {error}.", hint="Mend the record, or schema=.") from None


def _exact_column(name: str, values: Sequence[Any], kind: Any) -> Any:
    """A column of values that are known to be of its type, but perhaps beyond its range."""
    import polars as pl

    try:
        return pl.Series(name, values, dtype=kind, strict=True)
    except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError):
        return _column(name, values, kind)


def _own(value: Any) -> Any:
    """A copy that the job's function can't change; tuples as structs, datetimes in UTC."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is datetime:
        return value if value.tzinfo is None else value.astimezone(UTC)
    if kind is list:
        return [_own(item) for item in value]
    if kind is tuple:
        return {str(index): _own(item) for index, item in enumerate(value)}
    if kind is dict:
        return {name: _own(item) for name, item in value.items()}
    return value
