"""JSON lines: an object a line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any, BinaryIO

from mapreduce.datasets.writers import JsonLinesWriter
from mapreduce.protocols import RecordWriter


class JsonLines:
    """An output of JSON objects, UTF-8, one a line.

    A dict is written as it is, a pair as `{"key": …, "value": …}`.
    """

    suffix = ".jsonl"
    compression = ""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: str | None = os.fspath(path)

    def __repr__(self) -> str:
        return f"JsonLines({self.path})"

    def writer(self, stream: BinaryIO) -> RecordWriter:
        """A writer of one part."""
        return JsonLinesWriter(stream)

    def read_part(self, stream: BinaryIO, pairs: bool) -> Iterator[Any]:
        """Dicts; of pairs, (key, value), a key that is an array as a tuple."""
        for line in stream:
            record = json.loads(line)
            yield (_tuples(record["key"]), record["value"]) if pairs else record


def _tuples(key: Any) -> Any:
    return tuple(map(_tuples, key)) if isinstance(key, list) else key
