"""A key's elements as fields of their own, by the job's `key_names`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from mapreduce.errors import RecordError
from mapreduce.keys import as_key
from mapreduce.protocols import RecordWriter

_SHOWN = 200


class KeyNaming:
    """A writer that gives another one dicts with a field for each element of the key.

    Pairs become {name: element, …, "value": value}; a dict whose `key` is a tuple gets the elements
    in its place. Other records pass. `pairs` tells of what came in.

    keep_pairs: pairs pass too, for an output that keeps all types.
    """

    def __init__(self, writer: RecordWriter, names: Sequence[str], *, keep_pairs: bool = False) -> None:
        self._writer = writer
        self._names = names
        self._keep_pairs = keep_pairs
        self.pairs = True

    @property
    def records(self) -> int:
        """So far."""
        return self._writer.records

    def write(self, records: Iterable[Any]) -> None:
        """Append records, named. Raises RecordError for a key of another length."""
        self._writer.write(map(self._named, records))

    def write_pairs(self, keys: Sequence[Any], values: Sequence[Any]) -> None:
        """Append pairs, named."""
        self.write(zip(keys, values, strict=True))

    def write_frame(self, frame: Any) -> bool:
        """Append pairs, named, if their keys are structs of the right width."""
        import polars as pl

        if set(frame.columns) != {"key", "value"} or self._keep_pairs or "value" in self._names:
            return False
        kind = frame.schema["key"]
        if kind != pl.Struct or len(kind.fields) != len(self._names) or frame["key"].null_count():
            return False
        named = frame["key"].struct.rename_fields(list(self._names)).struct.unnest()
        return self._writer.write_frame(named.with_columns(frame["value"]))

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()

    def _named(self, record: Any) -> Any:
        if type(record) is tuple and len(record) == 2:
            fields = self._fields(record[0])
            return record if self._keep_pairs else {**fields, "value": record[1]}
        self.pairs = False
        if type(record) is dict and type(record.get("key")) is tuple:
            rest = {name: value for name, value in record.items() if name != "key"}
            fields = self._fields(record["key"])
            if rest.keys() & fields.keys():
                raise RecordError(
                    f"A record has a field that key_names gives too: {repr(record)[:_SHOWN]}.",
                    hint="Give the key's element another name.",
                )
            return fields | rest
        return record

    def _fields(self, key: Any) -> dict[str, Any]:
        if type(key) is not tuple or len(key) != len(self._names):
            names = ", ".join(self._names)
            raise RecordError(
                f"key_names ({names}) do not fit the key {repr(key)[:_SHOWN]}.",
                hint=f"Give keys that are tuples of {len(self._names)}.",
            )
        return dict(zip(self._names, key, strict=True))


def unnamed(records: Iterable[Any], names: Sequence[str]) -> Iterator[Any]:
    """The pairs that `KeyNaming` wrote as dicts; rows without names are read as tuples."""
    for record in records:
        if type(record) is tuple:
            yield record[:-1], record[-1]
            continue
        yield tuple(as_key(record[name]) for name in names), record["value"]


def with_tuple_keys(records: Iterable[Any]) -> Iterator[Any]:
    """Records of a dict of aggregates, with a key that was written as an array or a struct as a tuple."""
    for record in records:
        if type(record.get("key")) in (list, dict):
            record["key"] = as_key(record["key"])
        yield record
